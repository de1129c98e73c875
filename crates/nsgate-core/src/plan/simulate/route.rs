//! Addresses and the routes they bring along; routes of their own.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Refusal, index};
use crate::model::{
    Address, AddressFlags, Family, LinkIndex, Namespace, NextHop, Route, RouteKind, Rule, RuleAction, Scope,
    TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN,
};
use crate::plan::mark;
use crate::plan::step::{Change, Hop, NewAddress, NewRoute};

/// The protocol of the routes that the kernel makes by itself (RTPROT_KERNEL).
const PROTOCOL_KERNEL: u8 = 2;
/// The metric that IPv6 gives a route without one.
const METRIC6: u32 = 1024;
/// The metric of the prefix routes of IPv6 addresses.
const METRIC6_PREFIX: u32 = 256;

/// The rules every namespace is born with.
pub(super) fn kernel_rules() -> Vec<Rule> {
    let rule = |family, priority, table| Rule {
        family,
        priority,
        inverted: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        users: None,
        vrf: false,
        suppress_prefix_length: None,
        action: RuleAction::Table(table),
        made_by: PROTOCOL_KERNEL,
    };
    vec![
        rule(Family::V4, 0, TABLE_LOCAL),
        rule(Family::V4, 32766, TABLE_MAIN),
        rule(Family::V4, 32767, TABLE_DEFAULT),
        rule(Family::V6, 0, TABLE_LOCAL),
        rule(Family::V6, 32766, TABLE_MAIN),
    ]
}

pub(super) fn address(netns: &mut Namespace, change: Change, new: &NewAddress) -> Result<(), Refusal> {
    let number = index(netns, &new.dev)?;
    let Some(link) = netns.links.iter_mut().find(|link| link.index == number) else { return Ok(()) };
    let there = link.addresses.iter().position(|address| address.net == new.net && address.peer == new.peer);
    match (change, there) {
        (Change::Delete, None) => return Err(Refusal::Missing(format!("{} on {}", new.net, new.dev))),
        (Change::Add, Some(_)) => return Err(Refusal::Exists(format!("{} on {}", new.net, new.dev))),
        (Change::Delete, Some(at)) => {
            link.addresses.remove(at);
            disconnect_address(netns, number, new.net);
            return Ok(());
        }
        (Change::Replace, Some(_)) => return Ok(()),
        (Change::Add | Change::Replace, None) => {}
    }
    let flags = AddressFlags {
        no_dad: new.no_dad,
        no_prefix_route: new.no_prefix_route,
        deprecated: new.deprecated,
        permanent: true,
        ..AddressFlags::default()
    };
    let address = Address { net: new.net, peer: new.peer, broadcast: new.broadcast, flags, protocol: mark::PROTOCOL };
    link.addresses.push(address);
    if link.up {
        connect_address(netns, number, &address);
    }
    Ok(())
}

/// The routes that come with an interface that goes up.
pub(super) fn connect(netns: &mut Namespace, number: LinkIndex) {
    let addresses = netns.link(number).map(|link| link.addresses.clone()).unwrap_or_default();
    for address in addresses {
        connect_address(netns, number, &address);
    }
}

/// What vanishes with an interface that goes down: all its routes, and its IPv6 addresses.
pub(super) fn disconnect(netns: &mut Namespace, number: LinkIndex) {
    netns.routes.retain(|route| {
        let here = route.next_hops.iter().any(|hop| hop.link == Some(number));
        !here || (route.table == TABLE_LOCAL && route.destination.addr().is_ipv4())
    });
    for link in netns.links.iter_mut().filter(|link| link.index == number) {
        link.addresses.retain(|address| address.net.addr().is_ipv4());
    }
}

fn connect_address(netns: &mut Namespace, number: LinkIndex, address: &Address) {
    let own = address.net.addr();
    let family = Family::of(own);
    let hop = NextHop { link: Some(number), weight: 1, ..NextHop::default() };
    let local = Route {
        kind: RouteKind::Local,
        scope: if family == Family::V4 { Scope::Host } else { Scope::Global },
        source: (family == Family::V4).then_some(own),
        next_hops: vec![hop.clone()],
        ..kernel_route(TABLE_LOCAL, IpNet::from(own))
    };
    put(netns, local);
    let far = address.peer.map_or(address.net.trunc(), |peer| whole(peer, address.net));
    let has_prefix = far.prefix_len() < far.max_prefix_len() || address.peer.is_some();
    if has_prefix && !address.flags.no_prefix_route {
        let prefix = Route {
            scope: if family == Family::V4 { Scope::Link } else { Scope::Global },
            metric: if family == Family::V4 { 0 } else { METRIC6_PREFIX },
            source: (family == Family::V4).then_some(own),
            next_hops: vec![hop],
            ..kernel_route(TABLE_MAIN, far)
        };
        put(netns, prefix);
    }
}

fn whole(peer: IpAddr, net: IpNet) -> IpNet {
    IpNet::new(peer, net.prefix_len()).unwrap_or(net).trunc()
}

fn put(netns: &mut Namespace, route: Route) {
    if !netns.routes.contains(&route) {
        netns.routes.push(route);
    }
}

fn disconnect_address(netns: &mut Namespace, number: LinkIndex, net: IpNet) {
    let last = netns.link(number).is_none_or(|link| !link.addresses.iter().any(|a| a.net.trunc() == net.trunc()));
    netns.routes.retain(|route| {
        let ours = route.protocol == PROTOCOL_KERNEL && route.next_hops.iter().any(|hop| hop.link == Some(number));
        let local = route.table == TABLE_LOCAL && route.destination == IpNet::from(net.addr());
        let prefix = route.table == TABLE_MAIN && route.destination == net.trunc() && last;
        !(ours && (local || prefix))
    });
    // With its last IPv4 address an interface loses all its IPv4 routes.
    let any4 = netns.link(number).is_some_and(|link| link.addresses.iter().any(|a| a.net.addr().is_ipv4()));
    if net.addr().is_ipv4() && !any4 {
        let over = |route: &Route| route.next_hops.iter().any(|hop| hop.link == Some(number));
        netns.routes.retain(|route| route.destination.addr().is_ipv6() || !over(route));
    }
    // Routes that wanted this address as their source go with its last holder.
    if netns.holder(net.addr()).is_some() {
        return;
    }
    netns.routes.retain(|route| route.protocol == PROTOCOL_KERNEL || route.source != Some(net.addr()));
}

fn kernel_route(table: u32, destination: IpNet) -> Route {
    Route {
        table,
        destination,
        from: None,
        tos: 0,
        kind: RouteKind::Unicast,
        scope: Scope::Global,
        metric: 0,
        protocol: PROTOCOL_KERNEL,
        source: None,
        next_hops: Vec::new(),
        nexthop_object: None,
        mtu: None,
    }
}

pub(super) fn route(netns: &mut Namespace, change: Change, new: &NewRoute) -> Result<(), Refusal> {
    let next_hops = new.hops.iter().map(|hop| next_hop(netns, new, hop)).collect::<Result<Vec<_>, _>>()?;
    let metric = match new.family() {
        Family::V6 if new.metric == 0 => METRIC6,
        _ => new.metric,
    };
    let same = |route: &Route| {
        let way = change != Change::Delete || next_hops.is_empty() || leads(route, &next_hops);
        route.table == new.table && route.destination == new.destination && route.metric == metric && way
    };
    let there = netns.routes.iter().position(same);
    match (change, there) {
        (Change::Delete, None) => return Err(Refusal::Missing(format!("route to {}", new.destination))),
        (Change::Add, Some(_)) => return Err(Refusal::Exists(format!("route to {}", new.destination))),
        (Change::Delete, Some(at)) => {
            netns.routes.remove(at);
            return Ok(());
        }
        (Change::Replace, Some(at)) => {
            netns.routes.remove(at);
        }
        (Change::Add | Change::Replace, None) => {}
    }
    netns.routes.push(Route {
        kind: new.kind,
        scope: new.effective_scope(),
        metric,
        protocol: new.protocol,
        source: new.source,
        next_hops,
        mtu: new.mtu,
        ..kernel_route(new.table, new.destination)
    });
    Ok(())
}

/// Whether a route leads the way that is named, as far as it is named.
fn leads(route: &Route, hops: &[NextHop]) -> bool {
    route.next_hops.len() == hops.len()
        && route.next_hops.iter().zip(hops).all(|(there, wanted)| {
            (wanted.gateway.is_none() || wanted.gateway == there.gateway)
                && (wanted.link.is_none() || wanted.link == there.link)
        })
}

/// A way of a new route: it must lead over an interface that is up, to a router that is on its link.
fn next_hop(netns: &Namespace, route: &NewRoute, hop: &Hop) -> Result<NextHop, Refusal> {
    let named = hop.dev.as_ref().map(|dev| index(netns, dev)).transpose()?;
    let reaching = |via: IpAddr| {
        let on = |link: &&crate::model::Link| link.up && link.addresses.iter().any(|a| a.net.contains(&via));
        netns.links.iter().find(on).map(|link| link.index)
    };
    let link = match (named, hop.via) {
        (Some(link), _) => link,
        (None, Some(via)) => {
            reaching(via).ok_or_else(|| Refusal::Invalid(format!("the gateway {via} is on no link")))?
        }
        (None, None) => return Err(Refusal::Invalid(format!("the route to {} leads nowhere", route.destination))),
    };
    if netns.link(link).is_some_and(|link| !link.up) {
        return Err(Refusal::Invalid("the interface of the route is down".into()));
    }
    Ok(NextHop {
        gateway: hop.via,
        link: Some(link),
        weight: hop.weight,
        on_link: hop.on_link,
        dead: false,
        link_down: false,
    })
}
