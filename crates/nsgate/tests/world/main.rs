//! The World against Debian's own tools: what `nsgate snapshot` says and what `ip`, `bridge`, `tc`, `ss`, `conntrack` and
//! `sysctl` say of the same place must be equal where they speak of the same thing.
//!
//! Both are made into tables of rows of words, and the rows are compared. A place is a sandbox with something of
//! everything, and every scenario of the folder that `NSGATE_SCENARIOS` names.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod bridges;
mod debian;
mod links;
mod rest;
mod routes;
mod tables;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use nsgate_core::model::saved::Saved;
use nsgate_core::model::{Namespace, NetnsName, World};
use nsgate_kernel::apply;
use nsgate_kernel::sandbox::test;

use debian::Debian;

/// One table of both sides.
struct Part {
    name: &'static str,
    ours: fn(&World, &Namespace) -> Vec<String>,
    theirs: fn(&Debian) -> Vec<String>,
}

const PARTS: [Part; 19] = [
    Part { name: "links", ours: links::ours, theirs: links::theirs },
    Part { name: "addresses", ours: links::our_addresses, theirs: links::their_addresses },
    Part { name: "ports", ours: bridges::our_ports, theirs: bridges::their_ports },
    Part { name: "VLANs", ours: bridges::our_vlans, theirs: bridges::their_vlans },
    Part { name: "forwarding", ours: bridges::our_forwarding, theirs: bridges::their_forwarding },
    Part { name: "routes", ours: routes::ours, theirs: routes::theirs },
    Part { name: "rules", ours: routes::our_rules, theirs: routes::their_rules },
    Part { name: "neighbours", ours: rest::our_neighbours, theirs: rest::their_neighbours },
    Part { name: "sysctls", ours: rest::our_sysctls, theirs: rest::their_sysctls },
    Part { name: "queues", ours: traffic::our_qdiscs, theirs: traffic::their_qdiscs },
    Part { name: "classes", ours: traffic::our_classes, theirs: traffic::their_classes },
    Part { name: "filters of traffic", ours: traffic::our_filters, theirs: traffic::their_filters },
    Part { name: "nexthop objects", ours: tables::our_nexthops, theirs: tables::their_nexthops },
    Part { name: "neighbour tables", ours: tables::our_neighbour_tables, theirs: tables::their_neighbour_tables },
    Part { name: "connections", ours: tables::our_connections, theirs: tables::their_connections },
    Part { name: "statistics of tracking", ours: tables::our_statistics, theirs: tables::their_statistics },
    Part { name: "IPsec policies", ours: tables::our_policies, theirs: tables::their_policies },
    Part { name: "IPsec states", ours: tables::our_states, theirs: tables::their_states },
    Part { name: "listeners", ours: rest::our_listeners, theirs: rest::their_listeners },
];

/// Set for the test program that runs within a scenario.
const WITHIN: &str = "NSGATE_WITHIN_SCENARIO";

#[test]
#[ignore = "needs Debian's tools; run by cargo xtask interop"]
fn something_of_everything_is_what_debians_tools_say() {
    if env::var_os(WITHIN).is_some() {
        return compare();
    }
    test(|| {
        for line in EVERYTHING.lines().map(str::trim) {
            apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        // What no step makes.
        let debian = Debian::within(&NetnsName::host());
        for line in MORE.lines().map(str::trim) {
            debian.text(line);
        }
        let _listening = (
            std::net::TcpListener::bind("0.0.0.0:80").unwrap(),
            std::net::TcpListener::bind("[::]:81").unwrap(),
            std::net::UdpSocket::bind("127.0.0.1:53").unwrap(),
            std::net::UdpSocket::bind("[::1]:54").unwrap(),
        );
        compare();
    });
}

#[test]
#[ignore = "needs Debian's tools and a folder of scenarios; run by cargo xtask interop"]
fn every_scenario_is_what_debians_tools_say() {
    if env::var_os(WITHIN).is_some() {
        return;
    }
    let Some(folder) = scenarios() else {
        return println!("no scenarios here: nothing to compare");
    };
    let only = env::var("NSGATE_ONLY").unwrap_or_default();
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| {
        path.join("build.sh").is_file() && (unprivileged_too(path) || rustix::process::geteuid().is_root())
    });
    names.retain(|path| path.to_string_lossy().contains(&only));
    names.sort();
    let (next, differing) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(path) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    differing.lock().unwrap().extend(differs(&folder, path));
                }
            });
        }
    });
    let differing = differing.into_inner().unwrap();
    println!("{} scenarios compared, {} differ", names.len(), differing.len());
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

fn unprivileged_too(scenario: &Path) -> bool {
    !scenario.join("needs-root").exists()
}

/// The folder of scenarios, where there is one.
fn scenarios() -> Option<PathBuf> {
    let named = env::var_os("NSGATE_SCENARIOS").map(PathBuf::from);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = repository.join(named.unwrap_or_else(|| "../shared/scenarios".into()));
    folder.join("run").is_file().then(|| folder.canonicalize().unwrap())
}

/// What differs in one scenario, where something does.
fn differs(folder: &Path, scenario: &Path) -> Option<String> {
    let name = scenario.file_name().unwrap();
    let mut run = Command::new(folder.join("run"));
    run.arg("exec").arg(name).arg("--").arg(env::current_exe().unwrap());
    run.args(["--ignored", "--exact", "something_of_everything_is_what_debians_tools_say"]);
    let output = run.env(WITHIN, "1").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{}: {said}", name.display()))
}

/// Compares this place with itself. What changes by itself meanwhile (neighbours age) is looked at again.
fn compare() {
    let mut found = differences();
    for _ in 0..5 {
        if found.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(300));
        found = differences();
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn differences() -> Vec<String> {
    let snapshot = Command::new(env!("CARGO_BIN_EXE_nsgate")).arg("snapshot").output().unwrap();
    assert!(snapshot.status.success(), "{}", String::from_utf8_lossy(&snapshot.stderr));
    let world = Saved::read(&snapshot.stdout).unwrap().world;
    // Stale names are no namespaces; everything else must have been read.
    let of_namespaces = world.limits.iter().filter(|limit| limit.netns.is_some());
    let unread = of_namespaces.filter(|limit| !limit.why.starts_with("stale name"));
    // A namespace whose last name went a moment ago is still being taken apart, and so are the wires into it.
    let mut found: Vec<String> = unread.map(|limit| format!("{limit:?}")).collect();
    for namespace in &world.namespaces {
        let debian = Debian::within(&namespace.name);
        for part in &PARTS {
            let (mut ours, mut theirs) = ((part.ours)(&world, namespace), (part.theirs)(&debian));
            ours.sort();
            theirs.sort();
            found.extend(difference(&format!("{} of {}", part.name, namespace.name), &ours, &theirs));
        }
    }
    found
}

/// The rows that only one side has.
fn difference(what: &str, ours: &[String], theirs: &[String]) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let only = |mark: char, these: &[String], those: &[String]| {
        let mut left = those.to_vec();
        let fresh = these.iter().filter(|row| match left.iter().position(|other| other == *row) {
            Some(at) => left.swap_remove(at).is_empty(),
            None => true,
        });
        fresh.map(|row| format!("\n  {mark} {row}")).collect::<Vec<_>>().concat()
    };
    Some(format!("{what} (- nsgate, + Debian):{}{}", only('-', ours, theirs), only('+', theirs, ours)))
}

/// Something of what Debian's tools make besides.
const MORE: &str = "ip nexthop add id 1 via 1.1.1.2 dev veth3
    ip nexthop add id 2 via 1.1.1.4 dev veth3
    ip nexthop add id 3 group 1,5/2
    ip nexthop add id 4 blackhole
    ip nexthop add id 5 via 2001:db8:1::2 dev veth3 onlink
    ip route add 10.77.0.0/16 nhid 3
    tc qdisc add dev veth3 root handle 1: htb default 10
    tc class add dev veth3 parent 1: classid 1:10 htb rate 10mbit
    tc class add dev veth3 parent 1:10 classid 1:11 htb rate 5mbit
    tc qdisc add dev veth3 parent 1:11 handle 30: bfifo limit 6000
    tc filter add dev veth3 parent 1: protocol ip pref 3 u32 match ip dst 10.0.0.0/8 flowid 1:11
    tc qdisc add dev x root tbf rate 10mbit burst 15000 limit 100000
    tc qdisc add dev y clsact
    tc filter add dev y ingress protocol ip pref 5 u32 match ip dst 10.0.0.0/8 action mirred egress redirect dev x
    tc filter add dev y egress protocol ipv6 pref 6 matchall action drop
    ip xfrm policy add src 1.1.1.0/24 dst 114.114.114.0/24 dir out tmpl src 10.0.0.1 dst 10.0.0.9 proto esp mode tunnel reqid 3
    ip xfrm policy add src fd00::/64 dst fd01::/64 proto tcp dport 443 dir fwd action block mark 1 mask 0xff if_id 7
    ip xfrm state allocspi src 10.0.0.1 dst 10.0.0.9 proto esp mode tunnel reqid 3 min 0x100 max 0x100
    conntrack -I -s 1.1.1.2 -d 9.9.9.9 -p tcp --sport 40000 --dport 80 --state ESTABLISHED -t 300 -m 7
    conntrack -I -s 1.1.1.2 -d 9.9.9.9 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 300
    conntrack -I -s fd00::2 -d fd01::9 -p udp --sport 5000 --dport 53 -t 300";

/// Something of everything that a step can make.
const EVERYTHING: &str = "ip netns add ns_1
    ip netns add web-1
    ip link add veth3 type veth peer name veth2 netns ns_1
    ip link add x type veth peer name y
    ip link add br0 type bridge
    ip link add v1 type veth peer name eth0 netns web-1
    ip link set v1 master br0
    ip link set veth3 alias 'a wire'
    ip link set lo up
    ip link set br0 up
    ip link set v1 up
    ip link set veth3 up
    ip link set x mtu 1400
    ip -n ns_1 link set veth2 up
    ip -n web-1 link set eth0 up
    ip link add mv link veth3 type macvlan mode bridge
    ip link add vx type vxlan id 7 remote 10.20.30.1 dstport 4789
    ip addr add 1.1.1.3/24 dev veth3
    ip addr add 2001:db8:1::3/64 dev veth3 nodad
    ip -n ns_1 addr add 1.1.1.2/24 dev veth2
    ip -n ns_1 route add default via 1.1.1.3 dev veth2
    ip -n ns_1 route add blackhole 10.9.0.0/16
    ip route add 10.55.0.0/16 via 1.1.1.2 dev veth3 table 88 metric 5
    ip route add 2001:db8:9::/48 via 2001:db8:1::2 dev veth3
    ip rule add priority 7 from 10.0.0.0/8 iif veth3 fwmark 0x1/0xff table 88
    ip rule add priority 8 to 2001:db8::/32 table 99
    ip neigh add 1.1.1.77 lladdr 02:00:00:00:00:01 dev veth3 nud permanent
    ip neigh add proxy 9.9.9.9 dev veth3
    sysctl -w net.ipv4.ip_forward=1
    sysctl -w net.ipv4.conf.veth3.rp_filter=2";
