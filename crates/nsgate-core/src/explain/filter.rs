//! `filter-drop`: a rule or policy of the packet filter drops or refuses the packet.

use super::passage::Passage;
use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, let_pass, mend, owner::owner, told};
use crate::filter::{
    Action, Connection, Decision, Device, End, Layer, Membership, Outcome, Step, Subject, Walk, membership,
    nearest_passed, walk,
};
use crate::model::ruleset::{Data, Expression, Hook, Table, Verdict as Rules, text};
use crate::model::{LinkName, Namespace};
use crate::plan::Plan;
use crate::trace::{Leg, Sight, Way};

/// Dropped before it was routed: at the device, or at prerouting.
pub(super) fn before_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = lost(loss, &passage)?;
    if !matches!(hook, Hook::Ingress | Hook::Prerouting) {
        return None;
    }
    Some(verdict(loss, &passage, hook, decision))
}

/// Dropped after it was routed: as it was delivered, passed on, made or sent.
pub(super) fn after_routing(loss: &Loss<'_>) -> Option<Verdict> {
    let passage = Passage::of(loss)?;
    let (hook, decision) = lost(loss, &passage)?;
    Some(verdict(loss, &passage, hook, decision))
}

/// Who drops the packet: as the packet filter's own trace told, or else as its rules would have it.
pub(super) fn lost<'a>(loss: &Loss<'a>, passage: &Passage<'a>) -> Option<(Hook, Decision<'a>)> {
    told::dropped_by(loss).or_else(|| passage.lost())
}

fn verdict(loss: &Loss<'_>, passage: &Passage<'_>, hook: Hook, decision: Decision<'_>) -> Verdict {
    let leg = evidence::leg_name(loss.leg);
    let object = object(&decision);
    let summary = format!("{leg} is dropped in {} by {}", loss.here(), sentence(&decision));
    let place = Place { netns: loss.here().clone(), link: device(passage, hook) };
    let mut verdict = Verdict::new(Cause::FilterDrop, place, object, summary);
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not seen again"));
    }
    verdict = verdict.shown_by(of_rule(loss.netns, &decision));
    if let Some(walk) = passage.at(hook) {
        let besides = of_sets(loss.netns, walk, &decision).into_iter().chain(of_nearest(loss, walk, &decision));
        verdict = besides.chain(of_mark(loss.netns, passage, &decision)).fold(verdict, Verdict::shown_by);
    }
    let mend = passage.at(hook).map(|walk| let_pass::let_pass(loss.netns, hook, &decision, &walk.after));
    with_mend(verdict, mend, &decision, loss.leg)
}

/// With the rule that lets the packet pass, and how it is taken away again.
fn with_mend(verdict: Verdict, mend: Option<let_pass::LetPass>, decision: &Decision<'_>, leg: Leg) -> Verdict {
    let what = if decision.rule.is_some() { "rule" } else { "policy" };
    let owner = match owner(decision.table, decision.chain, decision.rule) {
        // Docker sets the policy when it switches forwarding on, unless it is told not to (since 28.0).
        Some("Docker") if decision.rule.is_none() => {
            " The policy looks like Docker's, which sets it whenever it switches forwarding on; it leaves it alone with \
             \"ip-forward-no-drop\": true in /etc/docker/daemon.json, and then everything is forwarded that no rule drops."
                .to_owned()
        }
        Some(owner) => format!(" The {what} looks like {owner}'s: change it there, or it comes back."),
        None => String::new(),
    };
    match mend {
        Some(mend) => {
            let opened = opens(&mend.plan, leg);
            verdict.mended_by(mend.plan).undone_by(mend.undo).advised(format!("{opened}{owner}"))
        }
        None => verdict,
    }
}

/// What the rules of a mend let pass besides the probe.
fn opens(plan: &Plan, leg: Leg) -> &'static str {
    let text = plan.commands().concat();
    let flow = text.contains(" saddr ") || text.contains(" -s ");
    let answers = text.contains("established") || text.contains("ESTABLISHED");
    match (flow, answers) {
        (true, true) => {
            "This lets this one flow pass, and answers to whatever was let through; leave out the source to let everybody in."
        }
        (true, false) if leg == Leg::Answer => "This lets the answers of this one host pass, no more.",
        (true, false) => "This lets this one flow pass, no more; leave out the source to let everybody in.",
        (false, true) => "This lets answers pass, to whatever was let through.",
        (false, false) => "This lets such packets pass, whoever sends them.",
    }
}

/// A rule that drops questions for neighbours, or the replies to them.
pub(super) fn of_resolution(loss: &Loss<'_>) -> Option<Verdict> {
    let unresolved = Unresolved::of(loss)?;
    let journey = &loss.observation.journey;
    let about = |s: &&Sight| s.header.destination == unresolved.asked && s.way == Way::In;
    let mut heard = journey.of(Leg::Question).filter(about).chain(journey.of(Leg::Reply).filter(about));
    heard.find_map(|sight| {
        let netns = loss.world.namespace(&sight.netns)?;
        let link = netns.link(sight.link)?;
        // Whoever does not hold the address is not expected to answer.
        let concerned = sight.leg == Leg::Reply || netns.holder(unresolved.asked).is_some();
        let (hook, decision) = dropped(netns, sight, &Device::from(link)).filter(|_| concerned)?;
        let summary = format!(
            "{} drops {} at {} by {}",
            netns.name,
            evidence::leg_name(sight.leg),
            link.name,
            sentence(&decision)
        );
        let place = Place { netns: netns.name.clone(), link: (hook == Hook::Ingress).then(|| link.name.clone()) };
        let verdict = Verdict::new(Cause::FilterDrop, place, object(&decision), summary)
            .shown_by(evidence::seen(loss.world, sight, ""))
            .shown_by(of_rule(netns, &decision));
        Some(verdict.mended_by(mend::delete_rule(netns, &decision)))
    })
}

/// Who drops a frame that asks for, or tells of, a neighbour, on its way into a namespace.
fn dropped<'a>(netns: &'a Namespace, sight: &Sight, device: &Device) -> Option<(Hook, Decision<'a>)> {
    let arp = sight.header.protocol == 0;
    let layer = if arp { Layer::Arp } else { Layer::Ip };
    let subject = |layer| Subject {
        layer,
        netns,
        packet: sight.bytes.clone(),
        ethernet: sight.ethernet.clone(),
        entered: Some(device.clone()),
        leaves: None,
        mark: Some(0),
        connection: Connection::default(),
    };
    let hooks: &[(Hook, Layer)] = if arp {
        &[(Hook::Ingress, Layer::Device), (Hook::Input, layer)]
    } else {
        &[(Hook::Ingress, Layer::Device), (Hook::Prerouting, layer), (Hook::Input, layer)]
    };
    hooks.iter().find_map(|(hook, layer)| match walk(&subject(*layer), *hook).end {
        End::Lost(decision) => Some((*hook, decision)),
        _ => None,
    })
}

/// The object at fault: the rule with its table and chain, or the policy.
pub(super) fn object(decision: &Decision<'_>) -> String {
    let Decision { table, chain, rule } = decision;
    let family = table.family.name();
    match rule {
        Some(rule) => format!(
            "{family} {} {}: {} (handle {})",
            table.name,
            chain.name,
            text::rule_without_counts(table.family, &table.sets, rule),
            rule.handle
        ),
        None => format!("{family} {} {}: policy drop", table.name, chain.name),
    }
}

pub(super) fn sentence(decision: &Decision<'_>) -> String {
    let Decision { table, chain, rule } = decision;
    let family = table.family.name();
    match rule {
        Some(rule) => format!(
            "the rule '{}' of chain {} in table {family} {}",
            text::rule_without_counts(table.family, &table.sets, rule),
            chain.name,
            table.name
        ),
        None => format!("the policy of chain {} in table {family} {}: no rule accepts it", chain.name, table.name),
    }
}

/// The rule as evidence.
pub(super) fn of_rule(netns: &Namespace, decision: &Decision<'_>) -> Evidence {
    Evidence::new(EvidenceKind::Ruleset, &netns.name, object(decision)).differs("accept", "drop")
}

/// By which members of sets of ipset the packet came to be dropped.
fn of_sets(netns: &Namespace, walk: &Walk<'_>, decision: &Decision<'_>) -> Vec<Evidence> {
    let asked = decision.rule.map(|rule| &rule.expressions[..]).unwrap_or_default();
    let found = asked.iter().filter_map(|expression| membership(&walk.after, expression));
    let tell = |found: Membership<'_>| {
        let set = &found.set.name;
        let text = match found.member {
            Some(member) => format!("the packet is in the set {set} ({}): {member}", found.set.kind),
            None => format!("the packet is not in the set {set} ({})", found.set.kind),
        };
        Evidence::new(EvidenceKind::Ruleset, &netns.name, text)
    };
    found.map(tell).collect()
}

/// What a rule that accepts would ask besides, where a policy or a rule for everything drops.
fn of_nearest(loss: &Loss<'_>, walk: &Walk<'_>, decision: &Decision<'_>) -> Option<Evidence> {
    /// A rule that differs in more is not near.
    const MOST: usize = 2;
    let accepts = |e: &Expression| matches!(e, Expression::Immediate { data: Data::Verdict(Rules::Accept), .. });
    let accepting = |table: &Table, name: &str| {
        let rules = table.chain(name).into_iter().flat_map(|chain| &chain.rules);
        rules.flat_map(|rule| &rule.expressions).any(accepts)
    };
    let leads_to_accept = |table: &Table, e: &Expression| match e {
        Expression::Immediate { data: Data::Verdict(Rules::Jump(name) | Rules::Goto(name)), .. } => {
            accepting(table, name)
        }
        other => accepts(other),
    };
    let near = nearest_passed(walk, leads_to_accept).filter(|near| {
        let of_a_flow = |condition: &String| condition.starts_with("ct state") || condition.starts_with("ct status");
        let here = near.table.name == decision.table.name && near.table.family == decision.table.family;
        here && near.differs.len() <= MOST && !near.differs.is_empty() && !near.differs.iter().any(of_a_flow)
    })?;
    let rule = text::rule_without_counts(near.table.family, &near.table.sets, near.rule);
    let accepts = if near.rule.expressions.iter().any(accepts) { "that accepts" } else { "on the way to an accept" };
    let text = format!("the nearest rule {accepts}, '{rule}' of chain {}, does not match", near.chain.name);
    let (differs, found) = (near.differs.join(", "), loss.last?.header.text.clone());
    Some(Evidence::new(EvidenceKind::Ruleset, loss.here(), text).differs(differs, found))
}

/// Which rule gave the packet the mark that a rule drops it by.
fn of_mark(netns: &Namespace, passage: &Passage<'_>, decision: &Decision<'_>) -> Option<Evidence> {
    let text =
        decision.rule.map(|rule| text::rule_without_counts(decision.table.family, &decision.table.sets, rule))?;
    let marks = |step: &&Step<'_>| match &step.outcome {
        Outcome::Matched(actions) => actions.iter().any(|action| matches!(action, Action::Mark(_))),
        _ => false,
    };
    let before = passage.walks.iter().flat_map(|(_, walk)| &walk.steps).take_while(|step| !step.decision.is(decision));
    let marked = before.filter(marks).last().filter(|_| text.contains("mark"))?;
    let by = object(&marked.decision);
    let called = called_by(&marked.decision, passage).map(|by| format!(", from {by}")).unwrap_or_default();
    Some(Evidence::new(EvidenceKind::Ruleset, &netns.name, format!("its mark is from {by}{called}")))
}

/// The rule by which the packet came to the chain of another one.
fn called_by(called: &Decision<'_>, passage: &Passage<'_>) -> Option<String> {
    let calls = |e: &Expression| match e {
        Expression::Immediate { data: Data::Verdict(Rules::Jump(name) | Rules::Goto(name)), .. } => {
            *name == called.chain.name
        }
        _ => false,
    };
    let matched = |step: &&Step<'_>| {
        matches!(step.outcome, Outcome::Matched(_))
            && step.decision.table.name == called.table.name
            && step.decision.rule.is_some_and(|rule| rule.expressions.iter().any(calls))
    };
    let steps = passage.walks.iter().flat_map(|(_, walk)| &walk.steps);
    let caller = steps.take_while(|step| !step.decision.is(called)).filter(matched).last()?;
    Some(object(&caller.decision))
}

/// The interface that a device's hook belongs to.
fn device(passage: &Passage<'_>, hook: Hook) -> Option<LinkName> {
    let after = &passage.at(hook)?.after;
    let device = match hook {
        Hook::Ingress => after.entered.as_ref(),
        Hook::Egress => after.leaves.as_ref(),
        _ => None,
    };
    device?.name.parse().ok()
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::{Expression, IpSet, Member, Ruleset};

    /// The experiment, whose gateway drops with these rules what it passes on; a set of ipset holds 1.1.1.0/24.
    fn dropping(policy: &str, rules: &str, asking_the_set: Option<&str>) -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.sysctl("host", "net.ipv4.ip_forward", "1");
        let text = format!(
            "table ip filter {{ chain FORWARD {{ type filter hook forward priority 0; policy {policy};\n{rules}\n}} }}"
        );
        let ruleset = &mut fixture.netns("host").ruleset;
        *ruleset = Ruleset::from_text(&text).unwrap();
        ruleset.ipsets.push(IpSet {
            name: "blocked".into(),
            index: Some(0),
            kind: "hash:net".into(),
            members: vec![Member { net: Some("1.1.1.0/24".parse().unwrap()), ..Member::default() }],
            ..IpSet::default()
        });
        if let Some(direction) = asking_the_set {
            let flags = if direction == "src" { 2 } else { 0 };
            let names = vec!["blocked".into()];
            let question = Expression::XtSet { target: false, revision: 1, info: vec![0, 0, 1, flags], names };
            ruleset.tables[0].chains[0].rules[0].expressions.insert(0, question);
        }
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture
    }

    /// The evidence that says these words.
    #[track_caller]
    fn says(fixture: &Fixture, words: &str) {
        let verdict = fixture.explained();
        assert_eq!(verdict.cause.code(), "filter-drop");
        assert!(verdict.evidence.iter().any(|e| format!("{e:?}").contains(words)), "{words}: {:#?}", verdict.evidence);
    }

    #[test]
    fn the_member_by_which_a_set_drops_is_named() {
        let fixture = dropping("accept", "drop", Some("src"));
        assert!(fixture.verdict().2.contains("xt match \"set\" ( --match-set blocked src ) drop"));
        says(&fixture, "the packet is in the set blocked (hash:net): 1.1.1.0/24");
        assert_ne!(dropping("accept", "drop", Some("dst")).verdict().0, "filter-drop");
    }

    /// The same with further chains in the table.
    fn dropping_with(rules: &str, chains: &str) -> Fixture {
        let mut fixture = dropping("drop", "", None);
        let forward = format!("chain FORWARD {{ type filter hook forward priority 0; policy drop;\n{rules}\n}}");
        fixture.netns("host").ruleset =
            Ruleset::from_text(&format!("table ip filter {{ {forward} {chains} }}")).unwrap();
        fixture
    }

    #[test]
    fn a_rule_that_leads_to_a_chain_that_accepts_may_be_the_nearest() {
        let rules =
            "iifname \"eth9\" jump in\nip protocol icmp ip daddr 10.0.0.9 jump to_lan\nip daddr 10.0.0.8 jump other";
        let fixture =
            dropping_with(rules, "chain to_lan { oifname \"x\" accept\n }\nchain in { accept\n }\nchain other { }");
        says(&fixture, "the nearest rule on the way to an accept, 'ip protocol icmp ip daddr 10.0.0.9 jump to_lan'");
        says(&fixture, "expected: Some(\"ip daddr 10.0.0.9\")");
    }

    #[test]
    fn answers_are_let_pass_in_front_of_what_drops_them() {
        let rules = "oifname \"veth3\" drop\noifname \"eth2\" drop";
        let mut fixture = dropping("accept", rules, None);
        let table = "table inet mine { chain f { type filter hook forward priority 0; policy accept;";
        fixture.netns("host").ruleset = Ruleset::from_text(&format!("{table}\n{rules}\n}} }}")).unwrap();
        for (handle, rule) in (1..).zip(&mut fixture.netns("host").ruleset.tables[0].chains[0].rules) {
            rule.handle = handle;
        }
        let line = fixture.explained().fix.commands().concat();
        assert!(line.contains("insert rule inet mine f handle 1 ct state established,related accept"), "{line}");
        assert!(line.contains("insert rule inet mine f handle 2 ip saddr 1.1.1.2"), "{line}");
    }

    #[test]
    fn a_rule_is_named_without_what_it_has_counted() {
        let object = |counter: &str| dropping("accept", &format!("counter {counter} drop"), None).verdict().2;
        assert_eq!(object("packets 3 bytes 252"), object("packets 4 bytes 336"));
        assert!(object("packets 3 bytes 252").contains("counter drop"));
    }

    #[test]
    fn who_gave_the_mark_that_a_packet_is_dropped_by_is_named() {
        let chains = "chain mangle { type filter hook prerouting priority -150; ip daddr 114.114.114.114 jump mark_drop\n }\n\
                      chain mark_drop { meta mark set 0x8000\n }";
        let fixture = dropping_with("meta mark & 0x8000 == 0x8000 drop", chains);
        says(&fixture, "its mark is from ip filter mark_drop: meta mark set 0x00008000");
        says(&fixture, ", from ip filter mangle: ip daddr 114.114.114.114 jump mark_drop");
    }

    #[test]
    fn the_nearest_rule_that_accepts_is_named_with_what_differs() {
        let fixture = dropping(
            "drop",
            "ip saddr 1.1.1.0/24 oifname \"eth7\" accept\nip daddr 10.0.0.0/8 udp dport 53 accept",
            None,
        );
        says(&fixture, "'ip saddr 1.1.1.0/24 oifname \\\"eth7\\\" accept' of chain FORWARD, does not match");
        says(&fixture, "expected: Some(\"oifname \\\"eth7\\\"\")");
    }

    #[test]
    fn a_set_that_the_packet_is_not_in_is_what_differs() {
        let fixture = dropping("drop", "ip saddr 1.1.1.2 accept", Some("dst"));
        says(&fixture, "expected: Some(\"xt match \\\"set\\\" ( --match-set blocked dst )\")");
    }

    #[test]
    fn a_rule_for_answers_is_not_near() {
        let fixture = dropping("drop", "ct state established,related accept", None);
        assert!(!fixture.explained().evidence.iter().any(|e| e.text.contains("nearest")));
    }
}
