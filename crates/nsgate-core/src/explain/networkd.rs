//! What keeps a change to an interface, its addresses, routes and rules: the sections of systemd-networkd, or the option of
//! the program that makes the interface (systemd.network(5); Docker's daemon.json; libvirt's network XML).

use std::net::IpAddr;

use super::lasting::{Lasting, MATCH, file_of};
use crate::model::{Family, LinkKind, LinkName, Namespace, RouteKind, Rule, RuleAction, TABLE_MAIN};
use crate::plan::{Action, Change, Hop, LinkSetting, NewAddress, NewForwarding, NewNeighbour, NewRoute, Step};

/// What keeps an action that concerns interfaces; none where it comes by itself or is another program's.
pub(super) fn of_link(netns: &Namespace, action: &Action) -> Option<Lasting> {
    match action {
        Action::SetLink { name, setting, .. } => of_setting(netns, name, setting),
        Action::Address(Change::Delete, address) => Some(Lasting::words(format!(
            "take {} away where {} is given it (its .network file, /etc/network/interfaces, NetworkManager, DHCP)",
            address.net, address.dev
        ))),
        Action::Address(_, address) => Some(of_address(address)),
        Action::Route(_, route) => of_route(netns, route),
        Action::Rule(Change::Delete, _) => {
            Some(Lasting::words("take the rule away where it is made: a [RoutingPolicyRule] section, a VPN, a script"))
        }
        Action::Rule(_, rule) => of_rule(rule),
        Action::Neighbour(Change::Delete, _) => {
            Some(Lasting::words("take the entry away where it is made: a [Neighbor] section, /etc/ethers, a script"))
        }
        Action::Neighbour(_, entry) => Some(of_neighbour(entry)),
        Action::Forwarding(_, entry) => Some(of_forwarding(entry)),
        Action::SetQueue { dev, .. } => Some(Lasting::words(format!(
            "whatever sets the queue of {dev} at boot (tc in a script, its .network file)"
        ))),
        Action::DeleteFilter(old) => {
            Some(Lasting::words(format!("whoever attached it to {} attaches it again: it ends there", old.dev)))
        }
        _ => None,
    }
}

/// A section for one interface.
fn section(link: &LinkName, name: &str, lines: Vec<String>) -> Lasting {
    let head = [MATCH.to_owned(), format!("Name={link}"), format!("[{name}]")];
    Lasting::lines(file_of(link), head.into_iter().chain(lines).collect())
}

fn yes(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

fn of_setting(netns: &Namespace, link: &LinkName, setting: &LinkSetting) -> Option<Lasting> {
    let of_bridge = |line: String| {
        let place = format!("the .netdev file that makes {link}, where systemd-networkd keeps it");
        Some(Lasting::lines(place, vec!["[Bridge]".into(), line]))
    };
    let (name, line) = match setting {
        LinkSetting::Up(up) => ("Link", format!("ActivationPolicy={}", if *up { "up" } else { "down" })),
        LinkSetting::Mtu(mtu) => {
            let by_program = maker(netns, link).map(|maker| of_mtu(maker, *mtu));
            return by_program.or_else(|| Some(section(link, "Link", vec![format!("MTUBytes={mtu}")])));
        }
        LinkSetting::Mac(mac) => ("Link", format!("MACAddress={mac}")),
        LinkSetting::Arp(on) => ("Link", format!("ARP={}", yes(*on))),
        LinkSetting::Promiscuous(on) => ("Link", format!("Promiscuous={}", yes(*on))),
        LinkSetting::Master(Some(master)) => match netns.link_named(master.as_str()).map(|link| &link.kind) {
            Some(LinkKind::Bridge(_)) => ("Network", format!("Bridge={master}")),
            _ => ("Network", format!("VRF={master}")),
        },
        LinkSetting::Isolated(on) => ("Bridge", format!("Isolated={}", yes(*on))),
        LinkSetting::Hairpin(on) => ("Bridge", format!("HairPin={}", yes(*on))),
        LinkSetting::Learning(on) => ("Bridge", format!("Learning={}", yes(*on))),
        LinkSetting::VlanFiltering(on) => return of_bridge(format!("VLANFiltering={}", yes(*on))),
        LinkSetting::SpanningTree(on) => return of_bridge(format!("STP={}", yes(*on))),
        LinkSetting::NoXdp(_) => {
            return Some(Lasting::words(format!(
                "whoever attached the program to {link} attaches it again: it ends there"
            )));
        }
        _ => return None,
    };
    Some(section(link, name, vec![line]))
}

/// A program whose interface this is, by the name that it gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// Docker's default network.
    Docker,
    /// A network that Docker was told to make.
    DockerNetwork,
    Libvirt,
}

fn maker(netns: &Namespace, link: &LinkName) -> Option<Maker> {
    let known = netns.link_named(link.as_str())?;
    // A port is as its bridge is.
    let bridge = known.master.and_then(|master| netns.link(master)).unwrap_or(known);
    let name = bridge.name.as_str();
    let by_docker = |name: &str| name.len() == 12 && name.chars().all(|c| c.is_ascii_hexdigit());
    match name {
        "docker0" => Some(Maker::Docker),
        _ if name.strip_prefix("br-").is_some_and(by_docker) => Some(Maker::DockerNetwork),
        _ if name.starts_with("virbr") => Some(Maker::Libvirt),
        _ => None,
    }
}

fn of_mtu(maker: Maker, mtu: u32) -> Lasting {
    match maker {
        Maker::Docker => Lasting::lines("/etc/docker/daemon.json", vec![format!("\"mtu\": {mtu}")]),
        Maker::DockerNetwork => Lasting::lines(
            "the options of the Docker network (docker network create, compose.yaml)",
            vec![format!("com.docker.network.driver.mtu: {mtu}")],
        ),
        Maker::Libvirt => Lasting::lines("the network's XML (virsh net-edit)", vec![format!("<mtu size='{mtu}'/>")]),
    }
}

fn of_address(address: &NewAddress) -> Lasting {
    if address.dev.as_str() == "docker0" {
        return Lasting::lines("/etc/docker/daemon.json", vec![format!("\"bip\": \"{}\"", address.net)]);
    }
    let mut lines = vec![format!("Address={}", address.net)];
    lines.extend(address.peer.map(|peer| format!("Peer={peer}")));
    lines.extend(address.no_dad.then(|| "DuplicateAddressDetection=none".to_owned()));
    section(&address.dev, "Address", lines)
}

fn of_route(netns: &Namespace, route: &NewRoute) -> Option<Lasting> {
    let hop = route.hops.first();
    let link = hop.and_then(|hop| hop.dev.clone().or_else(|| through(netns, hop)));
    let mut lines = vec![format!("Destination={}", route.destination)];
    lines.extend(hop.and_then(|hop| hop.via).map(|via| format!("Gateway={via}")));
    lines.extend(hop.filter(|hop| hop.on_link).map(|_| "GatewayOnLink=yes".to_owned()));
    lines.extend((route.table != TABLE_MAIN).then(|| format!("Table={}", route.table)));
    lines.extend((route.metric != 0).then(|| format!("Metric={}", route.metric)));
    lines.extend(route.source.map(|source| format!("PreferredSource={source}")));
    lines.extend((route.kind != RouteKind::Unicast).then(|| format!("Type={}", kind(route.kind))));
    // A route that refuses stands at no interface: any file will do.
    link.or_else(|| netns.links.first().map(|link| link.name.clone())).map(|link| section(&link, "Route", lines))
}

/// The interface that a router is reached by.
fn through(netns: &Namespace, hop: &Hop) -> Option<LinkName> {
    let via: IpAddr = hop.via?;
    netns.links.iter().find(|link| link.addresses.iter().any(|a| a.net.contains(&via))).map(|link| link.name.clone())
}

fn kind(kind: RouteKind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn of_rule(rule: &Rule) -> Option<Lasting> {
    let RuleAction::Table(table) = rule.action else { return None };
    let mut lines = vec!["[RoutingPolicyRule]".to_owned()];
    lines.extend(rule.from.map(|from| format!("From={from}")));
    lines.extend(rule.to.map(|to| format!("To={to}")));
    lines.extend(rule.mark.map(|(mark, mask)| format!("FirewallMark={mark}/{mask}")));
    lines.extend(rule.iif.as_ref().map(|link| format!("IncomingInterface={link}")));
    lines.extend(rule.oif.as_ref().map(|link| format!("OutgoingInterface={link}")));
    if rule.from.is_none() && rule.to.is_none() {
        lines.push(format!("Family={}", if rule.family == Family::V4 { "ipv4" } else { "ipv6" }));
    }
    lines.extend([format!("Table={table}"), format!("Priority={}", rule.priority)]);
    Some(Lasting::lines("a .network file in /etc/systemd/network, where systemd-networkd keeps the rules", lines))
}

fn of_neighbour(entry: &NewNeighbour) -> Lasting {
    match (entry.proxy, entry.address) {
        (true, IpAddr::V6(address)) => {
            section(&entry.dev, "Network", vec!["IPv6ProxyNDP=yes".into(), format!("IPv6ProxyNDPAddress={address}")])
        }
        (true, IpAddr::V4(_)) => Lasting::lines(
            format!("a unit or script that runs when {} is there (systemd-networkd has no word for it)", entry.dev),
            vec![Step::host(Action::Neighbour(Change::Add, entry.clone())).to_string()],
        ),
        (false, address) => {
            let mac = entry.mac.map(|mac| format!("LinkLayerAddress={mac}"));
            section(&entry.dev, "Neighbor", [format!("Address={address}")].into_iter().chain(mac).collect())
        }
    }
}

fn of_forwarding(entry: &NewForwarding) -> Lasting {
    let mut lines = vec![format!("MACAddress={}", entry.mac)];
    lines.extend(entry.remote.map(|remote| format!("Destination={remote}")));
    lines.extend(entry.vlan.map(|vlan| format!("VLANId={vlan}")));
    section(&entry.dev, "BridgeFDB", lines)
}
