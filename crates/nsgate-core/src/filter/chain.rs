//! The chains of one hook, walked by one packet.

use std::borrow::Cow;

use super::machine::run_on;
use super::{Action, Connection, Outcome, Subject};
use crate::model::ruleset::{BaseChain, Chain, ChainKind, Data, Expression, Hook, Rule, Table, Verdict, lift, lower};

/// How deep chains may call one another (NFT_JUMP_STACK_SIZE).
const DEEPEST: usize = 16;

/// What one packet meets at one hook.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    /// The rules that were asked, in order.
    pub steps: Vec<Step<'a>>,
    /// How it ended.
    pub end: End<'a>,
    /// The packet as it came to the hook.
    pub before: Subject<'a>,
    /// The packet as it leaves the hook: translated, marked.
    pub after: Subject<'a>,
    /// The rule that translated it.
    pub translated_by: Option<Decision<'a>>,
    /// It was taken out of connection tracking at this hook.
    untracked: bool,
}

/// One rule, asked.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Where it stands.
    pub decision: Decision<'a>,
    /// The kind of the base chain that led to it.
    pub kind: ChainKind,
    /// What came of it.
    pub outcome: Outcome,
}

/// What ends a packet's walk through a hook.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// It passes.
    Passed,
    /// It is dropped or refused.
    Lost(Decision<'a>),
    /// What becomes of it is not known: the decision hangs on this rule.
    Unknown(Decision<'a>),
}

/// Who decides.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The table.
    pub table: &'a Table,
    /// The chain; of a policy the base chain.
    pub chain: &'a Chain,
    /// The rule; none: the chain's policy.
    pub rule: Option<&'a Rule>,
}

impl Decision<'_> {
    /// Whether it is the same rule or policy.
    pub fn is(&self, other: &Self) -> bool {
        let handle = |decision: &Self| decision.rule.map(|rule| rule.handle);
        std::ptr::eq(self.chain, other.chain) && handle(self) == handle(other)
    }
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

/// Walks a packet through all chains of a hook, in the kernel's order.
pub fn walk<'a>(subject: &Subject<'a>, hook: Hook) -> Walk<'a> {
    let mut walk = Walk {
        steps: Vec::new(),
        end: End::Passed,
        before: subject.clone(),
        after: subject.clone(),
        translated_by: None,
        untracked: false,
    };

    for (table, chain, base) in subject.netns.ruleset.chains_at(hook) {
        // Only the first packet of a tracked flow sees the chains that translate, and only until one has.
        let idle = base.kind == ChainKind::Nat && (!walk.after.connection.is_new() || walk.translated_by.is_some());
        if idle || !walk.after.seen_by(table.family) || !on_devices(&walk.after, hook, base) {
            continue;
        }
        if is_tracked_at(base) {
            walk.after.begin_flow(hook);
        }
        match walk.base(table, chain, base) {
            Chained::Through if base.policy_drop => walk.end = End::Lost(Decision { table, chain, rule: None }),
            Chained::Through | Chained::Accepted => continue,
            Chained::Lost(decision) => walk.end = End::Lost(decision),
            Chained::Unknown(decision) => walk.end = End::Unknown(decision),
        }
        break;
    }
    walk.after.begin_flow(hook);
    walk
}

/// Whether a chain that is bound to interfaces is bound to the packet's.
fn on_devices(subject: &Subject<'_>, hook: Hook, base: &BaseChain) -> bool {
    let device = if hook == Hook::Egress { &subject.leaves } else { &subject.entered };
    base.devices.is_empty() || device.as_ref().is_some_and(|d| base.devices.iter().any(|n| n.as_str() == d.name))
}

/// Whether a chain sees the packet's connection: where packets begin, those before NF_IP_PRI_CONNTRACK do not.
fn is_tracked_at(base: &BaseChain) -> bool {
    const CONNECTION_TRACKING: i32 = -200;
    let begins = matches!(base.hook, Hook::Prerouting | Hook::Output);
    !begins || base.kind == ChainKind::Nat || base.priority >= CONNECTION_TRACKING
}

impl<'a> Walk<'a> {
    /// What a base chain does; before connection tracking there is no connection to ask about.
    fn base(&mut self, table: &'a Table, chain: &'a Chain, base: &BaseChain) -> Chained<'a> {
        if is_tracked_at(base) {
            return self.through(table, chain, base.kind, 0);
        }
        let unseen = if self.untracked { self.after.connection.clone() } else { Connection::unseen() };
        let later = std::mem::replace(&mut self.after.connection, unseen);
        let end = self.through(table, chain, base.kind, 0);
        self.untracked = !self.after.connection.is_unseen();
        if !self.untracked {
            self.after.connection = later;
        }
        end
    }

    fn through(&mut self, table: &'a Table, chain: &'a Chain, kind: ChainKind, depth: usize) -> Chained<'a> {
        for rule in &chain.rules {
            let outcome = run_on(&mut self.after, &table.sets, &plain(table, rule));
            let decision = Decision { table, chain, rule: Some(rule) };
            self.steps.push(Step { decision, kind, outcome: outcome.clone() });
            let actions = match outcome {
                Outcome::Unknown(_) if decides(rule) => return Chained::Unknown(decision),
                Outcome::Unmatched(_) | Outcome::Unknown(_) => continue,
                Outcome::Matched(actions) => actions,
            };
            for action in actions {
                if let Some(end) = self.act(decision, &action, kind, depth) {
                    return end;
                }
            }
        }
        Chained::Through
    }

    /// What an action does to the packet; none: the next rule is asked.
    fn act(&mut self, decision: Decision<'a>, action: &Action, kind: ChainKind, depth: usize) -> Option<Chained<'a>> {
        match action {
            Action::Verdict(Verdict::Accept) => Some(Chained::Accepted),
            Action::Verdict(Verdict::Drop) | Action::Reject(_) => Some(Chained::Lost(decision)),
            Action::Verdict(Verdict::Return) => Some(Chained::Through),
            Action::Verdict(Verdict::Queue) => Some(Chained::Unknown(decision)),
            Action::Verdict(Verdict::Continue) | Action::Mark(_) | Action::Notrack | Action::Zone(_) => None,
            Action::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => {
                let chain = decision.table.chain(name).filter(|_| depth < DEEPEST);
                let Some(chain) = chain else { return Some(Chained::Unknown(decision)) };
                match self.through(decision.table, chain, kind, depth + 1) {
                    Chained::Through if matches!(action, Action::Verdict(Verdict::Jump(_))) => None,
                    end => Some(end),
                }
            }
            Action::Translate { source, address, port } => {
                self.after.translate(*source, *address, *port);
                self.translated_by = Some(decision);
                Some(Chained::Accepted)
            }
            Action::Target(name) => self.act_as_target(decision, name),
        }
    }

    /// What a target of the xtables kind does, of which only the name is known.
    fn act_as_target(&mut self, decision: Decision<'a>, name: &str) -> Option<Chained<'a>> {
        match name {
            "DROP" | "REJECT" => Some(Chained::Lost(decision)),
            "SNAT" | "DNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" => {
                self.translated_by = Some(decision);
                Some(Chained::Accepted)
            }
            "ACCEPT" => Some(Chained::Accepted),
            "RETURN" => Some(Chained::Through),
            "NOTRACK" => {
                if self.after.connection.is_unseen() {
                    self.after.connection.untrack();
                }
                None
            }
            _ => None,
        }
    }
}

/// A rule's instructions, with what iptables' extensions mean put in their place where that is known.
pub(crate) fn plain<'a>(table: &Table, rule: &'a Rule) -> Cow<'a, [Expression]> {
    let foreign = |e: &Expression| matches!(e, Expression::XtMatch { .. } | Expression::XtTarget { .. });
    if !rule.expressions.iter().any(foreign) {
        return Cow::Borrowed(&rule.expressions);
    }
    Cow::Owned(lower(table.family, &lift(table.family, &table.sets, &rule.expressions)))
}

/// Targets after which the next rule is asked, whatever they did.
const GOING_ON: [&str; 27] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MARK",
    "NFLOG",
    "NOTRACK",
    "RATEEST",
    "SECMARK",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
    "ULOG",
    "log",
    "nflog",
];

/// Whether a rule can end a packet's walk if it matches, or make another packet of it.
fn decides(rule: &Rule) -> bool {
    rule.expressions.iter().any(|e| match e {
        Expression::Immediate { data: Data::Verdict(verdict), .. } => *verdict != Verdict::Continue,
        Expression::Lookup { verdict, .. } => *verdict,
        Expression::Nat(_)
        | Expression::Masquerade { .. }
        | Expression::Redirect { .. }
        | Expression::Reject(_)
        | Expression::PayloadSet { .. }
        | Expression::Queue { .. } => true,
        Expression::XtTarget { name, .. } => !GOING_ON.contains(&name.as_str()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use nsgate_packet::{Tcp, TcpFlags, Transport, build};

    use super::*;
    use crate::filter::{Connection, Device, Layer};
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
            layer: Layer::Ip,
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
        match walk(&subject, Hook::Forward).end {
            End::Passed => "passed".into(),
            End::Unknown(_) => "unknown".into(),
            End::Lost(Decision { rule: None, .. }) => "policy".into(),
            End::Lost(Decision { table, rule: Some(rule), .. }) => {
                crate::model::ruleset::text::rule(table.family, &table.sets, rule)
            }
        }
    }

    /// How a rule that drops ends a packet's walk if it asks a match of iptables before.
    fn end_with_match(name: &str, info: Vec<u8>) -> &'static str {
        let mut netns = netns(&forward("drop"));
        let extension = Expression::XtMatch { name: name.into(), revision: 1, info };
        netns.ruleset.tables[0].chains[0].rules[0].expressions.insert(0, extension);
        match walk(&syn(&netns), Hook::Forward).end {
            End::Passed => "passed",
            End::Unknown(_) => "unknown",
            End::Lost(_) => "lost",
        }
    }

    #[test]
    fn matches_of_iptables_are_asked_where_they_are_known() {
        let ports = |port: u16| [vec![1, 1], port.to_ne_bytes().to_vec(), vec![0; 44]].concat();
        assert_eq!(end_with_match("multiport", ports(80)), "lost");
        assert_eq!(end_with_match("multiport", ports(81)), "passed");
        assert_eq!(end_with_match("comment", vec![0; 256]), "lost");
        assert_eq!(end_with_match("recent", vec![0; 256]), "unknown");
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

    /// What the first hook makes of the packet: how its walk ends, and the packet as it leaves the hook.
    fn arrival(text: &str) -> (String, Subject<'static>) {
        let netns: &'static Namespace = Box::leak(Box::new(netns(text)));
        let walk = walk(&Subject { leaves: None, ..syn(netns) }, Hook::Prerouting);
        let end = match walk.end {
            End::Passed => "passed".into(),
            End::Unknown(_) => "unknown".into(),
            End::Lost(decision) => decision.chain.name.clone(),
        };
        (end, walk.after)
    }

    fn prerouting(chains: &[(&str, &str, i32, &str)]) -> String {
        let chain = |(name, kind, priority, rules): &(&str, &str, i32, &str)| {
            format!(
                "chain {name} {{\n type {kind} hook prerouting priority {priority}; policy accept;\n {rules}\n }}\n"
            )
        };
        format!("table inet t {{\n {} }}", chains.iter().map(chain).collect::<String>())
    }

    #[test]
    fn what_was_changed_before_a_condition_that_does_not_hold_stays_changed() {
        assert_eq!(
            end(&forward("meta mark set 0x1 ip daddr 8.8.8.8 drop\n meta mark 0x1 drop")),
            "meta mark 0x00000001 drop"
        );
        assert_eq!(end(&forward("meta mark set 0x1 counter\n meta mark != 0x1 drop")), "passed");
        assert_eq!(end(&forward("ip ttl set 5\n ip ttl 5 drop")), "ip ttl 5 drop");
        assert_eq!(end(&forward("tcp dport set 81 tcp dport 81 drop")), "tcp dport set 81 tcp dport 81 drop");
        assert_eq!(end(&forward("ct mark set 0x7\n ct mark 0x7 drop")), "ct mark 0x00000007 drop");
    }

    #[test]
    fn what_was_perhaps_changed_is_not_known() {
        assert_eq!(end(&forward("meta skuid 0 meta mark set 0x1\n meta mark 0x1 drop")), "unknown");
        assert_eq!(end(&forward("meta mark set numgen random mod 2\n meta mark 0x1 drop")), "unknown");
        assert_eq!(end(&forward("meta skuid 0 ct mark set 0x1\n ct mark 0x1 drop")), "unknown");
        assert_eq!(end(&forward("meta skuid 0 ip ttl set 5\n drop")), "unknown");
    }

    #[test]
    fn chains_that_translate_are_asked_where_the_kernel_translates() {
        let chains = [("late", "nat", 50, "dnat ip to 9.9.9.8"), ("filter", "filter", 0, "ip daddr 9.9.9.8 drop")];
        assert_eq!(arrival(&prerouting(&chains)).0, "filter");
        let chains =
            [("early", "nat", -150, "dnat ip to 9.9.9.8"), ("mangle", "filter", -140, "ip daddr 9.9.9.8 drop")];
        assert_eq!(arrival(&prerouting(&chains)).0, "passed");
    }

    #[test]
    fn of_chains_at_the_same_place_the_later_made_is_asked_first() {
        let chains = [("first", "filter", 0, "drop"), ("second", "filter", 0, "drop")];
        assert_eq!(arrival(&prerouting(&chains)).0, "second");
    }

    #[test]
    fn before_connection_tracking_there_is_no_connection() {
        let raw = |rules| arrival(&prerouting(&[("raw", "filter", -300, rules)])).0;
        assert_eq!(raw("ct state new drop"), "passed");
        assert_eq!(raw("ct state invalid drop"), "raw");
        assert_eq!(raw("ct mark 0 drop"), "passed");
        assert_eq!(arrival(&prerouting(&[("later", "filter", -150, "ct state new drop")])).0, "later");
        let chains = [("raw", "filter", -300, "notrack"), ("later", "filter", 0, "ct state untracked drop")];
        assert_eq!(arrival(&prerouting(&chains)).0, "later");
        let chains = [("raw", "filter", -150, "notrack"), ("later", "filter", 0, "ct state untracked drop")];
        assert_eq!(arrival(&prerouting(&chains)).0, "passed", "what has been tracked stays so");
    }

    #[test]
    fn a_translation_shows_in_the_connection_and_puts_its_port_back() {
        let translated = |rule: &str| arrival(&prerouting(&[("nat", "nat", -100, rule)])).1;
        let after = translated("tcp dport set 81 dnat ip to 9.9.9.8");
        assert_eq!(after.ip().unwrap().flow().destination_port, 80);
        assert_eq!(after.connection.status, Some(32));
        assert_eq!(translated("dnat ip to 9.9.9.9").connection.status, Some(0), "nothing has changed");
        assert_eq!(translated("dnat ip6 to fd00::1").ip().unwrap().destination.to_string(), "9.9.9.9");
        let after = translated("dnat ip to 9.9.9.8:1000-2000");
        assert_eq!(after.ip().unwrap().flow().destination_port, 80, "one of many is not known");
    }

    #[test]
    fn where_there_is_no_interface_its_number_is_nothing() {
        let raw = |rules| arrival(&prerouting(&[("raw", "filter", -300, rules)])).0;
        assert_eq!(raw("oif != 7 drop"), "raw");
        assert_eq!(raw("oifname != \"eth2\" drop"), "raw");
        assert_eq!(raw("oifname \"eth2\" drop"), "passed");
        assert_eq!(raw("meta oiftype ether drop"), "passed");
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
