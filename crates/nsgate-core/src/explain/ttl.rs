//! `ttl-expired`: the time to live or hop limit reached zero: it started too small, was set too small, or the packet
//! went in a circle.

use super::filter;
use super::passage::Passage;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend, policy, reroute};
use crate::filter::{Outcome, Step};
use crate::model::ruleset::{Base, Expression};
use crate::model::{Family, Link, Namespace, Route, Sysctl};
use crate::plan::{Action, Change, NewRoute, Plan, Step as PlanStep};
use crate::trace::{Ending, Leg, Sight, Way};

/// What the kernel gives the route that it makes for an address: who made it (RTPROT_KERNEL), and the metric of IPv6
/// (linux net/ipv6/addrconf.c addrconf_prefix_route).
const PROTOCOL_KERNEL: u8 = 2;
const METRIC_OF_ADDRESS: u32 = 256;

/// The packet ran out of hops.
pub(super) fn expired(loss: &Loss<'_>) -> Option<Verdict> {
    if let Some(verdict) = set_too_small(loss) {
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

/// A rule sets the hop limit to what does not suffice.
fn set_too_small(loss: &Loss<'_>) -> Option<Verdict> {
    let counter = match loss.family() {
        Family::V4 => "Ip.InHdrErrors",
        Family::V6 => "Ip6.InHdrErrors",
    };
    if loss.moved(counter) == 0 || loss.header()?.ttl <= 1 {
        return None;
    }
    let passage = Passage::of(loss)?;
    let at = if loss.family() == Family::V4 { 8 } else { 7 };
    let sets = |e: &Expression| match e {
        Expression::PayloadSet { base: Base::Network, offset, length: 1 | 2, .. } => offset / 2 == at / 2,
        Expression::XtTarget { name, .. } => name == "TTL" || name == "HL",
        _ => false,
    };
    let matched = |s: &&Step<'_>| matches!(s.outcome, Outcome::Matched(_));
    let steps = passage.walks.iter().flat_map(|(_, walk)| &walk.steps).filter(matched);
    let decision = steps.map(|s| s.decision).find(|d| d.rule.is_some_and(|r| r.expressions.iter().any(sets)))?;
    let object = filter::object(&decision);
    let summary = format!("in {}, '{object}' sets the hop limit so low that it runs out there", loss.here());
    Some(
        Verdict::new(Cause::TtlExpired, Place::all_of(loss.here()), object, summary)
            .shown_by(evidence::counted(loss, counter))
            .shown_by(filter::of_rule(loss.netns, &decision))
            .mended_by(mend::delete_rule(loss.netns, &decision)),
    )
}

/// The packet came into one namespace again.
pub(super) fn circle(loss: &Loss<'_>) -> Option<Verdict> {
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
    // The route may serve those whom it is made for: then it is the rule that leads others to it.
    if let Some(misled) = policy::leads_astray(closing) {
        return Some(misled);
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
            .mended_by(lead_on(loss, netns, link, route))
            .advised(
                "Give the router that sends it back a route that leads on. What its route was made for besides, and by whom \
                 (a routing daemon makes it again), is worth a look first.",
            ),
    )
    .filter(|_| loss.leg == Leg::Request || loss.observation.ending == Ending::Silence)
    .filter(|_| loss.last.is_some_and(|s| s.way == Way::In))
}

/// Takes the route away that leads back, where the destination is reached without it; and where it stands in the place of
/// the route that an address of another interface would make, makes that one again.
fn lead_on(loss: &Loss<'_>, netns: &Namespace, back: &Link, route: &Route) -> Plan {
    let without = mend::delete_route(netns, route);
    let family = Family::of(route.destination.addr());
    let near = netns.links.iter().filter(|link| link.index != back.index && link.usable());
    let connected = near.filter_map(|link| {
        let own = link.addresses.iter().find(|a| a.net.trunc() == route.destination && !a.flags.tentative)?;
        let on_link = NewRoute {
            source: (family == Family::V4).then(|| own.net.addr()),
            metric: if family == Family::V6 { METRIC_OF_ADDRESS } else { 0 },
            protocol: PROTOCOL_KERNEL,
            ..NewRoute::on_link(route.destination, link.name.clone())
        };
        Some(PlanStep::new(&netns.name, Action::Route(Change::Add, on_link)))
    });
    let ways = [None].into_iter().chain(connected.map(Some));
    let plans = ways.map(|step| Plan { steps: without.steps.iter().cloned().chain(step).collect() });
    plans.into_iter().find(|plan| reroute::reaches(loss.world, netns, plan, loss.destination)).unwrap_or_default()
}
