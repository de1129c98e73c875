//! What stands in packets' way beside the packet filter: queues, the filters of traffic control, BPF programs, IPsec,
//! connection tracking.

use nsgate_core::model::conntrack::{Statistics, Table};
use nsgate_core::model::{
    ActionKind, AttachedProgram, FilterKind, LinkIndex, MachinePlace, Namespace, NeighbourTable, Qdisc, QdiscKind,
    TrafficAction, TrafficFilter, TrafficVerdict, Xfrm, XfrmPolicy, XfrmTemplate, xfrm_protocol,
};

use super::printable;

/// The queueing disciplines that somebody chose.
pub(super) fn queues(namespace: &Namespace) -> Vec<String> {
    let chosen = namespace.qdiscs.iter().filter(|qdisc| qdisc.handle.0 != 0);
    let place = |qdisc: &&Qdisc| !matches!(qdisc.kind, QdiscKind::Ingress | QdiscKind::Clsact);
    let show = |qdisc: &Qdisc| {
        let drops = match qdisc.counts.drops {
            0 => String::new(),
            drops => format!(" ({drops} dropped)"),
        };
        format!("{}: {}{drops}", name(namespace, qdisc.link), queue(&qdisc.kind))
    };
    chosen.filter(place).map(show).collect()
}

fn queue(kind: &QdiscKind) -> String {
    let name = printable(kind.name());
    match kind {
        QdiscKind::Pfifo { limit } | QdiscKind::Bfifo { limit } | QdiscKind::FqCodel { limit, .. } => {
            format!("{name} limit {limit}")
        }
        QdiscKind::Tbf { rate, burst, limit } => {
            format!("{name} rate {}bit burst {burst} limit {limit}", u128::from(*rate) * 8)
        }
        QdiscKind::Htb { default } => format!("{name} default {default:x}"),
        QdiscKind::Noqueue | QdiscKind::Ingress | QdiscKind::Clsact | QdiscKind::Other(_) => name,
    }
}

/// The filters of traffic control, with what they do.
pub(super) fn filters(namespace: &Namespace) -> Vec<String> {
    let show = |filter: &TrafficFilter| {
        let class = filter.class.map(|class| format!(" to class {class}"));
        let actions: Vec<String> = filter.actions.iter().map(|of| action(namespace, of)).collect();
        format!(
            "{} {}: {}{}{}{}",
            name(namespace, filter.link),
            if filter.on_egress() { "egress" } else { "ingress" },
            printable(filter.kind.name()),
            match &filter.kind {
                FilterKind::Bpf { name: Some(name), .. } => format!(" {}", printable(name)),
                _ => String::new(),
            },
            class.unwrap_or_default(),
            if actions.is_empty() { String::new() } else { format!(" → {}", actions.join(", ")) }
        )
    };
    namespace.traffic_filters.iter().map(show).collect()
}

fn action(namespace: &Namespace, action: &TrafficAction) -> String {
    let kind = printable(action.kind.name());
    match &action.kind {
        ActionKind::Mirred { copy, link, .. } => {
            let down = namespace.link(*link).is_some_and(|link| !link.up);
            let manner = if *copy { "copy to" } else { "redirect to" };
            format!("{manner} {}{}", name(namespace, *link), if down { " (down)" } else { "" })
        }
        ActionKind::Gact if action.verdict == Some(TrafficVerdict::Shot) => "drop".into(),
        _ => kind,
    }
}

/// BPF programs on interfaces, those of traffic control's filters excepted.
pub(super) fn programs(namespace: &Namespace) -> Vec<String> {
    let called = |id: u32, name: &Option<String>| name.as_deref().map_or_else(|| format!("program {id}"), printable);
    let programs = namespace.programs.iter();
    programs.map(|p| format!("{} {}: {}", name(namespace, p.link), p.place.name(), called(p.id, &p.name))).collect()
}

/// IPsec policies that are for all sockets, and whether they have states.
pub(super) fn ipsec(namespace: &Namespace) -> Vec<String> {
    let xfrm = &namespace.xfrm;
    let mut lines: Vec<String> =
        xfrm.policies.iter().filter(|policy| !policy.of_socket).map(|policy| self::policy(xfrm, policy)).collect();
    lines.extend(xfrm.refused_by_default.iter().map(|direction| format!("{} refused by default", direction.name())));
    lines.extend((!xfrm.states.is_empty()).then(|| format!("states: {}", xfrm.states.len())));
    lines
}

fn policy(xfrm: &Xfrm, policy: &XfrmPolicy) -> String {
    let does = match &policy.templates[..] {
        _ if policy.refuses => "block".to_owned(),
        [] => "in the clear".to_owned(),
        templates => templates.iter().map(|template| self::template(xfrm, template)).collect::<Vec<_>>().join(" in "),
    };
    let selector = &policy.selector;
    format!("{} {} > {} {does}", policy.direction.name(), selector.source, selector.destination)
}

fn template(xfrm: &Xfrm, template: &XfrmTemplate) -> String {
    let end = template.destination.map(|end| format!(" to {end}")).unwrap_or_default();
    let state = if xfrm.states_for(template).next().is_none() { " (no state)" } else { "" };
    format!("{} {}{end}{state}", xfrm_protocol(template.protocol), template.mode.name())
}

/// How full the connection-tracking table is, and what it could not keep.
pub(super) fn tracking(namespace: &Namespace) -> Option<String> {
    let Table { entries, limit, processors } = namespace.conntrack.as_ref()?;
    let sum = |count: fn(&Statistics) -> u32| processors.iter().map(|of| u64::from(count(of))).sum::<u64>();
    let losses = [
        ("invalid", sum(|of| of.invalid)),
        ("dropped", sum(|of| of.drop)),
        ("dropped early", sum(|of| of.early_drop)),
        ("not inserted", sum(|of| of.insert_failed)),
    ];
    let losses: Vec<String> =
        losses.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    if *entries == 0 && losses.is_empty() {
        return None;
    }
    let limit = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
    let losses = if losses.is_empty() { String::new() } else { format!("; so far {}", losses.join(", ")) };
    Some(format!("{entries}{limit} flows{losses}"))
}

/// A BPF program that is attached to something of the machine.
pub(super) fn attached(program: &AttachedProgram) -> String {
    let called = program.name.as_deref().map_or_else(|| format!("program {}", program.id), printable);
    match &program.place {
        MachinePlace::ControlGroup { path, hook, .. } => format!("{} {}: {called}", printable(path), printable(hook)),
        MachinePlace::PacketFilter { family, hook, priority } => {
            format!("{family} {} {priority}: {called}", printable(hook))
        }
    }
}

/// A neighbour table that is nearly full, or was.
pub(super) fn crowded(table: &NeighbourTable) -> Option<String> {
    let NeighbourTable { family, entries, hard_limit, refused, .. } = table;
    let refusals = if *refused > 0 { format!(", {refused} refused so far") } else { String::new() };
    let crowded = u64::from(*entries) * 10 >= u64::from(*hard_limit) * 9 || *refused > 0;
    crowded.then(|| format!("{family}: {entries} of {hard_limit}{refusals}"))
}

fn name(namespace: &Namespace, link: LinkIndex) -> String {
    namespace.link(link).map_or_else(|| format!("interface {}", link.0), |link| link.name.to_string())
}
