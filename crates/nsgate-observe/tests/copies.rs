//! Probes that are copied, or that pass interfaces stacked on others, on the real kernel.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use nsgate_core::model::NetnsName;
use nsgate_core::trace::{Ending, Leg, Observation, Probe, ProbeKind};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::{apply, sandbox, settle, snapshot};
use nsgate_observe::Watch;

/// ns_1 at the interface v1 of `host`; nobody is watched at the other end of v2.
const NETWORK: [&str; 13] = [
    "ip netns add ns_1",
    "ip netns add mirror",
    "ip link add v1 type veth peer name e1 netns ns_1",
    "ip link add v2 type veth peer name e2 netns mirror",
    "ip addr add 10.0.0.1/24 dev v1",
    "ip -n ns_1 addr add 10.0.0.2/24 dev e1",
    "ip addr add fd00::1/64 dev v1 nodad",
    "ip -n ns_1 addr add fd00::2/64 dev e1 nodad",
    "ip link set lo up",
    "ip link set v1 up",
    "ip -n ns_1 link set e1 up",
    "ip link set v2 up",
    "ip -n mirror link set e2 up",
];
const HELD: [&str; 2] = ["10.0.0.1", "fd00::1"];
const KINDS: [ProbeKind; 3] = [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)];

fn perform(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn build(lines: &[&str], names: &[&str]) {
    perform(lines);
    let namespaces: Vec<Netns> = names.iter().map(|name| Netns::open(&name.parse().unwrap()).unwrap()).collect();
    assert_eq!(settle::settle(&namespaces, Duration::from_secs(20)).unwrap(), []);
}

/// Sends a probe from ns_1 and waits for what comes back.
fn trace(destination: &str, kind: ProbeKind, watched: &[&str]) -> Observation {
    let from: NetnsName = "ns_1".parse().unwrap();
    let destination = destination.parse().unwrap();
    let probe = Probe { from, destination, kind, size: kind.usual_size(), source: None, dont_fragment: false };
    let watched: Vec<NetnsName> = watched.iter().map(|name| name.parse().unwrap()).collect();
    let mut watch = Watch::set(&probe, &watched).unwrap();
    watch.send();
    watch.collect(Duration::from_secs(5));
    watch.finish().unwrap()
}

/// Where a leg was seen, by the names of the interfaces: `ns_1/e1 Out`.
fn seen(observation: &Observation, leg: Leg) -> Vec<String> {
    let world = snapshot::take(&[]).unwrap();
    let name = |sight: &nsgate_core::trace::Sight| {
        let link = world.namespace(&sight.netns).unwrap().link(sight.link).unwrap();
        format!("{}/{} {:?}", sight.netns, link.name, sight.way)
    };
    observation.journey.of(leg).map(name).collect()
}

/// The number of an interface of `host`.
fn number(link: &str) -> u32 {
    let world = snapshot::take(&[]).unwrap();
    world.namespace(&NetnsName::host()).unwrap().link_named(link).unwrap().index.0
}

fn came_back(observation: &Observation) -> bool {
    matches!(observation.ending, Ending::Answered | Ending::Reset | Ending::IcmpError { icmp_type: 3 | 1, .. })
}

#[test]
fn a_copy_for_another_wire_is_seen_there_and_the_probe_goes_on() {
    sandbox::test(|| {
        build(&NETWORK, &["host", "ns_1", "mirror"]);
        perform(&[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook ingress device \"v1\" priority 0; }'",
            &format!("nft 'add rule netdev t c meta protocol {{ ip, ip6 }} dup to {}'", number("v2")),
        ]);
        for (destination, kind) in HELD.into_iter().flat_map(|held| KINDS.map(|kind| (held, kind))) {
            let found = trace(destination, kind, &["host", "mirror"]);
            assert!(came_back(&found), "{kind} {destination}: {:?}", found.ending);
            let mut places = seen(&found, Leg::Request);
            places.sort();
            // A reset by the prober itself is part of the connection, and goes the same way.
            places.dedup();
            assert_eq!(places, ["host/v1 In", "host/v2 Out", "mirror/e2 In", "ns_1/e1 Out"], "{kind} {destination}");
            let back = if matches!(kind, ProbeKind::Udp(_)) { Leg::Error } else { Leg::Answer };
            assert_eq!(seen(&found, back), ["host/v1 Out", "ns_1/e1 In"], "{kind} {destination}");
        }
    });
}

#[test]
fn a_copy_for_another_host_is_seen_beside_the_probe() {
    sandbox::test(|| {
        build(&NETWORK, &["host", "ns_1", "mirror"]);
        perform(&[
            "ip addr add 10.9.0.1/24 dev v2",
            "ip -n mirror addr add 10.9.0.2/24 dev e2",
            "nft 'add table ip t'",
            "nft 'add chain ip t c { type filter hook prerouting priority -300; }'",
            "nft 'add rule ip t c ip saddr 10.0.0.2 dup to 10.9.0.2'",
        ]);
        let found = trace(HELD[0], ProbeKind::Icmp, &["host", "mirror"]);
        assert_eq!(found.ending, Ending::Answered);
        let mut places = seen(&found, Leg::Request);
        places.sort();
        assert_eq!(places, ["host/v1 In", "host/v2 Out", "mirror/e2 In", "ns_1/e1 Out"]);
    });
}

#[test]
fn a_duplicate_on_the_same_wire_is_seen_twice_and_answered_twice() {
    sandbox::test(|| {
        build(&NETWORK, &["host", "ns_1", "mirror"]);
        perform(&[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook egress device \"v1\" priority 0; }'",
            &format!(
                "nft 'add rule netdev t c meta protocol {{ ip, ip6 }} meta mark != 7 meta mark set 7 dup to {}'",
                number("v1")
            ),
        ]);
        for destination in HELD {
            let found = trace(destination, ProbeKind::Icmp, &["host"]);
            assert_eq!(found.ending, Ending::Answered);
            assert_eq!(seen(&found, Leg::Request), ["ns_1/e1 Out", "host/v1 In"]);
            let arrived = seen(&found, Leg::Answer).into_iter().filter(|place| place == "ns_1/e1 In").count();
            assert!((1..=2).contains(&arrived), "{:?}", seen(&found, Leg::Answer));
            let left = seen(&found, Leg::Answer).into_iter().filter(|place| place == "host/v1 Out").count();
            assert_eq!(left, 2, "{:?}", seen(&found, Leg::Answer));
        }
    });
}

#[test]
fn what_nobody_watches_is_not_said_to_be_unseen() {
    sandbox::test(|| {
        build(&NETWORK, &["host", "ns_1", "mirror"]);
        let found = trace(HELD[0], ProbeKind::Icmp, &[]);
        assert_eq!(found.ending, Ending::Answered);
        assert_eq!(seen(&found, Leg::Request), ["ns_1/e1 Out"]);
        let [here, there] = ["ns_1", "host"].map(|name| found.watches(&name.parse().unwrap()));
        assert!(here && !there);
        let gone = trace(HELD[0], ProbeKind::Icmp, &["host", "nowhere"]);
        let limits: Vec<String> = gone.limits.iter().filter_map(|l| Some(l.netns.as_ref()?.to_string())).collect();
        assert_eq!(limits, ["nowhere"]);
        assert!(gone.watched.iter().all(|watched| watched.lost == 0));
    });
}

#[test]
fn a_probe_is_followed_through_stacked_interfaces() {
    sandbox::test(|| {
        build(
            &[
                "ip netns add ns_1",
                "ip netns add ns_2",
                "ip link add v1 type veth peer name e1 netns ns_2",
                "ip link set v1 up",
                "ip -n ns_2 link set e1 up",
                "ip link add link v1 name m1 type macvlan mode bridge",
                "ip link set m1 netns ns_1",
                "ip -n ns_1 addr add 10.0.0.2/24 dev m1",
                "ip -n ns_1 addr add fd00::2/64 dev m1 nodad",
                "ip -n ns_1 link set m1 up",
                "ip -n ns_2 addr add 10.0.0.1/24 dev e1",
                "ip -n ns_2 addr add fd00::1/64 dev e1 nodad",
            ],
            &["host", "ns_1", "ns_2"],
        );
        for (destination, kind) in HELD.into_iter().flat_map(|held| KINDS.map(|kind| (held, kind))) {
            let found = trace(destination, kind, &["host", "ns_2"]);
            assert!(came_back(&found), "{kind} {destination}: {:?}", found.ending);
            let there = ["ns_1/m1 Out", "host/v1 Out", "ns_2/e1 In"];
            assert_eq!(seen(&found, Leg::Request), there, "{kind} {destination}");
            let back = if matches!(kind, ProbeKind::Udp(_)) { Leg::Error } else { Leg::Answer };
            let places = seen(&found, back);
            assert_eq!((places.first(), places.last()), (Some(&"ns_2/e1 Out".into()), Some(&"ns_1/m1 In".into())));
        }
    });
}
