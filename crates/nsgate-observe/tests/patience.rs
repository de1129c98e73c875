//! How long a probe is waited for that is not answered, and what becomes of its repetition.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod network;

use std::time::Duration;

use nsgate_core::model::NetnsName;
use nsgate_core::trace::{Ending, Leg, Observation, Probe, ProbeKind, to_trace};
use nsgate_kernel::{sandbox, snapshot};
use nsgate_observe::{Means, Watch};

use self::network::{FORWARDING, build, perform};

const DESTINATIONS: [&str; 2] = ["10.20.30.1", "fd30::1"];
const KINDS: [ProbeKind; 3] = [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)];

/// Sends a probe from ns_1 that is waited for no longer than it is worth.
fn trace(destination: &str, kind: ProbeKind, wait: u64, watched: &[&str]) -> Observation {
    let from: NetnsName = "ns_1".parse().unwrap();
    let world = snapshot::take(std::slice::from_ref(&from)).unwrap();
    let destination = destination.parse().unwrap();
    let probe = Probe { from, destination, kind, size: kind.usual_size(), source: None, dont_fragment: false };
    let watched: Vec<NetnsName> = watched.iter().map(|name| name.parse().unwrap()).collect();
    let mut watch = Watch::set_with(&probe, &watched, &Means::default()).unwrap();
    watch.send();
    watch.collect_patiently(Duration::from_millis(wait), &world);
    watch.finish().unwrap()
}

/// A wait so long that whatever ends it is not its end.
const FOR_EVER: u64 = 60_000;
const ALL: [&str; 3] = ["host", "ns_1", "world"];

#[test]
fn what_is_lost_within_sight_is_not_waited_for() {
    sandbox::test(|| {
        build(&[]);
        for destination in DESTINATIONS {
            for kind in KINDS {
                let lost = trace(destination, kind, FOR_EVER, &ALL);
                assert_eq!(lost.ending, Ending::Silence, "{kind} {destination}");
                assert!(lost.waited < FOR_EVER);
                let once = lost.without_repetition();
                let seen: Vec<&str> = once.journey.of(Leg::Request).map(|sight| sight.netns.as_str()).collect();
                assert_eq!(seen, ["ns_1", "host"], "a repetition shows nothing new");
                assert_eq!(lost.attempts, if kind.is_connection() { 1 } else { 2 });
            }
        }
    });
}

#[test]
fn a_neighbour_that_nobody_is_is_not_waited_for() {
    sandbox::test(|| {
        build(&[]);
        for destination in ["1.1.1.77", "fd01::77"] {
            let lost = trace(destination, ProbeKind::Icmp, FOR_EVER, &ALL);
            assert_eq!(lost.ending, Ending::Silence);
            assert!(lost.waited < 3000, "the kernel gives up by itself only after three seconds");
            assert_eq!(lost.journey.of(Leg::Request).count(), 0);
        }
    });
}

#[test]
fn what_went_out_of_sight_is_waited_for_to_the_end() {
    sandbox::test(|| {
        build(&FORWARDING);
        perform(&["nft 'add table inet t'", "nft 'add chain inet t c { type filter hook forward priority 0; }'"]);
        perform(&["nft 'add rule inet t c iifname eth2 drop'"]);
        for destination in DESTINATIONS {
            let lost = trace(destination, ProbeKind::Icmp, 300, &["host"]);
            assert!(lost.waited < 300 && lost.ending == Ending::Silence, "the answer came, and was lost in sight");
        }
        perform(&["ip netns exec world nft 'add table inet t'"]);
        perform(&["ip netns exec world nft 'add chain inet t c { type filter hook output priority 0; }'"]);
        perform(&["ip netns exec world nft 'add rule inet t c icmp type echo-reply drop'"]);
        perform(&["ip netns exec world nft 'add rule inet t c icmpv6 type echo-reply drop'"]);
        for destination in DESTINATIONS {
            let lost = trace(destination, ProbeKind::Icmp, 300, &["host"]);
            assert!(lost.waited >= 300 && lost.ending == Ending::Silence, "{destination}");
            assert_eq!(lost.attempts, 1, "there is no time for another");
            let lost = trace(destination, ProbeKind::Icmp, 2000, &["host"]);
            assert!(lost.waited >= 2000 && lost.attempts == 2, "{destination}");
        }
    });
}

#[test]
fn a_lost_packet_whose_repetition_is_answered_is_no_lost_probe() {
    sandbox::test(|| {
        build(&FORWARDING);
        perform(&["nft 'add table inet t'", "nft 'add chain inet t c { type filter hook forward priority 0; }'"]);
        perform(&["nft 'add rule inet t c icmp type echo-request numgen inc mod 2 0 drop'"]);
        perform(&["nft 'add rule inet t c icmpv6 type echo-request numgen inc mod 2 0 drop'"]);
        for destination in DESTINATIONS {
            let found = trace(destination, ProbeKind::Icmp, FOR_EVER, &ALL);
            assert_eq!((found.ending, found.attempts), (Ending::Answered, 2), "{destination}");
            let seen: Vec<&str> = found.journey.of(Leg::Request).map(|sight| sight.netns.as_str()).collect();
            assert_eq!(seen, ["ns_1", "host", "ns_1", "host", "host", "world"]);
        }
    });
}

#[test]
fn a_connection_repeats_itself() {
    sandbox::test(|| {
        build(&FORWARDING);
        perform(&["nft 'add table inet t'", "nft 'add chain inet t c { type filter hook forward priority 0; }'"]);
        perform(&["nft 'add rule inet t c tcp flags == syn numgen inc mod 2 0 drop'"]);
        // Where not everything is watched, it is waited long enough for the kernel to repeat the opening.
        let found = trace("10.20.30.1", ProbeKind::Tcp(9), FOR_EVER, &[]);
        assert_eq!((found.ending, found.attempts), (Ending::Reset, 2));
    });
}

#[test]
fn what_changes_meanwhile_is_noticed_and_what_the_watch_itself_does_is_not() {
    sandbox::test(|| {
        build(&["sysctl -w net.ipv4.ip_forward=1", "nft 'add table inet t'"]);
        perform(&["nft 'add chain inet t c { type filter hook forward priority 0; }'"]);
        let from: NetnsName = "ns_1".parse().unwrap();
        let world = snapshot::take(std::slice::from_ref(&from)).unwrap();
        let (destination, kind) = ("10.20.30.1".parse().unwrap(), ProbeKind::Icmp);
        let probe = Probe { from, destination, kind, size: 56, source: None, dont_fragment: false };
        let names = ALL.map(|name| name.parse::<NetnsName>().unwrap());
        let filters = to_trace(&world, &names);
        assert_eq!(filters.len(), 1);
        let mut watch = Watch::set_with(&probe, &names, &Means { kernel: false, filters }).unwrap();
        watch.send();
        watch.collect_patiently(Duration::from_millis(FOR_EVER), &world);
        let changed = |watch: &Watch| {
            let changed = watch.changed_since(&world);
            changed.into_iter().map(|limit| (limit.netns.unwrap().to_string(), limit.why)).collect::<Vec<_>>()
        };
        assert_eq!(changed(&watch), []);
        let filter = |name: &str| (name.to_owned(), "its packet filter was changed meanwhile".to_owned());
        perform(&["ip netns exec ns_1 nft 'add table inet t'"]);
        assert_eq!(changed(&watch), [filter("ns_1")]);
        perform(&["nft 'add table inet u'", "ip netns del world", "ip netns add world"]);
        let replaced = ("world".to_owned(), "the namespace world was removed or replaced meanwhile".to_owned());
        let mut found = changed(&watch);
        found.sort();
        assert_eq!(found, [filter("host"), filter("ns_1"), replaced]);
        assert_eq!(watch.finish().unwrap().ending, Ending::Answered);
    });
}
