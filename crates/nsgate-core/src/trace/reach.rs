//! Which namespaces a probe can meet, so that the others need not be read whole.
//!
//! The interfaces and addresses of all must be known. One that hangs on a single wire passes nothing on: it is met only
//! if the probe is for an address of its own, is translated to one, is handed to one as the next hop, or leaves by that
//! wire. All others that wires lead to are met, since nobody knows beforehand which way the probe goes.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use super::{Probe, planned_path};
use crate::model::ruleset::{Data, Expression};
use crate::model::{LinkKind, Namespace, NetnsName, Peer, World};

/// The namespaces that the probe can meet, by what is known so far.
///
/// Translations and next hops are taken from those that have been read whole; once more has been read there may be more
/// of them.
pub fn can_meet(world: &World, probe: &Probe) -> BTreeSet<NetnsName> {
    let Some(from) = world.namespaces.iter().position(|n| n.name == probe.from || n.aliases.contains(&probe.from))
    else {
        return BTreeSet::new();
    };
    let wiring = Wiring::of(world);
    let mut met = wiring.passed_on(from);
    let mut called: HashSet<IpAddr> = probe.source.into_iter().chain([probe.destination]).collect();
    for place in &met {
        let netns = &world.namespaces[*place];
        called.extend(next_hops(netns).chain(translated_to(netns)));
    }
    let holds = |netns: &Namespace| {
        netns.links.iter().flat_map(|link| &link.addresses).any(|address| called.contains(&address.net.addr()))
    };
    met.extend((0..world.namespaces.len()).filter(|place| holds(&world.namespaces[*place])));
    for stop in planned_path(world, &probe.from, probe.source, probe.destination) {
        let link = world.namespace(&stop.netns).zip(stop.left).and_then(|(netns, link)| netns.link(link));
        if let Some(Peer::There(there, _)) = link.map(|link| &link.peer) {
            met.extend(wiring.places.get(there));
        }
    }
    met.into_iter().map(|place| world.namespaces[place].name.clone()).collect()
}

/// Who is wired to whom; a namespace is its place in the World.
struct Wiring<'a> {
    places: HashMap<&'a NetnsName, usize>,
    wired: Vec<BTreeSet<usize>>,
    /// Whether it hangs on one wire at the most.
    leaf: Vec<bool>,
}

impl<'a> Wiring<'a> {
    fn of(world: &'a World) -> Self {
        let named = |(place, netns): (usize, &'a Namespace)| (&netns.name, place);
        let places: HashMap<_, _> = world.namespaces.iter().enumerate().map(named).collect();
        let mut wired = vec![BTreeSet::new(); world.namespaces.len()];
        for (place, netns) in world.namespaces.iter().enumerate() {
            for link in &netns.links {
                let Peer::There(there, _) = &link.peer else { continue };
                // Of a stacked device, only one end tells.
                if let Some(there) = places.get(there).copied() {
                    wired[place].insert(there);
                    wired[there].insert(place);
                }
            }
        }
        let leaf = world.namespaces.iter().map(|netns| exits(netns) < 2).collect();
        Self { places, wired, leaf }
    }

    /// Where the probe starts, and everything that wires lead to from there and that may pass packets on.
    fn passed_on(&self, from: usize) -> BTreeSet<usize> {
        let mut passed = BTreeSet::from([from]);
        let mut waiting = VecDeque::from([from]);
        while let Some(place) = waiting.pop_front() {
            for there in self.wired[place].iter().filter(|there| !self.leaf[**there]) {
                if passed.insert(*there) {
                    waiting.push_back(*there);
                }
            }
        }
        passed
    }
}

/// How many interfaces a packet could leave by: those that are up, or a wire to somewhere.
fn exits(netns: &Namespace) -> usize {
    let is_exit = |kind: &LinkKind, up: bool, peer: &Peer| *kind != LinkKind::Loopback && (up || *peer != Peer::None);
    netns.links.iter().filter(|link| is_exit(&link.kind, link.up, &link.peer)).count()
}

fn next_hops(netns: &Namespace) -> impl Iterator<Item = IpAddr> {
    netns.routes.iter().flat_map(|route| &route.next_hops).filter_map(|hop| hop.gateway)
}

/// All addresses that rules and maps hold as a value: those that packets are translated to are among them.
fn translated_to(netns: &Namespace) -> impl Iterator<Item = IpAddr> {
    let tables = || netns.ruleset.of_both_engines();
    let rules = tables().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let by_rules = rules.flat_map(|rule| &rule.expressions).flat_map(|expression| match expression {
        Expression::Immediate { data: Data::Value(value), .. } => addresses_in(value),
        Expression::XtTarget { name, info, .. } if name == "DNAT" => addresses_in(info),
        _ => Vec::new(),
    });
    let elements = tables().flat_map(|table| &table.sets).flat_map(|set| &set.elements);
    let by_maps = elements.flat_map(|element| match &element.data {
        Some(Data::Value(value)) => addresses_in(value),
        _ => Vec::new(),
    });
    by_rules.chain(by_maps)
}

/// What may be addresses in some bytes; too many do no harm.
fn addresses_in(bytes: &[u8]) -> Vec<IpAddr> {
    let words = (0..bytes.len()).step_by(4);
    let read = |at: usize| {
        let short = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).map(IpAddr::from);
        let long = bytes.get(at..at + 16).and_then(|sixteen| <[u8; 16]>::try_from(sixteen).ok()).map(IpAddr::from);
        [short, long]
    };
    words.flat_map(read).flatten().filter(|address| !address.is_unspecified()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::model::{Link, LinkIndex};

    /// The experiment with ten more members behind the gateway, tenant-0 to tenant-9, and one namespace for itself.
    fn crowded() -> Fixture {
        let mut fixture = Fixture::experiment();
        let model = fixture.world.namespaces[1].clone();
        for n in 0..10u8 {
            let mut tenant = Namespace { links: Vec::new(), inode: 100 + u64::from(n), ..model.clone() };
            tenant.name = format!("tenant-{n}").parse().unwrap();
            for link in &model.links {
                let mut link = Link { addresses: Vec::new(), ..link.clone() };
                if let Peer::There(_, index) = &mut link.peer {
                    *index = LinkIndex(50 + u32::from(n));
                    let mut address = *model.links.iter().flat_map(|l| &l.addresses).next().unwrap();
                    address.net = format!("10.7.{n}.2/24").parse().unwrap();
                    link.addresses.push(address);
                    let wire = Link {
                        index: LinkIndex(50 + u32::from(n)),
                        name: format!("t{n}").parse().unwrap(),
                        peer: Peer::There(tenant.name.clone(), link.index),
                        ..link.clone()
                    };
                    fixture.netns("host").links.push(Link { addresses: Vec::new(), ..wire });
                }
                tenant.links.push(link);
            }
            fixture.world.namespaces.push(tenant);
        }
        let alone = Namespace { links: Vec::new(), name: "alone".parse().unwrap(), ..model };
        fixture.world.namespaces.push(alone);
        fixture
    }

    fn met(fixture: &Fixture) -> Vec<String> {
        can_meet(&fixture.world, &fixture.observation.probe).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn members_that_the_probe_is_not_for_are_left_out() {
        let mut fixture = crowded();
        assert_eq!(met(&fixture), ["host", "ns_1", "world"]);
        fixture.observation.probe.destination = "10.7.4.2".parse().unwrap();
        // The way to the world is the next hop of a route.
        assert_eq!(met(&fixture), ["host", "ns_1", "tenant-4", "world"]);
        fixture.observation.probe.from = "nowhere".parse().unwrap();
        assert_eq!(met(&fixture), Vec::<String>::new());
    }

    #[test]
    fn a_member_that_packets_are_translated_to_is_met() {
        let mut fixture = crowded();
        fixture.netns("host").ruleset = Ruleset::from_text(
            "add table ip nat\nadd chain ip nat services\n\
             add rule ip nat services tcp dport 80 dnat to 10.7.3.2",
        )
        .unwrap();
        assert_eq!(met(&fixture), ["host", "ns_1", "tenant-3", "world"]);
    }

    #[test]
    fn a_member_with_a_second_way_out_may_pass_it_on() {
        let mut fixture = crowded();
        let tenant = fixture.netns("tenant-8");
        let second = tenant.links.iter().find(|link| link.peer != Peer::None).unwrap();
        let second = Link { index: LinkIndex(77), peer: Peer::Hidden(LinkIndex(1)), ..second.clone() };
        tenant.links.push(second);
        assert_eq!(met(&fixture), ["host", "ns_1", "tenant-8", "world"]);
    }

    #[test]
    fn whoever_the_probe_is_sent_to_by_mistake_is_met() {
        let mut fixture = crowded();
        for route in &mut fixture.netns("host").routes {
            for hop in route.next_hops.iter_mut().filter(|hop| hop.link == Some(LinkIndex(3))) {
                hop.link = Some(LinkIndex(55));
            }
        }
        assert_eq!(met(&fixture), ["host", "ns_1", "tenant-5", "world"]);
    }

    #[test]
    fn addresses_are_found_in_the_parameters_of_extensions() {
        let info = [0, 0, 0, 1, 10, 7, 3, 2, 0, 0, 0, 0];
        assert!(addresses_in(&info).contains(&"10.7.3.2".parse().unwrap()));
        let long: Vec<u8> =
            [0u8; 4].into_iter().chain("fd00::7".parse::<std::net::Ipv6Addr>().unwrap().octets()).collect();
        assert!(addresses_in(&long).contains(&"fd00::7".parse().unwrap()));
    }
}
