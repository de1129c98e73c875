//! Writing packets: the same values that parsing gives, back to bytes, with right lengths and checksums.
//!
//! `Ip::parse(build::ip(outer, transport)).transport() == transport`, for all that can be written.

use std::fmt;
use std::net::IpAddr;

use crate::arp::ETHERNET_AND_IPV4;
use crate::icmp::{self, icmp4, icmp6};
use crate::{
    Arp, Echo, Ethernet, Family, Icmp, IcmpError, Neighbour, Redirect, Tcp, Transport, Udp, checksum, protocol,
};

/// The IP header of a packet to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// The source address.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// The IPv4 identification.
    pub id: u16,
    /// The IPv4 flag that forbids fragmenting.
    pub dont_fragment: bool,
}

/// A packet that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// Source and destination, or header and message, are of different families.
    Families,
    /// The packet is longer than its header can say.
    TooLong,
    /// TCP options are no multiple of four bytes.
    Options,
    /// Only read here, never written.
    Unwritable,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BuildError::Families => "one packet cannot mix IPv4 and IPv6",
            BuildError::TooLong => "the packet is longer than its header can say",
            BuildError::Options => "TCP options must fill whole words, at most ten",
            BuildError::Unwritable => "packets of this kind are read, not written",
        })
    }
}

impl std::error::Error for BuildError {}

impl Outer {
    /// An ordinary header between two addresses.
    pub fn new(source: IpAddr, destination: IpAddr) -> Outer {
        Outer { source, destination, ttl: 64, tos: 0, id: 0, dont_fragment: false }
    }
}

/// An IP packet with that segment.
pub fn ip(outer: &Outer, transport: &Transport<'_>) -> Result<Vec<u8>, BuildError> {
    let family = Family::of(outer.source);
    if family != Family::of(outer.destination) {
        return Err(BuildError::Families);
    }
    let (number, checksum_at, segment) = match transport {
        Transport::Icmp(message) => {
            let number = if family == Family::V4 { protocol::ICMP } else { protocol::ICMPV6 };
            (number, 2, icmp_message(family, message)?)
        }
        Transport::Tcp(tcp) => (protocol::TCP, 16, tcp_segment(tcp)?),
        Transport::Udp(udp) => (protocol::UDP, 6, udp_datagram(udp)?),
        Transport::Other | Transport::Cut => return Err(BuildError::Unwritable),
    };
    let mut packet = header(outer, number, segment.len())?;
    let start = packet.len();
    packet.extend(segment);
    let sum = match number {
        protocol::ICMP => checksum::plain(&packet[start..]),
        _ => checksum::with_pseudo_header(outer.source, outer.destination, number, &packet[start..]),
    };
    // A UDP checksum of zero would say that there is none.
    let sum = if number == protocol::UDP && sum == 0 { 0xffff } else { sum };
    packet[start + checksum_at..start + checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(packet)
}

/// A frame with that header and content.
pub fn ethernet(header: &Ethernet, content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(22 + content.len());
    frame.extend(header.destination.0);
    frame.extend(header.source.0);
    for vlan in header.vlans.iter().flatten() {
        frame.extend(vlan.protocol.to_be_bytes());
        frame.extend(vlan.control.to_be_bytes());
    }
    frame.extend(header.ethertype.to_be_bytes());
    frame.extend(content);
    frame
}

/// An ARP packet, without a link-layer header.
pub fn arp(arp: &Arp) -> Vec<u8> {
    let mut packet = ETHERNET_AND_IPV4.to_vec();
    packet.extend(arp.operation.number().to_be_bytes());
    packet.extend(arp.sender_mac.0);
    packet.extend(arp.sender.octets());
    packet.extend(arp.target_mac.0);
    packet.extend(arp.target.octets());
    packet
}

/// An ICMP message of its own, as a raw ICMP socket takes it: the checksum of ICMPv6 is left to the kernel.
pub fn icmp(family: Family, message: &Icmp<'_>) -> Result<Vec<u8>, BuildError> {
    let mut bytes = icmp_message(family, message)?;
    if family == Family::V4 {
        let sum = checksum::plain(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(bytes)
}

/// The IP header in front of a segment of that many bytes.
fn header(outer: &Outer, number: u8, segment: usize) -> Result<Vec<u8>, BuildError> {
    let mut packet = Vec::with_capacity(40 + segment);
    match (outer.source, outer.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(20 + segment).map_err(|_| BuildError::TooLong)?;
            packet.extend([0x45, outer.tos]);
            packet.extend(length.to_be_bytes());
            packet.extend(outer.id.to_be_bytes());
            packet.extend([if outer.dont_fragment { 0x40 } else { 0 }, 0, outer.ttl, number, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let sum = checksum::plain(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(segment).map_err(|_| BuildError::TooLong)?;
            packet.extend([0x60 | outer.tos >> 4, outer.tos << 4, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([number, outer.ttl]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        _ => return Err(BuildError::Families),
    }
    Ok(packet)
}

/// The message with a checksum of zero.
fn icmp_message(family: Family, message: &Icmp<'_>) -> Result<Vec<u8>, BuildError> {
    let start = |icmp_type: u8, code: u8| vec![icmp_type, code, 0, 0];
    Ok(match message {
        Icmp::Echo(Echo { reply, id, sequence, payload }) => {
            let icmp_type = match (family, reply) {
                (Family::V4, false) => icmp4::ECHO_REQUEST,
                (Family::V4, true) => icmp4::ECHO_REPLY,
                (Family::V6, false) => icmp6::ECHO_REQUEST,
                (Family::V6, true) => icmp6::ECHO_REPLY,
            };
            [&start(icmp_type, 0)[..], &id.to_be_bytes(), &sequence.to_be_bytes(), payload].concat()
        }
        Icmp::Error(error) if error.family != family || !icmp::is_error(family, error.icmp_type) => {
            return Err(BuildError::Families);
        }
        Icmp::Error(IcmpError { icmp_type, code, mtu, quoted, .. }) => {
            let mtu = mtu.unwrap_or(0).to_be_bytes();
            [&start(*icmp_type, *code)[..], &mtu, quoted].concat()
        }
        Icmp::Redirect(Redirect { gateway: IpAddr::V4(gateway), quoted }) if family == Family::V4 => {
            [&start(icmp4::REDIRECT, 1)[..], &gateway.octets(), quoted].concat()
        }
        Icmp::Neighbour(_) | Icmp::Router { .. } if family == Family::V4 => return Err(BuildError::Families),
        Icmp::Neighbour(Neighbour { advertisement, target, link_address }) => {
            let (icmp_type, option) = match advertisement {
                false => (icmp6::NEIGHBOUR_SOLICITATION, 1),
                true => (icmp6::NEIGHBOUR_ADVERTISEMENT, 2),
            };
            let mut bytes = [&start(icmp_type, 0)[..], &[0; 4], &target.octets()].concat();
            if let Some(mac) = link_address {
                bytes.extend([option, 1]);
                bytes.extend(mac.0);
            }
            bytes
        }
        Icmp::Router { advertisement: false } => [&start(icmp6::ROUTER_SOLICITATION, 0)[..], &[0; 4]].concat(),
        Icmp::Redirect(_) | Icmp::Router { .. } | Icmp::Other { .. } => return Err(BuildError::Unwritable),
    })
}

/// The segment with a checksum of zero.
fn tcp_segment(tcp: &Tcp<'_>) -> Result<Vec<u8>, BuildError> {
    let header = Tcp::HEADER + tcp.options.len();
    if !header.is_multiple_of(4) || header > 60 {
        return Err(BuildError::Options);
    }
    let mut segment = Vec::with_capacity(header + tcp.payload.len());
    segment.extend(tcp.source_port.to_be_bytes());
    segment.extend(tcp.destination_port.to_be_bytes());
    segment.extend(tcp.sequence.to_be_bytes());
    segment.extend(tcp.acknowledgement.to_be_bytes());
    segment.extend([(header as u8 / 4) << 4, tcp.flags.0]);
    segment.extend(tcp.window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(tcp.options);
    segment.extend(tcp.payload);
    Ok(segment)
}

/// The datagram with a checksum of zero.
fn udp_datagram(udp: &Udp<'_>) -> Result<Vec<u8>, BuildError> {
    let length = u16::try_from(Udp::HEADER + udp.payload.len()).map_err(|_| BuildError::TooLong)?;
    let mut datagram = Vec::with_capacity(usize::from(length));
    datagram.extend(udp.source_port.to_be_bytes());
    datagram.extend(udp.destination_port.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(udp.payload);
    Ok(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer() -> Outer {
        Outer::new("1.1.1.2".parse().unwrap(), "114.114.114.114".parse().unwrap())
    }

    #[test]
    fn an_echo_request_as_ping_sends_it() {
        let echo = Transport::Icmp(Icmp::Echo(Echo { reply: false, id: 0x1234, sequence: 1, payload: b"abc" }));
        let bytes = ip(&Outer { id: 1, dont_fragment: true, ..outer() }, &echo).unwrap();
        let expected = [
            0x45, 0, 0, 31, 0, 1, 0x40, 0, 64, 1, 0x53, 0xf6, 1, 1, 1, 2, 114, 114, 114, 114, // IPv4
            8, 0, 0x21, 0x68, 0x12, 0x34, 0, 1, b'a', b'b', b'c',
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let udp = Udp { source_port: 1, destination_port: 2, payload: &vec![0; 65_508] };
        assert_eq!(ip(&outer(), &Transport::Udp(udp)), Err(BuildError::TooLong));
        let mixed = Outer { destination: "::1".parse().unwrap(), ..outer() };
        let short = Udp { payload: b"", ..udp };
        assert_eq!(ip(&mixed, &Transport::Udp(short)), Err(BuildError::Families));
        assert_eq!(ip(&outer(), &Transport::Cut), Err(BuildError::Unwritable));
        let router = Transport::Icmp(Icmp::Router { advertisement: false });
        assert_eq!(ip(&outer(), &router), Err(BuildError::Families));
    }

    #[test]
    fn a_udp_checksum_is_never_written_as_none() {
        // Some source port makes the sum come out as zero.
        let zero = (0..=u16::MAX).find_map(|source_port| {
            let udp = Udp { source_port, destination_port: 53, payload: b"" };
            let bytes = ip(&outer(), &Transport::Udp(udp)).unwrap();
            (bytes[26..28] == [0xff, 0xff]).then_some(bytes)
        });
        let zero = zero.expect("one of all ports");
        assert_eq!(crate::Ip::parse(&zero).unwrap().transport_checksum_right(), Some(true));
    }
}
