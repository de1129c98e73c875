//! What a step would do: a tiny kernel over a [`World`].
//!
//! It follows Linux as far as plans depend on it: what exists and what does not, what vanishes together, which routes an
//! address brings along, how forwarding spreads. It decides nothing about packets. A step it has no model for is
//! refused as such, never passed over.

mod link;
mod route;

use super::step::{Action, Change, NewForwarding, NewNeighbour, Step};
use super::traffic_control::{OldFilter, RootQueue};
use super::xfrm::NewPolicy;
use crate::model::{
    Family, ForwardingEntry, ForwardingOrigin, Handle, LinkIndex, LinkName, Namespace, Neighbour, NeighbourState,
    NetnsName, Peer, Qdisc, QueueCounts, Rule, Setting, Sysctl, TrafficFilter, World, XfrmPolicy,
};

/// Why a step cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What it would make is there.
    #[error("{0} exists")]
    Exists(String),
    /// What it needs, changes or removes is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// The kernel would not take it.
    #[error("{0}")]
    Invalid(String),
    /// There is no model for it here.
    #[error("the effect of this step is not modelled")]
    NotModelled,
}

/// Does one step. A step that is refused leaves the World as it was.
pub fn apply(world: &mut World, step: &Step) -> Result<(), Refusal> {
    let netns = &step.netns;
    match &step.action {
        Action::AddNetns(name) => add_netns(world, name),
        Action::DeleteNetns(name) => delete_netns(world, name),
        Action::AddLink(new) => link::add(world, netns, new),
        Action::DeleteLink { name, .. } => link::delete(world, netns, name),
        Action::DeleteGroup(group) => link::delete_group(world, netns, *group),
        Action::SetLink { name, setting, .. } => link::set(world, netns, name, setting),
        Action::Address(change, address) => route::address(namespace(world, netns)?, *change, address),
        Action::Route(change, new) => route::route(namespace(world, netns)?, *change, new),
        Action::Rule(change, new) => rule(namespace(world, netns)?, *change, new),
        Action::Neighbour(change, entry) => neighbour(namespace(world, netns)?, *change, entry),
        Action::Forwarding(change, entry) => forwarding(namespace(world, netns)?, *change, entry),
        Action::SetQueue { dev, queue, .. } => set_queue(namespace(world, netns)?, dev, *queue),
        Action::DeleteFilter(old) => delete_filter(namespace(world, netns)?, old),
        Action::Policy(change, new) => policy(namespace(world, netns)?, *change, new),
        // A World holds no connections.
        Action::Forget(_) | Action::ForgetFrom(_) => namespace(world, netns).map(drop),
        Action::Sysctl { name, value, .. } => sysctl(namespace(world, netns)?, name, value),
        Action::Iptables(change, rule) => {
            let ruleset = &mut namespace(world, netns)?.ruleset;
            let missing = || Refusal::Missing(format!("chain {} or its rule", rule.chain));
            let commands = rule.commands(*change, ruleset).ok_or_else(missing)?;
            ruleset.apply(&commands).map_err(|refusal| Refusal::Invalid(refusal.to_string()))
        }
        Action::Nft { commands, .. } => {
            let ruleset = &mut namespace(world, netns)?.ruleset;
            ruleset.apply(commands).map_err(|refusal| Refusal::Invalid(refusal.to_string()))
        }
    }
}

/// Does steps in order, up to the first that is refused.
pub fn apply_all<'a>(world: &mut World, steps: impl IntoIterator<Item = &'a Step>) -> Result<(), (usize, Refusal)> {
    for (number, step) in steps.into_iter().enumerate() {
        apply(world, step).map_err(|refusal| (number, refusal))?;
    }
    Ok(())
}

fn namespace<'a>(world: &'a mut World, name: &NetnsName) -> Result<&'a mut Namespace, Refusal> {
    let found = world.namespaces.iter_mut().find(|netns| netns.name == *name);
    found.ok_or_else(|| Refusal::Missing(format!("namespace {name}")))
}

fn index(netns: &Namespace, name: &LinkName) -> Result<LinkIndex, Refusal> {
    let link = netns.link_named(name.as_str());
    link.map(|link| link.index).ok_or_else(|| Refusal::Missing(format!("interface {name} in {}", netns.name)))
}

fn add_netns(world: &mut World, name: &NetnsName) -> Result<(), Refusal> {
    if world.namespace(name).is_some() {
        return Err(Refusal::Exists(format!("namespace {name}")));
    }
    let inode = world.namespaces.iter().map(|netns| netns.inode).max().unwrap_or(0) + 1;
    let mut netns = Namespace::new(name.clone(), inode);
    netns.links.push(link::loopback());
    netns.rules = route::kernel_rules();
    netns.sysctls.insert(Sysctl::known("net.ipv4.ip_forward"), "0".into());
    for family in Family::BOTH {
        netns.sysctls.insert(Sysctl::of_all(family, "forwarding"), "0".into());
    }
    world.namespaces.push(netns);
    Ok(())
}

fn delete_netns(world: &mut World, name: &NetnsName) -> Result<(), Refusal> {
    let netns = namespace(world, name)?;
    let wires: Vec<_> = netns.links.iter().filter(|link| matches!(link.peer, Peer::There(..))).collect();
    let wires: Vec<_> = wires.into_iter().map(|link| link.name.clone()).collect();
    for wire in wires {
        link::delete(world, name, &wire)?;
    }
    world.namespaces.retain(|netns| netns.name != *name);
    Ok(())
}

fn rule(netns: &mut Namespace, change: Change, new: &Rule) -> Result<(), Refusal> {
    let there = netns.rules.iter().position(|rule| rule == new);
    match (change, there) {
        (Change::Delete, Some(at)) => {
            netns.rules.remove(at);
        }
        (Change::Delete, None) => return Err(Refusal::Missing(format!("rule {}", new.priority))),
        (_, Some(_)) => return Err(Refusal::Exists(format!("rule {}", new.priority))),
        (_, None) => {
            // Both families stand in one list, each in its own order.
            let behind = |rule: &Rule| (rule.family, rule.priority) > (new.family, new.priority);
            let at = netns.rules.iter().position(behind).unwrap_or(netns.rules.len());
            netns.rules.insert(at, new.clone());
        }
    }
    Ok(())
}

fn forwarding(netns: &mut Namespace, change: Change, new: &NewForwarding) -> Result<(), Refusal> {
    let link = index(netns, &new.dev)?;
    let bridge = netns.link(link).filter(|_| new.remote.is_none()).and_then(|link| link.master);
    let same = |e: &ForwardingEntry| {
        (e.link, e.mac, e.bridge, e.vlan, e.remote) == (link, new.mac, bridge, new.vlan, new.remote)
    };
    let there = netns.forwarding.iter().position(same);
    let what = || format!("forwarding entry {new}");
    match (change, there) {
        (Change::Delete, Some(at)) => {
            netns.forwarding.remove(at);
        }
        (Change::Delete, None) => return Err(Refusal::Missing(what())),
        (_, Some(_)) => return Err(Refusal::Exists(what())),
        (_, None) => netns.forwarding.push(ForwardingEntry {
            link,
            mac: new.mac,
            bridge,
            vlan: new.vlan,
            remote: new.remote,
            port: None,
            vni: None,
            via: None,
            nexthop_object: None,
            origin: if bridge.is_some() { ForwardingOrigin::Static } else { ForwardingOrigin::Permanent },
        }),
    }
    Ok(())
}

fn set_queue(netns: &mut Namespace, dev: &LinkName, queue: RootQueue) -> Result<(), Refusal> {
    let link = index(netns, dev)?;
    let there = netns.qdiscs.iter().any(|q| q.link == link && q.parent == Handle::ROOT && q.handle != Handle(0));
    if queue == RootQueue::Usual && !there {
        return Err(Refusal::Missing(format!("a queueing discipline of {dev}")));
    }
    // What hung below it goes with it; what stands at the entrance stays.
    let at_entrance = |q: &Qdisc| q.parent == Handle::INGRESS;
    netns.qdiscs.retain(|q| q.link != link || at_entrance(q));
    netns.traffic_classes.retain(|class| class.link != link);
    netns.qdiscs.extend(queue.kind().map(|kind| Qdisc {
        link,
        handle: Handle(0x8001_0000),
        parent: Handle::ROOT,
        kind,
        counts: QueueCounts::default(),
    }));
    Ok(())
}

fn delete_filter(netns: &mut Namespace, old: &OldFilter) -> Result<(), Refusal> {
    let link = index(netns, &old.dev)?;
    let before = netns.traffic_filters.len();
    let of_priority = |f: &TrafficFilter| old.priority == 0 || f.priority == old.priority;
    let same = |f: &TrafficFilter| (f.link, f.parent) == (link, old.parent) && of_priority(f);
    netns.traffic_filters.retain(|f| !same(f));
    if netns.traffic_filters.len() == before {
        return Err(Refusal::Missing(format!("filter {old} of {}", old.dev)));
    }
    Ok(())
}

fn policy(netns: &mut Namespace, change: Change, new: &NewPolicy) -> Result<(), Refusal> {
    let policies = &mut netns.xfrm.policies;
    let there = policies.iter().position(|policy| new.is_key_of(policy));
    match (change, there) {
        (Change::Delete, None) => return Err(Refusal::Missing(format!("policy {new}"))),
        (Change::Add, Some(_)) => return Err(Refusal::Exists(format!("policy {new}"))),
        (Change::Delete | Change::Replace, Some(at)) => drop(policies.remove(at)),
        (Change::Add | Change::Replace, None) => {}
    }
    if change != Change::Delete {
        let behind = |policy: &XfrmPolicy| policy.priority > new.priority;
        let at = policies.iter().position(behind).unwrap_or(policies.len());
        policies.insert(at, new.policy());
    }
    Ok(())
}

fn neighbour(netns: &mut Namespace, change: Change, new: &NewNeighbour) -> Result<(), Refusal> {
    let link = index(netns, &new.dev)?;
    let same = |n: &Neighbour| n.link == link && n.address == new.address && n.proxy == new.proxy;
    let there = netns.neighbours.iter().position(same);
    match (change, there) {
        (Change::Delete, Some(at)) => {
            netns.neighbours.remove(at);
            return Ok(());
        }
        (Change::Delete, None) => return Err(Refusal::Missing(format!("neighbour {}", new.address))),
        (Change::Add, Some(_)) => return Err(Refusal::Exists(format!("neighbour {}", new.address))),
        (Change::Replace, Some(at)) => {
            netns.neighbours.remove(at);
        }
        (Change::Add | Change::Replace, None) => {}
    }
    let state = if new.proxy { NeighbourState::None } else { new.state.unwrap_or(NeighbourState::Permanent) };
    netns.neighbours.push(Neighbour { link, address: new.address, mac: new.mac, state, proxy: new.proxy });
    Ok(())
}

/// Sets a value; forwarding spreads to every interface, as in the kernel.
fn sysctl(netns: &mut Namespace, name: &Sysctl, value: &str) -> Result<(), Refusal> {
    if let Some((family, link, setting)) = link_sysctl(netns, name) {
        let Ok(number) = value.parse() else { return Err(Refusal::Invalid(format!("{name} is a number"))) };
        return link::set_value(netns, link, family, setting, number);
    }
    let family = match name.as_str() {
        "net.ipv4.ip_forward" | "net.ipv4.conf.all.forwarding" => Some(Family::V4),
        "net.ipv6.conf.all.forwarding" => Some(Family::V6),
        _ => None,
    };
    let Some(family) = family else {
        netns.sysctls.insert(name.clone(), value.into());
        return Ok(());
    };
    let number = i32::from(value != "0");
    netns.sysctls.insert(Sysctl::of_all(family, "forwarding"), value.into());
    if family == Family::V4 {
        netns.sysctls.insert(Sysctl::known("net.ipv4.ip_forward"), value.into());
    }
    let links: Vec<_> = netns.links.iter().map(|link| link.index).collect();
    for link in links {
        link::set_value(netns, link, family, Setting::Forwarding, number)?;
    }
    Ok(())
}

/// The value of a setting, as far as the World knows it.
pub(super) fn value(netns: &Namespace, name: &Sysctl) -> Option<String> {
    if let Some((family, link, setting)) = link_sysctl(netns, name) {
        return netns.link(link)?.setting(family, setting).map(|value| value.to_string());
    }
    netns.sysctls.get(name.as_str()).map(str::to_owned)
}

/// The interface, family and setting that a name of the form `net.ipv4.conf.NAME.setting` means.
fn link_sysctl(netns: &Namespace, name: &Sysctl) -> Option<(Family, LinkIndex, Setting)> {
    for family in Family::BOTH {
        for link in &netns.links {
            for setting in Setting::ALL {
                let word = setting.name(family);
                if word.is_some_and(|word| Sysctl::of_link(family, &link.name, word) == *name) {
                    return Some((family, link.index, setting));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
