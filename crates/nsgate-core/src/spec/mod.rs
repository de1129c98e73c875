//! What is wanted: the specification read from `nsgate.toml`.
//!
//! [`read()`] turns text into a [`Spec`] or says everything that is wrong with it, each with its place in the text.
//! [`resolve()`] then fills in what was left out and holds the whole against what is: the result, [`Wanted`], is what
//! plans are made from.

mod check;
mod diagnostic;
mod expect;
mod fields;
mod floating;
mod gateway;
pub(crate) mod names;
mod policy;
mod publish;
mod read;
mod resolve;
mod route;
mod translation;

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::model::{LinkName, NetnsName, RouteKind};

pub use diagnostic::{Diagnostic, Severity};
pub use expect::{Expectation, Expected, Host, Target, expected};
pub use floating::Floating;
pub use gateway::{End, Gateway, Uplink, Wire};
pub use policy::{Policy, Rate};
pub use publish::{Entrance, PortProtocol, Publish};
pub use read::{LARGEST, read};
pub use resolve::{Resolved, resolve};
pub use route::Route;
pub use translation::{AddressRange, Pool, PortRange, SourceNat, Translation};

/// A value with its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place in the text, in bytes.
    pub span: Range<usize>,
}

/// What a file says, everything in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What the whole is called; the file's name if it does not say.
    pub name: Option<At<String>>,
    /// The gateways: that of the namespace nsgate runs in if the file describes none.
    pub gateways: Vec<Gateway>,
    /// The networks behind them.
    pub networks: Vec<Network>,
    /// Ports of gateways that lead to members.
    pub published: Vec<Publish>,
    /// Addresses outside that are a member's.
    pub floating: Vec<Floating>,
    /// Who must reach whom, and who must not.
    pub expectations: Vec<Expectation>,
}

/// One network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// What it is called.
    pub name: At<String>,
    /// The name of its gateway; the only one if it does not say.
    pub gateway: Option<At<String>>,
    /// How its members are connected.
    pub kind: Kind,
    /// Its address ranges.
    pub subnets: Vec<At<IpNet>>,
    /// The gateway's own addresses in them; the first of each range for those it does not say.
    pub gateway_addresses: Vec<At<IpAddr>>,
    /// How sources are translated towards the outside.
    pub source_nat: SourceNat,
    /// Where its members appear untranslated all the same.
    pub no_nat: Vec<At<IpNet>>,
    /// What it is allowed.
    pub policy: Policy,
    /// The MTU of its wires.
    pub mtu: Option<At<u32>>,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// How the members of a network are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Each by a wire of its own to the gateway, which routes between them.
    #[default]
    Routed,
    /// All by one bridge.
    Bridge,
}

/// A namespace that is part of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of its namespace.
    pub name: At<NetnsName>,
    /// Its addresses; the next free one of each subnet if it does not say.
    pub addresses: Vec<At<IpAddr>>,
    /// Its interface; `eth0` if it does not say.
    pub interface: Option<At<LinkName>>,
    /// The gateway's end of its wire.
    pub gateway_interface: Option<At<LinkName>>,
    /// How it is translated, if not as its network.
    pub source_nat: Option<SourceNat>,
    /// The fastest it may send, and be sent to.
    pub rate: Option<At<Rate>>,
}

/// What is wanted, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the whole is called: part of every mark.
    pub instance: String,
    /// The gateways, each in a namespace of its own, before those that lead outside by it.
    pub gateways: Vec<WantedGateway>,
}

impl Wanted {
    /// All networks, gateway by gateway.
    pub fn networks(&self) -> impl Iterator<Item = &WantedNetwork> {
        self.gateways.iter().flat_map(|gateway| &gateway.networks)
    }
}

/// A gateway with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedGateway {
    /// What it is called.
    pub name: String,
    /// Its namespace.
    pub netns: NetnsName,
    /// What leads outside.
    pub uplinks: Vec<WantedUplink>,
    /// The wires by which other gateways lead outside through this one.
    pub transits: Vec<WantedTransit>,
    /// Its routes besides those that follow from the rest.
    pub routes: Vec<WantedRoute>,
    /// The networks behind it.
    pub networks: Vec<WantedNetwork>,
    /// The ports that lead to members.
    pub published: Vec<WantedPublish>,
    /// The addresses that are a member's.
    pub floating: Vec<WantedFloating>,
}

/// Ports of a gateway that lead to a member, of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedPublish {
    /// The address they are of; none: any that the gateway has of the member's family.
    pub address: Option<IpAddr>,
    /// The protocol.
    pub protocol: PortProtocol,
    /// The ports.
    pub ports: PortRange,
    /// Who may use them; empty: all.
    pub from: Vec<IpNet>,
    /// The member.
    pub member: NetnsName,
    /// Its address.
    pub to: IpAddr,
    /// Its ports: as many, or one for all.
    pub to_ports: PortRange,
}

/// An address outside that is a member's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFloating {
    /// The address.
    pub address: IpAddr,
    /// The uplink that holds it.
    pub uplink: LinkName,
    /// The member.
    pub member: NetnsName,
    /// The member's own address.
    pub to: IpAddr,
}

/// An interface of a gateway that leads outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedUplink {
    /// Its name in the gateway's namespace.
    pub interface: LinkName,
    /// How it is made; none: it exists.
    pub wire: Option<WantedWire>,
}

/// The wire that an uplink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedWire {
    /// What the other end is called in marks: the bridge, or the other gateway.
    pub to: String,
    /// The namespace of the other end.
    pub peer_netns: NetnsName,
    /// The other end.
    pub peer_interface: LinkName,
    /// The bridge that the other end is a port of.
    pub bridge: Option<LinkName>,
    /// The gateway's addresses.
    pub addresses: Vec<IpNet>,
    /// The addresses of the other end.
    pub peer_addresses: Vec<IpNet>,
    /// The routers that default routes lead to.
    pub via: Vec<IpAddr>,
    /// The metric of those routes.
    pub metric: u32,
    /// Its MTU.
    pub mtu: u32,
}

/// A wire by which another gateway leads outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedTransit {
    /// The other gateway.
    pub gateway: String,
    /// This gateway's end.
    pub interface: LinkName,
    /// The subnets of the wire.
    pub subnets: Vec<IpNet>,
    /// What is behind the other gateway untranslated, and by which of its addresses it is reached.
    pub behind: Vec<(IpNet, IpAddr)>,
    /// How sources are translated towards the outside: those of the wire, and those behind it.
    pub source_nat: SourceNat,
}

/// A route that the file gives a gateway or a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRoute {
    /// What it is for.
    pub to: IpNet,
    /// The router and the interface; none for a route that refuses.
    pub hop: Option<(IpAddr, LinkName)>,
    /// What it does with a packet.
    pub kind: RouteKind,
    /// The metric; 0 leaves it to the kernel.
    pub metric: u32,
}

/// A network with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedNetwork {
    /// What it is called.
    pub name: String,
    /// The bridge that connects its members; none where each has a wire to the gateway.
    pub bridge: Option<LinkName>,
    /// Its address ranges.
    pub subnets: Vec<IpNet>,
    /// The gateway's address in each range, with the range's prefix length.
    pub gateways: Vec<IpNet>,
    /// How sources are translated towards the outside.
    pub source_nat: SourceNat,
    /// Where its members appear untranslated all the same.
    pub no_nat: Vec<IpNet>,
    /// What it is allowed.
    pub policy: Policy,
    /// The MTU of its wires.
    pub mtu: u32,
    /// Who is in it.
    pub members: Vec<WantedMember>,
}

/// A member with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedMember {
    /// Its namespace.
    pub netns: NetnsName,
    /// Its interface.
    pub interface: LinkName,
    /// The gateway's end of its wire.
    pub gateway_interface: LinkName,
    /// Its addresses, with the prefix length of their ranges.
    pub addresses: Vec<IpNet>,
    /// How it is translated, if not as its network.
    pub source_nat: Option<SourceNat>,
    /// The fastest it may send, and be sent to.
    pub rate: Option<Rate>,
}

#[cfg(test)]
mod tests;
