//! The chains of one hook, walked by one packet.

use super::{Action, Outcome, Subject, run};
use crate::model::ruleset::{Chain, ChainKind, Hook, Rule, Table, TableFamily, Verdict};
use nsgate_packet::Family;

/// How deep chains may call one another (NFT_JUMP_STACK_SIZE).
const DEEPEST: usize = 16;

/// What one packet meets at one hook.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    /// The rules that were asked, in order.
    pub steps: Vec<Step<'a>>,
    /// How it ended.
    pub end: End<'a>,
}

/// One rule, asked.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Its table.
    pub table: &'a Table,
    /// Its chain.
    pub chain: &'a Chain,
    /// The rule.
    pub rule: &'a Rule,
    /// What came of it.
    pub outcome: Outcome,
}

/// What ends a packet's walk through a hook.
#[derive(Clone, Debug)]
pub enum End<'a> {
    /// It passes.
    Passed,
    /// It is dropped or refused.
    Lost(Decision<'a>),
    /// What becomes of it is not known: the decision hangs on this rule.
    Unknown(Decision<'a>),
}

/// Who decided.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The table.
    pub table: &'a Table,
    /// The chain; of a policy the base chain.
    pub chain: &'a Chain,
    /// The rule; none: the chain's policy.
    pub rule: Option<&'a Rule>,
}

/// How a chain ended.
enum Chained<'a> {
    /// Its last rule was passed, or it returned.
    Through,
    /// The packet passes the base chain.
    Accepted,
    Lost(Decision<'a>),
    Unknown(Decision<'a>),
}

/// Walks a packet through all chains of a hook that are of this kind, in the kernel's order.
pub fn walk<'a>(subject: &Subject<'a>, hook: Hook, kinds: &[ChainKind]) -> Walk<'a> {
    let family = subject.ip().map(|ip| ip.family());
    let mut steps = Vec::new();
    for (table, chain, base) in subject.netns.ruleset.chains_at(hook) {
        if !kinds.contains(&base.kind) || !sees(table.family, family) {
            continue;
        }
        let on_device = |d: &super::Device| base.devices.iter().any(|name| name.as_str() == d.name);
        let device = if hook == Hook::Egress { &subject.leaves } else { &subject.entered };
        if !base.devices.is_empty() && !device.as_ref().is_some_and(on_device) {
            continue;
        }
        match through(subject, table, chain, &mut steps, 0) {
            Chained::Through if base.policy_drop => {
                return Walk { steps, end: End::Lost(Decision { table, chain, rule: None }) };
            }
            Chained::Through | Chained::Accepted => {}
            Chained::Lost(decision) => return Walk { steps, end: End::Lost(decision) },
            Chained::Unknown(decision) => return Walk { steps, end: End::Unknown(decision) },
        }
    }
    Walk { steps, end: End::Passed }
}

/// Whether a table's chains see packets of a family.
fn sees(table: TableFamily, family: Option<Family>) -> bool {
    match table {
        TableFamily::Inet | TableFamily::Netdev => true,
        TableFamily::Ip => family == Some(Family::V4),
        TableFamily::Ip6 => family == Some(Family::V6),
        TableFamily::Arp | TableFamily::Bridge => false,
    }
}

fn through<'a>(
    subject: &Subject<'a>,
    table: &'a Table,
    chain: &'a Chain,
    steps: &mut Vec<Step<'a>>,
    depth: usize,
) -> Chained<'a> {
    for rule in &chain.rules {
        let outcome = run(subject, &table.sets, &rule.expressions);
        let decision = Decision { table, chain, rule: Some(rule) };
        steps.push(Step { table, chain, rule, outcome: outcome.clone() });
        let actions = match outcome {
            Outcome::Unknown(_) if decides(rule) => return Chained::Unknown(decision),
            Outcome::Unmatched(_) | Outcome::Unknown(_) => continue,
            Outcome::Matched(actions) => actions,
        };
        for action in actions {
            match act(subject, decision, &action, steps, depth) {
                Some(Chained::Through) => return Chained::Through,
                Some(end) => return end,
                None => {}
            }
        }
    }
    Chained::Through
}

/// What an action does to the walk; none: the next rule is asked.
fn act<'a>(
    subject: &Subject<'a>,
    decision: Decision<'a>,
    action: &Action,
    steps: &mut Vec<Step<'a>>,
    depth: usize,
) -> Option<Chained<'a>> {
    match action {
        Action::Verdict(Verdict::Accept) | Action::Translate { .. } => Some(Chained::Accepted),
        Action::Verdict(Verdict::Drop) | Action::Reject(_) => Some(Chained::Lost(decision)),
        Action::Verdict(Verdict::Return) => Some(Chained::Through),
        Action::Verdict(Verdict::Queue) => Some(Chained::Unknown(decision)),
        Action::Verdict(Verdict::Continue) | Action::Mark(_) | Action::Notrack => None,
        Action::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => {
            let chain = decision.table.chain(name).filter(|_| depth < DEEPEST);
            let Some(chain) = chain else { return Some(Chained::Unknown(decision)) };
            match through(subject, decision.table, chain, steps, depth + 1) {
                Chained::Through if matches!(action, Action::Verdict(Verdict::Jump(_))) => None,
                end => Some(end),
            }
        }
        Action::Target(name) => match name.as_str() {
            "DROP" | "REJECT" => Some(Chained::Lost(decision)),
            "SNAT" | "DNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" | "ACCEPT" => Some(Chained::Accepted),
            "RETURN" => Some(Chained::Through),
            _ => None,
        },
    }
}

/// Whether a rule can end a packet's walk if it matches.
fn decides(rule: &Rule) -> bool {
    use crate::model::ruleset::{Data, Expression};
    rule.expressions.iter().any(|e| match e {
        Expression::Immediate { data: Data::Verdict(verdict), .. } => *verdict != Verdict::Continue,
        Expression::Lookup { verdict, .. } => *verdict,
        Expression::Nat(_)
        | Expression::Masquerade { .. }
        | Expression::Redirect { .. }
        | Expression::Reject(_)
        | Expression::Queue { .. } => true,
        Expression::XtTarget { name, .. } => {
            !matches!(name.as_str(), "LOG" | "MARK" | "CONNMARK" | "TCPMSS" | "CT" | "CHECKSUM" | "TTL" | "HL")
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nsgate_packet::{Tcp, TcpFlags, Transport, build};

    use super::*;
    use crate::filter::{Connection, Device};
    use crate::model::ruleset::Ruleset;
    use crate::model::{Namespace, NetnsName};

    fn netns(text: &str) -> Namespace {
        let mut netns = Namespace::new(NetnsName::host(), 1);
        netns.ruleset = Ruleset::from_text(text).unwrap();
        netns
    }

    fn device(index: u32, name: &str) -> Device {
        Device { index, name: name.into(), group: 0, hardware: 1 }
    }

    /// A SYN from 1.1.1.2:4000 to 9.9.9.9:80, coming in at veth3 and leaving by eth2.
    fn syn(netns: &Namespace) -> Subject<'_> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let tcp = Transport::Tcp(Tcp {
            source_port: 4000,
            destination_port: 80,
            sequence: 1,
            acknowledgement: 0,
            flags: TcpFlags::SYN,
            window: 100,
            options: &[],
            payload: &[],
        });
        let packet = build::ip(&build::Outer::new(address("1.1.1.2"), address("9.9.9.9")), &tcp).unwrap();
        Subject {
            netns,
            packet,
            ethernet: None,
            entered: Some(device(2, "veth3")),
            leaves: Some(device(3, "eth2")),
            mark: Some(0),
            connection: Connection::new_flow(),
        }
    }

    /// The text of the rule that ends the walk at the forward hook; `policy`, `passed`, or `unknown`.
    fn end(text: &str) -> String {
        let netns = netns(text);
        let subject = syn(&netns);
        match walk(&subject, Hook::Forward, &[ChainKind::Filter]).end {
            End::Passed => "passed".into(),
            End::Unknown(_) => "unknown".into(),
            End::Lost(Decision { rule: None, .. }) => "policy".into(),
            End::Lost(Decision { table, rule: Some(rule), .. }) => {
                crate::model::ruleset::text::rule(table.family, &table.sets, rule)
            }
        }
    }

    fn forward(rules: &str) -> String {
        format!(
            "table inet filter {{\n chain forward {{\n type filter hook forward priority 0; policy accept;\n {rules}\n }}\n}}"
        )
    }

    #[test]
    fn rules_match_by_addresses_ports_interfaces_and_state() {
        for rule in [
            "ip daddr 9.9.9.0/24 drop",
            "ip saddr 1.1.1.2 tcp dport 80 drop",
            "iifname \"veth3\" oifname \"eth2\" drop",
            "iifname \"veth*\" drop",
            "ct state new drop",
            "tcp dport { 22, 80 } drop",
            "tcp dport 1-100 drop",
            "ip daddr != 8.8.8.8 drop",
            "tcp flags syn / fin,syn,rst,ack drop",
            "meta l4proto tcp drop",
        ] {
            assert_eq!(end(&forward(rule)), rule, "{rule}");
        }
    }

    #[test]
    fn rules_that_differ_in_one_field_do_not_match() {
        for rule in [
            "ip daddr 9.9.8.0/24 drop",
            "tcp dport 81 drop",
            "udp dport 80 drop",
            "iifname \"veth4\" drop",
            "ct state established drop",
            "ip6 daddr fd00::1 drop",
            "tcp dport { 22, 443 } drop",
        ] {
            assert_eq!(end(&forward(rule)), "passed", "{rule}");
        }
    }

    #[test]
    fn an_accept_ends_its_table_only_and_a_policy_counts_what_no_rule_decided() {
        let first = forward("ip daddr 9.9.9.9 accept\n drop");
        assert_eq!(end(&first), "passed");
        let second = first.clone()
            + "\ntable ip later {\n chain f {\n type filter hook forward priority 10; policy drop;\n tcp dport 22 accept\n }\n}";
        assert_eq!(end(&second), "policy");
    }

    #[test]
    fn jumps_come_back_and_gotos_do_not() {
        let with = |how: &str| {
            format!(
                "table ip t {{\n chain inner {{\n tcp dport 22 drop\n }}\n chain f {{\n type filter hook forward priority 0; \
                 policy accept;\n {how} inner\n ip daddr 9.9.9.9 drop\n }}\n}}"
            )
        };
        assert_eq!(end(&with("jump")), "ip daddr 9.9.9.9 drop");
        assert_eq!(end(&with("goto")), "passed");
    }

    #[test]
    fn what_is_not_known_decides_nothing() {
        assert_eq!(end(&forward("meta skuid 1000 drop\n drop")), "unknown");
        assert_eq!(end(&forward("meta skuid 1000 counter\n ip daddr 9.9.9.9 drop")), "ip daddr 9.9.9.9 drop");
    }

    #[test]
    fn sets_with_ranges_and_verdict_maps_are_looked_into() {
        let sets = "table inet filter {\n set blocked {\n type ipv4_addr; flags interval;\n elements = { 9.9.9.0/29, 9.9.9.9-9.9.9.10 }\n }\n \
                    chain forward {\n type filter hook forward priority 0; policy accept;\n ip daddr @blocked drop\n }\n}";
        assert_eq!(end(sets), "ip daddr @blocked drop");
        let map = "table inet filter {\n map ports {\n type inet_service : verdict;\n elements = { 80 : drop }\n }\n \
                   chain forward {\n type filter hook forward priority 0; policy accept;\n tcp dport vmap @ports\n }\n}";
        assert_eq!(end(map), "tcp dport vmap @ports");
    }
}
