//! Faults, and how the kernel tells of each: the reason, the function, and what it told of the packet just before.

use nsgate_core::trace::ProbeKind;

use super::lab::{BEYOND, FORWARDING, Watched, build, perform, test};

/// What makes a fault and what takes it back; the drop, and what is told of the packet before it, both after
/// `host: ` unless they name another namespace.
type Fault = (&'static [&'static str], &'static [&'static str], &'static str, &'static str);

const ROUTING: [Fault; 8] = [
    (
        &["sysctl -w net.ipv4.conf.veth3.forwarding=0"],
        &["sysctl -w net.ipv4.conf.veth3.forwarding=1"],
        "IP_INADDRERRORS in ip_error",
        "Prerouting last",
    ),
    (
        &["sysctl -w net.ipv4.conf.veth3.rp_filter=1", "ip route add 1.1.1.2/32 via 10.20.30.1"],
        &["sysctl -w net.ipv4.conf.veth3.rp_filter=0", "ip route del 1.1.1.2/32 via 10.20.30.1"],
        "IP_RPFILTER in ip_rcv_finish_core",
        "Prerouting last",
    ),
    (
        &["ip route del 114.114.114.114/32 via 10.20.30.1"],
        &["ip route add 114.114.114.114/32 via 10.20.30.1"],
        "IP_INNOROUTES in ip_error",
        "sends ICMP 3/0",
    ),
    (&["ip route replace throw 114.114.114.114/32"], &[ROUTE], "IP_INNOROUTES in ip_error", "sends ICMP 3/0"),
    (&["ip route replace blackhole 114.114.114.114/32"], &[ROUTE], "NOT_SPECIFIED in ip_error", "Prerouting last"),
    (&["ip route replace prohibit 114.114.114.114/32"], &[ROUTE], "NOT_SPECIFIED in ip_error", "sends ICMP 3/13"),
    (&["ip route replace unreachable 114.114.114.114/32"], &[ROUTE], "NOT_SPECIFIED in ip_error", "sends ICMP 3/1"),
    (
        &["ip -n world addr del 114.114.114.114/32 dev w0"],
        &["ip -n world addr add 114.114.114.114/32 dev w0"],
        "world: IP_INADDRERRORS in ip_error",
        "world: Prerouting last",
    ),
];
const ROUTE: &str = "ip route replace 114.114.114.114/32 via 10.20.30.1";

/// For packets of 1200 bytes.
const SIZE: [Fault; 2] = [
    (
        &["ip -n world link set w0 mtu 1000"],
        &["ip -n world link set w0 mtu 1500"],
        "NOT_SPECIFIED in __dev_forward_skb2",
        "Postrouting last",
    ),
    // The last, because the sender remembers it.
    (&["ip link set eth2 mtu 1000"], &[], "PKT_TOO_BIG in ip_forward", "sends ICMP 3/4"),
];

const FILTER: [Fault; 7] = [
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook forward priority 0; policy drop; }'"],
        &[GONE],
        NFT,
        "Forward first",
    ),
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook forward priority 0; policy accept; }'", RULE],
        &[GONE],
        NFT,
        "Forward first",
    ),
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook prerouting priority -300; policy drop; }'"],
        &[GONE],
        NFT,
        "Prerouting first",
    ),
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook postrouting priority 0; policy drop; }'"],
        &[GONE],
        NFT,
        "Postrouting first",
    ),
    (
        &[
            "ip netns exec world nft 'add table inet t'",
            "ip netns exec world nft 'add chain inet t c { type filter hook input priority 0; policy drop; }'",
        ],
        &["ip netns exec world nft 'delete table inet t'"],
        "world: NETFILTER_DROP in nft_do_chain",
        "world: Input first",
    ),
    (
        &[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook ingress device veth3 priority 0; policy drop; }'",
        ],
        &["nft 'delete table netdev t'"],
        NFT,
        "ns_1: Postrouting last",
    ),
    (
        &[
            "nft 'add table netdev t'",
            "nft 'add chain netdev t c { type filter hook egress device eth2 priority 0; policy drop; }'",
        ],
        &["nft 'delete table netdev t'"],
        NFT,
        "Postrouting last",
    ),
];
const NFT: &str = "NETFILTER_DROP in nft_do_chain";
const TABLE: &str = "nft 'add table inet t'";
const RULE: &str = "nft 'add rule inet t c icmp type echo-request drop'";
const GONE: &str = "nft 'delete table inet t'";

const LINK: [Fault; 2] = [
    (
        &["ip neigh replace 10.20.30.1 lladdr 02:00:00:00:00:99 dev eth2 nud permanent"],
        &["ip neigh del 10.20.30.1 dev eth2"],
        "world: OTHERHOST in ip_rcv_core",
        "Postrouting last",
    ),
    (
        &[
            "ip neigh replace 10.20.30.1 lladdr 02:00:00:00:00:99 dev eth2 nud permanent",
            "ip -n world link set w0 down",
        ],
        &["ip neigh del 10.20.30.1 dev eth2"],
        "QDISC_DROP in __dev_queue_xmit",
        "Postrouting last",
    ),
];

/// For IPv6.
const IPV6: [Fault; 5] = [
    (
        &["sysctl -w net.ipv6.conf.all.forwarding=0"],
        &["sysctl -w net.ipv6.conf.all.forwarding=1"],
        "IP_INADDRERRORS in ip6_forward",
        "Prerouting last",
    ),
    (
        &["ip route add blackhole fd30::1/128"],
        &["ip route del blackhole fd30::1/128"],
        "NOT_SPECIFIED in dst_discard_out",
        "Prerouting last",
    ),
    (
        &["ip route add unreachable fd30::1/128"],
        &["ip route del unreachable fd30::1/128"],
        "IP_INNOROUTES in ip6_pkt_discard",
        "Prerouting last",
    ),
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook forward priority 0; policy drop; }'"],
        &[GONE],
        NFT,
        "Forward first",
    ),
    (&["sysctl -w net.ipv6.conf.veth3.disable_ipv6=1"], &[], "IPV6DISABLED in ip6_rcv_core", "ns_1: Postrouting last"),
];

/// Makes each fault in turn, sends a probe, and takes the fault back. All that do not read as they should are told.
fn check(destination: &str, size: u32, faults: &[Fault]) {
    test(|| {
        build();
        perform(&FORWARDING);
        // One error a second and sender is what the kernel would send.
        perform(&["sysctl -w net.ipv4.icmp_ratelimit=0"]);
        let mut wrong = Vec::new();
        for (made, undone, drop, before) in faults {
            perform(made);
            let drop = in_host(&drop.replace(": ", ": dropped for "), "host: dropped for ");
            let told = Watched::sized(destination, ProbeKind::Icmp, size).send_until(&drop);
            let way = told.way_to(&drop);
            let found = way.iter().rev().nth(1).map_or("", String::as_str);
            if found != in_host(before, "host: ") {
                wrong.push(format!("{made:?}: {way:#?}"));
            }
            perform(undone);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

fn in_host(words: &str, host: &str) -> String {
    if words.contains(": ") { words.to_owned() } else { format!("{host}{words}") }
}

#[test]
fn routing() {
    check(BEYOND[0], 56, &ROUTING);
}

#[test]
fn size() {
    check(BEYOND[0], 1200, &SIZE);
}

#[test]
fn filter() {
    check(BEYOND[0], 56, &FILTER);
}

#[test]
fn link() {
    check(BEYOND[0], 56, &LINK);
}

#[test]
fn ipv6() {
    check(BEYOND[1], 56, &IPV6);
}
