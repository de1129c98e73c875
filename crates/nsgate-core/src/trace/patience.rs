//! How long it is worth waiting for an answer that has not come.
//!
//! Inside one kernel a packet takes microseconds. Where every wire that the probe came to leads only to where we look,
//! and nothing on its way holds packets back, silence means that it is lost; where somebody told that he threw it away,
//! all the sooner. Wherever an answer may still come from out of sight, from a program or out of a queue, there is no
//! end but the one that was asked for.

use std::net::IpAddr;

use super::{Journey, KernelEvent, Leg, NeighbourEvent, Probe, ProbeKind, RuleEvent, Sight, Way};
use crate::model::lookup::{Query, look_up};
use crate::model::ruleset::Expression;
use crate::model::segment::Segment;
use crate::model::{Namespace, NeighbourState, NetnsName, QdiscKind, Transport, World};

/// What is known of a probe that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Underway<'a> {
    /// What was sent.
    pub probe: &'a Probe,
    /// When, in nanoseconds of the kernel's real-time clock; of several the last.
    pub sent: u64,
    /// What was seen so far.
    pub journey: &'a Journey,
    /// What the kernel told so far.
    pub kernel: &'a [KernelEvent],
    /// What the traces of the packet filters told so far.
    pub rules: &'a [RuleEvent],
    /// What the neighbour tables told so far.
    pub neighbours: &'a [NeighbourEvent],
    /// Whether there are two attempts, so that one of them may be given up sooner.
    pub twice: bool,
    /// The namespaces that are watched.
    pub watched: &'a [NetnsName],
}

/// A thousandth of a second.
const MILLISECOND: u64 = 1_000_000;
/// How long a drop that was told needs to show in what else it causes: a refusal, an error.
const AFTER_A_DROP: u64 = 20 * MILLISECOND;
/// How long nothing has to happen inside one kernel, also on a busy machine, before nothing will.
const AFTER_SILENCE: u64 = 100 * MILLISECOND;

/// The moment from which on nothing can come any more, unless something happens before; none: something always can.
///
/// In nanoseconds of the kernel's real-time clock.
pub fn over_at(world: &World, underway: &Underway<'_>) -> Option<u64> {
    if stands(underway) {
        return None;
    }
    let last_sight = packets(underway.journey).max_by_key(|sight| sight.time);
    let last = last_sight.map_or(underway.sent, |sight| sight.time.max(underway.sent));
    if given_up(world, underway, last_sight) {
        return Some(last + AFTER_A_DROP);
    }
    let request_is_out = out_of_sight(world, underway, Leg::Request);
    let coming_back = underway.journey.of(Leg::Answer).any(|sight| !sight.header.reset);
    let in_sight = if coming_back { !out_of_sight(world, underway, Leg::Answer) } else { !request_is_out };
    if !in_sight {
        return None;
    }
    match dropped(underway, last_sight) {
        Some(time) => Some(last.max(time) + AFTER_A_DROP),
        None if may_be_held(world, underway, last_sight) => None,
        None if underway.twice => Some(last + AFTER_SILENCE),
        None => Some(last + 2 * AFTER_SILENCE),
    }
}

/// Whether it is a connection that stands and has data to carry: lost segments are sent again, smaller ones if need be.
fn stands(underway: &Underway<'_>) -> bool {
    let Underway { probe, journey, .. } = underway;
    let came_home = journey.of(Leg::Answer).any(|sight| sight.netns == probe.from && !sight.header.reset);
    probe.kind.is_connection() && probe.size > 0 && came_home
}

/// The sights of the probe and its answer.
fn packets(journey: &Journey) -> impl Iterator<Item = &Sight> {
    journey.sights.iter().filter(|sight| matches!(sight.leg, Leg::Request | Leg::Answer))
}

/// Whether a leg was seen to leave by an interface from which a frame may go where nobody looks.
fn out_of_sight(world: &World, underway: &Underway<'_>, leg: Leg) -> bool {
    underway.journey.of(leg).filter(|sight| sight.way == Way::Out).any(|sight| !is_watched_wire(world, underway, sight))
}

/// Whether everything that a frame can reach from where it was seen is watched.
fn is_watched_wire(world: &World, underway: &Underway<'_>, sight: &Sight) -> bool {
    let place = world.namespace(&sight.netns).and_then(|netns| Some((netns, netns.link(sight.link)?)));
    let Some((netns, link)) = place else { return false };
    let segment = Segment::of(world, netns, link);
    let watched =
        |netns: &Namespace| underway.watched.iter().any(|name| netns.name == *name || netns.aliases.contains(name));
    !segment.open && segment.places.iter().all(|place| watched(place.netns))
}

/// When somebody told that he threw away the packet that was seen last; 0 where no time is told.
fn dropped(underway: &Underway<'_>, last: Option<&Sight>) -> Option<u64> {
    let Underway { probe, kernel, rules, .. } = underway;
    let seen = last.map_or(0, |sight| sight.time);
    let here = last.map_or(&probe.from, |sight| &sight.netns);
    let by_kernel = kernel
        .iter()
        .filter(|event| event.time >= seen && event.is_loss())
        .filter(|event| event.packet().as_ip().is_some_and(|ip| probe.kind.is_of(&ip)))
        .map(|event| event.time);
    let by_rule = rules
        .iter()
        .filter(|event| event.netns == *here && event.is_loss())
        .filter(|event| event.packet().as_ip().is_some_and(|ip| probe.kind.is_of(&ip)))
        .map(|_| 0);
    by_kernel.chain(by_rule).max()
}

/// Whether something may hold the packet, or its answer, for a while: a queue, a program, a neighbour that is being
/// looked for.
fn may_be_held(world: &World, underway: &Underway<'_>, last: Option<&Sight>) -> bool {
    let mut names: Vec<&NetnsName> = underway.journey.sights.iter().map(|sight| &sight.netns).collect();
    names.push(&underway.probe.from);
    names.sort();
    names.dedup();
    // What is not known may hold anything.
    let held = |name| world.namespace(name).is_none_or(|netns| delays(netns) || hands_out(netns));
    names.into_iter().any(held) || may_be_served(world, underway, last) || may_be_resolved(world, underway, last)
}

/// Whether a queueing discipline of the namespace lets packets wait.
fn delays(netns: &Namespace) -> bool {
    netns.qdiscs.iter().any(|qdisc| match &qdisc.kind {
        QdiscKind::Tbf { .. } | QdiscKind::Htb { .. } => true,
        QdiscKind::Other(kind) => !matches!(kind.as_str(), "fq" | "mq" | "pfifo_fast" | "sfq" | "noop"),
        _ => false,
    })
}

/// Whether a rule of the namespace may hand packets to a program, which decides when it likes.
fn hands_out(netns: &Namespace) -> bool {
    let mut rules = netns.ruleset.of_both_engines().flat_map(|table| table.chains.iter().flat_map(|c| &c.rules));
    rules.any(|rule| {
        rule.expressions.iter().any(|expression| match expression {
            Expression::Queue { .. } => true,
            Expression::XtTarget { name, .. } => matches!(name.as_str(), "NFQUEUE" | "QUEUE"),
            _ => false,
        })
    })
}

/// Whether a program got a datagram and may take its time to answer. The kernel itself answers at once.
fn may_be_served(world: &World, underway: &Underway<'_>, last: Option<&Sight>) -> bool {
    let ProbeKind::Udp(_) = underway.probe.kind else { return false };
    let Some(sight) = last.filter(|sight| sight.leg == Leg::Request && sight.way == Way::In) else { return false };
    world
        .namespace(&sight.netns)
        .is_none_or(|netns| netns.listeners.iter().any(|listener| listener.transport == Transport::Udp))
}

/// Whether the next hop is being looked for, where somebody may be slow to answer or was asked before we looked.
fn may_be_resolved(world: &World, underway: &Underway<'_>, last: Option<&Sight>) -> bool {
    let asked = |sight: &&Sight| sight.leg == Leg::Question && sight.way == Way::Out;
    let answered = |question: &Sight| {
        let about = |sight: &Sight| (sight.netns == question.netns, sight.link, sight.header.destination);
        underway.journey.of(Leg::Reply).any(|reply| reply.way == Way::In && about(reply) == about(question))
    };
    let mut in_vain = underway.journey.sights.iter().filter(asked).filter(|question| !answered(question));
    if in_vain.any(|question| !is_watched_wire(world, underway, question)) {
        return true;
    }
    let here = last.map_or(&underway.probe.from, |sight| &sight.netns);
    let Some(netns) = world.namespace(here) else { return true };
    let Some(next_hop) = next_hop(netns, underway, last) else { return false };
    let looked_for = netns.neighbours.iter().any(|neighbour| {
        neighbour.address == next_hop && neighbour.state == NeighbourState::Incomplete && !neighbour.proxy
    });
    let seen = underway.journey.sights.iter().filter(asked).any(|sight| sight.header.destination == next_hop);
    looked_for && !seen
}

/// Whether the kernel gave up the neighbour that the packet waited for where it was seen last.
fn given_up(world: &World, underway: &Underway<'_>, last: Option<&Sight>) -> bool {
    let here = last.map_or(&underway.probe.from, |sight| &sight.netns);
    let Some(netns) = world.namespace(here) else { return false };
    let Some(next_hop) = next_hop(netns, underway, last) else { return false };
    let about = |event: &&NeighbourEvent| event.netns == netns.name && event.neighbour.address == next_hop;
    underway.neighbours.iter().rfind(about).is_some_and(NeighbourEvent::is_failure)
}

/// Whom the packet is to be handed to by the namespace where it was seen last; none if it has left it.
fn next_hop(netns: &Namespace, underway: &Underway<'_>, last: Option<&Sight>) -> Option<IpAddr> {
    let query = match last {
        Some(sight) if sight.way == Way::In => {
            Query::passing(sight.header.source, sight.header.destination, sight.link)
        }
        Some(_) => return None,
        None => Query::from_here(underway.probe.source, underway.probe.destination),
    };
    Some(look_up(netns, &query).gateway().unwrap_or(query.destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{Fixture, kernel_event, name};
    use crate::model::{Handle, Link, LinkIndex, LinkKind, Listener, Neighbour, Peer, Qdisc, QueueCounts};
    use crate::trace::{Change, DropReason, KernelEventKind};

    const SENT: u64 = 1000 * MILLISECOND;
    /// For how many milliseconds after it was sent the probe is waited for.
    fn patience(fixture: &Fixture) -> Option<u64> {
        let observation = &fixture.observation;
        let watched: Vec<NetnsName> = observation.watched.iter().map(|watched| watched.netns.clone()).collect();
        let underway = Underway {
            probe: &observation.probe,
            sent: SENT,
            journey: &observation.journey,
            kernel: &observation.kernel,
            rules: &observation.rules,
            neighbours: &observation.neighbour_changes,
            twice: !observation.probe.kind.is_connection(),
            watched: &watched,
        };
        over_at(&fixture.world, &underway).map(|time| (time - SENT) / MILLISECOND)
    }

    fn at_the_gateway() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture
    }

    #[test]
    fn silence_within_sight_means_a_loss() {
        assert_eq!(patience(&Fixture::experiment()), Some(100), "it was seen nowhere");
        assert_eq!(patience(&at_the_gateway()), Some(100));
        let mut unwatched = at_the_gateway();
        unwatched.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        assert_eq!(patience(&unwatched), Some(100), "eth2 leads to a namespace that is watched");
        unwatched.observation.watched.retain(|watched| watched.netns.as_str() != "world");
        assert_eq!(patience(&unwatched), None);
    }

    #[test]
    fn what_left_the_machine_may_come_back_any_time() {
        let mut fixture = at_the_gateway();
        let uplink = fixture.link("host", "eth2");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        assert_eq!(patience(&fixture), Some(100), "it has not left yet");
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        assert_eq!(patience(&fixture), None);
        fixture.seen(Leg::Answer, "114.114.114.114", "10.20.30.182", &["host:eth2<"]);
        assert_eq!(patience(&fixture), Some(100), "it came back, and went no further");
    }

    #[test]
    fn a_drop_that_is_told_ends_the_wait_unless_it_went_on() {
        let reason = DropReason::Named("NETFILTER_DROP".into());
        let dropped = kernel_event(KernelEventKind::Dropped { reason, symbol: None });
        let mut fixture = at_the_gateway();
        fixture.observation.kernel = vec![KernelEvent { time: SENT + 5 * MILLISECOND, ..dropped }];
        assert_eq!(patience(&fixture), Some(25));
        fixture.observation.journey.sights[1].time = SENT + 6 * MILLISECOND;
        assert_eq!(patience(&fixture), Some(106), "a copy went on");
        fixture.observation.kernel[0].bytes[9] = 17;
        fixture.observation.journey.sights[1].time = 1;
        assert_eq!(patience(&fixture), Some(100), "another packet");
    }

    #[test]
    fn queues_programs_and_slow_neighbours_are_waited_for() {
        let mut queue = at_the_gateway();
        queue.netns("host").qdiscs.push(Qdisc {
            link: LinkIndex(3),
            handle: Handle(1),
            parent: Handle::ROOT,
            kind: QdiscKind::Other("netem".into()),
            counts: QueueCounts::default(),
        });
        assert_eq!(patience(&queue), None);

        let mut service = Fixture::experiment().probing(ProbeKind::Udp(53));
        service.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        service.seen(Leg::Request, "1.1.1.2", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        assert_eq!(patience(&service), Some(100), "nobody is there to answer");
        service.netns("world").listeners.push(Listener {
            transport: Transport::Udp,
            address: "0.0.0.0".parse().unwrap(),
            port: 53,
            only_v6: false,
            link: None,
            queued: 0,
            queue_limit: 0,
            control_group: None,
        });
        assert_eq!(patience(&service), None);

        let mut neighbour = Fixture::experiment();
        let link: &Link = neighbour.link("ns_1", "veth2");
        let entry = Neighbour {
            link: link.index,
            address: "1.1.1.3".parse().unwrap(),
            mac: None,
            state: NeighbourState::Incomplete,
            proxy: false,
        };
        neighbour.netns("ns_1").neighbours.push(entry);
        assert_eq!(patience(&neighbour), None, "it was asked for before");
        neighbour.seen(Leg::Question, "1.1.1.2", "1.1.1.3", &["ns_1:veth2>"]);
        assert_eq!(patience(&neighbour), Some(100), "it would have answered");
        neighbour.link("ns_1", "veth2").peer = Peer::Hidden(LinkIndex(9));
        assert_eq!(patience(&neighbour), None, "who knows who is there");
    }

    #[test]
    fn a_neighbour_that_the_kernel_gave_up_ends_the_wait() {
        let mut fixture = at_the_gateway();
        fixture.seen(Leg::Question, "10.20.30.182", "10.20.30.1", &["host:eth2>"]);
        let uplink = fixture.link("host", "eth2");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        assert_eq!(patience(&fixture), None, "whoever is out there may be slow");
        let mut told = |address: &str, state| {
            let address = address.parse().unwrap();
            let neighbour = Neighbour { link: LinkIndex(3), address, mac: None, state, proxy: false };
            let event = NeighbourEvent { netns: name("host"), change: Change::Updated, neighbour };
            fixture.observation.neighbour_changes.push(event);
            patience(&fixture)
        };
        assert_eq!(told("10.20.30.9", NeighbourState::Failed), None, "somebody else");
        assert_eq!(told("10.20.30.1", NeighbourState::Incomplete), None);
        assert_eq!(told("10.20.30.1", NeighbourState::Failed), Some(20));
        assert_eq!(told("10.20.30.1", NeighbourState::Reachable), None, "it came after all");
        assert_eq!(told("10.20.30.1", NeighbourState::Failed), Some(20));
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        assert_eq!(patience(&fixture), None, "it has left");
    }

    #[test]
    fn a_connection_that_stands_sends_again_what_is_lost() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(80));
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Answer, "114.114.114.114", "1.1.1.2", &["ns_1:veth2<"]);
        assert_eq!(patience(&fixture), Some(200));
        fixture.observation.probe.size = 100;
        assert_eq!(patience(&fixture), None);
    }
}
