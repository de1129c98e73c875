//! Rules in the form of iptables, for the tables that iptables keeps.
//!
//! A rule of nft's own making in such a table would be understood by the kernel, but not by iptables any more, and with it
//! whoever drives iptables: `iptables -S` then says that the table is incompatible. So what is added there is made of the
//! same instructions and extensions that iptables-nft itself would write.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::model::Family;
use crate::model::ruleset::{ChainKind, Command, Expression, Hook, Place, Rule, Ruleset, Table, TableFamily, TableId};
use crate::model::ruleset::{parse, xt};

use super::words::quoted;

/// The rule numbers of a chain begin here.
const FIRST: u32 = 1;

/// A rule that accepts, in a chain of iptables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IptablesRule {
    /// Whose rule: `iptables` or `ip6tables`.
    pub family: Family,
    /// It belongs to the older engine, which nsgate reads and does not change.
    pub legacy: bool,
    /// The table, such as `filter`.
    pub table: String,
    /// The chain, such as `FORWARD`.
    pub chain: String,
    /// The source address it asks for.
    pub source: Option<IpAddr>,
    /// The destination address it asks for; of the same family.
    pub destination: Option<IpAddr>,
    /// What else it asks for.
    pub kind: Option<PacketKind>,
    /// The note that it bears; empty for none.
    pub comment: String,
}

/// What a rule of iptables asks for beside addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// TCP to this port.
    Tcp(u16),
    /// UDP to this port.
    Udp(u16),
    /// ICMP, or ICMPv6, of this type.
    Icmp(u8),
    /// What belongs to a connection that has been let through.
    Established,
}

/// What happens to a rule of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IptablesChange {
    /// It comes before the rule that bears this number so far; the first is 1.
    Insert(u32),
    /// It comes behind all others.
    Append,
    /// The first that is equal goes.
    Delete,
}

impl IptablesRule {
    /// The program that keeps the table.
    pub fn program(&self) -> &'static str {
        match (self.family, self.legacy) {
            (Family::V4, false) => "iptables-nft",
            (Family::V6, false) => "ip6tables-nft",
            (Family::V4, true) => "iptables-legacy",
            (Family::V6, true) => "ip6tables-legacy",
        }
    }

    /// The change as the kernel takes it, given what stands; none where the chain or the rule is not there.
    pub fn commands(&self, change: IptablesChange, ruleset: &Ruleset) -> Option<Vec<Command>> {
        let family = self.table_family();
        let chain = ruleset.table(family, &self.table)?.chain(&self.chain)?;
        let table = TableId::new(family, self.table.clone());
        let expressions = self.expressions()?;
        let place = match change {
            IptablesChange::Delete => {
                let wanted = without_counters(&expressions);
                let handle = chain.rules.iter().find(|rule| without_counters(&rule.expressions) == wanted)?.handle;
                return Some(vec![Command::DeleteRule { table, chain: self.chain.clone(), handle }]);
            }
            IptablesChange::Append => Place::End,
            IptablesChange::Insert(number) => {
                let before = usize::try_from(number.checked_sub(FIRST)?).ok()?;
                match chain.rules.get(before) {
                    Some(rule) => Place::Before(rule.handle),
                    None if before == chain.rules.len() => Place::End,
                    None => return None,
                }
            }
        };
        let rule = Rule { handle: 0, expressions, comment: None };
        Some(vec![Command::AddRule { table, chain: self.chain.clone(), place, rule, sets: Vec::new() }])
    }

    /// The instructions of the rule, in iptables-nft's order.
    fn expressions(&self) -> Option<Vec<Expression>> {
        let word = if self.family == Family::V4 { "ip" } else { "ip6" };
        let part = |side: &str, address: Option<IpAddr>| {
            address.map(|address| format!(" {word} {side} {address}")).unwrap_or_default()
        };
        let (source, destination) = (part("saddr", self.source), part("daddr", self.destination));
        let protocol = match self.kind {
            Some(PacketKind::Tcp(_)) => " meta l4proto tcp",
            Some(PacketKind::Udp(_)) => " meta l4proto udp",
            Some(PacketKind::Icmp(_)) if self.family == Family::V4 => " meta l4proto icmp",
            Some(PacketKind::Icmp(_)) => " meta l4proto ipv6-icmp",
            Some(PacketKind::Established) | None => "",
        };
        let line = format!("add rule {word} filter chain{protocol}{source}{destination} accept\n");
        let mut commands = parse::commands(&line, &Ruleset::default()).ok()?;
        let Some(Command::AddRule { rule, .. }) = commands.pop() else { return None };
        let mut expressions = rule.expressions;
        let accept = expressions.pop()?;
        expressions.extend(self.kind.map(|kind| self.extension(kind)));
        if !self.comment.is_empty() {
            expressions.push(xt::write::comment(&self.comment)?);
        }
        expressions.push(Expression::Counter { packets: 0, bytes: 0 });
        expressions.push(accept);
        Some(expressions)
    }

    fn extension(&self, kind: PacketKind) -> Expression {
        match kind {
            PacketKind::Tcp(port) => xt::write::tcp_port(port),
            PacketKind::Udp(port) => xt::write::udp_port(port),
            PacketKind::Icmp(number) => xt::write::icmp_type(self.family, number),
            PacketKind::Established => xt::write::established(),
        }
    }

    fn table_family(&self) -> TableFamily {
        match self.family {
            Family::V4 => TableFamily::Ip,
            Family::V6 => TableFamily::Ip6,
        }
    }
}

/// Whether iptables-nft keeps this table: its names, and nothing in it that iptables would not understand.
pub fn kept_by_iptables(table: &Table) -> bool {
    const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
    let of_iptables = matches!(table.family, TableFamily::Ip | TableFamily::Ip6) && TABLES.contains(&&*table.name);
    of_iptables
        && table.sets.is_empty()
        && table.chains.iter().all(|chain| {
            let named = chain.base.as_ref().is_none_or(|base| {
                base.kind != ChainKind::Route && builtin(base.hook) == Some(&*chain.name)
                    || base.kind == ChainKind::Route && chain.name == "OUTPUT"
            });
            named && chain.rules.iter().all(|rule| rule.expressions.iter().all(is_understood))
        })
}

/// The chain of iptables at a hook.
fn builtin(hook: Hook) -> Option<&'static str> {
    Some(match hook {
        Hook::Prerouting => "PREROUTING",
        Hook::Input => "INPUT",
        Hook::Forward => "FORWARD",
        Hook::Output => "OUTPUT",
        Hook::Postrouting => "POSTROUTING",
        _ => return None,
    })
}

/// Whether iptables-nft reads this instruction.
fn is_understood(expression: &Expression) -> bool {
    // Connections, sets and registers are asked by extensions there.
    matches!(
        expression.name(),
        "match" | "target" | "payload" | "cmp" | "bitwise" | "meta" | "immediate" | "counter" | "log" | "range"
    )
}

fn without_counters(expressions: &[Expression]) -> Vec<&Expression> {
    expressions.iter().filter(|expression| !matches!(expression, Expression::Counter { .. })).collect()
}

impl Display for IptablesRule {
    /// The words behind the chain.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.source {
            write!(f, "-s {source} ")?;
        }
        if let Some(destination) = self.destination {
            write!(f, "-d {destination} ")?;
        }
        match (self.kind, self.family) {
            (Some(PacketKind::Tcp(port)), _) => write!(f, "-p tcp --dport {port} ")?,
            (Some(PacketKind::Udp(port)), _) => write!(f, "-p udp --dport {port} ")?,
            (Some(PacketKind::Icmp(number)), Family::V4) => write!(f, "-p icmp --icmp-type {number} ")?,
            (Some(PacketKind::Icmp(number)), Family::V6) => write!(f, "-p ipv6-icmp --icmpv6-type {number} ")?,
            (Some(PacketKind::Established), _) => f.write_str("-m conntrack --ctstate ESTABLISHED,RELATED ")?,
            (None, _) => {}
        }
        if !self.comment.is_empty() {
            write!(f, "-m comment --comment {} ", quoted(&self.comment))?;
        }
        f.write_str("-j ACCEPT")
    }
}

impl IptablesChange {
    /// The change as an option, with the chain and the number that belong to it.
    pub(super) fn words(self, chain: &str) -> String {
        let chain = quoted(chain);
        match self {
            Self::Insert(FIRST) => format!("-I {chain}"),
            Self::Insert(number) => format!("-I {chain} {number}"),
            Self::Append => format!("-A {chain}"),
            Self::Delete => format!("-D {chain}"),
        }
    }

    /// What takes it back.
    pub(super) fn inverse(self) -> Option<Self> {
        match self {
            Self::Insert(_) | Self::Append => Some(Self::Delete),
            // Where it stood is not known any more.
            Self::Delete => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ruleset::text;

    fn rule(kind: PacketKind) -> IptablesRule {
        IptablesRule {
            family: Family::V4,
            legacy: false,
            table: "filter".into(),
            chain: "FORWARD".into(),
            source: Some("10.0.0.2".parse().unwrap()),
            destination: Some("192.0.2.1".parse().unwrap()),
            kind: Some(kind),
            comment: "nsgate-mend".into(),
        }
    }

    fn standing(lines: &str) -> Ruleset {
        let mut ruleset = Ruleset::default();
        ruleset.apply(&parse::commands(lines, &Ruleset::default()).unwrap()).unwrap();
        ruleset
    }

    const FORWARD: &str = "add table ip filter\n\
        add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }\n\
        add rule ip filter FORWARD iifname \"eth0\" counter drop\n\
        add rule ip filter FORWARD counter accept\n";

    #[test]
    fn a_rule_reads_in_the_language_of_nft_as_it_was_meant() {
        let meant = [
            (PacketKind::Tcp(443), "tcp dport 443"),
            (PacketKind::Udp(53), "udp dport 53"),
            (PacketKind::Icmp(8), "icmp type echo-request"),
            (PacketKind::Established, "ct state established,related"),
        ];
        for (kind, matches) in meant {
            let rule = Rule { handle: 0, expressions: rule(kind).expressions().unwrap(), comment: None };
            let shown = text::rule(TableFamily::Ip, &[], &rule);
            assert!(shown.contains("ip saddr 10.0.0.2 ip daddr 192.0.2.1 "), "{shown}");
            assert!(shown.contains(matches) && shown.contains("accept"), "{shown}");
        }
    }

    #[test]
    fn a_number_is_a_place_in_the_chain_and_what_was_added_is_found_again() {
        let mut ruleset = standing(FORWARD);
        let rule = rule(PacketKind::Tcp(443));
        for change in [IptablesChange::Insert(2), IptablesChange::Append] {
            let before = ruleset.clone();
            ruleset.apply(&rule.commands(change, &ruleset).unwrap()).unwrap();
            let chain = ruleset.table(TableFamily::Ip, "filter").unwrap().chain("FORWARD").unwrap();
            let expected = if change == IptablesChange::Append { 2 } else { 1 };
            assert_eq!(chain.rules[expected].expressions, rule.expressions().unwrap());
            ruleset.apply(&rule.commands(IptablesChange::Delete, &ruleset).unwrap()).unwrap();
            assert_eq!(ruleset.tables, before.tables);
        }
        assert_eq!(rule.commands(IptablesChange::Insert(4), &ruleset), None);
        assert_eq!(rule.commands(IptablesChange::Delete, &ruleset), None);
        assert_eq!(rule.commands(IptablesChange::Append, &Ruleset::default()), None);
    }

    #[test]
    fn a_table_that_iptables_could_not_read_any_more_is_not_its_own() {
        let kept = |lines: &str| kept_by_iptables(standing(lines).table(TableFamily::Ip, "filter").unwrap());
        assert!(kept(FORWARD));
        assert!(!kept(&format!("{FORWARD}add rule ip filter FORWARD ct state established accept\n")));
        assert!(!kept(&FORWARD.replace("FORWARD", "forward")));
    }
}
