//! Interfaces as the kernel describes them.

use std::net::IpAddr;

use nsgate_core::model::{
    Link, LinkIndex, LinkKind, LinkName, LinkQueues, Mac, OperState, Peer, Program, ProgramPlace,
};

use super::bridge;
use super::numbers::{self as n, link_header};
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// An interface, with the one thing about it that only its own namespace can tell.
#[derive(Clone, Debug)]
pub struct FoundLink {
    /// The interface; without addresses, and its peer in another namespace still hidden.
    pub link: Link,
    /// The number by which its namespace knows the namespace of the peer.
    pub netnsid: Option<i32>,
    /// The XDP programs on it, without their names.
    pub programs: Vec<Program>,
}

/// All interfaces of the socket's namespace.
pub fn links(socket: &mut Socket) -> Result<Listing<FoundLink>, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETLINK, 0, &link_header(0, 0, 0));
    // Traffic counters are most of a link message and of no use here.
    batch.u32(libc::IFLA_EXT_MASK, libc::RTEXT_FILTER_SKIP_STATS as u32);
    socket.list(&mut batch, "interfaces", read)
}

/// The number of the interface of this name.
pub fn index_of(socket: &mut Socket, name: &LinkName) -> Result<LinkIndex, Error> {
    let mut batch = Batch::new();
    batch.begin(libc::RTM_GETLINK, 0, &link_header(0, 0, 0));
    batch.text(libc::IFLA_IFNAME, name.as_str());
    let answers = socket.send(&mut batch)?;
    if let Some((_, refusal)) = answers.refused() {
        return Err(refusal.clone().error("find interface", name.to_string()));
    }
    let found = answers.replies.first().and_then(|reply| read(&reply.message()));
    found
        .map(|found| found.link.index)
        .ok_or_else(|| Error::answer("find interface", name.to_string(), "the kernel's answer cannot be understood"))
}

/// Reads one link message.
pub(super) fn read(message: &Message<'_>) -> Option<FoundLink> {
    let (header, attributes) = message.split::<16>()?;
    let flags = u32::from_ne_bytes(header[8..12].try_into().ok()?) as i32;
    let index = LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?));
    let mut link = Link {
        index,
        name: attributes.find(libc::IFLA_IFNAME)?.text()?.parse().ok()?,
        kind: if flags & libc::IFF_LOOPBACK == 0 { LinkKind::Physical } else { LinkKind::Loopback },
        mac: None,
        mtu: 0,
        up: flags & libc::IFF_UP != 0,
        carrier: flags & libc::IFF_LOWER_UP != 0,
        resolves_neighbours: flags & libc::IFF_NOARP == 0,
        promiscuous: flags & libc::IFF_PROMISC != 0,
        state: OperState::Unknown,
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
    };
    let mut lower = None;
    let mut netnsid = None;
    let mut programs = Vec::new();
    for attribute in attributes {
        match attribute.kind {
            libc::IFLA_ADDRESS if !matches!(link.kind, LinkKind::Loopback) => {
                link.mac = attribute.array().map(Mac);
            }
            libc::IFLA_MTU => link.mtu = attribute.u32()?,
            libc::IFLA_OPERSTATE => link.state = operational_state(attribute.u8()?),
            libc::IFLA_MASTER => link.master = attribute.u32().filter(|i| *i != 0).map(LinkIndex),
            libc::IFLA_LINK => lower = attribute.u32().filter(|i| *i != 0).map(LinkIndex),
            libc::IFLA_LINK_NETNSID => netnsid = attribute.i32(),
            libc::IFLA_NUM_TX_QUEUES => link.queues.transmit = attribute.u32()?,
            libc::IFLA_NUM_RX_QUEUES => link.queues.receive = attribute.u32()?,
            libc::IFLA_TXQLEN => link.queues.length = attribute.u32()?,
            libc::IFLA_GROUP => link.group = attribute.u32()?,
            libc::IFLA_IFALIAS => link.alias = attribute.text().map(str::to_owned),
            libc::IFLA_LINKINFO => read_kind(&mut link, &attribute.nested()),
            libc::IFLA_XDP => programs = read_programs(index, &attribute.nested()),
            libc::IFLA_AF_SPEC => read_settings(&mut link, &attribute.nested()),
            _ => {}
        }
    }
    link.peer = match (lower, netnsid) {
        (None, _) => Peer::None,
        // Some tunnels name themselves.
        (Some(itself), None) if itself == index => Peer::None,
        (Some(index), None) => Peer::Here(index),
        (Some(index), Some(_)) => Peer::Hidden(index),
    };
    Some(FoundLink { link, netnsid: netnsid.filter(|_| lower.is_some()), programs })
}

/// Reads IFLA_XDP: a program for each way of running them.
fn read_programs(link: LinkIndex, told: &Attributes<'_>) -> Vec<Program> {
    let ways = [
        (n::XDP_DRIVER_PROGRAM, ProgramPlace::XdpDriver),
        (n::XDP_GENERIC_PROGRAM, ProgramPlace::XdpGeneric),
        (n::XDP_HARDWARE_PROGRAM, ProgramPlace::XdpHardware),
    ];
    let program = |(kind, place)| {
        let id = told.find(kind)?.u32().filter(|id| *id != 0)?;
        Some(Program { link, place, id, name: None })
    };
    ways.into_iter().filter_map(program).collect()
}

fn operational_state(number: u8) -> OperState {
    match number {
        1 => OperState::NotPresent,
        2 => OperState::Down,
        3 => OperState::LowerLayerDown,
        4 => OperState::Testing,
        5 => OperState::Dormant,
        6 => OperState::Up,
        _ => OperState::Unknown,
    }
}

/// Reads IFLA_LINKINFO: the kind, what only that kind has, and what the interface is as a bridge port.
fn read_kind(link: &mut Link, information: &Attributes<'_>) {
    let slave_kind = information.find(libc::IFLA_INFO_SLAVE_KIND).and_then(|a| a.text());
    if let (Some("bridge"), Some(data)) = (slave_kind, information.find(libc::IFLA_INFO_SLAVE_DATA)) {
        link.port = Some(bridge::read_port(&data.nested()));
    }
    let Some(kind) = information.find(libc::IFLA_INFO_KIND).and_then(|a| a.text()) else { return };
    let data = information.find(libc::IFLA_INFO_DATA).map(|a| a.nested()).unwrap_or_default();
    let number = |kind| data.find(kind).and_then(|a| a.u32());
    link.kind = match kind {
        "veth" => LinkKind::Veth,
        "bridge" => LinkKind::Bridge(bridge::read(&data)),
        "macvlan" => LinkKind::Macvlan { mode: macvlan_mode(number(n::MACVLAN_MODE)) },
        "vlan" => LinkKind::Vlan { id: data.find(n::VLAN_ID).and_then(|a| a.u16()).unwrap_or(0) },
        "vxlan" => vxlan(&data),
        "vrf" => LinkKind::Vrf { table: number(n::VRF_TABLE).unwrap_or(0) },
        "tun" => LinkKind::Tun,
        other => LinkKind::Other(other.to_owned()),
    };
}

fn macvlan_mode(number: Option<u32>) -> String {
    n::MACVLAN_MODES.iter().find(|(mode, _)| Some(*mode) == number).map_or("unknown", |(_, name)| name).to_owned()
}

fn vxlan(data: &Attributes<'_>) -> LinkKind {
    let address = |v4, v6| -> Option<IpAddr> {
        let found = data.find(v4).or_else(|| data.find(v6))?.address()?;
        (!found.is_unspecified()).then_some(found)
    };
    LinkKind::Vxlan {
        vni: data.find(n::VXLAN_ID).and_then(|a| a.u32()).unwrap_or(0),
        remote: address(n::VXLAN_GROUP, n::VXLAN_GROUP6),
        local: address(n::VXLAN_LOCAL, n::VXLAN_LOCAL6),
        port: data.find(n::VXLAN_PORT).and_then(|a| a.be16()).unwrap_or(0),
    }
}

/// Reads IFLA_AF_SPEC: the per-interface settings of both families.
fn read_settings(link: &mut Link, families: &Attributes<'_>) {
    let values = |family: i32, conf: u16| -> Vec<i32> {
        let array = families.find(family as u16).and_then(|f| f.nested().find(conf));
        array.map_or_else(Vec::new, |a| {
            a.value.chunks_exact(4).map(|v| i32::from_ne_bytes([v[0], v[1], v[2], v[3]])).collect()
        })
    };
    link.settings4 = values(libc::AF_INET, n::INET_CONF);
    link.settings6 = values(libc::AF_INET6, n::INET6_CONF);
}

#[cfg(test)]
mod tests {
    use crate::netlink::hostile;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(super::read);
    }
}
