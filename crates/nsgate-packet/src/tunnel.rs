//! Packets within packets: what a tunnel carries, read from the packet that carries it.
//!
//! VXLAN and Geneve are known by their usual ports. What is encrypted (WireGuard, ESP) shows nothing of what it carries.

use std::fmt;

use crate::ethernet::ethertype;
use crate::field::{byte, long, short};
use crate::{Body, Ip, Packet, Transport};

/// The ports that VXLAN is known by: that of its standard, and that of older Linux.
pub const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// The port of Geneve.
pub const GENEVE_PORT: u16 = 6081;

/// The protocol numbers of tunnels.
mod protocol {
    pub(super) const IPIP: u8 = 4;
    pub(super) const IPV6: u8 = 41;
    pub(super) const GRE: u8 = 47;
}

/// The ethertype by which GRE and Geneve carry whole frames.
const BRIDGED: u16 = 0x6558;
/// The bit of VXLAN's header that says that there is a network number.
const HAS_NUMBER: u8 = 0x08;

/// What a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// What kind of tunnel it is.
    pub kind: TunnelKind,
    /// The number of the network within it, or the key of GRE.
    pub number: Option<u32>,
    /// The packet that it carries.
    pub inner: Packet<'a>,
}

/// The kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelKind {
    /// Frames in UDP.
    Vxlan,
    /// Frames or packets in UDP, with options.
    Geneve,
    /// Frames or packets in a protocol of their own.
    Gre,
    /// An IPv4 packet in an IP packet.
    Ipip,
    /// An IPv6 packet in an IP packet.
    Sit,
}

impl<'a> Ip<'a> {
    /// What the packet carries, if it is a tunnel's. Of a fragment nothing is read.
    pub fn tunnel(&self) -> Option<Tunnel<'a>> {
        if self.fragment.is_some() {
            return None;
        }
        let plain = |kind, of| Some(Tunnel { kind, number: None, inner: within(of, self.payload)? });
        match (self.protocol, self.transport()) {
            (protocol::IPIP, _) => plain(TunnelKind::Ipip, ethertype::IPV4),
            (protocol::IPV6, _) => plain(TunnelKind::Sit, ethertype::IPV6),
            (protocol::GRE, _) => gre(self.payload),
            (_, Transport::Udp(udp)) if VXLAN_PORTS.contains(&udp.destination_port) => vxlan(udp.payload),
            (_, Transport::Udp(udp)) if udp.destination_port == GENEVE_PORT => geneve(udp.payload),
            _ => None,
        }
    }
}

/// RFC 7348: flags, and behind them the network's number in three bytes.
fn vxlan(bytes: &[u8]) -> Option<Tunnel<'_>> {
    let number = (byte(bytes, 0)? & HAS_NUMBER != 0).then(|| long(bytes, 4)).flatten()? >> 8;
    Some(Tunnel { kind: TunnelKind::Vxlan, number: Some(number), inner: within(BRIDGED, bytes.get(8..)?)? })
}

/// RFC 8926: version and length of the options in words, what it carries, the network's number.
fn geneve(bytes: &[u8]) -> Option<Tunnel<'_>> {
    let first = byte(bytes, 0)?;
    if first >> 6 != 0 {
        return None;
    }
    let inner = within(short(bytes, 2)?, bytes.get(8 + usize::from(first & 0x3f) * 4..)?)?;
    Some(Tunnel { kind: TunnelKind::Geneve, number: Some(long(bytes, 4)? >> 8), inner })
}

/// RFC 2784 and 2890: what is there, what it carries, then checksum, key and sequence number, as far as they are.
fn gre(bytes: &[u8]) -> Option<Tunnel<'_>> {
    const CHECKSUM: u16 = 0x8000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const VERSION: u16 = 0x0007;
    let flags = short(bytes, 0)?;
    if flags & VERSION != 0 {
        return None;
    }
    let there = |flag| usize::from(flags & flag != 0) * 4;
    let key = 4 + there(CHECKSUM);
    let number = (flags & KEY != 0).then(|| long(bytes, key)).flatten();
    let inner = within(short(bytes, 2)?, bytes.get(key + there(KEY) + there(SEQUENCE)..)?)?;
    Some(Tunnel { kind: TunnelKind::Gre, number, inner })
}

/// The packet of this ethertype; none of one that cannot be read.
fn within(of: u16, bytes: &[u8]) -> Option<Packet<'_>> {
    let inner = match of {
        BRIDGED => Packet::ethernet(bytes),
        ethertype::IPV4 | ethertype::IPV6 => Packet { ether: None, body: Body::parse(of, bytes) },
        _ => return None,
    };
    (inner.body != Body::Malformed).then_some(inner)
}

impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TunnelKind::Vxlan => "VXLAN",
            TunnelKind::Geneve => "Geneve",
            TunnelKind::Gre => "GRE",
            TunnelKind::Ipip => "IPIP",
            TunnelKind::Sit => "SIT",
        })
    }
}

impl fmt::Display for Tunnel<'_> {
    /// The kind, and the number where there is one: `VXLAN 42`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "{} {number}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Echo, Ethernet, Icmp, Mac, Udp, build};

    fn echo(payload: &[u8]) -> Vec<u8> {
        let outer = build::Outer::new([10, 1, 0, 1].into(), [10, 1, 0, 2].into());
        build::ip(&outer, &Transport::Icmp(Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload }))).unwrap()
    }

    fn framed(packet: &[u8]) -> Vec<u8> {
        let (destination, source) = (Mac([2, 0, 0, 0, 0, 2]), Mac([2, 0, 0, 0, 0, 1]));
        let ether = Ethernet { destination, source, vlans: [None, None], ethertype: ethertype::IPV4 };
        build::ethernet(&ether, packet)
    }

    /// A packet of that protocol.
    fn of_protocol(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, (20 + payload.len()) as u8, 0, 0, 0x40, 0, 64, number, 0, 0];
        packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(payload);
        packet
    }

    fn in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let outer = build::Outer::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        build::ip(&outer, &Transport::Udp(Udp { source_port: 5000, destination_port: port, payload })).unwrap()
    }

    #[test]
    fn what_each_kind_carries_is_read() {
        let (plain, frame) = (echo(b"nsgate-1"), framed(&echo(b"nsgate-1")));
        let with = |header: &[u8], rest: &[u8]| [header, rest].concat();
        let options = with(&[0x02, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 1, 1, 1, 2, 2, 2, 2], &frame);
        let cases = [
            (in_udp(4789, &with(&[8, 0, 0, 0, 0, 0, 42, 0], &frame)), "VXLAN 42"),
            (in_udp(8472, &with(&[8, 0, 0, 0, 0, 1, 0, 0], &frame)), "VXLAN 256"),
            (in_udp(6081, &options), "Geneve 9"),
            (in_udp(6081, &with(&[0, 0, 8, 0, 0, 0, 9, 0], &plain)), "Geneve 9"),
            (of_protocol(47, &with(&[0, 0, 8, 0], &plain)), "GRE"),
            (of_protocol(47, &with(&[0xb0, 0, 0x65, 0x58, 1, 1, 1, 1, 0, 0, 0, 5, 3, 3, 3, 3], &frame)), "GRE 5"),
            (of_protocol(4, &plain), "IPIP"),
        ];
        for (packet, told) in cases {
            let tunnel = Ip::parse(&packet).unwrap().tunnel().unwrap_or_else(|| panic!("{told}"));
            assert_eq!(tunnel.to_string(), told);
            assert_eq!(tunnel.inner.as_ip().unwrap().source.to_string(), "10.1.0.1", "{told}");
        }
    }

    #[test]
    fn what_is_no_tunnel_or_cut_is_none() {
        let frame = framed(&echo(b""));
        let vxlan = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat());
        assert!(Ip::parse(&vxlan).unwrap().tunnel().is_some());
        for end in 20..vxlan.len().min(20 + 8 + 8 + 14 + 20) {
            assert_eq!(Ip::parse(&vxlan[..end]).and_then(|ip| ip.tunnel()), None, "{end}");
        }
        for packet in [
            in_udp(4789, &[&[0, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()),
            in_udp(53, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat()),
            of_protocol(47, &[0, 1, 8, 0]),
            of_protocol(4, &[0x65; 40]),
        ] {
            assert_eq!(Ip::parse(&packet).unwrap().tunnel(), None);
        }
    }
}
