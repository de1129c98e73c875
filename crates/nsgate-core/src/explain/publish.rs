//! The mend of a destination translation that is missing, does not match, or leads astray: a rule for the one address and
//! port that were asked for, in a table of its own, in front of all others.
//!
//! Where it is to lead is taken from the rule that was meant, or from the one service inside that can be meant; where
//! there is no such one, nothing is proposed.

use std::net::{IpAddr, SocketAddr};

use super::Loss;
use super::readdress::is_link_local;
use crate::model::ruleset::{Hook, Rule, Ruleset, Table, parse, text};
use crate::model::segment::Segment;
use crate::model::{Family, Listener, Namespace, Transport};
use crate::plan::{Action, Plan, Step};
use crate::trace::{ProbeKind, Sight, planned_path};

/// Translates what was asked for to this target, at the hook of what comes in, or of what is sent from here.
pub(super) fn to(gateway: &Namespace, hook: Hook, request: &Sight, kind: ProbeKind, target: SocketAddr) -> Plan {
    let header = &request.header;
    let (Some(port), Some(link)) = (header.destination_port, gateway.link(request.link)) else {
        return Plan::default();
    };
    // What comes in by a bridge's port comes to the rules of IP by the bridge.
    let link = link.master.and_then(|master| gateway.link(master)).unwrap_or(link);
    if header.destination.is_ipv4() != target.is_ipv4() || kind == ProbeKind::Icmp {
        return Plan::default();
    }
    let family = if target.is_ipv4() { "ip" } else { "ip6" };
    let table = format!("{family} nsgate-mend");
    let (chain, condition) = match hook {
        Hook::Output => ("output", String::new()),
        _ => ("prerouting", format!("iifname \"{}\" ", link.name)),
    };
    // One before `dstnat`: of several translations the first counts.
    let text = format!(
        "add table {table}\n\
         add chain {table} {chain} {{ type nat hook {chain} priority -101; policy accept; }}\n\
         add rule {table} {chain} {condition}{family} daddr {} {} dport {port} dnat to {target}\n",
        header.destination,
        kind.name()
    );
    let parsed = |text: &str| parse::commands(text, &Ruleset::default()).ok();
    let Some(commands) = parsed(&text) else { return Plan::default() };
    let undo = parsed(&format!("delete table {table}\n"));
    Plan::of(Step::new(&gateway.name, Action::Nft { commands, undo }))
}

/// Where a rule leads, as far as it names one address.
pub(super) fn target_of(table: &Table, rule: &Rule, port: Option<u16>) -> Option<SocketAddr> {
    const WORDS: [&str; 2] = ["dnat to ", "--to-destination "];
    let line = text::rule(table.family, &table.sets, rule);
    let word = WORDS.iter().find_map(|word| line.split_once(word)?.1.split(' ').next())?;
    match word.parse::<SocketAddr>() {
        Ok(target) => Some(target),
        Err(_) => Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, port?)),
    }
}

/// The one service inside that listens on this port, by an address that the gateway has a way to.
pub(super) fn service_inside(loss: &Loss<'_>, gateway: &Namespace, port: u16) -> Option<SocketAddr> {
    let family = Family::of(loss.observation.probe.destination);
    let transport = transport(loss.observation.probe.kind)?;
    let from = &loss.observation.probe.from;
    let wires = gateway.links.iter().filter(|link| link.master.is_none());
    let places = wires.flat_map(|link| {
        // Everybody has a link-local address besides, to which nothing is translated.
        let usable = |net: &ipnet::IpNet| Family::of(net.addr()) == family && !is_link_local(net.addr());
        let own = link.addresses.iter().map(|a| a.net).filter(usable);
        let nets: Vec<ipnet::IpNet> = own.collect();
        let places = Segment::of(loss.world, gateway, link).places;
        places.into_iter().flat_map(move |place| {
            let held = place.link.addresses.iter().map(|a| a.net.addr());
            let near: Vec<IpAddr> = held.filter(|held| nets.iter().any(|net| net.contains(held))).collect();
            near.into_iter().map(move |address| (place.netns, address))
        })
    });
    let serves = |l: &Listener, address: IpAddr| {
        let all = l.address.is_unspecified() && (l.address.is_ipv4() == address.is_ipv4() || !l.only_v6);
        l.transport == transport && l.port == port && (l.address == address || all)
    };
    let mut found: Vec<IpAddr> = places
        .filter(|(netns, _)| netns.name != *from && netns.name != gateway.name)
        .filter(|(netns, address)| netns.listeners.iter().any(|l| serves(l, *address)))
        .map(|(_, address)| address)
        .collect();
    found.sort();
    found.dedup();
    match found[..] {
        [address] => Some(SocketAddr::new(address, port)),
        _ => None,
    }
}

/// The one service on this port where the target would be: on the last wire of the way there.
pub(super) fn service_beside(loss: &Loss<'_>, gateway: &Namespace, target: SocketAddr) -> Option<SocketAddr> {
    let path = planned_path(loss.world, &gateway.name, None, target.ip());
    let last = path.last().filter(|stop| stop.netns != gateway.name)?;
    service_inside(loss, loss.world.namespace(&last.netns)?, target.port())
}

/// The one port that a host has a service of the probe's kind on.
pub(super) fn port_of_service(loss: &Loss<'_>, address: IpAddr) -> Option<u16> {
    let transport = transport(loss.observation.probe.kind)?;
    let netns = loss.world.namespaces.iter().find(|netns| netns.holder(address).is_some())?;
    let serves = |l: &&Listener| l.transport == transport && (l.address == address || l.address.is_unspecified());
    let mut ports: Vec<u16> = netns.listeners.iter().filter(serves).map(|l| l.port).collect();
    ports.sort_unstable();
    ports.dedup();
    match ports[..] {
        [port] => Some(port),
        _ => None,
    }
}

fn transport(kind: ProbeKind) -> Option<Transport> {
    match kind {
        ProbeKind::Icmp => None,
        ProbeKind::Tcp(_) => Some(Transport::Tcp),
        ProbeKind::Udp(_) => Some(Transport::Udp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::Fixture;
    use crate::trace::Leg;

    #[test]
    fn a_rule_leads_where_it_says() {
        let of = |line: &str| {
            let text = format!("table ip nat {{ chain p {{ type nat hook prerouting priority -100; {line} }} }}");
            let ruleset = Ruleset::from_text(&text).unwrap();
            let table = ruleset.tables[0].clone();
            target_of(&table, &table.chains[0].rules[0], Some(8080)).map(|target| target.to_string())
        };
        assert_eq!(of("tcp dport 80 dnat to 1.1.1.2:443").as_deref(), Some("1.1.1.2:443"));
        assert_eq!(of("tcp dport 80 dnat to 1.1.1.2").as_deref(), Some("1.1.1.2:8080"));
        assert_eq!(of("tcp dport 80 dnat to 1.1.1.2-1.1.1.9"), None);
        assert_eq!(of("tcp dport 80 accept"), None);
    }

    #[test]
    fn what_comes_in_by_a_port_is_translated_at_its_bridge() {
        let mut fixture = Fixture::lan().probing(ProbeKind::Tcp(80));
        fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.3", &["host:veth3<"]);
        let request = fixture.observation.journey.sights[0].clone();
        let host = fixture.netns("host");
        let target = "1.1.1.4:80".parse().unwrap();
        let line = to(host, Hook::Prerouting, &request, ProbeKind::Tcp(80), target).commands().concat();
        assert!(line.contains("iifname \"br0\" ip daddr 1.1.1.3 tcp dport"), "{line}");
    }

    #[test]
    fn an_ipv6_service_is_found_by_its_own_address_and_not_by_that_of_its_wire() {
        let mut fixture = Fixture::experiment6().probing(ProbeKind::Tcp(80));
        fixture.observation.probe.from = "world".parse().unwrap();
        for (netns, link, local) in [("host", "veth3", "fe80::3/64"), ("ns_1", "veth2", "fe80::2/64")] {
            fixture.link(netns, link).addresses.push(crate::explain::fixture::address(local));
        }
        fixture.netns("ns_1").listeners = vec![Listener {
            transport: Transport::Tcp,
            address: "::".parse().unwrap(),
            port: 80,
            only_v6: false,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 5,
        }];
        let world = fixture.world.clone();
        let observation = {
            fixture.seen(Leg::Request, "2001:db8:20::1", "2001:db8:20::182", &["host:eth2<"]);
            &fixture.observation
        };
        let loss = &Loss::trail(&world, observation)[0];
        let found = service_inside(loss, world.namespace(&"host".parse().unwrap()).unwrap(), 80);
        assert_eq!(found, Some("[2001:db8:1::2]:80".parse().unwrap()));
    }

    #[test]
    fn the_mend_is_for_what_was_asked_alone() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(8080));
        fixture.seen(Leg::Request, "10.20.30.1", "10.20.30.182", &["host:eth2<"]);
        let request = fixture.observation.journey.sights[0].clone();
        let host = fixture.netns("host");
        let target = "1.1.1.2:80".parse().unwrap();
        let plan = to(host, Hook::Prerouting, &request, ProbeKind::Tcp(8080), target);
        let line = plan.commands().concat();
        assert!(line.contains("iifname \"eth2\" ip daddr 10.20.30.182 tcp dport 8080 dnat to 1.1.1.2:80"), "{line}");
        assert_eq!(plan.inverse().commands(), ["nft 'delete table ip nsgate-mend'"]);
        let six = "[2001:db8::1]:80".parse().unwrap();
        assert!(to(host, Hook::Prerouting, &request, ProbeKind::Tcp(8080), six).is_empty(), "of another family");
    }
}
