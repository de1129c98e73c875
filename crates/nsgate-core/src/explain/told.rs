//! What the kernel itself told of a loss: where it threw the probe away and why, and which rule of the packet filter
//! decided so.

use nsgate_packet::Ip;

use super::{Evidence, EvidenceKind, Loss, filter};
use crate::filter::Decision;
use crate::model::ruleset::{Data, Expression, Hook, Rule, Table, TableFamily, Verdict};
use crate::model::{Family, Namespace, NetnsName, World};
use crate::trace::{
    DropReason, KernelEvent, KernelEventKind, Observation, RuleCount, RuleEvent, RuleStep, Stretch, life, stretch,
};

/// All that was told of losses, in one namespace or in all of them.
pub(super) fn evidence(world: &World, observation: &Observation, netns: Option<&NetnsName>) -> Vec<Evidence> {
    let wanted = |name: &NetnsName| netns.is_none_or(|netns| netns == name);
    let mut told: Vec<Evidence> = Vec::new();
    let mut tell = |evidence: Evidence| {
        if !told.contains(&evidence) {
            told.push(evidence);
        }
    };
    for event in observation.rules.iter().filter(|event| event.is_loss() && wanted(&event.netns)) {
        let decision = world.namespace(&event.netns).and_then(|netns| decision(netns, event));
        let text = match decision {
            Some(decision) => format!("nft trace: dropped by {}", filter::object(&decision)),
            // It came after the World was read.
            None => format!("nft trace: dropped in chain {} of table {}", event.chain, event.table),
        };
        tell(Evidence::new(EvidenceKind::Kernel, &event.netns, text));
    }
    for (decision, count) in dropping(world, observation).filter(|(_, count)| wanted(&count.netns)) {
        let packets = if count.packets == 1 { "1 packet" } else { &format!("{} packets", count.packets) };
        let text = format!("iptables-legacy counted {packets} meanwhile: {}", filter::object(&decision));
        tell(Evidence::new(EvidenceKind::Counter, &count.netns, text));
    }
    let events = &observation.kernel;
    let losses = events.iter().enumerate().filter(|(_, event)| is_loss_of_probe(observation, event));
    let losses: Vec<_> = losses.map(|(place, event)| (event, life(events, place))).collect();
    for (event, life) in &losses {
        // Of one that was looked at closer the rest need not be told.
        let closer = |(other, its_life): &(&KernelEvent, Vec<&KernelEvent>)| {
            other.kind == event.kind && other.netns == event.netns && stretch(its_life).is_some()
        };
        let Some(netns) = event.netns.as_ref().filter(|netns| wanted(netns)) else { continue };
        if stretch(life).is_some() || !losses.iter().any(closer) {
            tell(Evidence::new(EvidenceKind::Kernel, netns, dropped(world, event, life)));
        }
    }
    told
}

/// The rules of the older engine that drop packets and met some meanwhile.
fn dropping<'a>(world: &'a World, observation: &'a Observation) -> impl Iterator<Item = (Decision<'a>, &'a RuleCount)> {
    let drops = |rule: &Rule| {
        let verdict = |e: &Expression| matches!(e, Expression::Immediate { data: Data::Verdict(Verdict::Drop), .. });
        rule.expressions.iter().any(|e| verdict(e) || matches!(e, Expression::Reject { .. }))
    };
    observation.counted.iter().filter_map(move |count| {
        let ruleset = &world.namespace(&count.netns)?.ruleset;
        let id = |table: &&Table| table.family == count.table.family && table.name == count.table.name;
        let table = ruleset.legacy.iter().find(id)?;
        let chain = table.chain(&count.chain)?;
        let rule = chain.rules.iter().find(|rule| rule.handle == count.rule).filter(|rule| drops(rule))?;
        Some((Decision { table, chain, rule: Some(rule) }, count))
    })
}

/// Who dropped the packet in the namespace that lost it, as the packet filter's own trace has it.
pub(super) fn dropped_by<'a>(loss: &Loss<'a>) -> Option<(Hook, Decision<'a>)> {
    traced(loss, |family| !matches!(family, TableFamily::Arp | TableFamily::Bridge))
}

/// Who dropped the frame on its way across a bridge of the namespace that lost it, as the trace has it.
pub(super) fn dropped_by_bridge<'a>(loss: &Loss<'a>) -> Option<Decision<'a>> {
    traced(loss, |family| family == TableFamily::Bridge).map(|(_, decision)| decision)
}

fn traced<'a>(loss: &Loss<'a>, of: fn(TableFamily) -> bool) -> Option<(Hook, Decision<'a>)> {
    let events = &loss.observation.rules;
    let here = |event: &RuleEvent| event.netns == *loss.here() && of(event.table.family);
    let is_it = |event: &RuleEvent| event.packet().as_ip().is_some_and(|ip| is_lost_packet(loss, &ip));
    let place = events.iter().rposition(|event| here(event) && event.is_loss() && is_it(event))?;
    let event = &events[place];
    // A chain without a hook was called by one that has one.
    let mut before = events[..=place].iter().rev().filter(|e| here(e) && e.packet == event.packet);
    let base = before.find_map(|e| decision(loss.netns, e)?.chain.base.as_ref())?;
    Some((base.hook, decision(loss.netns, event)?))
}

/// The rule or policy that an event is about.
fn decision<'a>(netns: &'a Namespace, event: &RuleEvent) -> Option<Decision<'a>> {
    let table = netns.ruleset.table(event.table.family, &event.table.name)?;
    let chain = table.chain(&event.chain)?;
    let rule = match event.step {
        RuleStep::Rule(handle) => Some(chain.rules.iter().find(|rule| rule.handle == handle)?),
        RuleStep::Policy | RuleStep::Return => None,
    };
    Some(Decision { table, chain, rule })
}

/// Whether a packet is the one that was lost, and not an error that it caused or what goes the other way.
fn is_lost_packet(loss: &Loss<'_>, ip: &Ip<'_>) -> bool {
    let last = loss.header().map(|header| (header.source, header.destination));
    let (source, destination) = last.map_or((loss.source, loss.destination), |(s, d)| (Some(s), d));
    loss.observation.probe.kind.is_of(ip)
        && (Some(ip.source) == source || ip.destination == destination || ip.destination == loss.destination)
}

/// That the kernel dropped the probe where it was lost, for one of these reasons.
pub(super) fn dropped_for(loss: &Loss<'_>, reasons: &[&str]) -> Option<Evidence> {
    loss.observation.kernel.iter().find_map(|event| match &event.kind {
        KernelEventKind::Dropped { reason: DropReason::Named(reason), .. }
            if event.netns.as_ref() == Some(loss.here())
                && reasons.contains(&reason.as_str())
                && is_loss_of_probe(loss.observation, event) =>
        {
            Some(Evidence::new(EvidenceKind::Kernel, loss.here(), format!("the kernel dropped it: {reason}")))
        }
        _ => None,
    })
}

pub(super) fn is_loss_of_probe(observation: &Observation, event: &KernelEvent) -> bool {
    event.is_loss() && event.packet().as_ip().is_some_and(|ip| observation.probe.kind.is_of(&ip))
}

/// Why and where it was dropped, and the last hook of the packet filter that it had come to, or what stands where it died.
fn dropped(world: &World, event: &KernelEvent, life: &[&KernelEvent]) -> String {
    let KernelEventKind::Dropped { reason, symbol } = &event.kind else { return String::new() };
    let function = symbol.as_ref().map(|symbol| format!(" in {symbol}")).unwrap_or_default();
    let last = life.iter().rev().find_map(|event| match (&event.kind, &event.netns) {
        (KernelEventKind::Tap { hook, .. }, Some(netns)) => Some((hook, netns)),
        _ => None,
    });
    let place = match (stretch(life), last) {
        (Some(stretch), Some((_, netns))) => {
            let stands = world.namespace(netns).and_then(|netns| standing(netns, stretch, family_of(event)));
            let stands = stands.map(|what| format!(", where {what} stands")).unwrap_or_default();
            format!(", at {} of {netns}{}{stands}", stretch.hook.name(), between(stretch))
        }
        (None, Some((hook, netns))) => format!(", after {} of {netns}", hook.name()),
        (_, None) => String::new(),
    };
    format!("the kernel dropped it: {reason}{function}{place}")
}

/// The priorities of a stretch in words.
fn between(stretch: Stretch) -> String {
    match (stretch.from, stretch.until) {
        // Behind the last tap there is only the kernel's own end.
        (from, _) if from > i32::MAX - 16 => " at its very end".to_owned(),
        (from, i32::MAX) => format!(" behind priority {from}"),
        (from, until) => format!(" between priorities {from} and {until}"),
    }
}

/// What is known to stand in a stretch of a hook.
fn standing(netns: &Namespace, stretch: Stretch, family: Option<Family>) -> Option<String> {
    let within = |priority: i32| stretch.from < priority && priority < stretch.until;
    let sees = |table: &Table| match table.family {
        TableFamily::Inet => true,
        TableFamily::Ip => family == Some(Family::V4),
        TableFamily::Ip6 => family == Some(Family::V6),
        _ => false,
    };
    let chains = netns.ruleset.chains_at(stretch.hook);
    let mut standing: Vec<String> = chains
        .into_iter()
        .filter(|(table, _, base)| sees(table) && within(base.priority))
        .map(|(table, chain, _)| {
            let engine = if netns.ruleset.is_legacy(table) { " (iptables-legacy)" } else { "" };
            format!("{} {} {}{engine}", table.family.name(), table.name, chain.name)
        })
        .collect();
    match stretch.hook {
        Hook::Prerouting | Hook::Output if within(TRACKING) => standing.push("connection tracking".to_owned()),
        Hook::Postrouting | Hook::Input if within(i32::MAX - 1) => {
            standing.push("the end of connection tracking".to_owned());
        }
        _ => {}
    }
    (!standing.is_empty()).then(|| standing.join(", "))
}

/// The family of a packet.
fn family_of(event: &KernelEvent) -> Option<Family> {
    event.packet().as_ip().map(|ip| Family::of(ip.source))
}

/// The priority of connection tracking (NF_IP_PRI_CONNTRACK).
const TRACKING: i32 = -200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{ECHO, Fixture, kernel_event, name};
    use crate::model::ruleset::{Ruleset, TableFamily, TableId, Verdict};
    use crate::trace::{Addressee, DropReason};

    fn event(chain: &str, step: RuleStep, verdict: Verdict) -> RuleEvent {
        RuleEvent {
            netns: name("host"),
            packet: 5,
            table: TableId::new(TableFamily::Inet, "t"),
            chain: chain.into(),
            step,
            verdict: Some(verdict),
            entered: None,
            left: None,
            mark: 0,
            bytes: ECHO.into(),
            connection: None,
        }
    }

    #[test]
    fn the_rule_that_the_trace_names_is_the_cause() {
        let mut fixture = Fixture::lost_at_the_gateway();
        // What random numbers decide cannot be told from the rules.
        let text = "table inet t { chain odd { numgen random mod 2 0 drop; }
            chain c { type filter hook forward priority 0; policy accept; jump odd; } }";
        let mut ruleset = Ruleset::from_text(text).unwrap();
        for (handle, chain) in ruleset.tables[0].chains.iter_mut().enumerate() {
            chain.rules[0].handle = handle as u64 + 7;
        }
        let handle = ruleset.tables[0].chain("odd").unwrap().rules[0].handle;
        let calls = ruleset.tables[0].chain("c").unwrap().rules[0].handle;
        fixture.netns("host").ruleset = ruleset;
        assert_ne!(fixture.verdict().0, "filter-drop");
        fixture.observation.rules = vec![
            event("c", RuleStep::Rule(calls), Verdict::Jump("odd".into())),
            event("odd", RuleStep::Rule(handle), Verdict::Drop),
        ];
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("filter-drop", "host"));
        assert!(object.starts_with("inet t odd: numgen random mod 2"), "{object}");
        let verdict = fixture.explained();
        assert!(verdict.evidence.iter().any(|e| e.text.starts_with("nft trace: dropped by inet t odd")), "{verdict:?}");
        // An error that was dropped on its way back is not the loss.
        for event in &mut fixture.observation.rules {
            event.bytes[20] = 3;
        }
        assert_ne!(fixture.verdict().0, "filter-drop");
    }

    #[test]
    fn a_rule_of_the_older_engine_that_counted_is_a_clue() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let text = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy accept;
            counter packets 1 bytes 84 accept; meta length 84 counter packets 0 bytes 0 drop; } }";
        let mut tables = Ruleset::from_text(text).unwrap().tables;
        for (place, rule) in tables[0].chains[0].rules.iter_mut().enumerate() {
            rule.handle = place as u64 + 1;
        }
        fixture.netns("host").ruleset.legacy = tables;
        fixture.observation.counted = [(1, 4), (2, 1)]
            .map(|(rule, packets)| RuleCount {
                netns: name("host"),
                table: TableId::new(TableFamily::Ip, "filter"),
                chain: "FORWARD".into(),
                rule,
                packets,
            })
            .into();
        let counted: Vec<_> =
            evidence(&fixture.world, &fixture.observation, None).into_iter().map(|e| e.text).collect();
        assert_eq!(counted.len(), 1, "{counted:?}");
        assert!(
            counted[0].starts_with("iptables-legacy counted 1 packet meanwhile: ip filter FORWARD:"),
            "{counted:?}"
        );
    }

    #[test]
    fn a_drop_that_no_cause_explains_is_told_as_the_kernel_tells_it() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let tap = KernelEventKind::Tap { hook: Hook::Forward, priority: -399, family: crate::model::Family::V4 };
        let reason = DropReason::Named("TC_EGRESS".into());
        let drop = KernelEventKind::Dropped { reason, symbol: Some("__dev_queue_xmit".into()) };
        fixture.observation.kernel = vec![kernel_event(tap), kernel_event(drop)];
        let verdict = fixture.explained();
        assert_eq!(verdict.cause.code(), "uncertain");
        let told = "the kernel dropped it: TC_EGRESS in __dev_queue_xmit, after forward of host";
        assert!(verdict.evidence.iter().any(|evidence| evidence.text == told), "{verdict:?}");
    }

    #[test]
    fn what_was_looked_at_closer_is_told_by_what_stands_there() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let text = "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; } }
            table ip mangle { chain FORWARD { type filter hook forward priority -150; policy accept; } }";
        fixture.netns("host").ruleset.legacy = Ruleset::from_text(text).unwrap().tables;
        let event = |buffer, kind| KernelEvent {
            time: buffer,
            netns: Some(name("host")),
            link: None,
            kind,
            buffer,
            mark: 0,
            addressee: Addressee::Host,
            ethertype: 0x0800,
            bytes: ECHO.into(),
            length: 98,
        };
        let tap = |priority| KernelEventKind::Tap { hook: Hook::Forward, priority, family: Family::V4 };
        let reason = DropReason::Named("NETFILTER_DROP".into());
        let drop = KernelEventKind::Dropped { reason, symbol: Some("nf_hook_slow".into()) };
        let first = [event(1, tap(-399)), event(1, drop.clone())];
        let second = [event(2, tap(-399)), event(2, tap(-90)), event(2, drop)];
        let told = |events: &[KernelEvent]| {
            let mut observation = fixture.observation.clone();
            observation.kernel = events.to_vec();
            evidence(&fixture.world, &observation, None).into_iter().map(|e| e.text).collect::<Vec<_>>()
        };
        let begin = "the kernel dropped it: NETFILTER_DROP in nf_hook_slow";
        assert_eq!(told(&first), [format!("{begin}, after forward of host")]);
        let closer =
            ", at forward of host between priorities -90 and 10, where ip filter FORWARD (iptables-legacy) stands";
        assert_eq!(told(&[&first[..], &second].concat()), [format!("{begin}{closer}")]);
    }
}
