//! Every kind of packet as the line that users read.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::net::IpAddr;

use nsgate_packet::build::{self, Outer};
use nsgate_packet::{
    Arp, ArpOperation, Body, Echo, Ethernet, Family, Icmp, IcmpError, Ip, Mac, Neighbour, Packet, Redirect, Tcp,
    TcpFlags, Transport, Udp, Vlan, ethertype,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn line(source: &str, destination: &str, transport: Transport<'_>) -> String {
    let bytes = build::ip(&Outer::new(address(source), address(destination)), &transport).unwrap();
    Packet::ip(&bytes).to_string()
}

#[test]
fn echoes() {
    let echo = |reply| Transport::Icmp(Icmp::Echo(Echo { reply, id: 7, sequence: 1, payload: &[] }));
    assert_eq!(
        line("1.1.1.2", "114.114.114.114", echo(false)),
        "1.1.1.2 > 114.114.114.114: ICMP echo request, id 7, seq 1, ttl 64"
    );
    assert_eq!(line("fd00::1", "fd00::2", echo(true)), "fd00::1 > fd00::2: ICMPv6 echo reply, id 7, seq 1, ttl 64");
}

#[test]
fn tcp_and_udp() {
    let udp = Transport::Udp(Udp { source_port: 5000, destination_port: 53, payload: b"hello" });
    assert_eq!(line("fd00::1", "fd00::2", udp), "[fd00::1]:5000 > [fd00::2]:53: UDP, 5 bytes, ttl 64");
    let syn = Tcp {
        source_port: 40000,
        destination_port: 80,
        sequence: 5,
        acknowledgement: 0,
        flags: TcpFlags::SYN,
        window: 64240,
        options: &[2, 4, 5, 0xb4],
        payload: &[],
    };
    assert_eq!(
        line("1.1.1.2", "10.0.0.1", Transport::Tcp(syn)),
        "1.1.1.2:40000 > 10.0.0.1:80: TCP [S], seq 5, mss 1460, ttl 64"
    );
    let reset = Tcp { flags: TcpFlags::RST | TcpFlags::ACK, acknowledgement: 6, options: &[], ..syn };
    assert_eq!(
        line("1.1.1.2", "10.0.0.1", Transport::Tcp(reset)),
        "1.1.1.2:40000 > 10.0.0.1:80: TCP [R.], seq 5, ack 6, ttl 64"
    );
}

#[test]
fn a_packet_whose_end_was_cut_off_says_how_long_it_was() {
    let udp = Transport::Udp(Udp { source_port: 5000, destination_port: 53, payload: &[0; 1000] });
    let whole = build::ip(&Outer::new(address("1.1.1.2"), address("9.9.9.9")), &udp).unwrap();
    for length in [28, 100, whole.len()] {
        let line = Packet::ip(&whole[..length]).to_string();
        assert_eq!(line, "1.1.1.2:5000 > 9.9.9.9:53: UDP, 1000 bytes, ttl 64", "{length}");
    }
}

#[test]
fn errors_say_what_they_are_about() {
    let udp = Transport::Udp(Udp { source_port: 5000, destination_port: 53, payload: b"" });
    let lost = build::ip(&Outer::new(address("1.1.1.2"), address("9.9.9.9")), &udp).unwrap();
    let error = |icmp_type, code, mtu| {
        Transport::Icmp(Icmp::Error(IcmpError { family: Family::V4, icmp_type, code, mtu, quoted: &lost }))
    };
    assert_eq!(
        line("10.0.0.1", "1.1.1.2", error(3, 1, None)),
        "10.0.0.1 > 1.1.1.2: ICMP host unreachable, about UDP 1.1.1.2:5000 > 9.9.9.9:53, ttl 64"
    );
    assert_eq!(
        line("10.0.0.1", "1.1.1.2", error(3, 4, Some(1400))),
        "10.0.0.1 > 1.1.1.2: ICMP fragmentation needed, mtu 1400, about UDP 1.1.1.2:5000 > 9.9.9.9:53, ttl 64"
    );
    let redirect = Transport::Icmp(Icmp::Redirect(Redirect { gateway: address("10.0.0.2"), quoted: &lost }));
    assert_eq!(
        line("10.0.0.1", "1.1.1.2", redirect),
        "10.0.0.1 > 1.1.1.2: ICMP redirect to 10.0.0.2, about UDP 1.1.1.2:5000 > 9.9.9.9:53, ttl 64"
    );
}

#[test]
fn neighbours() {
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let ask = Neighbour { advertisement: false, target: "fd00::2".parse().unwrap(), link_address: Some(mac) };
    let tell = Neighbour { advertisement: true, ..ask };
    let line = |neighbour| line("fd00::1", "fd00::2", Transport::Icmp(Icmp::Neighbour(neighbour)));
    assert_eq!(line(ask), "fd00::1 > fd00::2: ICMPv6 who has fd00::2, ttl 64");
    assert_eq!(line(tell), "fd00::1 > fd00::2: ICMPv6 fd00::2 is here at 02:00:00:00:00:09, ttl 64");
}

#[test]
fn arp_in_a_tagged_frame() {
    let arp = Arp {
        operation: ArpOperation::Request,
        sender_mac: Mac([2, 0, 0, 0, 0, 1]),
        sender: "1.1.1.2".parse().unwrap(),
        target_mac: Mac([0; 6]),
        target: "1.1.1.3".parse().unwrap(),
    };
    let header = Ethernet {
        destination: Mac::BROADCAST,
        source: arp.sender_mac,
        vlans: [Some(Vlan { protocol: ethertype::VLAN, control: 100 }), None],
        ethertype: ethertype::ARP,
    };
    let frame = build::ethernet(&header, &build::arp(&arp));
    let packet = Packet::ethernet(&frame);
    assert_eq!(packet, Packet { ether: Some(header), body: Body::Arp(arp) });
    assert_eq!(packet.to_string(), "vlan 100, ARP, who has 1.1.1.3 tell 1.1.1.2");
    let reply = Arp { operation: ArpOperation::Reply, ..arp };
    assert_eq!(reply.to_string(), "ARP, 1.1.1.2 is at 02:00:00:00:00:01");
}

#[test]
fn fragments() {
    let udp = Transport::Udp(Udp { source_port: 5000, destination_port: 53, payload: b"hello" });
    let mut bytes = build::ip(&Outer::new(address("1.1.1.2"), address("9.9.9.9")), &udp).unwrap();
    bytes[6..8].copy_from_slice(&[0x20, 0]);
    assert_eq!(
        Packet::ip(&bytes).to_string(),
        "1.1.1.2:5000 > 9.9.9.9:53: UDP, 5 bytes, fragment at 0, more follow, ttl 64"
    );
    bytes[6..8].copy_from_slice(&[0, 2]);
    assert_eq!(Packet::ip(&bytes).to_string(), "1.1.1.2 > 9.9.9.9: UDP, fragment at 16, the last, ttl 64");
    assert!(Ip::parse(&bytes).unwrap().fragment.is_some());
}
