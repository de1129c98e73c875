//! Sockets that wait for packets.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::LinkIndex;

/// A transport protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A TCP socket that listens, or a UDP socket that is not connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The protocol.
    pub transport: Transport,
    /// The address it is bound to; the unspecified address for all.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// An IPv6 socket that takes no IPv4.
    pub only_v6: bool,
    /// The interface it is bound to.
    pub link: Option<LinkIndex>,
    /// The control group of the process that made it, by its number in the unified hierarchy.
    pub control_group: Option<u64>,
    /// Connections waiting to be accepted (TCP) or bytes waiting to be read (UDP).
    pub queued: u32,
    /// The most that may wait.
    pub queue_limit: u32,
}
