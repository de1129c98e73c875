//! What the kernel tells of a probe, on the real kernel. Who may not trace the kernel must be told so.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nsgate_core::model::NetnsName;
use nsgate_core::trace::{Identity, KernelEvent, KernelEventKind, Probe, ProbeKind, life};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::{apply, sandbox, settle};
use nsgate_observe::{FIRST_TAPS, Interest, KernelEvents, Sender};
use nsgate_packet::{Icmp, Transport};

/// ns_1, behind the gateway `host`, and what is beyond it.
const NETWORK: [&str; 24] = [
    "ip netns add ns_1",
    "ip netns add world",
    "ip link add veth3 type veth peer name veth2 netns ns_1",
    "ip link add eth2 type veth peer name w0 netns world",
    "ip addr add 1.1.1.3/24 dev veth3",
    "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
    "ip addr add 10.20.30.182/24 dev eth2",
    "ip -n world addr add 10.20.30.1/24 dev w0",
    "ip -n world addr add 114.114.114.114/32 dev w0",
    "ip addr add fd01::3/64 dev veth3 nodad",
    "ip -n ns_1 addr add fd01::2/64 dev veth2 nodad",
    "ip addr add fd30::182/64 dev eth2 nodad",
    "ip -n world addr add fd30::1/64 dev w0 nodad",
    "ip link set lo up",
    "ip -n ns_1 link set lo up",
    "ip link set veth3 up",
    "ip link set eth2 up",
    "ip -n ns_1 link set veth2 up",
    "ip -n world link set w0 up",
    "ip -n ns_1 route add default via 1.1.1.3",
    "ip -n ns_1 route add default via fd01::3",
    "ip -n world route add 1.1.1.0/24 via 10.20.30.182",
    "ip -n world route add fd01::/64 via fd30::182",
    "ip route add 114.114.114.114/32 via 10.20.30.1",
];
const FORWARDING: [&str; 2] = ["sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv6.conf.all.forwarding=1"];

/// Runs a test where the kernel may be traced; elsewhere the refusal is the test.
fn test(body: impl FnOnce()) {
    sandbox::test(|| {
        if Privileges::of_caller().can_trace_kernel() {
            body();
            return;
        }
        let limit = KernelEvents::attach(&interest(ProbeKind::Icmp, identity()), &[]).unwrap_err();
        assert_eq!(limit.what, "what the kernel drops, and why");
        assert!(limit.why.contains("Operation not permitted"), "{limit:?}");
        assert!(limit.why.ends_with("so run as root"), "{limit:?}");
    });
}

fn identity() -> Identity {
    let [source, destination] = ["1.1.1.2:7", "1.1.1.3:0"].map(|address| address.parse().unwrap());
    Identity { cookie: *b"nsgate-1", sequence: 77, source, destination }
}

fn interest(kind: ProbeKind, identity: Identity) -> Interest {
    Interest { kind, identity, addresses: Vec::new(), taps: FIRST_TAPS.into(), passage: false }
}

fn perform(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap();
    }
}

fn namespaces() -> Vec<Netns> {
    ["ns_1", "host", "world"].map(|name| Netns::open(&name.parse().unwrap()).unwrap()).into()
}

/// Builds the network and waits until it carries packets.
fn build() {
    perform(&NETWORK);
    assert_eq!(settle::settle(&namespaces(), Duration::from_secs(20)).unwrap(), []);
}

/// A probe with the kernel watched.
struct Watched {
    sender: Sender,
    events: KernelEvents,
    told: Vec<KernelEvent>,
}

impl Watched {
    fn new(destination: &str, kind: ProbeKind) -> Self {
        let namespaces = namespaces();
        let namespaces: Vec<&Netns> = namespaces.iter().collect();
        let from: NetnsName = "ns_1".parse().unwrap();
        let destination = destination.parse().unwrap();
        let probe = Probe { from, destination, kind, size: 56, source: None, dont_fragment: false };
        let sender = namespaces[0].run(|| Sender::open(&probe, *b"nsgate-1", 77)).unwrap().unwrap();
        let events = KernelEvents::attach(&interest(kind, *sender.identity()), &namespaces).unwrap();
        assert_eq!(events.limits(), []);
        Self { sender, events, told: Vec::new() }
    }

    /// Sends the probe and gathers what the kernel tells until one of the events reads like this.
    fn send_until(mut self, last: &str) -> Self {
        self.sender.send().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.position(last).is_none() {
            assert!(Instant::now() < deadline, "no '{last}' in {:#?}", self.words());
            std::thread::sleep(Duration::from_millis(10));
            self.told.extend(self.events.drain());
        }
        assert_eq!(self.events.lost().unwrap(), 0);
        self
    }

    /// What was told of the packet that came to this end, in words.
    fn way_to(&self, end: &str) -> Vec<String> {
        life(&self.told, self.position(end).unwrap()).into_iter().map(in_words).collect()
    }

    /// The first event of these words that is not about the search for a neighbour.
    fn position(&self, words: &str) -> Option<usize> {
        let search = |event: &KernelEvent| {
            let transport = event.packet().as_ip().map(|ip| ip.transport());
            matches!(transport, Some(Transport::Icmp(Icmp::Neighbour(_))))
        };
        self.told.iter().position(|event| in_words(event) == words && !search(event))
    }

    fn words(&self) -> Vec<String> {
        self.told.iter().map(in_words).collect()
    }
}

fn in_words(event: &KernelEvent) -> String {
    let netns = event.netns.as_ref().map_or("nowhere", |netns| netns.as_str());
    match &event.kind {
        KernelEventKind::Dropped { reason, symbol } => {
            format!("{netns}: dropped for {reason} in {}", symbol.as_deref().unwrap_or("?"))
        }
        KernelEventKind::Consumed { symbol } => format!("{netns}: consumed in {}", symbol.as_deref().unwrap_or("?")),
        KernelEventKind::Tap { hook, priority, .. } if *priority == FIRST_TAPS[0] => format!("{netns}: {hook:?} first"),
        KernelEventKind::Tap { hook, priority, .. } if *priority == FIRST_TAPS[1] => format!("{netns}: {hook:?} last"),
        KernelEventKind::Tap { hook, priority, .. } => format!("{netns}: {hook:?} at {priority}"),
        KernelEventKind::IcmpSent { icmp_type, code } => format!("{netns}: sends ICMP {icmp_type}/{code}"),
        KernelEventKind::Neighbour { address, after, .. } => format!("{netns}: {address} becomes {after:#x}"),
        other => format!("{netns}: {other:?}"),
    }
}

/// The destination beyond the gateway, by family.
const BEYOND: [&str; 2] = ["114.114.114.114", "fd30::1"];

#[test]
fn a_packet_is_followed_through_every_hook_to_its_end() {
    test(|| {
        build();
        perform(&FORWARDING);
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
        build();
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
        build();
        perform(&FORWARDING);
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
        build();
        let end = "ns_1: dropped for NEIGH_FAILED in neigh_invalidate";
        let told = Watched::new("1.1.1.77", ProbeKind::Icmp).send_until(end);
        let way = told.way_to(end);
        assert_eq!(way[3..], ["ns_1: Postrouting last", "ns_1: sends ICMP 3/1", end]);
    });
}

#[test]
fn more_taps_tell_more_places_of_one_namespace() {
    test(|| {
        build();
        perform(&FORWARDING);
        let mut watched = Watched::new(BEYOND[0], ProbeKind::Icmp);
        let host = Netns::host().unwrap();
        watched.events.tap(&[&host], &[10, -90]);
        let end = "world: consumed in icmp_rcv";
        let mut way = watched.send_until(end).way_to(end);
        way.retain(|words| words.contains("Forward") || words.contains(" at "));
        let forward = ["first", "at -90", "at 10", "last"].map(|place| format!("host: Forward {place}"));
        assert_eq!(way[2..6], forward, "{way:#?}");
        assert_eq!(way.len(), 8, "{way:#?}");
    });
}

#[test]
fn two_watches_stand_beside_each_other() {
    test(|| {
        build();
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
        build();
        let watched = Watched::new("1.1.1.3", ProbeKind::Icmp);
        let mut other = Watched::new("1.1.1.3", ProbeKind::Udp(9));
        other.sender.send().unwrap();
        let told = watched.send_until("host: consumed in icmp_rcv");
        let protocols: BTreeSet<u8> =
            told.told.iter().filter_map(|e| e.packet().as_ip().map(|ip| ip.protocol)).collect();
        assert_eq!(protocols.into_iter().collect::<Vec<_>>(), [1]);
    });
}
