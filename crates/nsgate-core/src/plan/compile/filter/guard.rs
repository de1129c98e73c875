//! Who sends with an address that is not his own: dropped where he comes in, if his network asks for it.
//!
//! A routed member is known by the interface at the gateway, one on a bridge by its port; what they may send with is
//! looked up with it. Addresses of the link itself, and none at all, everybody needs for a start.

use ipnet::IpNet;

use super::skeleton::{Skeleton, element};
use super::words;
use crate::model::Family;
use crate::spec::{WantedGateway, WantedMember, WantedNetwork, names};

/// Before connections are tracked.
const PREROUTING: &str = "filter hook prerouting priority raw";
/// Before anything else on a bridge.
const BRIDGE: &str = "filter hook prerouting priority -300";

/// The members of routed networks.
pub(super) fn routed(instance: &str, gateway: &WantedGateway, skeleton: &mut Skeleton) {
    let members = members(gateway, false);
    if members.is_empty() {
        return;
    }
    guarded(&members, skeleton);
    let mut rules = Vec::new();
    for family in Family::BOTH {
        addresses(instance, gateway, &members, family, skeleton, &mut rules);
    }
    skeleton.hooked("guard", PREROUTING, rules);
}

/// The members on bridges: their link-layer addresses too.
pub(super) fn bridged(instance: &str, gateway: &WantedGateway, skeleton: &mut Skeleton) {
    let members = members(gateway, true);
    if members.is_empty() {
        return;
    }
    guarded(&members, skeleton);
    let own = |(network, member): &(&WantedNetwork, &WantedMember)| {
        let mac = names::mac(instance, &network.name, Some(member.netns.as_str()));
        element(&format!("\"{}\" . {mac}", member.gateway_interface), &owner(network, member), None)
    };
    let macs: Vec<String> = members.iter().map(own).collect();
    skeleton.set("holders", "ifname . ether_addr", false, &macs);
    let drop = verdict(instance);
    let mut rules = vec![format!("iifname @guarded iifname . ether saddr != @holders {drop}")];
    for family in Family::BOTH {
        addresses(instance, gateway, &members, family, skeleton, &mut rules);
    }
    if members.iter().any(|(_, member)| member.addresses.iter().any(|net| net.addr().is_ipv4())) {
        rules.push(format!("iifname @guarded arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @holders4 {drop}"));
    }
    skeleton.hooked("guard", BRIDGE, rules);
}

/// The members that are watched, of networks with a bridge or without.
fn members(gateway: &WantedGateway, bridge: bool) -> Vec<(&WantedNetwork, &WantedMember)> {
    let networks = gateway.networks.iter().filter(|one| one.policy.anti_spoof && one.bridge.is_some() == bridge);
    networks.flat_map(|network| network.members.iter().map(move |member| (network, member))).collect()
}

fn guarded(members: &[(&WantedNetwork, &WantedMember)], skeleton: &mut Skeleton) {
    let one = |(network, member): &(&WantedNetwork, &WantedMember)| {
        element(&format!("\"{}\"", member.gateway_interface), &owner(network, member), None)
    };
    skeleton.set("guarded", "ifname", false, &members.iter().map(one).collect::<Vec<_>>());
}

/// What members may send with, of one family.
fn addresses(
    instance: &str,
    gateway: &WantedGateway,
    members: &[(&WantedNetwork, &WantedMember)],
    family: Family,
    skeleton: &mut Skeleton,
    rules: &mut Vec<String>,
) {
    let (version, kind, word) = words(family);
    let mut elements = Vec::new();
    let mut ranges = false;
    for (network, member) in members {
        let own = member.addresses.iter().map(|net| IpNet::from(net.addr()));
        let passed_on = gateway.routes.iter().filter(|route| {
            let hop = route.hop.as_ref().map(|(via, _)| *via);
            hop.is_some_and(|via| member.addresses.iter().any(|net| net.addr() == via))
        });
        for net in own.chain(passed_on.map(|route| route.to)).filter(|net| Family::of(net.addr()) == family) {
            let single = net.prefix_len() == net.max_prefix_len();
            ranges |= !single;
            let source = if single { net.addr().to_string() } else { net.to_string() };
            elements.push(element(
                &format!("\"{}\" . {source}", member.gateway_interface),
                &owner(network, member),
                None,
            ));
        }
    }
    skeleton.set(&format!("holders{version}"), &format!("ifname . {kind}"), ranges, &elements);
    let start = match family {
        Family::V4 => "0.0.0.0",
        Family::V6 => "{ ::, fe80::/10 }",
    };
    let drop = verdict(instance);
    rules.push(format!("iifname @guarded {word} saddr != {start} iifname . {word} saddr != @holders{version} {drop}"));
}

fn owner(network: &WantedNetwork, member: &WantedMember) -> String {
    format!("{}:{}", network.name, member.netns)
}

fn verdict(instance: &str) -> String {
    format!("counter drop comment \"{instance}: the sender has no such address\"")
}
