//! Interfaces and their addresses.

use nsgate_core::model::{Address, Link, LinkKind, Mac, Namespace, OperState, Peer, World};
use serde_json::Value;

use crate::debian::{Debian, has, number, or_dash, word};

pub(crate) fn ours(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |link: &Link| {
        let (kind, own) = kind(&link.kind);
        let master = or_dash(link.master.and_then(|master| namespace.link(master)).map(|master| &master.name));
        let (peer, place) = match &link.peer {
            Peer::None => ("-".into(), "-".into()),
            Peer::Here(index) => (index.0.to_string(), "here".into()),
            Peer::There(netns, index) => (index.0.to_string(), netns.to_string()),
            Peer::Hidden(index) => (index.0.to_string(), "hidden".into()),
        };
        format!(
            "{} {} {kind} {own} mac {} mtu {} {} {} {} {} {} master {master} peer {peer} {place} group {} alias {}",
            link.index.0,
            link.name,
            or_dash(link.mac),
            link.mtu,
            link.up,
            link.carrier,
            link.resolves_neighbours,
            link.promiscuous,
            state(link.state),
            link.group,
            or_dash(link.alias.as_ref()),
        )
    };
    namespace.links.iter().map(row).collect()
}

pub(crate) fn theirs(debian: &Debian) -> Vec<String> {
    let all = debian.objects("ip -N -j -d link show");
    let index_of = |name: &Value| all.iter().find(|link| link["ifname"] == *name).map(|link| word(&link["ifindex"]));
    let row = |link: &Value| {
        let info = &link["linkinfo"];
        let data = &info["info_data"];
        let kind = word(&info["info_kind"]);
        let peer = index_of(&link["link"]).unwrap_or_else(|| word(&link["link_index"]));
        let place = match &link["link_netnsid"] {
            Value::Null if peer == "-" => "-".into(),
            Value::Null => "here".into(),
            // The namespace that a scenario is started in has no name.
            elsewhere => debian.namespace_of(elsewhere).unwrap_or_else(|| "host".into()),
        };
        let flags = &link["flags"];
        format!(
            "{} {} {kind} {} mac {} mtu {} {} {} {} {} {} master {} peer {peer} {place} group {} alias {}",
            word(&link["ifindex"]),
            word(&link["ifname"]),
            their_own(&kind, data),
            mac(&link["address"]),
            word(&link["mtu"]),
            has(flags, "UP"),
            has(flags, "LOWER_UP"),
            !has(flags, "NOARP"),
            has(flags, "PROMISC"),
            word(&link["operstate"]),
            word(&link["master"]),
            word(&link["group"]),
            word(&link["ifalias"]),
        )
    };
    all.iter().map(row).collect()
}

/// The kind in the kernel's word, and what only that kind has.
fn kind(kind: &LinkKind) -> (&str, String) {
    match kind {
        LinkKind::Loopback | LinkKind::Physical => ("-", "-".into()),
        LinkKind::Veth => ("veth", "-".into()),
        LinkKind::Bridge(bridge) => {
            ("bridge", format!("{} {}", u8::from(bridge.vlan_filtering), u8::from(bridge.spanning_tree)))
        }
        LinkKind::Macvlan { mode } => ("macvlan", mode.clone()),
        LinkKind::Vlan { id } => ("vlan", id.to_string()),
        LinkKind::Vxlan { vni, remote, local, port, .. } => {
            ("vxlan", format!("{vni} {} {} {port}", or_dash(*remote), or_dash(*local)))
        }
        LinkKind::Vrf { table } => ("vrf", table.to_string()),
        LinkKind::Tun => ("tun", "-".into()),
        LinkKind::Other(kind) => (kind, "-".into()),
    }
}

fn their_own(kind: &str, data: &Value) -> String {
    let first = |names: &[&str]| names.iter().map(|name| word(&data[*name])).find(|word| word != "-");
    match kind {
        "bridge" => format!("{} {}", data["vlan_filtering"], data["stp_state"]),
        "macvlan" => word(&data["mode"]),
        "vlan" => word(&data["id"]),
        "vrf" => word(&data["table"]),
        "vxlan" => {
            let remote = or_dash(first(&["remote", "remote6", "group", "group6"]));
            format!("{} {remote} {} {}", data["id"], or_dash(first(&["local", "local6"])), data["port"])
        }
        _ => "-".into(),
    }
}

/// A link-layer address; loopback's is all zeroes, tunnels have other things there.
fn mac(value: &Value) -> String {
    or_dash(value.as_str().and_then(|text| text.parse::<Mac>().ok()).filter(|mac| mac.0 != [0; 6]))
}

fn state(state: OperState) -> &'static str {
    match state {
        OperState::Unknown => "UNKNOWN",
        OperState::NotPresent => "NOTPRESENT",
        OperState::Down => "DOWN",
        OperState::LowerLayerDown => "LOWERLAYERDOWN",
        OperState::Testing => "TESTING",
        OperState::Dormant => "DORMANT",
        OperState::Up => "UP",
    }
}

pub(crate) fn our_addresses(_: &World, namespace: &Namespace) -> Vec<String> {
    let row = |link: &Link, address: &Address| {
        let flags = &address.flags;
        format!(
            "{} {} peer {} brd {} tentative {} duplicate {} nodad {} deprecated {} secondary {} permanent {}",
            link.name,
            address.net,
            or_dash(address.peer.filter(|peer| *peer != address.net.addr())),
            or_dash(address.broadcast),
            flags.tentative,
            flags.duplicate,
            flags.no_dad,
            flags.deprecated,
            flags.secondary,
            flags.permanent
        )
    };
    namespace.links.iter().flat_map(|link| link.addresses.iter().map(move |address| row(link, address))).collect()
}

pub(crate) fn their_addresses(debian: &Debian) -> Vec<String> {
    let row = |link: &Value, address: &Value| {
        let set = |name: &str| address[name] == true;
        format!(
            "{} {}/{} peer {} brd {} tentative {} duplicate {} nodad {} deprecated {} secondary {} permanent {}",
            word(&link["ifname"]),
            word(&address["local"]),
            word(&address["prefixlen"]),
            word(&address["address"]),
            word(&address["broadcast"]),
            set("tentative"),
            set("dadfailed"),
            set("nodad"),
            set("deprecated"),
            set("secondary") || set("temporary"),
            number(&address["valid_life_time"], 0) == u64::from(u32::MAX)
        )
    };
    let links = debian.objects("ip -N -j addr show");
    let none = Vec::new();
    let rows = links.iter().flat_map(|link| {
        link["addr_info"].as_array().unwrap_or(&none).iter().map(move |address| row(link, address)).collect::<Vec<_>>()
    });
    rows.collect()
}
