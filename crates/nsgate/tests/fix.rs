//! `nsgate trace --fix` as a user runs it, each test in a sandbox of its own: what it mends, what it takes back, and what
//! it leaves alone.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod command;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nsgate_kernel::netns::Netns;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::{settle, sysctl};
use serde_json::Value;

use self::command::{build, trace};

const FORWARD: &str = "net.ipv4.ip_forward";

/// A namespace behind a gateway that translates to its public address, and does not forward yet.
fn gateway() {
    build(&[
        "ip netns add world",
        "ip netns add ns_1",
        "ip link add eth2 type veth peer name w0 netns world",
        "ip link add veth3 type veth peer name veth2 netns ns_1",
        "ip -n world addr add 10.20.30.1/24 dev w0",
        "ip -n world addr add 114.114.114.114/32 dev lo",
        "ip -n world link set lo up",
        "ip -n world link set w0 up",
        "ip addr add 10.20.30.182/24 dev eth2",
        "ip addr add 1.1.1.3/24 dev veth3",
        "ip link set lo up",
        "ip link set eth2 up",
        "ip link set veth3 up",
        "ip route add default via 10.20.30.1",
        "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
        "ip -n ns_1 link set lo up",
        "ip -n ns_1 link set veth2 up",
        "ip -n ns_1 route add default via 1.1.1.3",
        "sysctl -w net.ipv4.ip_forward=0",
        "nft add table ip nat",
        "nft add chain ip nat postrouting '{ type nat hook postrouting priority srcnat; policy accept; }'",
        "nft add rule ip nat postrouting ip saddr 1.1.1.0/24 oifname eth2 snat to 10.20.30.182",
    ]);
    let namespaces = ["host", "ns_1", "world"].map(|name| Netns::open(&name.parse().unwrap()).unwrap());
    assert_eq!(settle::settle(&namespaces, Duration::from_secs(20)).unwrap(), []);
}

fn setting(name: &str) -> String {
    sysctl::read(&Netns::host().unwrap(), &name.parse().unwrap()).unwrap()
}

#[test]
fn one_cause_is_mended_and_the_mend_is_proved() {
    test(|| {
        gateway();
        let (told, noted) = trace(0, "ns_1 114.114.114.114 --fix --yes");
        for line in ["✗ lost:", "forwarding-disabled", "✓ icmp from ns_1 to 114.114.114.114 is answered now"] {
            assert!(told.contains(line), "{line} is missing:\n{told}");
        }
        assert!(told.trim_end().ends_with("sysctl -w net.ipv4.ip_forward=0"), "{told}");
        assert!(noted.is_empty(), "{noted}");
        assert_eq!(setting(FORWARD), "1");
    });
}

#[test]
fn the_next_cause_follows_and_each_is_told_with_what_takes_it_back() {
    test(|| {
        gateway();
        build(&[
            "nft add table inet filter",
            "nft add chain inet filter forward '{ type filter hook forward priority 0; policy accept; }'",
            "nft add rule inet filter forward oifname eth2 drop",
        ]);
        let (told, _) = trace(0, "ns_1 114.114.114.114 --fix --yes --json");
        let answer: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&answer["delivered"], &answer["verdict"]["cause"]), (&true.into(), &"delivered".into()));
        let mended = answer["mended"].as_array().unwrap();
        let causes: Vec<_> = mended.iter().map(|one| one["cause"].as_str().unwrap()).collect();
        assert_eq!(causes, ["forwarding-disabled", "filter-drop"]);
        assert!(mended.iter().all(|one| one["helped"] == true));
        // What takes them back does so: the way is lost again, to the last that was mended first.
        for one in mended.iter().rev() {
            let undo: Vec<&str> = one["undo"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
            assert!(!undo.is_empty(), "{one}");
            build(&undo);
            let (told, _) = trace(1, "ns_1 114.114.114.114 --json");
            let verdict = &serde_json::from_str::<Value>(&told).unwrap()["verdict"];
            assert_eq!(verdict["cause"], one["cause"]);
        }
    });
}

#[test]
fn a_table_of_iptables_gets_a_rule_of_iptables() {
    test(|| {
        gateway();
        build(&[
            "sysctl -w net.ipv4.ip_forward=1",
            "nft add table ip filter",
            "nft add chain ip filter FORWARD '{ type filter hook forward priority filter; policy drop; }'",
            "nft add chain ip filter DOCKER-USER",
            "nft add rule ip filter FORWARD counter jump DOCKER-USER",
        ]);
        let (told, _) = trace(0, "ns_1 114.114.114.114 --fix --yes");
        assert!(told.contains("\n  iptables-nft -I DOCKER-USER -s 1.1.1.2 -d 114.114.114.114 -p icmp"), "{told}");
        assert!(told.contains("\n  iptables-nft -D DOCKER-USER -s 1.1.1.2 -d 114.114.114.114 -p icmp"), "{told}");
    });
}

#[test]
fn a_mend_that_does_not_help_is_taken_back() {
    test(|| {
        gateway();
        // Something on this machine insists.
        let stop = Arc::new(AtomicBool::new(false));
        let insists = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    build(&["sysctl -w net.ipv4.ip_forward=0"]);
                    thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let (told, _) = trace(1, "ns_1 114.114.114.114 --fix --yes");
        stop.store(true, Ordering::Relaxed);
        insists.join().unwrap();
        assert!(told.contains("the probe is lost as before, so this was taken back"), "{told}");
        assert!(!told.contains("to take it back"), "{told}");
        assert_eq!(setting(FORWARD), "0");
        assert!(!std::path::Path::new("/run/nsgate").exists(), "no record is left");
    });
}

#[test]
fn a_loss_beyond_this_machine_is_left_to_others() {
    test(|| {
        gateway();
        build(&["sysctl -w net.ipv4.ip_forward=1", "ip -n world addr del 114.114.114.114/32 dev lo"]);
        let (told, _) = trace(1, "ns_1 114.114.114.114 --fix --yes");
        assert!(told.contains("cannot be mended by a command on this machine"), "{told}");
        assert!(!told.contains("mending"), "{told}");
    });
}

#[test]
fn nothing_is_changed_without_a_yes() {
    test(|| {
        gateway();
        let (told, noted) = trace(1, "ns_1 114.114.114.114 --fix");
        assert!(told.contains("sysctl -w net.ipv4.ip_forward=1"), "{told}");
        assert!(noted.contains("--yes mends without asking"), "{noted}");
        assert_eq!(setting(FORWARD), "0");
    });
}

#[test]
fn whoever_may_not_change_networks_gets_the_commands() {
    use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

    test(|| {
        gateway();
        remove_capability_from_bounding_set(CapabilitySet::NET_ADMIN).unwrap();
        let (told, noted) = trace(1, "ns_1 114.114.114.114 --fix --yes");
        assert!(told.contains("sysctl -w net.ipv4.ip_forward=1") && !told.contains("mending"), "{told}");
        assert!(noted.contains("Nothing was tried") && noted.contains("CAP_NET_ADMIN"), "{noted}");
        assert_eq!(setting(FORWARD), "0");
    });
}
