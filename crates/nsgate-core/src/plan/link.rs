//! Interfaces to be made, and what can be changed about them afterwards.

use std::net::IpAddr;

use crate::model::{LinkName, Mac, NetnsName, PortState};

/// An interface to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLink {
    /// Its name.
    pub name: LinkName,
    /// What it is.
    pub kind: NewKind,
    /// Its MTU; the kernel's choice if none.
    pub mtu: Option<u32>,
    /// Its link-layer address; the kernel's choice if none.
    pub mac: Option<Mac>,
    /// Its group, by which links are found again; 0 is every link's.
    pub group: u32,
    /// How many queues it has each way; one for each processor if none.
    pub queues: Option<u32>,
}

/// What kind of interface is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKind {
    /// Both ends of a virtual wire.
    Veth(VethPeer),
    /// A software bridge.
    Bridge {
        /// Whether VLANs are told apart.
        vlan_filtering: bool,
        /// Whether the spanning tree protocol runs.
        spanning_tree: bool,
    },
    /// A sub-interface with a link-layer address of its own.
    Macvlan {
        /// The interface below.
        parent: LinkName,
        /// Whom it can reach.
        mode: MacvlanMode,
    },
    /// An 802.1Q sub-interface.
    Vlan {
        /// The interface below.
        parent: LinkName,
        /// The VLAN identifier.
        id: u16,
    },
    /// A VXLAN tunnel end.
    Vxlan(Vxlan),
    /// A routing domain.
    Vrf {
        /// The routing table of the domain.
        table: u32,
    },
    /// An interface with nothing behind it.
    Dummy,
    /// An interface for shaping what comes in.
    Ifb,
}

/// The other end of a virtual wire, born where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VethPeer {
    /// Its name.
    pub name: LinkName,
    /// The namespace it is born in; the same as the first end's if none.
    pub netns: Option<NetnsName>,
    /// Its MTU; the kernel's choice if none.
    pub mtu: Option<u32>,
    /// Its link-layer address; the kernel's choice if none.
    pub mac: Option<Mac>,
    /// Its group; 0 is every link's.
    pub group: u32,
    /// How many queues it has each way.
    pub queues: Option<u32>,
}

/// A VXLAN tunnel end to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The network identifier.
    pub id: u32,
    /// The remote end or multicast group; none if only the forwarding database knows.
    pub remote: Option<IpAddr>,
    /// The local end.
    pub local: Option<IpAddr>,
    /// The interface the tunnel leaves by.
    pub dev: Option<LinkName>,
    /// The UDP port.
    pub port: u16,
    /// Whether it learns who is behind which remote end.
    pub learning: bool,
}

/// Whom a macvlan interface can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Its siblings and the outside.
    Bridge,
    /// The outside only.
    Private,
    /// Its siblings by way of the switch outside.
    Vepa,
    /// The only one on its parent.
    Passthru,
}

/// Something that can be changed about an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkSetting {
    /// Administratively up or down.
    Up(bool),
    /// The bridge or VRF it is a port of.
    Master(Option<LinkName>),
    /// Its MTU.
    Mtu(u32),
    /// Its link-layer address.
    Mac(Mac),
    /// The free text attached to it; nsgate's mark stands here.
    Alias(Option<String>),
    /// Whether it resolves neighbours.
    Arp(bool),
    /// Whether it takes every frame whatever its address.
    Promiscuous(bool),
    /// Its group.
    Group(u32),
    /// Its name.
    Name(LinkName),
    /// The namespace it is in.
    Netns(NetnsName),
    /// Whether it gives itself a link-local IPv6 address.
    LinkLocalAddress(bool),
    /// No XDP program, of those that are run in this way.
    NoXdp(XdpMode),
    /// Bridge: whether VLANs are told apart.
    VlanFiltering(bool),
    /// Bridge: whether the spanning tree protocol runs.
    SpanningTree(bool),
    /// Bridge port: whether it reaches only ports that are not isolated.
    Isolated(bool),
    /// Bridge port: whether frames may leave by the port they came in by.
    Hairpin(bool),
    /// Bridge port: whether it learns who is behind it.
    Learning(bool),
    /// Bridge port: its spanning-tree state.
    State(PortState),
}

/// A way of running XDP programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Driver,
    /// Before anything else is done with a packet that came in.
    Generic,
    /// In the hardware.
    Hardware,
}

impl XdpMode {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Driver, Self::Generic, Self::Hardware];

    /// The word of `ip link set`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Driver => "xdpdrv",
            Self::Generic => "xdpgeneric",
            Self::Hardware => "xdpoffload",
        }
    }
}

impl NewLink {
    /// An interface of this kind, everything else as the kernel chooses.
    pub fn new(name: LinkName, kind: NewKind) -> Self {
        Self { name, kind, mtu: None, mac: None, group: 0, queues: None }
    }

    /// A virtual wire whose other end is born in `netns` under its final name.
    pub fn veth(name: LinkName, peer: LinkName, netns: Option<NetnsName>) -> Self {
        Self::new(name, NewKind::Veth(VethPeer::new(peer, netns)))
    }

    /// A bridge without VLANs or spanning tree.
    pub fn bridge(name: LinkName) -> Self {
        Self::new(name, NewKind::Bridge { vlan_filtering: false, spanning_tree: false })
    }
}

impl VethPeer {
    /// An end of this name, everything else as the kernel chooses.
    pub fn new(name: LinkName, netns: Option<NetnsName>) -> Self {
        Self { name, netns, mtu: None, mac: None, group: 0, queues: None }
    }
}

impl NewKind {
    /// The kernel's name of the kind (IFLA_INFO_KIND).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Veth(_) => "veth",
            Self::Bridge { .. } => "bridge",
            Self::Macvlan { .. } => "macvlan",
            Self::Vlan { .. } => "vlan",
            Self::Vxlan(_) => "vxlan",
            Self::Vrf { .. } => "vrf",
            Self::Dummy => "dummy",
            Self::Ifb => "ifb",
        }
    }

    /// The interface below it that must exist first.
    pub fn parent(&self) -> Option<&LinkName> {
        match self {
            Self::Macvlan { parent, .. } | Self::Vlan { parent, .. } => Some(parent),
            Self::Vxlan(vxlan) => vxlan.dev.as_ref(),
            Self::Veth(_) | Self::Bridge { .. } | Self::Vrf { .. } | Self::Dummy | Self::Ifb => None,
        }
    }
}

impl MacvlanMode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Bridge, Self::Private, Self::Vepa, Self::Passthru];

    /// The mode as `ip` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Private => "private",
            Self::Vepa => "vepa",
            Self::Passthru => "passthru",
        }
    }
}
