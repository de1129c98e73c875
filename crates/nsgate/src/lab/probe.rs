//! Steps that send packets and watch for them on several interfaces at once.

use std::time::Duration;

use anyhow::Result;
use nsgate_core::model::{LinkIndex, NetnsName};
use nsgate_core::trace::{self, Ending, Header, Journey, Leg, Observation, Sight};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::rtnetlink::index_of;
use nsgate_observe::Watch as Observer;

use super::file::Interface;
use super::{Observed, Outcome, Probe, Probed, Seen, Watch};

/// Sends the probes, one right after the other, and gathers what becomes of them.
pub(super) fn send(probe: &Probe) -> Result<(Observed, Option<String>)> {
    let places = probe.watch.iter().map(|watch| index(&watch.at)).collect::<Result<Vec<_>>>()?;
    let observation = observe(probe)?;
    let sights: Vec<Vec<&Sight>> =
        probe.watch.iter().zip(places).map(|(watch, link)| sights_at(&observation, &watch.at.netns, link)).collect();
    let seen = probe.watch.iter().zip(&sights).map(|(watch, sights)| Seen {
        at: watch.at.clone(),
        packets: sights.len(),
        packet: sights.first().map(|sight| short(&sight.header)),
    });
    let probed = Probed {
        sent: probe.count,
        outcome: outcome(&observation.ending),
        round_trip: round_trip(&observation.journey, &probe.from),
        refusal: refusal(&observation.ending),
        seen: seen.collect(),
        waited: Duration::from_millis(if observation.ending == Ending::Silence { observation.waited } else { 0 }),
    };
    let problem = wrong_outcome(probe, probed.outcome).or_else(|| {
        let mut pairs = probe.watch.iter().zip(&sights);
        pairs.find_map(|(watch, sights)| wrong_sight(watch, sights))
    });
    Ok((Observed::Probed(probed), problem))
}

/// Sends the probes while their namespaces are watched.
fn observe(probe: &Probe) -> Result<Observation> {
    let packet = trace::Probe {
        from: probe.from.clone(),
        destination: probe.to,
        kind: probe.kind,
        size: probe.size.unwrap_or(probe.kind.usual_size()),
        source: None,
        dont_fragment: probe.dont_fragment,
    };
    let mut namespaces: Vec<NetnsName> = probe.watch.iter().map(|watch| watch.at.netns.clone()).collect();
    namespaces.dedup();
    let mut watch = Observer::set(&packet, &namespaces)?;
    for _ in 0..probe.count {
        watch.send();
    }
    watch.collect(Duration::from_millis(probe.wait_milliseconds));
    Ok(watch.finish()?)
}

fn index(Interface { netns, dev }: &Interface) -> Result<LinkIndex> {
    Ok(Netns::open(netns)?.run(|| index_of(&mut Socket::open(Protocol::Route)?, dev))??)
}

/// The probes as an interface saw them. Of a connection only its opening counts.
fn sights_at<'a>(observation: &'a Observation, netns: &NetnsName, link: LinkIndex) -> Vec<&'a Sight> {
    let here = observation.journey.of(Leg::Request).filter(|sight| sight.netns == *netns && sight.link == link);
    let most = if observation.probe.kind.is_connection() { 1 } else { usize::MAX };
    here.take(most).collect()
}

/// A packet as far as a lab speaks of it.
fn short(header: &Header) -> String {
    let Header { source, destination, ttl, .. } = header;
    format!("{source} > {destination}, ttl {ttl}")
}

fn outcome(ending: &Ending) -> Outcome {
    match ending {
        Ending::Answered => Outcome::Answered,
        Ending::Silence | Ending::Unanswered { .. } => Outcome::Lost,
        Ending::Refused { .. } | Ending::Reset | Ending::IcmpError { .. } => Outcome::Refused,
    }
}

fn refusal(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Answered | Ending::Silence | Ending::Unanswered { .. } => None,
        Ending::Refused { operation, words, .. } => Some(format!("{operation}: {words}")),
        Ending::Reset => Some("connection refused".into()),
        Ending::IcmpError { from, icmp_type, code, .. } => {
            Some(format!("ICMP type {icmp_type} code {code} from {from}"))
        }
    }
}

/// The time from the probe's leaving its namespace to the answer's coming in.
fn round_trip(journey: &Journey, from: &NetnsName) -> Option<Duration> {
    let left = journey.of(Leg::Request).find(|sight| sight.netns == *from)?;
    let came = journey.of(Leg::Answer).rfind(|sight| sight.netns == *from)?;
    Some(Duration::from_nanos(came.time.checked_sub(left.time)?))
}

fn wrong_outcome(probe: &Probe, outcome: Outcome) -> Option<String> {
    (outcome != probe.expect).then(|| format!("the probe was {}, it should be {}", outcome.word(), probe.expect.word()))
}

fn wrong_sight(watch: &Watch, sights: &[&Sight]) -> Option<String> {
    if sights.len() != watch.packets {
        return Some(format!("{} saw {} of the packets, it should see {}", watch.at, sights.len(), watch.packets));
    }
    sights.iter().find_map(|sight| {
        let (source, destination) = (sight.header.source, sight.header.destination);
        if watch.source.is_some_and(|wanted| wanted != source) {
            return Some(format!(
                "at {} the packet comes from {source}, it should come from another address",
                watch.at
            ));
        }
        if watch.destination.is_some_and(|wanted| wanted != destination) {
            return Some(format!("at {} the packet is for {destination}, it should be for another address", watch.at));
        }
        None
    })
}
