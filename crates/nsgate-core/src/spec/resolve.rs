//! A specification held against what is: what was left out is filled in, what is in the way is named.
//!
//! What exists already keeps its names and addresses, so that adding a member never moves another one.

mod entrances;
mod uplinks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::{
    At, Diagnostic, Gateway, Kind, Member, Network, SourceNat, Spec, Wanted, WantedGateway, WantedMember,
    WantedNetwork, WantedRoute, names, route,
};
use crate::model::{Family, Link, LinkName, Namespace, NetnsName, Route, RouteKind, TABLE_MAIN, World};
use crate::plan::mark::{self, Mark};

/// The MTU of a virtual wire that nothing makes smaller.
const ETHERNET: u32 = 1500;
/// The interface of a member that does not say how it is called.
const MEMBER_INTERFACE: &str = "eth0";
/// How many addresses of a subnet are tried for a member: more than any subnet has members.
const TRIED: usize = 1 << 20;

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What is wanted; none if something stands in the way.
    pub wanted: Option<Wanted>,
    /// What stands in the way, and what is worth knowing.
    pub diagnostics: Vec<Diagnostic>,
}

/// Fills in what a specification leaves out, and finds what is in its way.
pub fn resolve(spec: &Spec, instance: &str, world: &World) -> Resolved {
    let instance = spec.name.as_ref().map_or(instance, |name| name.value.as_str()).to_owned();
    let mut found = Vec::new();
    if let Err(reason) = names::instance(&instance) {
        let error = Diagnostic::error(&(0..0), reason).label("no name of its own");
        found.push(error.hint("begin the file with name = \"lab\""));
    }
    let Some(host) = world.namespace(&NetnsName::host()) else {
        found.push(Diagnostic::error(&(0..0), "the namespace of the gateway could not be read"));
        return Resolved { wanted: None, diagnostics: found };
    };
    let absent = uplinks::absent(&spec.gateways, world);
    let ordered = uplinks::outermost_first(&spec.gateways);
    let first = Gateway::host();
    let mut resolver = Resolver {
        spec,
        instance: &instance,
        world,
        gateway: &first,
        home: host,
        taken: BTreeMap::new(),
        mtus: BTreeMap::new(),
        found,
    };
    let mut gateways = Vec::new();
    for gateway in ordered {
        let name = &gateway.netns.value;
        let home = world.namespace(name).or_else(|| absent.iter().find(|netns| netns.name == *name));
        (resolver.gateway, resolver.home) = (gateway, home.unwrap_or(host));
        gateways.push(resolver.gateway());
    }
    let mut wanted = Wanted { instance: instance.clone(), gateways };
    uplinks::connect(&mut wanted, &spec.gateways);
    resolver.gateway_routes(&mut wanted);
    resolver.entrances(&mut wanted);
    let mut found = resolver.found;
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    let usable = found.iter().all(|diagnostic| diagnostic.severity == super::Severity::Warning);
    Resolved { wanted: usable.then_some(wanted), diagnostics: found }
}

/// One gateway being resolved, with the networks behind it.
struct Resolver<'a> {
    spec: &'a Spec,
    instance: &'a str,
    world: &'a World,
    gateway: &'a Gateway,
    /// The gateway's namespace.
    home: &'a Namespace,
    /// The names of interfaces that are spoken for in each namespace.
    taken: BTreeMap<NetnsName, BTreeSet<LinkName>>,
    /// The MTU of what is behind each gateway.
    mtus: BTreeMap<&'a str, u32>,
    found: Vec<Diagnostic>,
}

/// The names that no generated one may have: those given in the file and those that exist.
fn taken(spec: &Spec, there: Option<&Namespace>) -> BTreeSet<LinkName> {
    let members = spec.networks.iter().flat_map(|network| &network.members);
    let given = members.filter_map(|member| member.gateway_interface.as_ref());
    let uplinks = spec.gateways.iter().flat_map(|gateway| &gateway.uplinks);
    let peers = spec.gateways.iter().flat_map(Gateway::wires).filter_map(|wire| wire.peer_interface.as_ref());
    let given = given.chain(uplinks.filter_map(|uplink| uplink.interface.as_ref())).chain(peers);
    let standing = there.into_iter().flat_map(|netns| &netns.links).map(|link| link.name.clone());
    given.map(|at| at.value.clone()).chain(standing).collect()
}

impl<'a> Resolver<'a> {
    fn gateway(&mut self) -> WantedGateway {
        self.home_alias();
        let uplinks = self.uplinks();
        let mtu = self.narrowest(&uplinks);
        self.mtus.insert(self.gateway.name.value.as_str(), mtu);
        let networks: Vec<&'a Network> = self.networks().collect();
        WantedGateway {
            name: self.gateway.name.value.clone(),
            netns: self.home.name.clone(),
            networks: networks.into_iter().filter_map(|network| self.network(network, mtu)).collect(),
            transits: Vec::new(),
            routes: Vec::new(),
            published: Vec::new(),
            floating: Vec::new(),
            uplinks,
        }
    }

    /// A namespace has one name here: two gateways must not be the same by different ones.
    fn home_alias(&mut self) {
        let at = &self.gateway.netns;
        if self.home.name != at.value {
            let message = format!("'{}' is another name of the namespace '{}'", at.value, self.home.name);
            self.found.push(Diagnostic::error(&at.span, message).label("not a name of its own"));
        }
    }

    /// The routes that the file gives the gateways, each with the interface it leads out of.
    fn gateway_routes(&mut self, wanted: &mut Wanted) {
        for gateway in &mut wanted.gateways {
            let described = self.spec.gateways.iter().find(|one| one.name.value == gateway.name);
            for route in described.into_iter().flat_map(|one| &one.routes) {
                let hop = route.via.as_ref().map(|at| (at, uplinks::link_towards(gateway, at.value)));
                if let Some((at, None)) = hop {
                    let message =
                        format!("{} is on no link that nsgate makes for gateway '{}'", at.value, gateway.name);
                    let hint = "name a member, or a router on one of its uplinks";
                    self.found.push(Diagnostic::error(&at.span, message).label("not reached").hint(hint));
                    continue;
                }
                let there = self.world.namespace(&gateway.netns);
                if hop.is_none() && !there.is_none_or(|netns| self.made(netns)) {
                    let message = format!("'{}' is not nsgate's: such a route would outlive it there", gateway.netns);
                    self.found.push(Diagnostic::error(&route.to.span, message).label("not made by nsgate"));
                    continue;
                }
                gateway.routes.push(wanted_route(route, hop.and_then(|(at, dev)| Some((at.value, dev?)))));
            }
        }
    }

    /// The networks behind this gateway.
    fn networks(&self) -> impl Iterator<Item = &'a Network> + use<'a> {
        let name = &self.gateway.name.value;
        self.spec.networks.iter().filter(move |network| network.gateway.as_ref().is_none_or(|at| at.value == *name))
    }

    fn network(&mut self, network: &'a Network, mtu: u32) -> Option<WantedNetwork> {
        self.overlaps(network);
        let subnets: Vec<IpNet> = network.subnets.iter().map(|at| at.value).collect();
        let gateways: Vec<IpNet> = subnets.iter().filter_map(|net| gateway_address(network, *net)).collect();
        for net in &gateways {
            let given = network.gateway_addresses.iter().find(|at| at.value == net.addr());
            let span = given.map_or(&network.name.span, |at| &at.span);
            self.address_in_use(net.addr(), span);
        }
        self.source_nat(network);
        let bridge = match network.kind {
            Kind::Routed => None,
            Kind::Bridge => Some(self.bridge(network)?),
        };
        let mut free = Free::new(network, &gateways);
        self.keep(network, &mut free);
        let members = network.members.iter().filter_map(|member| self.member(network, member, &mut free)).collect();
        let mtu = network.mtu.as_ref().map_or(mtu, |at| at.value);
        Some(WantedNetwork {
            name: network.name.value.clone(),
            bridge,
            subnets,
            gateways,
            source_nat: network.source_nat.clone(),
            policy: network.policy.clone(),
            no_nat: IpNet::aggregate(&network.no_nat.iter().map(|at| at.value).collect()),
            mtu,
            members,
        })
    }

    /// A subnet may not be in use on an interface of somebody else's, nor be routed elsewhere.
    fn overlaps(&mut self, network: &Network) {
        for At { value: net, span } in &network.subnets {
            let meets = |other: &IpNet| net.contains(&other.network()) || other.contains(&net.network());
            let foreign = self.home.links.iter().filter(|link| !self.ours(link));
            let address = foreign
                .flat_map(|link| link.addresses.iter().map(move |address| (link, address.net)))
                .find(|(_, other)| other.prefix_len() < other.max_prefix_len() && meets(&other.trunc()));
            if let Some((link, other)) = address {
                let message = format!("{net} overlaps {}, which is in use on {}", other.trunc(), link.name);
                self.found.push(Diagnostic::error(span, message).label("in use").hint("take another range"));
                continue;
            }
            let elsewhere = self.home.routes.iter().find(|route| {
                let ours =
                    route.next_hops.iter().filter_map(|hop| self.home.link(hop.link?)).any(|link| self.ours(link));
                route.table == TABLE_MAIN && !ours && net.contains(&route.destination)
            });
            if let Some(route) = elsewhere {
                let message = format!("{net} overlaps {}, which is routed elsewhere", route.destination);
                let hint = "take another range, or remove that route";
                self.found.push(Diagnostic::error(span, message).label("in use").hint(hint));
            }
        }
    }

    fn source_nat(&mut self, network: &Network) {
        let members = network.members.iter().filter_map(|member| member.source_nat.as_ref());
        for at in members.chain([&network.source_nat]).flat_map(SourceNat::named) {
            let own = self.gateway.wires().flat_map(|wire| &wire.addresses).any(|own| own.value.addr() == at.value);
            if !own && self.home.holder(at.value).is_none() {
                let message = format!(
                    "no interface holds {}, so answers come back only if the uplink's network routes it here",
                    at.value
                );
                let length = if at.value.is_ipv4() { 32 } else { 128 };
                let named = self.gateway.uplinks.iter().find_map(|uplink| uplink.interface.as_ref());
                let device = named.map_or("UPLINK", |at| at.value.as_str());
                let hint = format!("if it does not: ip addr add {}/{length} dev {device}", at.value);
                self.found.push(Diagnostic::warning(&at.span, message).label("held by nobody here").hint(hint));
            }
        }
    }

    fn bridge(&mut self, network: &Network) -> Option<LinkName> {
        let mark = Mark::network(self.instance, &network.name.value);
        self.name(&self.home.name, &mark, &format!("br-{}", network.name.value), &network.name.span)
    }

    /// The name of one of our interfaces: the one it has, or a new one.
    fn name(&mut self, netns: &NetnsName, mark: &Mark, stem: &str, span: &Range<usize>) -> Option<LinkName> {
        let text = mark.to_string();
        let space = self.world.namespace(netns);
        let there = space.into_iter().flat_map(|netns| &netns.links).find(|link| link.alias.as_deref() == Some(&text));
        if let Some(link) = there {
            return Some(link.name.clone());
        }
        let taken = self.taken.entry(netns.clone()).or_insert_with(|| taken(self.spec, space));
        let name = names::link(stem, taken);
        match &name {
            Some(name) => {
                taken.insert(name.clone());
            }
            None => self.found.push(Diagnostic::error(span, "no free name for its interface was found")),
        }
        name
    }

    /// What members hold already stays theirs, before anybody is given something new.
    fn keep(&self, network: &Network, free: &mut Free) {
        for member in network.members.iter().filter(|member| member.addresses.is_empty()) {
            for address in self.held(network, member) {
                free.used.entry(address).or_insert_with(|| member.name.value.clone());
            }
        }
    }

    /// The addresses that a member's marked interface has in the network.
    fn held(&self, network: &Network, member: &Member) -> Vec<IpAddr> {
        let mark = Mark::member(self.instance, &network.name.value, member.name.value.as_str()).to_string();
        let netns = self.world.namespace(&member.name.value);
        let links = netns.into_iter().flat_map(|netns| &netns.links);
        let ours = links.filter(|link| link.alias.as_deref() == Some(&mark));
        let inside = |address: &IpAddr| network.subnets.iter().any(|net| net.value.contains(address));
        ours.flat_map(|link| link.addresses.iter().map(|address| address.net.addr())).filter(inside).collect()
    }

    fn member(&mut self, network: &'a Network, member: &'a Member, free: &mut Free) -> Option<WantedMember> {
        let name = &member.name;
        let mark = Mark::member(self.instance, &network.name.value, name.value.as_str());
        let gateway_interface = match &member.gateway_interface {
            Some(at) => {
                self.interface_in_use(self.home, at);
                at.value.clone()
            }
            None => self.name(&self.home.name, &mark, &format!("{}-{}", network.name.value, name.value), &name.span)?,
        };
        let default = At { value: MEMBER_INTERFACE.parse().ok()?, span: name.span.clone() };
        let interface = member.interface.as_ref().unwrap_or(&default);
        let addresses = self.addresses(network, member, free);
        if let Some(netns) = self.world.namespace(&name.value) {
            self.existing_member(netns, name, &addresses);
            self.interface_in_use(netns, interface);
        }
        for address in &addresses {
            let given = member.addresses.iter().find(|at| at.value == address.addr());
            self.address_in_use(address.addr(), given.map_or(&name.span, |at| &at.span));
        }
        Some(WantedMember {
            netns: name.value.clone(),
            interface: interface.value.clone(),
            gateway_interface,
            addresses,
            source_nat: member.source_nat.clone(),
            rate: member.rate.as_ref().map(|at| at.value),
        })
    }

    /// The addresses that a member shall have: those given, else those it holds, else the next free ones.
    fn addresses(&mut self, network: &Network, member: &Member, free: &mut Free) -> Vec<IpNet> {
        let held = self.held(network, member);
        let mut addresses = Vec::new();
        for net in network.subnets.iter().map(|at| at.value) {
            let with_length = |address: IpAddr| IpNet::new(address, net.prefix_len()).ok();
            let given: Vec<_> = member.addresses.iter().map(|at| at.value).filter(|a| net.contains(a)).collect();
            if !member.addresses.is_empty() {
                addresses.extend(given.into_iter().filter_map(with_length));
                continue;
            }
            let own = held.iter().copied().find(|a| net.contains(a) && free.used.get(a) == Some(&member.name.value));
            let Some(address) = own.or_else(|| free.next(net, &member.name.value)) else {
                let message = format!("{net} has no address left for '{}'", member.name.value);
                let error = Diagnostic::error(&member.name.span, message).label("no address left");
                self.found.push(error.hint("take a wider subnet"));
                continue;
            };
            addresses.extend(with_length(address));
        }
        addresses
    }

    /// A namespace that is there can be used if it is another than the gateway's, and leads nowhere by default.
    fn existing_member(&mut self, netns: &Namespace, name: &At<NetnsName>, addresses: &[IpNet]) {
        if netns.name != name.value {
            let message = format!("'{}' is another name of the namespace '{}'", name.value, netns.name);
            let hint = if netns.name.is_host() {
                "the gateway's own namespace cannot be a member".to_owned()
            } else {
                format!("write '{}'", netns.name)
            };
            self.found.push(Diagnostic::error(&name.span, message).label("not a name of its own").hint(hint));
            return;
        }
        for family in Family::BOTH {
            if addresses.iter().any(|net| Family::of(net.addr()) == family) {
                self.leads_elsewhere(netns, family, &name.span);
            }
        }
    }

    /// Complains of a default route that is not ours where one is to be made.
    fn leads_elsewhere(&mut self, netns: &Namespace, family: Family, span: &Range<usize>) {
        let there = default_route(netns, family).filter(|route| route.protocol != mark::PROTOCOL);
        let Some(route) = there else { return };
        let router = route.next_hops.first().and_then(|hop| hop.gateway);
        let through = router.map(|router| format!(" through {router}")).unwrap_or_default();
        let message = format!("'{}' has a default route of its own{through}, for {family}", netns.name);
        let hint = format!("remove it: ip -n {} route del default", netns.name);
        self.found.push(Diagnostic::error(span, message).label("leads elsewhere").hint(hint));
    }

    fn interface_in_use(&mut self, netns: &Namespace, at: &At<LinkName>) {
        let foreign = netns.link_named(at.value.as_str()).filter(|link| !self.ours(link));
        if foreign.is_some() {
            let message = format!("{} has an interface '{}' that nsgate did not make", netns.name, at.value);
            let hint = "take another name; what nsgate did not make it does not touch";
            self.found.push(Diagnostic::error(&at.span, message).label("in use").hint(hint));
        }
    }

    fn address_in_use(&mut self, address: IpAddr, span: &Range<usize>) {
        let foreign = self.home.links.iter().find(|link| link.holds(address) && !self.ours(link));
        if let Some(link) = foreign {
            let message = format!("{address} is in use on {} of the gateway's namespace", link.name);
            self.found.push(Diagnostic::error(span, message).label("in use"));
        }
    }

    /// Whether this instance made a namespace.
    fn made(&self, netns: &Namespace) -> bool {
        mark::of_namespace(netns).is_some_and(|mark| mark.instance() == self.instance)
    }

    /// Whether this instance made an interface.
    fn ours(&self, link: &Link) -> bool {
        mark::of_link(link).is_some_and(|mark| mark.instance() == self.instance)
    }
}

fn wanted_route(route: &route::Route, hop: Option<(IpAddr, LinkName)>) -> WantedRoute {
    WantedRoute { to: route.to.value, hop, kind: route.kind, metric: route.metric }
}

/// The interface of the default route: IPv4's, else IPv6's.
fn default_link(host: &Namespace) -> Option<&Link> {
    let links = Family::BOTH.into_iter().filter_map(|family| default_route(host, family));
    links.flat_map(|route| &route.next_hops).find_map(|hop| host.link(hop.link?))
}

/// The default route of a family; of several the one with the smallest metric.
fn default_route(netns: &Namespace, family: Family) -> Option<&Route> {
    let default = |route: &&Route| {
        let all = route.destination.prefix_len() == 0 && Family::of(route.destination.addr()) == family;
        route.table == TABLE_MAIN && route.kind == RouteKind::Unicast && all
    };
    netns.routes.iter().filter(default).min_by_key(|route| route.metric)
}

/// The gateway's address in a subnet: the one that is given, else the first.
fn gateway_address(network: &Network, net: IpNet) -> Option<IpNet> {
    let given = network.gateway_addresses.iter().map(|at| at.value).find(|address| net.contains(address));
    let address = given.or_else(|| net.hosts().find(|address| *address != net.network()))?;
    IpNet::new(address, net.prefix_len()).ok()
}

/// The addresses of a network that are spoken for, and by whom.
struct Free {
    used: BTreeMap<IpAddr, NetnsName>,
    /// Where the search in each subnet goes on.
    next: BTreeMap<IpNet, usize>,
}

impl Free {
    fn new(network: &Network, gateways: &[IpNet]) -> Self {
        let mut used = BTreeMap::new();
        for net in gateways {
            used.insert(net.addr(), NetnsName::host());
        }
        for member in &network.members {
            for at in &member.addresses {
                used.insert(at.value, member.name.value.clone());
            }
        }
        Self { used, next: BTreeMap::new() }
    }

    fn next(&mut self, net: IpNet, member: &NetnsName) -> Option<IpAddr> {
        let from = self.next.entry(net).or_insert(0);
        let mut hosts = net.hosts().enumerate().skip(*from).take(TRIED);
        let (at, address) = hosts.find(|(_, a)| *a != net.network() && !self.used.contains_key(a))?;
        *from = at + 1;
        self.used.insert(address, member.clone());
        Some(address)
    }
}
