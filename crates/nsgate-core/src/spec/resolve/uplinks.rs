//! What leads out of a gateway: interfaces that exist, and wires that are made.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ETHERNET, Resolver, default_link};
use crate::model::{Family, Link, LinkKind, LinkName, Namespace, NetnsName};
use crate::plan::mark::Mark;
use crate::spec::{
    At, Diagnostic, End, Gateway, SourceNat, Translation, Uplink, Wanted, WantedGateway, WantedNetwork, WantedTransit,
    WantedUplink, WantedWire, Wire, fields,
};

/// The gateways of a file, those that others lead outside by first.
pub(super) fn outermost_first(gateways: &[Gateway]) -> Vec<&Gateway> {
    let mut rest: Vec<&Gateway> = gateways.iter().collect();
    let mut ordered: Vec<&Gateway> = Vec::new();
    while !rest.is_empty() {
        let waits = |gateway: &Gateway, rest: &[&Gateway]| {
            gateway.upstream().any(|(name, _)| rest.iter().any(|other| other.name.value == name))
        };
        // A circle was refused when the file was read; whatever comes, the search ends.
        let at = rest.iter().position(|gateway| !waits(gateway, &rest)).unwrap_or(0);
        ordered.push(rest.remove(at));
    }
    ordered
}

impl<'a> Resolver<'a> {
    /// What leads outside: what the file says, else the interface of the default route.
    pub(super) fn uplinks(&mut self) -> Vec<WantedUplink> {
        if self.gateway.uplinks.is_empty() {
            let default = default_link(self.home);
            let needed = self.networks().find(|network| network.source_nat != SourceNat::None);
            if let (None, Some(network)) = (default, needed) {
                let message = "there is no default route, so nothing says which interface leads outside";
                let hint = format!("name it: uplink = \"eth0\" under [gateway.{}]", self.gateway.name.value);
                self.found.push(Diagnostic::error(&network.name.span, message).label("needs an uplink").hint(hint));
            }
            let existing = |link: &Link| WantedUplink { interface: link.name.clone(), wire: None };
            return default.map(existing).into_iter().collect();
        }
        let uplinks: &'a [Uplink] = &self.gateway.uplinks;
        uplinks.iter().filter_map(|uplink| self.uplink(uplink)).collect()
    }

    fn uplink(&mut self, uplink: &'a Uplink) -> Option<WantedUplink> {
        let Some(wire) = &uplink.wire else {
            let interface = uplink.interface.as_ref()?;
            self.existing_uplink(interface);
            return Some(WantedUplink { interface: interface.value.clone(), wire: None });
        };
        let gateway = &self.gateway.name.value;
        let (to, peer_netns, bridge, mtu) = match &wire.to.value {
            End::Bridge(name) => {
                let mtu = self.existing_bridge(name, wire)?;
                (name.to_string(), NetnsName::host(), Some(name.clone()), mtu)
            }
            End::Gateway(name) => {
                let other = self.spec.gateways.iter().find(|other| other.name.value == *name)?;
                let mtu = self.mtus.get(name.as_str()).copied().unwrap_or(ETHERNET);
                (name.clone(), other.netns.value.clone(), None, mtu)
            }
        };
        let mark = Mark::uplink(self.instance, gateway, &to);
        let interface = match &uplink.interface {
            Some(at) => {
                self.interface_in_use(self.home, at);
                at.value.clone()
            }
            None => self.name(&self.home.name, &mark, &format!("up-{to}"), &wire.to.span)?,
        };
        let peer_interface = match &wire.peer_interface {
            Some(at) => {
                if let Some(there) = self.world.namespace(&peer_netns) {
                    self.interface_in_use(there, at);
                }
                at.value.clone()
            }
            None => self.name(&peer_netns, &mark, &format!("{gateway}-{to}"), &wire.to.span)?,
        };
        for at in &wire.addresses {
            self.held_elsewhere(&peer_netns, at);
        }
        for at in wire.routers() {
            self.leads_elsewhere(self.home, Family::of(at.value), &at.span);
        }
        Some(WantedUplink {
            interface,
            wire: Some(WantedWire {
                to,
                peer_netns,
                peer_interface,
                bridge,
                addresses: wire.addresses.iter().map(|at| at.value).collect(),
                peer_addresses: wire.peer_addresses.iter().map(|at| at.value).collect(),
                via: wire.routers().into_iter().map(|at| at.value).collect(),
                metric: wire.metric.as_ref().map_or(0, |at| at.value),
                mtu: wire.mtu.as_ref().map_or(mtu, |at| at.value),
            }),
        })
    }

    fn existing_uplink(&mut self, at: &At<LinkName>) {
        if self.home.link_named(at.value.as_str()).is_some() {
            return;
        }
        let names = self.home.links.iter().map(|link| link.name.as_str()).filter(|name| *name != "lo");
        let hint = match fields::nearest(at.value.as_str(), names.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if self.home.links.len() < 2 => "make one: uplink = { to = \"host\", addresses = [...] }".to_owned(),
            None => format!("the interfaces are: {}", names.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("there is no interface '{}' in the namespace of the gateway", at.value);
        self.found.push(Diagnostic::error(&at.span, message).label("does not exist").hint(hint));
    }

    /// The bridge that a wire leads to must exist: it is somebody else's. Gives its MTU.
    fn existing_bridge(&mut self, name: &LinkName, wire: &Wire) -> Option<u32> {
        let host = self.world.namespace(&NetnsName::host())?;
        let bridges = host.links.iter().filter(|link| matches!(link.kind, LinkKind::Bridge(_)));
        if let Some(bridge) = bridges.clone().find(|link| link.name == *name) {
            return Some(bridge.mtu.min(ETHERNET));
        }
        let span = &wire.to.span;
        if host.link_named(name.as_str()).is_some() {
            self.found.push(Diagnostic::error(span, format!("'{name}' is no bridge")).label("not a bridge"));
            return None;
        }
        let names = bridges.map(|link| link.name.as_str());
        let error = Diagnostic::error(span, format!("there is no bridge '{name}' in the namespace nsgate runs in"));
        let hint = match fields::nearest(name.as_str(), names) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("make it first: ip link add {name} type bridge"),
        };
        self.found.push(error.label("does not exist").hint(hint));
        None
    }

    /// An address of a gateway must not be that of somebody in the namespace at the other end of its wire.
    fn held_elsewhere(&mut self, peer_netns: &NetnsName, at: &At<IpNet>) {
        let address = at.value.addr();
        let there = self.world.namespace(peer_netns);
        let holder = there.and_then(|netns| netns.links.iter().find(|link| link.holds(address)));
        if let Some(link) = holder {
            let message = format!("{address} is in use on {} of {peer_netns}", link.name);
            self.found.push(Diagnostic::error(&at.span, message).label("in use"));
        }
    }

    /// The MTU of what is behind a gateway: that of the narrowest of its uplinks.
    pub(super) fn narrowest(&self, uplinks: &[WantedUplink]) -> u32 {
        let mtu = |uplink: &WantedUplink| match &uplink.wire {
            Some(wire) => Some(wire.mtu),
            None => self.home.link_named(uplink.interface.as_str()).map(|link| link.mtu),
        };
        uplinks.iter().filter_map(mtu).fold(ETHERNET, u32::min)
    }
}

/// Tells each gateway of the wires by which others lead outside through it.
pub(super) fn connect(wanted: &mut Wanted, gateways: &[Gateway]) {
    // What is behind the innermost is known first.
    for at in (0..wanted.gateways.len()).rev() {
        let inner = &wanted.gateways[at];
        let untranslated = untranslated(inner);
        let mut transits: BTreeMap<String, WantedTransit> = BTreeMap::new();
        for wire in inner.uplinks.iter().filter_map(|uplink| uplink.wire.as_ref()).filter(|w| w.bridge.is_none()) {
            let described = gateways.iter().find(|gateway| gateway.name.value == inner.name);
            let source_nat = described.and_then(|gateway| {
                gateway
                    .wires()
                    .find(|one| one.to.value == End::Gateway(wire.to.clone()))
                    .map(|one| one.source_nat.clone())
            });
            let by = |net: &IpNet| {
                let own = wire.addresses.iter().map(IpNet::addr);
                own.into_iter().find(|own| Family::of(*own) == Family::of(net.addr())).map(|own| (*net, own))
            };
            let transit = WantedTransit {
                gateway: inner.name.clone(),
                interface: wire.peer_interface.clone(),
                subnets: wire.addresses.iter().map(IpNet::trunc).collect(),
                behind: untranslated.iter().filter_map(by).collect(),
                source_nat: source_nat.unwrap_or_default(),
            };
            transits.insert(wire.to.clone(), transit);
        }
        for outer in &mut wanted.gateways {
            outer.transits.extend(transits.remove(&outer.name));
        }
    }
}

/// What the outside of a gateway sees untranslated of what is behind it.
fn untranslated(gateway: &WantedGateway) -> Vec<IpNet> {
    let stays = |nat: &SourceNat, net: &IpNet| nat.family(Family::of(net.addr())) == Translation::None;
    let of = |network: &WantedNetwork| {
        let nets = network.subnets.iter().copied();
        nets.filter(|net| stays(&network.source_nat, net)).collect::<Vec<_>>()
    };
    let mut all: Vec<IpNet> = gateway.networks.iter().flat_map(of).collect();
    for transit in &gateway.transits {
        let nets = transit.subnets.iter().chain(transit.behind.iter().map(|(net, _)| net));
        all.extend(nets.filter(|net| stays(&transit.source_nat, net)));
    }
    all
}

/// The interface of a gateway that reaches an address directly, if it makes one.
pub(super) fn link_towards(gateway: &WantedGateway, address: IpAddr) -> Option<LinkName> {
    let wires = gateway.uplinks.iter().filter_map(|uplink| Some((uplink, uplink.wire.as_ref()?)));
    let mut by_wire = wires.filter(|(_, wire)| wire.addresses.iter().any(|net| net.contains(&address)));
    if let Some((uplink, _)) = by_wire.next() {
        return Some(uplink.interface.clone());
    }
    let transit = gateway.transits.iter().find(|transit| transit.subnets.iter().any(|net| net.contains(&address)));
    if let Some(transit) = transit {
        return Some(transit.interface.clone());
    }
    let network = gateway.networks.iter().find(|network| network.subnets.iter().any(|net| net.contains(&address)))?;
    if let Some(bridge) = &network.bridge {
        return Some(bridge.clone());
    }
    let holds = |member: &&crate::spec::WantedMember| member.addresses.iter().any(|net| net.addr() == address);
    network.members.iter().find(holds).map(|member| member.gateway_interface.clone())
}

/// A namespace that does not exist yet.
pub(super) fn absent(gateways: &[Gateway], world: &crate::model::World) -> Vec<Namespace> {
    let names = gateways.iter().map(|gateway| &gateway.netns.value);
    names.filter(|name| world.namespace(name).is_none()).map(|name| Namespace::new(name.clone(), 0)).collect()
}
