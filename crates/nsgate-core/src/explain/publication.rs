//! `dnat-missing`, `dnat-mismatch`, `dnat-target-wrong`, `hairpin-missing`, `localnet-unrouted`: a published address or
//! port is not translated, or not to where the service is, or the answer to it goes astray.

use std::net::IpAddr;

use super::filter;
use super::passage::Passage;
use super::resolution::Unresolved;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, mend};
use crate::filter::{Decision, Nearest, nearest, nearest_passed};
use crate::model::ruleset::{Expression, Hook, text};
use crate::model::segment::Segment;
use crate::model::{Family, Link, Listener, Namespace, Setting, Transport};
use crate::trace::{Ending, Leg, ProbeKind, Sight};

/// What the gateway itself refused, or nobody answered, was to be translated to a service inside.
pub(super) fn untranslated(loss: &Loss<'_>) -> Option<Verdict> {
    let (gateway, link, request) = asked_gateway(loss)?;
    let passage = Passage::of_request(gateway, request, link)?;
    let hook = if link.name.as_str() == "lo" { Hook::Output } else { Hook::Prerouting };
    let walk = passage.at(Hook::Prerouting)?;
    if let (Some(rule), Hook::Output) = (walk.translated_by, hook) {
        let near = Nearest { table: rule.table, chain: rule.chain, rule: rule.rule?, differs: Vec::new() };
        return Some(not_for_own(gateway, &near));
    }
    if let Some(rule) = walk.translated_by {
        return taken_by_another(gateway, link, &passage, rule);
    }
    // Of the rules that the request came by first: one that only what is sent from here meets says nothing of it.
    let passed = nearest_passed(walk, translates_destination).filter(|near| near.differs.len() == 1);
    let anywhere = || nearest(&walk.after, gateway.ruleset.of_both_engines(), translates_destination);
    let near = passed.or_else(anywhere);
    let port = loss.observation.probe.kind.port();
    match near {
        Some(near) if near.differs.is_empty() && hook == Hook::Output => Some(not_for_own(gateway, &near)),
        Some(near) if near.differs.len() == 1 && !(differs_in_port(&near) && listens_inside(loss, gateway, port)) => {
            Some(mismatch(loss, gateway, link, request, &near))
        }
        _ if listens_inside(loss, gateway, port) => Some(missing(loss, gateway, link, request)),
        _ => None,
    }
}

/// The namespace that the request reached as its destination, where that is a gateway with translations of its own.
fn asked_gateway<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, &'a Link, &'a Sight)> {
    let request = loss.observation.journey.furthest(Leg::Request)?;
    let netns = loss.world.namespace(&request.netns)?;
    let link = netns.link(request.link)?;
    netns.holder(request.header.destination)?;
    let closed = matches!(loss.observation.ending, Ending::Reset | Ending::IcmpError { .. } | Ending::Silence);
    (closed && loss.observation.probe.kind != ProbeKind::Icmp && translates(netns)).then_some((netns, link, request))
}

fn translates(netns: &Namespace) -> bool {
    let mut rules = netns.ruleset.of_both_engines().flat_map(|t| t.chains.iter().flat_map(|c| &c.rules));
    rules.any(|r| r.expressions.iter().any(translates_destination))
}

fn translates_destination(expression: &Expression) -> bool {
    match expression {
        Expression::Nat(nat) => !nat.source,
        Expression::Redirect { .. } => true,
        Expression::XtTarget { name, .. } => matches!(name.as_str(), "DNAT" | "REDIRECT"),
        _ => false,
    }
}

fn differs_in_port(near: &Nearest<'_>) -> bool {
    near.differs.iter().any(|d| d.contains("dport"))
}

/// Whether a namespace behind the gateway has a service on the port that was asked for.
fn listens_inside(loss: &Loss<'_>, gateway: &Namespace, port: Option<u16>) -> bool {
    let transport = match loss.observation.probe.kind {
        ProbeKind::Udp(_) => Transport::Udp,
        _ => Transport::Tcp,
    };
    let serves = |l: &Listener| Some(l.port) == port && l.transport == transport && !l.address.is_loopback();
    let from = &loss.observation.probe.from;
    // A port of a bridge is on the bridge's segment.
    let wires = gateway.links.iter().filter(|link| link.master.is_none());
    let behind = wires.flat_map(|link| Segment::of(loss.world, gateway, link).places);
    let others = behind.map(|place| place.netns).filter(|there| there.name != *from && there.name != gateway.name);
    others.flat_map(|there| &there.listeners).any(serves)
}

fn mismatch(loss: &Loss<'_>, gateway: &Namespace, link: &Link, request: &Sight, near: &Nearest<'_>) -> Verdict {
    let rule = text::rule(near.table.family, &near.table.sets, near.rule);
    let differs = near.differs.join(", ");
    let object = format!(
        "{} {} {}: {rule} (handle {})",
        near.table.family.name(),
        near.table.name,
        near.chain.name,
        near.rule.handle
    );
    let summary = format!("'{rule}' of {} nearly translates the request, but asks for {differs}", gateway.name);
    Verdict::new(Cause::DnatMismatch, Place::at(&gateway.name, &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, request, " and was not translated"))
        .shown_by(
            Evidence::new(EvidenceKind::Ruleset, &gateway.name, format!("'{rule}' does not match"))
                .differs(differs, request.header.text.clone()),
        )
        .advised("Correct what differs in the rule, or add one for what is asked.")
}

fn not_for_own(gateway: &Namespace, near: &Nearest<'_>) -> Verdict {
    let rule = text::rule(near.table.family, &near.table.sets, near.rule);
    let object = format!(
        "{} {} {}: {rule}; nothing of the kind at the output hook",
        near.table.family.name(),
        near.table.name,
        near.chain.name
    );
    let summary = format!(
        "'{rule}' stands at prerouting, which what {} sends itself does not pass: it needs one at output",
        gateway.name
    );
    Verdict::new(Cause::DnatMismatch, Place::all_of(&gateway.name), object, summary)
        .shown_by(
            Evidence::new(
                EvidenceKind::Ruleset,
                &gateway.name,
                "no rule at the output hook translates the destination",
            )
            .differs("dnat at output", "none"),
        )
        .advised("Add the same rule to a nat chain at the output hook.")
}

fn missing(loss: &Loss<'_>, gateway: &Namespace, link: &Link, request: &Sight) -> Verdict {
    let header = &request.header;
    let port = header.destination_port.map(|p| format!(" port {p}")).unwrap_or_default();
    let object = format!("destination translation of {}{port} on {} (missing)", header.destination, link.name);
    let summary = format!(
        "nothing in {} translates {}{port}, though a service inside listens on it",
        gateway.name, header.destination
    );
    Verdict::new(Cause::DnatMissing, Place::at(&gateway.name, &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, request, " and was not translated"))
        .shown_by(Evidence::new(EvidenceKind::Ruleset, &gateway.name, "no rule translates it").differs("dnat", "none"))
        .advised("Add a dnat rule at prerouting that leads to the service.")
}

/// Another rule translated the request before the one that was meant could.
fn taken_by_another(gateway: &Namespace, link: &Link, passage: &Passage<'_>, rule: Decision<'_>) -> Option<Verdict> {
    let before = &passage.at(Hook::Prerouting)?.before;
    let after_it = rule.chain.rules.iter().skip_while(|r| Some(r.handle) != rule.rule.map(|r| r.handle)).skip(1);
    let later: Vec<_> = after_it.cloned().collect();
    let mut chain = rule.chain.clone();
    chain.rules = later;
    let mut table = rule.table.clone();
    table.chains = vec![chain];
    let meant = nearest(before, std::iter::once(&table), translates_destination).filter(|n| n.differs.is_empty())?;
    let object = filter::object(&rule);
    let meant = text::rule(table.family, &table.sets, meant.rule);
    let summary = format!("'{object}' takes the request before '{meant}' can translate it");
    Some(
        Verdict::new(Cause::DnatMismatch, Place::at(&gateway.name, &link.name), object, summary)
            .shown_by(filter::of_rule(gateway, &rule))
            .mended_by(mend::delete_rule(gateway, &rule)),
    )
}

/// A floating address is routed to the gateway, which would send it back where it came from: nothing translates it.
pub(super) fn address_missing(loss: &Loss<'_>) -> Option<Verdict> {
    let entered = loss.entered()?;
    let unresolved = Unresolved::of(loss)?;
    let back = unresolved.link.index == entered.index && !unresolved.router && unresolved.holders().next().is_none();
    if loss.leg != Leg::Request || !back || !translates(loss.netns) {
        return None;
    }
    Some(missing_address(loss, entered, loss.last?))
}

fn missing_address(loss: &Loss<'_>, link: &Link, request: &Sight) -> Verdict {
    let address = request.header.destination;
    let object = format!("destination translation of {address} on {} (missing)", link.name);
    let summary = format!("{address} is routed to {}, and no rule there translates it", loss.here());
    Verdict::new(Cause::DnatMissing, Place::at(loss.here(), &link.name), object, summary)
        .shown_by(evidence::seen(loss.world, request, " and was not translated"))
        .shown_by(
            Evidence::new(EvidenceKind::Ruleset, loss.here(), format!("no rule translates {address}"))
                .differs("dnat", "none"),
        )
        .advised("Add a dnat rule at prerouting for that address.")
}

/// The translation leads to an address or port where the service is not; or an old connection keeps an old one.
pub(super) fn target_wrong(loss: &Loss<'_>) -> Option<Verdict> {
    let journey = &loss.observation.journey;
    let asked = loss.observation.probe.destination;
    let translated = journey.of(Leg::Request).find(|s| s.header.destination != asked);
    let (gateway, target) = if let Some(sight) = translated {
        (loss.world.namespace(&sight.netns)?, (sight.header.destination, sight.header.destination_port))
    } else {
        let passage = Passage::of(loss)?;
        let flow = passage.at(Hook::Prerouting)?.after.ip()?.flow();
        (loss.netns, (flow.destination, Some(flow.destination_port)))
    };
    if target.0 == asked || loss.leg != Leg::Request {
        return None;
    }
    let gateway = turns(loss.world, journey, Leg::Request)
        .into_iter()
        .find(|t| t.entered.zip(t.left).is_some_and(|(e, l)| e.header.destination != l.header.destination))
        .map_or(gateway, |t| t.netns);
    let refused = matches!(loss.observation.ending, Ending::Reset | Ending::IcmpError { .. });
    let held = loss.world.namespaces.iter().any(|n| n.holder(target.0).is_some());
    if !refused && held {
        return None;
    }
    let to = target
        .1
        .filter(|p| *p != 0)
        .map_or(target.0.to_string(), |p| std::net::SocketAddr::new(target.0, p).to_string());
    let why = if held { "nothing listens there" } else { "nobody holds that address" };
    let request = journey.of(Leg::Request).find(|s| s.netns == gateway.name && s.way == crate::trace::Way::In)?;
    let link = gateway.link(request.link)?;
    let rule = Passage::of_request(gateway, request, link)
        .and_then(|p| p.at(Hook::Prerouting).map(|w| (w.translated_by, w.after.ip().map(|ip| ip.destination))));
    let (rule, would) = rule.unwrap_or((None, None));
    if rule.is_some() && would.is_some_and(|w| w != target.0) {
        return Some(stale(loss, gateway, &to, rule?));
    }
    let object = rule
        .map_or_else(|| format!("destination translation to {to}"), |r| format!("{} (to {to})", filter::object(&r)));
    let summary = format!("{} translates the request to {to}, and {why}", gateway.name);
    let mut verdict = Verdict::new(Cause::DnatTargetWrong, Place::all_of(&gateway.name), object, summary);
    if let Some(sight) = translated {
        verdict = verdict.shown_by(evidence::seen(loss.world, sight, ""));
    }
    Some(
        verdict
            .shown_by(
                Evidence::new(EvidenceKind::Ruleset, &gateway.name, format!("the translation leads to {to}"))
                    .differs("where the service is", to),
            )
            .advised("Lead the translation to where the service listens."),
    )
}

fn stale(loss: &Loss<'_>, gateway: &Namespace, to: &str, rule: Decision<'_>) -> Verdict {
    let source = loss.observation.identity.map(|i| i.source.to_string()).unwrap_or_default();
    let object = format!("conntrack entry of {source}, which leads to {to}");
    let summary = format!(
        "an old connection-tracking entry of {} leads to {to}; the rules now lead elsewhere: '{}'",
        gateway.name,
        filter::object(&rule)
    );
    Verdict::new(Cause::ConntrackStale, Place::all_of(&gateway.name), object, summary)
        .shown_by(filter::of_rule(gateway, &rule))
        .advised("Delete the old entry: conntrack -D with the flow's addresses and ports.")
}

/// A host reaches its own network's published address, and the answer bypasses the gateway.
pub(super) fn hairpin(loss: &Loss<'_>) -> Option<Verdict> {
    let turn = turns(loss.world, &loss.observation.journey, Leg::Request).into_iter().find(|turn| {
        let same =
            |e: &Sight, l: &Sight| e.header.source == l.header.source && e.header.destination != l.header.destination;
        turn.entered.zip(turn.left).is_some_and(|(e, l)| same(e, l))
    })?;
    let (entered, left) = (turn.entered?, turn.left?);
    let inner = |index| {
        let link = turn.netns.link(index)?;
        link.master.and_then(|m| turn.netns.link(m)).or(Some(link))
    };
    let (by, out) = (inner(entered.link)?, inner(left.link)?);
    if by.index != out.index {
        return None;
    }
    let (source, target) = (left.header.source, left.header.destination);
    let object = format!("source translation (hairpin masquerade) of {source} to {target} on {} (missing)", by.name);
    let summary = format!(
        "{source} reaches {target} through {}'s published address on its own wire {}; the answer goes straight to it, untranslated",
        turn.netns.name, by.name
    );
    Some(
        Verdict::new(Cause::HairpinMissing, Place::at(&turn.netns.name, &by.name), object, summary)
            .shown_by(evidence::seen(loss.world, left, ""))
            .shown_by(
                Evidence::new(EvidenceKind::Ruleset, &turn.netns.name, "its source is not translated")
                    .differs("masquerade", "none"),
            )
            .mended_by(mend::masquerade(turn.netns, by, source)),
    )
}

/// Traffic is translated to or from 127.0.0.0/8 while route_localnet is off.
pub(super) fn localnet(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let translated = passage.walks.iter().find(|(_, walk)| walk.translated_by.is_some());
    let (_, walk) = translated?;
    let ip = walk.after.ip()?;
    let loopback = |a: IpAddr| matches!(a, IpAddr::V4(ip) if ip.is_loopback());
    let link = match loss.entered() {
        Some(entered) if loopback(ip.destination) => entered,
        None if loopback(ip.source) && !loopback(ip.destination) => loss.netns.link(passage.route.as_ref()?.link()?)?,
        _ => return None,
    };
    let switch = evidence::name_of_setting(Family::V4, link, Setting::RouteLocalnet)?;
    let on = link.setting(Family::V4, Setting::RouteLocalnet)? > 0
        || loss.netns.setting_of_all(Family::V4, Setting::RouteLocalnet).is_some_and(|v| v > 0);
    if on {
        return None;
    }
    let summary = format!("the packet is translated between 127.0.0.0/8 and {}, which {switch} = 0 forbids", link.name);
    let verdict =
        Verdict::new(Cause::LocalnetUnrouted, Place::at(loss.here(), &link.name), switch.to_string(), summary)
            .shown_by(evidence::sysctl(loss.netns, &switch, "1", 0))
            .mended_by(mend::sysctl(loss.netns, &switch, "1", 0))
            .advised("It opens services on 127.0.0.1 to that interface: filter what must not come in.");
    Some(walk.translated_by.iter().fold(verdict, |v, rule| v.shown_by(filter::of_rule(loss.netns, rule))))
}
