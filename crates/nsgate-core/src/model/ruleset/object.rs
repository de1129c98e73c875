//! What a table holds besides chains and sets: objects that rules call by name, and flow tables.
//!
//! The kernel's numbers of the kinds are NFT_OBJECT_*; the parameters are those of linux/netfilter/nf_tables.h.

use serde::{Deserialize, Serialize};

use super::super::LinkName;
use super::super::wire::hex;
use super::{Expression, Hook};

/// An object that rules and maps call by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// What it is.
    pub kind: ObjectKind,
    /// The comment its maker left.
    pub comment: Option<String>,
}

/// What an object is, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ObjectKind {
    /// A counter, quota, limit, limit of connections or synproxy: the instruction of that name.
    Stateful(Expression),
    /// A helper that is given to connections.
    CtHelper {
        /// The helper.
        helper: String,
        /// The network protocol (NFPROTO_*).
        network: u16,
        /// The transport protocol, by IP's number.
        transport: u8,
    },
    /// Times after which connections are forgotten.
    CtTimeout {
        /// The network protocol (NFPROTO_*).
        network: u16,
        /// The transport protocol, by IP's number.
        transport: u8,
        /// Seconds for each state, by the kernel's number of the state (CTA_TIMEOUT_*).
        seconds: Vec<(u16, u32)>,
    },
    /// A connection that is expected to follow another.
    CtExpectation {
        /// The network protocol (NFPROTO_*).
        network: u16,
        /// The transport protocol, by IP's number.
        transport: u8,
        /// The destination port.
        port: u16,
        /// How long it is expected, in milliseconds.
        timeout: u32,
        /// How many may be expected at once.
        size: u8,
    },
    /// A security context that is given to packets.
    Secmark {
        /// The context.
        context: String,
    },
    /// How packets are put into a tunnel.
    Tunnel(Tunnel),
    /// A kind that nsgate does not model, with its attributes as they came.
    Unknown {
        /// The kernel's number of the kind.
        number: u32,
        /// Its attributes.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        attributes: Vec<u8>,
    },
}

/// How packets are put into a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// The number that tells this tunnel from others.
    pub id: u32,
    /// The outer source address.
    pub source: Option<std::net::IpAddr>,
    /// The outer destination address.
    pub destination: Option<std::net::IpAddr>,
    /// The outer source port.
    pub source_port: Option<u16>,
    /// The outer destination port.
    pub destination_port: Option<u16>,
    /// The outer type of service.
    pub tos: u8,
    /// The outer time to live.
    pub ttl: u8,
    /// Checksums and fragmentation (NFT_TUNNEL_F_*).
    pub flags: u32,
    /// The options of the kind of tunnel, as they came.
    #[serde(with = "hex")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub options: Vec<u8>,
}

/// A table of connections whose packets pass by the rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowTable {
    /// Its name.
    pub name: String,
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// Where it takes packets off their way.
    pub hook: Hook,
    /// Its place among what else stands there: the smaller comes first.
    pub priority: i32,
    /// The interfaces whose packets it takes.
    pub devices: Vec<LinkName>,
    /// The network cards do the work where they can.
    pub offload: bool,
    /// Packets that pass are counted on their connection.
    pub counts: bool,
}

impl ObjectKind {
    /// The kernel's number (NFT_OBJECT_*).
    pub fn number(&self) -> u32 {
        match self {
            Self::Stateful(Expression::Counter { .. }) => 1,
            Self::Stateful(Expression::Quota { .. }) => 2,
            Self::CtHelper { .. } => 3,
            Self::Stateful(Expression::Limit { .. }) => 4,
            Self::Stateful(Expression::ConnectionLimit { .. }) => 5,
            Self::Tunnel(_) => 6,
            Self::CtTimeout { .. } => 7,
            Self::Secmark { .. } => 8,
            Self::CtExpectation { .. } => 9,
            Self::Stateful(Expression::Synproxy { .. }) => 10,
            Self::Stateful(_) => 0,
            Self::Unknown { number, .. } => *number,
        }
    }
}
