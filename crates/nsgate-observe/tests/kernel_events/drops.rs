//! Faults, and how the kernel tells of each: the reason, the function, and what it told of the packet just before.

use nsgate_core::trace::ProbeKind;

use super::lab::{BEYOND, Watched, test};
use super::network::{FORWARDING, build, perform};

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

/// What ns_1 does to the packets that it sends; the address or field is the rule's.
macro_rules! sent {
    ($rule:literal) => {
        &[MANGLED, MANGLING, concat!("ip netns exec ns_1 nft 'add rule inet m c ", $rule, "'")]
    };
}
const MANGLED: &str = "ip netns exec ns_1 nft 'add table inet m'";
const MANGLING: &str =
    "ip netns exec ns_1 nft 'add chain inet m c { type filter hook postrouting priority 300; policy accept; }'";
const AS_IT_WAS: &[&str] = &["ip netns exec ns_1 nft 'delete table inet m'"];

/// Packets that are wrong when they come in. The link, the version and the protocol must stay right, or the kernel does
/// not tell of them as of the probe.
const MALFORMED: [Fault; 13] = [
    (sent!("icmp type echo-request ip ttl set 1"), AS_IT_WAS, "IP_INHDR in ip_forward", "sends ICMP 11/0"),
    (
        sent!("icmp type echo-request ip saddr set 127.0.0.5"),
        AS_IT_WAS,
        "IP_LOCALNET in ip_rcv_finish_core",
        BEFORE_ROUTING,
    ),
    (sent!("icmp type echo-request ip saddr set 0.0.0.0"), AS_IT_WAS, INVALID_SOURCE, BEFORE_ROUTING),
    (sent!("icmp type echo-request ip saddr set 224.0.0.5"), AS_IT_WAS, INVALID_SOURCE, BEFORE_ROUTING),
    (sent!("icmp type echo-request ip saddr set 255.255.255.255"), AS_IT_WAS, INVALID_SOURCE, BEFORE_ROUTING),
    (
        sent!("icmp type echo-request ip saddr set 1.1.1.3"),
        AS_IT_WAS,
        "IP_LOCAL_SOURCE in ip_rcv_finish_core",
        BEFORE_ROUTING,
    ),
    (
        sent!("icmp type echo-request ip daddr set 127.0.0.1"),
        AS_IT_WAS,
        "IP_LOCALNET in ip_rcv_finish_core",
        BEFORE_ROUTING,
    ),
    (
        sent!("icmp type echo-request ip daddr set 0.0.0.0"),
        AS_IT_WAS,
        "IP_INVALID_DEST in ip_rcv_finish_core",
        BEFORE_ROUTING,
    ),
    (sent!("icmp type echo-request @nh,80,16 set 0x1234"), AS_IT_WAS, "IP_CSUM in ip_rcv_core", ON_THE_WIRE),
    (sent!("icmp type echo-request @nh,0,8 set 0x55"), AS_IT_WAS, "IP_INHDR in ip_rcv_core", ON_THE_WIRE),
    (sent!("icmp type echo-request ip length set 4095"), AS_IT_WAS, "PKT_TOO_SMALL in ip_rcv_core", ON_THE_WIRE),
    (&[MANGLED, MANGLING, SPOILT], AS_IT_WAS, "world: ICMP_CSUM in icmp_rcv", "world: Input last"),
    (
        &[MANGLED, MANGLING, SPOILT, TABLE, FORWARD_ACCEPTS, "nft 'add rule inet t c ct state invalid drop'"],
        &[AS_IT_WAS[0], GONE],
        NFT,
        "Forward first",
    ),
];
const BEFORE_ROUTING: &str = "Prerouting last";
const ON_THE_WIRE: &str = "ns_1: Postrouting last";
const INVALID_SOURCE: &str = "IP_INVALID_SOURCE in ip_rcv_finish_core";
/// A wrong checksum of the message itself.
const SPOILT: &str = "ip netns exec ns_1 nft 'add rule inet m c icmp type echo-request @th,16,16 set 0x1234'";
const FORWARD_ACCEPTS: &str = "nft 'add chain inet t c { type filter hook forward priority 0; policy accept; }'";

/// The rest of the packet filter's ways to throw a packet away.
const REFUSED: [Fault; 3] = [
    (
        &[TABLE, FORWARD_ACCEPTS, "nft 'add rule inet t c icmp type echo-request reject'"],
        &[GONE],
        NFT,
        "sends ICMP 3/3",
    ),
    (
        &[
            "ip netns exec ns_1 nft 'add table inet t'",
            "ip netns exec ns_1 nft 'add chain inet t c { type filter hook output priority 0; policy drop; }'",
        ],
        &["ip netns exec ns_1 nft 'delete table inet t'"],
        "ns_1: NETFILTER_DROP in nft_do_chain",
        "ns_1: Output first",
    ),
    (
        &[TABLE, "nft 'add chain inet t c { type filter hook ingress device veth3 priority 0; policy drop; }'"],
        &[GONE],
        NFT,
        ON_THE_WIRE,
    ),
];

/// Where a packet waits or stands before it can be sent.
const WAITING: [Fault; 5] = [
    (
        &["ip -n ns_1 neigh replace 1.1.1.3 lladdr 02:00:00:00:00:99 dev veth2 nud permanent"],
        &["ip -n ns_1 neigh del 1.1.1.3 dev veth2"],
        "OTHERHOST in ip_rcv_core",
        ON_THE_WIRE,
    ),
    (
        &["ip rule add from all blackhole pref 1"],
        &["ip rule del from all blackhole pref 1"],
        "NOT_SPECIFIED in ip_error",
        BEFORE_ROUTING,
    ),
    (
        &[
            "ip neigh replace 10.20.30.1 lladdr 02:00:00:00:00:99 dev eth2 nud permanent",
            "tc qdisc replace dev eth2 root pfifo limit 0",
        ],
        &["tc qdisc del dev eth2 root", "ip neigh del 10.20.30.1 dev eth2"],
        "QDISC_DROP in __dev_queue_xmit",
        "Postrouting last",
    ),
    (
        &["sysctl -w net.ipv4.conf.veth3.arp_ignore=8", "ip -n ns_1 neigh del 1.1.1.3 dev veth2"],
        &["sysctl -w net.ipv4.conf.veth3.arp_ignore=0"],
        "ns_1: NEIGH_FAILED in neigh_invalidate",
        "ns_1: sends ICMP 3/1",
    ),
    // The last, because routes go with it.
    (&["ip link set eth2 down"], &[], "IP_INNOROUTES in ip_error", "sends ICMP 3/0"),
];

/// For IPv6, of 1300 bytes.
const IPV6_SIZE: [Fault; 1] = [(&["ip link set eth2 mtu 1280"], &[], "PKT_TOO_BIG in ip6_forward", BEFORE_ROUTING)];

/// For IPv6, to where no route leads.
const IPV6_ASTRAY: [Fault; 1] = [(&[], &[], "IP_INNOROUTES in ip6_pkt_discard", BEFORE_ROUTING)];

/// For IPv6.
const IPV6_MALFORMED: [Fault; 2] = [
    (sent!("icmpv6 type echo-request ip6 hoplimit set 1"), AS_IT_WAS, "IP_INHDR in ip6_forward", BEFORE_ROUTING),
    (
        sent!("icmpv6 type echo-request @th,16,16 set 0x1234"),
        AS_IT_WAS,
        "world: ICMP_CSUM in icmpv6_rcv",
        "world: Input last",
    ),
];

/// Makes each fault in turn, sends a probe, and takes the fault back. All that do not read as they should are told.
fn check(destination: &str, size: u32, faults: &[Fault]) {
    test(|| {
        build(&FORWARDING);
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

#[test]
fn malformed() {
    check(BEYOND[0], 56, &MALFORMED);
}

#[test]
fn refused() {
    check(BEYOND[0], 56, &REFUSED);
}

#[test]
fn waiting() {
    check(BEYOND[0], 56, &WAITING);
}

#[test]
fn ipv6_malformed() {
    check(BEYOND[1], 56, &IPV6_MALFORMED);
}

#[test]
fn ipv6_size() {
    check(BEYOND[1], 1300, &IPV6_SIZE);
}

#[test]
fn ipv6_astray() {
    check("fd99::1", 56, &IPV6_ASTRAY);
}

#[test]
fn a_full_range_of_a_translation() {
    test(|| {
        build(&FORWARDING);
        perform(&[
            TABLE,
            "nft 'add chain inet t c { type nat hook postrouting priority 100; policy accept; }'",
            "nft 'add rule inet t c meta nfproto ipv4 meta l4proto udp snat to 10.20.30.182:5000-5001'",
        ]);
        let drop = "host: dropped for NETFILTER_DROP in nf_hook_slow";
        for _ in 0..2 {
            let _ = Watched::new(BEYOND[0], ProbeKind::Udp(9)).sender.send();
        }
        let told = Watched::new(BEYOND[0], ProbeKind::Udp(9)).send_until(drop);
        let way = told.way_to(drop);
        assert_eq!(way[way.len() - 2], "host: Postrouting last", "{way:#?}");
    });
}

#[test]
fn too_many_wait_for_a_neighbour() {
    test(|| {
        build(&FORWARDING);
        perform(&["sysctl -w net.ipv4.neigh.eth2.unres_qlen_bytes=0"]);
        let mut watched = Watched::new("10.20.30.77", ProbeKind::Icmp);
        watched.sender.send().unwrap();
        let drop = "host: dropped for NEIGH_QUEUEFULL in __neigh_event_send";
        let way = watched.send_until(drop).way_to(drop);
        assert_eq!(way[way.len() - 2], "host: Postrouting last", "{way:#?}");
    });
}

#[test]
fn what_is_ignored_is_no_drop() {
    test(|| {
        build(&FORWARDING);
        perform(&["ip netns exec world sysctl -w net.ipv4.icmp_echo_ignore_all=1"]);
        let end = "world: consumed in icmp_rcv";
        let told = Watched::new(BEYOND[0], ProbeKind::Icmp).send_until(end);
        let words = told.words();
        assert!(!words.iter().any(|word| word.contains("dropped for") || word == "world: Output first"), "{words:#?}");
    });
}
