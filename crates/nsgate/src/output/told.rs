//! What was told of a probe besides the sightings, one line an event: by connection tracking, by the neighbour tables,
//! by the packet filter's own trace and by the kernel.

use nsgate_core::model::ruleset::Verdict;
use nsgate_core::model::{LinkIndex, NeighbourState, NetnsName, World};
use nsgate_core::trace::{
    Change, ConnectionEvent, KernelEvent, KernelEventKind, NeighbourEvent, Observation, RuleEvent, RuleStep,
};

/// One event in words.
pub(crate) struct Told<'a> {
    /// Who tells: `connection`, `neighbour`, `rule` or `kernel`.
    pub(crate) kind: &'static str,
    /// In which namespace; none where the kernel had detached the packet from any.
    pub(crate) netns: Option<&'a NetnsName>,
    /// What was told.
    pub(crate) text: String,
}

/// All that was told, by who tells, in the order of time.
pub(crate) fn all<'a>(world: &World, observation: &'a Observation) -> Vec<Told<'a>> {
    let told = |kind, netns, text| Told { kind, netns, text };
    let connections = observation.connections.iter().map(|e| told("connection", Some(&e.netns), connection(e)));
    let changes = &observation.neighbour_changes;
    let neighbours = changes.iter().map(|e| told("neighbour", Some(&e.netns), neighbour(world, e)));
    let rules = observation.rules.iter().map(|e| told("rule", Some(&e.netns), rule(e)));
    let kernel = observation.kernel.iter().map(|e| told("kernel", e.netns.as_ref(), kernel(world, e)));
    connections.chain(neighbours).chain(rules).chain(kernel).collect()
}

fn connection(event: &ConnectionEvent) -> String {
    let entry = &event.entry;
    let translated = if entry.reply == entry.original.reversed() {
        String::new()
    } else {
        format!(", from then on {}", entry.reply.reversed())
    };
    let answered = if entry.answered() { ", answered" } else { "" };
    format!("{}: {}{translated}{answered}", event.change.name(), entry.original)
}

fn neighbour(world: &World, event: &NeighbourEvent) -> String {
    let neighbour = &event.neighbour;
    let state = match (event.change, neighbour.state) {
        (Change::Gone, _) => "gone",
        (_, NeighbourState::Incomplete) => "asked for",
        (_, NeighbourState::Reachable) => "reachable",
        (_, NeighbourState::Stale) => "stale",
        (_, NeighbourState::Delay) => "in use, to be confirmed",
        (_, NeighbourState::Probe) => "being confirmed",
        (_, NeighbourState::Failed) => "failed",
        (_, NeighbourState::NoArp) => "not to be resolved",
        (_, NeighbourState::Permanent) => "permanent",
        (_, NeighbourState::None) => "unknown",
    };
    let mac = neighbour.mac.map(|mac| format!(" at {mac}")).unwrap_or_default();
    let link = link_name(world, &event.netns, neighbour.link);
    format!("{} on {link}: {state}{mac}", neighbour.address)
}

fn rule(event: &RuleEvent) -> String {
    let step = match event.step {
        RuleStep::Rule(handle) => format!("rule {handle}"),
        RuleStep::Return => "end".to_owned(),
        RuleStep::Policy => "policy".to_owned(),
    };
    let verdict = match &event.verdict {
        None => "another verdict".to_owned(),
        Some(Verdict::Accept) => "accept".to_owned(),
        Some(Verdict::Drop) => "drop".to_owned(),
        Some(Verdict::Continue) => "continue".to_owned(),
        Some(Verdict::Return) => "return".to_owned(),
        Some(Verdict::Jump(chain)) => format!("jump {chain}"),
        Some(Verdict::Goto(chain)) => format!("goto {chain}"),
        Some(Verdict::Queue) => "queue".to_owned(),
    };
    format!("{} {}, {step}: {verdict}", event.table, event.chain)
}

fn kernel(world: &World, event: &KernelEvent) -> String {
    let within = |symbol: &Option<String>| symbol.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    let link = match (&event.netns, event.link) {
        (Some(netns), Some(link)) => format!(", {}", link_name(world, netns, link)),
        _ => String::new(),
    };
    let what = match &event.kind {
        KernelEventKind::Dropped { reason, symbol } => format!("dropped: {reason}{}", within(symbol)),
        KernelEventKind::Consumed { symbol } => format!("done with it{}", within(symbol)),
        KernelEventKind::Queued => "queued".to_owned(),
        KernelEventKind::Transmitted => "given to the driver".to_owned(),
        KernelEventKind::Received => "taken in".to_owned(),
        KernelEventKind::Tap { hook, priority, .. } => format!("{} at priority {priority}", hook.name()),
        KernelEventKind::IcmpSent { icmp_type, code } => format!("sends ICMP type {icmp_type} code {code}"),
        KernelEventKind::ResetSent => "sends a TCP reset".to_owned(),
        KernelEventKind::Neighbour { address, before, after } => {
            return format!("{address}{link}: state {before:#04x}, then {after:#04x}");
        }
    };
    let packet = event.packet().as_ip().map(|ip| format!(": {}", ip.flow())).unwrap_or_default();
    format!("{what}{link}{packet}")
}

fn link_name(world: &World, netns: &NetnsName, link: LinkIndex) -> String {
    let known = world.namespace(netns).and_then(|netns| netns.link(link));
    known.map_or_else(|| format!("interface {}", link.0), |link| link.name.to_string())
}
