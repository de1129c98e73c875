//! Interfaces: made, changed, gone; and what goes with them.

use super::{Refusal, index, namespace, route};
use crate::model::{
    Bridge, BridgePort, Family, Link, LinkIndex, LinkKind, LinkName, LinkQueues, Namespace, NetnsName, OperState, Peer,
    ProgramPlace, Setting, World,
};
use crate::plan::link::{LinkSetting, NewKind, NewLink, VethPeer, XdpMode};

/// The MTU of an Ethernet-like device.
const ETHERNET: u32 = 1500;

/// `lo` as it is in a new namespace: down.
pub(super) fn loopback() -> Link {
    let mut link = plain(LinkIndex(1), LinkName::loopback(), LinkKind::Loopback);
    link.mtu = 65536;
    link.resolves_neighbours = false;
    link
}

pub(super) fn add(world: &mut World, at: &NetnsName, new: &NewLink) -> Result<(), Refusal> {
    let netns = namespace(world, at)?;
    if netns.link_named(new.name.as_str()).is_some() {
        return Err(Refusal::Exists(format!("interface {} in {at}", new.name)));
    }
    let parent = new.kind.parent().map(|parent| index(netns, parent)).transpose()?;
    let mut link = plain(next_index(netns), new.name.clone(), model_kind(&new.kind));
    link.mtu = new.mtu.unwrap_or(link.mtu);
    link.mac = new.mac;
    link.group = new.group;
    inherit(netns, &mut link);
    if let Some(parent) = parent {
        link.peer = Peer::Here(parent);
    }
    if let NewKind::Veth(peer) = &new.kind {
        return add_wire(world, at, link, peer);
    }
    namespace(world, at)?.links.push(link);
    Ok(())
}

fn add_wire(world: &mut World, at: &NetnsName, mut link: Link, end: &VethPeer) -> Result<(), Refusal> {
    let there = end.netns.clone().unwrap_or_else(|| at.clone());
    let far = namespace(world, &there)?;
    if far.link_named(end.name.as_str()).is_some() || (there == *at && end.name == link.name) {
        return Err(Refusal::Exists(format!("interface {} in {there}", end.name)));
    }
    let mut number = next_index(far);
    if there == *at {
        number = LinkIndex(number.0 + 1);
    }
    let mut peer = plain(number, end.name.clone(), LinkKind::Veth);
    peer.mtu = end.mtu.unwrap_or(peer.mtu);
    peer.mac = end.mac;
    peer.group = end.group;
    inherit(far, &mut peer);
    if there == *at {
        peer.peer = Peer::Here(link.index);
        link.peer = Peer::Here(peer.index);
    } else {
        peer.peer = Peer::There(at.clone(), link.index);
        link.peer = Peer::There(there.clone(), peer.index);
    }
    namespace(world, at)?.links.push(link);
    namespace(world, &there)?.links.push(peer);
    Ok(())
}

pub(super) fn delete(world: &mut World, at: &NetnsName, name: &LinkName) -> Result<(), Refusal> {
    let netns = namespace(world, at)?;
    let number = index(netns, name)?;
    let link = netns.link(number).map(|link| (link.kind.clone(), link.peer.clone()));
    let Some((kind, peer)) = link.filter(|(kind, _)| *kind != LinkKind::Loopback) else {
        return Err(Refusal::Invalid("the loopback interface cannot be removed".into()));
    };
    forget(netns, number);
    if kind == LinkKind::Veth {
        match peer {
            Peer::Here(other) => forget(namespace(world, at)?, other),
            Peer::There(there, other) => forget(namespace(world, &there)?, other),
            Peer::None | Peer::Hidden(_) => {}
        }
    }
    Ok(())
}

/// Removes all interfaces of a group; the other ends of wires that are in it too go along.
pub(super) fn delete_group(world: &mut World, at: &NetnsName, group: u32) -> Result<(), Refusal> {
    let next = |world: &World| {
        let netns = world.namespace(at)?;
        netns.links.iter().find(|link| link.group == group && link.kind != LinkKind::Loopback).map(|l| l.name.clone())
    };
    if next(world).is_none() {
        return Err(Refusal::Missing(format!("an interface of group {group} in {at}")));
    }
    while let Some(name) = next(world) {
        delete(world, at, &name)?;
    }
    Ok(())
}

/// Removes an interface with everything that hangs on it.
fn forget(netns: &mut Namespace, number: LinkIndex) {
    let stacked: Vec<_> = netns
        .links
        .iter()
        .filter(|link| link.kind != LinkKind::Veth && link.peer == Peer::Here(number))
        .map(|link| link.index)
        .collect();
    netns.links.retain(|link| link.index != number);
    netns.routes.retain(|route| !route.next_hops.iter().any(|hop| hop.link == Some(number)));
    netns.neighbours.retain(|neighbour| neighbour.link != number);
    netns.qdiscs.retain(|qdisc| qdisc.link != number);
    netns.traffic_classes.retain(|class| class.link != number);
    netns.traffic_filters.retain(|filter| filter.link != number);
    netns.programs.retain(|program| program.link != number);
    netns.forwarding.retain(|entry| entry.link != number && entry.bridge != Some(number));
    for link in netns.links.iter_mut().filter(|link| link.master == Some(number)) {
        (link.master, link.port) = (None, None);
    }
    for upper in stacked {
        forget(netns, upper);
    }
}

pub(super) fn set(world: &mut World, at: &NetnsName, name: &LinkName, setting: &LinkSetting) -> Result<(), Refusal> {
    let netns = namespace(world, at)?;
    let number = index(netns, name)?;
    let master = match setting {
        LinkSetting::Master(Some(master)) => Some(index(netns, master)?),
        _ => None,
    };
    let is_bridge = |link: &Link| matches!(link.kind, LinkKind::Bridge(_));
    let of_bridge = master.and_then(|master| netns.link(master)).is_some_and(is_bridge);
    if let LinkSetting::Name(new) = setting
        && netns.link_named(new.as_str()).is_some()
    {
        return Err(Refusal::Exists(format!("interface {new} in {at}")));
    }
    let Some(link) = netns.links.iter_mut().find(|link| link.index == number) else { return Ok(()) };
    match setting {
        LinkSetting::Up(up) => {
            link.up = *up;
            settle(world, at, number)?;
        }
        LinkSetting::Master(_) => {
            link.master = master;
            link.port = of_bridge.then(BridgePort::default);
        }
        LinkSetting::Mtu(mtu) => link.mtu = *mtu,
        LinkSetting::Mac(mac) => link.mac = Some(*mac),
        LinkSetting::Alias(alias) => link.alias.clone_from(alias),
        LinkSetting::Arp(yes) => link.resolves_neighbours = *yes,
        LinkSetting::Promiscuous(yes) => link.promiscuous = *yes,
        LinkSetting::Group(group) => link.group = *group,
        LinkSetting::Name(new) => link.name = new.clone(),
        LinkSetting::NoXdp(mode) => {
            let place = xdp_place(*mode);
            netns.programs.retain(|program| (program.link, program.place) != (number, place));
        }
        LinkSetting::SpanningTree(yes) => match &mut link.kind {
            LinkKind::Bridge(bridge) => bridge.spanning_tree = *yes,
            _ => return Err(Refusal::Invalid(format!("{name} is no bridge"))),
        },
        LinkSetting::VlanFiltering(yes) => match &mut link.kind {
            LinkKind::Bridge(bridge) => bridge.vlan_filtering = *yes,
            _ => return Err(Refusal::Invalid(format!("{name} is no bridge"))),
        },
        // Interfaces here give themselves no addresses anyway.
        LinkSetting::LinkLocalAddress(_) => {}
        LinkSetting::Isolated(_) | LinkSetting::Hairpin(_) | LinkSetting::Learning(_) | LinkSetting::State(_) => {
            let Some(port) = &mut link.port else { return Err(Refusal::Invalid(format!("{name} is no bridge port"))) };
            set_port(port, setting);
        }
        LinkSetting::Netns(_) => return Err(Refusal::NotModelled),
    }
    Ok(())
}

fn xdp_place(mode: XdpMode) -> ProgramPlace {
    match mode {
        XdpMode::Driver => ProgramPlace::XdpDriver,
        XdpMode::Generic => ProgramPlace::XdpGeneric,
        XdpMode::Hardware => ProgramPlace::XdpHardware,
    }
}

fn set_port(port: &mut BridgePort, setting: &LinkSetting) {
    match setting {
        LinkSetting::Isolated(yes) => port.isolated = *yes,
        LinkSetting::Hairpin(yes) => port.hairpin = *yes,
        LinkSetting::Learning(yes) => port.learning = *yes,
        LinkSetting::State(state) => port.state = *state,
        _ => {}
    }
}

/// After an interface went up or down: carrier at both ends, and the routes that come and go with it.
fn settle(world: &mut World, at: &NetnsName, number: LinkIndex) -> Result<(), Refusal> {
    let Some(netns) = world.namespace(at) else { return Ok(()) };
    let Some(link) = netns.link(number) else { return Ok(()) };
    let up = link.up;
    let far = world.peer(netns, link).map(|(there, end)| (there.name.clone(), end.index, end.up));
    let carrier = match (&link.kind, &far) {
        (LinkKind::Veth, Some((_, _, far_up))) => up && *far_up,
        _ => up,
    };
    if let (LinkKind::Veth, Some((there, end, _))) = (&link.kind.clone(), far) {
        set_carrier(namespace(world, &there)?, end, carrier);
    }
    let netns = namespace(world, at)?;
    set_carrier(netns, number, carrier);
    if up {
        route::connect(netns, number);
    } else {
        route::disconnect(netns, number);
    }
    Ok(())
}

fn set_carrier(netns: &mut Namespace, number: LinkIndex, carrier: bool) {
    for link in netns.links.iter_mut().filter(|link| link.index == number) {
        link.carrier = carrier;
        link.state = match (&link.kind, carrier) {
            (LinkKind::Loopback, true) => OperState::Unknown,
            (_, true) => OperState::Up,
            (_, false) if link.up => OperState::LowerLayerDown,
            (_, false) => OperState::Down,
        };
    }
}

/// Sets one of the per-interface settings.
pub(super) fn set_value(
    netns: &mut Namespace,
    number: LinkIndex,
    family: Family,
    setting: Setting,
    value: i32,
) -> Result<(), Refusal> {
    let place = setting.place(family).ok_or(Refusal::NotModelled)?;
    let Some(link) = netns.links.iter_mut().find(|link| link.index == number) else { return Ok(()) };
    let values = match family {
        Family::V4 => &mut link.settings4,
        Family::V6 => &mut link.settings6,
    };
    if values.len() <= place {
        values.resize(place + 1, 0);
    }
    values[place] = value;
    Ok(())
}

/// A new interface takes forwarding from its namespace (`default` follows `all`).
fn inherit(netns: &Namespace, link: &mut Link) {
    for family in Family::BOTH {
        let forwarding = netns.setting_of_all(family, Setting::Forwarding).unwrap_or(0);
        if let (Some(place), 1..) = (Setting::Forwarding.place(family), forwarding) {
            let values = if family == Family::V4 { &mut link.settings4 } else { &mut link.settings6 };
            values.resize(values.len().max(place + 1), 0);
            values[place] = 1;
        }
    }
}

fn next_index(netns: &Namespace) -> LinkIndex {
    LinkIndex(netns.links.iter().map(|link| link.index.0).max().unwrap_or(0) + 1)
}

fn plain(index: LinkIndex, name: LinkName, kind: LinkKind) -> Link {
    Link {
        index,
        name,
        kind,
        mac: None,
        mtu: ETHERNET,
        up: false,
        carrier: false,
        resolves_neighbours: true,
        promiscuous: false,
        state: OperState::Down,
        master: None,
        port: None,
        process: None,
        peer: Peer::None,
        vlans: Vec::new(),
        queues: LinkQueues::default(),
        group: 0,
        alias: None,
        addresses: Vec::new(),
        settings4: Vec::new(),
        settings6: Vec::new(),
    }
}

fn model_kind(kind: &NewKind) -> LinkKind {
    match kind {
        NewKind::Veth(_) => LinkKind::Veth,
        NewKind::Bridge { vlan_filtering, spanning_tree } => LinkKind::Bridge(Bridge {
            vlan_filtering: *vlan_filtering,
            spanning_tree: *spanning_tree,
            ..Bridge::default()
        }),
        NewKind::Macvlan { mode, .. } => LinkKind::Macvlan { mode: mode.name().into() },
        NewKind::Vlan { id, .. } => LinkKind::Vlan { id: *id },
        NewKind::Vxlan(vxlan) => {
            LinkKind::Vxlan { vni: vxlan.id, remote: vxlan.remote, local: vxlan.local, port: vxlan.port }
        }
        NewKind::Vrf { table } => LinkKind::Vrf { table: *table },
        NewKind::Dummy => LinkKind::Other("dummy".into()),
        NewKind::Ifb => LinkKind::Other("ifb".into()),
    }
}
