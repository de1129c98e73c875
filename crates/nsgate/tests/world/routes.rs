//! Routes and policy rules.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_core::model::{Family, LinkIndex, Namespace, NextHop, Route, RouteKind, Rule, RuleAction, Scope, World};
use serde_json::Value;

use crate::debian::{Debian, has, number, or_dash, word};

pub(crate) fn ours(_: &World, namespace: &Namespace) -> Vec<String> {
    let name = |index: LinkIndex| namespace.link(index).map(|link| &link.name);
    let hop = |hop: &NextHop| {
        format!(
            "[{} {} {} {} {} {}]",
            or_dash(hop.gateway),
            or_dash(hop.link.and_then(name)),
            hop.weight.max(1),
            hop.on_link,
            hop.dead,
            hop.link_down
        )
    };
    let row = |route: &Route| {
        let hops: Vec<String> = route.next_hops.iter().map(hop).collect();
        format!(
            "table {} {} from {} tos {} type {} scope {} metric {} proto {} src {} nhid {} mtu {} {}",
            route.table,
            route.destination,
            or_dash(route.from),
            route.tos,
            kind(route.kind),
            scope(route.scope),
            route.metric,
            route.protocol,
            or_dash(route.source),
            or_dash(route.nexthop_object),
            or_dash(route.mtu),
            hops.join(" ")
        )
    };
    namespace.routes.iter().map(row).collect()
}

pub(crate) fn theirs(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for (family, option) in [(Family::V4, "-4"), (Family::V6, "-6")] {
        for route in debian.objects(&format!("ip -N -j -d {option} route show table all")) {
            let metrics = &route["metrics"][0];
            rows.push(format!(
                "table {} {} from {} tos {} type {} scope {} metric {} proto {} src {} nhid {} mtu {} {}",
                number(&route["table"], 254),
                prefix(family, &route["dst"]),
                if route["from"].is_null() { "-".into() } else { prefix(family, &route["from"]).to_string() },
                number(&route["tos"], 0),
                number(&route["type"], 1),
                number(&route["scope"], 0),
                number(&route["metric"], 0),
                number(&route["protocol"], 3),
                word(&route["prefsrc"]),
                word(&route["nhid"]),
                word(&metrics["mtu"]),
                their_hops(&route).join(" ")
            ));
        }
    }
    rows
}

fn their_hops(route: &Value) -> Vec<String> {
    let hop = |hop: &Value| {
        let flags = &hop["flags"];
        let gateway = if hop["via"].is_null() { &hop["gateway"] } else { &hop["via"]["host"] };
        format!(
            "[{} {} {} {} {} {}]",
            word(gateway),
            word(&hop["dev"]),
            number(&hop["weight"], 1),
            has(flags, "onlink"),
            has(flags, "dead"),
            has(flags, "linkdown")
        )
    };
    // IPv6 keeps the loopback interface with routes that refuse, which says nothing.
    let refuses = number(&route["type"], 1) >= 6;
    match route["nexthops"].as_array() {
        _ if refuses => Vec::new(),
        Some(hops) => hops.iter().map(hop).collect(),
        None if route["dev"].is_null() && route["gateway"].is_null() => Vec::new(),
        None => vec![hop(route)],
    }
}

/// A prefix as ip writes it: `default`, or without its length where it is a single address.
fn prefix(family: Family, value: &Value) -> IpNet {
    let text = value.as_str().unwrap();
    match (text, family) {
        ("default" | "all", Family::V4) => "0.0.0.0/0".parse().unwrap(),
        ("default" | "all", Family::V6) => "::/0".parse().unwrap(),
        _ => text.parse().unwrap_or_else(|_| text.parse::<IpAddr>().unwrap().into()),
    }
}

fn kind(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::Unicast => 1,
        RouteKind::Local => 2,
        RouteKind::Broadcast => 3,
        RouteKind::Anycast => 4,
        RouteKind::Multicast => 5,
        RouteKind::Blackhole => 6,
        RouteKind::Unreachable => 7,
        RouteKind::Prohibit => 8,
        RouteKind::Throw => 9,
        RouteKind::Other(number) => number,
    }
}

fn scope(scope: Scope) -> u8 {
    match scope {
        Scope::Global => 0,
        Scope::Site => 200,
        Scope::Link => 253,
        Scope::Host => 254,
        Scope::Nowhere => 255,
        Scope::Other(number) => number,
    }
}

pub(crate) fn our_rules(_: &World, namespace: &Namespace) -> Vec<String> {
    let span = |span: Option<(u16, u16)>| or_dash(span.map(|(first, last)| format!("{first}-{last}")));
    let row = |rule: &Rule| {
        let action = match rule.action {
            RuleAction::Table(table) => format!("table {table}"),
            RuleAction::Goto(priority) => format!("goto {priority}"),
            RuleAction::Nop => "3".into(),
            RuleAction::Blackhole => "6".into(),
            RuleAction::Unreachable => "7".into(),
            RuleAction::Prohibit => "8".into(),
            RuleAction::Other(number) => number.to_string(),
        };
        format!(
            "{} {} not {} from {} to {} iif {} oif {} mark {} tos {} proto {} sport {} dport {} vrf {} suppress {} {action} by {}",
            rule.family,
            rule.priority,
            rule.inverted,
            or_dash(rule.from),
            or_dash(rule.to),
            or_dash(rule.iif.as_ref()),
            or_dash(rule.oif.as_ref()),
            or_dash(rule.mark.map(|(mark, mask)| format!("{mark}/{mask}"))),
            rule.tos,
            or_dash(rule.protocol),
            span(rule.source_ports),
            span(rule.destination_ports),
            rule.vrf,
            or_dash(rule.suppress_prefix_length),
            rule.made_by
        )
    };
    namespace.rules.iter().map(row).collect()
}

pub(crate) fn their_rules(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for (family, option) in [(Family::V4, "-4"), (Family::V6, "-6")] {
        for rule in debian.objects(&format!("ip -N -j -d {option} rule show")) {
            let net = |name: &str, length: &str| match rule[name].as_str() {
                None | Some("all") => "-".to_owned(),
                Some(address) => match rule[length].as_u64() {
                    Some(length) => format!("{address}/{length}"),
                    None => prefix(family, &rule[name]).to_string(),
                },
            };
            let ports = |name: &str| {
                let (start, end) = (&rule[format!("{name}_start")], &rule[format!("{name}_end")]);
                match &rule[name] {
                    Value::Null if start.is_null() => "-".to_owned(),
                    Value::Null => format!("{start}-{end}"),
                    port => format!("{port}-{port}"),
                }
            };
            let mark = (!rule["fwmark"].is_null())
                .then(|| format!("{}/{}", number(&rule["fwmark"], 0), number(&rule["fwmask"], u64::from(u32::MAX))));
            let action = if !rule["goto"].is_null() {
                format!("goto {}", rule["goto"])
            } else if rule["table"].is_null() && rule["l3mdev"].is_null() && !rule["action"].is_null() {
                word(&rule["action"])
            } else {
                format!("table {}", number(&rule["table"], 0))
            };
            rows.push(format!(
                "{family} {} not {} from {} to {} iif {} oif {} mark {} tos {} proto {} sport {} dport {} vrf {} suppress {} {action} by {}",
                rule["priority"],
                rule.get("not").is_some(),
                net("src", "srclen"),
                net("dst", "dstlen"),
                word(&rule["iif"]),
                word(&rule["oif"]),
                or_dash(mark),
                number(&rule["tos"], 0),
                word(&rule["ipproto"]).trim_start_matches("ipproto-"),
                ports("sport"),
                ports("dport"),
                rule.get("l3mdev").is_some(),
                word(&rule["suppress_prefixlen"]),
                number(&rule["protocol"], 0)
            ));
        }
    }
    rows
}
