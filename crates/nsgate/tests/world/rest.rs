//! Neighbours, kernel settings and listening sockets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nsgate_core::model::{
    Family, LinkIndex, Listener, Namespace, Neighbour, NeighbourState, Setting, Sysctl, Transport, World,
};

use crate::debian::{Debian, or_dash, word};

pub(crate) fn our_neighbours(_: &World, namespace: &Namespace) -> Vec<String> {
    let name = |index: LinkIndex| or_dash(namespace.link(index).map(|link| &link.name));
    let row = |neighbour: &Neighbour| {
        if neighbour.proxy {
            return format!("{} {} proxy", name(neighbour.link), neighbour.address);
        }
        format!("{} {} {} {}", name(neighbour.link), neighbour.address, or_dash(neighbour.mac), state(neighbour.state))
    };
    namespace.neighbours.iter().map(row).collect()
}

pub(crate) fn their_neighbours(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for option in ["-4", "-6"] {
        for neighbour in debian.objects(&format!("ip -j {option} neigh show nud all")) {
            let state = neighbour["state"][0].as_str().unwrap_or("NONE");
            let (dev, dst) = (word(&neighbour["dev"]), word(&neighbour["dst"]));
            // Groups stand in the table without being anybody's neighbours.
            if dst.parse::<IpAddr>().unwrap().is_multicast() {
                continue;
            }
            rows.push(format!("{dev} {dst} {} {state}", word(&neighbour["lladdr"])));
        }
        let proxies = debian.objects(&format!("ip -j {option} neigh show proxy"));
        rows.extend(proxies.iter().map(|proxy| format!("{} {} proxy", word(&proxy["dev"]), word(&proxy["dst"]))));
    }
    rows
}

fn state(state: NeighbourState) -> &'static str {
    match state {
        NeighbourState::Incomplete => "INCOMPLETE",
        NeighbourState::Reachable => "REACHABLE",
        NeighbourState::Stale => "STALE",
        NeighbourState::Delay => "DELAY",
        NeighbourState::Probe => "PROBE",
        NeighbourState::Failed => "FAILED",
        NeighbourState::NoArp => "NOARP",
        NeighbourState::Permanent => "PERMANENT",
        NeighbourState::None => "NONE",
    }
}

/// The settings that a World holds, those of the interfaces by their whole names.
pub(crate) fn our_sysctls(_: &World, namespace: &Namespace) -> Vec<String> {
    let mut values: BTreeMap<String, String> =
        namespace.sysctls.iter().map(|(name, value)| (name.to_string(), value.to_owned())).collect();
    for link in &namespace.links {
        for family in Family::BOTH {
            for setting in Setting::ALL {
                if let (Some(name), Some(value)) = (setting.name(family), link.setting(family, setting)) {
                    values.insert(Sysctl::of_link(family, &link.name, name).to_string(), value.to_string());
                }
            }
        }
    }
    values.retain(|name, _| wanted(name));
    values
        .into_iter()
        .map(|(name, value)| format!("{name} = {}", value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

/// Of all that sysctl knows, what a World holds.
pub(crate) fn their_sysctls(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for line in debian.text("sysctl -a").lines() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        if wanted(name) {
            rows.push(format!("{name} = {}", value.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    rows
}

/// Whether a setting is one that a World holds.
fn wanted(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let family = match parts[..] {
        ["net", "ipv4", ..] => Family::V4,
        ["net", "ipv6", ..] => Family::V6,
        _ => return false,
    };
    match parts[2..] {
        ["conf", "default", _] => {
            ["forwarding", "rp_filter", "disable_ipv6", "accept_ra"].contains(&parts[4])
                && !(family == Family::V6 && parts[4] == "rp_filter")
                && !(family == Family::V4 && parts[4] == "accept_ra")
        }
        ["conf", _, setting] => Setting::ALL.into_iter().any(|known| known.name(family) == Some(setting)),
        ["ip_forward" | "icmp_echo_ignore_all" | "ip_nonlocal_bind" | "fwmark_reflect" | "tcp_mtu_probing"] => true,
        _ => false,
    }
}

pub(crate) fn our_listeners(_: &World, namespace: &Namespace) -> Vec<String> {
    let name = |index: LinkIndex| or_dash(namespace.link(index).map(|link| &link.name));
    let row = |listener: &Listener| {
        let (protocol, queue) = match listener.transport {
            Transport::Tcp => ("tcp", format!("{} {}", listener.queued, listener.queue_limit)),
            Transport::Udp => ("udp", listener.queued.to_string()),
        };
        let device = or_dash(listener.link.map(name));
        let both = listener.address.is_ipv6() && !listener.only_v6;
        format!("{protocol} {} {} on {device} both {both} queue {queue}", listener.address, listener.port)
    };
    namespace.listeners.iter().map(row).collect()
}

pub(crate) fn their_listeners(debian: &Debian) -> Vec<String> {
    let mut rows = Vec::new();
    for line in debian.text("ss -H -l -t -u -n -e").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [protocol, _, queued, limit, local, ..] = words[..] else { panic!("{line}") };
        let (address, port) = local.rsplit_once(':').unwrap();
        let (address, device) = address.split_once('%').unwrap_or((address, "-"));
        let address = match address.trim_matches(['[', ']']) {
            "*" => IpAddr::from([0; 16]),
            address => address.parse().unwrap(),
        };
        let both = words.contains(&"v6only:0");
        let queue = if protocol == "tcp" { format!("{queued} {limit}") } else { queued.to_owned() };
        rows.push(format!("{protocol} {address} {port} on {} both {both} queue {queue}", device.trim_end_matches(']')));
    }
    rows
}
