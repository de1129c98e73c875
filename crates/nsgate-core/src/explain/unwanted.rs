//! `snat-unwanted`: a source is translated on its way between the operator's own networks, where it should stay as it
//! is, and a filter there refuses the new one, or the answer to it does not come back to who translated it.
//!
//! Both are proved by asking what would become of the packet with its own source: the filter lets it pass, the answer
//! finds its way. What leaves by a default route leaves the operator's networks, and is not asked about.

use std::net::IpAddr;

use super::passage::Passage;
use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, filter, let_pass};
use crate::filter::End;
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::Hook;
use crate::model::{Namespace, World};
use crate::trace::{Leg, planned_path};

/// A translation that does harm: with its own source the packet would have arrived and been answered.
pub(super) fn translated(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Request || loss.entered().is_none() {
        return None;
    }
    let changes = |turn: &Turn<'_>| {
        turn.entered.zip(turn.left).is_some_and(|(entered, left)| entered.header.source != left.header.source)
    };
    let turn = turns(loss.world, &loss.observation.journey, Leg::Request).into_iter().find(changes)?;
    let (entered, left, link) = (turn.entered?, turn.left?, turn.way_out()?);
    if turn.route()?.route()?.destination.prefix_len() == 0 || turn.netns.name == *loss.here() {
        return None;
    }
    let (own, new) = (entered.header.source, left.header.source);
    let harm = refused(loss, own, new).or_else(|| answer_astray(loss, turn.netns, own, new))?;
    let passage = Passage::of_request(turn.netns, entered, link)?;
    let walk = passage.at(Hook::Postrouting)?;
    let rule = walk.translated_by?;
    let object = filter::object(&rule);
    let summary = format!(
        "{} turns {own} into {new} on its way to {}, between networks of its own, and {}",
        turn.netns.name, left.header.destination, harm.text
    );
    let verdict = Verdict::new(Cause::SnatUnwanted, Place::at(&turn.netns.name, &link.name), object.clone(), summary)
        .shown_by(evidence::seen(loss.world, left, ""))
        .shown_by(
            Evidence::new(EvidenceKind::Ruleset, &turn.netns.name, object).differs("no translation", new.to_string()),
        )
        .shown_by(harm);
    let mend = let_pass::let_pass(turn.netns, Hook::Postrouting, &rule, &walk.before);
    Some(verdict.mended_by(mend.plan).undone_by(mend.undo).advised(
        "This exempts this one flow from translation. Binding the rule to the uplink (oifname), or exempting the whole \
         network, is the cleaner way.",
    ))
}

/// A filter drops it with its new source, and would let it pass with its own.
fn refused(loss: &Loss<'_>, own: IpAddr, new: IpAddr) -> Option<Evidence> {
    let (_, decision) = filter::lost(loss, &Passage::of(loss)?)?;
    let otherwise = Passage::of_another_source(loss, own)?;
    let passes = !otherwise.walks.is_empty() && otherwise.walks.iter().all(|(_, walk)| matches!(walk.end, End::Passed));
    let way_back = look_up(loss.netns, &Query::from_here(Some(loss.destination), own));
    if !passes || !matches!(way_back, Answer::Found { .. }) {
        return None;
    }
    let object = filter::object(&decision);
    let text = format!("'{object}' of {} drops it from {new}, which it would not from {own}", loss.here());
    Some(Evidence::new(EvidenceKind::Ruleset, loss.here(), text))
}

/// The answer to the new source does not lead back to who translated it, and the answer to its own would.
fn answer_astray(loss: &Loss<'_>, gateway: &Namespace, own: IpAddr, new: IpAddr) -> Option<Evidence> {
    if !loss.arrived() || gateway.holder(new).is_none() {
        return None;
    }
    let comes_back = leads_to(loss.world, loss.netns, loss.destination, new, |netns| netns.name == gateway.name);
    let would = leads_to(loss.world, loss.netns, loss.destination, own, |netns| netns.holder(own).is_some());
    if comes_back || !would {
        return None;
    }
    let text = format!("the answer of {} to {new} does not lead back to {}", loss.here(), gateway.name);
    Some(
        Evidence::new(EvidenceKind::Route, loss.here(), text)
            .differs(format!("an answer to {own}"), format!("to {new}")),
    )
}

/// Whether what is sent from `netns` to `to` is delivered in a namespace like that.
fn leads_to(world: &World, netns: &Namespace, from: IpAddr, to: IpAddr, wanted: impl Fn(&Namespace) -> bool) -> bool {
    let path = planned_path(world, &netns.name, Some(from), to);
    let end = path.last().filter(|stop| stop.left.is_none()).and_then(|stop| world.namespace(&stop.netns));
    end.is_some_and(|end| end.holder(to).is_some() && wanted(end))
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::{Fixture, route};
    use crate::model::ruleset::Ruleset;
    use crate::model::{RouteKind, TABLE_MAIN};
    use crate::trace::Leg;

    /// `ns_1` asks 10.20.30.1 on the uplink's own network, and the gateway translates all that passes it.
    fn translated(filter_of_world: &str) -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.observation.probe.destination = "10.20.30.1".parse().unwrap();
        let nat = "table ip nat { chain postrouting { type nat hook postrouting priority srcnat; policy accept; masquerade; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(nat).unwrap();
        fixture.netns("world").ruleset = Ruleset::from_text(filter_of_world).unwrap();
        let back = route(TABLE_MAIN, "1.1.1.0/24", RouteKind::Unicast, Some(2), Some("10.20.30.182"));
        fixture.netns("world").routes.push(back);
        fixture.seen(Leg::Request, "1.1.1.2", "10.20.30.1", &["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "10.20.30.1", &["host:eth2>", "world:w0<"]);
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture
    }

    /// A filter of `world` that accepts these and drops all else.
    fn only(accepted: &str) -> String {
        format!(
            "table inet f {{ chain input {{ type filter hook input priority 0; policy drop; {accepted} accept; }} }}"
        )
    }

    #[test]
    fn a_filter_that_would_let_the_true_source_pass() {
        let fixture = translated(&only("ip saddr 1.1.1.0/24"));
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("snat-unwanted", "host/eth2"));
        assert!(object.starts_with("ip nat postrouting: masquerade"), "{object}");
        let mend = fixture.explained().fix.commands().concat();
        assert!(mend.contains("ip saddr 1.1.1.2 ip daddr 10.20.30.1"), "{mend}");
    }

    #[test]
    fn a_filter_that_refuses_everybody_is_itself_the_cause() {
        assert_eq!(translated(&only("ip saddr 7.7.7.7")).verdict().0, "filter-drop");
    }

    #[test]
    fn where_nobody_knows_a_way_back_the_translation_is_wanted() {
        let mut fixture = translated(&only("ip saddr 1.1.1.0/24"));
        fixture.netns("world").routes.retain(|route| route.destination.to_string() != "1.1.1.0/24");
        assert_eq!(fixture.verdict().0, "filter-drop");
    }

    #[test]
    fn an_answer_that_does_not_come_back_to_who_translated() {
        let mut fixture = translated("");
        // The translation takes an address of the gateway that the destination does not know.
        let nat = "table ip nat { chain postrouting { type nat hook postrouting priority srcnat; policy accept; snat to 1.1.1.3; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(nat).unwrap();
        for sight in &mut fixture.observation.journey.sights[2..] {
            sight.header.source = "1.1.1.3".parse().unwrap();
        }
        let of_one = route(TABLE_MAIN, "1.1.1.2/32", RouteKind::Unicast, Some(2), Some("10.20.30.182"));
        let routes = &mut fixture.netns("world").routes;
        routes.retain(|route| route.destination.to_string() != "1.1.1.0/24");
        routes.push(of_one);
        assert_eq!(fixture.verdict().0, "snat-unwanted");
        // Where it knows neither, the way back is what is missing.
        fixture.netns("world").routes.pop();
        assert_ne!(fixture.verdict().0, "snat-unwanted");
    }
}
