//! Ports of bridges and forwarding databases.

use nsgate_core::model::{ForwardingEntry, ForwardingOrigin, LinkIndex, Namespace, World};
use serde_json::Value;

use crate::debian::{Debian, has, or_dash, word};

pub(crate) fn our_ports(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |link: &nsgate_core::model::Link| {
        let port = link.port.as_ref()?;
        Some(format!(
            "{} {} isolated {} hairpin {} learning {} flood {} {} {} suppress {} locked {}",
            link.name,
            port.state.name(),
            port.isolated,
            port.hairpin,
            port.learning,
            port.unicast_flood,
            port.multicast_flood,
            port.broadcast_flood,
            port.neighbour_suppress,
            port.locked
        ))
    };
    namespace.links.iter().filter_map(row).collect()
}

pub(crate) fn their_ports(debian: &Debian) -> Vec<String> {
    let row = |port: &Value| {
        let set = |name: &str| port[name] == true;
        format!(
            "{} {} isolated {} hairpin {} learning {} flood {} {} {} suppress {} locked {}",
            word(&port["ifname"]),
            word(&port["state"]),
            set("isolated"),
            set("hairpin"),
            set("learning"),
            set("flood"),
            set("mcast_flood"),
            set("bcast_flood"),
            set("neigh_suppress"),
            set("locked")
        )
    };
    debian.objects("bridge -j -d link show").iter().filter(|port| !port["state"].is_null()).map(row).collect()
}

pub(crate) fn our_vlans(_: &World, namespace: &Namespace) -> Vec<String> {
    let mut rows = Vec::new();
    for link in &namespace.links {
        for vlan in link.port.iter().flat_map(|port| &port.vlans) {
            for id in vlan.first..=vlan.last {
                rows.push(format!("{} {id} pvid {} untagged {}", link.name, vlan.pvid, vlan.untagged));
            }
        }
    }
    rows
}

pub(crate) fn their_vlans(debian: &Debian) -> Vec<String> {
    let ports: Vec<String> = debian.objects("bridge -j link show").iter().map(|port| word(&port["ifname"])).collect();
    let mut rows = Vec::new();
    for port in debian.objects("bridge -j vlan show").iter().filter(|port| ports.contains(&word(&port["ifname"]))) {
        for vlan in port["vlans"].as_array().into_iter().flatten() {
            let first = vlan["vlan"].as_u64().unwrap();
            let (pvid, untagged) = (has(&vlan["flags"], "PVID"), has(&vlan["flags"], "Egress Untagged"));
            let last = vlan["vlanEnd"].as_u64().unwrap_or(first);
            let row = |id| format!("{} {id} pvid {pvid} untagged {untagged}", word(&port["ifname"]));
            rows.extend((first..=last).map(row));
        }
    }
    rows
}

pub(crate) fn our_forwarding(_: &World, namespace: &Namespace) -> Vec<String> {
    let name = |index: LinkIndex| or_dash(namespace.link(index).map(|link| &link.name));
    let row = |entry: &ForwardingEntry| {
        let origin = match entry.origin {
            ForwardingOrigin::Permanent => "permanent",
            ForwardingOrigin::Static => "static",
            ForwardingOrigin::Learned => "learned",
        };
        let bridge = or_dash(entry.bridge.filter(|bridge| *bridge != entry.link).map(name));
        let via = or_dash(entry.via.map(name));
        let (vlan, port, vni) = (or_dash(entry.vlan), or_dash(entry.port), or_dash(entry.vni));
        let remote = or_dash(entry.remote);
        format!(
            "{} {} {bridge} vlan {vlan} dst {remote} port {port} vni {vni} via {via} {origin}",
            name(entry.link),
            entry.mac
        )
    };
    namespace.forwarding.iter().map(row).collect()
}

/// Other devices than bridges, their ports and VXLAN devices have lists of groups there, which are no databases.
pub(crate) fn their_forwarding(debian: &Debian) -> Vec<String> {
    let links = debian.objects("ip -j -d link show");
    let kind = |name: &Value| {
        let link = links.iter().find(|link| link["ifname"] == *name);
        link.map(|link| word(&link["linkinfo"]["info_kind"])).unwrap_or_default()
    };
    let row = |entry: &Value| {
        let name = &entry["ifname"];
        let database = entry["master"] != Value::Null || kind(name) == "vxlan";
        let origin = match entry["state"].as_str() {
            Some("permanent") => "permanent",
            Some("static") => "static",
            _ => "learned",
        };
        let master = word(&entry["master"]);
        let bridge = if master == word(name) { "-".into() } else { master };
        database.then(|| {
            format!(
                "{} {} {bridge} vlan {} dst {} port {} vni {} via {} {origin}",
                word(name),
                word(&entry["mac"]),
                word(&entry["vlan"]),
                word(&entry["dst"]),
                word(&entry["port"]),
                word(&entry["vni"]),
                word(&entry["viaIf"])
            )
        })
    };
    debian.objects("bridge -j -d fdb show").iter().filter_map(row).collect()
}
