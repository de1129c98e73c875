//! Extensions of xtables, as iptables-nft and the older engine use them: what they mean in nft's language.
//!
//! Their parameters are C structures in the machine's own byte order. What has the same meaning as statements of nft
//! becomes these; what has none keeps its name, and its parameters as iptables spells them where that is known.

mod frames;
mod info;
mod matches;
mod options;
mod spell;
mod targets;
pub(crate) mod write;

pub(super) use self::info::Info;
use super::header::{Context, ETHERTYPE_IP6};
use super::interval::elements_of_range;
use super::lower::lower;
use super::selector::Selector;
use super::statement::Right;
use super::statement::Statement;
use super::{Element, Expression, Set, TableFamily};

pub(super) use self::options::options;
pub(super) use self::spell::{limit, log_to, quoted, spelled, tcp_flags};

/// What a translation depends on.
#[derive(Clone, Copy)]
struct Surroundings {
    /// Only IPv6 packets come here.
    ipv6: bool,
    /// The transport protocol that the rule has asked for before.
    transport: Option<u8>,
}

/// The statements that mean the same; none if this is no extension, or there are no such statements.
pub(super) fn translated(context: &Context, expression: &Expression) -> Option<Vec<Statement>> {
    let surroundings = Surroundings { ipv6: context.network == Some(ETHERTYPE_IP6), transport: context.transport };
    let of_frames = |name: &String| context.family == TableFamily::Bridge && frames::is_own(name);
    match expression {
        Expression::XtMatch { name, info, .. } if of_frames(name) => frames::translated(name, &Info::new(info)),
        Expression::XtTarget { name, .. } if of_frames(name) => None,
        Expression::XtMatch { name, revision, info } => {
            matches::translated(surroundings, name, *revision, &Info::new(info))
        }
        Expression::XtTarget { name, revision, info } => {
            targets::translated(surroundings, name, *revision, &Info::new(info))
        }
        _ => None,
    }
}

/// The instructions that mean the same as an extension, for IPv4 or IPv6 as the family says, with the sets that their
/// look-ups name; none where there are no such instructions.
pub fn native(family: TableFamily, expression: &Expression) -> Option<(Vec<Expression>, Vec<Set>)> {
    let mut statements = translated(&Context::new(family), expression)?;
    let mut sets = Vec::new();
    for statement in &mut statements {
        if let Statement::Match { left, right, .. } = statement
            && let Right::OneOf(ranges) = right
        {
            let [part] = &mut left[..] else { return None };
            let kind = part.selector.kind()?;
            let mut set = Set { interval: true, ..Set::new(format!("__set{}", sets.len()), &[kind.value_type]) };
            (set.key_length as usize == kind.length).then_some(())?;
            for (low, high) in ranges {
                set.elements.extend(elements_of_range(low.clone(), high, Element::default()));
            }
            part.turned = part.needs_turning();
            *right = Right::Set(set.name.clone());
            sets.push(set);
        }
    }
    Some((lower(family, &statements), sets))
}

/// The match that asks whether a port is one of several: what a question with several ranges stands for.
pub(super) fn multiport(selector: &Selector, inverted: bool, ranges: &[(Vec<u8>, Vec<u8>)]) -> Option<Expression> {
    let Selector::Header(field) = selector else { return None };
    let info = matches::multiport_info(field.name == "sport", inverted, ranges)?;
    Some(Expression::XtMatch { name: "multiport".into(), revision: 1, info })
}

/// The comment that a rule of iptables carries as a match.
pub(super) fn comment(expressions: &[Expression]) -> Option<String> {
    expressions.iter().find_map(|e| match e {
        Expression::XtMatch { name, info, .. } if name == "comment" => Info::new(info).text(0, info.len()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, text};
    use super::*;

    fn shown(family: TableFamily, expressions: Vec<Expression>) -> String {
        text::rule(family, &[], &Rule { handle: 0, expressions, comment: None })
    }

    fn a_match(name: &str, revision: u32, info: &[u8]) -> Expression {
        Expression::XtMatch { name: name.into(), revision, info: info.to_vec() }
    }

    fn a_target(name: &str, revision: u32, info: &[u8]) -> Expression {
        Expression::XtTarget { name: name.into(), revision, info: info.to_vec() }
    }

    /// A structure from its fields.
    fn info(fields: &[&[u8]]) -> Vec<u8> {
        fields.concat()
    }

    fn half(number: u16) -> [u8; 2] {
        number.to_ne_bytes()
    }

    fn word(number: u32) -> [u8; 4] {
        number.to_ne_bytes()
    }

    #[track_caller]
    fn matches(name: &str, revision: u32, info: &[u8], expected: &str) {
        assert_eq!(shown(TableFamily::Ip, vec![a_match(name, revision, info)]), expected);
    }

    #[track_caller]
    fn target(name: &str, revision: u32, info: &[u8], expected: &str) {
        assert_eq!(shown(TableFamily::Ip, vec![a_target(name, revision, info)]), expected);
    }

    #[test]
    fn states_of_connections() {
        let conntrack = |flags: u16, inverted: u16, states: u16| {
            let rest = [half(flags), half(inverted), half(states), half(0)].concat();
            info(&[&[0; 146], &rest, &[0; 10]])
        };
        matches("conntrack", 3, &conntrack(1, 0, 6), "ct state established,related");
        matches("conntrack", 3, &conntrack(0x2001, 1, 9), "ct state ! invalid,new");
        matches("conntrack", 3, &conntrack(1, 0, 256), "ct state untracked");
        matches("conntrack", 3, &conntrack(1, 0, 128), "ct status dnat");
        matches(
            "conntrack",
            3,
            &conntrack(3, 0, 6),
            "xt match \"conntrack\" ( --ctstate RELATED,ESTABLISHED --ctproto 0 )",
        );
        matches("state", 0, &word(8), "ct state new");
    }

    #[test]
    fn ports_and_flags() {
        let ports = info(&[&[1, 3], &half(80), &half(1000), &half(2000), &[0; 24], &[0, 1], &[0; 13], &[0]]);
        matches("multiport", 1, &ports, "th dport { 80, 1000-2000 }");
        let one = info(&[&[0, 1], &half(80), &[0; 28], &[0; 15], &[1]]);
        matches("multiport", 1, &one, "th sport != 80");
        let tcp = info(&[&half(1), &half(100), &half(22), &half(22), &[0, 0x17, 0x02, 0]]);
        matches("tcp", 0, &tcp, "tcp sport 1-100 tcp dport 22 tcp flags syn / fin,syn,rst,ack");
        let udp = info(&[&half(0), &half(0xffff), &half(53), &half(53), &[2, 0]]);
        matches("udp", 0, &udp, "udp dport != 53");
        matches("icmp", 0, &[3, 4, 4, 0], "icmp type destination-unreachable icmp code frag-needed");
        matches("icmp", 0, &[8, 0, 255, 0], "icmp type echo-request");
        matches("icmp", 0, &[255, 0, 255, 0], "meta l4proto icmp");
    }

    #[test]
    fn instructions_mean_the_same() {
        let ports = info(&[&[1, 3], &half(80), &half(1000), &half(2000), &[0; 24], &[0, 1], &[0; 13], &[0]]);
        let (expressions, sets) = native(TableFamily::Ip, &a_match("multiport", 1, &ports)).unwrap();
        let rule = Rule { handle: 0, expressions, comment: None };
        let named = vec![Set { anonymous: true, ..sets[0].clone() }];
        assert_eq!(text::rule(TableFamily::Ip, &named, &rule), "th dport { 80, 1000-2000 }");
        let (expressions, _) = native(TableFamily::Ip, &a_match("state", 0, &word(8))).unwrap();
        assert_eq!(shown(TableFamily::Ip, expressions), "ct state new");
        assert_eq!(native(TableFamily::Ip, &a_match("recent", 0, &[])), None);
    }

    #[test]
    fn lists_of_ports_survive_lifting_and_lowering() {
        let ports = info(&[&[1, 3], &half(80), &half(1000), &half(2000), &[0; 24], &[0, 1], &[0; 13], &[1]]);
        let extension = vec![a_match("multiport", 1, &ports)];
        assert_eq!(lower(TableFamily::Ip, &super::super::lift(TableFamily::Ip, &[], &extension)), extension);
    }

    #[test]
    fn other_matches() {
        let mark = info(&[&word(0x10), &word(0xff), &[1, 0, 0, 0]]);
        matches("mark", 1, &mark, "meta mark & 0x000000ff != 0x00000010");
        matches("connmark", 1, &mark, "ct mark & 0x000000ff != 0x00000010");
        matches("addrtype", 1, &info(&[&half(0), &half(4), &word(0)]), "fib daddr type local");
        matches("addrtype", 1, &info(&[&half(4), &half(0), &word(5)]), "fib saddr . iif type != local");
        matches("length", 0, &info(&[&half(100), &half(200), &[0, 0]]), "meta length 100-200");
        matches("ttl", 0, &[2, 5], "ip ttl < 5");
        matches("pkttype", 0, &info(&[&word(1), &word(0)]), "meta pkttype broadcast");
        matches("rpfilter", 0, &[8], "fib saddr . iif oif missing");
        matches("rpfilter", 0, &[3], "fib saddr . mark oif != 0");
        let range = info(&[&[1, 1, 1, 1], &[0; 12], &[1, 1, 1, 9], &[0; 12], &[0; 32], &[1, 0, 0, 0]]);
        matches("iprange", 1, &range, "ip saddr 1.1.1.1-1.1.1.9");
        let owner = info(&[&word(1000), &word(2000), &word(5), &word(5), &[3, 2, 0, 0]]);
        matches("owner", 1, &owner, "meta skuid 1000-2000 meta skgid != 5");
        let device = |name: &str| [name.as_bytes(), &vec![0; 16 - name.len()]].concat();
        let mask = [vec![0xff; 6], vec![0; 10]].concat();
        let physdev = info(&[&device("veth0"), &mask, &[0; 32], &[1, 1]]);
        matches("physdev", 0, &physdev, "xt match \"physdev\" ( ! --physdev-in veth0 )");
        let random = info(&[&half(0), &half(0), &word(0x4000_0000), &[0; 12]]);
        matches("statistic", 0, &random, "meta random & 0x7fffffff < 1073741824");
        matches("limit", 0, &info(&[&word(120_000), &word(3), &[0; 32]]), "limit rate 5/minute burst 3 packets");
        matches("recent", 0, &[0; 8], "xt match \"recent\"");
        let commented = [b"hello".to_vec(), vec![0; 251]].concat();
        matches("comment", 0, &commented, "comment \"hello\"");
    }

    #[test]
    fn translations() {
        let range = |flags: u32, low: [u8; 4], high: [u8; 4], ports: [u16; 2]| {
            let ports = ports.map(u16::to_be_bytes).concat();
            info(&[&word(1), &word(flags), &low, &high, &ports])
        };
        target("MASQUERADE", 0, &range(0, [0; 4], [0; 4], [0, 0]), "masquerade");
        target("MASQUERADE", 0, &range(0x12, [0; 4], [0; 4], [1, 9]), "masquerade to :1-9 fully-random");
        target("SNAT", 0, &range(1, [1; 4], [1; 4], [0, 0]), "snat to 1.1.1.1");
        target("DNAT", 0, &range(3, [1; 4], [2; 4], [80, 80]), "dnat to 1.1.1.1-2.2.2.2:80");
        target("REDIRECT", 0, &range(2, [0; 4], [0; 4], [53, 53]), "redirect to :53");
        let [wide, other] = [[0xfd; 16], [0xfe; 16]];
        let range6 = info(&[&word(1), &wide, &other, &[0; 4], &[0; 4]]);
        let shown6 = shown(TableFamily::Ip6, vec![a_target("SNAT", 1, &range6)]);
        assert_eq!(shown6, "snat to fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd-fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe");
        target("NETMAP", 0, &range(1, [1; 4], [1; 4], [0, 0]), "xt target \"NETMAP\" ( --to 1.1.1.1 )");
    }

    #[test]
    fn other_targets() {
        target("REJECT", 0, &word(3), "reject");
        target("REJECT", 0, &word(7), "reject with tcp reset");
        target("REJECT", 0, &word(6), "reject with icmp host-prohibited");
        assert_eq!(
            shown(TableFamily::Ip6, vec![a_target("REJECT", 0, &word(1))]),
            "reject with icmpv6 admin-prohibited"
        );
        target("LOG", 0, &[&[7, 0][..], b"abc ", &[0; 26]].concat(), "log prefix \"abc \" level debug");
        target("MARK", 2, &info(&[&word(0x10), &word(0xffff_ffff)]), "meta mark set 0x00000010");
        target("MARK", 2, &info(&[&word(0x10), &word(0x10)]), "meta mark set meta mark | 0x00000010");
        let connmark = |mode: u8| info(&[&word(0), &word(!0), &word(!0), &[mode, 0, 0, 0]]);
        target("CONNMARK", 1, &connmark(1), "ct mark set meta mark");
        target("CONNMARK", 1, &connmark(2), "meta mark set ct mark");
        let shifted = |by: u8| info(&[&word(0), &word(!0), &word(!0), &[0, by, 2, 0]]);
        target("CONNMARK", 2, &shifted(0), "meta mark set ct mark");
        let right = "--restore-mark --nfmask 0xffffffff --ctmask 0xffffffff --left-shift-mark 8";
        target("CONNMARK", 2, &shifted(8), &format!("xt target \"CONNMARK\" ( {right} )"));
        target("TCPMSS", 0, &half(0xffff), "tcp option maxseg size set rt mtu");
        target("TCPMSS", 0, &half(1400), "tcp option maxseg size set 1400");
        target("TTL", 0, &[0, 5], "ip ttl set 5");
        target("CT", 2, &info(&[&half(1), &[0; 80]]), "notrack");
        target("CT", 2, &info(&[&half(0), &half(5), &[0; 80]]), "ct zone set 5");
        target("TRACE", 0, &[], "meta nftrace set 1");
        target("TEE", 1, &[0; 40], "xt target \"TEE\" ( --gateway 0.0.0.0 )");
    }

    #[test]
    fn parameters_cut_short_are_left_alone() {
        let names = [
            "conntrack",
            "state",
            "multiport",
            "tcp",
            "udp",
            "icmp",
            "icmp6",
            "mark",
            "addrtype",
            "length",
            "ttl",
            "pkttype",
            "rpfilter",
            "iprange",
            "owner",
            "physdev",
            "statistic",
            "limit",
            "mac",
            "helper",
            "tcpmss",
            "MASQUERADE",
            "SNAT",
            "DNAT",
            "REDIRECT",
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
            "bpf",
            "cgroup",
            "hashlimit",
            "osf",
            "policy",
            "recent",
            "sctp",
            "string",
            "time",
            "u32",
            "NETMAP",
            "TCPOPTSTRIP",
            "TEE",
        ];
        for name in names {
            for length in 0..200 {
                for (revision, byte) in [(0, 0xff), (0, 7), (1, 0), (1, 7), (2, 1), (3, 0xff)] {
                    let info = vec![byte; length];
                    for family in [TableFamily::Ip, TableFamily::Ip6] {
                        let both = vec![a_match(name, revision, &info), a_target(name, revision, &info)];
                        assert!(!shown(family, both).chars().any(char::is_control));
                    }
                }
            }
        }
    }
}
