//! Routes: to each member over its own wire, and from each member to the gateway.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Builder;
use crate::model::{Family, LinkName, Namespace, NetnsName, Route};
use crate::plan::mark;
use crate::plan::step::{Action, Change, Hop, NewRoute};
use crate::spec::{WantedMember, WantedNetwork};

impl Builder<'_> {
    /// The routes at both ends of a member's wire that are not wanted go. They may lean on addresses, so they go first.
    pub(super) fn stray_routes(&mut self, network: &WantedNetwork, member: &WantedMember) {
        for (netns, dev, wanted) in ends(network, member) {
            for gone in self.own_routes(&netns, &dev).into_iter().filter(|route| !wanted.contains(route)) {
                self.push(&netns, Action::Route(Change::Delete, gone));
            }
        }
    }

    /// The routes at both ends of a member's wire that are missing come.
    pub(super) fn missing_routes(&mut self, network: &WantedNetwork, member: &WantedMember) {
        for (netns, dev, wanted) in ends(network, member) {
            let has = self.own_routes(&netns, &dev);
            for new in wanted.into_iter().filter(|route| !has.contains(route)) {
                self.push(&netns, Action::Route(Change::Add, new));
            }
        }
    }

    /// Our routes over one of our interfaces.
    fn own_routes(&self, netns: &NetnsName, dev: &LinkName) -> Vec<NewRoute> {
        let Some(link) = self.standing(netns, dev) else { return Vec::new() };
        let Some(space) = self.world.namespace(netns) else { return Vec::new() };
        let over = |route: &&Route| {
            route.protocol == mark::PROTOCOL && route.next_hops.iter().any(|hop| hop.link == Some(link.index))
        };
        let mut routes: Vec<_> = space.routes.iter().filter(over).map(|route| as_new(space, route)).collect();
        // A default route leans on the route to its gateway: it goes first.
        routes.sort_by_key(|route| route.destination.prefix_len());
        routes
    }
}

/// Both ends of a member's wire, each with the routes that are wanted over it.
fn ends(network: &WantedNetwork, member: &WantedMember) -> [(NetnsName, LinkName, Vec<NewRoute>); 2] {
    [
        (NetnsName::host(), member.gateway_interface.clone(), to_member(network, member)),
        (member.netns.clone(), member.interface.clone(), from_member(network, member)),
    ]
}

/// The gateway's routes to a member: one for each address where the wire is its own, none behind a bridge.
fn to_member(network: &WantedNetwork, member: &WantedMember) -> Vec<NewRoute> {
    if network.bridge.is_some() {
        return Vec::new();
    }
    let route = |address: &IpNet| {
        let gateway = network.gateways.iter().find(|gateway| gateway.contains(&address.addr()));
        let route = NewRoute::on_link(IpNet::from(address.addr()), member.gateway_interface.clone());
        ours(NewRoute { source: gateway.map(IpNet::addr), ..route })
    };
    member.addresses.iter().map(route).collect()
}

/// A member's routes: to the gateway where no prefix leads there, and by default through it.
fn from_member(network: &WantedNetwork, member: &WantedMember) -> Vec<NewRoute> {
    let mut routes = Vec::new();
    let gateways: Vec<&IpNet> = network
        .gateways
        .iter()
        .filter(|gateway| member.addresses.iter().any(|address| gateway.contains(&address.addr())))
        .collect();
    if network.bridge.is_none() {
        let on_link = |gateway: &&IpNet| NewRoute::on_link(IpNet::from(gateway.addr()), member.interface.clone());
        routes.extend(gateways.iter().map(on_link).map(ours));
    }
    for family in Family::BOTH {
        let gateway = gateways.iter().find(|gateway| Family::of(gateway.addr()) == family);
        routes.extend(
            gateway
                .map(|gateway| ours(NewRoute::through(everything(family), gateway.addr(), member.interface.clone()))),
        );
    }
    routes
}

fn ours(route: NewRoute) -> NewRoute {
    NewRoute { protocol: mark::PROTOCOL, ..route }
}

/// The whole address space of a family.
fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}

/// A route that is there as one that could be made: what follows by itself is left out.
pub(super) fn as_new(netns: &Namespace, route: &Route) -> NewRoute {
    /// The metric that IPv6 gives a route without one.
    const METRIC6: u32 = 1024;
    let hop = |hop: &crate::model::NextHop| Hop {
        via: hop.gateway,
        dev: hop.link.and_then(|index| netns.link(index)).map(|link| link.name.clone()),
        on_link: hop.on_link,
        weight: hop.weight.max(1),
    };
    let metric = match Family::of(route.destination.addr()) {
        Family::V6 if route.metric == METRIC6 => 0,
        _ => route.metric,
    };
    let mut new = NewRoute {
        kind: route.kind,
        destination: route.destination,
        hops: route.next_hops.iter().map(hop).collect(),
        table: route.table,
        metric,
        source: route.source,
        protocol: route.protocol,
        scope: None,
        mtu: route.mtu,
    };
    if new.effective_scope() != route.scope {
        new.scope = Some(route.scope);
    }
    new
}
