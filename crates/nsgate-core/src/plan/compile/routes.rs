//! Routes: to each member over its own wire, and from each member to the gateway.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::wires::{gateway_addresses, loses_ipv4, own_addresses};
use super::{Builder, Site};
use crate::model::{Family, LinkName, Namespace, NetnsName, Route, RouteKind};
use crate::plan::mark;
use crate::plan::step::{Action, Change, Hop, NewAddress, NewRoute};
use crate::spec::{WantedMember, WantedNetwork, WantedRoute};

impl Builder<'_> {
    /// The routes at both ends of a wire that are not wanted go. They lean on addresses, so they go first; so do
    /// those that the kernel would clear away.
    pub(super) fn stray_routes(&mut self, ends: &[End]) {
        for end in ends {
            let cleared = self.cleared(end);
            for gone in self.own_routes(&end.netns, &end.dev) {
                if !end.routes.contains(&gone) || cleared == Some(gone.family()) {
                    self.push(&end.netns, Action::Route(Change::Delete, gone));
                }
            }
        }
    }

    /// The routes at both ends of a wire that are missing come.
    pub(super) fn missing_routes(&mut self, ends: &[End]) {
        for end in ends {
            let cleared = self.cleared(end);
            let has = self.own_routes(&end.netns, &end.dev);
            for new in &end.routes {
                if !has.contains(new) || cleared == Some(new.family()) {
                    self.push(&end.netns, Action::Route(Change::Add, new.clone()));
                }
            }
        }
    }

    /// The routes that refuse, in a namespace that is ours: whatever else of ours refuses there goes.
    pub(super) fn refusing_routes(&mut self, site: Site<'_>) {
        let netns = &site.gateway.netns;
        if !self.is_own(netns) {
            return;
        }
        let refuses = |route: &&Route| route.protocol == mark::PROTOCOL && route.kind != RouteKind::Unicast;
        let bare = |route: NewRoute| NewRoute { hops: Vec::new(), ..route };
        let has: Vec<NewRoute> =
            site.home.routes.iter().filter(refuses).map(|route| bare(as_new(site.home, route))).collect();
        let refusing = site.gateway.routes.iter().filter(|route| route.hop.is_none());
        let wanted: Vec<NewRoute> = refusing
            .map(|route| ours(NewRoute { metric: route.metric, ..NewRoute::refusing(route.kind, route.to) }))
            .collect();
        for gone in has.iter().filter(|route| !wanted.contains(route)) {
            self.push(netns, Action::Route(Change::Delete, gone.clone()));
        }
        for new in wanted.into_iter().filter(|route| !has.contains(route)) {
            self.push(netns, Action::Route(Change::Add, new));
        }
    }

    /// The family whose routes an interface loses because of what becomes of its addresses.
    fn cleared(&self, end: &End) -> Option<Family> {
        let link = self.standing(&end.netns, &end.dev)?;
        loses_ipv4(link, &end.addresses).then_some(Family::V4)
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

/// One end of a wire, or a bridge, with what is wanted there.
pub(super) struct End {
    pub(super) netns: NetnsName,
    pub(super) dev: LinkName,
    pub(super) addresses: Vec<NewAddress>,
    pub(super) routes: Vec<NewRoute>,
}

/// Both ends of a member's wire.
pub(super) fn ends(site: Site<'_>, network: &WantedNetwork, member: &WantedMember) -> [End; 2] {
    let near = End {
        netns: site.gateway.netns.clone(),
        dev: member.gateway_interface.clone(),
        addresses: gateway_addresses(network, member),
        routes: [to_member(network, member), given(&site.gateway.routes, &member.gateway_interface)].concat(),
    };
    let far = End {
        netns: member.netns.clone(),
        dev: member.interface.clone(),
        addresses: own_addresses(network, member),
        routes: from_member(network, member),
    };
    [near, far]
}

/// The routes of a file that lead out of this interface.
pub(super) fn given(routes: &[WantedRoute], dev: &LinkName) -> Vec<NewRoute> {
    let over = |route: &WantedRoute| {
        let (via, _) = route.hop.as_ref().filter(|(_, over)| over == dev)?;
        let new = NewRoute::through(route.to, *via, dev.clone());
        Some(ours(NewRoute { metric: route.metric, ..new }))
    };
    routes.iter().filter_map(over).collect()
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

pub(super) fn ours(route: NewRoute) -> NewRoute {
    NewRoute { protocol: mark::PROTOCOL, ..route }
}

/// The whole address space of a family.
pub(super) fn everything(family: Family) -> IpNet {
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
