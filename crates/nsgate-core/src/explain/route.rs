//! `route-blocking` and `route-missing`: the routing tables refuse the packet, or know no way.

use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, advertisement, evidence, mend, reroute};
use crate::model::lookup::Answer;
use crate::model::{Family, Link, Route, RouteKind};
use crate::plan::Plan;
use crate::trace::Leg;

/// A blackhole, unreachable or prohibit route is hit.
pub(super) fn blocked(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) {
        return None;
    }
    let Answer::Blocked { route, .. } = loss.route() else { return None };
    let text = evidence::route_text(loss.netns, route);
    let way = match route.kind {
        RouteKind::Blackhole => "drops it without a word",
        RouteKind::Prohibit => "refuses it as administratively prohibited",
        _ => "refuses it as unreachable",
    };
    let summary = format!("in {}, the route '{text}' {way}", loss.here());
    Some(
        Verdict::new(Cause::RouteBlocking, Place::all_of(loss.here()), text, summary)
            .shown_by(evidence::route(loss.netns, route))
            .shown_by(how_far(loss))
            .mended_by(past(loss, route))
            .advised("Somebody may have put the route there on purpose; ask before you take it away."),
    )
}

/// The way past a route that refuses: without it; or, where it is held by somebody whom it is not the way to, by a route
/// of its own in front of it.
fn past(loss: &Loss<'_>, route: &Route) -> Plan {
    let without = mend::delete_route(loss.netns, route);
    if reroute::reaches(loss.world, loss.netns, &without, loss.destination) {
        return without;
    }
    let in_front = reroute::to_holder(loss.world, loss.netns, loss.destination);
    if in_front.is_empty() { without } else { in_front }
}

/// There is no route to the destination.
pub(super) fn missing(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) || loss.route() != Answer::Missing || advertisement::ignored(loss).is_some()
    {
        return None;
    }
    let family = loss.family();
    let counter = match (loss.stage, family) {
        (Stage::Entered(_), Family::V4) => "IpExt.InNoRoutes",
        (Stage::Entered(_), Family::V6) => "Ip6.InNoRoutes",
        (_, Family::V4) => "Ip.OutNoRoutes",
        (_, Family::V6) => "Ip6.OutNoRoutes",
    };
    if matches!(loss.stage, Stage::Entered(_)) && loss.moved(counter) == 0 {
        return None;
    }
    let default = !loss.netns.routes.iter().any(|r| {
        r.destination.prefix_len() == 0 && Family::of(r.destination.addr()) == family && r.kind == RouteKind::Unicast
    });
    let object = if default {
        format!("default route to {} (missing)", loss.destination)
    } else {
        format!("route to {} (missing)", loss.destination)
    };
    let none = if default { ", not even a default route" } else { "" };
    let summary = format!("{} has no {family} route to {}{none}", loss.here(), loss.destination);
    let mut verdict = Verdict::new(Cause::RouteMissing, Place::all_of(loss.here()), object, summary)
        .shown_by(
            Evidence::new(EvidenceKind::Route, loss.here(), format!("no route matches {}", loss.destination))
                .differs("a route", "none"),
        )
        .shown_by(how_far(loss))
        .mended_by(mend::default_route(loss));
    if loss.moved(counter) > 0 {
        verdict = verdict.shown_by(evidence::counted(loss, counter));
    }
    Some(verdict)
}

/// The route leads to a plain host, which passes nothing on.
pub(super) fn wrong(loss: &Loss<'_>) -> Option<Verdict> {
    let entered = loss.entered().filter(|_| !loss.arrived())?;
    let wires = loss.netns.links.iter().filter(|l| l.name.as_str() != "lo").count();
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    let handed = |t: &&Turn<'_>| {
        let gateway = t.route().and_then(|r| r.gateway());
        gateway.is_some_and(|g| loss.netns.holder(g).is_some_and(|l| l.index == entered.index))
    };
    let sender = turns.iter().rev().filter(|t| t.left.is_some() && t.netns.name != *loss.here()).find(handed)?;
    let gateway = sender.route()?.gateway()?;
    if wires != 1 {
        return None;
    }
    let route = sender.route()?.route()?;
    let link = sender.way_out()?;
    let passes_on = loss.leg == Leg::Answer && sender.entered.is_some();
    if passes_on && route.destination.prefix_len() == 0 {
        return Some(no_way_back(loss, sender, entered));
    }
    let text = evidence::route_text(sender.netns, route);
    let summary = format!(
        "'{text}' of {} leads to {gateway} in {}, a host with one wire that passes nothing on",
        sender.netns.name,
        loss.here()
    );
    Some(
        Verdict::new(Cause::RouteWrong, Place::at(&sender.netns.name, &link.name), text, summary)
            .shown_by(evidence::route(sender.netns, route))
            .shown_by(evidence::came_no_further(loss, entered))
            .mended_by(around(loss, sender, route, link))
            .advised("Letting the route lead to a router, or taking it away, is the cleaner way where it is nobody's."),
    )
}

/// The way round a route that leads to a plain host: without it, or, where it is the only one, by a route of its own.
fn around(loss: &Loss<'_>, sender: &Turn<'_>, route: &Route, link: &Link) -> Plan {
    let asked = loss.observation.journey.of(Leg::Request).rfind(|sight| sight.netns == sender.netns.name);
    let back = || asked.filter(|_| loss.leg == Leg::Answer).map(|asked| mend::route_to(loss, sender.netns, asked));
    let without = reroute::without(loss.world, sender.netns, route, loss.destination);
    let through = || reroute::through_router(loss.world, sender.netns, link, loss.destination);
    let ways = [Some(without)].into_iter().chain([Some(through()), back()]).flatten();
    let mut ways = ways.chain([reroute::to_holder(loss.world, sender.netns, loss.destination)]);
    ways.find(|plan| !plan.is_empty()).unwrap_or_default()
}

/// A hop that knows no way back sends the answer by its default route, away from where the request came from.
fn no_way_back(loss: &Loss<'_>, hop: &Turn<'_>, ended: &Link) -> Verdict {
    let (netns, to) = (hop.netns, loss.destination);
    let summary = format!(
        "the request arrived, but {} has no route back to {to}: its default route takes the answer to {}, which passes it \
         on to nobody",
        netns.name,
        loss.here()
    );
    let object = format!("route to {to} (missing)");
    let mut verdict = Verdict::new(Cause::ReturnRouteMissing, Place::all_of(&netns.name), object, summary);
    if let Some(route) = hop.route().and_then(|answer| answer.route()) {
        verdict = verdict.shown_by(evidence::route(netns, route));
    }
    verdict
        .shown_by(evidence::came_no_further(loss, ended))
        .mended_by(mend::route_back(&Loss { netns, ..loss.clone() }))
        .advised("A route for the whole network that the sender is in serves its neighbours as well.")
}

/// How far the packet got before the routing tables had their say.
fn how_far(loss: &Loss<'_>) -> Evidence {
    match loss.stage {
        Stage::Entered(link) => evidence::came_no_further(loss, link),
        Stage::Made | Stage::Left(_) => {
            let words = evidence::sender_words(loss).unwrap_or_else(|| "the packet left by no interface".into());
            Evidence::new(EvidenceKind::Sender, loss.here(), words)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, route};
    use crate::model::{RouteKind, TABLE_MAIN};
    use crate::trace::{Ending, Leg};

    #[test]
    fn the_gateway_has_no_default_route() {
        let mut fixture = Fixture::experiment();
        fixture.netns("host").routes.retain(|r| r.destination.prefix_len() != 0);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "IpExt.InNoRoutes");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("route-missing", "host"));
        assert_eq!(object, "default route to 114.114.114.114 (missing)");
        assert_eq!(fixture.explained().fix.commands(), ["ip route add default via 10.20.30.1 dev eth2"]);
    }

    #[test]
    fn the_sender_has_no_route() {
        let mut fixture = Fixture::experiment6();
        fixture.netns("ns_1").routes.retain(|r| r.destination.prefix_len() != 0);
        let words = "Network is unreachable".to_string();
        fixture.observation.ending = Ending::Refused { operation: "connect", errno: 101, words };
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("route-missing", "ns_1"));
        let mend = ["ip -n ns_1 -6 route add default via 2001:db8:1::3 dev veth2"];
        assert_eq!(fixture.explained().fix.commands(), mend);
    }

    #[test]
    fn a_blackhole_route_is_hit() {
        let mut fixture = Fixture::experiment();
        let blackhole = route(TABLE_MAIN, "114.114.114.0/24", RouteKind::Blackhole, None, None);
        fixture.netns("host").routes.push(blackhole);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("route-blocking", "host"));
        assert_eq!(object, "blackhole 114.114.114.0/24");
        assert_eq!(fixture.explained().fix.commands(), ["ip route del blackhole 114.114.114.0/24"]);
    }

    #[test]
    fn a_destination_that_is_near_gets_a_route_in_front_of_one_that_refuses() {
        let mut fixture = Fixture::experiment();
        fixture.observation.probe.destination = "10.65.9.9".parse().unwrap();
        fixture.link("ns_1", "veth2").addresses.push(crate::explain::fixture::address("10.65.9.9/32"));
        let blackhole = route(TABLE_MAIN, "10.65.9.0/26", RouteKind::Blackhole, None, None);
        fixture.netns("host").routes.push(blackhole);
        fixture.seen(Leg::Request, "10.20.30.1", "10.65.9.9", &["host:eth2<"]);
        assert_eq!(fixture.verdict().0, "route-blocking");
        assert_eq!(fixture.explained().fix.commands(), ["ip route add 10.65.9.9/32 dev veth3"]);
    }

    #[test]
    fn a_hop_beyond_sends_the_answer_by_its_default_route() {
        let mut fixture = Fixture::experiment();
        let far = crate::explain::fixture::name("far");
        let mut beyond = crate::model::Namespace::new(far.clone(), 9);
        let mut wire = fixture.link("ns_1", "veth2").clone();
        wire.peer = crate::model::Peer::There(crate::explain::fixture::name("world"), crate::model::LinkIndex(7));
        wire.addresses[0].net = "10.99.0.1/24".parse().unwrap();
        beyond.links.push(wire.clone());
        let local = route(crate::model::TABLE_LOCAL, "10.99.0.1/32", RouteKind::Local, Some(2), None);
        beyond.routes.push(local);
        fixture.world.namespaces.push(beyond);
        let mut uplink = wire;
        uplink.index = crate::model::LinkIndex(7);
        uplink.name = "w9".parse().unwrap();
        uplink.peer = crate::model::Peer::There(far, crate::model::LinkIndex(2));
        uplink.addresses[0].net = "10.99.0.2/24".parse().unwrap();
        let world = fixture.netns("world");
        world.links.push(uplink);
        world.routes.push(route(TABLE_MAIN, "10.99.0.0/24", RouteKind::Unicast, Some(7), None));
        world.routes.push(route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, Some(7), Some("10.99.0.1")));
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"]);
        fixture.seen(Leg::Answer, "114.114.114.114", "1.1.1.2", &["world:w9>", "far:veth2<"]);
        assert_ne!(fixture.verdict().0, "return-route-missing", "who made the answer chose another way");
        let answers = fixture.observation.journey.sights.split_off(4);
        fixture.seen(Leg::Answer, "114.114.114.114", "1.1.1.2", &["world:w0<"]);
        fixture.observation.journey.sights.extend(answers);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("return-route-missing", "world"));
        assert_eq!(object, "route to 1.1.1.2 (missing)");
    }
}
