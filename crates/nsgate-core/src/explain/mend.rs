//! The mends: short plans, the safest first.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_packet::Flow;

use super::Loss;
use crate::filter::Decision;
use crate::model::ruleset::{Ruleset, parse};
use crate::model::segment::{Place as At, Segment};
use crate::model::{
    Family, ForwardingEntry, Handle, Link, LinkName, Mac, Namespace, Neighbour, Qdisc, Route, RouteKind, Rule, Setting,
    Sysctl, TrafficFilter,
};
use crate::plan::{
    Action, Change, Hop, LinkSetting, NewAddress, NewForwarding, NewNeighbour, NewPolicy, NewRoute, OldFilter, Plan,
    RootQueue, Step, XdpMode,
};
use crate::trace::{Leg, Sight, Way};

/// Sets a kernel setting.
pub(super) fn sysctl(netns: &Namespace, name: &Sysctl, value: &str, before: i64) -> Plan {
    Plan::of(Step::sysctl(&netns.name, name.clone(), value, Some(&before.to_string())))
}

/// Loosens the reverse-path filter for one interface: its own value, and the one for all where that alone would hold.
pub(super) fn reverse_path(netns: &Namespace, link: &Link, value: &str) -> Plan {
    let set = |name: Sysctl, before: i64| Step::sysctl(&netns.name, name, value, Some(&before.to_string()));
    let own = link.setting(Family::V4, Setting::RpFilter).map_or(0, i64::from);
    let all = netns.setting_of_all(Family::V4, Setting::RpFilter).unwrap_or(0);
    let mut steps = vec![set(Sysctl::of_link(Family::V4, &link.name, "rp_filter"), own)];
    if value == "0" && all != 0 {
        steps.push(set(Sysctl::of_all(Family::V4, "rp_filter"), all));
    }
    Plan { steps }
}

/// Brings an interface up.
pub(super) fn link_up(netns: &Namespace, link: &Link) -> Plan {
    let action = Action::SetLink {
        name: link.name.clone(),
        setting: LinkSetting::Up(true),
        before: Some(LinkSetting::Up(false)),
    };
    Plan::of(Step::new(&netns.name, action))
}

/// Takes a route away.
pub(super) fn delete_route(netns: &Namespace, route: &Route) -> Plan {
    let gone = NewRoute { source: None, ..as_it_is(netns, route) };
    Plan::of(Step::new(&netns.name, Action::Route(Change::Delete, gone)))
}

/// A route that is there, as a step would make it.
pub(super) fn as_it_is(netns: &Namespace, route: &Route) -> NewRoute {
    let hop = |h: &crate::model::NextHop| Hop {
        via: h.gateway,
        dev: h.link.and_then(|l| netns.link(l)).map(|l| l.name.clone()),
        on_link: h.on_link,
        weight: h.weight.max(1),
    };
    // The kernel lets refusing IPv6 routes stand on `lo`; an operator does not name it.
    let refuses = matches!(route.kind, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit);
    let hops = if refuses { Vec::new() } else { route.next_hops.iter().map(hop).collect() };
    NewRoute {
        kind: route.kind,
        table: route.table,
        metric: route.metric,
        source: route.source,
        protocol: route.protocol,
        ..NewRoute::with_hops(route.destination, hops)
    }
}

/// Adds a default route through a router that is seen to be there; an empty plan where none is.
pub(super) fn default_route(loss: &Loss<'_>) -> Plan {
    let Some((router, dev)) = router(loss) else { return Plan::default() };
    let everywhere = match loss.family() {
        Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
        Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
    };
    let route = NewRoute::through(everywhere, router, dev);
    Plan::of(Step::new(loss.here(), Action::Route(Change::Add, route)))
}

/// The one neighbour on a wire of this namespace that has a way on and is not where the packet came from.
fn router(loss: &Loss<'_>) -> Option<(IpAddr, LinkName)> {
    let family = loss.family();
    let entered = loss.entered().map(|l| l.index);
    let mut found = loss.netns.links.iter().filter(|l| Some(l.index) != entered && l.usable()).filter_map(|link| {
        let (there, peer) = loss.world.peer(loss.netns, link)?;
        let own: Vec<IpNet> = link.addresses.iter().map(|a| a.net).filter(|n| Family::of(n.addr()) == family).collect();
        let on_link = |a: IpAddr| own.iter().any(|n| n.contains(&a));
        let holder = peer.master.and_then(|m| there.link(m)).unwrap_or(peer);
        let router = holder.addresses.iter().map(|a| a.net.addr()).find(|a| on_link(*a))?;
        Some((router, link.name.clone()))
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Translates sources on their way out of one interface, in a table of its own.
pub(super) fn masquerade(netns: &Namespace, out: &Link, source: IpAddr) -> Plan {
    translate("srcnat", netns, out, source, "masquerade")
}

/// The same before the rules that are there can translate them otherwise.
pub(super) fn masquerade_first(netns: &Namespace, out: &Link, source: IpAddr) -> Plan {
    translate("srcnat - 1", netns, out, source, "masquerade")
}

/// Translates sources by this `statement` before the rules that are there can.
pub(super) fn translate_first(netns: &Namespace, out: &Link, source: IpAddr, statement: &str) -> Plan {
    translate("srcnat - 1", netns, out, source, statement)
}

fn translate(priority: &str, netns: &Namespace, out: &Link, source: IpAddr, statement: &str) -> Plan {
    let family = if source.is_ipv4() { "ip" } else { "ip6" };
    let net = network_of(netns, out, source);
    let table = format!("{family} nsgate-mend");
    let text = format!(
        "add table {table}\n\
         add chain {table} postrouting {{ type nat hook postrouting priority {priority}; policy accept; }}\n\
         add rule {table} postrouting {family} saddr {net} oifname \"{}\" {statement}\n",
        out.name
    );
    let parsed = |text: &str| parse::commands(text, &Ruleset::default()).ok();
    match parsed(&text) {
        Some(commands) => {
            let undo = parsed(&format!("delete table {table}\n"));
            Plan::of(Step::new(&netns.name, Action::Nft { commands, undo }))
        }
        None => Plan::default(),
    }
}

/// Tracks what comes in by an interface in a zone, by a rule in a table of its own.
pub(super) fn into_zone(netns: &Namespace, link: &Link, zone: u16) -> Plan {
    let table = "inet nsgate-mend";
    let text = format!(
        "add table {table}\n\
         add chain {table} prerouting {{ type filter hook prerouting priority -300; policy accept; }}\n\
         add rule {table} prerouting iifname \"{}\" ct zone set {zone}\n",
        link.name
    );
    let parsed = |text: &str| parse::commands(text, &Ruleset::default()).ok();
    let undo = parsed(&format!("delete table {table}\n"));
    parsed(&text).map(|commands| Plan::of(Step::new(&netns.name, Action::Nft { commands, undo }))).unwrap_or_default()
}

/// The network that a source belongs to as the gateway knows it: the prefix of the interface that leads to it.
fn network_of(netns: &Namespace, out: &Link, source: IpAddr) -> IpNet {
    let inside = netns.links.iter().filter(|l| l.index != out.index).flat_map(|l| &l.addresses);
    inside.map(|a| a.net.trunc()).find(|n| n.contains(&source)).unwrap_or_else(|| IpNet::from(source))
}

/// Gives an interface an address.
pub(super) fn add_address(netns: &Namespace, link: &Link, net: IpNet) -> Plan {
    address(Change::Add, netns, link, net)
}

/// Takes an address from an interface.
pub(super) fn delete_address(netns: &Namespace, link: &Link, net: IpNet) -> Plan {
    address(Change::Delete, netns, link, net)
}

fn address(change: Change, netns: &Namespace, link: &Link, net: IpNet) -> Plan {
    let new = NewAddress::new(link.name.clone(), net);
    Plan::of(Step::new(&netns.name, Action::Address(change, new)))
}

/// Gives an IPv6 address again, without duplicate address detection.
pub(super) fn without_detection(netns: &Namespace, link: &Link, address: IpAddr) -> Plan {
    let Some(held) = link.addresses.iter().find(|a| a.net.addr() == address) else { return Plan::default() };
    let step = |change, new| Step::new(&netns.name, Action::Address(change, new));
    let same = || NewAddress::new(link.name.clone(), held.net);
    Plan { steps: vec![step(Change::Delete, same()), step(Change::Add, same().without_dad())] }
}

/// Sets the MTU of an interface.
pub(super) fn mtu(netns: &Namespace, link: &Link, mtu: u32) -> Plan {
    set_link(netns, link, LinkSetting::Mtu(mtu), LinkSetting::Mtu(link.mtu))
}

/// Changes an interface.
pub(super) fn set_link(netns: &Namespace, link: &Link, setting: LinkSetting, before: LinkSetting) -> Plan {
    Plan::of(Step::new(&netns.name, Action::SetLink { name: link.name.clone(), setting, before: Some(before) }))
}

/// Takes a filter of traffic control away, with the others of its priority.
pub(super) fn delete_filter(netns: &Namespace, link: &Link, filter: &TrafficFilter) -> Plan {
    let old = OldFilter { dev: link.name.clone(), parent: filter.parent, priority: filter.priority };
    Plan::of(Step::new(&netns.name, Action::DeleteFilter(old)))
}

/// Puts another queue at an interface's root; an empty plan for one that hangs on a class.
pub(super) fn replace_queue(netns: &Namespace, link: &Link, qdisc: &Qdisc, queue: RootQueue) -> Plan {
    if qdisc.parent != Handle::ROOT {
        return Plan::default();
    }
    let before = RootQueue::of(&qdisc.kind);
    Plan::of(Step::new(&netns.name, Action::SetQueue { dev: link.name.clone(), queue, before }))
}

/// Takes an XDP program off an interface.
pub(super) fn without_xdp(netns: &Namespace, link: &Link, mode: XdpMode) -> Plan {
    let action = Action::SetLink { name: link.name.clone(), setting: LinkSetting::NoXdp(mode), before: None };
    Plan::of(Step::new(&netns.name, action))
}

/// Takes a neighbour entry away, so that the neighbour is asked again.
pub(super) fn forget_neighbour(netns: &Namespace, link: &Link, entry: &Neighbour) -> Plan {
    let gone = NewNeighbour {
        dev: link.name.clone(),
        address: entry.address,
        mac: entry.mac,
        state: Some(entry.state),
        proxy: entry.proxy,
    };
    Plan::of(Step::new(&netns.name, Action::Neighbour(Change::Delete, gone)))
}

/// Takes a neighbour entry away and makes it again, with the right link-layer address.
pub(super) fn replace_neighbour(netns: &Namespace, link: &Link, entry: &Neighbour, right: Mac) -> Plan {
    let forgotten = forget_neighbour(netns, link, entry);
    let new = NewNeighbour::permanent(link.name.clone(), entry.address, right);
    let new = Step::new(&netns.name, Action::Neighbour(Change::Add, new));
    Plan { steps: forgotten.steps.into_iter().chain([new]).collect() }
}

/// Says who is behind a port of a bridge, or behind which remote end of a tunnel.
pub(super) fn add_forwarding(netns: &Namespace, link: &Link, mac: Mac, remote: Option<IpAddr>) -> Plan {
    let entry = NewForwarding { dev: link.name.clone(), mac, remote, vlan: None };
    Plan::of(Step::new(&netns.name, Action::Forwarding(Change::Add, entry)))
}

/// Takes an entry out of a forwarding database.
pub(super) fn delete_forwarding(netns: &Namespace, link: &Link, entry: &ForwardingEntry) -> Plan {
    let gone = NewForwarding { dev: link.name.clone(), mac: entry.mac, remote: entry.remote, vlan: entry.vlan };
    Plan::of(Step::new(&netns.name, Action::Forwarding(Change::Delete, gone)))
}

/// Answers for an address on a link; IPv6 has a switch for that besides.
pub(super) fn answer_for(netns: &Namespace, link: &Link, address: IpAddr) -> Plan {
    let entry = NewNeighbour::proxy(link.name.clone(), address);
    let entry = Step::new(&netns.name, Action::Neighbour(Change::Add, entry));
    let off = link.setting(Family::V6, Setting::ProxyArp).is_some_and(|value| value == 0);
    let switch = (address.is_ipv6() && off)
        .then(|| Step::sysctl(&netns.name, Sysctl::of_link(Family::V6, &link.name, "proxy_ndp"), "1", Some("0")));
    Plan { steps: switch.into_iter().chain([entry]).collect() }
}

/// Takes an address away from whichever interface holds it.
pub(super) fn delete_address_of(netns: &Namespace, address: IpAddr) -> Plan {
    let held = |l: &Link| l.addresses.iter().find(|a| a.net.addr() == address).map(|a| a.net);
    let found = netns.links.iter().find_map(|l| Some((l, held(l)?)));
    found.map(|(link, net)| delete_address(netns, link, net)).unwrap_or_default()
}

/// Adds a route back to where the request came from, through the router that it came by.
pub(super) fn route_back(loss: &Loss<'_>) -> Plan {
    let came = |s: &&Sight| s.netns == loss.netns.name && s.way == Way::In;
    let request = loss.observation.journey.of(Leg::Request).rfind(came);
    request.map(|request| route_through(loss, loss.netns, request, loss.destination)).unwrap_or_default()
}

/// The same in any namespace, to the source of a request that came in there.
pub(super) fn route_to(loss: &Loss<'_>, netns: &Namespace, request: &Sight) -> Plan {
    route_through(loss, netns, request, request.header.source)
}

fn route_through(loss: &Loss<'_>, netns: &Namespace, request: &Sight, to: IpAddr) -> Plan {
    let Some(link) = netns.link(request.link) else { return Plan::default() };
    let own: Vec<IpNet> = link.addresses.iter().map(|a| a.net).collect();
    let segment = Segment::of(loss.world, netns, link);
    let of_router = |p: &At<'_>| p.netns.name != netns.name && p.link.mac == request.header.macs.map(|m| m.0);
    let router = segment.places.iter().find(|p| of_router(p));
    let via =
        router.and_then(|p| p.link.addresses.iter().map(|a| a.net.addr()).find(|a| own.iter().any(|n| n.contains(a))));
    let Some(via) = via else { return Plan::default() };
    let route = NewRoute::through(IpNet::from(to), via, link.name.clone());
    Plan::of(Step::new(&netns.name, Action::Route(Change::Add, route)))
}

/// Takes a rule away; a policy is left alone.
pub(super) fn delete_rule(netns: &Namespace, decision: &Decision<'_>) -> Plan {
    // The older engine's tables are not changed by nft.
    let Some(rule) = decision.rule.filter(|_| !netns.ruleset.is_legacy(decision.table)) else { return Plan::default() };
    let chain = format!("{} {} {}", decision.table.family.name(), decision.table.name, decision.chain.name);
    let parsed = |text: &str| parse::commands(text, &netns.ruleset).ok();
    let line = crate::model::ruleset::text::rule(decision.table.family, &decision.table.sets, rule);
    let after = decision.chain.rules.iter().skip_while(|r| r.handle != rule.handle).nth(1);
    let back = match after {
        Some(next) => format!("insert rule {chain} position {} {line}\n", next.handle),
        None => format!("add rule {chain} {line}\n"),
    };
    match parsed(&format!("delete rule {chain} handle {}\n", rule.handle)) {
        Some(commands) => Plan::of(Step::new(&netns.name, Action::Nft { commands, undo: parsed(&back) })),
        None => Plan::default(),
    }
}

/// Adds an IPsec policy.
pub(super) fn add_policy(netns: &Namespace, policy: NewPolicy) -> Plan {
    Plan::of(Step::new(&netns.name, Action::Policy(Change::Add, policy)))
}

/// Takes an IPsec policy away.
pub(super) fn delete_policy(netns: &Namespace, policy: NewPolicy) -> Plan {
    Plan::of(Step::new(&netns.name, Action::Policy(Change::Delete, policy)))
}

/// Forgets a connection of TCP or UDP, so that its next packet asks the rules again; an empty plan for any other.
pub(super) fn forget_connection(netns: &Namespace, flow: Flow) -> Plan {
    if !flow.has_ports() {
        return Plan::default();
    }
    Plan::of(Step::new(&netns.name, Action::Forget(flow)))
}

/// Forgets the connections that an address opened.
pub(super) fn forget_connections(netns: &Namespace, source: IpAddr) -> Plan {
    Plan::of(Step::new(&netns.name, Action::ForgetFrom(source)))
}

/// Takes a policy rule away.
pub(super) fn delete_policy_rule(netns: &Namespace, rule: &Rule) -> Plan {
    Plan::of(Step::new(&netns.name, Action::Rule(Change::Delete, rule.clone())))
}

/// Has the main table asked for these destinations before the rules that come after.
pub(super) fn main_rule_for(netns: &Namespace, to: IpNet, priority: u32) -> Plan {
    let family = if to.addr().is_ipv6() { "-6 " } else { "" };
    let Ok(step) = format!("ip {family}rule add to {to} lookup main priority {priority}").parse::<Step>() else {
        return Plan::default();
    };
    Plan::of(Step { netns: netns.name.clone(), ..step })
}

/// Leads what bears this source to a table.
pub(super) fn rule_of_source(netns: &Namespace, source: IpAddr, table: u32, priority: u32) -> Plan {
    let family = if source.is_ipv6() { "-6 " } else { "" };
    let Ok(step) = format!("ip {family}rule add from {source} priority {priority} lookup {table}").parse::<Step>()
    else {
        return Plan::default();
    };
    Plan::of(Step { netns: netns.name.clone(), ..step })
}

/// Puts the rule for the main table back.
pub(super) fn main_rule(netns: &Namespace, family: Family) -> Plan {
    let line = match family {
        Family::V4 => "ip rule add from all lookup main priority 32766",
        Family::V6 => "ip -6 rule add from all lookup main priority 32766",
    };
    let Ok(step) = line.parse::<Step>() else { return Plan::default() };
    Plan::of(Step { netns: netns.name.clone(), ..step })
}
