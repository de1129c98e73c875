//! Bridges and their ports: states and flags, which come with the interfaces, and their VLANs, which are asked for apart.

use nsgate_core::model::{Bridge, BridgePort, LinkIndex, PortState, PortVlan};

use super::numbers::{self as n, link_header};
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// `IFLA_BRIDGE_VLAN_INFO`, within IFLA_AF_SPEC of a bridge's answer.
const VLAN_INFO: u16 = 2;
/// `BRIDGE_VLAN_INFO_*`: flags of a VLAN.
const VLAN_PVID: u16 = 1 << 1;
const VLAN_UNTAGGED: u16 = 1 << 2;
const VLAN_RANGE_BEGIN: u16 = 1 << 3;
const VLAN_RANGE_END: u16 = 1 << 4;
/// The most pieces that one port's VLANs are told in: there are 4094.
const MOST_VLANS: usize = 4096;

/// The VLANs of every bridge port of the socket's namespace (and of the bridges themselves).
pub fn port_vlans(socket: &mut Socket) -> Result<Listing<(LinkIndex, Vec<PortVlan>)>, Error> {
    let mut batch = Batch::new();
    let mut header = link_header(0, 0, 0);
    header[0] = libc::AF_BRIDGE as u8;
    batch.begin(libc::RTM_GETLINK, 0, &header);
    batch.u32(libc::IFLA_EXT_MASK, libc::RTEXT_FILTER_BRVLAN_COMPRESSED as u32);
    socket.list(&mut batch, "VLANs of bridge ports", read_vlans)
}

/// Reads IFLA_INFO_DATA of a bridge.
pub(super) fn read(data: &Attributes<'_>) -> Bridge {
    let usual = Bridge::default();
    let flag = |kind, otherwise| data.find(kind).and_then(|a| a.u8()).map_or(otherwise, |value| value != 0);
    Bridge {
        vlan_filtering: flag(n::BRIDGE_VLAN_FILTERING, usual.vlan_filtering),
        spanning_tree: data.find(n::BRIDGE_STP_STATE).and_then(|a| a.u32()).is_some_and(|state| state != 0),
        multicast_snooping: flag(n::BRIDGE_MULTICAST_SNOOPING, usual.multicast_snooping),
        filters_ipv4: flag(n::BRIDGE_FILTERS_IPV4, usual.filters_ipv4),
        filters_ipv6: flag(n::BRIDGE_FILTERS_IPV6, usual.filters_ipv6),
        filters_arp: flag(n::BRIDGE_FILTERS_ARP, usual.filters_arp),
    }
}

/// Reads IFLA_INFO_SLAVE_DATA of a bridge port.
pub(super) fn read_port(data: &Attributes<'_>) -> BridgePort {
    let flag = |kind, otherwise| data.find(kind).and_then(|a| a.u8()).map_or(otherwise, |value| value != 0);
    let state = data.find(n::PORT_STATE).and_then(|a| a.u8());
    let state = PortState::ALL.into_iter().find(|s| Some(s.number()) == state);
    let usual = BridgePort::default();
    BridgePort {
        state: state.unwrap_or(usual.state),
        isolated: flag(n::PORT_ISOLATED, usual.isolated),
        hairpin: flag(n::PORT_HAIRPIN, usual.hairpin),
        learning: flag(n::PORT_LEARNING, usual.learning),
        unicast_flood: flag(n::PORT_UNICAST_FLOOD, usual.unicast_flood),
        multicast_flood: flag(n::PORT_MULTICAST_FLOOD, usual.multicast_flood),
        broadcast_flood: flag(n::PORT_BROADCAST_FLOOD, usual.broadcast_flood),
        neighbour_suppress: flag(n::PORT_NEIGHBOUR_SUPPRESS, usual.neighbour_suppress),
        locked: flag(n::PORT_LOCKED, usual.locked),
        vlans: usual.vlans,
    }
}

/// Reads the VLANs of one port.
pub(super) fn read_vlans(message: &Message<'_>) -> Option<(LinkIndex, Vec<PortVlan>)> {
    let (header, attributes) = message.split::<16>()?;
    let index = LinkIndex(u32::from_ne_bytes(header[4..8].try_into().ok()?));
    let told = attributes.find(libc::IFLA_AF_SPEC).map(|a| a.nested()).unwrap_or_default();
    let mut vlans = Vec::new();
    let mut first = None;
    for piece in told.filter(|a| a.kind == VLAN_INFO).take(MOST_VLANS) {
        let [f0, f1, v0, v1] = piece.array()?;
        let (flags, number) = (u16::from_ne_bytes([f0, f1]), u16::from_ne_bytes([v0, v1]));
        if flags & VLAN_RANGE_BEGIN != 0 {
            first = Some(number);
            continue;
        }
        let begun = first.take().filter(|_| flags & VLAN_RANGE_END != 0);
        let (pvid, untagged) = (flags & VLAN_PVID != 0, flags & VLAN_UNTAGGED != 0);
        vlans.push(PortVlan { first: begun.unwrap_or(number), last: number, pvid, untagged });
    }
    Some((index, vlans))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Messages, hostile};

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read_vlans);
        hostile::try_on(|message| read(&Attributes::new(message.payload)));
        hostile::try_on(|message| read_port(&Attributes::new(message.payload)));
    }

    /// As the kernel writes them; not every kernel can tell VLANs apart, so the bytes are made here.
    #[test]
    fn vlans_are_told_one_by_one_and_as_ranges() {
        let vlan = |flags: u16, number: u16| [flags.to_ne_bytes(), number.to_ne_bytes()].concat();
        let mut batch = Batch::new();
        batch.begin(libc::RTM_NEWLINK, 0, &link_header(7, 0, 0));
        batch.nest(libc::IFLA_AF_SPEC, |b| {
            b.bytes(VLAN_INFO, &vlan(VLAN_PVID | VLAN_UNTAGGED, 1));
            b.bytes(VLAN_INFO, &vlan(VLAN_RANGE_BEGIN, 10));
            b.bytes(VLAN_INFO, &vlan(VLAN_RANGE_END, 19));
            b.bytes(VLAN_INFO, &vlan(0, 30));
        });
        let bytes = batch.part(0, 1).to_vec();
        let (index, vlans) = read_vlans(&Messages::new(&bytes).next().unwrap()).unwrap();
        assert_eq!(index, LinkIndex(7));
        let port = BridgePort { vlans, ..BridgePort::default() };
        let within: Vec<u16> = (0..40).filter(|n| port.in_vlan(*n)).collect();
        assert_eq!(within, [1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 30]);
        assert_eq!((port.pvid(), port.vlans[0].untagged, port.vlans[1].untagged), (Some(1), true, false));
    }
}
