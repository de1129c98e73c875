//! Bridges and their ports: what a frame may do at each.

use serde::{Deserialize, Serialize};

/// What only a bridge has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// Whether VLANs are told apart.
    pub vlan_filtering: bool,
    /// Whether the spanning tree protocol runs.
    pub spanning_tree: bool,
    /// Whether frames for a group go only where somebody reported it.
    pub multicast_snooping: bool,
    /// Whether IPv4 in its frames passes the IP packet filter; `net.bridge.bridge-nf-call-iptables` says so for all
    /// bridges.
    pub filters_ipv4: bool,
    /// The same for IPv6.
    pub filters_ipv6: bool,
    /// The same for ARP.
    pub filters_arp: bool,
}

/// What only a port of a bridge has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BridgePort {
    /// Its spanning-tree state; without the protocol, what an operator made of it.
    pub state: PortState,
    /// It reaches only ports that are not isolated.
    pub isolated: bool,
    /// Frames may leave by the port they came in by.
    pub hairpin: bool,
    /// It learns who is behind it.
    pub learning: bool,
    /// Frames for an address that the forwarding database does not know go out here.
    pub unicast_flood: bool,
    /// Frames for a group nobody reported go out here.
    pub multicast_flood: bool,
    /// Broadcast frames go out here.
    pub broadcast_flood: bool,
    /// The bridge answers ARP and neighbour discovery itself, and does not let the questions out here.
    pub neighbour_suppress: bool,
    /// Frames come in only from addresses that the forwarding database has here.
    pub locked: bool,
    /// The VLANs it belongs to; empty where the bridge does not tell VLANs apart.
    pub vlans: Vec<PortVlan>,
}

/// The spanning-tree state of a bridge port (BR_STATE_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PortState {
    /// Takes no part.
    Disabled,
    /// Only listens for the protocol.
    Listening,
    /// Learns addresses, forwards nothing.
    Learning,
    /// Forwards.
    Forwarding,
    /// Forwards nothing.
    Blocking,
}

/// The VLANs from one number to another that a bridge port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PortVlan {
    /// The first.
    pub first: u16,
    /// The last; the first itself where it is only one.
    pub last: u16,
    /// Frames that come in without a tag belong to it.
    pub pvid: bool,
    /// Its frames go out without a tag.
    pub untagged: bool,
}

impl BridgePort {
    /// Whether the port belongs to this VLAN.
    pub fn in_vlan(&self, vlan: u16) -> bool {
        self.vlans.iter().any(|v| (v.first..=v.last).contains(&vlan))
    }

    /// The VLAN of frames that come in without a tag; none: they are refused.
    pub fn pvid(&self) -> Option<u16> {
        self.vlans.iter().find(|v| v.pvid).map(|v| v.first)
    }
}

impl Default for Bridge {
    /// A bridge as the kernel makes it.
    fn default() -> Self {
        Self {
            vlan_filtering: false,
            spanning_tree: false,
            multicast_snooping: true,
            filters_ipv4: false,
            filters_ipv6: false,
            filters_arp: false,
        }
    }
}

impl Default for BridgePort {
    /// A port as the kernel makes it, once it forwards.
    fn default() -> Self {
        Self {
            state: PortState::Forwarding,
            isolated: false,
            hairpin: false,
            learning: true,
            unicast_flood: true,
            multicast_flood: true,
            broadcast_flood: true,
            neighbour_suppress: false,
            locked: false,
            vlans: Vec::new(),
        }
    }
}

impl PortState {
    /// All states, in the order of the kernel's numbers.
    pub const ALL: [Self; 5] = [Self::Disabled, Self::Listening, Self::Learning, Self::Forwarding, Self::Blocking];

    /// The state as `bridge` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Listening => "listening",
            Self::Learning => "learning",
            Self::Forwarding => "forwarding",
            Self::Blocking => "blocking",
        }
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Listening => 1,
            Self::Learning => 2,
            Self::Forwarding => 3,
            Self::Blocking => 4,
        }
    }
}
