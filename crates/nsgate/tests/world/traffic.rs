//! Traffic control: queueing disciplines, classes, filters and their actions.

use nsgate_core::model::{
    ActionKind, FilterKind, Handle, LinkIndex, Namespace, Qdisc, QdiscKind, TrafficAction, TrafficClass, TrafficFilter,
    World,
};
use serde_json::Value;

use crate::debian::{Debian, number, or_dash, word};

pub(crate) fn our_qdiscs(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |qdisc: &Qdisc| {
        let own = match &qdisc.kind {
            QdiscKind::Pfifo { limit } | QdiscKind::Bfifo { limit } => format!("limit {limit}"),
            QdiscKind::Tbf { rate, burst, .. } => format!("rate {rate} burst {burst}"),
            QdiscKind::Htb { default } => format!("default {default}"),
            _ => "-".into(),
        };
        let counts = &qdisc.counts;
        format!(
            "{} {} {} on {} {own} sent {} {} dropped {} over {} requeued {} waiting {}",
            name(namespace, qdisc.link),
            qdisc.kind.name(),
            qdisc.handle,
            qdisc.parent,
            counts.bytes,
            counts.packets,
            counts.drops,
            counts.overlimits,
            counts.requeues,
            counts.queued
        )
    };
    namespace.qdiscs.iter().map(row).collect()
}

pub(crate) fn their_qdiscs(debian: &Debian) -> Vec<String> {
    let row = |qdisc: &Value| {
        let kind = word(&qdisc["kind"]);
        let options = &qdisc["options"];
        let own = match kind.as_str() {
            "pfifo" | "bfifo" => format!("limit {}", word(&options["limit"])),
            "tbf" => format!("rate {} burst {}", word(&options["rate"]), word(&options["burst"])),
            "htb" => format!("default {}", number(&options["default"], 0)),
            _ => "-".into(),
        };
        format!(
            "{} {kind} {} on {} {own} sent {} {} dropped {} over {} requeued {} waiting {}",
            word(&qdisc["dev"]),
            word(&qdisc["handle"]),
            parent(&qdisc["root"], &word(&qdisc["parent"])),
            word(&qdisc["bytes"]),
            word(&qdisc["packets"]),
            word(&qdisc["drops"]),
            word(&qdisc["overlimits"]),
            word(&qdisc["requeues"]),
            word(&qdisc["qlen"])
        )
    };
    // What has no queue at all is of no use to anybody.
    debian.objects("tc -s -j qdisc show").iter().filter(|qdisc| qdisc["kind"] != "noqueue").map(row).collect()
}

pub(crate) fn our_classes(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |class: &TrafficClass| {
        format!("{} {} {} on {}", name(namespace, class.link), class.kind, class.handle, class.parent)
    };
    namespace.traffic_classes.iter().map(row).collect()
}

/// `class htb 1:10 root leaf 30: prio 0 …` or `class htb 1:10 parent 1:1 …`.
pub(crate) fn their_classes(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for dev in devices(debian) {
        for line in debian.text(&format!("tc class show dev {dev}")).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["class", kind, handle, of, rest @ ..] = &words[..] else { panic!("{line}") };
            let parent = if *of == "root" { "root" } else { rest[0] };
            rows.push(format!("{dev} {kind} {handle} on {parent}"));
        }
    }
    rows
}

pub(crate) fn our_filters(_: &World, namespace: &Namespace) -> Vec<String> {
    let action = |action: &TrafficAction| match &action.kind {
        ActionKind::Mirred { copy, ingress, link } => {
            let manner = if *copy { "mirror" } else { "redirect" };
            format!("mirred {manner} {} {}", if *ingress { "ingress" } else { "egress" }, name(namespace, *link))
        }
        kind => kind.name().to_owned(),
    };
    let row = |filter: &TrafficFilter| {
        let own = match &filter.kind {
            FilterKind::Bpf { direct, .. } => format!("direct {direct}"),
            FilterKind::U32 { keys } => match &keys[..] {
                [] => "0 0 0".into(),
                [key, ..] => format!("{:x} {:x} {}", key.value, key.mask, key.offset),
            },
            _ => "-".into(),
        };
        let actions: Vec<String> = filter.actions.iter().map(action).collect();
        format!(
            "{} {} {} pref {} chain {} protocol {:04x} {own} to {} [{}]",
            name(namespace, filter.link),
            place(filter.parent),
            filter.kind.name(),
            filter.priority,
            filter.chain,
            filter.protocol,
            or_dash(filter.class),
            actions.join(", ")
        )
    };
    namespace.traffic_filters.iter().map(row).collect()
}

pub(crate) fn their_filters(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for qdisc in debian.objects("tc -j qdisc show") {
        let dev = word(&qdisc["dev"]);
        let handle = word(&qdisc["handle"]);
        let places = match word(&qdisc["kind"]).as_str() {
            "clsact" => vec!["ingress".to_owned(), "egress".to_owned()],
            "ingress" | "htb" => vec![format!("parent {handle}")],
            _ => continue,
        };
        for place in places {
            let filters = debian.objects(&format!("tc -j filter show dev {dev} {place}"));
            // A priority by itself and a hash table only keep filters together.
            let whole = |filter: &&Value| !filter["options"].is_null() && filter["options"]["ht_divisor"].is_null();
            rows.extend(filters.iter().filter(whole).map(|filter| their_filter(&dev, &place, filter)));
        }
    }
    rows
}

fn their_filter(dev: &str, place: &str, filter: &Value) -> String {
    let kind = word(&filter["kind"]);
    let options = &filter["options"];
    let own = match kind.as_str() {
        "bpf" => format!("direct {}", options["direct-action"] == true),
        "u32" => {
            let part = &options["match"];
            format!("{} {} {}", word(&part["value"]), word(&part["mask"]), word(&part["off"]))
        }
        _ => "-".into(),
    };
    let action = |action: &Value| match action["kind"].as_str() {
        Some("mirred") => format!(
            "mirred {} {} {}",
            word(&action["mirred_action"]),
            word(&action["direction"]),
            word(&action["to_dev"])
        ),
        _ => word(&action["kind"]),
    };
    let actions: Vec<String> = options["actions"].as_array().into_iter().flatten().map(action).collect();
    let protocol = match word(&filter["protocol"]).as_str() {
        "all" => 3,
        "ip" => 0x0800,
        "ipv6" => 0x86dd,
        "arp" => 0x0806,
        other => panic!("protocol {other}"),
    };
    format!(
        "{dev} {} {kind} pref {} chain {} protocol {protocol:04x} {own} to {} [{}]",
        place.trim_start_matches("parent "),
        word(&filter["pref"]),
        word(&filter["chain"]),
        word(&options["flowid"]),
        actions.join(", ")
    )
}

/// Where filters hang, as tc is asked for it.
fn place(parent: Handle) -> String {
    match parent {
        Handle::CLSACT_INGRESS => "ingress".into(),
        Handle::CLSACT_EGRESS => "egress".into(),
        parent => parent.to_string(),
    }
}

fn parent(root: &Value, parent: &str) -> String {
    match parent {
        _ if *root == true => "root".into(),
        "ffff:fff1" => "ingress".into(),
        parent => parent.to_owned(),
    }
}

fn devices(debian: &Debian) -> Vec<String> {
    debian.objects("ip -j link show").iter().map(|link| word(&link["ifname"])).collect()
}

fn name(namespace: &Namespace, link: LinkIndex) -> String {
    or_dash(namespace.link(link).map(|link| &link.name))
}
