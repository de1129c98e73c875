//! Translation on the way in: published ports and floating addresses.
//!
//! One port of one address is looked up in a hash; ranges, and ports that only some may use, in maps of ranges. The order:
//! ports of an address, floating addresses, ports of any address. Who comes back to his own network through the gateway
//! takes the gateway's address, else the answer would not come back through it.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::skeleton::{Skeleton, element};
use super::words;
use crate::model::Family;
use crate::spec::{WantedGateway, WantedPublish};

/// Ports of packets that have them.
const PORTS: &str = "meta l4proto { tcp, udp, sctp }";
/// Where packets from outside are led to members.
const PREROUTING: &str = "nat hook prerouting priority dstnat";
/// Where packets of the gateway itself are.
const OUTPUT: &str = "nat hook output priority -100";
/// Where those that come back are given the gateway's address.
const POSTROUTING: &str = "nat hook postrouting priority srcnat";

/// Which map an entrance stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    family: Family,
    /// Of any address of the gateway.
    any: bool,
    /// A range of ports, or for some sources only.
    wide: bool,
    /// The port stays.
    same: bool,
}

/// Everything about the way in, as far as something is published or floating.
pub(super) fn inward(gateway: &WantedGateway, skeleton: &mut Skeleton) {
    if gateway.published.is_empty() && gateway.floating.is_empty() {
        return;
    }
    let mut elements: BTreeMap<Shape, Vec<String>> = BTreeMap::new();
    for publish in &gateway.published {
        let (shape, list) = entrance(publish);
        elements.entry(shape).or_default().extend(list);
    }
    let mut rules = Vec::new();
    let maps = |any: bool, skeleton: &mut Skeleton, rules: &mut Vec<String>| {
        for (shape, elements) in elements.iter().filter(|(shape, _)| shape.any == any) {
            skeleton.map(&shape.name(), &shape.types(), shape.wide, elements);
            rules.push(shape.rule());
        }
    };
    maps(false, skeleton, &mut rules);
    for family in Family::BOTH {
        floating(gateway, family, skeleton, &mut rules);
    }
    maps(true, skeleton, &mut rules);
    skeleton.chain("inward", rules);
    skeleton.hooked("prerouting", PREROUTING, ["jump inward".to_owned()]);
    // What the gateway sends to its loopback addresses stays there: no answer could come back to them.
    skeleton.hooked(
        "output",
        OUTPUT,
        ["ip daddr != 127.0.0.0/8", "ip6 daddr != ::1"].map(|to| format!("{to} jump inward")),
    );
    hairpin(gateway, skeleton);
}

fn floating(gateway: &WantedGateway, family: Family, skeleton: &mut Skeleton, rules: &mut Vec<String>) {
    let ours = gateway.floating.iter().filter(|one| Family::of(one.address) == family);
    let elements: Vec<String> =
        ours.map(|one| element(&one.address.to_string(), one.member.as_str(), Some(&one.to.to_string()))).collect();
    if !elements.is_empty() {
        let (version, kind, word) = words(family);
        skeleton.map(&format!("floating{version}"), &format!("{kind} : {kind}"), false, &elements);
        rules.push(format!("dnat {word} to {word} daddr map @floating{version}"));
    }
}

/// Who was led back to his own network must be answered through the gateway.
fn hairpin(gateway: &WantedGateway, skeleton: &mut Skeleton) {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let inward = gateway.published.iter().map(|one| one.to).chain(gateway.floating.iter().map(|one| one.to));
        if !inward.clone().any(|to| Family::of(to) == family) {
            continue;
        }
        let (version, kind, word) = words(family);
        let mut elements = Vec::new();
        for network in &gateway.networks {
            let own: Vec<IpNet> =
                network.subnets.iter().copied().filter(|net| Family::of(net.addr()) == family).collect();
            for from in &own {
                elements.extend(own.iter().map(|to| element(&format!("{from} . {to}"), &network.name, None)));
            }
        }
        let name = format!("hairpin{version}");
        skeleton.set(&name, &format!("{kind} . {kind}"), true, &elements);
        rules.push(format!("ct status dnat {word} saddr . {word} daddr @{name} masquerade"));
    }
    skeleton.hooked("postrouting", POSTROUTING, rules);
}

/// The elements of one entrance, and the map that they stand in.
fn entrance(publish: &WantedPublish) -> (Shape, Vec<String>) {
    let (ports, to) = (publish.ports, publish.to_ports);
    let same = ports == to && ports.width() > 0;
    let shifted = ports != to && to.width() > 0;
    // nftables cannot move a range as a whole: each of its ports is an element.
    let wide = !publish.from.is_empty() || (ports.width() > 0 && !shifted);
    let shape = Shape { family: Family::of(publish.to), any: publish.address.is_none(), wide, same };
    let mut elements = Vec::new();
    let pairs: Vec<(String, u16)> = if shifted {
        (0..=ports.width()).map(|by| ((ports.first + by).to_string(), to.first + by)).collect()
    } else {
        vec![(ports.to_string(), to.first)]
    };
    for (port, to_port) in pairs {
        let value = if same { publish.to.to_string() } else { format!("{} . {to_port}", publish.to) };
        for source in sources(publish, wide) {
            let address = publish.address.map(|address| address.to_string());
            let parts = [source, address, Some(publish.protocol.to_string()), Some(port.clone())];
            let key: Vec<String> = parts.into_iter().flatten().collect();
            elements.push(element(&key.join(" . "), publish.member.as_str(), Some(&value)));
        }
    }
    (shape, elements)
}

/// The sources that stand in a key: none where it has none.
fn sources(publish: &WantedPublish, wide: bool) -> Vec<Option<String>> {
    if !wide {
        return vec![None];
    }
    if publish.from.is_empty() {
        let all = if publish.to.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        return vec![Some(all.into())];
    }
    publish.from.iter().map(|net| Some(net.to_string())).collect()
}

impl Shape {
    /// What the map is called: `publish4`, `publish-any-range6`.
    fn name(self) -> String {
        let any = if self.any { "-any" } else { "" };
        let wide = if self.wide { "-range" } else { "" };
        let same = if self.same { "-same" } else { "" };
        format!("publish{any}{wide}{same}{}", words(self.family).0)
    }

    fn types(self) -> String {
        let kind = words(self.family).1;
        let source = if self.wide { format!("{kind} . ") } else { String::new() };
        let address = if self.any { String::new() } else { format!("{kind} . ") };
        let port = if self.same { "" } else { " . inet_service" };
        format!("{source}{address}inet_proto . inet_service : {kind}{port}")
    }

    fn rule(self) -> String {
        let word = words(self.family).2;
        let source = if self.wide { format!("{word} saddr . ") } else { String::new() };
        let address = if self.any { String::new() } else { format!("{word} daddr . ") };
        let local = if self.any { "fib daddr type local " } else { "" };
        format!("{local}{PORTS} dnat {word} to {source}{address}meta l4proto . th dport map @{}", self.name())
    }
}
