//! Bridges and wires: made where they are missing, mended where they differ.

use std::net::{IpAddr, Ipv6Addr};
use std::slice;

use ipnet::{IpNet, Ipv6Net};

use super::limits::port_flags;
use super::routes::{End, given};
use super::{Builder, Site, wire_mark};
use crate::model::{Address, Link, LinkKind, LinkName, Namespace, NetnsName};
use crate::plan::link::{LinkSetting, NewKind, NewLink, VethPeer};
use crate::plan::mark::{self, Mark};
use crate::plan::step::{Action, Change, NewAddress};
use crate::spec::{WantedMember, WantedNetwork, names};

/// The smallest MTU that carries IPv6.
const SMALLEST_MTU6: u32 = 1280;

impl<'a> Builder<'a> {
    /// The bridge of a network, with the gateway's addresses.
    pub(super) fn bridge(&mut self, site: Site<'a>, network: &WantedNetwork) {
        let (Some(name), netns) = (&network.bridge, &site.gateway.netns) else { return };
        let mark = Mark::network(&self.wanted.instance, &network.name);
        let there = self.standing(netns, name);
        if there.is_none() {
            let mac = Some(names::mac(&self.wanted.instance, &network.name, None));
            let bridge = NewLink { mac, mtu: Some(network.mtu), group: mark::GROUP, ..NewLink::bridge(name.clone()) };
            self.push(netns, Action::AddLink(bridge));
            self.no_link_local(network.mtu, netns, name);
        }
        self.mark(netns, there.map(|_| site.home), name, &mark);
        self.mtu(netns, there, name, network.mtu);
        // Down, an interface loses its IPv6 addresses: it comes up first, so that the way back meets them all.
        self.up(netns, there, name);
        let end = End {
            netns: netns.clone(),
            dev: name.clone(),
            addresses: with_link_local(name, &network.gateways, false),
            routes: given(&site.gateway.routes, name),
        };
        self.stray_routes(slice::from_ref(&end));
        self.addresses(netns, there, &end.addresses);
        self.missing_routes(slice::from_ref(&end));
    }

    /// The wire of a member: born whole, with both ends where they belong.
    pub(super) fn wire(&mut self, site: Site<'a>, network: &'a WantedNetwork, member: &'a WantedMember) {
        let netns = &site.gateway.netns;
        let mark = wire_mark(self.wanted, network, member);
        let near = self.standing(netns, &member.gateway_interface);
        let far = self.standing(&member.netns, &member.interface);
        if near.is_none() {
            let mac = |member| Some(names::mac(&self.wanted.instance, &network.name, member));
            let peer = VethPeer {
                mac: mac(Some(member.netns.as_str())),
                mtu: Some(network.mtu),
                group: mark::GROUP,
                ..VethPeer::new(member.interface.clone(), Some(member.netns.clone()))
            };
            let wire = NewLink {
                // Members know their gateway by one address, whether it is at the end of a wire or on a bridge.
                mac: mac(None),
                mtu: Some(network.mtu),
                group: mark::GROUP,
                ..NewLink::new(member.gateway_interface.clone(), NewKind::Veth(peer))
            };
            self.push(netns, Action::AddLink(wire));
            self.no_link_local(network.mtu, netns, &member.gateway_interface);
            self.no_link_local(network.mtu, &member.netns, &member.interface);
        }
        self.mark(netns, near.map(|_| site.home), &member.gateway_interface, &mark);
        let inside = far.and_then(|_| self.world.namespace(&member.netns));
        self.mark(&member.netns, inside, &member.interface, &mark);
        self.mtu(netns, near, &member.gateway_interface, network.mtu);
        self.mtu(&member.netns, far, &member.interface, network.mtu);
        self.master(netns, near, &member.gateway_interface, network.bridge.as_ref());
        self.up(netns, near, &member.gateway_interface);
        self.up(&member.netns, far, &member.interface);
    }

    /// The addresses at both ends of a member's wire.
    pub(super) fn member_addresses(&mut self, site: Site<'a>, network: &WantedNetwork, member: &WantedMember) {
        let netns = &site.gateway.netns;
        let near = self.standing(netns, &member.gateway_interface);
        self.addresses(netns, near, &gateway_addresses(network, member));
        let far = self.standing(&member.netns, &member.interface);
        self.addresses(&member.netns, far, &own_addresses(network, member));
    }

    /// Keeps a new interface from giving itself a link-local address: it would not be usable for a second or two, while
    /// it is looked for on the link. Those that IPv6 needs are given with the others.
    pub(super) fn no_link_local(&mut self, mtu: u32, netns: &NetnsName, name: &LinkName) {
        // Without IPv6 in the kernel, or below its smallest MTU, there is nothing to keep off.
        let mut links = self.world.namespaces.iter().flat_map(|netns| &netns.links);
        if links.any(|link| !link.settings6.is_empty()) && mtu >= SMALLEST_MTU6 {
            let (setting, before) = (LinkSetting::LinkLocalAddress(false), Some(LinkSetting::LinkLocalAddress(true)));
            self.push(netns, Action::SetLink { name: name.clone(), setting, before });
        }
    }

    /// Marks an interface as ours.
    pub(super) fn mark(&mut self, netns: &NetnsName, there: Option<&Namespace>, name: &LinkName, mark: &Mark) {
        let alias = Some(mark.to_string());
        let before = there.and_then(|there| there.link_named(name.as_str())).map(|link| link.alias.clone());
        if before.as_ref() != Some(&alias) {
            let before = Some(LinkSetting::Alias(before.flatten()));
            self.push(netns, Action::SetLink { name: name.clone(), setting: LinkSetting::Alias(alias), before });
        }
    }

    /// Brings an interface up.
    pub(super) fn up(&mut self, netns: &NetnsName, there: Option<&Link>, name: &LinkName) {
        if !there.is_some_and(|link| link.up) {
            let (setting, before) = (LinkSetting::Up(true), Some(LinkSetting::Up(false)));
            self.push(netns, Action::SetLink { name: name.clone(), setting, before });
        }
    }

    pub(super) fn mtu(&mut self, netns: &NetnsName, there: Option<&Link>, name: &LinkName, mtu: u32) {
        if let Some(link) = there.filter(|link| link.mtu != mtu) {
            let (setting, before) = (LinkSetting::Mtu(mtu), Some(LinkSetting::Mtu(link.mtu)));
            self.push(netns, Action::SetLink { name: name.clone(), setting, before });
        }
    }

    /// Makes an interface a port of this bridge, or of none.
    pub(super) fn master(
        &mut self,
        netns: &NetnsName,
        there: Option<&Link>,
        name: &LinkName,
        bridge: Option<&LinkName>,
    ) {
        let index = there.and_then(|link| link.master);
        let space = self.world.namespace(netns);
        let standing = |name: &LinkName| self.standing(netns, name).is_some();
        let before = index.and_then(|index| space?.link(index)).map(|link| link.name.clone()).filter(standing);
        if before.as_ref() != bridge || (there.is_none() && bridge.is_some()) {
            for (setting, on) in port_flags(there.filter(|_| before.is_some())) {
                self.push(netns, Action::SetLink { name: name.clone(), setting, before: Some(on) });
            }
            let (setting, before) = (LinkSetting::Master(bridge.cloned()), Some(LinkSetting::Master(before)));
            self.push(netns, Action::SetLink { name: name.clone(), setting, before });
        }
    }

    /// The addresses of one of our interfaces. Of those it has besides, only ours go.
    pub(super) fn addresses(&mut self, netns: &NetnsName, there: Option<&Link>, wanted: &[NewAddress]) {
        let has: &[Address] = there.map_or(&[], |link| &link.addresses);
        for (link, stray) in there.into_iter().flat_map(|link| strays(link, wanted).map(move |stray| (link, stray))) {
            self.push(netns, Action::Address(Change::Delete, existing_address(&link.name, stray)));
        }
        for new in wanted.iter().filter(|new| !has.iter().any(|address| as_wanted(address, new))) {
            self.push(netns, Action::Address(Change::Add, new.clone()));
        }
    }

    /// Whether a wire stands as it is wanted: both ends ours, plugged into each other, under their names.
    pub(super) fn intact(&self, home: &'a Namespace, network: &WantedNetwork, member: &WantedMember) -> bool {
        let mark = Some(wire_mark(self.wanted, network, member));
        let Some(near) = home.link_named(member.gateway_interface.as_str()) else { return false };
        let Some((there, far)) = self.world.peer(home, near) else { return false };
        near.kind == LinkKind::Veth
            && mark::of_link(near) == mark
            && there.name == member.netns
            && far.name == member.interface
    }
}

/// The addresses at the gateway's end of a member's wire: behind a bridge, the bridge has them.
pub(super) fn gateway_addresses(network: &WantedNetwork, member: &WantedMember) -> Vec<NewAddress> {
    if network.bridge.is_some() {
        return Vec::new();
    }
    let nets: Vec<IpNet> = network.gateways.iter().copied().filter(|net| reaches(member, *net)).collect();
    // A wire of its own reaches one member: which addresses are on it, routes say, not the prefix.
    with_link_local(&member.gateway_interface, &nets, true)
}

/// The addresses at a member's own end of its wire.
pub(super) fn own_addresses(network: &WantedNetwork, member: &WantedMember) -> Vec<NewAddress> {
    with_link_local(&member.interface, &member.addresses, network.bridge.is_none())
}

/// The addresses of ours that an interface shall not have, or not as it has them.
fn strays<'l>(link: &'l Link, wanted: &[NewAddress]) -> impl Iterator<Item = &'l Address> {
    link.addresses.iter().filter(move |a| a.protocol == mark::PROTOCOL && !wanted.iter().any(|new| as_wanted(a, new)))
}

/// Whether the kernel will clear an interface's IPv4 routes: it does so when the last IPv4 address goes.
pub(super) fn loses_ipv4(link: &Link, wanted: &[NewAddress]) -> bool {
    let all = link.addresses.iter().filter(|address| address.net.addr().is_ipv4()).count();
    all > 0 && strays(link, wanted).filter(|address| address.net.addr().is_ipv4()).count() == all
}

fn as_wanted(address: &Address, new: &NewAddress) -> bool {
    let same = address.flags.no_prefix_route == new.no_prefix_route && address.flags.deprecated == new.deprecated;
    address.net == new.net && same
}

/// An address of ours: nobody else has it, so it is not looked for. The link's own prefix is always reached by the link.
fn new_address(name: &LinkName, net: IpNet, no_prefix_route: bool) -> NewAddress {
    let no_prefix_route = no_prefix_route && !is_link_local(net);
    NewAddress { no_prefix_route, ..NewAddress::new(name.clone(), net).without_dad() }
}

/// An address of ours as it was made.
pub(super) fn existing_address(name: &LinkName, address: &Address) -> NewAddress {
    let (no_prefix_route, deprecated) = (address.flags.no_prefix_route, address.flags.deprecated);
    NewAddress { no_prefix_route, deprecated, ..NewAddress::new(name.clone(), address.net).without_dad() }
}

fn is_link_local(net: IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

/// The addresses, and a link-local one for those of IPv6: with the same last 64 bits as the first of them, so that it is
/// alone on the link as they are.
pub(super) fn with_link_local(name: &LinkName, addresses: &[IpNet], no_prefix_route: bool) -> Vec<NewAddress> {
    let mut all = addresses.to_vec();
    let first = addresses.iter().find_map(|net| match net {
        IpNet::V6(net) => Some(net),
        IpNet::V4(_) => None,
    });
    if let Some(net) = first {
        let bits = net.addr().to_bits();
        // In a range wider than 64 bits the bits before make a difference too.
        let last = if net.prefix_len() >= 64 { bits as u64 } else { (bits >> 64) as u64 ^ bits as u64 };
        let address = Ipv6Addr::from_bits((0xfe80 << 112) | u128::from(last));
        all.extend(Ipv6Net::new(address, 64).map(IpNet::V6));
    }
    all.into_iter().map(|net| new_address(name, net, no_prefix_route)).collect()
}

/// Whether a member has an address in the gateway's subnet.
fn reaches(member: &WantedMember, gateway: IpNet) -> bool {
    let inside = |address: IpAddr| gateway.contains(&address);
    member.addresses.iter().any(|net| inside(net.addr()))
}
