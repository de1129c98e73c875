//! How a packet would go on through a World: the request and its answer, hop by hop, until something that is configured
//! loses it for certain, or what becomes of it is not known.
//!
//! Each hop asks what the kernel would ask: the packet filter, the routing tables, the switches for forwarding and the
//! reverse path, IPsec, the wire, the neighbour. What no configuration tells (BPF, traffic control, who is out of sight)
//! ends the walk without a word.

use std::net::IpAddr;

use nsgate_packet::Ip;

use super::passage::Passage;
use super::turn::turns;
use super::{Check, Loss, filter, forwarding, link, martian, masquerade, neighbour, policy, publication};
use super::{reverse_path, route, xfrm};
use crate::filter::End;
use crate::model::segment::{Place as At, Segment};
use crate::model::{
    Family, Link, LinkKind, Listener, Namespace, Neighbour, NeighbourState, PortState, Transport, World,
};
use crate::trace::{Counters, Ending, Header, Journey, Leg, Observation, ProbeKind, Sight, Watched, Way};

/// More hops than any real way has, there and back.
const LONGEST: usize = 64;

/// What would count at a loss: a check that looks for one of these finds it wherever its own condition holds.
const COUNTED: [&str; 7] = [
    "Ip.InAddrErrors",
    "Ip6.InAddrErrors",
    "TcpExt.IPReversePathFilter",
    "IpExt.InNoRoutes",
    "Ip6.InNoRoutes",
    "Ip.OutNoRoutes",
    "Ip6.OutNoRoutes",
];

/// What loses a packet for certain where it is made or came in, in the kernel's order.
const CERTAIN: [Check; 12] = [
    filter::before_routing,
    publication::localnet,
    martian::refused,
    policy::at_the_end,
    forwarding::disabled,
    xfrm::refused,
    route::blocked,
    route::missing,
    reverse_path::refused,
    masquerade::without_address,
    filter::after_routing,
    link::in_the_way,
];

/// What would be seen of the probe up to the place where it would be lost; none where it would be answered, or where that
/// is not known.
pub(super) fn lost(world: &World, probed: &Observation) -> Option<Observation> {
    let mut imagined = nothing_seen_yet(world, probed);
    for _ in 0..LONGEST {
        match step(world, &imagined)? {
            Next::Went(sights) => imagined.journey.sights.extend(sights),
            Next::Lost => return Some(imagined),
            Next::Refused(ending) => return Some(Observation { ending, ..imagined }),
            Next::Asked(question) => {
                imagined.journey.sights.extend(question);
                return Some(imagined);
            }
        }
    }
    None
}

/// What happens next.
enum Next {
    /// It goes on, and is seen so.
    Went(Vec<Sight>),
    /// It is lost where it is.
    Lost,
    /// Its destination refuses it.
    Refused(Ending),
    /// Its next hop is asked for in vain.
    Asked(Vec<Sight>),
}

fn nothing_seen_yet(world: &World, probed: &Observation) -> Observation {
    let mut counters = Counters::default();
    for counter in COUNTED {
        counters.insert(counter, 1);
    }
    let watched = |netns: &Namespace| Watched {
        netns: netns.name.clone(),
        lost: 0,
        counters: counters.clone(),
        routers_heard: Vec::new(),
    };
    Observation {
        ending: Ending::Silence,
        journey: Journey::default(),
        kernel: Vec::new(),
        rules: Vec::new(),
        counted: Vec::new(),
        connections: Vec::new(),
        neighbour_changes: Vec::new(),
        watched: world.namespaces.iter().map(watched).collect(),
        tracked: Vec::new(),
        crowds: Vec::new(),
        neighbours: Vec::new(),
        routes: Vec::new(),
        repeated: None,
        ..probed.clone()
    }
}

fn step(world: &World, imagined: &Observation) -> Option<Next> {
    let trail = Loss::trail(world, imagined);
    let here = trail.first()?;
    let unread = |limit: &crate::model::Limit| limit.netns.as_ref().is_none_or(|netns| netns == here.here());
    if world.limits.iter().any(unread) || decided_by_programs(here.netns, here.entered()) {
        return None;
    }
    if CERTAIN.iter().any(|check| check(here).is_some()) {
        return Some(Next::Lost);
    }
    if !Passage::delivers(here) {
        return leave(here);
    }
    if here.leg == Leg::Answer {
        return None;
    }
    let passage = Passage::of(here)?;
    passage.walks.iter().all(|(_, walk)| matches!(walk.end, End::Passed)).then_some(())?;
    match taken(here) {
        Taken::Answered => {}
        Taken::Ignored => return Some(Next::Lost),
        Taken::Closed(ending) => return Some(Next::Refused(ending)),
    }
    let answer = trail.get(1)?;
    if super::answer::route_missing(answer).is_some() || CERTAIN.iter().any(|check| check(answer).is_some()) {
        return Some(Next::Lost);
    }
    leave(answer)
}

/// Whether something stands at an interface whose decision no configuration tells.
fn decided_by_programs(netns: &Namespace, link: Option<&Link>) -> bool {
    let at = |index| link.is_some_and(|link| link.index == index);
    netns.programs.iter().any(|program| at(program.link)) || netns.traffic_filters.iter().any(|filter| at(filter.link))
}

/// What the destination makes of the request.
enum Taken {
    Answered,
    Ignored,
    Closed(Ending),
}

fn taken(loss: &Loss<'_>) -> Taken {
    let (transport, port) = match loss.observation.probe.kind {
        ProbeKind::Icmp if super::answer::echo_ignored(loss).is_some() => return Taken::Ignored,
        ProbeKind::Icmp => return Taken::Answered,
        ProbeKind::Tcp(port) => (Transport::Tcp, port),
        ProbeKind::Udp(port) => (Transport::Udp, port),
    };
    let port = loss.header().and_then(|header| header.destination_port).unwrap_or(port);
    let serves = |l: &Listener| {
        let all = l.address.is_unspecified() && (l.address.is_ipv4() == loss.destination.is_ipv4() || !l.only_v6);
        l.transport == transport && l.port == port && (l.address == loss.destination || all)
    };
    if loss.netns.listeners.iter().any(serves) {
        return Taken::Answered;
    }
    let (icmp_type, code) = if loss.destination.is_ipv4() { (3, 3) } else { (1, 4) };
    Taken::Closed(match transport {
        Transport::Tcp => Ending::Reset,
        Transport::Udp => Ending::IcmpError { from: loss.destination, icmp_type, code, mtu: None },
    })
}

/// The packet leaves the namespace, to whoever holds the next hop's address.
fn leave(loss: &Loss<'_>) -> Option<Next> {
    let passage = Passage::of(loss)?;
    let passed = passage.walks.iter().all(|(_, walk)| matches!(walk.end, End::Passed));
    let (_, last) = passage.walks.last().filter(|_| passed)?;
    let route = passage.route.as_ref()?;
    let out = loss.netns.link(route.link()?)?;
    let mut bytes = last.after.packet.clone();
    let ip = Ip::parse(&bytes)?;
    let next_hop = route.gateway().unwrap_or(ip.destination);
    if decided_by_programs(loss.netns, Some(out)) || out.kind == LinkKind::Loopback {
        return None;
    }
    if let Some(own) = answers_as(loss, ip.source) {
        let mut back = last.after.clone();
        back.send_from(own);
        bytes = back.packet;
    }
    let header = crate::trace::header(&Ip::parse(&bytes)?);
    let segment = Segment::of(loss.world, loss.netns, out);
    let elsewhere = |place: &At<'_>| place.netns.name != *loss.here() || place.link.index != out.index;
    let sight = |place: At<'_>, way, macs| Sight {
        time: loss.last.map_or(1, |last| last.time + 1),
        netns: place.netns.name.clone(),
        link: place.link.index,
        way,
        leg: loss.leg,
        header: Header { macs, ..header.clone() },
        bytes: bytes.clone(),
        ethernet: None,
        tunnel: None,
    };
    let Some(to) = segment.holders(next_hop).find(elsewhere) else {
        return (!segment.open).then(|| Next::Asked(question(loss, out, next_hop, &segment)));
    };
    let way = segment.way_to(&to.netns.name, to.link.index);
    if way.iter().any(|place| place.link.mtu < header.length) || !carries(&way) {
        return None;
    }
    let from = At { netns: loss.netns, link: out };
    let entry = |n: &&Neighbour| n.link == out.index && n.address == next_hop && !n.proxy;
    let known = loss.netns.neighbours.iter().find(entry).filter(|entry| entry.state.valid());
    match known.map(|entry| (entry.mac, entry.state)) {
        // A frame to the wrong address is not taken.
        Some((Some(wrong), NeighbourState::Permanent)) if to.link.mac.is_some_and(|right| right != wrong) => {
            Some(Next::Asked(vec![sight(from, Way::Out, out.mac.map(|own| (own, wrong)))]))
        }
        None if neighbour::never_answers(to.netns, to.link, next_hop) => {
            Some(Next::Asked(question(loss, out, next_hop, &segment)))
        }
        _ => Some(Next::Went(vec![sight(from, Way::Out, None), sight(to, Way::In, None)])),
    }
}

/// The address that the answer bears once it leaves this namespace, where the request's destination was translated here.
fn answers_as(loss: &Loss<'_>, source: IpAddr) -> Option<IpAddr> {
    if loss.leg != Leg::Answer || loss.entered().is_none() {
        return None;
    }
    let turns = turns(loss.world, &loss.observation.journey, Leg::Request);
    let turn = turns.into_iter().find(|turn| turn.netns.name == *loss.here())?;
    let (entered, left) = (turn.entered?, turn.left?);
    (left.header.destination == source && entered.header.destination != source).then_some(entered.header.destination)
}

/// Whether frames pass from the first of these interfaces to the last.
fn carries(way: &[At<'_>]) -> bool {
    let isolated = |place: &&At<'_>| place.link.port.as_ref().is_some_and(|port| port.isolated);
    way.iter().all(carries_on) && way.iter().filter(isolated).count() < 2
}

/// Whether an interface passes frames on, whatever they are. What filters there, or tells VLANs apart, may not.
fn carries_on(place: &At<'_>) -> bool {
    let At { netns, link } = place;
    let forwards = link.port.as_ref().is_none_or(|port| port.state == PortState::Forwarding);
    let plain = match &link.kind {
        LinkKind::Bridge(bridge) => {
            !bridge.vlan_filtering && !bridge.filters_ipv4 && !bridge.filters_ipv6 && !filters_frames(netns)
        }
        _ => !decided_by_programs(netns, Some(link)),
    };
    link.up && link.carrier && forwards && plain
}

fn filters_frames(netns: &Namespace) -> bool {
    use crate::model::ruleset::TableFamily;
    let switched = ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"];
    switched.iter().any(|name| netns.sysctls.number(name).is_some_and(|value| value != 0))
        || netns.ruleset.of_both_engines().any(|table| table.family == TableFamily::Bridge)
}

/// The question for a next hop, as it goes out and as it comes in wherever it can be heard.
fn question(loss: &Loss<'_>, out: &Link, asked: IpAddr, segment: &Segment<'_>) -> Vec<Sight> {
    let own = out.addresses.iter().map(|a| a.net.addr()).find(|a| Family::of(*a) == Family::of(asked));
    let source = own.or(loss.source).unwrap_or(asked);
    let text = format!("who has {asked}? tell {source}");
    let header = Header {
        source,
        destination: asked,
        source_port: None,
        destination_port: None,
        protocol: 0,
        ttl: 0,
        length: 0,
        macs: None,
        reset: false,
        segment: None,
        text,
    };
    let places = segment.places.iter().map(|place| {
        let asker = place.netns.name == *loss.here() && place.link.index == out.index;
        Sight {
            time: loss.last.map_or(1, |last| last.time + 1),
            netns: place.netns.name.clone(),
            link: place.link.index,
            way: if asker { Way::Out } else { Way::In },
            leg: Leg::Question,
            header: header.clone(),
            bytes: Vec::new(),
            ethernet: None,
            tunnel: None,
        }
    });
    places.collect()
}
