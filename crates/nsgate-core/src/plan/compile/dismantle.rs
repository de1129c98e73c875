//! What is ours and no longer wanted, taken apart so that every step can be taken back.

use std::collections::BTreeSet;

use super::wires::existing_address;
use super::{Builder, limits, routes};
use crate::model::{Family, Link, LinkKind, LinkName, Namespace, NetnsName, Setting, Sysctl};
use crate::plan::link::{LinkSetting, NewKind, NewLink, VethPeer};
use crate::plan::mark::{self, Mark};
use crate::plan::step::{Action, Change, Step};
use crate::plan::traffic_control::RootQueue;

impl<'a> Builder<'a> {
    /// Takes apart the wires and bridges of this instance that are not wanted, or not as they stand.
    pub(super) fn dismantle_strays(&mut self) {
        let keep = self.keep();
        let world = self.world;
        for netns in &world.namespaces {
            for link in &netns.links {
                let key = (netns.name.clone(), link.name.clone());
                if self.ours(link) && !keep.contains(&key) && !self.gone.contains(&key) {
                    self.dismantle(netns, link);
                }
            }
        }
    }

    /// The interfaces that stay.
    fn keep(&self) -> BTreeSet<(NetnsName, LinkName)> {
        let mut keep = BTreeSet::new();
        for gateway in &self.wanted.gateways {
            let Some(home) = self.world.namespace(&gateway.netns) else { continue };
            keep.extend(self.standing_uplinks(gateway));
            for network in &gateway.networks {
                if let Some(name) = &network.bridge {
                    let mark = Mark::network(&self.wanted.instance, &network.name);
                    let there = home.link_named(name.as_str());
                    if there.is_some_and(|link| mark::of_link(link).as_ref() == Some(&mark)) {
                        keep.insert((home.name.clone(), name.clone()));
                    }
                }
                for member in network.members.iter().filter(|member| self.intact(home, network, member)) {
                    keep.insert((home.name.clone(), member.gateway_interface.clone()));
                    keep.insert((member.netns.clone(), member.interface.clone()));
                }
            }
        }
        keep
    }

    /// Takes one interface apart, and with a wire its other end.
    fn dismantle(&mut self, netns: &'a Namespace, link: &'a Link) {
        let peer = self.world.peer(netns, link).filter(|_| link.kind == LinkKind::Veth);
        for port in netns.links.iter().filter(|port| port.master == Some(link.index)) {
            self.release(netns, link, port);
        }
        self.strip(netns, link);
        if let Some((there, end)) = peer {
            self.strip(there, end);
            self.gone.insert((there.name.clone(), end.name.clone()));
        }
        let was = as_new(netns, link, peer).map(Box::new);
        self.push(&netns.name, Action::DeleteLink { name: link.name.clone(), was });
        self.gone.insert((netns.name.clone(), link.name.clone()));
    }

    /// Takes a port from its bridge, which goes.
    fn release(&mut self, netns: &Namespace, bridge: &Link, port: &Link) {
        if !self.gone.contains(&(netns.name.clone(), port.name.clone())) {
            for (setting, on) in limits::port_flags(Some(port)) {
                self.push(&netns.name, Action::SetLink { name: port.name.clone(), setting, before: Some(on) });
            }
            let (setting, before) = (LinkSetting::Master(None), Some(LinkSetting::Master(Some(bridge.name.clone()))));
            self.push(&netns.name, Action::SetLink { name: port.name.clone(), setting, before });
        }
    }

    /// Takes away what an interface has, in the order that allows putting it back.
    fn strip(&mut self, netns: &Namespace, link: &Link) {
        let over = |route: &&crate::model::Route| {
            route.protocol == mark::PROTOCOL && route.next_hops.iter().any(|hop| hop.link == Some(link.index))
        };
        for (family, setting) in [(Family::V4, Setting::Forwarding), (Family::V6, Setting::ForceForwarding)] {
            let on = link.setting(family, setting) == Some(1) && netns.setting_of_all(family, setting) != Some(1);
            if let Some(word) = setting.name(family).filter(|_| on) {
                let sysctl = Sysctl::of_link(family, &link.name, word);
                self.result.plan.steps.push(Step::sysctl(&netns.name, sysctl, "0", Some("1")));
            }
        }
        // A default route leans on the route to its gateway: it goes first.
        let mut gone: Vec<_> = netns.routes.iter().filter(over).collect();
        gone.sort_by_key(|route| route.destination.prefix_len());
        for route in gone {
            self.push(&netns.name, Action::Route(Change::Delete, routes::as_new(netns, route)));
        }
        for address in link.addresses.iter().filter(|address| address.protocol == mark::PROTOCOL) {
            let gone = existing_address(&link.name, address);
            self.push(&netns.name, Action::Address(Change::Delete, gone));
        }
        if let Some(queue) = limits::standing_queue(netns, link) {
            let (dev, before) = (link.name.clone(), Some(queue));
            self.push(&netns.name, Action::SetQueue { dev, queue: RootQueue::Usual, before });
        }
        let gone = |link: &&Link| self.gone.contains(&(netns.name.clone(), link.name.clone()));
        let bridge = link.master.and_then(|index| netns.link(index)).filter(|bridge| !gone(bridge));
        let mut set = |setting, before| {
            let (name, before) = (link.name.clone(), Some(before));
            self.push(&netns.name, Action::SetLink { name, setting, before });
        };
        if link.up {
            set(LinkSetting::Up(false), LinkSetting::Up(true));
        }
        if let Some(master) = bridge {
            for (off, on) in limits::port_flags(Some(link)) {
                set(off, on);
            }
            set(LinkSetting::Master(None), LinkSetting::Master(Some(master.name.clone())));
        }
        if !link.settings6.is_empty() {
            set(LinkSetting::LinkLocalAddress(true), LinkSetting::LinkLocalAddress(false));
        }
        set(LinkSetting::Alias(None), LinkSetting::Alias(link.alias.clone()));
    }

    /// The namespaces that this instance made and nobody wants any longer.
    pub(super) fn delete_namespaces(&mut self) {
        let members = self.wanted.networks().flat_map(|network| &network.members);
        let gateways = self.wanted.gateways.iter().map(|gateway| &gateway.netns);
        let wanted: BTreeSet<&NetnsName> = members.map(|member| &member.netns).chain(gateways).collect();
        let world = self.world;
        for netns in world.namespaces.iter().filter(|netns| netns.name.is_plain()) {
            if self.made(netns) && !wanted.contains(&netns.name) {
                self.push(&NetnsName::host(), Action::DeleteNetns(netns.name.clone()));
            }
        }
    }
}

/// An interface that is there as one that could be made again.
fn as_new(netns: &Namespace, link: &Link, peer: Option<(&Namespace, &Link)>) -> Option<NewLink> {
    let kind = match (&link.kind, peer) {
        (LinkKind::Bridge(bridge), _) => {
            NewKind::Bridge { vlan_filtering: bridge.vlan_filtering, spanning_tree: bridge.spanning_tree }
        }
        (LinkKind::Veth, Some((there, end))) => NewKind::Veth(VethPeer {
            name: end.name.clone(),
            netns: (there.name != netns.name).then(|| there.name.clone()),
            mtu: Some(end.mtu),
            mac: end.mac,
            group: end.group,
            queues: None,
        }),
        _ => return None,
    };
    Some(NewLink { name: link.name.clone(), kind, mtu: Some(link.mtu), mac: link.mac, group: link.group, queues: None })
}
