//! `nsgate trace` as a user runs it, each test in a sandbox of its own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod command;

use nsgate_kernel::sandbox::test;
use serde_json::Value;

use self::command::{build, trace};

#[track_caller]
fn json(code: i32, arguments: &str) -> Value {
    serde_json::from_str(&trace(code, &format!("{arguments} --json")).0).expect("JSON")
}

#[test]
fn a_namespace_that_is_not_there_is_a_verdict_in_json_and_an_error_otherwise() {
    test(|| {
        build(&["ip netns add ns_1"]);
        std::fs::write("/run/netns/left", "").unwrap();
        for (name, why) in
            [("left", "nothing is mounted there"), ("ns1", "did you mean ns_1?"), ("pid:4194305", "no process")]
        {
            let answer = json(3, &format!("{name} 127.0.0.1"));
            let verdict = &answer["verdict"];
            assert_eq!(verdict["cause"], "not-permitted");
            assert_eq!((&verdict["where"]["netns"], &verdict["where"]["dev"]), (&name.into(), &Value::Null));
            assert!(verdict["object"].as_str().unwrap().contains(name), "{verdict}");
            assert!(verdict["summary"].as_str().unwrap().contains(why), "{verdict}");
            assert_eq!((&answer["delivered"], &answer["probe"]["from"]), (&false.into(), &name.into()));
            let (stdout, stderr) = trace(3, &format!("{name} 127.0.0.1"));
            assert!(stdout.is_empty() && stderr.contains(why), "{stderr}");
        }
    });
}

#[test]
fn whoever_lacks_a_capability_is_told_which() {
    use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

    test(|| {
        build(&["ip netns add ns_1"]);
        for capability in [CapabilitySet::NET_RAW, CapabilitySet::SYS_ADMIN] {
            remove_capability_from_bounding_set(capability).unwrap();
        }
        for (from, object) in [("host", "a probe in host (socket)"), ("ns_1", "ns_1")] {
            let verdict = json(3, &format!("{from} 127.0.0.1"))["verdict"].take();
            assert_eq!((&verdict["cause"], &verdict["object"]), (&"not-permitted".into(), &object.into()));
            let advice = "nsgate lacks CAP_NET_RAW, CAP_SYS_ADMIN: run it as root";
            assert_eq!(verdict["advice"], advice);
            assert!(trace(3, &format!("{from} 127.0.0.1")).1.contains(advice));
        }
    });
}

#[test]
fn a_name_is_resolved_as_the_namespace_would() {
    test(|| {
        build(&["ip netns add ns_1", "ip -n ns_1 link set lo up"]);
        rustix::mount::mount("none", "/etc", "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        std::fs::create_dir_all("/etc/netns/ns_1").unwrap();
        std::fs::write("/etc/netns/ns_1/hosts", "127.0.0.7 seven\n::1 seven\n").unwrap();
        let answer = json(0, "ns_1 seven");
        assert_eq!((&answer["probe"]["name"], &answer["probe"]["destination"]), (&"seven".into(), &"127.0.0.7".into()));
        assert!(answer["timing"]["ready"].as_u64().is_some_and(|microseconds| microseconds > 0), "{answer}");
        assert_eq!(json(0, "ns_1 seven -6")["probe"]["destination"], "::1");
        assert!(trace(0, "ns_1 seven").0.contains("delivered: icmp from ns_1 to seven (127.0.0.7)"));
        assert!(json(0, "ns_1 127.0.0.7")["probe"].get("name").is_none());
    });
}

#[test]
fn a_name_server_that_is_of_no_use_is_the_verdict_and_why_follows() {
    test(|| {
        build(&["ip netns add ns_1", "ip -n ns_1 link set lo up"]);
        rustix::mount::mount("none", "/etc", "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
        std::fs::create_dir_all("/etc/netns/ns_1").unwrap();
        std::fs::write("/etc/netns/ns_1/resolv.conf", "nameserver 127.0.0.53\n").unwrap();
        let answer = json(1, "ns_1 www.example.test --tcp 80");
        let verdict = &answer["verdict"];
        assert_eq!((&verdict["cause"], &verdict["where"]["netns"]), (&"resolver-unreachable".into(), &"ns_1".into()));
        assert_eq!(verdict["object"], "nameserver 127.0.0.53 of /etc/netns/ns_1/resolv.conf");
        assert_eq!(answer["further"][0]["cause"], "service-closed");
        let probe = &answer["probe"];
        assert_eq!((&probe["destination"], &probe["protocol"]), (&"www.example.test".into(), &"tcp".into()));
        let shown = trace(1, "ns_1 www.example.test").0;
        assert!(shown.contains("lost: icmp from ns_1 to www.example.test\n"), "{shown}");
        assert!(trace(2, "ns_1 300.1.1.1").1.contains("'300.1.1.1' is not an address"));
    });
}

#[test]
fn what_was_told_of_the_probe_is_shown_on_demand_and_in_json() {
    test(|| {
        build(&[
            "ip netns add ns_1",
            "ip link add veth3 type veth peer name veth2 netns ns_1",
            "ip addr add 1.1.1.3/24 dev veth3",
            "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
            "ip link set veth3 up",
            "ip -n ns_1 link set veth2 up",
            "nft 'add table inet t'",
            "nft 'add chain inet t c { type filter hook input priority 0; policy accept; }'",
            "nft 'add rule inet t c ct state invalid drop'",
        ]);
        let names = ["host", "ns_1"].map(|name| nsgate_kernel::netns::Netns::open(&name.parse().unwrap()).unwrap());
        let wait = std::time::Duration::from_secs(20);
        assert_eq!(nsgate_kernel::settle::settle(&names, wait).unwrap(), []);
        let observation = json(0, "ns_1 1.1.1.3 --no-bpf -d")["observation"].take();
        let connection = &observation["connection_changes"][0];
        assert_eq!((&connection["change"], &connection["entry"]["netns"]), (&"new".into(), &"host".into()));
        assert_eq!(connection["entry"]["original"]["destination"], "1.1.1.3");
        let resolved = |event: &Value| event["entry"]["address"] == "1.1.1.3" && event["entry"]["state"] == "reachable";
        let neighbours = observation["neighbour_changes"].as_array().unwrap();
        assert!(neighbours.iter().any(resolved), "{neighbours:#?}");
        let (shown, _) = trace(0, "ns_1 1.1.1.3 --no-bpf -d");
        for text in ["\nconnection tracking\n", "\npacket filter\n", "\ncounters\n", "Ip.InReceives +"] {
            assert!(shown.contains(text), "{text}: {shown}");
        }
        assert!(!trace(0, "ns_1 1.1.1.3 --no-bpf").0.contains("counters"));
    });
}

#[test]
fn a_lost_packet_whose_repetition_is_answered_is_told_as_such() {
    test(|| {
        build(&["ip netns add ns_1", "ip -n ns_1 link set lo up"]);
        build(&["ip netns exec ns_1 nft 'add table inet t'"]);
        build(&["ip netns exec ns_1 nft 'add chain inet t c { type filter hook input priority 0; policy accept; }'"]);
        build(&["ip netns exec ns_1 nft 'add rule inet t c icmp type echo-request numgen inc mod 2 0 drop'"]);
        let answer = json(0, "ns_1 127.0.0.1");
        assert_eq!((&answer["delivered"], &answer["attempts"]), (&true.into(), &2.into()));
        let shown = trace(0, "ns_1 127.0.0.1").0;
        assert!(shown.contains("but only at attempt 2"), "{shown}");
        assert!(shown.contains("nft trace: dropped by inet t c"), "{shown}");
        build(&["ip netns exec ns_1 nft 'flush chain inet t c'"]);
        assert!(json(0, "ns_1 127.0.0.1").get("attempts").is_none());
    });
}

#[test]
fn among_many_members_only_those_that_are_met_are_looked_at() {
    test(|| {
        let mut lines = vec!["sysctl -w net.ipv4.ip_forward=1".to_owned()];
        for n in 1..=20 {
            lines.extend([
                format!("ip netns add n{n}"),
                format!("ip link add v{n} type veth peer name eth0 netns n{n}"),
                format!("ip addr add 10.0.{n}.1/24 dev v{n}"),
                format!("ip link set v{n} up"),
                format!("ip -n n{n} addr add 10.0.{n}.2/24 dev eth0"),
                format!("ip -n n{n} link set eth0 up"),
                format!("ip -n n{n} route add default via 10.0.{n}.1"),
            ]);
        }
        build(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let watched = |answer: &Value| -> Vec<String> {
            let watched = answer["observation"]["watched"].as_array().unwrap();
            watched.iter().map(|netns| netns["netns"].as_str().unwrap().to_owned()).collect()
        };
        let answer = json(0, "n7 10.0.9.2 --details");
        assert_eq!(watched(&answer), ["n7", "host", "n9"]);
        // A loss is explained by everything that there is.
        let answer = json(1, "n7 10.0.9.2 --tcp 80");
        assert_eq!(answer["verdict"]["cause"], "service-closed", "{answer}");
        build(&["ip -n n9 route del default"]);
        let answer = json(1, "n7 10.0.9.2 --wait 300");
        assert_eq!(answer["verdict"]["cause"], "return-route-missing", "{answer}");
    });
}

/// ns_1 on a wire of its own; gives when it carries packets.
fn build_wire() {
    build(&[
        "ip netns add ns_1",
        "ip -n ns_1 link set lo up",
        "ip link add veth3 type veth peer name veth2 netns ns_1",
        "ip addr add 1.1.1.3/24 dev veth3",
        "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
        "ip link set veth3 up",
        "ip -n ns_1 link set veth2 up",
    ]);
    let names = ["host", "ns_1"].map(|name| nsgate_kernel::netns::Netns::open(&name.parse().unwrap()).unwrap());
    let wait = std::time::Duration::from_secs(20);
    assert_eq!(nsgate_kernel::settle::settle(&names, wait).unwrap(), []);
}

#[test]
fn what_makes_no_sense_is_a_usage_error_that_says_why() {
    test(|| {
        build_wire();
        for (arguments, why) in [
            ("ns_1 1.1.1.3 --tcp 0", "0 is not in 1..=65535"),
            ("ns_1 1.1.1.3 --udp 0", "0 is not in 1..=65535"),
            ("ns_1 1.1.1.3 --size 70000", "70000 is not in 0..=65000"),
            ("ns_1 1.1.1.3 --source 9.9.9.9", "ns_1 does not hold the source 9.9.9.9; it holds 1.1.1.2"),
            ("ns_1 1.1.1.3 --tcp 80 --source 9.9.9.9", "ns_1 does not hold the source 9.9.9.9; it holds 1.1.1.2"),
            ("ns_1 1.1.1.3 --source fd00::1", "of different families"),
            ("ns_1 1.1.1.255", "1.1.1.255 is the broadcast address of a link"),
            ("ns_1 255.255.255.255", "not the address of one host"),
            ("ns_1 0.0.0.0", "not the address of one host"),
            ("ns_1 ff02::1", "not the address of one host"),
            ("ns_1 fe80::1", "may be on any link"),
        ] {
            let (stdout, stderr) = trace(2, arguments);
            assert!(stdout.is_empty() && stderr.contains(why), "{arguments}: {stderr}");
        }
    });
}

#[test]
fn its_own_address_loopback_and_a_source_that_is_held_are_as_good_as_any() {
    test(|| {
        build_wire();
        for arguments in
            ["ns_1 1.1.1.2", "ns_1 127.0.0.1", "ns_1 127.9.9.9", "ns_1 ::1", "host 1.1.1.2 --source 1.1.1.3"]
        {
            assert_eq!(json(0, arguments)["verdict"]["cause"], "delivered", "{arguments}");
        }
        let closed = json(1, "ns_1 127.0.0.1 --tcp 80")["verdict"].take();
        assert_eq!((&closed["cause"], &closed["where"]["netns"]), (&"service-closed".into(), &"ns_1".into()));
        assert_eq!(json(0, "ns_1 1.1.1.3 --size 65000")["delivered"], true, "it is cut");
        let large = json(1, "ns_1 1.1.1.3 --size 65000 --dont-fragment")["verdict"].take();
        assert_eq!((&large["cause"], &large["object"]), (&"mtu-exceeded".into(), &"mtu 1500 of veth2".into()));
    });
}

#[test]
fn a_ruleset_that_changes_meanwhile_is_noticed_and_nothing_is_left_behind() {
    use std::sync::atomic::{AtomicBool, Ordering};

    test(|| {
        build_wire();
        build(&[
            "nft 'add table inet t'",
            "nft 'add chain inet t c { type filter hook input priority 0; policy drop; }'",
        ]);
        let lost = json(1, "ns_1 1.1.1.3 --no-bpf");
        let forgone = serde_json::json!([
            { "netns": null, "what": "what the kernel drops, and why", "why": "--no-bpf forgoes it" },
        ]);
        assert_eq!((&lost["verdict"]["cause"], &lost["limits"]), (&"filter-drop".into(), &forgone));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    build(&["nft 'add table inet other'", "nft 'delete table inet other'"]);
                }
            });
            let lost = json(1, "ns_1 1.1.1.3 --no-bpf");
            over.store(true, Ordering::Relaxed);
            let limits = lost["limits"].as_array().unwrap();
            let noticed = |limit: &Value| limit["why"] == "its packet filter was changed meanwhile";
            assert!(limits.iter().any(noticed), "{lost:#}");
        });
        let mut socket = nsgate_kernel::netlink::Socket::open(nsgate_kernel::netlink::Protocol::Netfilter).unwrap();
        let tables = nsgate_kernel::nftables::ruleset(&mut socket).unwrap().ruleset.tables;
        assert_eq!(tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["t"]);
    });
}

#[test]
fn what_loses_only_some_flows_is_found_among_several() {
    test(|| {
        build_wire();
        build(&[
            "nft add table inet filter",
            "nft add chain inet filter input '{ type filter hook input priority 0; policy accept; }'",
            // Every other source port, roughly: one flow alone may well be answered.
            "nft add rule inet filter input 'iifname veth3 tcp sport & 2 == 0 drop'",
        ]);
        let server: std::net::SocketAddr = "1.1.1.3:80".parse().unwrap();
        let host = nsgate_kernel::netns::Netns::host().unwrap();
        let _server = nsgate_kernel::server::Server::start(&host, nsgate_core::model::Transport::Tcp, server).unwrap();
        let answer = json(1, "ns_1 1.1.1.3 --tcp 80 --flows 24");
        let number = |what: &str| answer["flows"][what].as_u64().unwrap();
        assert_eq!(number("tried"), 24);
        assert!((1..24).contains(&number("lost")), "{}", answer["flows"]);
        assert_eq!((&answer["delivered"], &answer["verdict"]["cause"]), (&false.into(), &"filter-drop".into()));
        assert!(answer["verdict"]["object"].as_str().unwrap().contains("tcp sport"), "{}", answer["verdict"]);
        build(&["nft flush chain inet filter input"]);
        let (told, _) = trace(0, "ns_1 1.1.1.3 --tcp 80 --flows 3");
        assert!(told.contains("All 3 flows are answered"), "{told}");
    });
}
