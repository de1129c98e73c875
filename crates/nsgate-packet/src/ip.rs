//! IPv4 and IPv6 as one: what a hop looks at, and the segment inside.
//!
//! IPv6 extension headers are walked here, so `protocol` is always that of the segment. What a link padded behind the
//! packet is left out; what a capture or an ICMP error cut off makes the packet `truncated`.

use std::net::IpAddr;

use crate::field::{byte, bytes, long, short};
use crate::{Family, Icmp, Tcp, Udp, checksum};

/// The protocol numbers that are told apart here.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip<'a> {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The protocol of the segment, behind any IPv6 extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The identification; IPv6 has one only in fragments.
    pub id: Option<u32>,
    /// Whether routers may not fragment it; always so in IPv6.
    pub dont_fragment: bool,
    /// Which fragment it is, if it is one.
    pub fragment: Option<Fragment>,
    /// Bytes of the whole packet, as its header says.
    pub length: usize,
    /// Everything in front of the payload, IPv6 extension headers included.
    pub header: &'a [u8],
    /// The segment, as far as it is there.
    pub payload: &'a [u8],
    /// Whether bytes of the packet are missing.
    pub truncated: bool,
    /// The destination in the header is not the last one, so checksums cannot be verified.
    source_routed: bool,
}

/// The place of a fragment in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Bytes of the segment in front of this fragment.
    pub offset: u16,
    /// Whether another fragment follows.
    pub more: bool,
}

/// The segment inside an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// ICMP or ICMPv6.
    Icmp(Icmp<'a>),
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP.
    Udp(Udp<'a>),
    /// A protocol that is not read here.
    Other,
    /// The start of the segment is not there, whole or in part: a later fragment, or a cut packet.
    Cut,
}

/// What tells a conversation from others, seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The protocol number.
    pub protocol: u8,
    /// Where the packet comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// The source port, or the identifier of an echo; 0 where there is none.
    pub source_port: u16,
    /// The destination port, or the identifier of an echo; 0 where there is none.
    pub destination_port: u16,
}

impl Flow {
    /// Whether its protocol is one of those that have ports and are widely translated: TCP or UDP.
    pub fn has_ports(&self) -> bool {
        matches!(self.protocol, crate::protocol::TCP | crate::protocol::UDP)
    }

    /// The flow of the answer.
    #[must_use]
    pub fn reversed(self) -> Flow {
        Flow {
            protocol: self.protocol,
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// IPv6 extension headers: hop-by-hop, routing, fragment, authentication, destination options, mobility.
mod extension {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const NONE: u8 = 59;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    /// More of them than this is nothing anybody sends.
    pub(super) const AT_MOST: usize = 8;
}

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

impl<'a> Ip<'a> {
    /// The packet at the start of `packet`; none if its header is cut or makes no sense.
    pub fn parse(packet: &'a [u8]) -> Option<Ip<'a>> {
        match packet.first()? >> 4 {
            4 => Self::v4(packet),
            6 => Self::v6(packet),
            _ => None,
        }
    }

    fn v4(packet: &'a [u8]) -> Option<Ip<'a>> {
        let header_length = usize::from(byte(packet, 0)? & 0x0f) * 4;
        let header = packet.get(..header_length).filter(|header| header.len() >= V4_HEADER)?;
        let length = match short(packet, 2)? {
            0 => packet.len(), // too long for the field, as segmentation offload leaves it
            length => usize::from(length),
        };
        if length < header_length {
            return None;
        }
        let flags = short(packet, 6)?;
        let fragment = Fragment { offset: (flags & 0x1fff) << 3, more: flags & 0x2000 != 0 };
        Some(Ip {
            source: bytes::<4>(packet, 12)?.into(),
            destination: bytes::<4>(packet, 16)?.into(),
            protocol: byte(packet, 9)?,
            ttl: byte(packet, 8)?,
            tos: byte(packet, 1)?,
            id: Some(u32::from(short(packet, 4)?)),
            dont_fragment: flags & 0x4000 != 0,
            fragment: (fragment.offset != 0 || fragment.more).then_some(fragment),
            length,
            header,
            payload: packet.get(header_length..length.min(packet.len()))?,
            truncated: length > packet.len(),
            source_routed: has_source_route(&header[V4_HEADER..]),
        })
    }

    fn v6(packet: &'a [u8]) -> Option<Ip<'a>> {
        let next = byte(packet, 6)?;
        let length = match short(packet, 4)? {
            0 if next != extension::NONE => packet.len().max(V6_HEADER), // a jumbogram
            length => V6_HEADER + usize::from(length),
        };
        let present = packet.get(..length.min(packet.len()))?;
        let mut ip = Ip {
            source: bytes::<16>(packet, 8)?.into(),
            destination: bytes::<16>(packet, 24)?.into(),
            protocol: next,
            ttl: byte(packet, 7)?,
            tos: (short(packet, 0)? >> 4) as u8,
            id: None,
            dont_fragment: true,
            fragment: None,
            length,
            header: present.get(..V6_HEADER)?,
            payload: present.get(V6_HEADER..)?,
            truncated: length > packet.len(),
            source_routed: false,
        };
        for _ in 0..extension::AT_MOST {
            if !ip.step_over_extension(present) {
                break;
            }
        }
        Some(ip)
    }

    /// Moves the next extension header from the payload to the header; false if none is left.
    fn step_over_extension(&mut self, present: &'a [u8]) -> bool {
        let length = match self.protocol {
            _ if self.fragment.is_some_and(|fragment| fragment.offset != 0) => None,
            extension::HOP_BY_HOP | extension::ROUTING | extension::DESTINATION | extension::MOBILITY => {
                byte(self.payload, 1).map(|units| (usize::from(units) + 1) * 8)
            }
            extension::FRAGMENT => Some(8),
            extension::AUTHENTICATION => byte(self.payload, 1).map(|units| (usize::from(units) + 2) * 4),
            _ => None,
        };
        let Some((header, rest)) = length.and_then(|length| self.payload.split_at_checked(length)) else {
            return false;
        };
        if self.protocol == extension::FRAGMENT {
            let place = short(header, 2).unwrap_or(0);
            self.fragment = Some(Fragment { offset: place & 0xfff8, more: place & 1 != 0 });
            self.id = long(header, 4);
        }
        // Segments left.
        self.source_routed |= self.protocol == extension::ROUTING && byte(header, 3) != Some(0);
        self.protocol = header[0];
        self.payload = rest;
        self.header = &present[..present.len() - rest.len()];
        true
    }

    /// The family.
    pub fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// The segment.
    pub fn transport(&self) -> Transport<'a> {
        if self.is_later_fragment() {
            return Transport::Cut;
        }
        let parsed = match (self.protocol, self.family()) {
            (protocol::TCP, _) => Tcp::parse(self.payload).map(Transport::Tcp),
            (protocol::UDP, _) => Udp::parse(self.payload).map(Transport::Udp),
            (protocol::ICMP, Family::V4) | (protocol::ICMPV6, Family::V6) => {
                Icmp::parse(self.family(), self.payload).map(Transport::Icmp)
            }
            _ => Some(Transport::Other),
        };
        parsed.unwrap_or(Transport::Cut)
    }

    /// How many bytes of the packet are not there, because its end was cut off.
    pub fn missing(&self) -> usize {
        self.length.saturating_sub(self.header.len() + self.payload.len())
    }

    /// The flow; ports are read also where no more than the first bytes of the segment are there.
    pub fn flow(&self) -> Flow {
        let ports = match (self.protocol, self.transport()) {
            (protocol::TCP | protocol::UDP, _) if !self.is_later_fragment() => {
                short(self.payload, 0).zip(short(self.payload, 2))
            }
            (_, Transport::Icmp(Icmp::Echo(echo))) => Some((echo.id, echo.id)),
            _ => None,
        };
        let (source_port, destination_port) = ports.unwrap_or_default();
        Flow {
            protocol: self.protocol,
            source: self.source,
            destination: self.destination,
            source_port,
            destination_port,
        }
    }

    /// The TCP sequence number, also where no more than the first eight bytes of the segment are there, which is all
    /// that an ICMP error must quote.
    pub fn tcp_sequence(&self) -> Option<u32> {
        let starts_tcp = self.protocol == protocol::TCP && !self.is_later_fragment();
        starts_tcp.then(|| long(self.payload, 4)).flatten()
    }

    /// Whether the checksum of the IPv4 header is right; none in IPv6, which has none.
    pub fn header_checksum_right(&self) -> Option<bool> {
        (self.family() == Family::V4).then(|| checksum::plain(self.header) == 0)
    }

    /// Whether the checksum of the segment is right; none where it has none or cannot be verified.
    ///
    /// A sender that leaves the checksum to its network card is seen with a wrong one.
    pub fn transport_checksum_right(&self) -> Option<bool> {
        if self.truncated || self.fragment.is_some() || self.source_routed {
            return None;
        }
        let with_pseudo_header =
            || checksum::with_pseudo_header(self.source, self.destination, self.protocol, self.payload) == 0;
        match (self.protocol, self.family()) {
            (protocol::ICMP, Family::V4) => Some(checksum::plain(self.payload) == 0),
            (protocol::UDP, Family::V4) if short(self.payload, 6)? == 0 => None,
            (protocol::TCP | protocol::UDP, _) | (protocol::ICMPV6, Family::V6) => Some(with_pseudo_header()),
            _ => None,
        }
    }

    fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|fragment| fragment.offset != 0)
    }
}

/// Whether IPv4 options hold a loose or strict source route.
fn has_source_route(mut options: &[u8]) -> bool {
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => return false,
            1 => 1,
            131 | 137 => return true,
            _ => byte(options, 1).map_or(0, usize::from),
        };
        match options.get(length..) {
            Some(rest) if length > 0 => options = rest,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1.1.1.2 > 114.114.114.114, UDP 5000 > 53, "hi", padded by the link.
    const V4: [u8; 36] = [
        0x45, 0x10, 0, 30, 0x12, 0x34, 0x40, 0, 63, 17, 0, 0, 1, 1, 1, 2, 114, 114, 114, 114, 0x13, 0x88, 0, 53, 0, 10,
        0, 0, b'h', b'i', 0, 0, 0, 0, 0, 0,
    ];

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x6a, 0xb0, 0, 0, 0, rest.len() as u8, next, 64];
        packet.extend("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend("fd00::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
        packet.extend(rest);
        packet
    }

    #[test]
    fn an_ipv4_packet() {
        let ip = Ip::parse(&V4).unwrap();
        assert_eq!((ip.source.to_string(), ip.destination.to_string()), ("1.1.1.2".into(), "114.114.114.114".into()));
        assert_eq!((ip.protocol, ip.ttl, ip.tos, ip.id), (17, 63, 0x10, Some(0x1234)));
        assert_eq!((ip.dont_fragment, ip.fragment, ip.length, ip.truncated), (true, None, 30, false));
        assert_eq!(ip.payload.len(), 10);
        let Transport::Udp(udp) = ip.transport() else { panic!() };
        assert_eq!(udp.payload, b"hi");
        assert_eq!(ip.flow().reversed().source_port, 53);
        assert_eq!(ip.transport_checksum_right(), None, "a zero UDP checksum is none");
        assert_eq!(ip.header_checksum_right(), Some(false));
    }

    #[test]
    fn a_cut_packet_keeps_its_ports() {
        let ip = Ip::parse(&V4[..26]).unwrap();
        assert!(ip.truncated);
        assert_eq!(ip.transport(), Transport::Cut);
        assert_eq!((ip.flow().source_port, ip.flow().destination_port), (5000, 53));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut fragment = V4;
        fragment[6] = 0x20;
        fragment[7] = 0x10;
        let ip = Ip::parse(&fragment).unwrap();
        assert_eq!(ip.fragment, Some(Fragment { offset: 128, more: true }));
        assert_eq!((ip.transport(), ip.flow().source_port), (Transport::Cut, 0));
        fragment[6] = 0x40;
        fragment[7] = 0x10;
        assert_eq!(Ip::parse(&fragment).unwrap().fragment, Some(Fragment { offset: 128, more: false }));
    }

    #[test]
    fn headers_that_make_no_sense_are_none() {
        for (offset, value) in [(0, 0x44), (0, 0x4f), (0, 0x55), (3, 19)] {
            let mut packet = V4;
            packet[offset] = value;
            assert_eq!(Ip::parse(&packet), None, "{offset} {value}");
        }
        for length in 0..20 {
            assert_eq!(Ip::parse(&V4[..length]), None, "{length}");
        }
        for length in 0..40 {
            assert_eq!(Ip::parse(&v6(17, &[0; 8])[..length]), None, "{length}");
        }
    }

    #[test]
    fn ipv6_extension_headers_are_stepped_over() {
        // Hop-by-hop, then a first fragment, then UDP.
        let packet =
            v6(0, &[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9, 0x13, 0x88, 0, 53, 0, 10, 0, 0, b'h', b'i']);
        let ip = Ip::parse(&packet).unwrap();
        assert_eq!((ip.protocol, ip.tos, ip.id), (17, 0xab, Some(9)));
        assert_eq!(ip.fragment, Some(Fragment { offset: 0, more: true }));
        assert_eq!((ip.header.len(), ip.payload.len()), (56, 10));
        assert!(matches!(ip.transport(), Transport::Udp(udp) if udp.payload == b"hi"));
    }

    #[test]
    fn a_cut_extension_header_stays_the_protocol() {
        let packet = v6(43, &[17, 9, 0, 0]);
        let ip = Ip::parse(&packet).unwrap();
        assert_eq!((ip.protocol, ip.payload.len()), (43, 4));
    }

    #[test]
    fn a_source_routed_packet_has_no_checksum_to_verify() {
        let mut rest = vec![17, 2, 0, 1, 0, 0, 0, 0];
        rest.extend([0; 16]);
        rest.extend([0x13, 0x88, 0, 53, 0, 8, 0x11, 0x11]);
        assert_eq!(Ip::parse(&v6(43, &rest)).unwrap().transport_checksum_right(), None);
        rest[3] = 0;
        assert_eq!(Ip::parse(&v6(43, &rest)).unwrap().transport_checksum_right(), Some(false));
    }

    #[test]
    fn a_quoted_tcp_segment_keeps_its_sequence_number() {
        let packet = v6(6, &[0, 1, 0, 2, 0, 0, 0, 77]);
        assert_eq!(Ip::parse(&packet).unwrap().tcp_sequence(), Some(77));
        assert_eq!(Ip::parse(&V4).unwrap().tcp_sequence(), None);
    }
}
