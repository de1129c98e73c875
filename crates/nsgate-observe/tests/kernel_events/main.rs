//! What the kernel tells of a probe, on the real kernel. Who may not trace the kernel must be told so.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod drops;
mod lab;
#[path = "../network/mod.rs"]
mod network;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};

use nsgate_core::trace::{KernelEvent, KernelEventKind, ProbeKind};
use nsgate_kernel::netns::Netns;
use nsgate_observe::{FIRST_TAPS, HOOKS, taps_at};

use self::lab::{BEYOND, Watched, in_words, test};
use self::network::{FORWARDING, build, perform};

#[test]
fn a_packet_is_followed_through_every_hook_to_its_end() {
    test(|| {
        build(&FORWARDING);
        for (destination, end) in BEYOND.into_iter().zip(["icmp_rcv", "icmpv6_rcv"]) {
            let end = format!("world: consumed in {end}");
            let told = Watched::new(destination, ProbeKind::Icmp).send_until(&end);
            let way = told.way_to(&end);
            let expected = [
                "ns_1: Output first",
                "ns_1: Output last",
                "ns_1: Postrouting first",
                "ns_1: Postrouting last",
                "host: Prerouting first",
                "host: Prerouting last",
                "host: Forward first",
                "host: Forward last",
                "host: Postrouting first",
                "host: Postrouting last",
                "world: Prerouting first",
                "world: Prerouting last",
                "world: Input first",
                "world: Input last",
                end.as_str(),
            ];
            assert_eq!(way, expected);
            let found =
                format!("host: {} becomes 0x2", if destination == BEYOND[0] { "10.20.30.1" } else { BEYOND[1] });
            assert!(told.words().contains(&found), "{:#?}", told.words());
        }
    });
}

#[test]
fn a_drop_is_told_with_its_reason_and_place() {
    test(|| {
        build(&[]);
        let cases = [
            (&BEYOND[0], "IP_INADDRERRORS in ip_error", "host: Prerouting last"),
            (&BEYOND[1], "IP_INADDRERRORS in ip6_forward", "host: Prerouting last"),
        ];
        for (destination, drop, last_tap) in cases {
            for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
                let drop = format!("host: dropped for {drop}");
                let told = Watched::new(destination, kind).send_until(&drop);
                let way = told.way_to(&drop);
                assert_eq!(way[way.len() - 2..], [last_tap.to_owned(), drop], "{kind} {destination}");
            }
        }
        perform(&FORWARDING);
        perform(&[
            "ip route add blackhole 114.114.114.114/32 metric 0 table 10",
            "ip rule add from all lookup 10 pref 1",
        ]);
        let told = Watched::new(BEYOND[0], ProbeKind::Icmp).send_until("host: dropped for NOT_SPECIFIED in ip_error");
        let event = told.told.iter().find(|event| event.is_loss()).unwrap();
        assert_eq!(event.packet().as_ip().unwrap().destination.to_string(), BEYOND[0]);
    });
}

#[test]
fn what_the_other_end_refuses_is_told_with_its_answer() {
    test(|| {
        build(&FORWARDING);
        let told =
            Watched::new(BEYOND[0], ProbeKind::Udp(9)).send_until("world: dropped for NO_SOCKET in __udp4_lib_rcv");
        let refused = told.words().into_iter().filter(|words| words == "world: sends ICMP 3/3").count();
        assert_eq!(refused, 1, "{:#?}", told.words());
        let told = Watched::new(BEYOND[0], ProbeKind::Tcp(9)).send_until("world: dropped for NO_SOCKET in tcp_v4_rcv");
        assert!(told.words().contains(&"world: ResetSent".to_owned()), "{:#?}", told.words());
        for (kind, function) in [(ProbeKind::Udp(9), "__udp6_lib_rcv"), (ProbeKind::Tcp(9), "tcp_v6_rcv")] {
            Watched::new(BEYOND[1], kind).send_until(&format!("world: dropped for NO_SOCKET in {function}"));
        }
    });
}

#[test]
fn a_next_hop_that_nobody_holds_fails() {
    test(|| {
        build(&[]);
        let end = "ns_1: dropped for NEIGH_FAILED in neigh_invalidate";
        let told = Watched::new("1.1.1.77", ProbeKind::Icmp).send_until(end);
        let way = told.way_to(end);
        assert_eq!(way[3..], ["ns_1: Postrouting last", "ns_1: sends ICMP 3/1", end]);
    });
}

#[test]
fn more_taps_tell_more_places_of_one_namespace() {
    test(|| {
        build(&FORWARDING);
        let mut watched = Watched::new(BEYOND[0], ProbeKind::Icmp);
        let host = Netns::host().unwrap();
        watched.events.tap(&[&host], &taps_at(&HOOKS, &[10, -90]));
        let end = "world: consumed in icmp_rcv";
        let mut way = watched.send_until(end).way_to(end);
        way.retain(|words| words.contains("Forward") || words.contains(" at "));
        let forward = ["first", "at -90", "at 10", "last"].map(|place| format!("host: Forward {place}"));
        assert_eq!(way[2..6], forward, "{way:#?}");
        assert_eq!(way.len(), 8, "{way:#?}");
    });
}

/// The answer carries nothing of the probe, and neither end of it is one that the sender knows.
#[test]
fn an_answer_is_known_although_both_ends_are_translated() {
    test(|| {
        build(&FORWARDING);
        for (own, service, outside, family) in [
            ("1.1.1.3", "10.20.30.1:5353", "10.20.30.182:7000", "ip"),
            ("fd01::3", "[fd30::1]:5353", "[fd30::182]:7000", "ip6"),
        ] {
            let udp = format!("nft 'add rule {family} t");
            perform(&[
                &format!("nft 'add table {family} t'"),
                &format!("nft 'add chain {family} t in {{ type nat hook prerouting priority -100; }}'"),
                &format!("{udp} in meta l4proto udp dnat to {service}'"),
                &format!("nft 'add chain {family} t out {{ type nat hook postrouting priority 100; }}'"),
                &format!("{udp} out meta l4proto udp snat to {outside}'"),
                &format!("nft 'add chain {family} t early {{ type filter hook prerouting priority -300; }}'"),
                &format!("{udp} early udp sport 5353 drop'"),
            ]);
            let world = Netns::open(&"world".parse().unwrap()).unwrap();
            let socket = world.run(|| UdpSocket::bind(service)).unwrap().unwrap();
            let server = std::thread::spawn(move || {
                let (_, from) = socket.recv_from(&mut [0; 100]).unwrap();
                socket.send_to(b"no", from).unwrap();
            });
            let end = "host: dropped for NETFILTER_DROP in nft_do_chain";
            let told = Watched::new(own, ProbeKind::Udp(53)).send_until(end);
            server.join().unwrap();
            let lost = told.told.iter().find(|event| event.is_loss()).unwrap();
            let flow = lost.packet().as_ip().unwrap().flow();
            let ends = [(flow.source, flow.source_port), (flow.destination, flow.destination_port)];
            assert_eq!(ends.map(|end| SocketAddr::from(end).to_string()), [service, outside]);
            assert_eq!(
                told.way_to(end),
                [
                    "world: Output first",
                    "world: Output last",
                    "world: Postrouting first",
                    "world: Postrouting last",
                    "host: Prerouting first",
                    end
                ]
            );
        }
    });
}

#[test]
fn two_watches_stand_beside_each_other() {
    test(|| {
        build(&[]);
        let first = Watched::new("1.1.1.3", ProbeKind::Icmp);
        let second = Watched::new("1.1.1.3", ProbeKind::Icmp);
        drop(first);
        let told = second.send_until("host: consumed in icmp_rcv");
        let places: BTreeSet<i32> = told
            .told
            .iter()
            .filter_map(|event| match event.kind {
                KernelEventKind::Tap { priority, .. } => Some(priority),
                _ => None,
            })
            .collect();
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [FIRST_TAPS[0] + 1, FIRST_TAPS[1] - 1]);
    });
}

#[test]
fn what_is_not_the_probes_is_not_told() {
    test(|| {
        build(&[]);
        let watched = Watched::new("1.1.1.3", ProbeKind::Icmp);
        let mut other = Watched::new("1.1.1.3", ProbeKind::Udp(9));
        other.sender.send().unwrap();
        let told = watched.send_until("host: consumed in icmp_rcv");
        let protocols: BTreeSet<u8> =
            told.told.iter().filter_map(|e| e.packet().as_ip().map(|ip| ip.protocol)).collect();
        assert_eq!(protocols.into_iter().collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn every_fragment_is_told_of_and_none_is_lost() {
    test(|| {
        build(&FORWARDING);
        for (destination, end) in BEYOND.into_iter().zip(["icmp_rcv", "icmpv6_rcv"]) {
            let end = format!("world: consumed in {end}");
            let told = Watched::sized(destination, ProbeKind::Icmp, 3000).send_until(&end).told;
            let arrives = |event: &&KernelEvent| {
                in_words(event) == "world: Prerouting first"
                    && event.packet().as_ip().is_some_and(|ip| ip.fragment.is_some())
            };
            assert_eq!(told.iter().filter(arrives).count(), 3, "{destination}");
            assert_eq!(told.iter().find(|event| event.is_loss()), None);
        }
    });
}
