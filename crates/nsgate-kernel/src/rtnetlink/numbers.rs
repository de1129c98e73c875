//! The numbers of rtnetlink that libc does not name, and the fixed headers that each request starts with.

use nsgate_core::model::Family;
use nsgate_core::plan::XdpMode;

/// `IFLA_INET_CONF`: the array of `net.ipv4.conf` values within IFLA_AF_SPEC / AF_INET.
pub(super) const INET_CONF: u16 = 1;
/// `IFLA_INET6_CONF`: the array of `net.ipv6.conf` values within IFLA_AF_SPEC / AF_INET6.
pub(super) const INET6_CONF: u16 = 2;

/// `IFLA_INET6_ADDR_GEN_MODE`: how an interface makes its own link-local address.
pub(super) const INET6_ADDR_GEN_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_EUI64`: from its link-layer address.
pub(super) const ADDR_GEN_EUI64: u8 = 0;
/// `IN6_ADDR_GEN_MODE_NONE`: not at all.
pub(super) const ADDR_GEN_NONE: u8 = 1;

/// `IFLA_XDP_DRV_PROG_ID`, `IFLA_XDP_SKB_PROG_ID`, `IFLA_XDP_HW_PROG_ID`.
pub(super) const XDP_DRIVER_PROGRAM: u16 = 5;
pub(super) const XDP_GENERIC_PROGRAM: u16 = 6;
pub(super) const XDP_HARDWARE_PROGRAM: u16 = 7;

/// `IFLA_XDP_FD`: the program; -1 takes it away.
pub(super) const XDP_FILE: u16 = 1;
/// `IFLA_XDP_FLAGS`, with the flag of each way of running a program.
pub(super) const XDP_FLAGS: u16 = 3;
pub(super) const XDP_MODES: [(XdpMode, u32); 3] = [(XdpMode::Generic, 2), (XdpMode::Driver, 4), (XdpMode::Hardware, 8)];

/// `VETH_INFO_PEER`: a whole link message for the other end.
pub(super) const VETH_PEER: u16 = 1;
/// `IFLA_BR_STP_STATE`.
pub(super) const BRIDGE_STP_STATE: u16 = 5;
/// `IFLA_BR_VLAN_FILTERING`.
pub(super) const BRIDGE_VLAN_FILTERING: u16 = 7;
/// `IFLA_BR_MCAST_SNOOPING`.
pub(super) const BRIDGE_MULTICAST_SNOOPING: u16 = 23;
/// `IFLA_BR_NF_CALL_IPTABLES` and its like for IPv6 and ARP.
pub(super) const BRIDGE_FILTERS_IPV4: u16 = 36;
pub(super) const BRIDGE_FILTERS_IPV6: u16 = 37;
pub(super) const BRIDGE_FILTERS_ARP: u16 = 38;
/// `IFLA_BRPORT_STATE`.
pub(super) const PORT_STATE: u16 = 1;
/// `IFLA_BRPORT_MODE`: hairpin.
pub(super) const PORT_HAIRPIN: u16 = 4;
/// `IFLA_BRPORT_LEARNING`.
pub(super) const PORT_LEARNING: u16 = 8;
/// `IFLA_BRPORT_UNICAST_FLOOD`.
pub(super) const PORT_UNICAST_FLOOD: u16 = 9;
/// `IFLA_BRPORT_MCAST_FLOOD`.
pub(super) const PORT_MULTICAST_FLOOD: u16 = 27;
/// `IFLA_BRPORT_BCAST_FLOOD`.
pub(super) const PORT_BROADCAST_FLOOD: u16 = 30;
/// `IFLA_BRPORT_NEIGH_SUPPRESS`.
pub(super) const PORT_NEIGHBOUR_SUPPRESS: u16 = 32;
/// `IFLA_BRPORT_LOCKED`.
pub(super) const PORT_LOCKED: u16 = 39;
/// `IFLA_BRPORT_ISOLATED`.
pub(super) const PORT_ISOLATED: u16 = 33;
/// `IFLA_MACVLAN_MODE`.
pub(super) const MACVLAN_MODE: u16 = 1;
/// `MACVLAN_MODE_*` with the names that `ip` gives them.
pub(super) const MACVLAN_MODES: [(u32, &str); 5] =
    [(1, "private"), (2, "vepa"), (4, "bridge"), (8, "passthru"), (16, "source")];
/// `IFLA_VLAN_ID`.
pub(super) const VLAN_ID: u16 = 1;
/// `IFLA_VRF_TABLE`.
pub(super) const VRF_TABLE: u16 = 1;
/// `IFLA_VXLAN_ID`.
pub(super) const VXLAN_ID: u16 = 1;
/// `IFLA_VXLAN_GROUP`: the remote end, IPv4.
pub(super) const VXLAN_GROUP: u16 = 2;
/// `IFLA_VXLAN_LINK`: the interface the tunnel leaves by.
pub(super) const VXLAN_LINK: u16 = 3;
/// `IFLA_VXLAN_LEARNING`.
pub(super) const VXLAN_LEARNING: u16 = 7;
/// `IFLA_VXLAN_LOCAL`, IPv4.
pub(super) const VXLAN_LOCAL: u16 = 4;
/// `IFLA_VXLAN_PORT`, in network byte order.
pub(super) const VXLAN_PORT: u16 = 15;
/// `IFLA_VXLAN_GROUP6`: the remote end, IPv6.
pub(super) const VXLAN_GROUP6: u16 = 16;
/// `IFLA_VXLAN_LOCAL6`.
pub(super) const VXLAN_LOCAL6: u16 = 17;

/// `NDA_MASTER`: the bridge that a forwarding entry belongs to.
pub(super) const NEIGHBOUR_MASTER: u16 = 9;
/// `NDA_NH_ID`.
pub(super) const NEIGHBOUR_NEXTHOP_OBJECT: u16 = 13;

/// `IFA_PROTO`: who made an address.
pub(super) const ADDRESS_PROTOCOL: u16 = 11;

/// `RTA_IP_PROTO`.
pub(super) const ROUTE_TRANSPORT: u16 = 27;
/// `RTA_DPORT`, in network byte order.
pub(super) const ROUTE_DESTINATION_PORT: u16 = 29;
/// `RTA_NH_ID`.
pub(super) const ROUTE_NEXTHOP_OBJECT: u16 = 30;
/// `RTAX_MTU`, within RTA_METRICS.
pub(super) const METRIC_MTU: u16 = 2;
/// `RTNH_F_DEAD`.
pub(super) const HOP_DEAD: u32 = 1;
/// `RTNH_F_ONLINK`.
pub(super) const HOP_ON_LINK: u32 = 4;
/// `RTNH_F_LINKDOWN`.
pub(super) const HOP_LINK_DOWN: u32 = 16;

/// `NDTA_*`: attributes of a neighbour table.
pub(super) mod table {
    /// `RTM_GETNEIGHTBL`.
    pub(crate) const GET: u16 = 66;
    /// `NDTA_THRESH1` to `NDTA_THRESH3`.
    pub(crate) const KEEP: u16 = 2;
    pub(crate) const SOFT_LIMIT: u16 = 3;
    pub(crate) const HARD_LIMIT: u16 = 4;
    /// `NDTA_CONFIG`: a `struct ndt_config`, whose second word is the number of entries.
    pub(crate) const CONFIG: u16 = 5;
    /// `NDTA_STATS`: a `struct ndt_stats`, and the place of `ndts_table_fulls` in it.
    pub(crate) const STATISTICS: u16 = 7;
    pub(crate) const REFUSED: usize = 80;
}

/// `NHA_*`: attributes of a nexthop object.
pub(super) mod nexthop {
    /// `RTM_GETNEXTHOP`.
    pub(crate) const GET: u16 = 106;
    pub(crate) const ID: u16 = 1;
    pub(crate) const GROUP: u16 = 2;
    pub(crate) const BLACKHOLE: u16 = 4;
    pub(crate) const OIF: u16 = 5;
    pub(crate) const GATEWAY: u16 = 6;
    pub(crate) const FORWARDING: u16 = 11;
}

/// `FRA_*`: attributes of a policy rule.
pub(super) mod rule {
    pub(crate) const DESTINATION: u16 = 1;
    pub(crate) const SOURCE: u16 = 2;
    pub(crate) const IIF_NAME: u16 = 3;
    pub(crate) const GOTO: u16 = 4;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const MARK: u16 = 10;
    pub(crate) const TUNNEL: u16 = 12;
    pub(crate) const SUPPRESS_GROUP: u16 = 13;
    pub(crate) const SUPPRESS_PREFIX_LENGTH: u16 = 14;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const MARK_MASK: u16 = 16;
    pub(crate) const OIF_NAME: u16 = 17;
    pub(crate) const L3MDEV: u16 = 19;
    pub(crate) const USERS: u16 = 20;
    pub(crate) const MADE_BY: u16 = 21;
    pub(crate) const TRANSPORT: u16 = 22;
    pub(crate) const SOURCE_PORTS: u16 = 23;
    pub(crate) const DESTINATION_PORTS: u16 = 24;
    pub(crate) const SOURCE_PORT_MASK: u16 = 28;
    pub(crate) const DESTINATION_PORT_MASK: u16 = 29;

    /// `FIB_RULE_INVERT`.
    pub(crate) const INVERTED: u32 = 2;

    /// `FR_ACT_*`: what a rule does.
    pub(crate) const TO_TABLE: u8 = 1;
    pub(crate) const TO_RULE: u8 = 2;
    pub(crate) const NOTHING: u8 = 3;
    pub(crate) const BLACKHOLE: u8 = 6;
    pub(crate) const UNREACHABLE: u8 = 7;
    pub(crate) const PROHIBIT: u8 = 8;
}

/// `NETNSA_NSID`.
pub(super) const NETNS_ID: u16 = 1;
/// `NETNSA_FD`.
pub(super) const NETNS_DESCRIPTOR: u16 = 3;

/// The address family by the kernel's number.
pub(super) fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

/// The family of the kernel's number.
pub(super) fn family_of(number: u8) -> Option<Family> {
    Family::BOTH.into_iter().find(|family| family_number(*family) == number)
}

/// `struct ifinfomsg`: an interface by number (0: by name), and flags to change.
pub(super) fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}
