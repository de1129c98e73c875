//! Named objects and flow tables as text.

use std::fmt::Write as _;

use super::super::conntrack_timeout;
use super::super::expression::Expression;
use super::super::object::{FlowTable, Object, ObjectKind, Tunnel};
use super::super::value_type::ValueType;
use super::super::{TableFamily, names, value};
use super::action::{by_itself, synproxy};
use super::{plain, quoted};

/// What stands before the brace.
pub(super) fn heading(object: &Object) -> String {
    let name = plain(&object.name);
    match &object.kind {
        ObjectKind::Stateful(Expression::ConnectionLimit { .. }) => format!("ct count {name}"),
        ObjectKind::Stateful(expression) => format!("{} {name}", plain(expression.name())),
        ObjectKind::CtHelper { .. } => format!("ct helper {name}"),
        ObjectKind::CtTimeout { .. } => format!("ct timeout {name}"),
        ObjectKind::CtExpectation { .. } => format!("ct expectation {name}"),
        ObjectKind::Secmark { .. } => format!("secmark {name}"),
        ObjectKind::Tunnel(_) => format!("tunnel {name}"),
        ObjectKind::Unknown { number, .. } => format!("[ object {number} ] {name}"),
    }
}

/// What stands in the braces, part by part.
pub(super) fn parts(object: &Object) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(comment) = &object.comment {
        parts.push(format!("comment {}", quoted(comment)));
    }
    match &object.kind {
        ObjectKind::Stateful(expression) => parts.extend(parameters(expression)),
        ObjectKind::CtHelper { helper, network, transport } => {
            parts.push(format!("type {} protocol {}", quoted(helper), protocol(*transport)));
            parts.extend(network_part(*network));
        }
        ObjectKind::CtTimeout { network, transport, seconds } => {
            parts.push(format!("protocol {}", protocol(*transport)));
            parts.extend(network_part(*network));
            let states: Vec<_> = seconds
                .iter()
                .map(|(state, seconds)| {
                    let word = conntrack_timeout::state(*transport, *state);
                    let word = word.map_or_else(|| state.to_string(), ToOwned::to_owned);
                    format!("{word} : {seconds}")
                })
                .collect();
            parts.push(format!("policy = {{ {} }}", states.join(", ")));
        }
        ObjectKind::CtExpectation { network, transport, port, timeout, size } => {
            parts.push(format!("protocol {}", protocol(*transport)));
            parts.push(format!("dport {port}"));
            parts.push(format!("timeout {}", value::duration(u64::from(*timeout))));
            parts.push(format!("size {size}"));
            parts.extend(network_part(*network));
        }
        ObjectKind::Secmark { context } => parts.push(quoted(context)),
        ObjectKind::Tunnel(tunnel) => parts.extend(tunnel_parts(tunnel)),
        ObjectKind::Unknown { .. } => {}
    }
    parts
}

/// What stands in the braces of a flow table.
pub(super) fn flow_table_parts(family: TableFamily, flow_table: &FlowTable) -> Vec<String> {
    let priority = names::priority_text(family, flow_table.hook, flow_table.priority);
    let mut parts = vec![format!("hook {} priority {priority}", flow_table.hook)];
    if !flow_table.devices.is_empty() {
        let devices: Vec<_> = flow_table.devices.iter().map(|d| quoted(d.as_str())).collect();
        parts.push(format!("devices = {{ {} }}", devices.join(", ")));
    }
    if flow_table.offload {
        parts.push("flags offload".into());
    }
    if flow_table.counts {
        parts.push("counter".into());
    }
    parts
}

/// An instruction's parameters, which stand in the braces without its name.
fn parameters(expression: &Expression) -> Vec<String> {
    match expression {
        Expression::Synproxy { mss, wscale, flags } => {
            let all = synproxy(*mss, *wscale, *flags);
            let (values, words): (Vec<_>, Vec<_>) = all.into_iter().partition(|part| part.contains(' '));
            let words = words.join(" ");
            values.into_iter().chain((!words.is_empty()).then_some(words)).collect()
        }
        Expression::Counter { packets, bytes } => vec![format!("packets {packets} bytes {bytes}")],
        Expression::ConnectionLimit { .. } => {
            vec![by_itself(expression).trim_start_matches("ct count ").to_owned()]
        }
        other => {
            let text = by_itself(other);
            vec![text.split_once(' ').map_or(String::new(), |(_, rest)| rest.to_owned())]
        }
    }
}

fn tunnel_parts(tunnel: &Tunnel) -> Vec<String> {
    let mut parts = vec![format!("id {}", tunnel.id)];
    let mut add = |word: &str, value: Option<String>| parts.extend(value.map(|value| format!("{word} {value}")));
    let word = |v6: &str, v4: &str, address: Option<std::net::IpAddr>| {
        if address.is_some_and(|a| a.is_ipv6()) { v6.to_owned() } else { v4.to_owned() }
    };
    add(&word("ip6 saddr", "ip saddr", tunnel.source), tunnel.source.map(|a| a.to_string()));
    add(&word("ip6 daddr", "ip daddr", tunnel.destination), tunnel.destination.map(|a| a.to_string()));
    add("sport", tunnel.source_port.map(|p| p.to_string()));
    add("dport", tunnel.destination_port.map(|p| p.to_string()));
    add("tos", (tunnel.tos != 0).then(|| tunnel.tos.to_string()));
    add("ttl", (tunnel.ttl != 0).then(|| tunnel.ttl.to_string()));
    add("flags", (tunnel.flags != 0).then(|| format!("0x{:x}", tunnel.flags)));
    let options = tunnel.options.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    add("options", (!options.is_empty()).then(|| format!("0x{options}")));
    parts
}

fn protocol(number: u8) -> String {
    value::show(ValueType::InetProtocol.kind(), &[number])
}

/// The network protocol of an object, as nft's word for it.
fn network_part(number: u16) -> Option<String> {
    let word = match number {
        0 => return None,
        1 => "inet".to_owned(),
        2 => "ip".to_owned(),
        10 => "ip6".to_owned(),
        other => other.to_string(),
    };
    Some(format!("l3proto {word}"))
}
