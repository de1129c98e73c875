//! Network interfaces (the kernel calls them links) and the addresses they hold.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::netns::check_component;
use super::wire::text;
use super::{Bridge, BridgePort, Family, Mac, NameError, NetnsName, PortVlan, Process};

/// The longest interface name in bytes: IFNAMSIZ less its closing zero.
const LONGEST: usize = 15;

/// The name of an interface: at most 15 bytes, no slash, colon or white space (the kernel's `dev_valid_name`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// The loopback interface, which every namespace has.
    pub fn loopback() -> Self {
        Self("lo".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check_component(name, LONGEST)?;
        Ok(Self(name.into()))
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The number of an interface within its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LinkIndex(pub u32);

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its number within the namespace.
    pub index: LinkIndex,
    /// Its name.
    pub name: LinkName,
    /// What it is.
    pub kind: LinkKind,
    /// Its link-layer address; none on loopback-like and point-to-point devices.
    #[serde(with = "text::option")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub mac: Option<Mac>,
    /// The largest packet it sends, in bytes, link-layer header not counted.
    pub mtu: u32,
    /// Whether it is administratively up (IFF_UP).
    pub up: bool,
    /// Whether something is connected behind it (IFF_LOWER_UP).
    pub carrier: bool,
    /// Whether it resolves neighbours (no IFF_NOARP).
    pub resolves_neighbours: bool,
    /// Whether it takes every frame whatever its address (IFF_PROMISC).
    pub promiscuous: bool,
    /// The operational state (RFC 2863).
    pub state: OperState,
    /// The bridge, bond or VRF that it is a port of.
    pub master: Option<LinkIndex>,
    /// What it is as a port of a bridge, where it is one.
    pub port: Option<BridgePort>,
    /// Where its other end or lower device is.
    pub peer: Peer,
    /// The process at the other end of a TUN or TAP device, where it was looked for and found.
    pub process: Option<Process>,
    /// The VLANs that a bridge that tells VLANs apart belongs to itself.
    pub vlans: Vec<PortVlan>,
    /// Its queues.
    pub queues: LinkQueues,
    /// The group number, by which links are deleted together; 0 unless set.
    pub group: u32,
    /// The free text an operator attached; nsgate's mark stands here.
    pub alias: Option<String>,
    /// Its addresses of both families, in the kernel's order.
    pub addresses: Vec<Address>,
    /// `net.ipv4.conf.NAME.*` by the kernel's numbers (IPV4_DEVCONF_*, from 1), as the link message carries them.
    pub settings4: Vec<i32>,
    /// `net.ipv6.conf.NAME.*` by the kernel's numbers (DEVCONF_*, from 0); empty where IPv6 is off for the device.
    pub settings6: Vec<i32>,
}

/// The queues of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkQueues {
    /// How many for what goes out.
    pub transmit: u32,
    /// How many for what comes in.
    pub receive: u32,
    /// How many packets may wait to go out (`txqueuelen`).
    pub length: u32,
}

/// What kind of interface a link is, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// One end of a virtual wire.
    Veth,
    /// A software bridge.
    Bridge(Bridge),
    /// A sub-interface with a link-layer address of its own.
    Macvlan {
        /// `bridge`, `private`, `vepa`, `passthru` or `source`.
        mode: String,
    },
    /// An 802.1Q sub-interface.
    Vlan {
        /// The VLAN identifier.
        id: u16,
    },
    /// A VXLAN tunnel end.
    Vxlan {
        /// The network identifier.
        vni: u32,
        /// The remote end or multicast group; none if only the forwarding database knows.
        remote: Option<IpAddr>,
        /// The local end.
        local: Option<IpAddr>,
        /// The UDP port.
        port: u16,
    },
    /// A routing domain.
    Vrf {
        /// The routing table of the domain.
        table: u32,
    },
    /// A TUN or TAP device: a process is at its other end.
    Tun,
    /// A device without a kind of its own: hardware, mostly.
    Physical,
    /// Any other kind, by the kernel's name of it.
    Other(String),
}

/// Where the other end of a veth pair, or the lower device of a stacked one, is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Peer {
    /// The device stands for itself.
    None,
    /// In the same namespace.
    Here(LinkIndex),
    /// In another namespace that this World knows.
    There(NetnsName, LinkIndex),
    /// In a namespace that this World does not know; the number is the one in force there.
    Hidden(LinkIndex),
}

/// The operational state of an interface (RFC 2863, `operstate` in sysfs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum OperState {
    /// The driver does not say; counts as usable (loopback and TUN stay here).
    Unknown,
    /// Parts of it are missing.
    NotPresent,
    /// Cannot carry packets.
    Down,
    /// The device below it is down.
    LowerLayerDown,
    /// Under test.
    Testing,
    /// Waits for an event, such as authentication.
    Dormant,
    /// Carries packets.
    Up,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address with its prefix length.
    #[cfg_attr(test, schemars(with = "String"))]
    pub net: IpNet,
    /// The other end's address on point-to-point links.
    pub peer: Option<IpAddr>,
    /// The broadcast address (IPv4).
    pub broadcast: Option<IpAddr>,
    /// What state it is in.
    pub flags: AddressFlags,
    /// Who made it (IFA_PROTO, Linux 5.18 and later; 0: not said).
    pub protocol: u8,
}

/// The flags of an address that decide whether it can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddressFlags {
    /// Duplicate address detection has not finished.
    pub tentative: bool,
    /// Duplicate address detection found another holder.
    pub duplicate: bool,
    /// No duplicate address detection for this address.
    pub no_dad: bool,
    /// No longer used as a source for new flows.
    pub deprecated: bool,
    /// Not the first of its subnet (IPv4).
    pub secondary: bool,
    /// Does not expire.
    pub permanent: bool,
    /// No route for its prefix came with it.
    pub no_prefix_route: bool,
}

/// The per-interface settings (`net.ipv4.conf.*`, `net.ipv6.conf.*`) that decide a packet's fate, and why each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// IPv4: whether packets that came in here are passed on; IPv6: for `all`, whether anything is.
    Forwarding,
    /// IPv4: reverse-path filter; the larger of `all` and the interface's counts.
    RpFilter,
    /// Answer ARP, ND for addresses that lie behind another interface.
    ProxyArp,
    /// When to answer ARP requests at all.
    ArpIgnore,
    /// Take packets to and from 127.0.0.0/8 as routable.
    RouteLocalnet,
    /// Take packets whose source is one of the host's own addresses.
    AcceptLocal,
    /// Count packet marks in the reverse-path look-up.
    SrcValidMark,
    /// Leave routes over links without carrier out.
    IgnoreRoutesWithLinkdown,
    /// The family is off on this interface (IPv6).
    DisableIpv6,
    /// Whether router advertisements are taken: 0 no, 1 unless forwarding, 2 always.
    AcceptRa,
    /// Whether IPv6 duplicate address detection runs.
    AcceptDad,
    /// IPv6 forwarding of one interface (Linux 6.17 and later).
    ForceForwarding,
    /// Answer ARP only where the route to the asker leads out of the interface that was asked.
    ArpFilter,
    /// Which of its addresses the host names when it asks for a neighbour.
    ArpAnnounce,
    /// IPsec does not wrap what leaves here (IPv4).
    DisableXfrm,
    /// IPsec policies are not held against what comes in here.
    DisablePolicy,
    /// The hop limit of packets made here (IPv6; for IPv4 it is the namespace's).
    HopLimit,
    /// The largest IPv6 packet, where it is smaller than the interface's own.
    Mtu,
}

impl Setting {
    /// Every setting that is modelled.
    pub const ALL: [Self; 18] = [
        Self::Forwarding,
        Self::RpFilter,
        Self::ProxyArp,
        Self::ArpIgnore,
        Self::RouteLocalnet,
        Self::AcceptLocal,
        Self::SrcValidMark,
        Self::IgnoreRoutesWithLinkdown,
        Self::DisableIpv6,
        Self::AcceptRa,
        Self::AcceptDad,
        Self::ForceForwarding,
        Self::ArpFilter,
        Self::ArpAnnounce,
        Self::DisableXfrm,
        Self::DisablePolicy,
        Self::HopLimit,
        Self::Mtu,
    ];

    /// The name of the setting in `net.ipv4.conf` or `net.ipv6.conf`; none where the family does not have it.
    pub fn name(self, family: Family) -> Option<&'static str> {
        self.entry(family).map(|(name, _)| name)
    }

    /// The place of the setting in the array that the kernel sends (`settings4` counts from 1 as
    /// IPV4_DEVCONF_* in linux/ip.h, `settings6` from 0 as DEVCONF_* in linux/ipv6.h).
    pub fn place(self, family: Family) -> Option<usize> {
        self.entry(family).map(|(_, place)| place)
    }

    fn entry(self, family: Family) -> Option<(&'static str, usize)> {
        let (v4, v6) = match self {
            Setting::Forwarding => (Some(("forwarding", 0)), Some(("forwarding", 0))),
            Setting::RpFilter => (Some(("rp_filter", 7)), None),
            Setting::ProxyArp => (Some(("proxy_arp", 2)), Some(("proxy_ndp", 22))),
            Setting::ArpIgnore => (Some(("arp_ignore", 18)), None),
            Setting::RouteLocalnet => (Some(("route_localnet", 25)), None),
            Setting::AcceptLocal => (Some(("accept_local", 22)), None),
            Setting::SrcValidMark => (Some(("src_valid_mark", 23)), None),
            Setting::IgnoreRoutesWithLinkdown => {
                (Some(("ignore_routes_with_linkdown", 28)), Some(("ignore_routes_with_linkdown", 39)))
            }
            Setting::DisableIpv6 => (None, Some(("disable_ipv6", 26))),
            Setting::AcceptRa => (None, Some(("accept_ra", 3))),
            Setting::AcceptDad => (None, Some(("accept_dad", 27))),
            Setting::ForceForwarding => (None, Some(("force_forwarding", 59))),
            Setting::ArpFilter => (Some(("arp_filter", 12)), None),
            Setting::ArpAnnounce => (Some(("arp_announce", 17)), None),
            Setting::DisableXfrm => (Some(("disable_xfrm", 14)), None),
            Setting::DisablePolicy => (Some(("disable_policy", 15)), Some(("disable_policy", 48))),
            Setting::HopLimit => (None, Some(("hop_limit", 1))),
            Setting::Mtu => (None, Some(("mtu", 2))),
        };
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

impl Link {
    /// Whether the interface can carry packets as far as the kernel can tell.
    pub fn usable(&self) -> bool {
        self.up && self.carrier
    }

    /// The value of a per-interface setting; none if the family lacks it or the kernel did not say.
    pub fn setting(&self, family: Family, setting: Setting) -> Option<i32> {
        let place = setting.place(family)?;
        match family {
            Family::V4 => self.settings4.get(place).copied(),
            Family::V6 => self.settings6.get(place).copied(),
        }
    }

    /// Whether the interface holds this address.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.net.addr() == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_follow_the_kernel() {
        assert!("veth2".parse::<LinkName>().is_ok());
        assert!(matches!("sixteen-bytes-xx".parse::<LinkName>(), Err(NameError::TooLong { limit: 15, .. })));
        assert!("a/b".parse::<LinkName>().is_err());
        assert!("a:b".parse::<LinkName>().is_err());
        assert!("..".parse::<LinkName>().is_err());
    }
}
