use std::net::IpAddr;

use nsgate_packet::build::{self, Outer};
use nsgate_packet::{
    Arp, ArpOperation, Echo, Ethernet, Family, Icmp, IcmpError, Mac, Neighbour, Redirect, Tcp, TcpFlags, Transport,
    Udp, Vlan,
};

use super::interpreter::{Frame, run, run_counting};
use super::*;

const COOKIE: [u8; 8] = *b"nsgate-7";
const SEQUENCE: u32 = u32::MAX;
/// Ten bytes of data, the opening and the end.
const SPAN: u32 = 12;
const KINDS: [ProbeKind; 3] = [ProbeKind::Icmp, ProbeKind::Tcp(80), ProbeKind::Udp(53)];
/// Not of a type that has a link-layer header.
const TUNNEL: u16 = 65534;

fn identity() -> Identity {
    let address = |text: &str| text.parse().unwrap();
    Identity {
        cookie: COOKIE,
        sequence: SEQUENCE,
        span: SPAN,
        source: address("1.1.1.2:40000"),
        destination: address("9.9.9.9:80"),
    }
}

fn packet(family: Family, transport: Transport<'_>) -> Vec<u8> {
    let [source, destination] = match family {
        Family::V4 => ["10.0.0.1", "10.0.0.2"],
        Family::V6 => ["fd00::1", "fd00::2"],
    };
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    build::ip(&Outer::new(address(source), address(destination)), &transport).unwrap()
}

fn ethernet(vlans: [Option<Vlan>; 2], ethertype: u16, content: &[u8]) -> Vec<u8> {
    let (destination, source) = (Mac([2, 0, 0, 0, 0, 2]), Mac([2, 0, 0, 0, 0, 1]));
    build::ethernet(&Ethernet { destination, source, vlans, ethertype }, content)
}

/// Whether the filter of a probe keeps a packet; it must not matter how the packet is framed.
fn keeps(kind: ProbeKind, packet: &[u8]) -> bool {
    let filter = Filter::of(kind, &identity());
    let ethertype = if packet[0] >> 4 == 4 { ethertype::IPV4 } else { ethertype::IPV6 };
    let tag = |protocol| Some(Vlan { protocol, control: 7 });
    let framed = [
        (ethernet([None, None], ethertype, packet), ARPHRD_ETHER),
        (ethernet([None, None], ethertype, packet), ARPHRD_LOOPBACK),
        (ethernet([tag(ethertype::VLAN), None], ethertype, packet), ARPHRD_ETHER),
        (ethernet([tag(ethertype::SERVICE_VLAN), tag(ethertype::VLAN)], ethertype, packet), ARPHRD_ETHER),
        (packet.to_vec(), TUNNEL),
    ];
    let kept = framed.map(|(bytes, hardware_type)| {
        // What the kernel notes as the protocol of a tagged frame is not used.
        let protocol = if hardware_type == TUNNEL { ethertype } else { 0 };
        run(&filter.program, &Frame { bytes: &bytes, hardware_type, protocol })
    });
    assert!(kept.iter().all(|bytes| *bytes == kept[0]), "{kept:?}");
    assert!(kept[0] == 0 || kept[0] == KEPT);
    kept[0] != 0
}

fn echo(reply: bool, payload: &[u8]) -> Transport<'_> {
    Transport::Icmp(Icmp::Echo(Echo { reply, id: 1, sequence: 2, payload }))
}

fn tcp(ports: (u16, u16), sequence: u32, acknowledgement: u32) -> Transport<'static> {
    Transport::Tcp(Tcp {
        source_port: ports.0,
        destination_port: ports.1,
        sequence,
        acknowledgement,
        flags: TcpFlags::ACK,
        window: 0,
        options: &[],
        payload: &[],
    })
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Transport<'_> {
    Transport::Udp(Udp { source_port: ports.0, destination_port: ports.1, payload })
}

#[test]
fn echoes_by_their_cookie() {
    for family in Family::BOTH {
        for reply in [false, true] {
            assert!(keeps(ProbeKind::Icmp, &packet(family, echo(reply, b"nsgate-7 and more"))));
            assert!(!keeps(ProbeKind::Icmp, &packet(family, echo(reply, b"nsgate-8 and more"))));
            assert!(!keeps(ProbeKind::Icmp, &packet(family, echo(reply, b"Nsgate-7 and more"))));
            assert!(!keeps(ProbeKind::Icmp, &packet(family, echo(reply, b"nsgate"))));
            assert!(!keeps(ProbeKind::Tcp(80), &packet(family, echo(reply, b"nsgate-7 and more"))));
        }
    }
}

#[test]
fn segments_by_their_numbers_or_the_port() {
    let after = SEQUENCE.wrapping_add(1);
    for family in Family::BOTH {
        let keeps = |transport| keeps(ProbeKind::Tcp(80), &packet(family, transport));
        assert!(keeps(tcp((1, 2), SEQUENCE, 0xdead)));
        assert!(keeps(tcp((1, 2), after, 0xdead)));
        assert!(keeps(tcp((1, 2), 0xdead, after)));
        let last = SEQUENCE.wrapping_add(SPAN);
        assert!(keeps(tcp((1, 2), last, 0xdead)) && keeps(tcp((1, 2), 0xdead, last)));
        assert!(!keeps(tcp((1, 2), last + 1, 0xdead)) && !keeps(tcp((1, 2), 0xdead, last + 2)));
        assert!(!keeps(tcp((1, 2), SEQUENCE - 1, 0xdead)) && !keeps(tcp((1, 2), 0xdead, SEQUENCE)));
        assert!(keeps(tcp((40000, 2), 0xdead, 0xdead)));
        assert!(keeps(tcp((1, 40000), 0xdead, 0xdead)));
        assert!(!keeps(tcp((1, 2), 0xdead, 0xdead)));
        assert!(!keeps(udp((40000, 40000), &COOKIE)));
    }
}

#[test]
fn datagrams_by_cookie_or_ports() {
    for family in Family::BOTH {
        let keeps = |transport| keeps(ProbeKind::Udp(53), &packet(family, transport));
        assert!(keeps(udp((1, 2), &COOKIE)));
        assert!(!keeps(udp((1, 2), b"anything")));
        assert!(keeps(udp((40000, 2), b"")));
        assert!(keeps(udp((2, 40000), b"")));
        assert!(keeps(udp((53, 2), b"an answer")), "an answer to a translated port");
        assert!(!keeps(udp((2, 53), b"a question of others")));
        assert!(!keeps(tcp((40000, 40000), 0, 0)));
    }
}

#[test]
fn openings_of_anybody_and_what_refuses_them() {
    let keeps = |protocol, packet: &[u8]| {
        let bytes = ethernet([None, None], if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, packet);
        let frame = Frame { bytes: &bytes, hardware_type: ARPHRD_ETHER, protocol: 0 };
        run(&Filter::of_openings(protocol).program, &frame) != 0
    };
    for family in Family::BOTH {
        let segment = |flags| match tcp((1, 2), 3, 4) {
            Transport::Tcp(tcp) => packet(family, Transport::Tcp(Tcp { flags, ..tcp })),
            _ => unreachable!(),
        };
        let both = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
        for flags in [TcpFlags::SYN, both, TcpFlags::RST] {
            assert!(keeps(Protocol::Tcp, &segment(flags)) && !keeps(Protocol::Udp, &segment(flags)));
        }
        assert!(!keeps(Protocol::Tcp, &segment(TcpFlags::ACK)));
        assert!(keeps(Protocol::Udp, &packet(family, udp((1, 2), b""))));
        assert!(keeps(Protocol::Icmp, &packet(family, echo(true, b""))));
        assert!(!keeps(Protocol::Tcp, &packet(family, echo(true, b""))));
    }
}

#[test]
fn errors_and_discovery_whatever_the_probe_is() {
    let gateway = "10.0.0.9".parse().unwrap();
    let redirect = packet(Family::V4, Transport::Icmp(Icmp::Redirect(Redirect { gateway, quoted: &[] })));
    for kind in KINDS {
        for (family, types) in [(Family::V4, &[3, 4, 11, 12][..]), (Family::V6, &[1, 2, 3, 4])] {
            for &icmp_type in types {
                let error = IcmpError { family, icmp_type, code: 1, mtu: None, quoted: &[] };
                assert!(keeps(kind, &packet(family, Transport::Icmp(Icmp::Error(error)))));
            }
        }
        assert!(keeps(kind, &redirect));
        for advertisement in [false, true] {
            let target = "fd00::2".parse().unwrap();
            let neighbour = Neighbour { advertisement, target, link_address: None };
            assert!(keeps(kind, &packet(Family::V6, Transport::Icmp(Icmp::Neighbour(neighbour)))));
        }
        let mut timestamp = packet(Family::V4, echo(false, &COOKIE));
        timestamp[20] = 13;
        assert!(!keeps(kind, &timestamp));
        let mut listener_report = packet(Family::V6, echo(false, &COOKIE));
        listener_report[40] = 143;
        assert!(!keeps(kind, &listener_report));
    }
}

#[test]
fn arp_and_nothing_else_of_the_link() {
    let arp = build::arp(&Arp {
        operation: ArpOperation::Request,
        sender_mac: Mac([2, 0, 0, 0, 0, 1]),
        sender: "1.1.1.2".parse().unwrap(),
        target_mac: Mac([0; 6]),
        target: "1.1.1.3".parse().unwrap(),
    });
    for kind in KINDS {
        let kept = |ethertype| {
            let bytes = ethernet([None, None], ethertype, &arp);
            let frame = Frame { bytes: &bytes, hardware_type: ARPHRD_ETHER, protocol: 0 };
            run(&Filter::of(kind, &identity()).program, &frame)
        };
        assert_eq!((kept(ethertype::ARP), kept(0x88cc)), (KEPT, 0));
    }
}

#[test]
fn ipv4_options_are_stepped_over() {
    let plain = packet(Family::V4, echo(false, &COOKIE));
    let mut with_options = [&plain[..20], &[1; 8], &plain[20..]].concat();
    with_options[0] = 0x47;
    assert!(keeps(ProbeKind::Icmp, &with_options));
}

#[test]
fn later_fragments_and_extension_headers_are_kept_for_the_core_to_decide() {
    for (kind, number) in KINDS.into_iter().zip([protocol::ICMP, protocol::TCP, protocol::UDP]) {
        let mut fragment = packet(Family::V4, udp((1, 2), b"some bytes"));
        fragment[7] = 9;
        fragment[9] = number;
        assert!(keeps(kind, &fragment));
        fragment[9] = 253;
        assert!(!keeps(kind, &fragment));
        let mut extended = packet(Family::V6, udp((1, 2), b"some bytes"));
        extended[6] = 44;
        assert!(keeps(kind, &extended));
        extended[6] = 253;
        assert!(!keeps(kind, &extended));
    }
}

#[test]
fn cut_frames_end_quietly() {
    let whole = ethernet([None, None], ethertype::IPV4, &packet(Family::V4, echo(false, &COOKIE)));
    let filter = Filter::of(ProbeKind::Icmp, &identity());
    for length in 0..=whole.len() {
        let frame = Frame { bytes: &whole[..length], hardware_type: ARPHRD_ETHER, protocol: 0 };
        assert_eq!(run(&filter.program, &frame), if length == whole.len() { KEPT } else { 0 }, "{length}");
    }
}

#[test]
fn ports_that_the_probe_was_given_on_its_way_are_looked_for() {
    let flow = |source_port, destination_port| {
        let [source, destination]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        Flow { protocol: 17, source, destination, source_port, destination_port }
    };
    let answer = packet(Family::V4, Transport::Udp(Udp { source_port: 5353, destination_port: 777, payload: b"" }));
    let frame = Frame { bytes: &answer, hardware_type: TUNNEL, protocol: ethertype::IPV4 };
    for (flows, kept) in [(vec![], false), (vec![flow(777, 5353)], true), (vec![flow(778, 5354)], false)] {
        let filter = Filter::of_flows(ProbeKind::Udp(53), &identity(), &flows);
        assert_eq!(run(&filter.program, &frame) > 0, kept, "{flows:?}");
    }
}

/// A packet as each kind of tunnel carries it.
fn carried(packet: &[u8]) -> Vec<Vec<u8>> {
    let of = if packet[0] >> 4 == 4 { ethertype::IPV4 } else { ethertype::IPV6 };
    let frame = ethernet([None, None], of, packet);
    let [source, destination]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
    let udp = |port, header: &[u8], rest: &[u8]| {
        let payload = [header, rest].concat();
        let udp = Udp { source_port: 6000, destination_port: port, payload: &payload };
        build::ip(&Outer::new(source, destination), &Transport::Udp(udp)).unwrap()
    };
    // The protocol of a datagram's packet is changed; its header becomes what follows.
    let other = |number: u8, header: &[u8], rest: &[u8]| {
        let mut packet = udp(1, header, rest);
        packet.drain(20..28);
        packet[9] = number;
        packet
    };
    let [high, low] = of.to_be_bytes();
    vec![
        udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &frame),
        udp(8472, &[8, 0, 0, 0, 0, 0, 42, 0], &frame),
        udp(6081, &[1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 1, 1, 1], &frame),
        udp(6081, &[0, 0, high, low, 0, 0, 9, 0], packet),
        other(47, &[0, 0, high, low], packet),
        other(47, &[0xb0, 0, 0x65, 0x58, 1, 1, 1, 1, 0, 0, 0, 5, 3, 3, 3, 3], &frame),
        other(if packet[0] >> 4 == 4 { 4 } else { 41 }, &[], packet),
    ]
}

#[test]
fn what_tunnels_carry_is_looked_at() {
    let echo =
        |cookie: &'static [u8]| Transport::Icmp(Icmp::Echo(Echo { reply: true, id: 1, sequence: 1, payload: cookie }));
    let udp = |payload| Transport::Udp(Udp { source_port: 1, destination_port: 2, payload });
    for family in [Family::V4, Family::V6] {
        for (kind, own, other) in [
            (ProbeKind::Icmp, echo(b"nsgate-7"), echo(b"nsgate-8")),
            (ProbeKind::Udp(53), udp(b"nsgate-7"), udp(b"nsgate-8")),
        ] {
            for (own, other) in carried(&packet(family, own)).iter().zip(&carried(&packet(family, other))) {
                assert!(keeps(kind, own), "{kind:?} {own:?}");
                assert!(!keeps(kind, other), "{kind:?} {other:?}");
            }
        }
    }
}

#[test]
fn the_program_can_always_be_put_together() {
    let flows: Vec<Flow> = (0..40)
        .map(|number| {
            let [source, destination]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
            Flow { protocol: 17, source, destination, source_port: 1000 + number, destination_port: 2000 + number }
        })
        .collect();
    for kind in KINDS {
        for flows in [&flows[..], &[]] {
            let program = Filter::of_flows(kind, &identity(), flows).program;
            assert!((100..1000).contains(&program.len()), "{kind:?}: {}", program.len());
        }
    }
}

#[test]
fn what_is_not_of_the_probe_is_let_go_at_first_glance() {
    let loads = |kind, packet: &[u8]| {
        let ethertype = if packet[0] >> 4 == 4 { ethertype::IPV4 } else { ethertype::IPV6 };
        let bytes = ethernet([None, None], ethertype, packet);
        let filter = Filter::of(kind, &identity());
        run_counting(&filter.program, &Frame { bytes: &bytes, hardware_type: ARPHRD_ETHER, protocol: 0 })
    };
    for (family, kind) in Family::BOTH.into_iter().flat_map(|family| KINDS.map(|kind| (family, kind))) {
        for other in [udp((1, 2), &[0; 18]), tcp((1, 2), 77, 88)] {
            assert_eq!(loads(kind, &packet(family, other)), (0, 0), "{kind:?}");
        }
        let tunnel = udp((1, VXLAN_PORTS[0]), &[0; 18]);
        assert!(loads(kind, &packet(family, tunnel)).1 > 0, "{kind:?}");
    }
}
