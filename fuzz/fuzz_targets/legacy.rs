//! Any bytes, read as a table of iptables-legacy, arptables-legacy or ebtables-legacy: nothing may panic, and what was
//! read can be put into words. Every other input is first made into rules whose lengths are right, so that their
//! extensions are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_core::model::ruleset::{TableFamily, text};
use nsgate_kernel::legacy;

const FAMILIES: [TableFamily; 4] = [TableFamily::Ip, TableFamily::Ip6, TableFamily::Arp, TableFamily::Bridge];

/// Names of extensions, the older and the newer alike.
const NAMES: [&str; 64] = [
    "",
    "ERROR",
    "standard",
    "addrtype",
    "ah",
    "bpf",
    "cgroup",
    "cluster",
    "comment",
    "connbytes",
    "connlabel",
    "connlimit",
    "connmark",
    "conntrack",
    "cpu",
    "dccp",
    "devgroup",
    "dscp",
    "ecn",
    "esp",
    "hashlimit",
    "helper",
    "icmp",
    "icmp6",
    "ipcomp",
    "iprange",
    "length",
    "limit",
    "mac",
    "mark",
    "multiport",
    "owner",
    "physdev",
    "pkttype",
    "policy",
    "quota",
    "recent",
    "rpfilter",
    "sctp",
    "set",
    "socket",
    "state",
    "statistic",
    "string",
    "tcp",
    "tcpmss",
    "time",
    "ttl",
    "u32",
    "udp",
    "CT",
    "DNAT",
    "SNAT",
    "MARK",
    "CONNMARK",
    "NETMAP",
    "SET",
    "TPROXY",
    "arp",
    "ip",
    "ip6",
    "vlan",
    "mark_m",
    "arpreply",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let family = FAMILIES[usize::from(choice % 4)];
    let (head, rest) = rest.split_at(rest.len().min(120));
    let mut head = head.to_vec();
    head.resize(120, 0);
    let rules = if choice & 4 == 0 { rest.to_vec() } else { shaped(family, rest) };
    let counters = vec![1; rules.len() / 7];
    let Some(table) = legacy::from_bytes(family, "filter", &head, &rules, &counters) else { return };
    assert!(table.to_string().ends_with("}\n"));
    for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
        assert!(!text::rule(family, &table.sets, rule).chars().any(char::is_control));
    }
});

/// The bytes as rules one behind the other, each with matches and a target.
fn shaped(family: TableFamily, bytes: &[u8]) -> Vec<u8> {
    let mut input = Input(bytes);
    let mut rules = Vec::new();
    while !input.0.is_empty() && rules.len() < 1 << 16 {
        match family {
            TableFamily::Bridge => frames_rule(&mut input, &mut rules),
            TableFamily::Ip6 => rule(&mut input, &mut rules, 168, 140),
            TableFamily::Arp => rule(&mut input, &mut rules, 192, 164),
            _ => rule(&mut input, &mut rules, 112, 88),
        }
    }
    rules
}

fn rule(input: &mut Input<'_>, rules: &mut Vec<u8>, head: usize, offsets: usize) {
    let mut own = input.take(head);
    for _ in 0..input.byte() % 3 {
        own.extend(extension(input));
    }
    let target_at = own.len() as u16;
    own.extend(extension(input));
    let end = own.len() as u16;
    own[offsets..offsets + 2].copy_from_slice(&target_at.to_ne_bytes());
    own[offsets + 2..offsets + 4].copy_from_slice(&end.to_ne_bytes());
    rules.extend(own);
}

fn extension(input: &mut Input<'_>) -> Vec<u8> {
    let name = NAMES[usize::from(input.byte()) % NAMES.len()];
    let (revision, length) = (input.byte() % 5, usize::from(input.byte()));
    let mut bytes = ((32 + length) as u16).to_ne_bytes().to_vec();
    bytes.extend(name.as_bytes());
    bytes.resize(31, 0);
    bytes.push(revision);
    bytes.extend(input.take(length));
    bytes
}

fn frames_rule(input: &mut Input<'_>, rules: &mut Vec<u8>) {
    if rules.is_empty() || input.byte() % 8 == 0 {
        let mut chain = input.take(48);
        chain[..4].fill(0);
        rules.extend(chain);
        return;
    }
    let mut own = input.take(112);
    own[0] |= 1;
    let mut places = [0; 3];
    for (place, most) in [(0, 3), (1, 2), (2, 1)] {
        let count = if place == 2 { 1 } else { input.byte() % most };
        if place == 2 {
            places[1] = own.len() as u32;
        }
        for _ in 0..count {
            own.extend(frames_extension(input));
        }
        if place != 1 {
            places[place] = own.len() as u32;
        }
    }
    for (at, value) in [(100, places[0]), (104, places[1]), (108, places[2])] {
        own[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    rules.extend(own);
}

fn frames_extension(input: &mut Input<'_>) -> Vec<u8> {
    let name = NAMES[usize::from(input.byte()) % NAMES.len()];
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(31, 0);
    bytes.push(input.byte() % 3);
    let length = usize::from(input.byte());
    bytes.extend((length as u32).to_ne_bytes());
    bytes.resize(32 + size_of::<usize>(), 0);
    bytes.extend(input.take(length));
    bytes
}

/// Bytes that never end: behind the last one there are zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(self.0.len().min(length));
        self.0 = rest;
        let mut taken = taken.to_vec();
        taken.resize(length, 0);
        taken
    }
}
