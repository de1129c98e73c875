//! Routes, and the policy rules that choose between routing tables.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::wire::family;
use super::{Family, LinkIndex, LinkName};

/// The table of the host's own and broadcast addresses, kept by the kernel.
pub const TABLE_LOCAL: u32 = 255;
/// The table that plain routes go to.
pub const TABLE_MAIN: u32 = 254;
/// The table that is asked last.
pub const TABLE_DEFAULT: u32 = 253;

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The table it stands in.
    pub table: u32,
    /// What it is for; the whole address space for a default route.
    #[cfg_attr(test, schemars(with = "String"))]
    pub destination: IpNet,
    /// The sources it is for (IPv6 only).
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub from: Option<IpNet>,
    /// The type of service it is for; 0: any.
    pub tos: u8,
    /// What it does with a packet.
    pub kind: RouteKind,
    /// How far the destination is.
    pub scope: Scope,
    /// The metric: the smaller is taken.
    pub metric: u32,
    /// Who made it (RTPROT_*).
    pub protocol: u8,
    /// The source address it suggests.
    pub source: Option<IpAddr>,
    /// Where to send the packet; several share the load; none for routes that refuse.
    pub next_hops: Vec<NextHop>,
    /// The nexthop object that gave `next_hops`.
    pub nexthop_object: Option<u32>,
    /// The path MTU it sets.
    pub mtu: Option<u32>,
}

/// One way of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NextHop {
    /// The router to hand the packet to; none: the destination itself is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface to leave by.
    pub link: Option<LinkIndex>,
    /// Its share among several; 1 is the smallest.
    pub weight: u16,
    /// The gateway counts as on the link even where no address says so.
    pub on_link: bool,
    /// The kernel has marked it unusable: its interface is down.
    pub dead: bool,
    /// The kernel has marked its interface as without carrier.
    pub link_down: bool,
}

/// A way, or several, that stands for itself and is named by routes or forwarding entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NexthopObject {
    /// Its number.
    pub id: u32,
    /// What it is.
    pub kind: NexthopKind,
    /// It names remote ends for forwarding databases, not ways of routes.
    pub for_forwarding: bool,
    /// Who made it (RTPROT_*).
    pub protocol: u8,
}

/// What a nexthop object is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum NexthopKind {
    /// One way.
    Way(NextHop),
    /// Drops packets without a word.
    Blackhole,
    /// Others by their numbers, each with its share.
    Group(Vec<(u32, u16)>),
}

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Delivers it here.
    Local,
    /// Delivers it here and to all on the link.
    Broadcast,
    /// For one of several holders.
    Anycast,
    /// For a group.
    Multicast,
    /// Drops it without a word.
    Blackhole,
    /// Drops it and answers "host unreachable".
    Unreachable,
    /// Drops it and answers "administratively prohibited".
    Prohibit,
    /// Ends the search in this table.
    Throw,
    /// Any other type, by the kernel's number.
    Other(u8),
}

/// How far away a route's destination is (RT_SCOPE_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// Anywhere.
    Global,
    /// Within the operator's own site.
    Site,
    /// On the link.
    Link,
    /// The host itself.
    Host,
    /// Nowhere.
    Nowhere,
    /// A scope of the operator's own.
    Other(u8),
}

/// One policy rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which family it is for.
    #[serde(with = "family")]
    #[cfg_attr(test, schemars(with = "super::wire::family::Word"))]
    pub family: Family,
    /// Its place in the order: the smaller is asked first.
    pub priority: u32,
    /// Whether it applies to the packets that do *not* match.
    pub inverted: bool,
    /// The sources it is for.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub from: Option<IpNet>,
    /// The destinations it is for.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub to: Option<IpNet>,
    /// The interface the packet came in by (`lo`: made here).
    pub iif: Option<LinkName>,
    /// The interface that the sender asked for.
    pub oif: Option<LinkName>,
    /// The packet's mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// The type of service; 0: any.
    pub tos: u8,
    /// The transport protocol.
    pub protocol: Option<u8>,
    /// The first and last source port.
    pub source_ports: Option<(u16, u16)>,
    /// The first and last destination port.
    pub destination_ports: Option<(u16, u16)>,
    /// The first and last user for whom it is meant.
    pub users: Option<(u32, u32)>,
    /// It applies to interfaces that belong to a VRF, and leads to the VRF's table.
    pub vrf: bool,
    /// A route found by it counts only if its prefix is longer than this.
    pub suppress_prefix_length: Option<u32>,
    /// What it does.
    pub action: RuleAction,
    /// Who made it (RTPROT_*).
    pub made_by: u8,
}

/// What a policy rule does with a packet that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RuleAction {
    /// Looks it up in this table; goes on with the next rule if nothing is found.
    Table(u32),
    /// Goes on at the rule of this priority.
    Goto(u32),
    /// Nothing.
    Nop,
    /// Drops it without a word.
    Blackhole,
    /// Drops it and answers "network unreachable".
    Unreachable,
    /// Drops it and answers "administratively prohibited".
    Prohibit,
    /// Any other action, by the kernel's number.
    Other(u8),
}
