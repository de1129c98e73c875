//! Who may open connections to whom: networks are isolated from one another unless the file lets them talk.
//!
//! Only packets that begin a connection are asked, and only those whose source is in a network of ours.

use ipnet::IpNet;

use super::skeleton::{Skeleton, element};
use super::words;
use crate::model::Family;
use crate::spec::{Translation, Wanted, WantedGateway, WantedNetwork};

/// Where packets that are passed on are asked.
const FORWARD: &str = "filter hook forward priority filter";

/// A range at a gateway that packets come from, and the networks behind it.
struct Range<'w> {
    net: IpNet,
    owner: String,
    networks: Vec<&'w WantedNetwork>,
    /// It is of a network, and not of the wire to a gateway.
    inside: bool,
}

/// Everything about who may talk to whom, where there is somebody who may not.
pub(super) fn policy(wanted: &Wanted, gateway: &WantedGateway, skeleton: &mut Skeleton) {
    let instance = &wanted.instance;
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let ranges: Vec<Range<'_>> =
            ranges(wanted, gateway).into_iter().filter(|range| Family::of(range.net.addr()) == family).collect();
        denied(instance, &ranges, family, skeleton, &mut rules);
        let together = together(&ranges);
        let apart = together.len() < ranges.len() * ranges.iter().filter(|range| range.inside).count();
        let restricted = ranges.iter().any(|range| restriction(range).is_some());
        if !apart && !restricted {
            continue;
        }
        let (version, kind, word) = words(family);
        let pair = format!("{word} saddr . {word} daddr");
        skeleton.set(&format!("together{version}"), &format!("{kind} . {kind}"), true, &together);
        rules.push(format!("{pair} @together{version} accept"));
        if restricted {
            allowed(instance, &ranges, family, skeleton, &mut rules);
        }
        if apart {
            let one = |range: &Range<'_>| element(&range.net.to_string(), &range.owner, None);
            let senders: Vec<String> = ranges.iter().map(one).collect();
            let networks: Vec<String> = ranges.iter().filter(|range| range.inside).map(one).collect();
            skeleton.set(&format!("senders{version}"), kind, true, &senders);
            skeleton.set(&format!("networks{version}"), kind, true, &networks);
            rules.push(format!(
                "{word} saddr @senders{version} {word} daddr @networks{version} \
                 counter drop comment \"{instance}: these networks do not talk to each other\""
            ));
        }
    }
    if !rules.is_empty() {
        let first = ["ct state established,related accept", "ct status dnat accept"].map(str::to_owned);
        skeleton.hooked("forward", FORWARD, first.into_iter().chain(rules));
    }
}

/// Places that the file denies.
fn denied(instance: &str, ranges: &[Range<'_>], family: Family, skeleton: &mut Skeleton, rules: &mut Vec<String>) {
    let mut elements = Vec::new();
    for range in ranges.iter().filter(|range| range.inside) {
        let all = range.networks.iter().flat_map(|network| &network.policy.deny).map(|at| at.value);
        elements.extend(pairs(range, IpNet::aggregate(&all.collect()), family));
    }
    if !elements.is_empty() {
        let (version, kind, word) = words(family);
        skeleton.set(&format!("denied{version}"), &format!("{kind} . {kind}"), true, &elements);
        rules.push(format!(
            "{word} saddr . {word} daddr @denied{version} counter drop comment \"{instance}: the file denies it\""
        ));
    }
}

/// Networks that may open connections to some places only.
fn allowed(instance: &str, ranges: &[Range<'_>], family: Family, skeleton: &mut Skeleton, rules: &mut Vec<String>) {
    let (version, kind, word) = words(family);
    let (mut sources, mut elements) = (Vec::new(), Vec::new());
    for range in ranges {
        let Some(places) = restriction(range) else { continue };
        sources.push(element(&range.net.to_string(), &range.owner, None));
        elements.extend(pairs(range, places, family));
    }
    skeleton.set(&format!("restricted{version}"), kind, true, &sources);
    skeleton.set(&format!("allowed{version}"), &format!("{kind} . {kind}"), true, &elements);
    rules.push(format!(
        "{word} saddr @restricted{version} {word} saddr . {word} daddr != @allowed{version} \
         counter drop comment \"{instance}: the file does not allow it\""
    ));
}

fn pairs(range: &Range<'_>, places: Vec<IpNet>, family: Family) -> Vec<String> {
    let ours = places.into_iter().filter(|net| Family::of(net.addr()) == family);
    ours.map(|net| element(&format!("{} . {net}", range.net), &range.owner, None)).collect()
}

/// The only places that a range may open connections to, if there is such a list.
fn restriction(range: &Range<'_>) -> Option<Vec<IpNet>> {
    let [network] = range.networks.as_slice() else { return None };
    let places = network.policy.allow.as_ref().filter(|_| range.inside)?;
    Some(IpNet::aggregate(&places.iter().map(|at| at.value).collect()))
}

/// The pairs of ranges that may talk: within a network, and where one network talks to another.
fn together(ranges: &[Range<'_>]) -> Vec<String> {
    let mut elements = Vec::new();
    for from in ranges {
        for to in ranges.iter().filter(|to| to.inside) {
            let talks = |one: &WantedNetwork, other: &WantedNetwork| {
                one.name == other.name || one.policy.talks_to.iter().any(|at| at.value == other.name)
            };
            let may = from.networks.iter().any(|one| to.networks.iter().any(|other| talks(one, other)));
            if may {
                elements.push(element(&format!("{} . {}", from.net, to.net), &from.owner, None));
            }
        }
    }
    elements
}

/// The ranges that packets come from at a gateway: those of its networks, and those that gateways behind it show.
fn ranges<'w>(wanted: &'w Wanted, gateway: &'w WantedGateway) -> Vec<Range<'w>> {
    let mut all = Vec::new();
    for network in &gateway.networks {
        let one = |net: &IpNet| Range { net: *net, owner: network.name.clone(), networks: vec![network], inside: true };
        all.extend(network.subnets.iter().map(one));
    }
    for transit in &gateway.transits {
        let inner = behind(wanted, &transit.gateway);
        for (net, _) in &transit.behind {
            let networks: Vec<_> = inner.iter().copied().filter(|one| one.subnets.contains(net)).collect();
            let inside = !networks.is_empty();
            all.push(Range { net: *net, owner: format!("@{}", transit.gateway), networks, inside });
        }
        // Whoever is translated further in comes with an address of the wire.
        let translated = |one: &&WantedNetwork| {
            Family::BOTH.iter().any(|family| one.source_nat.family(*family) != Translation::None)
        };
        let networks: Vec<_> = inner.iter().copied().filter(translated).collect();
        if !networks.is_empty() {
            let one = |net: &IpNet| Range {
                net: *net,
                owner: format!("@{}", transit.gateway),
                networks: networks.clone(),
                inside: false,
            };
            all.extend(transit.subnets.iter().map(one));
        }
    }
    all
}

/// The networks of a gateway, and of those behind it.
fn behind<'w>(wanted: &'w Wanted, name: &str) -> Vec<&'w WantedNetwork> {
    let mut networks = Vec::new();
    for gateway in wanted.gateways.iter().filter(|gateway| gateway.name == name) {
        networks.extend(&gateway.networks);
        networks.extend(gateway.transits.iter().flat_map(|transit| behind(wanted, &transit.gateway)));
    }
    networks
}
