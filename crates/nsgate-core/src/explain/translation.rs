//! `snat-missing`: the source leaves untranslated, and a hop outside the operator's networks has no way back to it.

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::{Expression, Hook, Ruleset};
use crate::model::segment::Segment;
use crate::model::{Family, Link, Namespace, World};
use crate::trace::{Leg, Observation, Sight, Way};
use std::net::IpAddr;

/// Nothing translates the source on the way out of the operator's networks.
pub(super) fn source_missing(loss: &Loss<'_>) -> Option<Verdict> {
    let exit = exit(loss.world, loss.observation)?;
    let source = exit.left.header.source;
    if exit.entered.header.source != source
        || exit.gateway.holder(source).is_some()
        || translates(&exit.gateway.ruleset)
    {
        return None;
    }
    let no_way_back = no_way_back(loss, source)?;
    let (gateway, link) = (exit.gateway, exit.link);
    let object = format!("source translation of {source} on {} (missing)", link.name);
    let summary = format!("{source} leaves {} by {} untranslated, and {}", gateway.name, link.name, no_way_back.text);
    Some(
        Verdict::new(Cause::SnatMissing, Place::at(&gateway.name, &link.name), object, summary)
            .shown_by(evidence::seen(loss.world, exit.left, ""))
            .shown_by(
                Evidence::new(EvidenceKind::Ruleset, &gateway.name, "no rule at postrouting translates sources")
                    .differs("snat or masquerade", "none"),
            )
            .shown_by(no_way_back)
            .mended_by(mend::masquerade(gateway, link, source))
            .advised(
                "If the networks behind the gateway are meant to be routed, give the next router a route back instead.",
            ),
    )
}

/// Where the request left the operator's networks: the last namespace that passed it on by its default route.
struct Exit<'a> {
    gateway: &'a Namespace,
    link: &'a Link,
    entered: &'a Sight,
    left: &'a Sight,
}

fn exit<'a>(world: &'a World, observation: &'a Observation) -> Option<Exit<'a>> {
    let requests = || observation.journey.of(Leg::Request);
    requests().rev().filter(|s| s.way == Way::Out).find_map(|left| {
        let gateway = world.namespace(&left.netns)?;
        let entered = requests().find(|s| s.netns == left.netns && s.way == Way::In && s.time <= left.time)?;
        let link = gateway.link(left.link)?;
        let query = Query::passing(left.header.source, left.header.destination, entered.link);
        let by_default = look_up(gateway, &query).route().is_some_and(|r| r.destination.prefix_len() == 0);
        by_default.then_some(Exit { gateway, link, entered, left })
    })
}

/// Whether any rule here translates sources; the older engine's tables count, for what they hold is not known.
fn translates(ruleset: &Ruleset) -> bool {
    let source_nat = |e: &Expression| match e {
        Expression::Nat(nat) => nat.source,
        Expression::Masquerade { .. } => true,
        Expression::XtTarget { name, .. } => matches!(name.as_str(), "SNAT" | "MASQUERADE" | "NETMAP"),
        _ => false,
    };
    let at_postrouting = ruleset.chains_at(Hook::Postrouting);
    let in_tables = at_postrouting
        .iter()
        .any(|(table, _, _)| table.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.expressions).any(source_nat));
    in_tables || ruleset.legacy_tables.iter().any(|t| t.ends_with(" nat"))
}

/// How it shows that there is no way back to `source` beyond the gateway.
fn no_way_back(loss: &Loss<'_>, source: IpAddr) -> Option<Evidence> {
    let answer = match loss.leg {
        Leg::Request if loss.arrived() => look_up(loss.netns, &Query::from_here(Some(loss.destination), source)),
        Leg::Answer if loss.entered().is_some() => loss.route(),
        Leg::Request => return silent_beyond(loss, source),
        _ => return None,
    };
    if !matches!(answer, Answer::Missing | Answer::Blocked { .. }) || belongs_to_operator(source) {
        return None;
    }
    let text = format!("{} has no way back to {source}", loss.here());
    Some(Evidence::new(EvidenceKind::Route, loss.here(), text).differs(format!("a route to {source}"), "none"))
}

/// Beyond what this machine sees, nobody routes an address that is not unique in the world.
fn silent_beyond(loss: &Loss<'_>, source: IpAddr) -> Option<Evidence> {
    let super::Stage::Left(link) = loss.stage else { return None };
    let hidden = Segment::of(loss.world, loss.netns, link).open;
    let text = format!("nobody beyond {} can answer {source}, a private address", link.name);
    (hidden && private(source)).then(|| Evidence::new(EvidenceKind::Sighting, loss.here(), text))
}

/// Whether a source is of a kind that is routed rather than translated: a global IPv6 address.
fn belongs_to_operator(source: IpAddr) -> bool {
    Family::of(source) == Family::V6 && !private(source)
}

/// Whether an address is for private use (RFC 1918, RFC 6598, RFC 4193), so that nobody outside has a way back to it.
fn private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, route};
    use crate::model::{RouteKind, TABLE_MAIN};

    fn delivered_untranslated() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"]);
        fixture
    }

    #[test]
    fn nothing_translates_and_the_far_end_has_no_way_back() {
        let (cause, place, object) = delivered_untranslated().verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("snat-missing", "host/eth2"));
        assert_eq!(object, "source translation of 1.1.1.2 on eth2 (missing)");
        let fix = delivered_untranslated().explained().fix;
        assert!(fix.commands().concat().contains("ip saddr 1.1.1.0/24 oifname \"eth2\" masquerade"), "{fix:?}");
        assert!(fix.inverse().commands().concat().contains("delete table ip nsgate-mend"));
    }

    #[test]
    fn a_far_end_that_has_a_way_back_needs_no_translation() {
        let mut fixture = delivered_untranslated();
        let back = route(TABLE_MAIN, "1.1.1.0/24", RouteKind::Unicast, Some(2), Some("10.20.30.182"));
        fixture.netns("world").routes.push(back);
        assert_eq!(fixture.verdict().0, "uncertain");
    }

    #[test]
    fn a_global_ipv6_source_is_routed_not_translated() {
        let mut fixture = Fixture::experiment6();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"]);
        assert_eq!(fixture.verdict().0, "return-route-missing");
    }
}
