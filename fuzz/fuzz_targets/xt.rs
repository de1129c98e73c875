//! Any bytes, read as the parameters of an extension of xtables: nothing may panic, and both the text and the
//! instructions that mean the same can be made and shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_core::model::ruleset::{Expression, Rule, TableFamily, native, text};

/// The extensions that have a meaning here, and one that has none.
const NAMES: [&str; 60] = [
    "conntrack",
    "state",
    "multiport",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "icmp",
    "icmp6",
    "mark",
    "connmark",
    "addrtype",
    "length",
    "ttl",
    "hl",
    "pkttype",
    "rpfilter",
    "iprange",
    "owner",
    "physdev",
    "statistic",
    "limit",
    "hashlimit",
    "mac",
    "helper",
    "tcpmss",
    "comment",
    "recent",
    "string",
    "time",
    "connlimit",
    "dscp",
    "set",
    "frag",
    "esp",
    "among",
    "ip",
    "ip6",
    "arp",
    "vlan",
    "stp",
    "MASQUERADE",
    "SNAT",
    "DNAT",
    "REDIRECT",
    "NETMAP",
    "REJECT",
    "LOG",
    "NFLOG",
    "MARK",
    "CONNMARK",
    "TCPMSS",
    "CT",
    "NFQUEUE",
    "CLASSIFY",
    "DSCP",
    "TPROXY",
    "TTL",
    "unknown",
];

fuzz_target!(|bytes: &[u8]| {
    let [name, revision, family, info @ ..] = bytes else { return };
    let name = NAMES[usize::from(*name) % NAMES.len()].to_owned();
    let family = TableFamily::ALL[usize::from(*family) % TableFamily::ALL.len()];
    let (revision, info) = (u32::from(revision % 5), info.to_vec());
    let of_match = Expression::XtMatch { name: name.clone(), revision, info: info.clone() };
    let target = Expression::XtTarget { name: name.clone(), revision, info: info.clone() };
    let set = Expression::XtSet { target: false, revision, info, names: vec![name] };
    show(family, vec![of_match.clone(), set, target.clone()]);
    for expression in [of_match, target] {
        if let Some((expressions, sets)) = native(family, &expression) {
            let rule = Rule { handle: 0, expressions, comment: None };
            let text = text::rule(family, &sets, &rule);
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
});

fn show(family: TableFamily, expressions: Vec<Expression>) {
    let text = text::rule(family, &[], &Rule { handle: 0, expressions, comment: None });
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
