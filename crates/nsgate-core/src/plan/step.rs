//! One change to one network namespace, and what takes it back.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_packet::Flow;

use super::iptables::{IptablesChange, IptablesRule};
use super::link::{LinkSetting, NewLink};
use super::traffic_control::{OldFilter, RootQueue};
use super::xfrm::NewPolicy;
use crate::model::ruleset::Command;
use crate::model::{Family, LinkName, Mac, NeighbourState, NetnsName, RouteKind, Rule, Scope, Sysctl, TABLE_MAIN};

/// One change to one network namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The namespace it happens in.
    pub netns: NetnsName,
    /// What happens.
    pub action: Action,
}

/// Whether something comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It comes; an error if it is there.
    Add,
    /// It comes, in place of what may be there under the same key.
    Replace,
    /// It goes; an error if it is not there.
    Delete,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Makes a namespace of this name under `/run/netns`.
    AddNetns(NetnsName),
    /// Removes the name of a namespace, and with its last holder the namespace.
    DeleteNetns(NetnsName),
    /// Makes an interface.
    AddLink(NewLink),
    /// Removes an interface (a veth pair goes as a whole).
    DeleteLink {
        /// The interface.
        name: LinkName,
        /// What it was, if that is known: without it there is no way back.
        was: Option<Box<NewLink>>,
    },
    /// Removes all interfaces of a group at once; there is no way back.
    DeleteGroup(u32),
    /// Changes an interface.
    SetLink {
        /// The interface.
        name: LinkName,
        /// What it shall be.
        setting: LinkSetting,
        /// What it was, if that is known.
        before: Option<LinkSetting>,
    },
    /// An address of an interface.
    Address(Change, NewAddress),
    /// A route.
    Route(Change, NewRoute),
    /// A policy rule. It is never replaced.
    Rule(Change, Rule),
    /// A neighbour or proxy entry.
    Neighbour(Change, NewNeighbour),
    /// An entry of the forwarding database of a bridge or a VXLAN device. It is never replaced.
    Forwarding(Change, NewForwarding),
    /// Makes another queueing discipline the root of an interface.
    SetQueue {
        /// The interface.
        dev: LinkName,
        /// What it shall be.
        queue: RootQueue,
        /// What it was, if that is known and can be made again.
        before: Option<RootQueue>,
    },
    /// Removes filters of traffic control. There is no way back: what they did is not kept.
    DeleteFilter(OldFilter),
    /// An IPsec policy.
    Policy(Change, NewPolicy),
    /// Forgets a tracked connection, by its first direction. There is no way back: its next packet begins it anew.
    Forget(Flow),
    /// Forgets all tracked connections that an address opened. There is no way back: those that go on begin anew.
    ForgetFrom(IpAddr),
    /// A kernel setting.
    Sysctl {
        /// Its name.
        name: Sysctl,
        /// What it shall be.
        value: String,
        /// What it was, if that is known.
        before: Option<String>,
    },
    /// A rule of iptables.
    Iptables(IptablesChange, IptablesRule),
    /// Changes to the packet filter, made all together or not at all.
    Nft {
        /// The changes.
        commands: Vec<Command>,
        /// What takes them back, if that is known.
        undo: Option<Vec<Command>>,
    },
}

/// An address to be given to an interface, or taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// The interface.
    pub dev: LinkName,
    /// The address with its prefix length (the peer's, if there is a peer).
    pub net: IpNet,
    /// The other end's address on point-to-point links.
    pub peer: Option<IpAddr>,
    /// The broadcast address (IPv4).
    pub broadcast: Option<IpAddr>,
    /// No duplicate address detection (IPv6).
    pub no_dad: bool,
    /// No route for the prefix comes with it.
    pub no_prefix_route: bool,
    /// Never taken as the source of what is sent by itself.
    pub deprecated: bool,
}

/// A route to be made or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoute {
    /// What it does with a packet.
    pub kind: RouteKind,
    /// What it is for; the whole address space for a default route.
    pub destination: IpNet,
    /// Where it leads: none for a route that refuses, one for most, several that share the load.
    pub hops: Vec<Hop>,
    /// The table it stands in.
    pub table: u32,
    /// The metric: the smaller is taken; 0 leaves it to the kernel.
    pub metric: u32,
    /// The source address it suggests.
    pub source: Option<IpAddr>,
    /// Who makes it (RTPROT_*); 3 (boot) is what `ip` takes by itself.
    pub protocol: u8,
    /// How far the destination is, if not what follows from the rest.
    pub scope: Option<Scope>,
    /// The path MTU it sets.
    pub mtu: Option<u32>,
}

/// One way of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The router; none: the destination itself is on the link.
    pub via: Option<IpAddr>,
    /// The interface to leave by.
    pub dev: Option<LinkName>,
    /// The router counts as on the link even where no address says so.
    pub on_link: bool,
    /// Its share among several; 1 is the smallest.
    pub weight: u16,
}

/// A neighbour or proxy entry to be made or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNeighbour {
    /// The interface behind which the neighbour is.
    pub dev: LinkName,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: Option<Mac>,
    /// How far it can be trusted; none where it is removed, or as `ip` takes it (permanent).
    pub state: Option<NeighbourState>,
    /// Not a neighbour: an address that is answered for on the link (proxy ARP, proxy NDP).
    pub proxy: bool,
}

/// An entry of a forwarding database to be made or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewForwarding {
    /// The port of the bridge, or the VXLAN device.
    pub dev: LinkName,
    /// The link-layer address; all zeroes in a VXLAN device: whatever has no entry of its own.
    pub mac: Mac,
    /// VXLAN: the remote end; none for an entry of the bridge that `dev` is a port of.
    pub remote: Option<IpAddr>,
    /// The VLAN it holds for.
    pub vlan: Option<u16>,
}

/// The protocol number that `ip route add` gives a route by itself (RTPROT_BOOT).
pub(super) const PROTOCOL_BOOT: u8 = 3;

impl Step {
    /// A step in this namespace.
    pub fn new(netns: &NetnsName, action: Action) -> Self {
        Self { netns: netns.clone(), action }
    }

    /// A step in the namespace that nsgate runs in.
    pub fn host(action: Action) -> Self {
        Self { netns: NetnsName::host(), action }
    }

    /// Sets a kernel setting.
    pub fn sysctl(netns: &NetnsName, name: Sysctl, value: impl Into<String>, before: Option<&str>) -> Self {
        Self::new(netns, Action::Sysctl { name, value: value.into(), before: before.map(Into::into) })
    }

    /// The step that takes this one back; none if what was before is not known.
    pub fn inverse(&self) -> Option<Step> {
        let mut netns = self.netns.clone();
        let action = match &self.action {
            Action::AddNetns(name) => Action::DeleteNetns(name.clone()),
            Action::DeleteNetns(name) => Action::AddNetns(name.clone()),
            Action::AddLink(link) => Action::DeleteLink { name: link.name.clone(), was: Some(Box::new(link.clone())) },
            Action::DeleteLink { was, .. } => Action::AddLink(was.as_deref()?.clone()),
            Action::DeleteGroup(_) | Action::DeleteFilter(_) | Action::Forget(_) | Action::ForgetFrom(_) => {
                return None;
            }
            Action::SetLink { name, setting, before } => {
                let (name, setting, before) = inverse_setting(&mut netns, name, setting, before.as_ref())?;
                Action::SetLink { name, setting, before }
            }
            Action::Address(change, address) => Action::Address(change.inverse()?, address.clone()),
            Action::Route(change, route) => Action::Route(change.inverse()?, route.clone()),
            Action::Rule(change, rule) => Action::Rule(change.inverse()?, rule.clone()),
            // A learned entry that was replaced is learned again, so what a replacement leaves behind is only removed.
            Action::Neighbour(Change::Replace, entry) => Action::Neighbour(Change::Delete, entry.clone()),
            Action::Neighbour(change, entry) => Action::Neighbour(change.inverse()?, entry.clone()),
            Action::Forwarding(change, entry) => Action::Forwarding(change.inverse()?, entry.clone()),
            Action::Policy(change, policy) => Action::Policy(change.inverse()?, policy.clone()),
            Action::SetQueue { dev, queue, before } => {
                Action::SetQueue { dev: dev.clone(), queue: (*before)?, before: Some(*queue) }
            }
            Action::Iptables(change, rule) => Action::Iptables(change.inverse()?, rule.clone()),
            Action::Nft { commands, undo } => Action::Nft { commands: undo.clone()?, undo: Some(commands.clone()) },
            Action::Sysctl { name, value, before } => {
                Action::Sysctl { name: name.clone(), value: before.clone()?, before: Some(value.clone()) }
            }
        };
        Some(Step { netns, action })
    }

    /// Whether only its own program can do it: nsgate reads the tables of the older engine, and does not change them.
    pub fn is_by_hand(&self) -> bool {
        matches!(&self.action, Action::Iptables(_, rule) if rule.legacy)
    }

    /// The step without what it remembers of the time before: as much as its text says.
    #[must_use]
    pub fn forget(mut self) -> Self {
        match &mut self.action {
            Action::DeleteLink { was, .. } => *was = None,
            Action::SetLink { before, .. } => *before = None,
            Action::SetQueue { before, .. } => *before = None,
            Action::Policy(Change::Delete, policy) => *policy = policy.key(),
            Action::Sysctl { before, .. } => *before = None,
            Action::Nft { undo, .. } => *undo = None,
            _ => {}
        }
        self
    }
}

/// The inverse of a link setting: of moving and renaming it follows from the step itself, of the rest from `before`.
fn inverse_setting(
    netns: &mut NetnsName,
    name: &LinkName,
    setting: &LinkSetting,
    before: Option<&LinkSetting>,
) -> Option<(LinkName, LinkSetting, Option<LinkSetting>)> {
    match setting {
        LinkSetting::Name(new) => {
            Some((new.clone(), LinkSetting::Name(name.clone()), Some(LinkSetting::Name(new.clone()))))
        }
        LinkSetting::Netns(to) => {
            let from = std::mem::replace(netns, to.clone());
            Some((name.clone(), LinkSetting::Netns(from), None))
        }
        _ => Some((name.clone(), before?.clone(), Some(setting.clone()))),
    }
}

impl Change {
    fn inverse(self) -> Option<Change> {
        match self {
            Change::Add => Some(Change::Delete),
            Change::Delete => Some(Change::Add),
            Change::Replace => None,
        }
    }
}

impl NewAddress {
    /// This address on this interface.
    pub fn new(dev: LinkName, net: IpNet) -> Self {
        Self { dev, net, peer: None, broadcast: None, no_dad: false, no_prefix_route: false, deprecated: false }
    }

    /// The same without duplicate address detection (which only IPv6 has).
    #[must_use]
    pub fn without_dad(mut self) -> Self {
        self.no_dad = self.net.addr().is_ipv6();
        self
    }
}

impl NewRoute {
    /// A route to this destination through `via`, out of `dev`.
    pub fn through(destination: IpNet, via: IpAddr, dev: LinkName) -> Self {
        Self::with_hops(destination, vec![Hop { via: Some(via), ..Hop::on(dev) }])
    }

    /// A route to a destination on the link itself.
    pub fn on_link(destination: IpNet, dev: LinkName) -> Self {
        Self::with_hops(destination, vec![Hop::on(dev)])
    }

    /// A route that refuses: blackhole, unreachable, prohibit or throw.
    pub fn refusing(kind: RouteKind, destination: IpNet) -> Self {
        Self { kind, ..Self::with_hops(destination, Vec::new()) }
    }

    /// A route over these ways, everything else as `ip` takes it by itself.
    pub fn with_hops(destination: IpNet, hops: Vec<Hop>) -> Self {
        Self {
            kind: RouteKind::Unicast,
            destination: destination.trunc(),
            hops,
            table: TABLE_MAIN,
            metric: 0,
            source: None,
            protocol: PROTOCOL_BOOT,
            scope: None,
            mtu: None,
        }
    }

    /// The family of the destination.
    pub fn family(&self) -> Family {
        Family::of(self.destination.addr())
    }

    /// The scope that the kernel is told when the route is made: the given one, or what `ip` would take.
    pub fn effective_scope(&self) -> Scope {
        if let Some(scope) = self.scope {
            return scope;
        }
        if self.family() == Family::V6 {
            return Scope::Global;
        }
        match self.kind {
            RouteKind::Local => Scope::Host,
            RouteKind::Broadcast | RouteKind::Multicast | RouteKind::Anycast => Scope::Link,
            RouteKind::Unicast if self.hops.len() == 1 && self.hops[0].via.is_none() => Scope::Link,
            _ => Scope::Global,
        }
    }
}

impl Hop {
    /// Straight onto the link of this interface.
    pub fn on(dev: LinkName) -> Self {
        Self { via: None, dev: Some(dev), on_link: false, weight: 1 }
    }
}

impl NewNeighbour {
    /// A permanent entry.
    pub fn permanent(dev: LinkName, address: IpAddr, mac: Mac) -> Self {
        Self { dev, address, mac: Some(mac), state: Some(NeighbourState::Permanent), proxy: false }
    }

    /// An address that is answered for on the link.
    pub fn proxy(dev: LinkName, address: IpAddr) -> Self {
        Self { dev, address, mac: None, state: None, proxy: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LinkName {
        text.parse().unwrap()
    }

    #[test]
    fn an_inverse_needs_to_know_what_was() {
        let sysctl = Sysctl::known("net.ipv4.ip_forward");
        let blind = Step::sysctl(&NetnsName::host(), sysctl.clone(), "1", None);
        assert_eq!(blind.inverse(), None);
        let step = Step::sysctl(&NetnsName::host(), sysctl, "1", Some("0"));
        assert_eq!(step.inverse().unwrap().to_string(), "sysctl -w net.ipv4.ip_forward=0");
        assert_eq!(step.inverse().unwrap().inverse().unwrap(), step);
    }

    #[test]
    fn a_moved_link_is_fetched_back_from_where_it_went() {
        let to: NetnsName = "ns_1".parse().unwrap();
        let step =
            Step::host(Action::SetLink { name: name("veth2"), setting: LinkSetting::Netns(to.clone()), before: None });
        let back = step.inverse().unwrap();
        assert_eq!(back.netns, to);
        assert_eq!(back.inverse().unwrap(), step);
    }

    #[test]
    fn scopes_follow_iproute2() {
        let on_link = NewRoute::on_link("10.0.0.0/24".parse().unwrap(), name("a"));
        assert_eq!(on_link.effective_scope(), Scope::Link);
        let through = NewRoute::through("0.0.0.0/0".parse().unwrap(), "10.0.0.1".parse().unwrap(), name("a"));
        assert_eq!(through.effective_scope(), Scope::Global);
        assert_eq!(NewRoute::on_link("fd00::/64".parse().unwrap(), name("a")).effective_scope(), Scope::Global);
    }
}
