//! Who is behind which port of a bridge or which remote end of a tunnel: the forwarding database.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::wire::text;
use super::{LinkIndex, Mac};

/// One entry of the forwarding database of a bridge or a VXLAN device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForwardingEntry {
    /// The port of the bridge, the bridge itself (its own addresses), or the VXLAN device.
    pub link: LinkIndex,
    /// The link-layer address; all zeroes in a VXLAN device: whatever has no entry of its own.
    #[serde(with = "text")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub mac: Mac,
    /// The bridge whose database it stands in; none for that of a VXLAN device.
    pub bridge: Option<LinkIndex>,
    /// The VLAN it holds for.
    pub vlan: Option<u16>,
    /// VXLAN: the remote end that frames are sent to.
    pub remote: Option<IpAddr>,
    /// VXLAN: the UDP port there, if not the device's own.
    pub port: Option<u16>,
    /// VXLAN: the network identifier there, if not the device's own.
    pub vni: Option<u32>,
    /// VXLAN: the interface to leave by.
    pub via: Option<LinkIndex>,
    /// VXLAN: the nexthop object that names the remote ends.
    pub nexthop_object: Option<u32>,
    /// Where it comes from.
    pub origin: ForwardingOrigin,
}

/// Where an entry of the forwarding database comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ForwardingOrigin {
    /// Bridge: the address is the bridge's or port's own. VXLAN: entered by hand, for good.
    Permanent,
    /// Entered by hand; does not age.
    Static,
    /// Learned from frames that came by.
    Learned,
}

impl ForwardingEntry {
    /// Whether frames for the address are sent through a tunnel.
    pub fn leads_to_a_remote_end(&self) -> bool {
        self.remote.is_some() || self.nexthop_object.is_some()
    }
}
