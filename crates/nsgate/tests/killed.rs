//! A trace that is killed leaves nothing behind, whatever it was doing.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nsgate_kernel::netns::Netns;
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::settle::settle;
use nsgate_kernel::snapshot::{self, Reach};
use nsgate_kernel::{apply, looking_on};

/// How often a trace is killed.
const KILLS: u64 = 50;

/// The namespaces that a trace watches here.
const WATCHED: [&str; 3] = ["host", "ns_1", "world"];

/// The experiment, with a rule that drops the probe, so that everything there is watches it until it is given up.
fn build() {
    for line in [
        "ip netns add ns_1",
        "ip netns add world",
        "ip link add veth3 type veth peer name veth2 netns ns_1",
        "ip link add eth2 type veth peer name w0 netns world",
        // Addresses of its own would come and go by themselves.
        "ip link set veth3 addrgenmode none",
        "ip -n ns_1 link set veth2 addrgenmode none",
        "ip link set eth2 addrgenmode none",
        "ip -n world link set w0 addrgenmode none",
        "ip addr add 1.1.1.3/24 dev veth3",
        "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
        "ip addr add 10.20.30.182/24 dev eth2",
        "ip -n world addr add 10.20.30.1/24 dev w0",
        "ip -n world addr add 114.114.114.114/32 dev lo",
        "ip -n world link set lo up",
        "ip link set veth3 up",
        "ip -n ns_1 link set veth2 up",
        "ip link set eth2 up",
        "ip -n world link set w0 up",
        "ip -n ns_1 route add default via 1.1.1.3",
        "ip route add default via 10.20.30.1",
        "sysctl -w net.ipv4.ip_forward=1",
        "nft add table ip nat",
        "nft add chain ip nat post '{ type nat hook postrouting priority srcnat; policy accept; }'",
        "nft add rule ip nat post ip saddr 1.1.1.2 snat to 10.20.30.182",
        "ip netns exec world nft add table ip filter",
        "ip netns exec world nft add chain ip filter input '{ type filter hook input priority filter; policy drop; }'",
    ] {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
    assert_eq!(settle(&opened(), Duration::from_secs(3)).unwrap(), []);
}

fn opened() -> Vec<Netns> {
    WATCHED.iter().map(|name| Netns::open(&name.parse().unwrap()).unwrap()).collect()
}

/// What a trace might leave behind, one object a line: namespaces with all that is in them, processes, sockets that
/// listen to the wire, files, mounts.
fn everything() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for netns in snapshot::take_as_far_as(Reach::All, &[]).unwrap().namespaces {
        // Neighbours, entries of connection tracking and counters come and go by themselves.
        let mut is = vec![format!("{:?}, {:?}", netns.aliases, netns.processes)];
        is.extend(each(&netns.links));
        is.extend(each(&netns.routes));
        is.extend(each(&netns.rules));
        is.extend(each(&netns.ruleset.tables));
        is.extend(each(&netns.traffic_filters));
        is.extend(each(&netns.programs));
        is.extend(each(&netns.listeners));
        is.extend(netns.qdiscs.iter().map(|queue| format!("{:?} of {:?}", queue.kind, queue.link)));
        let settings = netns.sysctls.iter().filter(|(name, _)| name.as_str() != "net.netfilter.nf_conntrack_count");
        is.extend(settings.map(|(name, value)| format!("{} = {value}", name.as_str())));
        lines.extend(is.into_iter().map(|what| format!("{}: {what}", netns.name)));
    }
    for netns in opened() {
        let sockets = netns.run(|| fs::read_to_string("/proc/thread-self/net/packet").unwrap()).unwrap();
        lines.insert(format!("{} sockets in {}", sockets.lines().count() - 1, netns.name()));
    }
    lines.extend(fs::read_dir("/run").unwrap().chain(fs::read_dir("/run/netns").unwrap()).map(|entry| {
        let path = entry.unwrap().path();
        path.display().to_string()
    }));
    lines.extend(fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned));
    lines
}

fn each<T: std::fmt::Debug>(objects: &[T]) -> impl Iterator<Item = String> {
    objects.iter().map(|object| format!("{object:?}"))
}

/// Everything must be as before; what is not is named.
#[track_caller]
fn as_before(before: &BTreeSet<String>, after: &str) {
    let now = everything();
    let (gone, new): (Vec<_>, Vec<_>) = (before.difference(&now).collect(), now.difference(before).collect());
    assert!(gone.is_empty() && new.is_empty(), "after {after}: gone: {gone:#?}\nnew: {new:#?}");
}

fn start() -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    command.args(["trace", "ns_1", "114.114.114.114", "--wait", "100", "--brief"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Numbers that no two runs of the test have in common.
fn random(bound: u128) -> u128 {
    u128::from(RandomState::new().hash_one(bound)) % bound
}

#[test]
fn a_trace_that_is_killed_at_any_moment_leaves_nothing_behind() {
    test(|| {
        build();
        let before = everything();
        let started = Instant::now();
        let whole = start().wait_with_output().unwrap();
        let lasted = started.elapsed();
        let told = String::from_utf8(whole.stdout).unwrap();
        assert!(told.starts_with("filter-drop\tworld\t"), "{told}");
        as_before(&before, "a trace that was let go");
        let mut midway = 0;
        for _ in 0..KILLS {
            let moment = Duration::from_nanos(u64::try_from(random(lasted.as_nanos())).unwrap());
            let mut trace = start();
            thread::sleep(moment);
            midway += u64::from(trace.try_wait().unwrap().is_none());
            trace.kill().unwrap();
            trace.wait().unwrap();
            // Any process that lived on would hold the other end.
            trace.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
            as_before(&before, &format!("a kill after {moment:?}"));
        }
        assert!(midway > KILLS / 2, "of {KILLS} traces only {midway} were killed on their way");
        programs_go();
    });
}

/// Every program that any nsgate has in the kernel at this moment goes some time: those of the killed ones would stay.
fn programs_go() {
    if !Privileges::of_caller().can_trace_kernel() {
        assert!(looking_on().is_err(), "whoever may not load programs may not look at them");
        return;
    }
    // Other tests of this machine trace, too; each of them takes a few seconds at the most.
    let mut left: BTreeSet<u32> = looking_on().unwrap().into_iter().collect();
    for _ in 0..300 {
        if left.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
        let still: BTreeSet<u32> = looking_on().unwrap().into_iter().collect();
        left.retain(|program| still.contains(program));
    }
    panic!("programs stay in the kernel: {left:?}");
}
