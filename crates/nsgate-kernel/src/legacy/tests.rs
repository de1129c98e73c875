//! Tables put together by hand, and the real ones where Debian's tool can make them.

use super::*;
use crate::sandbox::test;

#[test]
fn a_namespace_without_the_older_engine_has_no_tables_and_gets_none() {
    test(|| {
        let legacy = tables(true);
        assert_eq!((&legacy.names[..], &legacy.tables[..], legacy.unread.len()), (&[][..], &[][..], 0));
        assert!(tables(true).names.is_empty());
    });
}

/// A match or target: its size, name and revision, and its parameters.
fn extension(name: &str, revision: u8, info: &[u8]) -> Vec<u8> {
    let size = 32 + info.len().next_multiple_of(8);
    let mut bytes = (size as u16).to_ne_bytes().to_vec();
    bytes.extend(name.as_bytes());
    bytes.resize(31, 0);
    bytes.push(revision);
    bytes.extend(info);
    bytes.resize(size, 0);
    bytes
}

/// A rule for packets from 1.1.1.0/24 that come in by veth3, unless `any`.
fn entry(any: bool, matches: &[u8], target: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 112];
    if !any {
        bytes[..4].copy_from_slice(&[1, 1, 1, 0]);
        bytes[8..12].copy_from_slice(&[255, 255, 255, 0]);
        bytes[16..21].copy_from_slice(b"veth3");
        bytes[48..54].fill(0xff);
        bytes[80] = 6;
        bytes[83] = 8;
    }
    let target_at = (112 + matches.len()) as u16;
    bytes[88..90].copy_from_slice(&target_at.to_ne_bytes());
    bytes[90..92].copy_from_slice(&(target_at + target.len() as u16).to_ne_bytes());
    bytes[96..104].copy_from_slice(&7u64.to_ne_bytes());
    [&bytes, matches, target].concat()
}

/// A filter table with one chain at a hook, which drops, and one of its own.
fn filter() -> (Vec<u8>, Vec<u8>) {
    let state = extension("conntrack", 3, &[&[0; 146][..], &[1, 0, 0, 0, 6, 0, 0, 0], &[0; 10]].concat());
    let decides = |verdict: i32| extension("", 0, &verdict.to_ne_bytes());
    let begins = |name: &str| extension("ERROR", 0, &[name.as_bytes(), &vec![0; 32 - name.len()]].concat());
    let first = entry(false, &state, &decides(-2));
    let second_at = first.len();
    let policy_at = second_at + entry(true, &[], &decides(0)).len();
    let begin_at = policy_at + entry(true, &[], &decides(-1)).len();
    let own_at = begin_at + entry(true, &[], &begins("DOCKER")).len();
    let rules = [
        first,
        entry(true, &[], &decides(own_at as i32)),
        entry(true, &[], &decides(-1)),
        entry(true, &[], &begins("DOCKER")),
        entry(true, &[], &extension("LOG", 0, &[4; 32])),
        entry(true, &[], &decides(-5)),
        entry(true, &[], &begins("ERROR")),
    ]
    .concat();
    let mut head = blob::head_request(TableFamily::Ip, "filter");
    head[32] = 1 << 2;
    head[56 + 8..56 + 12].copy_from_slice(&(policy_at as u32).to_ne_bytes());
    head[80..84].copy_from_slice(&(rules.len() as u32).to_ne_bytes());
    (head, rules)
}

#[test]
fn chains_rules_and_policies_are_found() {
    let (head, rules) = filter();
    let head = Head::read(TableFamily::Ip, &head).unwrap();
    assert_eq!(head.size, rules.len());
    let table = blob::table(TableFamily::Ip, "filter", &head, &rules).unwrap();
    let expected = "table ip filter {\n\
        \tchain FORWARD {\n\
        \t\ttype filter hook forward priority filter; policy drop;\n\
        \t\tiifname \"veth3\" meta l4proto tcp ip saddr != 1.1.1.0/24 ct state established,related \
        counter packets 7 bytes 0 accept\n\
        \t\tcounter packets 7 bytes 0 jump DOCKER\n\
        \t}\n\n\
        \tchain DOCKER {\n\
        \t\tcounter packets 7 bytes 0 log prefix \"\u{4}\" level warn\n\
        \t}\n}\n";
    let shown = table.to_string();
    let lines: Vec<_> = shown.lines().zip(expected.lines()).collect();
    for (shown, expected) in &lines[..5] {
        assert_eq!(shown, expected);
    }
    assert!(shown.contains("chain DOCKER {\n\t\tcounter packets 7 bytes 0 log prefix"), "{shown}");
    assert_eq!(table.chains[1].rules.len(), 1);
    assert_eq!(table.chains[0].rules[1].handle, 2);
}

/// The head of a chain of ebtables.
fn frames_chain(name: &str, policy: i32) -> Vec<u8> {
    let mut bytes = vec![0; 48];
    bytes[4..4 + name.len()].copy_from_slice(name.as_bytes());
    bytes[40..44].copy_from_slice(&policy.to_ne_bytes());
    bytes
}

/// A match or target of ebtables.
fn frames_extension(name: &str, info: &[u8]) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(32, 0);
    bytes.extend((info.len() as u32).to_ne_bytes());
    bytes.resize(32 + size_of::<usize>(), 0);
    [&bytes[..], info].concat()
}

/// A rule of ebtables for IPv4 that comes in by a port whose name begins with veth, from 02:00:00:00:00:01.
fn frames_rule(matches: &[u8], target: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 112];
    bytes[0] = 1 | 8;
    bytes[4] = 8;
    bytes[8..10].copy_from_slice(&[8, 0]);
    bytes[10..15].copy_from_slice(b"veth\x01");
    bytes[26..29].copy_from_slice(b"br0");
    bytes[74..86].copy_from_slice(&[2, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let target_at = (112 + matches.len()) as u32;
    for (at, value) in [(100, target_at), (104, target_at), (108, target_at + target.len() as u32)] {
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    [&bytes, matches, target].concat()
}

/// A table of ebtables with a chain for what is passed on, which drops, and one of its own; and its counters.
fn frames() -> (Vec<u8>, Vec<u8>) {
    let standard = |verdict: i32| frames_extension("standard", &[&verdict.to_ne_bytes()[..], &[0; 4]].concat());
    let first = frames_rule(&[], &standard(-1));
    let own_at = 48 + first.len() + frames_rule(&[], &standard(0)).len();
    let source = [&[1, 1, 1, 2, 0, 0, 0, 0, 255, 255, 255, 255][..], &[0; 4], &[0, 0, 1, 0], &[0; 12]].concat();
    let table = [
        frames_chain("FORWARD", -2),
        first,
        frames_rule(&[], &standard(own_at as i32)),
        frames_chain("own", -4),
        frames_rule(&frames_extension("ip", &source), &frames_extension("mark", &[0; 16])),
    ]
    .concat();
    let counters = [3u64, 300, 2, 200, 1, 100].map(u64::to_ne_bytes).concat();
    (table, counters)
}

#[test]
fn chains_and_rules_for_bridged_frames_are_found() {
    let (bytes, counters) = frames();
    let shown = frames::table("filter", 1 << 2, &bytes, &counters).unwrap().to_string();
    let head = "iifname \"veth*\" meta ibrname \"br0\" ether saddr != 02:00:00:00:00:01 ether type ip";
    for line in [
        "type filter hook forward priority filter; policy drop;".to_owned(),
        format!("{head} counter packets 3 bytes 300 accept"),
        format!("{head} counter packets 2 bytes 200 jump own"),
        "chain own {".to_owned(),
        format!("{head} ip saddr 1.1.1.2 counter packets 1 bytes 100 xt target \"mark\""),
    ] {
        assert!(shown.lines().any(|l| l.trim().starts_with(&line)), "{line} is not in\n{shown}");
    }
    assert_eq!(frames::table("filter", 1 << 2, &bytes, &counters[..40]), None);
}

#[test]
fn frames_of_any_bytes_are_read_without_harm() {
    let (bytes, counters) = frames();
    for place in 0..bytes.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[place] = byte;
            let _ = frames::table("filter", 0x3f, &changed, &counters).map(|t| t.to_string());
            let _ = frames::table("broute", 0x3f, &changed[..place], &counters);
        }
    }
}

#[test]
fn tables_of_any_bytes_are_read_without_harm() {
    let (head, rules) = filter();
    for place in 0..rules.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut changed = rules.clone();
            changed[place] = byte;
            let head = Head::read(TableFamily::Ip, &head).unwrap();
            for family in [TableFamily::Ip, TableFamily::Ip6, TableFamily::Arp] {
                let _ = blob::table(family, "filter", &head, &changed[..]).map(|t| t.to_string());
                let _ = blob::table(family, "filter", &head, &changed[..place]);
            }
        }
    }
    for end in 0..head.len() {
        assert!(Head::read(TableFamily::Ip, &head[..end]).is_none());
    }
}

#[test]
#[ignore = "needs Debian's iptables; run by cargo xtask interop"]
fn tables_that_debian_made_are_read() {
    test(|| {
        for (program, line) in [
            ("iptables-legacy", "-P FORWARD DROP"),
            ("iptables-legacy", "-N DOCKER"),
            ("iptables-legacy", "-A FORWARD -i veth3 ! -o eth2 -s 1.1.1.0/24 -m conntrack --ctstate NEW -j ACCEPT"),
            ("iptables-legacy", "-A FORWARD -p tcp -m multiport --dports 80,443 -g DOCKER"),
            ("iptables-legacy", "-A FORWARD -p udp ! -d 1.1.1.1 -f -j REJECT"),
            ("iptables-legacy", "-A DOCKER -p tcp --dport 80 -j RETURN"),
            ("iptables-legacy", "-A DOCKER -i veth+"),
            ("iptables-legacy", "-t nat -A POSTROUTING -s 1.1.1.2 -j SNAT --to-source 10.20.30.182"),
            ("iptables-legacy", "-t raw -A PREROUTING -m rpfilter --invert -j DROP"),
            ("ip6tables-legacy", "-A INPUT -s fd00::/64 -p tcp --dport 22 -j ACCEPT"),
            ("ip6tables-legacy", "-t nat -A PREROUTING -d fd00::1 -p tcp -j DNAT --to-destination [fd00::2]:80"),
        ] {
            let mut words = line.split(' ');
            let status = std::process::Command::new(program).args(words.by_ref()).status().unwrap();
            assert!(status.success(), "{program} {line}");
        }
        let legacy = tables(true);
        assert_eq!(legacy.unread, []);
        let text = legacy.tables.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for line in [
            "type filter hook forward priority filter; policy drop;",
            "iifname \"veth3\" oifname != \"eth2\" ip saddr 1.1.1.0/24 ct state new counter accept",
            "tcp dport { 80, 443 } counter goto DOCKER",
            "meta l4proto udp ip daddr != 1.1.1.1 ip frag-off & 0x1fff != 0 counter reject",
            "tcp dport 80 counter return",
            "iifname \"veth*\" counter",
            "type nat hook postrouting priority srcnat; policy accept;",
            "ip saddr 1.1.1.2 counter snat to 10.20.30.182",
            "fib saddr . iif oif missing counter drop",
            "meta l4proto tcp ip6 saddr fd00::/64 tcp dport 22 counter accept",
            "meta l4proto tcp ip6 daddr fd00::1 counter dnat to [fd00::2]:80",
        ] {
            assert!(text.lines().any(|l| l.trim() == line), "{line} is not in\n{text}");
        }
    });
}

/// Rules of arptables and what is read of them.
const ARP: [(&str, &str); 7] = [
    ("-A INPUT -s 1.1.1.2 --opcode 1 -i veth3 -j DROP", "arp operation request arp saddr ip 1.1.1.2"),
    ("-A INPUT ! -d 1.1.1.0/24 -j ACCEPT", "arp daddr ip != 1.1.1.0/24"),
    ("-A INPUT --source-mac 02:00:00:00:00:01 -j own", "arp saddr ether 02:00:00:00:00:01"),
    ("-A INPUT --destination-mac 02:00:00:00:00:01 -j own", "arp daddr ether 02:00:00:00:00:01"),
    ("-A OUTPUT -o veth+ -j own", "oifname \"veth*\""),
    ("-A own --opcode 2 -j RETURN", "arp operation reply"),
    ("-A own -j mangle --mangle-ip-s 1.1.1.9", "xt target \"mangle\""),
];

#[test]
#[ignore = "needs Debian's arptables; run by cargo xtask interop"]
fn rules_for_arp_are_read_alike_of_both_engines() {
    test(|| {
        for engine in ["arptables-legacy", "arptables-nft"] {
            for line in ["-N own", "-P INPUT DROP"].into_iter().chain(ARP.map(|(line, _)| line)) {
                let status = std::process::Command::new(engine).args(line.split(' ')).status().unwrap();
                assert!(status.success(), "{engine} {line}");
            }
        }
        let legacy = tables(false);
        assert_eq!((legacy.unread, &legacy.names[..]), (Vec::new(), &["arp filter".to_owned()][..]));
        let mut socket = crate::netlink::Socket::open(crate::netlink::Protocol::Netfilter).unwrap();
        let other = crate::nftables::ruleset(&mut socket).unwrap().ruleset;
        for text in [legacy.tables[0].to_string(), other.tables[0].to_string()] {
            for (_, words) in ARP {
                assert!(text.contains(words), "{words} is not in\n{text}");
            }
            assert!(text.contains("type filter hook input priority filter; policy drop;"), "{text}");
        }
    });
}
