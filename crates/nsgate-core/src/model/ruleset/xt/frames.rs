//! Extensions of ebtables: names that mean something else there, and structures of their own.

use super::super::header::{HeaderField, Protocol};
use super::super::selector::Selector;
use super::super::statement::{Part, Relation, Right, Statement};
use super::info::Info;
use super::matches::{between, equality, header, meta, one};

/// Whether an extension of this name is one of ebtables rather than one that all families share.
pub(super) fn is_own(name: &str) -> bool {
    const NAMES: [&str; 18] = [
        "802_3", "among", "arp", "arpreply", "dnat", "ip", "ip6", "limit", "log", "mark", "mark_m", "nflog", "pkttype",
        "redirect", "snat", "standard", "stp", "vlan",
    ];
    NAMES.contains(&name)
}

/// The statements that mean the same as a match.
pub(super) fn translated(name: &str, info: &Info<'_>) -> Option<Vec<Statement>> {
    match name {
        "ip" => network(info, &IPV4),
        "ip6" => network(info, &IPV6),
        "arp" => arp(info),
        "vlan" => vlan(info),
        "pkttype" => one(meta(19), equality(info.u8(1)? != 0), Right::Value(vec![info.u8(0)?])),
        "mark_m" => mark(info),
        _ => None,
    }
}

/// Where things stand in `struct ebt_ip_info` or `struct ebt_ip6_info`.
struct Layout {
    protocol: Protocol,
    length: usize,
    next: &'static str,
    icmp: Protocol,
}

const IPV4: Layout = Layout { protocol: Protocol::Ip, length: 4, next: "protocol", icmp: Protocol::Icmp };
const IPV6: Layout = Layout { protocol: Protocol::Ip6, length: 16, next: "nexthdr", icmp: Protocol::Icmp6 };

fn network(info: &Info<'_>, layout: &Layout) -> Option<Vec<Statement>> {
    /// EBT_IP_TOS and EBT_IP_IGMP.
    const NOT_KNOWN: u8 = 0x84;
    let length = layout.length;
    let rest = 4 * length;
    let (next, asked, inverted) = (info.u8(rest + 1)?, info.u8(rest + 2)?, info.u8(rest + 3)?);
    (asked & NOT_KNOWN == 0).then_some(())?;
    let not = |bit: u8| equality(inverted & bit != 0);
    let mut statements = Vec::new();
    for (place, field, bit) in [(0, "saddr", 1), (1, "daddr", 2)] {
        if asked & bit != 0 {
            let (value, mask) = (info.bytes(place * length, length)?, info.bytes((place + 2) * length, length)?);
            statements.extend(masked(header(layout.protocol, field)?, value, mask, not(bit)));
        }
    }
    if asked & 8 != 0 {
        statements.extend(one(header(layout.protocol, layout.next)?, not(8), Right::Value(vec![next]))?);
    }
    let transport = match next {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => Protocol::Transport,
    };
    for (place, field, bit) in [(0, "sport", 0x10), (1, "dport", 0x20)] {
        if asked & bit != 0 {
            let at = rest + 4 + 4 * place;
            let ends = [info.u16(at)?, info.u16(at + 2)?].map(|end| end.to_be_bytes().to_vec());
            statements.extend(between(header(transport, field)?, not(bit), ends)?);
        }
    }
    if asked & 0x40 != 0 {
        // Of IPv6 the codes stand where the destination's ports would.
        let codes = if length == 4 { rest + 6 } else { rest + 8 };
        for (field, at) in [("type", rest + 4), ("code", codes)] {
            let ends = [vec![info.u8(at)?], vec![info.u8(at + 1)?]];
            let any = (ends[0][0], ends[1][0]) == (0, 0xff);
            if !any {
                // A type and a code together cannot be inverted in one question.
                (field == "type" || inverted & 0x40 == 0).then_some(())?;
                statements.extend(between(header(layout.icmp, field)?, not(0x40), ends)?);
            }
        }
    }
    Some(statements)
}

/// `struct ebt_arp_info`.
fn arp(info: &Info<'_>) -> Option<Vec<Statement>> {
    /// EBT_ARP_GRAT.
    const GRATUITOUS: u8 = 0x80;
    let (asked, inverted) = (info.u8(48)?, info.u8(49)?);
    (asked & GRATUITOUS == 0).then_some(())?;
    let mut statements = Vec::new();
    for (field, at, bit) in [("operation", 4, 1), ("htype", 0, 2), ("ptype", 2, 4)] {
        if asked & bit != 0 {
            let right = Right::Value(info.bytes(at, 2)?.to_vec());
            statements.extend(one(header(Protocol::Arp, field)?, equality(inverted & bit != 0), right)?);
        }
    }
    for (field, at, length, bit) in
        [("saddr ip", 8, 4, 8), ("daddr ip", 16, 4, 16), ("saddr ether", 24, 6, 32), ("daddr ether", 36, 6, 64)]
    {
        if asked & bit != 0 {
            let (value, mask) = (info.bytes(at, length)?, info.bytes(at + length, length)?);
            statements.extend(masked(header(Protocol::Arp, field)?, value, mask, equality(inverted & bit != 0)));
        }
    }
    Some(statements)
}

/// `struct ebt_vlan_info`.
fn vlan(info: &Info<'_>) -> Option<Vec<Statement>> {
    let (asked, inverted) = (info.u8(6)?, info.u8(7)?);
    let values = [("id", info.u16(0)?, 1), ("pcp", u16::from(info.u8(2)?), 2), ("type", info.be16(4)?, 4)];
    let mut statements = Vec::new();
    for (field, value, bit) in values.into_iter().filter(|(.., bit)| asked & bit != 0) {
        let value = if field == "pcp" { vec![value as u8] } else { value.to_be_bytes().to_vec() };
        let relation = equality(inverted & bit != 0);
        statements.extend(one(header(Protocol::Vlan, field)?, relation, Right::Value(value))?);
    }
    Some(statements)
}

/// `struct ebt_mark_m_info`, whose numbers are as long as the machine's addresses.
fn mark(info: &Info<'_>) -> Option<Vec<Statement>> {
    /// EBT_MARK_AND: the bits of the mask are those of the mark.
    const EQUALS: u8 = 1;
    const WORD: usize = size_of::<usize>();
    let low = if cfg!(target_endian = "big") { WORD - 4 } else { 0 };
    let (value, mask) = (info.u32(low)?, info.u32(WORD + low)?);
    let (inverted, asked) = (info.u8(2 * WORD)?, info.u8(2 * WORD + 1)?);
    (asked == EQUALS).then_some(())?;
    let mut part = Part::plain(meta(3));
    if mask != u32::MAX {
        part.bits = Some((mask.to_be_bytes().to_vec(), vec![0; 4]));
    }
    let right = Right::Value(value.to_be_bytes().to_vec());
    Some(vec![Statement::Match { left: vec![part], relation: equality(inverted != 0), right }])
}

/// The question whether some bits are those of a value.
fn masked(selector: Selector, value: &[u8], mask: &[u8], relation: Relation) -> Option<Statement> {
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let bits = mask.len() as u32 * 8;
    let mut part = Part::plain(selector);
    let right = match ones {
        0 => return None,
        _ if ones == bits => Right::Value(value.to_vec()),
        _ if mask == super::super::lower::prefix_mask(mask.len(), ones) && is_address(&part.selector) => {
            Right::Prefix(value.to_vec(), ones)
        }
        _ => {
            part.bits = Some((mask.to_vec(), vec![0; mask.len()]));
            Right::Value(value.to_vec())
        }
    };
    Some(Statement::Match { left: vec![part], relation, right })
}

fn is_address(selector: &Selector) -> bool {
    matches!(selector, Selector::Header(HeaderField { name, .. }) if name.starts_with("saddr") || name.starts_with("daddr"))
}

#[cfg(test)]
mod tests {
    use super::super::super::{Expression, Rule, TableFamily, text};

    #[track_caller]
    fn shows(name: &str, info: &[u8], expected: &str) {
        let expressions = vec![Expression::XtMatch { name: name.into(), revision: 0, info: info.to_vec() }];
        let rule = Rule { handle: 0, expressions, comment: None };
        assert_eq!(text::rule(TableFamily::Bridge, &[], &rule), expected);
    }

    #[test]
    fn headers_of_what_frames_carry() {
        let ports = [443u16, 443, 0, 0].map(u16::to_ne_bytes).concat();
        let addresses = [[1, 1, 1, 0], [0; 4], [255, 255, 255, 0], [0; 4]].concat();
        shows(
            "ip",
            &[&addresses[..], &[0, 6, 0x19, 1], &ports].concat(),
            "ip saddr != 1.1.1.0/24 ip protocol tcp tcp sport 443",
        );
        let echo = [[0; 16], [0; 16], [0; 16], [0; 16]].concat();
        shows(
            "ip6",
            &[&echo[..], &[0, 58, 0x48, 0, 128, 128, 0, 0, 0, 255, 0, 0]].concat(),
            "ip6 nexthdr ipv6-icmp icmpv6 type echo-request",
        );
        let arp = [&[0, 0, 0, 0, 0, 1, 0, 0][..], &[0; 8], &[1, 1, 1, 4], &[255; 4], &[0; 24], &[17, 16]].concat();
        shows("arp", &arp, "arp operation request arp daddr ip != 1.1.1.4");
    }

    #[test]
    fn names_that_mean_something_else() {
        shows("pkttype", &[2, 1], "meta pkttype != multicast");
        shows("vlan", &[&5u16.to_ne_bytes()[..], &[0, 0, 0, 0, 1, 0]].concat(), "vlan id 5");
        let words = [5u64, 0xff].map(u64::to_ne_bytes).concat();
        shows("mark_m", &[&words[..], &[0, 1, 0, 0, 0, 0, 0, 0]].concat(), "meta mark & 0x000000ff == 0x00000005");
        shows("limit", &[1; 40], "xt match \"limit\"");
        shows("stp", &[1; 40], "xt match \"stp\"");
    }

    #[test]
    fn parameters_cut_short_are_left_alone() {
        for name in ["ip", "ip6", "arp", "vlan", "pkttype", "mark_m"] {
            for length in 0..100 {
                for byte in [0, 1, 0x3f, 0xff] {
                    let expressions =
                        vec![Expression::XtMatch { name: name.into(), revision: 0, info: vec![byte; length] }];
                    let rule = Rule { handle: 0, expressions, comment: None };
                    let _ = text::rule(TableFamily::Bridge, &[], &rule);
                }
            }
        }
    }
}
