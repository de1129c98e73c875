//! Reading undoes writing, and no bytes make a reader panic.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::net::{IpAddr, Ipv6Addr};

use nsgate_packet::build::{self, Outer};
use nsgate_packet::{
    Echo, Family, Icmp, IcmpError, Ip, Mac, Neighbour, Packet, Redirect, Tcp, TcpFlags, Transport, Udp, is_error,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn outer(family: Family) -> impl Strategy<Value = Outer> {
    let address = move || match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    };
    (address(), address(), any::<u8>(), any::<u8>(), any::<u16>(), any::<bool>()).prop_map(
        move |(source, destination, ttl, tos, id, dont_fragment)| Outer {
            source,
            destination,
            ttl,
            tos,
            id,
            dont_fragment: dont_fragment || family == Family::V6,
        },
    )
}

/// Writes, reads back and compares; every checksum must be right.
fn comes_back(outer: &Outer, transport: &Transport<'_>) {
    let bytes = build::ip(outer, transport).unwrap();
    let ip = Ip::parse(&bytes).unwrap();
    assert_eq!(ip.transport(), *transport);
    assert_eq!((ip.source, ip.destination, ip.ttl, ip.tos), (outer.source, outer.destination, outer.ttl, outer.tos));
    assert_eq!((ip.dont_fragment, ip.fragment, ip.truncated), (outer.dont_fragment, None, false));
    assert_eq!(ip.length, bytes.len());
    assert_eq!(ip.id, (ip.family() == Family::V4).then_some(u32::from(outer.id)));
    assert_eq!(ip.header_checksum_right(), (ip.family() == Family::V4).then_some(true));
    assert_eq!(ip.transport_checksum_right(), Some(true));
    assert_eq!(ip.flow().reversed().reversed(), ip.flow());
    // A padded frame gives the same packet, a cut one never a longer payload.
    let padded = [&bytes[..], &[0xee; 9]].concat();
    assert_eq!(Ip::parse(&padded), Some(ip));
    for length in 0..bytes.len() {
        if let Some(cut) = Ip::parse(&bytes[..length]) {
            assert!(cut.truncated && bytes.ends_with(ip.payload) && ip.payload.starts_with(cut.payload));
        }
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

proptest! {
    #[test]
    fn echoes_come_back(
        outer in family().prop_flat_map(outer),
        reply: bool, id: u16, sequence: u16, payload in vec(any::<u8>(), 0..100),
    ) {
        comes_back(&outer, &Transport::Icmp(Icmp::Echo(Echo { reply, id, sequence, payload: &payload })));
    }

    #[test]
    fn datagrams_come_back(
        outer in family().prop_flat_map(outer),
        source_port: u16, destination_port: u16, payload in vec(any::<u8>(), 0..100),
    ) {
        comes_back(&outer, &Transport::Udp(Udp { source_port, destination_port, payload: &payload }));
    }

    #[test]
    fn segments_come_back(
        outer in family().prop_flat_map(outer),
        ports: (u16, u16), numbers: (u32, u32), flags: u8, window: u16, mss: u16,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let [high, low] = mss.to_be_bytes();
        let options = [1, 1, 2, 4, high, low, 0, 0];
        let tcp = Tcp {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: TcpFlags(flags),
            window,
            options: &options,
            payload: &payload,
        };
        prop_assert_eq!(tcp.mss(), Some(mss));
        comes_back(&outer, &Transport::Tcp(tcp));
    }

    #[test]
    fn errors_come_back(
        outer in family().prop_flat_map(outer),
        icmp_type: u8, code: u8, mtu in 1u32..0xffff, quoted in vec(any::<u8>(), 0..100),
    ) {
        let family = Family::of(outer.source);
        prop_assume!(is_error(family, icmp_type));
        let mut error = IcmpError { family, icmp_type, code, mtu: None, quoted: &quoted };
        error.mtu = (error.kind() == nsgate_packet::ErrorKind::TooBig).then_some(mtu);
        comes_back(&outer, &Transport::Icmp(Icmp::Error(error)));
    }

    #[test]
    fn neighbours_come_back(outer in outer(Family::V6), advertisement: bool, target: [u8; 16], mac: Option<[u8; 6]>) {
        let target = Ipv6Addr::from(target);
        let neighbour = Neighbour { advertisement, target, link_address: mac.map(Mac) };
        comes_back(&outer, &Transport::Icmp(Icmp::Neighbour(neighbour)));
    }

    #[test]
    fn redirects_come_back(outer in outer(Family::V4), gateway: [u8; 4], quoted in vec(any::<u8>(), 0..100)) {
        let redirect = Redirect { gateway: gateway.into(), quoted: &quoted };
        comes_back(&outer, &Transport::Icmp(Icmp::Redirect(redirect)));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    /// Bytes that get past the first checks.
    #[test]
    fn no_likely_bytes_make_a_reader_panic(
        first in prop_oneof![Just(0x45u8), Just(0x46), Just(0x4f), Just(0x60)],
        protocol in prop_oneof![0u8..=60, Just(135)],
        mut bytes in vec(prop_oneof![3 => 0u8..=8, 1 => any::<u8>()], 40..200),
    ) {
        bytes[0] = first;
        bytes[if first == 0x60 { 6 } else { 9 }] = protocol;
        read_everything(&bytes);
    }
}

fn read_everything(bytes: &[u8]) {
    for packet in [Packet::ethernet(bytes), Packet::ip(bytes)] {
        assert!(!packet.to_string().is_empty());
        if let Some(ip) = packet.as_ip() {
            assert!(ip.header.len() + ip.payload.len() <= bytes.len());
            let _ = (ip.flow(), ip.tcp_sequence(), ip.header_checksum_right(), ip.transport_checksum_right());
        }
    }
}
