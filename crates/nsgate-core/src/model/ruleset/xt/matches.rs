//! Matches: what a rule of iptables asks.

use super::super::expression::{CmpOp, CtKey, Expression, FibResult, MetaKey};
use super::super::header::{HeaderField, Protocol};
use super::super::selector::{FIB_PRESENT, Selector};
use super::super::statement::{Part, Relation, Right, Statement};
use super::Surroundings;
use super::info::Info;
use super::spell::packets_in_seconds;

/// The statements that mean the same as a match.
pub(super) fn translated(around: Surroundings, name: &str, revision: u32, info: &Info<'_>) -> Option<Vec<Statement>> {
    match (name, revision) {
        ("comment", _) => Some(Vec::new()),
        ("conntrack", 1..=3) => conntrack(revision, info),
        ("state", 0) => states(info.u32(0)?, false),
        ("tcp", 0) => tcp(info),
        ("udp", 0) => udp(info),
        ("multiport", 1) => multiport(around, info),
        ("icmp" | "icmp6", 0) => icmp(around, info),
        ("mark" | "connmark", 1) => mark(name, info),
        ("addrtype", 0 | 1) => address_types(revision, info),
        ("rpfilter", 0) => reverse_path(info),
        ("iprange", 1) => address_ranges(around, info),
        ("owner", 1) => owner(info),
        ("limit", 0) => limit(info),
        ("statistic", 0) => statistic(info),
        ("mac", 0) => {
            let relation = equality(info.u32(8)? != 0);
            one(header(Protocol::Ether, "saddr")?, relation, Right::Value(info.bytes(0, 6)?.to_vec()))
        }
        ("length", 0) => {
            let ends = [info.u16(0)?, info.u16(2)?].map(u32::from);
            between(meta(0), equality(info.u8(4)? != 0), ends.map(|end| end.to_be_bytes().to_vec()))
        }
        ("ttl" | "hl", 0) => hops(around, info),
        ("pkttype", 0) => {
            let relation = equality(info.u32(4)? != 0);
            one(meta(19), relation, Right::Value(vec![u8::try_from(info.u32(0)?).ok()?]))
        }
        ("dscp", 0) => {
            let protocol = if around.ipv6 { Protocol::Ip6 } else { Protocol::Ip };
            one(header(protocol, "dscp")?, equality(info.u8(1)? != 0), Right::Value(vec![info.u8(0)?]))
        }
        ("helper", 0) => {
            let mut helper = info.text(4, 16).filter(|name| !name.is_empty() && name.len() < 16)?.into_bytes();
            helper.resize(16, 0);
            one(ct(6), equality(info.u32(0)? != 0), Right::Value(helper))
        }
        ("tcpmss", 0) => {
            let ends = [info.u16(0)?, info.u16(2)?].map(|end| end.to_be_bytes().to_vec());
            between(Selector::option(1, "maxseg", Some("size"))?, equality(info.u8(4)? != 0), ends)
        }
        _ => None,
    }
}

/// `struct xt_conntrack_mtinfo3` and its forerunners, as far as states and nothing else are asked for.
fn conntrack(revision: u32, info: &Info<'_>) -> Option<Vec<Statement>> {
    /// XT_CONNTRACK_STATE, XT_CONNTRACK_STATUS, XT_CONNTRACK_STATE_ALIAS.
    const STATE: u16 = 1;
    const STATUS: u16 = 0x40;
    const ALIAS: u16 = 0x2000;
    let (flags, inverted) = (info.u16(146)?, info.u16(148)?);
    let wide = |at: usize, narrow: usize| match revision {
        1 => info.u8(narrow).map(u32::from),
        _ => info.u16(at).map(u32::from),
    };
    if flags & !(STATE | STATUS | ALIAS) != 0 {
        return None;
    }
    let mut statements = Vec::new();
    if flags & STATE != 0 {
        statements.extend(states(wide(150, 150)?, inverted & STATE != 0)?);
    }
    if flags & STATUS != 0 {
        statements.extend(any_flag(ct(2), wide(152, 151)?, inverted & STATUS != 0));
    }
    Some(statements)
}

/// The states of xtables: those of connections, and beyond them whether they are translated.
fn states(mask: u32, inverted: bool) -> Option<Vec<Statement>> {
    const TRANSLATED_SOURCE: u32 = 0x40;
    const TRANSLATED_DESTINATION: u32 = 0x80;
    const UNTRACKED: u32 = 0x100;
    match mask {
        TRANSLATED_SOURCE => Some(any_flag(ct(2), 16, inverted)),
        TRANSLATED_DESTINATION => Some(any_flag(ct(2), 32, inverted)),
        _ if mask & !(0xf | UNTRACKED) == 0 => {
            let untracked = if mask & UNTRACKED == 0 { 0 } else { 64 };
            Some(any_flag(ct(0), mask & 0xf | untracked, inverted))
        }
        _ => None,
    }
}

/// `struct xt_tcp`.
fn tcp(info: &Info<'_>) -> Option<Vec<Statement>> {
    let inverted = info.u8(11)?;
    let mut statements = ports(Protocol::Tcp, info, inverted)?;
    if info.u8(8)? != 0 {
        return None;
    }
    let (mask, compared) = (info.u8(9)?, info.u8(10)?);
    if mask != 0 {
        let mut flags = Part::plain(header(Protocol::Tcp, "flags")?);
        flags.bits = Some((vec![mask], vec![0]));
        let relation = equality(inverted & 4 != 0);
        statements.push(Statement::Match { left: vec![flags], relation, right: Right::Value(vec![compared]) });
    }
    Some(statements)
}

/// `struct xt_udp`.
fn udp(info: &Info<'_>) -> Option<Vec<Statement>> {
    ports(Protocol::Udp, info, info.u8(8)?)
}

/// Two ranges of ports at the beginning of a structure.
fn ports(protocol: Protocol, info: &Info<'_>, inverted: u8) -> Option<Vec<Statement>> {
    let mut statements = Vec::new();
    for (field, at, bit) in [("sport", 0, 1), ("dport", 4, 2)] {
        let ends = [info.u16(at)?, info.u16(at + 2)?];
        if ends != [0, u16::MAX] || inverted & bit != 0 {
            let ends = ends.map(|end| end.to_be_bytes().to_vec());
            statements.extend(between(header(protocol, field)?, equality(inverted & bit != 0), ends)?);
        }
    }
    Some(statements)
}

/// How many ports `struct xt_multiport_v1` has room for.
const MOST_PORTS: usize = 15;

/// `struct xt_multiport_v1` for these ports; none if they are too many.
pub(super) fn multiport_info(source: bool, inverted: bool, ranges: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut ports = [0; 2 * MOST_PORTS];
    let mut opens = [0; MOST_PORTS];
    let mut count = 0;
    for (low, high) in ranges {
        let ends = if low == high { &[low][..] } else { &[low, high] };
        for (place, end) in ends.iter().enumerate() {
            let port = u16::from_be_bytes(end.as_slice().try_into().ok()?).to_ne_bytes();
            ports.get_mut(2 * count..2 * count + 2)?.copy_from_slice(&port);
            opens[count] = u8::from(place + 1 < ends.len());
            count += 1;
        }
    }
    let head = [u8::from(!source), count as u8];
    Some([&head[..], &ports, &opens, &[u8::from(inverted)]].concat())
}

/// `struct xt_multiport_v1`.
fn multiport(around: Surroundings, info: &Info<'_>) -> Option<Vec<Statement>> {
    let field = match info.u8(0)? {
        0 => "sport",
        1 => "dport",
        _ => return None,
    };
    let protocol = match around.transport {
        Some(6) => Protocol::Tcp,
        Some(17) => Protocol::Udp,
        Some(33) => Protocol::Dccp,
        Some(132) => Protocol::Sctp,
        Some(136) => Protocol::UdpLite,
        _ => Protocol::Transport,
    };
    let count = usize::from(info.u8(1)?).min(MOST_PORTS);
    let relation = equality(info.u8(2 + 3 * MOST_PORTS)? != 0);
    let mut ranges = Vec::new();
    let mut place = 0;
    while place < count {
        let port = |place: usize| info.u16(2 + 2 * place).map(|port| port.to_be_bytes().to_vec());
        let opens = info.u8(2 + 2 * MOST_PORTS + place)? != 0;
        let last = if opens { place + 1 } else { place };
        ranges.push((port(place)?, port(last)?));
        place = last + 1;
    }
    let selector = header(protocol, field)?;
    match &ranges[..] {
        [] => None,
        [(low, high)] => between(selector, relation, [low.clone(), high.clone()]),
        _ => one(selector, relation, Right::OneOf(ranges)),
    }
}

/// `struct ipt_icmp` and `struct ip6t_icmp`.
fn icmp(around: Surroundings, info: &Info<'_>) -> Option<Vec<Statement>> {
    const ANY: u8 = 0xff;
    let protocol = if around.ipv6 { Protocol::Icmp6 } else { Protocol::Icmp };
    let (kind, low, high, inverted) = (info.u8(0)?, info.u8(1)?, info.u8(2)?, info.u8(3)? != 0);
    let any_code = (low, high) == (0, ANY);
    match (kind, any_code, inverted) {
        // Every message of the protocol: no more than the question for the protocol itself.
        (ANY, true, false) => one(meta(16), Relation::EQUAL, Right::Value(vec![if around.ipv6 { 58 } else { 1 }])),
        (ANY, ..) | (_, false, true) => None,
        (_, true, _) => one(header(protocol, "type")?, equality(inverted), Right::Value(vec![kind])),
        (_, false, false) => {
            let mut statements = one(header(protocol, "type")?, Relation::EQUAL, Right::Value(vec![kind]))?;
            statements.extend(between(header(protocol, "code")?, Relation::EQUAL, [vec![low], vec![high]])?);
            Some(statements)
        }
    }
}

/// `struct xt_mark_mtinfo1` and `struct xt_connmark_mtinfo1`.
fn mark(name: &str, info: &Info<'_>) -> Option<Vec<Statement>> {
    let mut part = Part::plain(if name == "mark" { meta(3) } else { ct(3) });
    let mask = info.u32(4)?;
    if mask != u32::MAX {
        part.bits = Some((mask.to_be_bytes().to_vec(), vec![0; 4]));
    }
    let right = Right::Value(info.u32(0)?.to_be_bytes().to_vec());
    Some(vec![Statement::Match { left: vec![part], relation: equality(info.u8(8)? != 0), right }])
}

/// `struct xt_addrtype_info_v1` and its forerunner, as far as one type is asked for.
fn address_types(revision: u32, info: &Info<'_>) -> Option<Vec<Statement>> {
    /// NFTA_FIB_F_SADDR and NFTA_FIB_F_DADDR, which are XT_ADDRTYPE_INVERT_SOURCE and XT_ADDRTYPE_INVERT_DEST too.
    const SOURCE: u32 = 1;
    const DESTINATION: u32 = 2;
    let (inverted, limited) = if revision == 0 {
        (u32::from(info.u32(4)? != 0) | u32::from(info.u32(8)? != 0) << 1, 0)
    } else {
        let flags = info.u32(4)?;
        (flags & 3, (flags & 4) << 1 | (flags & 8) << 1)
    };
    let mut statements = Vec::new();
    for (at, flag) in [(0, SOURCE), (2, DESTINATION)] {
        let types = info.u16(at)?;
        if types == 0 {
            continue;
        }
        types.is_power_of_two().then_some(())?;
        let selector = Selector::Fib { result: FibResult(3), flags: flag | limited };
        let right = Right::Value(types.trailing_zeros().to_be_bytes().to_vec());
        statements.extend(one(selector, equality(inverted & flag != 0), right)?);
    }
    Some(statements)
}

/// `struct xt_rpfilter_info`.
fn reverse_path(info: &Info<'_>) -> Option<Vec<Statement>> {
    const LOOSE: u8 = 1;
    const MARK: u8 = 2;
    const ACCEPT_LOCAL: u8 = 4;
    const INVERTED: u8 = 8;
    let flags = info.u8(0)?;
    (flags & ACCEPT_LOCAL == 0).then_some(())?;
    let asked = 1 | if flags & MARK == 0 { 0 } else { 4 } | if flags & LOOSE == 0 { 8 } else { 0 };
    let failed = flags & INVERTED != 0;
    let result = FibResult(1);
    if flags & LOOSE == 0 {
        let selector = Selector::Fib { result, flags: asked | FIB_PRESENT };
        return one(selector, Relation::EQUAL, Right::Value(vec![u8::from(!failed)]));
    }
    // nft can ask whether there is an interface only together with the incoming one: none is number 0.
    one(Selector::Fib { result, flags: asked }, equality(!failed), Right::Value(vec![0; 4]))
}

/// `struct xt_iprange_mtinfo`.
fn address_ranges(around: Surroundings, info: &Info<'_>) -> Option<Vec<Statement>> {
    let (protocol, length) = if around.ipv6 { (Protocol::Ip6, 16) } else { (Protocol::Ip, 4) };
    let flags = info.u8(64)?;
    let mut statements = Vec::new();
    for (field, at, bit) in [("saddr", 0, 1), ("daddr", 32, 2)] {
        if flags & bit != 0 {
            let ends = [info.bytes(at, length)?.to_vec(), info.bytes(at + 16, length)?.to_vec()];
            statements.extend(between(header(protocol, field)?, equality(flags & bit << 4 != 0), ends)?);
        }
    }
    Some(statements)
}

/// `struct xt_owner_match_info`.
fn owner(info: &Info<'_>) -> Option<Vec<Statement>> {
    let (asked, inverted) = (info.u8(16)?, info.u8(17)?);
    (asked & !3 == 0).then_some(())?;
    let mut statements = Vec::new();
    for (key, at, bit) in [(10, 0, 1), (11, 8, 2)] {
        if asked & bit != 0 {
            let ends = [info.u32(at)?, info.u32(at + 4)?].map(|end| end.to_be_bytes().to_vec());
            statements.extend(between(meta(key), equality(inverted & bit != 0), ends)?);
        }
    }
    Some(statements)
}

/// `struct xt_rateinfo`: the time for one packet, in parts of 10000 of a second.
fn limit(info: &Info<'_>) -> Option<Vec<Statement>> {
    let burst = info.u32(4)?;
    let (rate, unit) = packets_in_seconds(info.u32(0)?.into())?;
    Some(vec![Statement::Plain(Expression::Limit { rate, unit, burst, bytes: false, over: false })])
}

/// `struct xt_statistic_info`.
fn statistic(info: &Info<'_>) -> Option<Vec<Statement>> {
    let inverted = info.u16(2)? & 1 != 0;
    let value = info.u32(4)?;
    match info.u16(0)? {
        // Half of all numbers are drawn from.
        0 => {
            let mut part = Part::plain(meta(24));
            part.bits = Some((0x7fff_ffff_u32.to_be_bytes().to_vec(), vec![0; 4]));
            let relation = Relation::Compare(if inverted { CmpOp::Gte } else { CmpOp::Lt });
            let right = Right::Value(value.to_be_bytes().to_vec());
            Some(vec![Statement::Match { left: vec![part], relation, right }])
        }
        1 => {
            let modulus = value.checked_add(1)?;
            let selector = Selector::Number { random: false, modulus, offset: 0 };
            one(selector, equality(inverted), Right::Value(info.u32(8)?.to_be_bytes().to_vec()))
        }
        _ => None,
    }
}

/// `struct ipt_ttl_info` and `struct ip6t_hl_info`.
fn hops(around: Surroundings, info: &Info<'_>) -> Option<Vec<Statement>> {
    let selector = if around.ipv6 { header(Protocol::Ip6, "hoplimit") } else { header(Protocol::Ip, "ttl") };
    let op = match info.u8(0)? {
        0 => CmpOp::Eq,
        1 => CmpOp::Neq,
        2 => CmpOp::Lt,
        3 => CmpOp::Gt,
        _ => return None,
    };
    one(selector?, Relation::Compare(op), Right::Value(vec![info.u8(1)?]))
}

fn any_flag(selector: Selector, flags: u32, inverted: bool) -> Vec<Statement> {
    let relation = if inverted { Relation::NoFlag } else { Relation::AnyFlag };
    let right = Right::Value(flags.to_be_bytes().to_vec());
    vec![Statement::Match { left: vec![Part::plain(selector)], relation, right }]
}

pub(super) fn between(selector: Selector, relation: Relation, [low, high]: [Vec<u8>; 2]) -> Option<Vec<Statement>> {
    one(selector, relation, if low == high { Right::Value(low) } else { Right::Range(low, high) })
}

#[expect(clippy::unnecessary_wraps, reason = "the callers are arms of one match, most of which can fail")]
pub(super) fn one(selector: Selector, relation: Relation, right: Right) -> Option<Vec<Statement>> {
    let mut part = Part::plain(selector);
    let ordered = !matches!(relation, Relation::EQUAL | Relation::UNEQUAL) || matches!(right, Right::Range(..));
    part.turned = ordered && part.needs_turning();
    Some(vec![Statement::Match { left: vec![part], relation, right }])
}

pub(super) fn equality(inverted: bool) -> Relation {
    if inverted { Relation::UNEQUAL } else { Relation::EQUAL }
}

pub(super) fn header(protocol: Protocol, name: &str) -> Option<Selector> {
    HeaderField::named(protocol, name).map(Selector::Header)
}

pub(super) fn meta(key: u32) -> Selector {
    Selector::Meta(MetaKey(key))
}

fn ct(key: u32) -> Selector {
    Selector::Ct(CtKey(key), None)
}
