//! `dnat-missing`, `dnat-mismatch`, `dnat-target-wrong`, `hairpin-missing`, `localnet-unrouted`: a published address or
//! port is not translated, or not to where the service is, or the answer to it goes astray.

use std::net::{IpAddr, SocketAddr};

use super::passage::Passage;
use super::resolution::Unresolved;
use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, filter, mend, publish, service, tracking};
use crate::filter::{Decision, Nearest, nearest, nearest_passed};
use crate::model::ruleset::{Expression, Hook, text};
use crate::model::segment::Segment;
use crate::model::{Family, Link, Listener, Namespace, Setting, Transport};
use crate::plan::LinkSetting;
use crate::plan::Plan;
use crate::trace::{Ending, Leg, ProbeKind, Sight};

/// What the gateway itself refused, or nobody answered, was to be translated to a service inside.
pub(super) fn untranslated(loss: &Loss<'_>) -> Option<Verdict> {
    let (gateway, link, request) = asked_gateway(loss)?;
    let passage = Passage::of_request(gateway, request, link)?;
    let hook = if link.name.as_str() == "lo" { Hook::Output } else { Hook::Prerouting };
    let walk = passage.at(Hook::Prerouting)?;
    if let (Some(rule), Hook::Output) = (walk.translated_by, hook) {
        let near = Nearest::matching(rule.table, rule.chain, rule.rule?);
        return Some(not_for_own(gateway, request, loss.observation.probe.kind, &near));
    }
    if let Some(rule) = walk.translated_by {
        return taken_by_another(gateway, link, &passage, rule);
    }
    // Of the rules that the request came by first: one that only what is sent from here meets says nothing of it.
    let passed =
        nearest_passed(walk, |_, expression| translates_destination(expression)).filter(|near| near.differs.len() == 1);
    let anywhere = || nearest(&walk.after, gateway.ruleset.of_both_engines(), translates_destination);
    let near = passed.or_else(anywhere);
    let untracked = passage.untracked_by().filter(|_| near.as_ref().is_some_and(|near| near.differs.is_empty()));
    if let Some(rule) = untracked {
        return Some(tracking::request_untracked(gateway, &rule));
    }
    let port = loss.observation.probe.kind.port();
    match near {
        Some(near) if near.differs.is_empty() && hook == Hook::Output => {
            Some(not_for_own(gateway, request, loss.observation.probe.kind, &near))
        }
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
    let meant = || {
        translates(netns) || (forwards(netns, request.header.destination) && netns.name != loss.observation.probe.from)
    };
    (closed && loss.observation.probe.kind != ProbeKind::Icmp && meant()).then_some((netns, link, request))
}

/// Whether a namespace passes on packets of an address's family.
fn forwards(netns: &Namespace, address: IpAddr) -> bool {
    let switch = match Family::of(address) {
        Family::V4 => "net.ipv4.ip_forward",
        Family::V6 => "net.ipv6.conf.all.forwarding",
    };
    netns.sysctls.number(switch) == Some(1)
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
    let rule = text::rule_without_counts(near.table.family, &near.table.sets, near.rule);
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
        .mended_by(publish_as(loss, gateway, request, near))
        .advised("The mend adds a translation of its own; correcting what differs in the rule is the cleaner way.")
}

fn not_for_own(gateway: &Namespace, request: &Sight, kind: ProbeKind, near: &Nearest<'_>) -> Verdict {
    let rule = text::rule_without_counts(near.table.family, &near.table.sets, near.rule);
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
        .mended_by(
            publish::target_of(near.table, near.rule, request.header.destination_port)
                .map(|target| publish::to(gateway, Hook::Output, request, kind, target))
                .unwrap_or_default(),
        )
        .advised("The mend is the same translation in a nat chain at the output hook.")
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
        .mended_by(publish_inside(loss, gateway, request))
        .advised("A dnat rule at prerouting has to lead to the service; a filter must let its packets pass, too.")
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
    let meant = text::rule_without_counts(table.family, &table.sets, meant.rule);
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

/// Translates what was asked for to where a rule leads that nearly matches.
fn publish_as(loss: &Loss<'_>, gateway: &Namespace, request: &Sight, near: &Nearest<'_>) -> Plan {
    let target = publish::target_of(near.table, near.rule, request.header.destination_port);
    target.map(|to| publish_to(loss, gateway, request, to)).unwrap_or_default()
}

/// Translates what was asked for to the one service inside that listens on this port.
fn publish_inside(loss: &Loss<'_>, gateway: &Namespace, request: &Sight) -> Plan {
    let target = request.header.destination_port.and_then(|port| publish::service_inside(loss, gateway, port));
    target.map(|to| publish_to(loss, gateway, request, to)).unwrap_or_default()
}

fn publish_to(loss: &Loss<'_>, gateway: &Namespace, request: &Sight, target: SocketAddr) -> Plan {
    publish::to(gateway, Hook::Prerouting, request, loss.observation.probe.kind, target)
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
        .mended_by(publish_inside(loss, loss.netns, request))
        .advised("A dnat rule at prerouting has to lead that address to its host.")
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
    // What serves that port, but for another address, is a matter of its own.
    if target.1.is_some_and(|port| service::bound_elsewhere(loss, target.0, port)) {
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
    let object =
        rule.map_or_else(|| format!("destination translation to {to}"), |r| with_target(filter::object(&r), &to));
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
            .mended_by(publish_elsewhere(loss, gateway, request, target, held))
            .advised("Lead the translation to where the service listens; the mend adds one that comes first."),
    )
}

/// A rule's text with where it leads, where that is not in it already.
fn with_target(rule: String, to: &str) -> String {
    if rule.contains(to) { rule } else { format!("{rule} (to {to})") }
}

/// Translates what was asked for to the one place where the service can be that a translation misses: on another port of
/// its target, or on another host.
fn publish_elsewhere(
    loss: &Loss<'_>,
    gateway: &Namespace,
    request: &Sight,
    target: (IpAddr, Option<u16>),
    held: bool,
) -> Plan {
    let here = held.then(|| publish::port_of_service(loss, target.0)).flatten();
    let here = here.map(|port| SocketAddr::new(target.0, port));
    let found = here.or_else(|| publish::service_inside(loss, gateway, target.1?));
    let found = found.or_else(|| publish::service_beside(loss, gateway, SocketAddr::new(target.0, target.1?)));
    found.map(|to| publish_to(loss, gateway, request, to)).unwrap_or_default()
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
    if let Some(verdict) = not_sent_back(loss, &turn, by) {
        return Some(verdict);
    }
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

/// Its source would be translated, but the bridge hands it to the packet filter itself, and then does not send it back by
/// the port that it came in by (linux net/bridge/br_forward.c `should_deliver`).
fn not_sent_back(loss: &Loss<'_>, turn: &Turn<'_>, bridge: &Link) -> Option<Verdict> {
    let (netns, entered, left) = (turn.netns, turn.entered?, turn.left?);
    let switch = match Family::of(left.header.destination) {
        Family::V4 => "net.bridge.bridge-nf-call-iptables",
        Family::V6 => "net.bridge.bridge-nf-call-ip6tables",
    };
    netns.sysctls.number(switch).filter(|value| *value == 1)?;
    let leads_there = |port: &&Link| {
        let end = loss.world.peer(netns, port);
        port.master == Some(bridge.index) && end.is_some_and(|(_, end)| end.holds(left.header.destination))
    };
    let port = netns.links.iter().find(leads_there)?;
    let came_by_it = loss.world.peer(netns, port).is_some_and(|(_, end)| end.holds(entered.header.source));
    if !came_by_it || port.port.as_ref()?.hairpin {
        return None;
    }
    let rule = Passage::of_request(netns, entered, bridge)?.at(Hook::Postrouting)?.translated_by?;
    let object = format!("port {} of {}, hairpin off", port.name, bridge.name);
    let summary = format!(
        "{} of {} does not send back by {} what came in by it, so {} does not reach itself by the published address",
        bridge.name, netns.name, port.name, entered.header.source
    );
    let text = format!("hairpin of port {} is off, and {switch} is 1", port.name);
    Some(
        Verdict::new(Cause::HairpinMissing, Place::at(&netns.name, &port.name), object, summary)
            .shown_by(evidence::seen(loss.world, left, " and did not come out at the port"))
            .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, text).differs("hairpin on", "hairpin off"))
            .shown_by(filter::of_rule(netns, &rule))
            .mended_by(mend::set_link(netns, port, LinkSetting::Hairpin(true), LinkSetting::Hairpin(false)))
            .advised(
                "The engine that made the port sets this at its start; Docker does where its userland proxy is off.",
            ),
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

#[cfg(test)]
mod tests {
    use nsgate_packet::{Tcp, TcpFlags, Transport as Segment, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::model::{Listener, Transport};
    use crate::trace::{Ending, Leg, ProbeKind};

    fn listens(fixture: &mut Fixture, netns: &str, address: &str, port: u16) {
        fixture.netns(netns).listeners.push(Listener {
            transport: Transport::Tcp,
            address: address.parse().unwrap(),
            port,
            only_v6: false,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 64,
        });
    }

    /// The opening of a connection to port 8080, in bytes.
    fn opening(source: &str, destination: &str) -> Vec<u8> {
        let tcp = Tcp {
            source_port: 40000,
            destination_port: 8080,
            sequence: 1,
            acknowledgement: 0,
            flags: TcpFlags::SYN,
            window: 100,
            options: &[],
            payload: &[],
        };
        let outer = build::Outer::new(source.parse().unwrap(), destination.parse().unwrap());
        build::ip(&outer, &Segment::Tcp(tcp)).unwrap()
    }

    #[test]
    fn a_gateway_that_translates_nothing_at_all_may_be_meant_to() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(8080));
        fixture.observation.probe.from = crate::explain::fixture::name("world");
        fixture.observation.probe.destination = "10.20.30.182".parse().unwrap();
        fixture.seen(Leg::Request, "10.20.30.1", "10.20.30.182", &["world:w0>", "host:eth2<"]);
        fixture.observation.journey.sights[1].bytes = opening("10.20.30.1", "10.20.30.182");
        fixture.observation.ending = Ending::Reset;
        assert_ne!(fixture.verdict().0, "dnat-missing", "nobody inside serves that port");
        listens(&mut fixture, "ns_1", "0.0.0.0", 8080);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("dnat-missing", "host/eth2"));
        assert!(object.contains("10.20.30.182 port 8080"), "{object}");
        fixture.sysctl("host", "net.ipv4.ip_forward", "0");
        assert_ne!(fixture.verdict().0, "dnat-missing", "what does not forward is no gateway");
    }

    /// `ns_1` asks for the address that the bridge's host publishes its own service under.
    fn back_to_itself(rules: &str) -> Fixture {
        let mut fixture = Fixture::lan().probing(ProbeKind::Tcp(8080));
        fixture.observation.probe.destination = "192.0.2.1".parse().unwrap();
        fixture.seen(Leg::Request, "1.1.1.2", "192.0.2.1", &["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.2", &["host:br0>"]);
        for sight in &mut fixture.observation.journey.sights {
            sight.bytes = opening("1.1.1.2", "192.0.2.1");
        }
        fixture.netns("host").ruleset = Ruleset::from_text(rules).unwrap();
        fixture
    }

    #[test]
    fn a_bridge_that_filters_sends_nothing_back_by_the_same_port() {
        let dnat = "chain a { type nat hook prerouting priority -100; ip daddr 192.0.2.1 dnat to 1.1.1.2\n }";
        let snat = "chain b { type nat hook postrouting priority 100; ip saddr 1.1.1.2 ip daddr 1.1.1.2 masquerade\n }";
        let mut fixture = back_to_itself(&format!("table ip nat {{ {dnat} {snat} }}"));
        assert_eq!(fixture.verdict().1, "host/br0", "what is routed goes out by any port");
        fixture.sysctl("host", "net.bridge.bridge-nf-call-iptables", "1");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("hairpin-missing", "host/veth3"));
        assert_eq!(object, "port veth3 of br0, hairpin off");
        assert_eq!(fixture.explained().fix.commands(), ["bridge link set dev veth3 hairpin on"]);
        fixture.netns("host").ruleset = Ruleset::from_text(&format!("table ip nat {{ {dnat} }}")).unwrap();
        assert_eq!(fixture.verdict().1, "host/br0", "the translation of its source comes first");
    }

    #[test]
    fn what_serves_the_port_for_other_addresses_only_is_told_of_the_service() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(8080));
        fixture.observation.probe.destination = "10.20.30.182".parse().unwrap();
        fixture.observation.probe.from = crate::explain::fixture::name("world");
        fixture.seen(Leg::Request, "10.20.30.1", "10.20.30.182", &["world:w0>", "host:eth2<"]);
        fixture.seen(Leg::Request, "10.20.30.1", "1.1.1.2", &["host:veth3>", "ns_1:veth2<"]);
        fixture.sysctl("ns_1", "net.ipv4.ip_forward", "0");
        fixture.observation.ending = Ending::Reset;
        assert_eq!(fixture.verdict().0, "dnat-target-wrong");
        listens(&mut fixture, "ns_1", "127.0.0.1", 8080);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("service-closed", "ns_1/veth2"));
        assert!(object.contains("bound to 127.0.0.1 only"), "{object}");
    }

    #[test]
    fn an_address_that_is_translated_and_that_nobody_holds() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(8080));
        fixture.observation.probe.destination = "10.20.30.190".parse().unwrap();
        fixture.seen(Leg::Request, "1.1.1.2", "10.20.30.190", &["ns_1:veth2>", "host:veth3<"]);
        fixture.observation.journey.sights[1].bytes = opening("1.1.1.2", "10.20.30.190");
        fixture.seen(Leg::Question, "10.20.30.182", "10.20.30.190", &["host:eth2>", "world:w0<"]);
        assert_eq!(fixture.verdict().0, "neighbour-failed");
        let rules = |to: &str| {
            let chain = "chain a { type nat hook prerouting priority -100;";
            Ruleset::from_text(&format!("table ip nat {{ {chain} {to} dnat to 10.0.0.1\n }} }}")).unwrap()
        };
        fixture.netns("world").ruleset = rules("tcp dport 8080");
        assert_eq!(fixture.verdict().0, "neighbour-failed", "a rule for every address says nothing of this one");
        fixture.netns("world").ruleset = rules("ip daddr 10.20.30.190");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("address-missing", "world/w0"));
        assert_eq!(object, "10.20.30.190 on w0 (missing)");
        assert_eq!(fixture.explained().fix.commands(), ["ip -n world addr add 10.20.30.190/32 dev w0"]);
    }
}
