//! What belongs together in a specification: subnets that do not overlap, addresses inside them, names used once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use super::{At, Diagnostic, Member, Network, Spec, expect, gateway, policy, translation};
use crate::model::Family;

/// The smallest MTU that carries a family (RFC 791, RFC 8200).
const SMALLEST_MTU: [(Family, u32); 2] = [(Family::V6, 1280), (Family::V4, 68)];
/// The largest MTU of a virtual wire.
const LARGEST_MTU: u32 = 65535;

/// Finds what does not fit together.
pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    for network in &spec.networks {
        subnets(network, found);
        gateway_addresses(network, found);
        members(network, found);
        translation::check(network, found);
        mtu(network, found);
    }
    overlaps(spec, found);
    names(spec, found);
    gateway::check(spec, found);
    policy::check(spec, found);
    expect::check(spec, found);
}

fn subnets(network: &Network, found: &mut Vec<Diagnostic>) {
    if network.subnets.is_empty() {
        let error = Diagnostic::error(&network.name.span, format!("network '{}' has no subnet", network.name.value));
        found.push(error.label("subnets missing").hint("add subnets = [\"10.0.0.0/24\"]"));
    }
    for At { value: net, span } in &network.subnets {
        let error = |message: String| Diagnostic::error(span, message);
        if net.addr() != net.network() {
            let error = error(format!("{net} is an address, not a subnet")).label("has bits behind its prefix length");
            found.push(error.hint(format!("the subnet is \"{}\"", net.trunc())));
        } else if net.max_prefix_len() - net.prefix_len() < 2 {
            let error = error(format!("{net} has no room for a gateway and a member")).label("too small");
            found.push(error.hint(format!("take a /{} or shorter", net.max_prefix_len() - 2)));
        } else if let Some(what) = special(*net) {
            found.push(error(format!("{net} cannot be a subnet: it holds {what}")).label("not for networks"));
        }
    }
}

/// What kind of address a range holds that no host of a network can have.
fn special(net: IpNet) -> Option<&'static str> {
    let inside = |range: &str| range.parse::<IpNet>().is_ok_and(|range| range.contains(&net) || net.contains(&range));
    match net {
        IpNet::V4(_) if inside("127.0.0.0/8") => Some("loopback addresses"),
        IpNet::V4(_) if inside("224.0.0.0/4") => Some("multicast addresses"),
        IpNet::V4(_) if inside("0.0.0.0/8") || inside("240.0.0.0/4") => Some("reserved addresses"),
        IpNet::V6(_) if inside("fe80::/10") => Some("link-local addresses"),
        IpNet::V6(_) if inside("ff00::/8") => Some("multicast addresses"),
        IpNet::V6(_) if inside("::/127") => Some("the loopback address"),
        _ => None,
    }
}

fn overlaps(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let all: Vec<(&Network, &At<IpNet>)> =
        spec.networks.iter().flat_map(|network| network.subnets.iter().map(move |net| (network, net))).collect();
    let mut sorted = all.clone();
    let gateway = |network: &Network| network.gateway.as_ref().map(|at| at.value.clone());
    sorted.sort_by_key(|(network, net)| (gateway(network), net.value.network(), net.value.prefix_len()));
    // Sorted by their first addresses, a range can only overlap the widest that began before it.
    let mut widest: Option<(&Network, &At<IpNet>)> = None;
    for (network, net) in sorted {
        if let Some((other, before)) = widest.filter(|(other, _)| beside(other, network))
            && before.value.contains(&net.value.network())
        {
            let (at, first) = if net.span.start > before.span.start { (net, other) } else { (before, network) };
            let message = format!(
                "{} overlaps {} of network '{}'",
                at.value,
                if at == net { before.value } else { net.value },
                first.name.value
            );
            found.push(Diagnostic::error(&at.span, message).label("overlaps"));
        }
        let wider = widest
            .is_none_or(|(other, before)| !beside(other, network) || !before.value.contains(&net.value.network()));
        if wider {
            widest = Some((network, net));
        }
    }
}

/// Whether two networks are behind the same gateway: others do not meet.
fn beside(one: &Network, other: &Network) -> bool {
    one.gateway.as_ref().map(|at| &at.value) == other.gateway.as_ref().map(|at| &at.value)
}

fn gateway_addresses(network: &Network, found: &mut Vec<Diagnostic>) {
    let mut given: BTreeMap<IpNet, IpAddr> = BTreeMap::new();
    for at in &network.gateway_addresses {
        let Some(net) = host_address(network, at, found) else { continue };
        if let Some(other) = given.insert(net, at.value) {
            let message = format!("the gateway has two addresses in {net}: {other} and {}", at.value);
            found.push(Diagnostic::error(&at.span, message).label("one is enough"));
        }
    }
}

/// The subnet that an address belongs to; complains if there is none, or if no host can have the address.
fn host_address(network: &Network, at: &At<IpAddr>, found: &mut Vec<Diagnostic>) -> Option<IpNet> {
    let address = at.value;
    let net = network.subnets.iter().map(|net| net.value).find(|net| net.contains(&address));
    let Some(net) = net else {
        if !network.subnets.is_empty() {
            let message = format!("{address} is in no subnet of network '{}'", network.name.value);
            let hint = format!("its subnets are {}", list(network.subnets.iter().map(|net| net.value)));
            found.push(Diagnostic::error(&at.span, message).label("outside").hint(hint));
        }
        return None;
    };
    let role = match net {
        _ if address == net.network() => Some("the subnet's own address"),
        IpNet::V4(net) if address == IpAddr::V4(net.broadcast()) => Some("the subnet's broadcast address"),
        _ => None,
    };
    if let Some(role) = role {
        found.push(Diagnostic::error(&at.span, format!("{address} is {role}: no host can have it")).label("reserved"));
        return None;
    }
    Some(net)
}

fn members(network: &Network, found: &mut Vec<Diagnostic>) {
    let mut holders: BTreeMap<IpAddr, String> = BTreeMap::new();
    for at in &network.gateway_addresses {
        holders.insert(at.value, "the gateway".into());
    }
    for member in &network.members {
        for at in &member.addresses {
            let Some(net) = host_address(network, at, found) else { continue };
            if let Some(other) = holders.insert(at.value, format!("member '{}'", member.name.value)) {
                let message = format!("{} is taken: it belongs to {other}", at.value);
                found.push(Diagnostic::error(&at.span, message).label("taken"));
            } else if implied_gateway(network, net) == Some(at.value) {
                let message = format!("{} is the gateway's own address, as the first of {net}", at.value);
                let hint = "give the gateway another one with gateway-addresses, or the member";
                found.push(Diagnostic::error(&at.span, message).label("taken").hint(hint));
            }
        }
        wire(member, found);
    }
}

/// The address the gateway takes in a subnet for which none is given.
fn implied_gateway(network: &Network, net: IpNet) -> Option<IpAddr> {
    let given = network.gateway_addresses.iter().any(|at| net.contains(&at.value));
    if given { None } else { net.hosts().find(|address| *address != net.network()) }
}

fn wire(member: &Member, found: &mut Vec<Diagnostic>) {
    if let Some(at) = member.interface.as_ref().filter(|at| at.value.as_str() == "lo") {
        found.push(Diagnostic::error(&at.span, "'lo' is the loopback interface of every namespace").label("taken"));
    }
}

fn mtu(network: &Network, found: &mut Vec<Diagnostic>) {
    let Some(At { value: mtu, span }) = &network.mtu else { return };
    let carries = |family: Family| network.subnets.iter().any(|net| Family::of(net.value.addr()) == family);
    for (family, smallest) in SMALLEST_MTU {
        if *mtu < smallest && carries(family) {
            let message = format!("an MTU of {mtu} is too small for {family}");
            found.push(Diagnostic::error(span, message).label(format!("at least {smallest}")));
            return;
        }
    }
    if *mtu > LARGEST_MTU {
        let message = format!("an MTU of {mtu} is more than a virtual wire can have");
        found.push(Diagnostic::error(span, message).label(format!("at most {LARGEST_MTU}")));
    }
}

/// Names of members and interfaces are used once in the whole file.
fn names(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let members: Vec<(&Network, &Member)> =
        spec.networks.iter().flat_map(|network| network.members.iter().map(move |member| (network, member))).collect();
    let mut seen: BTreeMap<&str, &Network> = BTreeMap::new();
    for (network, member) in &members {
        if let Some(other) = seen.insert(member.name.value.as_str(), network) {
            let message = format!("'{}' is in network '{}' already", member.name.value, other.name.value);
            let hint = "a member of several networks is not supported yet";
            found.push(Diagnostic::error(&member.name.span, message).label("a second time").hint(hint));
        }
    }
    let mut interfaces: BTreeMap<&str, String> = BTreeMap::new();
    let uplinks = spec.gateways.iter().flat_map(|gateway| &gateway.uplinks);
    for uplink in uplinks.filter(|uplink| uplink.wire.is_none()).filter_map(|uplink| uplink.interface.as_ref()) {
        interfaces.insert(uplink.value.as_str(), "the uplink".into());
    }
    for (_, member) in &members {
        let Some(at) = &member.gateway_interface else { continue };
        let owner = format!("an interface of member '{}'", member.name.value);
        twice(&mut interfaces, at.value.as_str(), owner, &at.span, found);
    }
}

fn twice<'s>(
    seen: &mut BTreeMap<&'s str, String>,
    name: &'s str,
    owner: String,
    span: &Range<usize>,
    found: &mut Vec<Diagnostic>,
) {
    if let Some(other) = seen.insert(name, owner) {
        found.push(Diagnostic::error(span, format!("'{name}' is the name of {other}")).label("a second time"));
    }
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
