//! Every line that a step shows itself as, run by Debian's own tools and by nsgate: the outcome must be the same.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nsgate_core::model::{Address, Link, LinkIndex, Namespace, NeighbourState};
use nsgate_core::plan::Step;

use super::perform;
use crate::{sandbox, snapshot};

/// One line each; `NS` is the namespace. Each step stands on those before it.
const LINES: &[&str] = &[
    // No addresses but those that are given: others would come at a time of their own.
    "ip netns exec NS sysctl -w net.ipv6.conf.default.addr_gen_mode=1",
    "ip -n NS link set lo up",
    "ip -n NS link add veth3 mtu 1450 address 02:00:00:00:00:03 group 7 type veth peer name veth2 mtu 1460 address 02:00:00:00:00:02 group 8",
    "ip -n NS link add veth4 address 02:00:00:00:00:04 numtxqueues 1 numrxqueues 1 type veth peer name veth5 address 02:00:00:00:00:05 numtxqueues 1 numrxqueues 1",
    "ip -n NS link add br0 address 02:00:00:00:00:10 type bridge",
    "ip -n NS link add br1 address 02:00:00:00:00:11 type bridge stp_state 1",
    "ip -n NS link add link veth5 name mv0 address 02:00:00:00:00:20 type macvlan mode private",
    "ip -n NS link add vx0 address 02:00:00:00:00:21 type vxlan id 42 remote 10.0.0.9 local 10.0.0.1 dev veth3 dstport 4789 nolearning",
    "ip -n NS link add vx1 address 02:00:00:00:00:22 type vxlan id 43 group 239.1.1.1 dev veth3 dstport 4790",
    "ip -n NS link set veth3 up",
    "ip -n NS link set veth2 up",
    "ip -n NS link set veth4 master br0",
    "ip -n NS link set veth4 up",
    "ip -n NS link set br0 up",
    "bridge -n NS link set dev veth4 isolated on",
    "bridge -n NS link set dev veth4 hairpin on",
    "bridge -n NS link set dev veth4 learning off",
    "ip -n NS link set veth5 up",
    "bridge -n NS link set dev veth4 state blocking",
    "ip -n NS link set veth5 down",
    "ip -n NS link set veth4 nomaster",
    "ip -n NS link set veth5 mtu 1300",
    "ip -n NS link set veth5 address 02:00:00:00:00:55",
    "ip -n NS link set veth5 alias 'a wire, with words'",
    "ip -n NS link set veth4 alias x",
    "ip -n NS link set veth4 alias ''",
    "ip -n NS link set veth5 arp off",
    "ip -n NS link set veth5 promisc on",
    "ip -n NS link set veth5 group 9",
    "ip -n NS link set veth5 name wire5",
    "ip -n NS link set wire5 addrgenmode none",
    "ip -n NS link set wire5 up",
    "ip -n NS link set br1 type bridge vlan_filtering 0",
    "ip -n NS addr add 10.0.0.1/24 dev veth3",
    "ip -n NS addr add 10.0.1.1 peer 10.0.1.2/32 dev veth3",
    "ip -n NS addr add 10.0.2.1/24 broadcast 10.0.2.255 dev veth3",
    "ip -n NS addr add 10.0.3.1/24 dev veth3 noprefixroute",
    "ip -n NS addr add fd00:7::1/64 dev veth3 nodad",
    "ip -n NS addr add fd00:8::1/64 dev veth3 nodad noprefixroute",
    "ip -n NS addr add 10.9.9.9/32 dev lo",
    "ip -n NS addr del 10.0.2.1/24 broadcast 10.0.2.255 dev veth3",
    "ip -n NS route add default via 10.0.0.254 dev veth3",
    "ip -n NS -6 route add default via fd00:7::fe dev veth3 proto 215",
    "ip -n NS route add 10.1.0.0/16 via 10.0.0.254 dev veth3 table 7 proto 215 src 10.0.0.1 metric 10 mtu 1300",
    "ip -n NS route add 10.2.0.0/16 dev veth3",
    "ip -n NS route add 10.3.0.0/16 via 192.0.2.1 dev veth3 onlink",
    "ip -n NS route add 10.4.0.0/16 nexthop via 10.0.0.253 dev veth3 weight 1 nexthop via 10.0.0.252 dev veth3 weight 3",
    "ip -n NS route add 10.5.0.0/16 via inet6 fd00:7::fe dev veth3",
    "ip -n NS route add blackhole 10.6.0.0/16",
    "ip -n NS route add unreachable 10.7.0.0/16 metric 5",
    "ip -n NS route add prohibit 10.8.0.0/16 table 7",
    "ip -n NS route add throw 10.9.0.0/16 table 7",
    "ip -n NS -6 route add unreachable fd00:99::/64",
    "ip -n NS route add local 10.77.0.1/32 dev lo table local",
    "ip -n NS route replace 10.2.0.0/16 via 10.0.0.251 dev veth3",
    "ip -n NS route del 10.3.0.0/16 via 192.0.2.1 dev veth3 onlink",
    "ip -n NS -6 route add fd00:5::/48 via fd00:7::fe dev veth3 metric 77",
    "ip -n NS rule add from 10.0.0.0/24 priority 100 lookup 7",
    "ip -n NS rule add from all to 10.1.0.0/16 iif veth3 priority 101 lookup 7 protocol 215",
    "ip -n NS rule add from all fwmark 0x1/0xff priority 102 unreachable",
    "ip -n NS rule add not from 10.0.0.0/24 priority 103 goto 200",
    "ip -n NS rule add from all ipproto 6 dport 80 priority 104 blackhole",
    "ip -n NS rule add from all sport 1000-2000 priority 105 prohibit",
    "ip -n NS rule add from all priority 106 lookup main suppress_prefixlength 0",
    "ip -n NS rule add from all uidrange 0-10 priority 107 lookup 7",
    "ip -n NS rule add from all oif veth3 tos 0x10 priority 200 lookup 7",
    "ip -n NS -6 rule add from fd00:7::/64 priority 100 lookup 7",
    "ip -n NS -6 rule add from all priority 108 lookup 8",
    "ip -n NS -6 rule del from all priority 108 lookup 8",
    "ip -n NS neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev veth3 nud permanent",
    "ip -n NS neigh replace 10.0.0.7 lladdr 02:00:00:00:00:77 dev veth3 nud permanent",
    "ip -n NS neigh add fd00:7::7 lladdr 02:00:00:00:00:07 dev veth3 nud permanent",
    "ip -n NS neigh add proxy 10.0.0.8 dev veth3",
    "ip -n NS neigh add proxy fd00:7::8 dev veth3",
    "ip -n NS neigh add 10.0.0.6 lladdr 02:00:00:00:00:06 dev veth3 nud permanent",
    "ip -n NS neigh del 10.0.0.6 dev veth3",
    "ip netns exec NS sysctl -w net.ipv4.ip_forward=1",
    "ip netns exec NS sysctl -w net.ipv4.conf.veth3.rp_filter=2",
    "ip netns exec NS sysctl -w net.ipv4.ping_group_range='0 100'",
    "ip netns exec NS nft 'add table ip nat; add chain ip nat post { type nat hook postrouting priority srcnat; policy accept; }; add rule ip nat post ip saddr 1.1.1.0/24 oifname \"eth2\" snat to 10.20.30.182'",
    "ip netns exec NS nft 'add set ip nat who { type ipv4_addr; flags interval; elements = { 10.0.0.0/24, 10.2.0.0/29 }; }; add rule ip nat post ip saddr @who masquerade'",
    "ip netns exec NS nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }'",
    "ip netns exec NS iptables-nft -A FORWARD -s 10.0.0.2 -d 192.0.2.1 -p tcp --dport 443 -m comment --comment 'let it pass' -j ACCEPT",
    "ip netns exec NS iptables-nft -I FORWARD -s 10.0.0.2 -p icmp --icmp-type 8 -m comment --comment x -j ACCEPT",
    "ip netns exec NS iptables-nft -I FORWARD 2 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "ip netns exec NS iptables-nft -D FORWARD -s 10.0.0.2 -p icmp --icmp-type 8 -m comment --comment x -j ACCEPT",
    "ip netns exec NS nft 'add table ip6 mangle; add chain ip6 mangle FORWARD { type filter hook forward priority mangle; policy accept; }'",
    "ip netns exec NS ip6tables-nft -t mangle -A FORWARD -d fd00:1::1 -p udp --dport 53 -m comment --comment x -j ACCEPT",
    "ip netns exec NS ip6tables-nft -t mangle -I FORWARD -d fd00:1::1 -p ipv6-icmp --icmpv6-type 128 -m comment --comment x -j ACCEPT",
    "ip -n NS link del vx1",
    "ip -n NS link del group 9",
];

#[test]
#[ignore = "needs Debian's iproute2, procps and nft; run by cargo xtask interop"]
fn the_tools_and_nsgate_do_the_same() {
    sandbox::test(|| {
        for netns in ["theirs", "ours"] {
            perform(&format!("ip netns add {netns}").parse().unwrap()).unwrap();
        }
        for line in LINES {
            let theirs = line.replace("NS", "theirs");
            // What is typed is what the step shows itself as.
            let world = snapshot::take(&[]).unwrap();
            assert_eq!(Step::read_in(&theirs, &world).unwrap().to_string(), theirs);
            let shell = Command::new("sh").args(["-c", &theirs]).output().unwrap();
            let said = String::from_utf8_lossy(&shell.stderr).into_owned();
            let ours = perform(&Step::read_in(&line.replace("NS", "ours"), &world).unwrap());
            match (shell.status.success(), &ours) {
                // What this kernel lacks, it lacks for both.
                (true, Ok(())) | (false, Err(_)) => {}
                _ => panic!("{line}\n  their end: {} {said}\n  our end: {ours:?}", shell.status),
            }
            let (theirs, ours) = settled();
            for (theirs, ours) in theirs.iter().zip(&ours) {
                assert_eq!(theirs, ours, "after {line}");
            }
            assert_eq!(theirs.len(), ours.len(), "after {line}");
        }
    });
}

/// What a mend adds to a table of iptables, `iptables` must be able to read and to remove, and the other way round: a
/// rule that it does not understand would stop whoever drives it, a container engine for instance.
#[test]
#[ignore = "needs Debian's iptables; run by cargo xtask interop"]
fn iptables_understands_the_rules_that_are_added_to_its_tables() {
    let rules = [
        ("iptables-nft", "-s 10.0.0.2 -d 192.0.2.1 -p tcp --dport 443 -m comment --comment nsgate-mend -j ACCEPT"),
        ("iptables-nft", "-s 10.0.0.2 -p udp --dport 53 -m comment --comment nsgate-mend -j ACCEPT"),
        ("iptables-nft", "-s 10.0.0.2 -d 192.0.2.1 -p icmp --icmp-type 8 -m comment --comment nsgate-mend -j ACCEPT"),
        ("iptables-nft", "-m conntrack --ctstate ESTABLISHED,RELATED -m comment --comment nsgate-mend -j ACCEPT"),
        ("ip6tables-nft", "-s fd00::2 -p ipv6-icmp --icmpv6-type 128 -m comment --comment nsgate-mend -j ACCEPT"),
        ("ip6tables-nft", "-s fd00::2 -d fd00::3 -p tcp --dport 80 -j ACCEPT"),
    ];
    sandbox::test(|| {
        let shell = |line: &str| {
            let output = Command::new("sh").args(["-c", line]).output().unwrap();
            let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            assert!(output.status.success() && err.is_empty(), "{line}: {err}");
            out
        };
        for (program, rule) in rules {
            let ours = |verb: &str| perform(&format!("{program} {verb} FORWARD {rule}").parse().unwrap()).unwrap();
            shell(&format!("{program} -P FORWARD DROP; {program} -A FORWARD -i eth0 -j ACCEPT"));
            let before = shell(&format!("{program} -S"));
            ours("-I");
            let listed = shell(&format!("{program} -S FORWARD 1"));
            assert!(listed.contains("ACCEPT"), "{rule}: {listed}");
            shell(&format!("{program} -C FORWARD {rule}; {program} -D FORWARD {rule}"));
            assert_eq!(shell(&format!("{program} -S")), before, "{rule}");
            shell(&format!("{program} -A FORWARD {rule}"));
            ours("-A");
            let (theirs, mine) = (shell(&format!("{program} -S FORWARD 2")), shell(&format!("{program} -S FORWARD 3")));
            assert_eq!(theirs, mine, "{rule}");
            ours("-D");
            shell(&format!("{program} -F FORWARD"));
        }
    });
}

/// What is in both namespaces, once it is the same, or after some time: the kernel does some things a moment later.
fn settled() -> (Vec<String>, Vec<String>) {
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        let world = snapshot::take(&[]).unwrap();
        let (theirs, ours) = (shape(&world.namespaces, "theirs"), shape(&world.namespaces, "ours"));
        if theirs == ours || Instant::now() > deadline {
            return (theirs, ours);
        }
        sleep(Duration::from_millis(5));
    }
}

/// What is in a namespace, one object a line, without what the kernel makes up.
fn shape(namespaces: &[Namespace], name: &str) -> Vec<String> {
    let netns = namespaces.iter().find(|netns| netns.name.as_str() == name).unwrap();
    let mut lines: Vec<String> = netns.links.iter().map(|link| format!("{:?}", plain(link))).collect();
    lines.extend(netns.routes.iter().map(|route| format!("{route:?}")));
    lines.extend(netns.rules.iter().map(|rule| format!("{rule:?}")));
    let fixed = netns.neighbours.iter().filter(|n| n.proxy || n.state == NeighbourState::Permanent);
    lines.extend(fixed.map(|neighbour| format!("{neighbour:?}")));
    // How many connections are tracked says what the kernel itself sent (a group report, at a time of its own), not
    // what a step did.
    let set = netns.sysctls.iter().filter(|(name, _)| name.as_str() != "net.netfilter.nf_conntrack_count");
    lines.extend(set.map(|(name, value)| format!("{name} = {value}")));
    lines.extend(netns.ruleset.tables.iter().map(ToString::to_string));
    lines.sort();
    lines
}

/// A link without what time changes: whether its own addresses are still looked for, and whether its carrier was noticed.
fn plain(link: &Link) -> Link {
    let address = |address: &Address| {
        let mut address = *address;
        address.flags.tentative = false;
        address
    };
    Link {
        index: LinkIndex(0),
        state: nsgate_core::model::OperState::Unknown,
        addresses: link.addresses.iter().map(address).collect(),
        ..link.clone()
    }
}
