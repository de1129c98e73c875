//! Why a packet was lost, and what mends it.
//!
//! [`explain`] looks where the trail of the probe ends (a [`Loss`]) and asks the causes, one after the other, in the
//! order in which the kernel checks a packet. Each cause is one pure function of the loss; the first that finds its
//! evidence is the verdict. What the packet would meet next if that were mended follows as further findings. Nothing is
//! guessed: where no cause is shown, the verdict is `uncertain` and says what was seen.

mod address;
mod advertisement;
mod answer;
mod bridge;
mod carrier;
mod cause;
mod checksum;
mod crossing;
mod delivered;
mod evidence;
mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod forwarding;
mod fragment;
mod further;
mod gate;
mod lasting;
mod let_pass;
mod link;
mod loss;
mod martian;
mod masquerade;
mod mend;
mod neighbour;
mod neighbour_table;
mod networkd;
mod onward;
mod overload;
mod owner;
mod passage;
mod permission;
mod policy;
mod prefix;
mod program;
mod publication;
mod publish;
mod readdress;
mod reroute;
mod resolution;
mod resolver;
mod reverse_path;
mod route;
mod security;
mod service;
mod size;
mod stale;
#[cfg(test)]
mod tests;
mod told;
mod too_big;
mod tracking;
mod traffic_control;
mod translation;
mod ttl;
mod tunnel;
mod turn;
mod uncertain;
mod unwanted;
mod upstream;
mod verdict;
mod way_back;
mod xfrm;

pub use cause::{Cause, UnknownCause};
pub use lasting::Lasting;
pub use loss::{Loss, Stage};
pub use owner::{owner, owners};
pub use permission::not_permitted;
pub use resolver::resolver_unreachable;
pub use uncertain::nothing_heard;
pub use verdict::{Evidence, EvidenceKind, Place, Verdict};
pub use way_back::way_back;

use self::Whose::{AnyPacket, Probe};
use crate::model::World;
use crate::trace::{Leg, Observation};

/// What is said about one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Why it was lost, or that it was delivered.
    pub verdict: Verdict,
    /// What the packet would meet next.
    pub further: Vec<Verdict>,
}

impl Report {
    /// Whether the probe and its answer arrived.
    pub fn delivered(&self) -> bool {
        self.verdict.cause == Cause::Delivered
    }

    /// Whether the probe came to whom it was for, whatever became of the answer: a host that has no service there was
    /// reached, and so was one whose answer was lost on its way back.
    pub fn arrived(&self, observation: &Observation) -> bool {
        let at_the_host = matches!(
            self.verdict.cause,
            Cause::Delivered | Cause::ServiceClosed | Cause::ServiceOverloaded | Cause::EchoIgnored
        );
        // A reset may be a filter's.
        let answered = observation.journey.of(Leg::Answer).any(|sight| !sight.header.reset);
        at_the_host || answered
    }
}

/// One cause: whether it explains the loss, and how it shows.
type Check = fn(&Loss<'_>) -> Option<Verdict>;

/// Which packets a cause can lose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Any packet on its way, such as one that carries the probe in a tunnel.
    AnyPacket,
    /// Only one that was sent to be answered.
    Probe,
}

/// The causes in the order in which the kernel meets them on a packet's way.
const ORDER: &[(Whose, Check)] = &[
    (Probe, address::duplicate),
    (Probe, stale::entry),
    (Probe, publication::hairpin),
    (Probe, publication::untranslated),
    (Probe, publication::target_wrong),
    (Probe, service::closed),
    (Probe, address::tentative),
    (AnyPacket, address::missing),
    (Probe, address::published),
    (Probe, address::family_disabled),
    (AnyPacket, link::down),
    (AnyPacket, link::without_carrier),
    (AnyPacket, program::told),
    (AnyPacket, traffic_control::told),
    (AnyPacket, bridge::detached),
    (AnyPacket, bridge::blocked),
    (Probe, tunnel::unresolved),
    (Probe, carrier::lost),
    (AnyPacket, prefix::wrong),
    (AnyPacket, ttl::circle),
    (AnyPacket, neighbour::wrong_address),
    (Probe, neighbour_table::full),
    (Probe, fragment::lost),
    (AnyPacket, size::exceeded),
    (AnyPacket, traffic_control::on_ingress),
    (Probe, policy::without_rule_of_source),
    (Probe, unwanted::translated),
    (AnyPacket, filter::of_resolution),
    (AnyPacket, crossing::dropped),
    (Probe, tracking::full),
    (Probe, tracking::answer_untracked),
    (Probe, tracking::answer_in_another_zone),
    (AnyPacket, filter::before_routing),
    (Probe, publication::localnet),
    (AnyPacket, martian::refused),
    (AnyPacket, policy::misled),
    (AnyPacket, route::wrong),
    (AnyPacket, forwarding::disabled),
    (Probe, xfrm::refused),
    (AnyPacket, route::blocked),
    (Probe, translation::source_missing),
    (Probe, translation::source_shared),
    (Probe, translation::address_wrong),
    (Probe, answer::astray),
    (Probe, answer::route_missing),
    (Probe, advertisement::ignored),
    (AnyPacket, route::missing),
    (AnyPacket, reverse_path::refused),
    (AnyPacket, ttl::expired),
    (Probe, masquerade::without_address),
    (Probe, checksum::bad),
    (AnyPacket, filter::after_routing),
    (Probe, security::refused),
    (Probe, overload::full),
    (Probe, translation::exhausted),
    (AnyPacket, traffic_control::on_egress),
    (Probe, program::of_sender),
    (Probe, answer::echo_ignored),
    (Probe, publication::address_missing),
    (Probe, program::likely),
    (Probe, traffic_control::by_program),
    (AnyPacket, neighbour::failed),
    (AnyPacket, upstream::silent),
];

/// Says why the probe was lost, or that it was delivered.
pub fn explain(world: &World, observation: &Observation) -> Report {
    let observation = &*observation.without_repetition();
    if observation.delivered() {
        return Report { verdict: delivered::verdict(world, observation), further: Vec::new() };
    }
    match observation.of_lost_data() {
        Some(lost) => {
            let report = explain_loss(world, &lost);
            let verdict = report.verdict.shown_by(evidence::stood(observation));
            Report { verdict, ..report }
        }
        None => explain_loss(world, observation),
    }
}

/// The first cause that is shown.
fn first_cause(world: &World, observation: &Observation) -> Option<Verdict> {
    let trail = Loss::trail(world, observation);
    trail.iter().find_map(|loss| ORDER.iter().find_map(|(_, check)| check(loss)))
}

/// Says why a packet was lost, and what keeps each mend.
fn explain_loss(world: &World, observation: &Observation) -> Report {
    let mut report = find_loss(world, observation);
    for verdict in [&mut report.verdict].into_iter().chain(&mut report.further) {
        verdict.lasting = lasting::lasting(world, &verdict.fix);
    }
    report
}

fn find_loss(world: &World, observation: &Observation) -> Report {
    let trail = Loss::trail(world, observation);
    let Some(end) = trail.first() else {
        return Report { verdict: uncertain::nowhere(observation), further: Vec::new() };
    };
    let mut found = trail.iter().flat_map(|loss| ORDER.iter().filter_map(|(_, check)| check(loss)));
    let first = found.next();
    // Where no cause is shown, a drop anywhere is a clue.
    let netns = first.as_ref().map(|verdict| verdict.place.netns.clone());
    let mut verdict = first.unwrap_or_else(|| uncertain::at(end));
    verdict.evidence.extend(told::evidence(world, observation, netns.as_ref()));
    if !verdict.fix.is_empty() {
        let further = further::behind(world, observation, &verdict);
        return Report { verdict, further };
    }
    // What is to be mended by others cannot be done in thought: what else holds at the end of the trail is told. Two
    // losses of one trail may show the same cause: a request refused, and the refusal itself.
    let mut further: Vec<Verdict> = Vec::new();
    // That nothing came back is no more than the loss itself.
    for next in found.filter(|next| next.cause != verdict.cause && next.cause != Cause::UpstreamSilent) {
        let same =
            |known: &Verdict| (known.cause, &known.place, &known.object) == (next.cause, &next.place, &next.object);
        if !further.iter().any(same) {
            further.push(next);
        }
    }
    Report { verdict, further }
}
