//! `ttl-expired`: the time to live or hop limit reached zero: it started too small, was set too small, or the packet
//! went in a circle.

use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::{Family, Sysctl};
use crate::trace::{Ending, Leg, Sight, Way};

/// The packet ran out of hops.
pub(super) fn expired(loss: &Loss<'_>) -> Option<Verdict> {
    if let Some(verdict) = circle(loss) {
        return Some(verdict);
    }
    let Stage::Entered(_) = loss.stage else { return None };
    let last = loss.last.filter(|s| s.header.ttl <= 1 && !loss.arrived())?;
    let first = loss.observation.journey.of(loss.leg).next()?;
    (first.header.ttl <= 8).then(|| started_too_small(loss, first, last))
}

/// The first hop limit was too small for the way.
fn started_too_small(loss: &Loss<'_>, first: &Sight, last: &Sight) -> Verdict {
    let sender = loss.world.namespace(&first.netns).unwrap_or(loss.netns);
    let link = sender.link(first.link);
    let ttl = i64::from(first.header.ttl);
    let switch = match (loss.family(), link) {
        (Family::V6, Some(link)) => Sysctl::of_link(Family::V6, &link.name, "hop_limit"),
        _ => Sysctl::known("net.ipv4.ip_default_ttl"),
    };
    let place = Place { netns: sender.name.clone(), link: link.map(|l| l.name.clone()) };
    let summary = format!("{} starts with a hop limit of {ttl}, which runs out in {}", sender.name, loss.here());
    Verdict::new(Cause::TtlExpired, place, switch.to_string(), summary)
        .shown_by(evidence::seen(loss.world, first, ""))
        .shown_by(evidence::seen(loss.world, last, " and went no further"))
        .shown_by(evidence::sysctl(sender, &switch, "64", ttl))
        .mended_by(mend::sysctl(sender, &switch, "64", ttl))
}

/// The packet came into one namespace again.
fn circle(loss: &Loss<'_>) -> Option<Verdict> {
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    let again = turns.iter().enumerate().find_map(|(at, turn)| {
        let entered = turn.entered?;
        let earlier = turns[..at].iter().rfind(|t| t.netns.name == turn.netns.name)?;
        let left = earlier.left?;
        // It comes back where it had been sent away, with fewer hops left: somebody sent it back.
        (left.link == entered.link && entered.header.ttl < left.header.ttl).then_some(at)
    })?;
    let closing = turns[..again].last()?;
    let route = closing.route()?.route()?;
    let (netns, link) = (closing.netns, closing.way_out()?);
    if closing.way_in().map(|l| l.index) != Some(link.index) {
        return None;
    }
    let object = format!("route {}", evidence::route_text(netns, route));
    let back_to = &turns[again].netns.name;
    let summary = format!(
        "{} sends the packet back to {back_to}, where it came from, by '{}'",
        netns.name,
        evidence::route_text(netns, route)
    );
    let circled =
        Evidence::new(EvidenceKind::Sighting, &netns.name, format!("the packet came in and went out at {}", link.name));
    Some(
        Verdict::new(Cause::TtlExpired, Place::at(&netns.name, &link.name), object, summary)
            .shown_by(circled)
            .shown_by(evidence::route(netns, route))
            .advised("Give the router that sends it back a route that leads on, or take its route away."),
    )
    .filter(|_| loss.leg == Leg::Request || loss.observation.ending == Ending::Silence)
    .filter(|_| loss.last.is_some_and(|s| s.way == Way::In))
}
