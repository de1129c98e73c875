//! `neighbour-wrong`, `mac-mismatch`, `neighbour-failed`: the next hop's link-layer address is wrong, is refused, or
//! nobody gives it.

use std::net::IpAddr;

use nsgate_packet::Mac;

use super::resolution::Unresolved;
use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::filter::Decision;
use crate::model::lookup::look_up;
use crate::model::ruleset::{Base, Expression, TableFamily};
use crate::model::segment::Place as At;
use crate::model::{Family, Link, LinkKind, Namespace, Neighbour, NeighbourState, Setting, Sysctl, World};
use crate::plan::Plan;
use crate::trace::Way;

/// The frame went to a link-layer address that is not the next hop's: by a wrong neighbour entry, or rewritten.
pub(super) fn wrong_address(loss: &Loss<'_>) -> Option<Verdict> {
    let turn = last_turn(loss)?;
    let used = turn.left?.header.macs?.1;
    let reached = loss.last?;
    // Where the last interface rewrote the frame, the next one shows it.
    let used = if reached.way == Way::In { reached.header.macs.map_or(used, |m| m.1) } else { used };
    let next = turn.next_hop()?;
    let mut holders = turn.next_hop_holders(loss.world);
    // Behind a tunnel it is who got the frame.
    holders.extend(refuser(loss).filter(|_| holders.is_empty()));
    let owner = holders.first()?;
    let right = owner.link.mac?;
    if used == right || used.is_group() || holders.iter().any(|p| p.link.mac == Some(used)) {
        return None;
    }
    let link = turn.way_out()?;
    let entry = entry(loss, turn.netns, link, next);
    match entry {
        Some(entry) if entry.mac == Some(used) => Some(of_entry(loss, &turn, link, entry, right)),
        _ => Some(of_frame(loss, turn.netns, owner, used, right)),
    }
}

/// Who got the frame out of a tunnel and had to leave it, because it is for another link-layer address.
fn refuser<'a>(loss: &Loss<'a>) -> Option<At<'a>> {
    let link = loss.entered().filter(|link| matches!(link.kind, LinkKind::Vxlan { .. }) && link.master.is_none())?;
    Some(At { netns: loss.netns, link })
}

/// The turn after which the packet was lost.
fn last_turn<'a>(loss: &Loss<'a>) -> Option<Turn<'a>> {
    let last = loss.last?;
    turns(loss.world, &loss.observation.journey, loss.leg)
        .into_iter()
        .rfind(|t| t.left.is_some_and(|l| l.time <= last.time) && t.way_out().is_some_and(|l| l.master.is_none()))
}

fn entry<'a>(loss: &Loss<'a>, netns: &Namespace, link: &Link, address: IpAddr) -> Option<&'a Neighbour> {
    let here = |e: &Neighbour| e.link == link.index && e.address == address && !e.proxy;
    let after = loss.observation.neighbours.iter().find(|(n, e)| *n == netns.name && here(e)).map(|(_, e)| e);
    after.or_else(|| loss.world.namespace(&netns.name)?.neighbours.iter().find(|e| here(e)))
}

fn of_entry(loss: &Loss<'_>, turn: &Turn<'_>, link: &Link, entry: &Neighbour, right: Mac) -> Verdict {
    let wrong = entry.mac.map(|m| m.to_string()).unwrap_or_default();
    let (netns, address) = (turn.netns, entry.address);
    let kind = if entry.state == NeighbourState::Permanent { "permanent" } else { "stale" };
    let object = format!("{address} lladdr {wrong} on {}", link.name);
    let summary = format!(
        "the {kind} neighbour entry of {} for {address} holds {wrong}, but {address} is at {right}",
        netns.name
    );
    let mut verdict = Verdict::new(Cause::NeighbourWrong, Place::at(&netns.name, &link.name), object.clone(), summary)
        .shown_by(Evidence::new(EvidenceKind::Neighbour, &netns.name, object).differs(right.to_string(), wrong));
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not taken"));
    }
    match &link.kind {
        // Nobody is asked through a tunnel that sends nothing to all: what is not said is not known.
        LinkKind::Vxlan { remote: None, .. } if !floods(netns, link) => {
            verdict.mended_by(say_where(loss.world, netns, link, entry, right))
        }
        _ => verdict.mended_by(mend::forget_neighbour(netns, link, entry)),
    }
}

/// Whether a VXLAN device has somebody to send to what it has no entry for.
fn floods(netns: &Namespace, link: &Link) -> bool {
    netns.forwarding.iter().any(|entry| entry.link == link.index && entry.mac == Mac([0; 6]))
}

/// The right entry in the place of the wrong one, and behind which end of the tunnel that link-layer address is.
fn say_where(world: &World, netns: &Namespace, link: &Link, entry: &Neighbour, right: Mac) -> Plan {
    let replaced = mend::replace_neighbour(netns, link, entry, right);
    let known = netns.forwarding.iter().any(|there| there.link == link.index && there.mac == right);
    let ends = world.namespaces.iter().filter(|there| there.name != netns.name).flat_map(|there| &there.links);
    let end = ends.filter(|end| end.mac == Some(right)).find_map(|end| match end.kind {
        LinkKind::Vxlan { local, .. } => local,
        _ => None,
    });
    let forwarding = end.filter(|_| !known).map(|end| mend::add_forwarding(netns, link, right, Some(end)));
    Plan { steps: replaced.steps.into_iter().chain(forwarding.into_iter().flat_map(|plan| plan.steps)).collect() }
}

fn of_frame(loss: &Loss<'_>, sender: &Namespace, owner: &At<'_>, used: Mac, right: Mac) -> Verdict {
    let (netns, link) = (owner.netns, owner.link);
    let object = format!("frame for {used} at {}, which is {right}", link.name);
    let summary =
        format!("{} of {} ignores the frame: it is for {used}, and {} is {right}", link.name, netns.name, link.name);
    let mut verdict = Verdict::new(Cause::MacMismatch, Place::at(&netns.name, &link.name), object, summary);
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, &format!(" for {used} and was not taken")));
    }
    let mut rules = rewriting(sender);
    let rule = rules.next().filter(|_| rules.next().is_none());
    if let Some(rule) = &rule {
        verdict = verdict
            .shown_by(Evidence::new(EvidenceKind::Ruleset, &sender.name, super::filter::object(rule)))
            .mended_by(mend::delete_rule(sender, rule));
    }
    verdict
        .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, format!("{} has {right}", link.name)).differs(used.to_string(), right.to_string()))
        .advised("Something between the sender and this interface rewrites the link-layer address, or this interface's address was changed: look for netdev and bridge rules, tc actions, and what everybody was provisioned with.")
}

/// The rules of a namespace that write into the link-layer header of what passes a device.
fn rewriting(netns: &Namespace) -> impl Iterator<Item = Decision<'_>> {
    let writes = |e: &Expression| matches!(e, Expression::PayloadSet { base: Base::Link, .. });
    let tables = netns.ruleset.tables.iter().filter(|table| table.family == TableFamily::Netdev);
    tables.flat_map(move |table| {
        table.chains.iter().flat_map(move |chain| {
            let rules = chain.rules.iter().filter(move |rule| rule.expressions.iter().any(writes));
            rules.map(move |rule| Decision { table, chain, rule: Some(rule) })
        })
    })
}

/// Nobody answers for the next hop, and nothing more specific says why.
pub(super) fn failed(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss).filter(|_| super::address::published(loss).is_none())?;
    if let Some(holder) = unresolved.holders().next() {
        return refuses_to_answer(loss, &unresolved, holder);
    }
    if let Some(place) = could_stand_in(&unresolved) {
        return Some(no_proxy(loss, &unresolved, place));
    }
    if let Some(place) = meant_to_stand_in(&unresolved) {
        return proxy_refuses(loss, &unresolved, place);
    }
    let (netns, link, asked) = (unresolved.netns, unresolved.link, unresolved.asked);
    let role = if unresolved.router { "the router" } else { "the destination" };
    let summary = format!("nobody on {} of {} answers for {asked}, {role}", link.name, netns.name);
    let verdict = Verdict::new(
        Cause::NeighbourFailed,
        Place::at(&netns.name, &link.name),
        format!("{asked} on {}", link.name),
        summary,
    );
    let beyond = if unresolved.segment.open {
        "Ask whoever runs the network behind the interface whether that host is up."
    } else {
        "Nobody here holds that address: start the host, or correct the address."
    };
    Some(with_question(verdict, loss, &unresolved).advised(beyond))
}

/// Shown by the question that went unanswered, or by the entry that failed.
fn with_question(mut verdict: Verdict, loss: &Loss<'_>, unresolved: &Unresolved<'_>) -> Verdict {
    if let Some(question) = unresolved.question {
        verdict = verdict.shown_by(evidence::seen(loss.world, question, " without a reply"));
    }
    if unresolved.given_up {
        let text = format!("{} on {} was given up meanwhile", unresolved.asked, unresolved.link.name);
        let evidence = Evidence::new(EvidenceKind::Neighbour, &unresolved.netns.name, text);
        verdict = verdict.shown_by(evidence.differs("REACHABLE", "FAILED"));
    } else if let Some(entry) = unresolved.entry {
        let state = format!("{:?}", entry.state).to_uppercase();
        let text = format!("{} on {} is {state}", entry.address, unresolved.link.name);
        verdict = verdict
            .shown_by(Evidence::new(EvidenceKind::Neighbour, &unresolved.netns.name, text).differs("REACHABLE", state));
    }
    verdict
}

/// The holder heard the question and is set not to answer.
fn refuses_to_answer(loss: &Loss<'_>, unresolved: &Unresolved<'_>, holder: At<'_>) -> Option<Verdict> {
    let heard = unresolved.heard_at(loss, holder)?;
    let (netns, link, asked) = (holder.netns, holder.link, unresolved.asked);
    let place = Place::at(&netns.name, &link.name);
    if !link.resolves_neighbours {
        let summary = format!("{} of {} holds {asked}, but ARP is switched off on it", link.name, netns.name);
        let fix =
            mend::set_link(netns, link, crate::plan::LinkSetting::Arp(true), crate::plan::LinkSetting::Arp(false));
        return Some(
            Verdict::new(Cause::NeighbourFailed, place, format!("{}: NOARP (arp off)", link.name), summary)
                .shown_by(evidence::seen(loss.world, heard, " without a reply"))
                .mended_by(fix),
        );
    }
    let (switch, value) = arp_ignore(netns, link).filter(|_| Family::of(asked) == Family::V4)?;
    let summary =
        format!("{} of {} holds {asked}, but does not answer for it: {switch} is {value}", link.name, netns.name);
    Some(
        Verdict::new(Cause::NeighbourFailed, place, switch.to_string(), summary)
            .shown_by(evidence::seen(loss.world, heard, " without a reply"))
            .shown_by(evidence::sysctl(netns, &switch, "0", value))
            .mended_by(mend::sysctl(netns, &switch, "0", value)),
    )
}

/// Whether an interface that holds an address is set never to answer for it.
pub(super) fn never_answers(netns: &Namespace, link: &Link, asked: IpAddr) -> bool {
    /// `arp_ignore`: no answer for any address.
    const NEVER: i64 = 8;
    let ignores = || arp_ignore(netns, link).is_some_and(|(_, value)| value == NEVER);
    !link.resolves_neighbours || Family::of(asked) == Family::V4 && ignores()
}

/// The value that counts: the larger of `all` and the interface's own (linux ip-sysctl).
fn arp_ignore(netns: &Namespace, link: &Link) -> Option<(Sysctl, i64)> {
    let own = i64::from(link.setting(Family::V4, Setting::ArpIgnore)?);
    let all = netns.setting_of_all(Family::V4, Setting::ArpIgnore).unwrap_or(0);
    let switch = if all > own {
        Sysctl::of_all(Family::V4, "arp_ignore")
    } else {
        evidence::name_of_setting(Family::V4, link, Setting::ArpIgnore)?
    };
    (own.max(all) > 0).then(|| (switch, own.max(all)))
}

/// A host on the segment that has a route of its own to the address, by another interface.
fn could_stand_in<'a>(unresolved: &Unresolved<'a>) -> Option<At<'a>> {
    unresolved.others().find(|place| {
        let answer = look_up(place.netns, &Unresolved::query_at(*place, unresolved.asked));
        let specific = answer.route().is_some_and(|r| r.destination.prefix_len() == r.destination.max_prefix_len());
        specific && !answer.is_local() && answer.link().is_some_and(|l| l != place.link.index)
    })
}

fn no_proxy(loss: &Loss<'_>, unresolved: &Unresolved<'_>, place: At<'_>) -> Verdict {
    let (netns, link, asked) = (place.netns, place.link, unresolved.asked);
    let summary = format!(
        "{} asks for {asked} on its wire; {} knows the way to it, but does not answer for it on {}",
        unresolved.netns.name, netns.name, link.name
    );
    let verdict = Verdict::new(
        Cause::NeighbourFailed,
        Place::at(&netns.name, &link.name),
        format!("proxy entry for {asked} on {} (missing)", link.name),
        summary,
    )
    .mended_by(mend::answer_for(netns, link, asked));
    with_question(verdict, loss, unresolved)
}
/// The only host at the other end of the wire, where the asker's router is in no network of its own: it can but be meant
/// to answer for an address that it does not hold.
fn meant_to_stand_in<'a>(unresolved: &Unresolved<'a>) -> Option<At<'a>> {
    let in_own_network = unresolved.link.addresses.iter().any(|a| a.net.contains(&unresolved.asked));
    if !unresolved.router || !unresolved.asked.is_ipv4() || in_own_network || unresolved.segment.open {
        return None;
    }
    let mut others = unresolved.others();
    let place = others.next()?;
    others.next().is_none().then_some(place)
}

/// It does not answer: proxy ARP is off, or it has no way to that address by another interface (linux net/ipv4/arp.c
/// `arp_process`).
fn proxy_refuses(loss: &Loss<'_>, unresolved: &Unresolved<'_>, place: At<'_>) -> Option<Verdict> {
    let (netns, link, asked) = (place.netns, place.link, unresolved.asked);
    let on = link.setting(Family::V4, Setting::ProxyArp)? > 0
        || netns.setting_of_all(Family::V4, Setting::ProxyArp).is_some_and(|value| value > 0);
    let at = Place::at(&netns.name, &link.name);
    let asker = &unresolved.netns.name;
    let verdict = if on {
        let answer = look_up(netns, &Unresolved::query_at(place, asked));
        if answer.link().is_some_and(|out| out != link.index) {
            return None;
        }
        let object = format!("proxy ARP on {}: no route to {asked}", link.name);
        let summary = format!(
            "{} does not answer {asker} for {asked}: proxy ARP on {} answers only for what has a route by another \
             interface",
            netns.name, link.name
        );
        Verdict::new(Cause::NeighbourFailed, at, object, summary)
            .shown_by(
                Evidence::new(EvidenceKind::Route, &netns.name, format!("nothing leads to {asked}"))
                    .differs("a route by another interface", "none"),
            )
            .mended_by(mend::add_address(netns, link, asked.into()))
            .advised(format!("With the address itself {} answers for it without a route.", link.name))
    } else {
        let switch = evidence::name_of_setting(Family::V4, link, Setting::ProxyArp)?;
        let summary =
            format!("{} is to answer {asker} for {asked}, which it does not hold, and {switch} is 0", netns.name);
        Verdict::new(Cause::NeighbourFailed, at, switch.to_string(), summary)
            .shown_by(evidence::sysctl(netns, &switch, "1", 0))
            .mended_by(mend::sysctl(netns, &switch, "1", 0))
            .advised("It then answers for every address that it has a route to by another interface.")
    };
    Some(with_question(verdict, loss, unresolved))
}

#[cfg(test)]
mod tests {
    use nsgate_packet::Mac;

    use crate::explain::fixture::{Fixture, route};
    use crate::model::{Family, LinkIndex, Neighbour, NeighbourState, RouteKind, Setting, TABLE_MAIN};
    use crate::trace::Leg;

    #[test]
    fn a_tunnel_hands_over_a_frame_for_somebody_else() {
        let mut fixture = Fixture::overlay();
        fixture.seen(Leg::Request, "10.200.0.2", "10.200.0.1", &["ns_1:vxlan10>", "host:vxlan10<"]);
        fixture.framed(("ns_1", "vxlan10"), Some(("host", "vxlan10")));
        assert!(!fixture.verdict().0.starts_with("neighbour"), "the frame is for whoever got it");
        let old = Mac([2, 0, 0, 0, 10, 9]);
        for sight in &mut fixture.observation.journey.sights {
            sight.header.macs = sight.header.macs.map(|(from, _)| (from, old));
        }
        assert_eq!(fixture.verdict().0, "mac-mismatch", "nothing says who rewrote it");
        fixture.netns("ns_1").neighbours.push(Neighbour {
            link: LinkIndex(9),
            address: "10.200.0.1".parse().unwrap(),
            mac: Some(old),
            state: NeighbourState::Permanent,
            proxy: false,
        });
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("neighbour-wrong", "ns_1/vxlan10"));
        assert_eq!(object, "10.200.0.1 lladdr 02:00:00:00:0a:09 on vxlan10");
        // Nobody can be asked by this tunnel: it is to be told who is where.
        let expected = [
            "ip -n ns_1 neigh del 10.200.0.1 lladdr 02:00:00:00:0a:09 dev vxlan10 nud permanent",
            "ip -n ns_1 neigh add 10.200.0.1 lladdr 02:00:00:00:0a:01 dev vxlan10 nud permanent",
            "bridge -n ns_1 fdb add 02:00:00:00:0a:01 dev vxlan10 dst 1.1.1.3",
        ];
        assert_eq!(fixture.explained().fix.commands(), expected);
    }

    /// `ns_1` has an address of no network, and asks for a router that nobody holds.
    fn routed_by_proxy() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.link("ns_1", "veth2").addresses[0].net = "1.1.1.2/32".parse().unwrap();
        let routes = &mut fixture.netns("ns_1").routes;
        routes.retain(|route| route.table != TABLE_MAIN);
        routes.push(route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, Some(2), Some("169.254.1.1")));
        fixture.seen(Leg::Question, "1.1.1.2", "169.254.1.1", &["ns_1:veth2>", "host:veth3<"]);
        fixture
    }

    #[test]
    fn a_host_that_is_to_answer_by_proxy_and_does_not() {
        let mut fixture = routed_by_proxy();
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("neighbour-failed", "host/veth3"));
        assert_eq!(object, "net.ipv4.conf.veth3.proxy_arp");
        fixture.setting("host", "veth3", Family::V4, Setting::ProxyArp, 1);
        assert_ne!(fixture.verdict().1, "host/veth3", "it has a default route by another interface, and would answer");
        fixture.netns("host").routes.retain(|route| route.destination.prefix_len() > 0);
        let (_, place, object) = fixture.verdict();
        assert_eq!((place.as_str(), object.as_str()), ("host/veth3", "proxy ARP on veth3: no route to 169.254.1.1"));
        assert_eq!(fixture.explained().fix.commands(), ["ip addr add 169.254.1.1/32 dev veth3"]);
    }
}
