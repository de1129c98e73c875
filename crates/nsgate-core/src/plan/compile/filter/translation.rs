//! Translation on the way out: what a source becomes, first as its member says, then as its network does.
//!
//! A pool has a chain of its own, which elements lead to: there are as many as there are different pools.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::skeleton::{Skeleton, element};
use super::words;
use crate::model::Family;
use crate::spec::{AddressRange, PortRange, SourceNat, Translation, WantedGateway};

/// Where translation happens.
const POSTROUTING: &str = "nat hook postrouting priority srcnat";

/// Whose sources, and how they are translated.
struct Source<'a> {
    owner: String,
    nets: Vec<IpNet>,
    nat: &'a SourceNat,
}

/// Everything about the way out, as far as something is translated.
pub(super) fn outward(gateway: &WantedGateway, skeleton: &mut Skeleton) {
    let (networks, members) = (networks(gateway), members(gateway));
    let floating = Family::BOTH.map(|family| floating(gateway, family));
    let translates =
        |source: &Source<'_>| Family::BOTH.iter().any(|family| source.nat.family(*family) != Translation::None);
    if !networks.iter().chain(&members).any(translates) && floating.iter().all(Vec::is_empty) {
        return;
    }
    let pools = pools(networks.iter().chain(&members));
    let masked = members.iter().any(|member| matches!(*member.nat, SourceNat::Masquerade | SourceNat::Each(_)));
    if masked {
        skeleton.chain("masquerade", vec!["masquerade".into()]);
    }
    for ((range, ports), name) in &pools {
        skeleton.chain(name, pool(*range, *ports));
    }
    let mut rules = Vec::new();
    for (family, floating) in Family::BOTH.into_iter().zip(floating) {
        let (version, kind, word) = words(family);
        exemptions(gateway, family, skeleton, &mut rules);
        if !floating.is_empty() {
            let name = format!("floating-source{version}");
            skeleton.map(&name, &format!("{kind} : {kind}"), false, &floating);
            rules.push(format!("snat {word} to {word} saddr map @{name}"));
        }
        let tier = Tier { family, pools: &pools };
        tier.members(&members, skeleton, &mut rules);
        tier.networks(&networks, skeleton, &mut rules);
    }
    skeleton.chain("outward", rules);
    let leave = gateway.uplinks.iter().map(|uplink| format!("oifname \"{}\" jump outward", uplink.interface));
    skeleton.hooked("postrouting", POSTROUTING, leave);
}

/// What is to stay untranslated on the way to some places.
fn exemptions(gateway: &WantedGateway, family: Family, skeleton: &mut Skeleton, rules: &mut Vec<String>) {
    let (version, kind, word) = words(family);
    let ours = |net: &&IpNet| Family::of(net.addr()) == family;
    let mut elements = Vec::new();
    for network in &gateway.networks {
        for subnet in network.subnets.iter().filter(ours) {
            let pair = |to: &IpNet| element(&format!("{subnet} . {to}"), &network.name, None);
            elements.extend(network.no_nat.iter().filter(ours).map(pair));
        }
    }
    if !elements.is_empty() {
        let name = format!("untranslated{version}");
        skeleton.set(&name, &format!("{kind} . {kind}"), true, &elements);
        rules.push(format!("{word} saddr . {word} daddr @{name} accept"));
    }
}

/// The rules of one family for members, and for networks.
struct Tier<'a> {
    family: Family,
    pools: &'a BTreeMap<(AddressRange, Option<PortRange>), String>,
}

impl Tier<'_> {
    /// Members that are not translated as their networks: each address is an element.
    fn members(&self, sources: &[Source<'_>], skeleton: &mut Skeleton, rules: &mut Vec<String>) {
        let (version, kind, word) = words(self.family);
        let fixed = self.elements(sources, |translation| match translation {
            Translation::Fixed(address) => Some(address.to_string()),
            _ => None,
        });
        let others = self.elements(sources, |translation| match translation {
            Translation::None => Some("accept".into()),
            Translation::Masquerade => Some("goto masquerade".into()),
            Translation::Pool(range, ports) => Some(format!("goto {}", self.pools.get(&(range, ports))?)),
            Translation::Fixed(_) => None,
        });
        if !fixed.is_empty() {
            let name = format!("member-snat{version}");
            skeleton.map(&name, &format!("{kind} : {kind}"), false, &fixed);
            rules.push(format!("snat {word} to {word} saddr map @{name}"));
        }
        if !others.is_empty() {
            let name = format!("member-source{version}");
            skeleton.map(&name, &format!("{kind} : verdict"), false, &others);
            rules.push(format!("{word} saddr vmap @{name}"));
        }
    }

    /// Networks: each subnet is an element.
    fn networks(&self, sources: &[Source<'_>], skeleton: &mut Skeleton, rules: &mut Vec<String>) {
        let (version, kind, word) = words(self.family);
        let fixed = self.elements(sources, |translation| match translation {
            Translation::Fixed(address) => Some(address.to_string()),
            _ => None,
        });
        let pooled = self.elements(sources, |translation| match translation {
            Translation::Pool(range, ports) => Some(format!("goto {}", self.pools.get(&(range, ports))?)),
            _ => None,
        });
        let masked = self.sources(sources).filter(|(_, _, translation)| *translation == Translation::Masquerade);
        let masked: Vec<String> = masked.map(|(owner, net, _)| element(&net.to_string(), owner, None)).collect();
        skeleton.map(&format!("snat{version}"), &format!("{kind} : {kind}"), true, &fixed);
        rules.push(format!("snat {word} to {word} saddr map @snat{version}"));
        if !pooled.is_empty() {
            skeleton.map(&format!("pool{version}"), &format!("{kind} : verdict"), true, &pooled);
            rules.push(format!("{word} saddr vmap @pool{version}"));
        }
        skeleton.set(&format!("masquerade{version}"), kind, true, &masked);
        rules.push(format!("{word} saddr @masquerade{version} masquerade"));
    }

    fn elements(&self, sources: &[Source<'_>], value: impl Fn(Translation) -> Option<String>) -> Vec<String> {
        let one = |(owner, net, translation): (&str, IpNet, Translation)| {
            let key = if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() };
            Some(element(&key, owner, Some(&value(translation)?)))
        };
        self.sources(sources).filter_map(one).collect()
    }

    /// The sources of this family, one by one.
    fn sources<'s>(
        &self,
        sources: &'s [Source<'_>],
    ) -> impl Iterator<Item = (&'s str, IpNet, Translation)> + use<'s, '_> {
        let family = self.family;
        sources.iter().flat_map(move |source| {
            let nets = source.nets.iter().copied().filter(move |net| Family::of(net.addr()) == family);
            nets.map(move |net| (source.owner.as_str(), net, source.nat.family(family)))
        })
    }
}

/// Whose subnets leave by a gateway, and how they are translated: its networks', and those of gateways behind it.
fn networks(gateway: &WantedGateway) -> Vec<Source<'_>> {
    let networks = gateway.networks.iter();
    let networks =
        networks.map(|one| Source { owner: one.name.clone(), nets: one.subnets.clone(), nat: &one.source_nat });
    let transits = gateway.transits.iter().map(|one| {
        let behind = one.behind.iter().map(|(net, _)| *net);
        let nets = one.subnets.iter().copied().chain(behind).collect();
        Source { owner: format!("@{}", one.gateway), nets, nat: &one.source_nat }
    });
    networks.chain(transits).collect()
}

/// The members that are not translated as their networks.
fn members(gateway: &WantedGateway) -> Vec<Source<'_>> {
    let mut all = Vec::new();
    for network in &gateway.networks {
        for member in &network.members {
            let Some(nat) = &member.source_nat else { continue };
            let nets = member.addresses.iter().map(|net| IpNet::from(net.addr())).collect();
            all.push(Source { owner: format!("{}:{}", network.name, member.netns), nets, nat });
        }
    }
    all
}

/// The members that have a floating address, each as an element.
fn floating(gateway: &WantedGateway, family: Family) -> Vec<String> {
    let ours = gateway.floating.iter().filter(|one| Family::of(one.to) == family);
    ours.map(|one| element(&one.to.to_string(), one.member.as_str(), Some(&one.address.to_string()))).collect()
}

/// The pools, each with the name of its chain.
fn pools<'s>(sources: impl Iterator<Item = &'s Source<'s>>) -> BTreeMap<(AddressRange, Option<PortRange>), String> {
    let mut pools = BTreeMap::new();
    for source in sources {
        for family in Family::BOTH {
            if let Translation::Pool(range, ports) = source.nat.family(family) {
                let ports_of = ports.map(|ports| format!("-{ports}")).unwrap_or_default();
                let name = format!("pool-{}-{}{ports_of}", range.first, range.last);
                pools.insert((range, ports), name.replace([':', '.'], "_"));
            }
        }
    }
    pools
}

/// The rules of one pool: only some protocols have ports.
fn pool(range: AddressRange, ports: Option<PortRange>) -> Vec<String> {
    let family = Family::of(range.first);
    let word = words(family).2;
    let plain = format!("snat {word} to {range}");
    let Some(ports) = ports else { return vec![plain] };
    let with_ports = match family {
        Family::V4 => format!("{range}:{ports}"),
        Family::V6 if range.first == range.last => format!("[{range}]:{ports}"),
        Family::V6 => format!("[{}]-[{}]:{ports}", range.first, range.last),
    };
    vec![format!("meta l4proto {{ tcp, udp, sctp }} snat {word} to {with_ports}"), plain]
}
