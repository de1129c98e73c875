//! `prefix-wrong`: a prefix length or an on-link route makes a remote address look local, or a local one remote.

use super::resolution::Unresolved;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, reroute};
use crate::model::lookup::{Query, look_up};
use crate::model::segment::Segment;
use crate::model::{Link, Namespace, Route, RouteKind};
use crate::plan::Plan;
use crate::trace::Leg;

/// A prefix on the way is too short or too long.
pub(super) fn wrong(loss: &Loss<'_>) -> Option<Verdict> {
    remote_looks_local(loss).or_else(|| local_looks_remote(loss))
}

/// The destination was asked for on the link, but it lives elsewhere.
fn remote_looks_local(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss).filter(|u| !u.router && u.holders().next().is_none())?;
    let asked = unresolved.asked;
    // Who has a route for that one address is meant to answer for it: the prefix is right, the answer is missing. The
    // route by which IPv6 reaches an address of its own is none of these.
    let stands_in = |n: &Namespace| {
        let to_it = |r: &Route| r.destination == ipnet::IpNet::from(asked) && r.kind == RouteKind::Unicast;
        n.holder(asked).is_none() && n.routes.iter().any(to_it)
    };
    if unresolved.others().any(|p| p.netns.holder(asked).is_none() && stands_in(p.netns)) {
        return None;
    }
    let on_segment = |n: &Namespace, l: &Link| {
        unresolved.segment.places.iter().any(|p| p.netns.name == n.name && p.link.index == l.index)
    };
    let (home, _) = loss
        .world
        .namespaces
        .iter()
        .filter_map(|n| Some((n, n.holder(asked)?)))
        .find(|(n, l)| !on_segment(n, l) || l.name.as_str() == "lo")?;
    let route = loss.route().route()?;
    let (link, netns) = (unresolved.link, unresolved.netns);
    let own = link.addresses.iter().find(|a| a.net.contains(&asked)).map(|a| a.net);
    let route_text = evidence::route_text(netns, route);
    let object = own.map_or_else(|| route_text.clone(), |net| format!("{net} on {}", link.name));
    let summary = format!(
        "{} takes {asked} for a neighbour on {} by '{route_text}', but it is in {}",
        netns.name, link.name, home.name
    );
    let text = format!("{asked} was asked for on {}, and is held in {}", link.name, home.name);
    Some(
        Verdict::new(Cause::PrefixWrong, Place::at(&netns.name, &link.name), object, summary)
            .shown_by(evidence::route(netns, route))
            .shown_by(
                Evidence::new(EvidenceKind::Neighbour, &netns.name, text)
                    .differs("a route through a router", "on the link"),
            )
            .mended_by(match own {
                Some(_) => or_to_holder(loss, netns, reroute::through_router(loss.world, netns, link, asked)),
                None => or_to_holder(loss, netns, reroute::without(loss.world, netns, route, asked)),
            })
            .advised(match own {
                Some(net) => format!(
                    "The mend is for this one destination; giving {} its address again with the prefix length of its \
                     network, longer than /{}, mends all.",
                    link.name,
                    net.prefix_len()
                ),
                None => "Take the route away, or give it the router that leads there.".to_string(),
            }),
    )
}

/// This mend, or where there is none, a way to whoever holds the destination.
fn or_to_holder(loss: &Loss<'_>, netns: &Namespace, mend: Plan) -> Plan {
    if mend.is_empty() { reroute::to_holder(loss.world, netns, loss.destination) } else { mend }
}

/// A packet was sent away by another interface, though its destination is on a wire of this very namespace.
fn local_looks_remote(loss: &Loss<'_>) -> Option<Verdict> {
    [Leg::Request, Leg::Answer].into_iter().find_map(|leg| {
        turns(loss.world, &loss.observation.journey, leg).into_iter().find_map(|turn| {
            let left = turn.left?;
            let asked = left.header.destination;
            let out = turn.way_out()?;
            let home =
                turn.netns.links.iter().filter(|l| l.usable() && l.index != out.index && l.master.is_none()).find(
                    |l| {
                        Segment::of(loss.world, turn.netns, l)
                            .holders(asked)
                            .any(|p| p.netns.name != turn.netns.name && of_its_net(p.link, l, asked))
                    },
                )?;
            let route = look_up(turn.netns, &Query::from_here(None, asked)).route()?;
            too_long(loss, turn.netns, home, out, asked, route)
        })
    })
}

/// Whether the holder of an address counts an address of `link` as its neighbour.
fn of_its_net(holder: &Link, link: &Link, address: std::net::IpAddr) -> bool {
    let net = holder.addresses.iter().find(|a| a.net.addr() == address).map(|a| a.net);
    net.is_some_and(|net| link.addresses.iter().any(|a| net.contains(&a.net.addr())))
}

fn too_long(
    loss: &Loss<'_>,
    netns: &Namespace,
    home: &Link,
    out: &Link,
    asked: std::net::IpAddr,
    route: &Route,
) -> Option<Verdict> {
    let short =
        home.addresses.iter().map(|a| a.net).find(|n| n.addr().is_ipv4() == asked.is_ipv4() && !n.contains(&asked))?;
    let only_default = route.destination.prefix_len() < short.prefix_len();
    let object = format!("{short} on {}", home.name);
    let summary = format!(
        "{} sends what is for {asked} out by {}: its prefix {short} on {} does not cover it, though it is on that wire",
        netns.name, out.name, home.name
    );
    let sight = loss
        .observation
        .journey
        .of(Leg::Answer)
        .chain(loss.observation.journey.of(Leg::Request))
        .find(|s| s.netns == netns.name && s.link == out.index && s.header.destination == asked)?;
    only_default.then(|| {
        Verdict::new(Cause::PrefixWrong, Place::at(&netns.name, &home.name), object, summary)
            .shown_by(evidence::seen(loss.world, sight, ""))
            .shown_by(evidence::route(netns, route))
            .mended_by(reroute::on_link(netns, home, asked))
            .advised(format!(
                "The mend is for this one host; giving {} its address again with the shorter prefix of its network mends \
                 all.",
                home.name
            ))
    })
}
