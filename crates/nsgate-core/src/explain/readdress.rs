//! The mend of an address that is missing, held twice, or none that a host can have: another one of the same network that
//! nobody holds.
//!
//! Only where every end of the wire is in sight is it known what is free; elsewhere nothing is proposed. Where a neighbour
//! remembers an address of this very interface, it is that one.

use std::net::IpAddr;

use ipnet::IpNet;

use super::mend;
use crate::model::segment::Segment;
use crate::model::{Family, Link, Namespace, Neighbour, Route, RouteKind, World};
use crate::plan::{Action, Change, NewAddress, NewRoute, Plan, Step};

/// How many addresses of a network are looked at.
const TRIED: usize = 4096;

/// A route that the kernel makes by itself (RTPROT_KERNEL).
const PROTOCOL_KERNEL: u8 = 2;

/// Gives an interface that has no usable address one of the network that it is in; an empty plan where that is not known.
pub(super) fn give(world: &World, netns: &Namespace, link: &Link, family: Family) -> Plan {
    let Some(free) = network(world, netns, link, family).and_then(|net| free(world, netns, link, net)) else {
        return Plan::default();
    };
    Plan::of(address(Change::Add, netns, link, free))
}

/// Gives an interface another address instead of `old`; of the network `net`, where it is known better than by `old`.
pub(super) fn replace(world: &World, netns: &Namespace, link: &Link, old: IpNet, net: Option<IpNet>) -> Plan {
    let Some(free) = free(world, netns, link, net.unwrap_or(old)) else { return Plan::default() };
    let (add, delete) = (address(Change::Add, netns, link, free), address(Change::Delete, netns, link, old));
    // Of two IPv4 addresses of one network the second goes with the first, and with the last one go all routes.
    let goes_with_it = old.addr().is_ipv4() && old.trunc() == free.trunc();
    let steps = if goes_with_it { [delete, add] } else { [add, delete] };
    let lost = |route: &&Route| {
        let here = route.next_hops.iter().any(|hop| hop.link == Some(link.index));
        let through = route.next_hops.iter().any(|hop| hop.gateway.is_some());
        let made = route.kind == RouteKind::Unicast && route.protocol != PROTOCOL_KERNEL;
        let same = Family::of(route.destination.addr()) == Family::of(old.addr());
        made && same && here && (route.source == Some(old.addr()) || goes_with_it && through)
    };
    let again = |route: &Route| NewRoute { source: None, ..mend::as_it_is(netns, route) };
    let routes = netns.routes.iter().filter(lost).map(again);
    let routes = routes.map(|route| Step::new(&netns.name, Action::Route(Change::Add, route)));
    Plan { steps: steps.into_iter().chain(routes).collect() }
}

/// Everybody who could hold it is seen not to: there is nothing to detect.
fn address(change: Change, netns: &Namespace, link: &Link, net: IpNet) -> Step {
    let new = NewAddress::new(link.name.clone(), net);
    let new = if change == Change::Add { new.without_dad() } else { new };
    Step::new(&netns.name, Action::Address(change, new))
}

/// The network on an interface's wire, by the addresses of the others there: the one that its routers are in, or the
/// only one.
fn network(world: &World, netns: &Namespace, link: &Link, family: Family) -> Option<IpNet> {
    let segment = Segment::of(world, netns, link);
    let mut nets: Vec<IpNet> = segment.places.iter().flat_map(|place| &place.link.addresses).map(|a| a.net).collect();
    nets.retain(|net| Family::of(net.addr()) == family && !is_link_local(net.addr()) && has_room(net));
    let hops = netns.routes.iter().flat_map(|route| &route.next_hops).filter(|hop| hop.link == Some(link.index));
    let routers: Vec<IpAddr> = hops.filter_map(|hop| hop.gateway).collect();
    let by_router = nets.iter().find(|net| routers.iter().any(|router| net.contains(router)));
    if let Some(net) = by_router {
        return Some(net.trunc());
    }
    let first = nets.first()?.trunc();
    nets.iter().all(|net| net.trunc() == first).then_some(first)
}

/// An address of a network that nobody holds, with the network's prefix length.
fn free(world: &World, netns: &Namespace, link: &Link, net: IpNet) -> Option<IpNet> {
    let segment = Segment::of(world, netns, link);
    if segment.open {
        return None;
    }
    let entries = || segment.places.iter().flat_map(|p| p.netns.neighbours.iter().map(move |entry| (p, entry)));
    let entries = || entries().filter(|(place, entry)| entry.link == place.link.index && entry.state.valid());
    let of_others = |entry: &Neighbour| entry.mac.is_some() && entry.mac != link.mac;
    let is_router = |a: IpAddr| {
        let hops = |netns: &Namespace| netns.routes.iter().any(|r| r.next_hops.iter().any(|h| h.gateway == Some(a)));
        segment.places.iter().any(|place| hops(place.netns))
    };
    let is_free = |a: &IpAddr| {
        *a != net.network()
            && !(a.is_ipv4() && has_room(&net) && *a == net.broadcast())
            && world.namespaces.iter().all(|there| there.holder(*a).is_none())
            && !entries().any(|(_, entry)| entry.address == *a && of_others(entry))
            && !is_router(*a)
    };
    let of_this = entries().filter(|(_, entry)| entry.mac.is_some() && entry.mac == link.mac);
    let known = of_this.map(|(_, entry)| entry.address).filter(|a| net.contains(a)).find(is_free);
    // The first address of a network is a router's by custom.
    let mut hosts = net.trunc().hosts().take(TRIED).filter(is_free);
    let first = net.trunc().hosts().find(|a| *a != net.network());
    let second = || hosts.find(|a| Some(*a) != first).or(first.filter(is_free));
    IpNet::new(known.or_else(second)?, net.prefix_len()).ok()
}

fn has_room(net: &IpNet) -> bool {
    net.max_prefix_len() - net.prefix_len() >= 2
}

/// Whether an address holds on its own wire only.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{Fixture, address as held};
    use crate::model::{LinkKind, NeighbourState, Peer};

    fn given(fixture: &Fixture, family: Family) -> Vec<String> {
        let netns = fixture.world.namespace(&"ns_1".parse().unwrap()).unwrap();
        give(&fixture.world, netns, netns.link_named("veth2").unwrap(), family).commands()
    }

    fn without_addresses() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.link("ns_1", "veth2").addresses.clear();
        fixture
    }

    #[test]
    fn the_next_free_address_of_the_routers_network_is_given() {
        let mut fixture = without_addresses();
        assert_eq!(given(&fixture, Family::V4), ["ip -n ns_1 addr add 1.1.1.2/24 dev veth2"]);
        assert_eq!(given(&fixture, Family::V6), ["ip -n ns_1 addr add 2001:db8:1::2/64 dev veth2 nodad"]);
        // Somebody else holds it, wherever he is.
        fixture.link("world", "w0").addresses.push(held("1.1.1.2/32"));
        assert_eq!(given(&fixture, Family::V4), ["ip -n ns_1 addr add 1.1.1.4/24 dev veth2"]);
    }

    #[test]
    fn what_a_neighbour_remembers_comes_first() {
        let mut fixture = without_addresses();
        fixture.link("ns_1", "veth2").mac = Some(nsgate_packet::Mac([2, 0, 0, 0, 0, 7]));
        let link = fixture.link("host", "veth3").index;
        let entry = |address: &str, last| Neighbour {
            link,
            address: address.parse().unwrap(),
            mac: Some(nsgate_packet::Mac([2, 0, 0, 0, 0, last])),
            state: NeighbourState::Stale,
            proxy: false,
        };
        fixture.netns("host").neighbours = vec![entry("1.1.1.9", 7), entry("1.1.1.2", 8)];
        assert_eq!(given(&fixture, Family::V4), ["ip -n ns_1 addr add 1.1.1.9/24 dev veth2"]);
        fixture.netns("host").neighbours.remove(0);
        assert_eq!(given(&fixture, Family::V4), ["ip -n ns_1 addr add 1.1.1.4/24 dev veth2"]);
    }

    #[test]
    fn nothing_is_given_where_not_everybody_is_seen() {
        let mut fixture = without_addresses();
        let uplink = fixture.link("host", "veth3");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        let wire = fixture.link("ns_1", "veth2");
        (wire.kind, wire.peer) = (LinkKind::Physical, Peer::None);
        assert!(given(&fixture, Family::V4).is_empty());
    }

    fn replaced(fixture: &Fixture, old: &str, net: Option<&str>) -> Vec<String> {
        let netns = fixture.world.namespace(&"ns_1".parse().unwrap()).unwrap();
        let link = netns.link_named("veth2").unwrap();
        replace(&fixture.world, netns, link, old.parse().unwrap(), net.map(|net| net.parse().unwrap())).commands()
    }

    #[test]
    fn another_address_comes_before_the_old_one_goes() {
        let fixture = Fixture::experiment();
        let commands = replaced(&fixture, "1.1.1.255/23", Some("1.1.1.0/24"));
        assert_eq!(
            commands,
            ["ip -n ns_1 addr add 1.1.1.4/24 dev veth2", "ip -n ns_1 addr del 1.1.1.255/23 dev veth2"]
        );
        let commands = replaced(&fixture, "2001:db8:1::2/64", None);
        let expected =
            ["ip -n ns_1 addr add 2001:db8:1::4/64 dev veth2 nodad", "ip -n ns_1 addr del 2001:db8:1::2/64 dev veth2"];
        assert_eq!(commands, expected);
    }

    #[test]
    fn routes_that_go_with_the_only_address_are_made_again() {
        let fixture = Fixture::experiment();
        let expected = [
            "ip -n ns_1 addr del 1.1.1.2/24 dev veth2",
            "ip -n ns_1 addr add 1.1.1.4/24 dev veth2",
            "ip -n ns_1 route add default via 1.1.1.3 dev veth2",
        ];
        assert_eq!(replaced(&fixture, "1.1.1.2/24", None), expected);
    }
}
