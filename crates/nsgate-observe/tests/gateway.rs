//! One probe followed from a namespace through a gateway into another, on the real kernel.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod network;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nsgate_core::model::ruleset::Hook;
use nsgate_core::model::{NetnsName, Transport};
use nsgate_core::trace::{
    Ending, Filtered, KernelEventKind, Leg, Observation, Probe, ProbeKind, RuleEvent, RuleStep, Way, life, stretch,
};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::server::Server;
use nsgate_kernel::{nftables, sandbox};
use nsgate_observe::{Means, Watch};

use self::network::{FORWARDING, build, perform};

fn trace(destination: &str, kind: ProbeKind, wait: Duration) -> Observation {
    let observation = trace_with(destination, kind, kind.usual_size(), wait, &Means::default());
    assert_eq!(observation.limits, []);
    observation
}

fn trace_with(destination: &str, kind: ProbeKind, size: u32, wait: Duration, means: &Means) -> Observation {
    let names = ["host", "ns_1", "world"].map(|name| name.parse::<NetnsName>().unwrap());
    let probe = Probe {
        from: names[1].clone(),
        destination: destination.parse().unwrap(),
        kind,
        size,
        source: None,
        dont_fragment: false,
    };
    let mut watch = Watch::set_with(&probe, &names, means).unwrap();
    watch.send();
    watch.collect(wait);
    let observation = watch.finish().unwrap();
    assert_eq!(observation.watched.iter().map(|w| w.lost).collect::<Vec<_>>(), [0; 3]);
    observation
}

/// A fresh link passes nothing until the kernel has noticed its carrier: probes until one is answered.
fn settle(destination: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while trace(destination, ProbeKind::Icmp, Duration::from_millis(200)).ending != Ending::Answered {
        assert!(Instant::now() < deadline, "the links do not settle");
    }
}

/// Where a leg was seen, in order: `ns_1 Out`.
fn seen(observation: &Observation, leg: Leg) -> Vec<String> {
    observation.journey.of(leg).map(|sight| format!("{} {:?}", sight.netns, sight.way)).collect()
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_probe_is_seen_at_every_interface_in_order() {
    sandbox::test(|| {
        build(&FORWARDING);
        for destination in ["114.114.114.114", "fd30::1"] {
            settle(destination);
            for kind in [ProbeKind::Icmp, ProbeKind::Tcp(9), ProbeKind::Udp(9)] {
                let observation = trace(destination, kind, LONG);
                let there = ["ns_1 Out", "host In", "host Out", "world In"];
                assert_eq!(seen(&observation, Leg::Request), there, "{kind} {destination}");
                let back = ["world Out", "host In", "host Out", "ns_1 In"];
                let leg = if kind == ProbeKind::Udp(9) { Leg::Error } else { Leg::Answer };
                assert_eq!(seen(&observation, leg), back, "{kind} {destination}");
                match (kind, &observation.ending) {
                    (ProbeKind::Icmp, Ending::Answered) | (ProbeKind::Tcp(_), Ending::Reset) => {}
                    (ProbeKind::Udp(_), Ending::IcmpError { from, .. }) => assert_eq!(from.to_string(), destination),
                    (_, ending) => panic!("{kind}: {ending:?}"),
                }
                let passing = observation.routes.iter().filter(|r| r.question.netns.is_host()).collect::<Vec<_>>();
                assert!(!passing.is_empty() && passing.iter().all(|r| r.answer.is_ok()), "{passing:?}");
            }
        }
    });
}

#[test]
fn a_probe_that_is_not_forwarded_ends_where_it_was_lost() {
    sandbox::test(|| {
        build(&[]);
        settle("1.1.1.3");
        settle("fd01::3");
        for (destination, counter) in [("114.114.114.114", "Ip.InAddrErrors"), ("fd30::1", "Ip6.InAddrErrors")] {
            let observation = trace(destination, ProbeKind::Icmp, Duration::from_millis(300));
            assert_eq!(observation.ending, Ending::Silence);
            assert_eq!(seen(&observation, Leg::Request), ["ns_1 Out", "host In"]);
            assert_eq!(observation.moved(&NetnsName::host(), counter), 1, "{counter}");
            assert!((300..2000).contains(&observation.waited), "{}", observation.waited);
        }
        let passing = |o: &Observation| o.routes.iter().find(|r| r.question.netns.is_host()).unwrap().answer;
        let observation = trace("114.114.114.114", ProbeKind::Udp(9), Duration::from_millis(100));
        assert_eq!(passing(&observation), Err(rustix::io::Errno::HOSTUNREACH.raw_os_error()));
        // In a namespace that has no route at all nothing leaves.
        perform(&["ip -n ns_1 route del default via 1.1.1.3"]);
        let observation = trace("114.114.114.114", ProbeKind::Tcp(9), LONG);
        assert!(matches!(observation.ending, Ending::Refused { operation: "connect", errno: 101, .. }));
        assert_eq!(seen(&observation, Leg::Request), <[&str; 0]>::default());
    });
}

#[test]
fn a_next_hop_that_nobody_holds_is_asked_for() {
    sandbox::test(|| {
        build(&[]);
        // The error goes from the namespace to itself.
        perform(&["ip -n ns_1 link set lo up"]);
        settle("1.1.1.3");
        let observation = trace("1.1.1.77", ProbeKind::Icmp, LONG);
        let Ending::IcmpError { from, icmp_type: 3, code: 1, .. } = observation.ending else {
            panic!("{:?}", observation.ending)
        };
        assert_eq!(from.to_string(), "1.1.1.2");
        let asked = observation.journey.of(Leg::Question).filter(|s| s.header.destination.to_string() == "1.1.1.77");
        assert!(asked.filter(|s| s.netns.is_host() && s.way == Way::In).count() >= 3);
        assert!(observation.neighbours.iter().any(|(_, n)| n.address.to_string() == "1.1.1.77" && n.mac.is_none()));
    });
}

#[test]
fn data_too_large_for_the_way_is_followed_to_where_it_was_lost() {
    sandbox::test(|| {
        build(&FORWARDING);
        let world = Netns::open(&"world".parse().unwrap()).unwrap();
        for (destination, family) in [("114.114.114.114", "Ip"), ("fd30::1", "Ip6")] {
            settle(destination);
            let address = SocketAddr::new(destination.parse().unwrap(), 80);
            let _echo = Server::start(&world, Transport::Tcp, address).unwrap();
            let observation = trace_with(destination, ProbeKind::Tcp(80), 8000, LONG, &Means::default());
            assert_eq!((&observation.ending, observation.of_lost_data()), (&Ending::Answered, None));

            perform(&["ip link set eth2 mtu 1400"]);
            // What tells the sender of it is lost.
            perform(&[
                "nft 'add table inet mute; add chain inet mute output { type filter hook output priority 0; policy drop; }'",
            ]);
            let observation =
                trace_with(destination, ProbeKind::Tcp(80), 8000, Duration::from_millis(400), &Means::default());
            assert_eq!(observation.ending, Ending::Unanswered { acknowledged: 0, received: 0 });
            let there = ["ns_1 Out", "host In", "host Out", "world In"];
            assert_eq!(seen(&observation, Leg::Request)[..4], there, "the opening");
            let lost = observation.of_lost_data().unwrap();
            let once = ["ns_1 Out", "host In"];
            let seen = seen(&lost, Leg::Request);
            assert!(seen.len() >= 4 && seen.chunks(2).all(|pair| pair == once), "lost, and repeated: {seen:?}");
            assert!(lost.journey.of(Leg::Request).all(|sight| sight.header.length == 1500));
            assert_eq!(lost.journey.of(Leg::Answer).count(), 0);
            assert!(observation.moved(&NetnsName::host(), &format!("{family}.FragFails")) > 0);
            perform(&["nft 'delete table inet mute'", "ip link set eth2 mtu 1500"]);
        }
    });
}

#[test]
fn many_probes_in_a_row_are_all_counted() {
    sandbox::test(|| {
        let probe = Probe {
            from: NetnsName::host(),
            destination: "127.0.0.1".parse().unwrap(),
            kind: ProbeKind::Icmp,
            size: 8,
            source: None,
            dont_fragment: false,
        };
        let mut watch = Watch::set(&probe, &[]).unwrap();
        for _ in 0..5 {
            watch.send();
        }
        watch.collect(LONG);
        watch.send();
        watch.collect(LONG);
        let observation = watch.finish().unwrap();
        assert_eq!(observation.ending, Ending::Answered);
        let count = |leg, way| observation.journey.of(leg).filter(|sight| sight.way == way).count();
        assert_eq!((count(Leg::Request, Way::Out), count(Leg::Answer, Way::In)), (6, 6));
    });
}

#[test]
fn a_namespace_that_is_not_there_is_a_limit_unless_the_probe_starts_in_it() {
    sandbox::test(|| {
        let missing: NetnsName = "missing".parse().unwrap();
        let probe = |from: NetnsName| Probe {
            from,
            destination: "127.0.0.1".parse().unwrap(),
            kind: ProbeKind::Icmp,
            size: 8,
            source: None,
            dont_fragment: false,
        };
        let mut watch = Watch::set(&probe(NetnsName::host()), std::slice::from_ref(&missing)).unwrap();
        watch.send();
        watch.collect(LONG);
        let observation = watch.finish().unwrap();
        assert_eq!(observation.ending, Ending::Answered);
        assert_eq!(observation.limits.iter().map(|l| l.netns.clone()).collect::<Vec<_>>(), [Some(missing.clone())]);
        let error = Watch::set(&probe(missing), &[]).unwrap_err();
        assert_eq!(error.kind(), nsgate_kernel::Kind::NotFound);
    });
}

/// Where the kernel threw something away and why, as far as it told.
fn drops(observation: &Observation) -> Vec<String> {
    let losses = observation.kernel.iter().filter(|event| event.is_loss());
    let told = losses.map(|event| match (&event.netns, &event.kind) {
        (Some(netns), KernelEventKind::Dropped { reason, .. }) => format!("{netns} {reason}"),
        other => format!("{other:?}"),
    });
    told.collect()
}

#[test]
fn the_kernel_says_why_it_drops_a_probe_to_those_who_may_ask() {
    sandbox::test(|| {
        build(&[]);
        let means = &Means { kernel: true, ..Means::default() };
        for (near, far) in [("1.1.1.3", "114.114.114.114"), ("fd01::3", "fd30::1")] {
            settle(near);
            // What was not asked for is not missed, nor what is not needed.
            assert_eq!(trace(far, ProbeKind::Udp(9), Duration::from_millis(50)).kernel, []);
            assert_eq!(trace_with(near, ProbeKind::Icmp, 56, LONG, means).limits, []);
            let lost = trace_with(far, ProbeKind::Icmp, 56, Duration::from_millis(300), means);
            assert_eq!(seen(&lost, Leg::Request), ["ns_1 Out", "host In"]);
            if Privileges::of_caller().can_trace_kernel() {
                assert_eq!((drops(&lost), lost.limits), (vec!["host IP_INADDRERRORS".to_owned()], vec![]));
            } else {
                let missed: Vec<&str> = lost.limits.iter().map(|limit| limit.what.as_str()).collect();
                assert_eq!((lost.kernel, missed), (vec![], vec!["what the kernel drops, and why"]));
            }
        }
    });
}

/// The traces of the packet filter of `host`, with the chains of this interface.
fn traced(device: Option<&str>) -> Means {
    let devices = device.iter().map(|name| name.parse().unwrap()).collect();
    let netns = NetnsName::host();
    let filtered = Filtered { netns, devices, bridged: false, arp: false, nftables: true, legacy: false };
    Means { filters: vec![filtered], ..Means::default() }
}

/// What each chain but ours made of the packets for an address: `forward Rule Drop`.
fn decided(observation: &Observation, destination: &str) -> Vec<String> {
    let ours = |event: &&RuleEvent| event.packet().as_ip().is_some_and(|ip| ip.destination.to_string() == destination);
    let step = |step| match step {
        RuleStep::Rule(_) => "rule",
        RuleStep::Return => "return",
        RuleStep::Policy => "policy",
    };
    let events = observation.rules.iter().filter(ours);
    events.map(|e| format!("{} {} {:?}", e.chain, step(e.step), e.verdict.clone().unwrap())).collect()
}

/// The tables of this namespace.
fn tables() -> Vec<String> {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    nftables::ruleset(&mut socket).unwrap().ruleset.tables.into_iter().map(|table| table.name).collect()
}

#[test]
fn the_packet_filter_says_which_rule_drops_a_probe() {
    sandbox::test(|| {
        build(&FORWARDING);
        perform(&[
            "nft 'add table inet t'",
            "nft 'add chain inet t c { type filter hook forward priority 0; policy accept; }'",
        ]);
        for (destination, back) in [("114.114.114.114", "1.1.1.2"), ("fd30::1", "fd01::2")] {
            settle(destination);
            for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
                let passed = trace_with(destination, kind, kind.usual_size(), LONG, &traced(None));
                assert_eq!(decided(&passed, destination), ["c policy Accept"], "{kind} {destination}");
                // What comes back too: an answer, a reset, an error that quotes the probe.
                assert_eq!(decided(&passed, back), ["c policy Accept"], "{kind} {destination}");
                assert_eq!((passed.limits, tables()), (vec![], vec!["t".to_owned()]));
            }
        }
        perform(&["nft 'add rule inet t c meta iif > 0 drop'"]);
        for destination in ["114.114.114.114", "fd30::1"] {
            for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
                let lost = trace_with(destination, kind, kind.usual_size(), Duration::from_millis(100), &traced(None));
                assert_eq!(decided(&lost, destination), ["c rule Drop"], "{kind} {destination}");
                assert!(
                    lost.rules.iter().all(|event| event.is_loss() && event.entered.is_some() && event.left.is_some())
                );
            }
        }
    });
}

#[test]
fn chains_at_an_interface_are_traced_too() {
    sandbox::test(|| {
        build(&[]);
        settle("1.1.1.3");
        perform(&[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook ingress device veth3 priority 0; policy drop; }'",
        ]);
        // Addresses are known, or the question for them would be dropped.
        let lost = trace_with("1.1.1.3", ProbeKind::Icmp, 56, Duration::from_millis(100), &traced(Some("veth3")));
        assert_eq!((decided(&lost, "1.1.1.3"), lost.limits), (vec!["c policy Drop".to_owned()], vec![]));
        assert_eq!(tables(), ["t"]);
        // What the kernel refuses: one chain at one interface twice.
        let mut twice = traced(Some("veth3"));
        twice.filters[0].devices.push("veth3".parse().unwrap());
        let missed = trace_with("1.1.1.3", ProbeKind::Icmp, 56, Duration::from_millis(10), &twice);
        assert_eq!((missed.rules, missed.limits.len(), tables()), (vec![], 1, vec!["t".to_owned()]));
    });
}

#[test]
fn what_leaves_by_an_interface_is_traced_to_its_chains() {
    sandbox::test(|| {
        build(&[]);
        perform(&["sysctl -w net.ipv4.ip_forward=1"]);
        settle("114.114.114.114");
        perform(&[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook egress device eth2 priority 0; policy drop; }'",
        ]);
        let to = "114.114.114.114";
        let lost = trace_with(to, ProbeKind::Icmp, 56, Duration::from_millis(100), &traced(None));
        assert_eq!((decided(&lost, to), lost.limits), (vec!["c policy Drop".to_owned()], vec![]));
    });
}

#[test]
fn what_no_trace_explains_is_looked_at_closer() {
    sandbox::test(|| {
        build(&FORWARDING);
        settle("114.114.114.114");
        settle("fd30::1");
        let means = Means { kernel: true, ..Means::default() };
        let stretches = |observation: &Observation| -> Vec<_> {
            let events = &observation.kernel;
            let found = (0..events.len()).filter_map(|place| stretch(&life(events, place)));
            found.map(|s| (s.hook, s.from, s.until)).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        for (hook, priority, from, until) in [
            (Hook::Forward, "0", -90, 10),
            (Hook::Prerouting, "-300", -301, -250),
            (Hook::Postrouting, "300", 110, i32::MAX),
        ] {
            let chain = format!("{{ type filter hook {} priority {priority}; policy drop; }}", hook.name());
            perform(&["nft 'add table inet t'", &format!("nft 'add chain inet t c {chain}'")]);
            for destination in ["114.114.114.114", "fd30::1"] {
                for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
                    let lost = trace_with(destination, kind, kind.usual_size(), Duration::from_millis(50), &means);
                    let expected: &[_] =
                        if Privileges::of_caller().can_trace_kernel() { &[(hook, from, until)] } else { &[] };
                    assert_eq!(stretches(&lost), expected, "{hook:?} {kind} {destination} {:#?}", drops(&lost));
                }
            }
            perform(&["nft 'delete table inet t'"]);
        }
        // What is delivered, or lost for another reason, is sent once.
        let answered = trace_with("fd30::1", ProbeKind::Icmp, 56, LONG, &means);
        assert_eq!((stretches(&answered), seen(&answered, Leg::Request).len()), (vec![], 4));
    });
}

#[test]
fn what_a_tunnel_carries_is_seen_within_it_and_outside() {
    sandbox::test(|| {
        build(&[]);
        perform(&["sysctl -w net.ipv4.ip_forward=1"]);
        settle("114.114.114.114");
        for (netns, near, far, address) in
            [("ns_1", "1.1.1.2", "10.20.30.1", "10.200.0.1"), ("world", "10.20.30.1", "1.1.1.2", "10.200.0.2")]
        {
            perform(&[
                &format!("ip -n {netns} link add vxlan10 type vxlan id 10 local {near} remote {far} dstport 4789"),
                &format!("ip -n {netns} addr add {address}/24 dev vxlan10"),
                &format!("ip -n {netns} link set vxlan10 up"),
            ]);
        }
        settle("10.200.0.2");
        for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
            let observation = trace("10.200.0.2", kind, LONG);
            assert_eq!(seen(&observation, Leg::Request), ["ns_1 Out", "world In"], "{kind}");
            let carried: Vec<_> = observation.journey.carried.iter().filter(|s| s.leg == Leg::Request).collect();
            let places: Vec<_> = carried.iter().map(|s| format!("{} {:?}", s.netns, s.way)).collect();
            assert_eq!(places, ["ns_1 Out", "host In", "host Out", "world In"], "{kind}");
            assert!(carried.iter().all(|s| s.tunnel.as_deref() == Some("VXLAN 10 1.1.1.2 > 10.20.30.1")), "{kind}");
            assert!(observation.journey.carried.iter().any(|s| s.leg != Leg::Request), "{kind}");
        }
    });
}

/// Two namespaces at one bridge of `host`.
const BRIDGE: [&str; 15] = [
    "ip netns add ns_1",
    "ip netns add world",
    "ip link add br0 type bridge",
    "ip link add v1 type veth peer name e1 netns ns_1",
    "ip link add v2 type veth peer name e2 netns world",
    "ip link set v1 master br0",
    "ip link set v2 master br0",
    "ip -n ns_1 addr add 10.0.0.1/24 dev e1",
    "ip -n world addr add 10.0.0.2/24 dev e2",
    "ip -n ns_1 addr add fd00::1/64 dev e1 nodad",
    "ip -n world addr add fd00::2/64 dev e2 nodad",
    "ip link set br0 up",
    "ip link set v1 up",
    "ip link set v2 up",
    "ip -n ns_1 link set e1 up",
];

#[test]
fn the_chains_of_a_bridge_and_of_arp_are_traced() {
    sandbox::test(|| {
        perform(&BRIDGE);
        perform(&["ip -n world link set e2 up", "ip addr add 10.0.0.3/24 dev br0"]);
        settle("10.0.0.2");
        settle("fd00::2");
        perform(&[
            "nft 'add table bridge b'",
            "nft 'add chain bridge b c { type filter hook forward priority 0; policy accept; }'",
            "nft 'add rule bridge b c meta l4proto { icmp, icmpv6 } drop'",
        ]);
        let mut means = traced(None);
        (means.filters[0].bridged, means.filters[0].arp) = (true, true);
        for destination in ["10.0.0.2", "fd00::2"] {
            let lost = trace_with(destination, ProbeKind::Icmp, 56, Duration::from_millis(100), &means);
            assert_eq!((decided(&lost, destination), lost.limits), (vec!["c rule Drop".to_owned()], vec![]));
            let family = lost.rules[0].table.family;
            assert_eq!(family, nsgate_core::model::ruleset::TableFamily::Bridge);
        }
        perform(&[
            "nft 'add table arp a'",
            "nft 'add chain arp a c { type filter hook input priority 0; policy drop; }'",
        ]);
        let lost = trace_with("10.0.0.3", ProbeKind::Icmp, 56, Duration::from_millis(100), &means);
        let dropped = lost.rules.iter().find(|event| event.table.name == "a").unwrap();
        assert!(dropped.is_loss() && matches!(dropped.packet().body, nsgate_packet::Body::Arp(_)), "{dropped:?}");
        assert_eq!(tables(), ["b", "a"]);
    });
}

#[test]
#[ignore = "needs Debian's iptables; run by cargo xtask interop"]
fn the_older_engine_counts_what_it_drops_beside_a_trace() {
    sandbox::test(|| {
        build(&FORWARDING);
        perform(&[
            "nft 'add table inet t'",
            "nft 'add chain inet t c { type filter hook prerouting priority 0; policy accept; }'",
        ]);
        let mut means = traced(None);
        means.filters[0].legacy = true;
        for (program, destination, protocol) in
            [("iptables-legacy", "114.114.114.114", "icmp"), ("ip6tables-legacy", "fd30::1", "ipv6-icmp")]
        {
            settle(destination);
            let line = ["-A", "FORWARD", "-d", destination, "-p", protocol, "-j", "DROP"];
            assert!(Command::new(program).args(line).status().unwrap().success());
            let lost = trace_with(destination, ProbeKind::Icmp, 56, Duration::from_millis(100), &means);
            assert_eq!((decided(&lost, destination), lost.limits), (vec!["c policy Accept".to_owned()], vec![]));
            let counts: Vec<_> = lost.counted.iter().map(|c| (c.chain.as_str(), c.rule, c.packets)).collect();
            assert_eq!(counts, [("FORWARD", 1, 1)]);
        }
    });
}

/// Set for a process that is to be killed while it traces.
const TO_BE_KILLED: &str = "NSGATE_TEST_TO_BE_KILLED";

#[test]
fn a_trace_of_rules_dies_with_its_process() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let probe = Probe {
            from: NetnsName::host(),
            destination: "127.0.0.1".parse().unwrap(),
            kind: ProbeKind::Icmp,
            size: 8,
            source: None,
            dont_fragment: false,
        };
        let _watch = Watch::set_with(&probe, &[], &traced(None)).unwrap();
        println!("ready");
        std::thread::sleep(Duration::from_mins(1));
        panic!("nobody killed this process");
    }
    sandbox::test(|| {
        let mut child = Command::new("/proc/self/exe")
            .args(["--exact", "a_trace_of_rules_dies_with_its_process", "--nocapture"])
            .env(TO_BE_KILLED, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("ready")));
        let standing = tables();
        assert!(standing.len() == 1 && standing[0].starts_with("nsgate-trace-"), "{standing:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !tables().is_empty() {
            assert!(Instant::now() < deadline, "{:?}", tables());
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}
