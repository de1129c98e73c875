//! The rule that lets one dropped flow pass, in the manner of whoever keeps the table.

use std::net::IpAddr;

use crate::filter::{Connection, Decision, End, Subject, walk};
use crate::model::ruleset::{Hook, Rule, TableFamily, parse};
use crate::model::{Family, Namespace};
use crate::plan::{Action, IptablesChange, IptablesRule, PacketKind, Plan, Step, kept_by_iptables};
use nsgate_packet::{Icmp, IcmpError, Transport};

/// The comment that the rules of a mend bear, by which they are found again.
pub(super) const COMMENT: &str = "nsgate-mend";

/// What lets a dropped packet pass.
pub(super) struct LetPass {
    /// The rules to add.
    pub(super) plan: Plan,
    /// The line that takes them away again.
    pub(super) undo: Vec<String>,
}

/// Accepts this one flow, and its answers where they would be dropped too, each in front of what drops it.
pub(super) fn let_pass(netns: &Namespace, hook: Hook, decision: &Decision<'_>, subject: &Subject<'_>) -> LetPass {
    let answers = subject.connection == Connection::established();
    let answered = subject.connection != Connection::related();
    let back = subject.answered();
    let back = if answers {
        Some(*decision)
    } else {
        answered.then(|| dropped(&back, hook)).flatten().filter(|d| same_engine(netns, d, decision))
    };
    let legacy = netns.ruleset.is_legacy(decision.table);
    if legacy || kept_by_iptables(decision.table) {
        return LetPass { plan: iptables_accept(netns, hook, decision, subject, back, answers), undo: Vec::new() };
    }
    let chain = |d: &Decision<'_>| format!("{} {} {}", d.table.family.name(), d.table.name, d.chain.name);
    let line = |d: &Decision<'_>, matches: String| {
        let place = match d.rule {
            Some(rule) => format!("insert rule {} position {}", chain(d), rule.handle),
            None => format!("add rule {}", chain(d)),
        };
        format!("{place} {matches} accept comment \"{COMMENT}\"\n")
    };
    let flow = flow_text(subject).filter(|_| !answers).map(|flow| line(decision, flow));
    let answers = back.as_ref().map(|d| line(d, "ct state established,related".to_owned()));
    let text: String = answers.into_iter().chain(flow).collect();
    let commands = parse::commands(&text, &netns.ruleset).unwrap_or_default();
    if commands.is_empty() {
        return LetPass { plan: Plan::default(), undo: Vec::new() };
    }
    let enter = if netns.name.is_host() { String::new() } else { format!("ip netns exec {} ", netns.name) };
    let mut chains: Vec<String> = [Some(decision), back.as_ref()].into_iter().flatten().map(chain).collect();
    chains.dedup();
    let undo = chains.iter().map(|chain| format!(
        "{enter}nft -a list chain {chain} | sed -n 's/.*\"{COMMENT}\" # handle //p' | xargs -rn1 {enter}nft delete rule {chain} handle"
    ));
    let undo = undo.collect();
    LetPass { plan: Plan::of(Step::new(&netns.name, Action::Nft { commands, undo: None })), undo }
}

/// Whether both are changed by the same program.
fn same_engine(netns: &Namespace, one: &Decision<'_>, other: &Decision<'_>) -> bool {
    let engine = |d: &Decision<'_>| (netns.ruleset.is_legacy(d.table), kept_by_iptables(d.table));
    engine(one) == engine(other)
}

/// The same in a table that iptables keeps, in rules that it understands.
fn iptables_accept(
    netns: &Namespace,
    hook: Hook,
    decision: &Decision<'_>,
    subject: &Subject<'_>,
    back: Option<Decision<'_>>,
    answers: bool,
) -> Plan {
    let accept = |decision: &Decision<'_>, source, destination, kind| {
        let (chain, change) = place(hook, decision);
        let rule = IptablesRule {
            family: if decision.table.family == TableFamily::Ip6 { Family::V6 } else { Family::V4 },
            legacy: netns.ruleset.is_legacy(decision.table),
            table: decision.table.name.clone(),
            chain,
            source,
            destination,
            kind: Some(kind),
            comment: COMMENT.into(),
        };
        Step::new(&netns.name, Action::Iptables(change, rule))
    };
    let flow = flow_of(subject).filter(|_| !answers);
    let flow = flow.map(|(source, destination, kind)| accept(decision, source, destination, kind));
    let back = back.map(|decision| accept(&decision, None, None, PacketKind::Established));
    Plan { steps: flow.into_iter().chain(back).collect() }
}

/// Where a rule comes before a decision.
fn place(hook: Hook, decision: &Decision<'_>) -> (String, IptablesChange) {
    // Docker keeps this chain for its users: it comes before its own rules, and it leaves it alone.
    let of_users = decision.table.chain("DOCKER-USER").filter(|chain| {
        let entered = decision.table.chain("FORWARD").is_some_and(|forward| forward.jumps_to(&chain.name));
        entered && hook == Hook::Forward && decision.chain.name != chain.name
    });
    let number = |rule: &Rule| {
        let at = decision.chain.rules.iter().position(|r| r.handle == rule.handle);
        at.and_then(|at| u32::try_from(at + 1).ok()).unwrap_or(1)
    };
    match (of_users, decision.rule) {
        (Some(chain), _) => (chain.name.clone(), IptablesChange::Insert(1)),
        (None, Some(rule)) => (decision.chain.name.clone(), IptablesChange::Insert(number(rule))),
        (None, None) => (decision.chain.name.clone(), IptablesChange::Append),
    }
}

/// The addresses and the kind that hold for one flow only; of an error its type alone, since anybody on the way may have
/// to send one.
fn flow_of(subject: &Subject<'_>) -> Option<(Option<IpAddr>, Option<IpAddr>, PacketKind)> {
    let ip = subject.ip()?;
    let kind = match ip.transport() {
        Transport::Tcp(tcp) => PacketKind::Tcp(tcp.destination_port),
        Transport::Udp(udp) => PacketKind::Udp(udp.destination_port),
        Transport::Icmp(Icmp::Error(error)) => return Some((None, None, PacketKind::Icmp(error.icmp_type))),
        Transport::Icmp(_) => PacketKind::Icmp(if ip.source.is_ipv4() { 8 } else { 128 }),
        _ => return None,
    };
    Some((Some(ip.source), Some(ip.destination), kind))
}

/// What drops a packet at a hook, if anything does.
fn dropped<'a>(subject: &Subject<'a>, hook: Hook) -> Option<Decision<'a>> {
    match walk(subject, hook).end {
        End::Lost(decision) => Some(decision),
        _ => None,
    }
}

/// The conditions that hold for one flow only.
fn flow_text(subject: &Subject<'_>) -> Option<String> {
    let ip = subject.ip()?;
    if let Transport::Icmp(Icmp::Error(error)) = ip.transport() {
        // Whoever is on the way may have to send one.
        return errors_text(&error);
    }
    let word = if ip.source.is_ipv4() { "ip" } else { "ip6" };
    // An answer whose request went another way: the port it goes to is another one each time.
    let half_seen = subject.connection == Connection::invalid();
    let transport = match ip.transport() {
        Transport::Tcp(tcp) if half_seen => format!(" tcp sport {}", tcp.source_port),
        Transport::Tcp(tcp) => format!(" tcp dport {}", tcp.destination_port),
        Transport::Udp(udp) => format!(" udp dport {}", udp.destination_port),
        Transport::Icmp(_) if ip.source.is_ipv4() => " icmp type echo-request".into(),
        Transport::Icmp(_) => " icmpv6 type echo-request".into(),
        _ => String::new(),
    };
    Some(format!("{word} saddr {} {word} daddr {}{transport}", ip.source, ip.destination))
}

/// The conditions that hold for errors of this type.
fn errors_text(error: &IcmpError<'_>) -> Option<String> {
    let name = match (error.family == nsgate_packet::Family::V4, error.icmp_type) {
        (true, 3) => "icmp type destination-unreachable",
        (true, 11) => "icmp type time-exceeded",
        (false, 1) => "icmpv6 type destination-unreachable",
        (false, 2) => "icmpv6 type packet-too-big",
        (false, 3) => "icmpv6 type time-exceeded",
        _ => return None,
    };
    Some(name.to_owned())
}
