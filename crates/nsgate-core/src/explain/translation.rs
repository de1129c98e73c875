//! `snat-missing`, `snat-mismatch`, `snat-address-wrong`, `snat-exhausted`, and what makes a packet pass by its
//! translation: the source leaves untranslated, or as what it should not be, and nobody beyond has a way back to it.

use super::filter;
use super::passage::Passage;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend, tracking, uncertain};
use crate::filter::{Decision, Nearest, Outcome, nearest};
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::{ChainKind, Expression, Hook, text};
use crate::model::segment::{Place as At, Segment};
use crate::model::{Family, Link, Namespace, Route, World};
use crate::plan::Plan;
use crate::trace::{Leg, Observation, ProbeKind, Sight};
use std::net::IpAddr;

/// Nothing translates the source on the way out of the operator's networks, or what should have does not.
pub(super) fn source_missing(loss: &Loss<'_>) -> Option<Verdict> {
    let exit = exit(loss.world, loss.observation)?;
    let source = exit.left.header.source;
    if exit.entered.header.source != source || exit.gateway.holder(source).is_some() {
        return None;
    }
    let no_way_back = no_way_back(loss, source)?;
    let passage = Passage::of_request(exit.gateway, exit.entered, exit.link);
    let found = passage.as_ref().and_then(|p| passed_by(&exit, p)).or_else(|| nearly(&exit, passage.as_ref()));
    let verdict = match found {
        Some(verdict) => verdict,
        None if exit.gateway.ruleset.has_unread_nat() => return None,
        None => missing(loss.world, &exit, source, &no_way_back)?,
    };
    Some(verdict.shown_by(evidence::seen(loss.world, exit.left, "")).shown_by(no_way_back))
}

/// A private source leaves its own network untranslated, the next hop knows another network by it, and the answer ends with
/// a host there that holds the same address.
pub(super) fn source_shared(loss: &Loss<'_>) -> Option<Verdict> {
    let (source, other) = (loss.destination, loss.entered()?);
    if loss.leg != Leg::Answer || *loss.here() == loss.observation.probe.from || !other.holds(source) {
        return None;
    }
    let turns = turns(loss.world, &loss.observation.journey, Leg::Request);
    let (turn, next) = turns.windows(2).find_map(|pair| {
        let [turn, next] = pair else { return None };
        let (entered, left, came) = (turn.entered?, turn.left?, next.way_in()?);
        let untranslated = entered.header.source == source && left.header.source == source;
        let way = look_up(next.netns, &Query::from_here(None, source));
        (untranslated && way.link().is_some_and(|link| link != came.index)).then_some((turn, next))
    })?;
    let (gateway, link) = (turn.netns, turn.way_out()?);
    let by_default = turn.route()?.route()?.destination.prefix_len() == 0;
    if !private(source) || !by_default || gateway.holder(source).is_some() || gateway.ruleset.has_unread_nat() {
        return None;
    }
    let (here, there) = (loss.here(), &next.netns.name);
    let object = format!("source translation of {source} on {} (missing)", link.name);
    let summary = format!(
        "{source} leaves {} by {} untranslated; {there} has a network of the same addresses elsewhere, and the answer ends \
         in {here}, which holds {source} too",
        gateway.name, link.name
    );
    Some(
        Verdict::new(Cause::SnatMissing, Place::at(&gateway.name, &link.name), object, summary)
            .shown_by(evidence::seen(loss.world, turn.left?, ""))
            .shown_by(
                Evidence::new(EvidenceKind::Sighting, here, format!("{} holds {source}", other.name))
                    .differs(format!("{source} in {} alone", loss.observation.probe.from), format!("in {here}, too")),
            )
            .mended_by(mend::masquerade(gateway, link, source))
            .advised("Two networks of the same addresses cannot be told apart: give one of them another prefix."),
    )
}

/// No rule translates sources at all.
fn missing(world: &World, exit: &Exit<'_>, source: IpAddr, why: &Evidence) -> Option<Verdict> {
    // Global IPv6 addresses are routed, not translated: what is missing is the way back. So it is for a neighbour on the
    // uplink's own link, who may be the operator's.
    if belongs_to_operator(source) || !exit.by_default {
        return None;
    }
    let (gateway, link) = (exit.gateway, exit.link);
    let object = format!("source translation of {source} on {} (missing)", link.name);
    let unread = uncertain::unread_filter(world, &gateway.name).map_or_else(String::new, |of| format!(" {of}"));
    let summary = format!("{source} leaves {} by {} untranslated, and {}", gateway.name, link.name, why.text);
    Some(
        Verdict::new(Cause::SnatMissing, Place::at(&gateway.name, &link.name), object, summary)
            .shown_by(
                Evidence::new(EvidenceKind::Ruleset, &gateway.name, "no rule at postrouting translates sources")
                    .differs("snat or masquerade", "none"),
            )
            .mended_by(mend::masquerade(gateway, link, source))
            .advised(format!(
                "If the networks behind the gateway are meant to be routed, give the next router a route back \
                 instead.{unread}",
            )),
    )
}

/// What made the packet pass by a translation that would have matched: no tracking, an old entry, or an earlier rule.
fn passed_by(exit: &Exit<'_>, passage: &Passage<'_>) -> Option<Verdict> {
    let (gateway, link) = (exit.gateway, exit.link);
    let place = Place::at(&gateway.name, &link.name);
    if let Some(rule) = passage.untracked_by() {
        return Some(tracking::request_untracked(gateway, &rule));
    }
    let walk = passage.at(Hook::Postrouting)?;
    if let Some(rule) = walk.translated_by {
        let header = &exit.entered.header;
        let flow = format!(
            "{}:{} > {}:{}",
            header.source,
            header.source_port.unwrap_or(0),
            header.destination,
            header.destination_port.unwrap_or(0)
        );
        let object = format!("conntrack entry of {flow}");
        let summary = format!(
            "{} keeps {flow} untranslated by an old connection-tracking entry, made before the rule '{}'",
            gateway.name,
            filter::object(&rule)
        );
        return Some(
            Verdict::new(Cause::ConntrackStale, Place::all_of(&gateway.name), object, summary)
                .shown_by(filter::of_rule(gateway, &rule))
                .advised("Delete the old entry: conntrack -D with the flow's addresses and ports."),
        );
    }
    let would = nearest_translation(exit, Some(passage)).filter(|n| n.differs.is_empty())?;
    let earlier = walk.steps.iter().rfind(|s| s.kind == ChainKind::Nat && matches!(s.outcome, Outcome::Matched(_)))?;
    let object = filter::object(&earlier.decision);
    let later = text::rule_without_counts(would.table.family, &would.table.sets, would.rule);
    let summary = format!("in {}, '{object}' takes the packet before '{later}' could translate it", gateway.name);
    let verdict =
        Verdict::new(Cause::SnatMismatch, place, object, summary).shown_by(filter::of_rule(gateway, &earlier.decision));
    let Decision { table, chain, rule } = earlier.decision;
    if !gateway.ruleset.is_legacy(table) {
        return Some(verdict.mended_by(mend::delete_rule(gateway, &earlier.decision)));
    }
    // What the older engine lets through untranslated, nftables may still translate at the same hook.
    let program = gateway.ruleset.engine(table);
    let number = rule.map_or(1, |rule| rule.handle);
    let enter = if gateway.name.is_host() { String::new() } else { format!("ip netns exec {} ", gateway.name) };
    let advice = format!(
        "The mend adds a translation of its own; taking the earlier rule away is the cleaner way: \
         {enter}{program} -t {} -D {} {number}",
        table.name, chain.name
    );
    Some(verdict.mended_by(mend::masquerade(gateway, exit.link, exit.left.header.source)).advised(advice))
}

/// A rule that nearly translates the source, with what of it differs.
fn nearly(exit: &Exit<'_>, passage: Option<&Passage<'_>>) -> Option<Verdict> {
    let nearest = nearest_translation(exit, passage)?;
    let (gateway, link, source) = (exit.gateway, exit.link, exit.left.header.source);
    let rule = text::rule_without_counts(nearest.table.family, &nearest.table.sets, nearest.rule);
    let differs = nearest.differs.join(", ");
    let object = format!(
        "{} {} {}: {rule} (handle {})",
        nearest.table.family.name(),
        nearest.table.name,
        nearest.chain.name,
        nearest.rule.handle
    );
    let summary =
        format!("{source} leaves {} by {} untranslated: the rule '{rule}' asks for {differs}", gateway.name, link.name);
    let found = format!("{} leaving by {}", exit.left.header.text, link.name);
    Some(
        Verdict::new(Cause::SnatMismatch, Place::at(&gateway.name, &link.name), object, summary)
            .shown_by(
                Evidence::new(EvidenceKind::Ruleset, &gateway.name, format!("'{rule}' does not match"))
                    .differs(differs, found),
            )
            .mended_by(mend::masquerade(gateway, link, source))
            .advised("The mend adds a translation of its own; correcting the rule that differs is the cleaner way."),
    )
}

fn nearest_translation<'a>(exit: &Exit<'a>, passage: Option<&Passage<'a>>) -> Option<Nearest<'a>> {
    let subject = &passage?.at(Hook::Postrouting)?.after;
    nearest(subject, exit.gateway.ruleset.of_both_engines(), translates_source)
}

fn translates_source(expression: &Expression) -> bool {
    match expression {
        Expression::Nat(nat) => nat.source,
        Expression::Masquerade { .. } => true,
        Expression::XtTarget { name, .. } => matches!(name.as_str(), "SNAT" | "MASQUERADE" | "NETMAP"),
        _ => false,
    }
}

/// The source becomes an address that the gateway does not hold, so the answer never comes back to it.
pub(super) fn address_wrong(loss: &Loss<'_>) -> Option<Verdict> {
    let turn = turns(loss.world, &loss.observation.journey, Leg::Request)
        .into_iter()
        .find(|t| t.entered.zip(t.left).is_some_and(|(entered, left)| entered.header.source != left.header.source))?;
    let (entered, left) = (turn.entered?, turn.left?);
    let chosen = left.header.source;
    let gateway = turn.netns;
    let back = loss.leg == Leg::Answer && loss.destination == chosen;
    if gateway.holder(chosen).is_some() || !back {
        return None;
    }
    let link = turn.way_out()?;
    let object = format!("source address {chosen} on {}", link.name);
    let summary = format!(
        "{} turns {} into {chosen}, an address that it does not hold: the answer does not come back to it",
        gateway.name, entered.header.source
    );
    let rule = Passage::of_request(gateway, entered, link).and_then(|p| p.at(Hook::Postrouting)?.translated_by);
    let held = link.addresses.iter().map(|a| a.net.addr()).find(|a| a.is_ipv4() == chosen.is_ipv4());
    let held = held.map_or("an address of the uplink".to_string(), |a| a.to_string());
    let mut verdict = Verdict::new(Cause::SnatAddressWrong, Place::at(&gateway.name, &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, left, ""))
        .shown_by(
            Evidence::new(
                EvidenceKind::Link,
                &gateway.name,
                format!("no interface of {} holds {chosen}", gateway.name),
            )
            .differs(held.clone(), chosen.to_string()),
        );
    if let Some(rule) = rule {
        let text = filter::object(&rule);
        let evidence = Evidence::new(EvidenceKind::Ruleset, &gateway.name, text);
        verdict = verdict.shown_by(evidence.differs(format!("a translation to {held}"), chosen.to_string()));
    }
    // An address that somebody else has is not to be taken.
    let elsewhere = |place: &At<'_>| place.netns.name != gateway.name;
    if let Some(owner) = Segment::of(loss.world, gateway, link).holders(chosen).find(elsewhere) {
        return Some(verdict.mended_by(mend::masquerade_first(gateway, link, entered.header.source)).advised(format!(
            "{} has {chosen} now, and gets the answers: correct the rule that translates to it. Whatever wrote it writes \
             it again; change it there.",
            owner.netns.name
        )));
    }
    let net = link.addresses.iter().find(|a| a.net.contains(&chosen)).map_or(32, |a| a.net.prefix_len());
    let net = ipnet::IpNet::new(chosen, net).ok()?;
    Some(
        verdict
            .mended_by(mend::add_address(gateway, link, net))
            .advised(format!("Translating to {held} instead is the cleaner way, if {chosen} was not meant.")),
    )
}

/// No free port or mapping is left in the translation range.
pub(super) fn exhausted(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.moved("Conntrack.insert_failed") == 0 && loss.moved("Conntrack.drop") == 0 {
        return None;
    }
    let passage = Passage::of(loss)?;
    let rule = passage.at(Hook::Postrouting)?.translated_by?;
    let link = loss.way_out()?;
    let object = filter::object(&rule);
    let summary = format!(
        "no free mapping is left for '{object}' in {}: the translation fails and the packet is dropped",
        loss.here()
    );
    let counter = if loss.moved("Conntrack.insert_failed") > 0 { "Conntrack.insert_failed" } else { "Conntrack.drop" };
    Some(
        Verdict::new(Cause::SnatExhausted, Place::at(loss.here(), &link.name), object, summary)
            .shown_by(evidence::counted(loss, counter))
            .shown_by(filter::of_rule(loss.netns, &rule))
            .mended_by(with_all_ports(loss, &rule).unwrap_or_default())
            .advised(
                "Widen the rule's range of ports, or add addresses to it; the mend translates to all ports. If a provider \
                 shares the address out by ports, ask for more of them instead.",
            ),
    )
}

/// Translates this protocol to the same address without the range of ports that is used up; none where it is the
/// addresses that are.
fn with_all_ports(loss: &Loss<'_>, rule: &Decision<'_>) -> Option<Plan> {
    let text = text::rule_without_counts(rule.table.family, &rule.table.sets, rule.rule?);
    let word = |before: &str| text.split_once(before)?.1.split(' ').next();
    let single = |target: &str| {
        let address = target.strip_prefix('[').map_or(target.split(':').next(), |rest| rest.split(']').next())?;
        let ports = target.ends_with(|c: char| c.is_ascii_digit()) && target.len() > address.len() + 1;
        address.parse::<IpAddr>().ok().filter(|_| ports)
    };
    let statement = match word("snat to ").or_else(|| word("--to-source ")) {
        Some(target) => format!("snat to {}", single(target)?),
        None => word("masquerade to :").or_else(|| word("--to-ports ")).map(|_| "masquerade".to_owned())?,
    };
    let protocol = match loss.observation.probe.kind {
        ProbeKind::Icmp => return None,
        kind => kind.name(),
    };
    let (out, source) = (loss.way_out()?, loss.source?);
    Some(mend::translate_first(loss.netns, out, source, &format!("meta l4proto {protocol} {statement}")))
}

/// Where the request left the operator's networks: the last namespace that passed it on by the interface of its default
/// route.
struct Exit<'a> {
    gateway: &'a Namespace,
    link: &'a Link,
    entered: &'a Sight,
    left: &'a Sight,
    /// The destination is reached by the default route, not on the link itself: it is nobody of the operator's.
    by_default: bool,
}

fn exit<'a>(world: &'a World, observation: &'a Observation) -> Option<Exit<'a>> {
    turns(world, &observation.journey, Leg::Request).into_iter().rev().find_map(|turn| {
        let (gateway, link) = (turn.netns, turn.way_out()?);
        let (entered, left) = (turn.entered?, turn.left?);
        let query = Query::passing(left.header.source, left.header.destination, entered.link);
        let by_default = look_up(gateway, &query).route().is_some_and(|r| r.destination.prefix_len() == 0);
        let family = Family::of(left.header.destination);
        let leads_outside = |r: &Route| {
            r.destination.prefix_len() == 0
                && Family::of(r.destination.addr()) == family
                && r.next_hops.iter().any(|hop| hop.link == Some(link.index))
        };
        let outside = by_default || gateway.routes.iter().any(leads_outside);
        outside.then_some(Exit { gateway, link, entered, left, by_default })
    })
}

/// How it shows that there is no way back to `source` beyond the gateway.
fn no_way_back(loss: &Loss<'_>, source: IpAddr) -> Option<Evidence> {
    let answer = match loss.leg {
        Leg::Request if loss.arrived() => look_up(loss.netns, &Query::from_here(Some(loss.destination), source)),
        Leg::Answer if loss.entered().is_some() => loss.route(),
        Leg::Request => return silent_beyond(loss, source),
        _ => return None,
    };
    if !matches!(answer, Answer::Missing | Answer::Blocked { .. }) {
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
    use crate::trace::Leg;

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

    #[test]
    fn an_address_that_somebody_else_has_is_not_taken_from_him() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.9", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        fixture.seen(Leg::Answer, "114.114.114.114", "10.20.30.9", &["world:w0>"]);
        assert_eq!(fixture.verdict().0, "snat-address-wrong");
        assert_eq!(fixture.explained().fix.commands(), ["ip addr add 10.20.30.9/24 dev eth2"]);
        let other =
            crate::model::Address { net: "10.20.30.9/24".parse().unwrap(), ..fixture.link("world", "w0").addresses[0] };
        fixture.link("world", "w0").addresses.push(other);
        let verdict = fixture.explained();
        let commands = verdict.fix.commands().join("; ");
        assert!(!commands.contains("addr add") && commands.contains("masquerade"), "{commands}");
        assert!(verdict.advice.unwrap().starts_with("world has 10.20.30.9 now"));
    }
}
