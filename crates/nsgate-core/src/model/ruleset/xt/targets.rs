//! Targets: what a rule of iptables does.

use super::super::expression::{CtKey, Expression, MetaKey, RejectKind};
use super::super::header::{HeaderField, Protocol};
use super::super::lower::{NAT_ADDRESS, NAT_PORT};
use super::super::selector::Selector;
use super::super::statement::{Part, Statement, Value};
use super::Surroundings;
use super::info::Info;

/// The statements that mean the same as a target.
pub(super) fn translated(around: Surroundings, name: &str, revision: u32, info: &Info<'_>) -> Option<Vec<Statement>> {
    let statement = match (name, revision) {
        ("SNAT" | "DNAT" | "MASQUERADE" | "REDIRECT", _) => translation(around, name, revision, info)?,
        ("REJECT", 0) => Statement::Reject(refusal(around, info.u32(0)?)?),
        ("LOG", 0) => Statement::Plain(Expression::Log {
            prefix: info.text(2, 30).filter(|prefix| !prefix.is_empty()),
            group: None,
            level: Some(u32::from(info.u8(0)?)),
            snaplen: None,
            threshold: None,
            flags: u32::from(info.u8(1)?),
        }),
        ("NFLOG", 0) => Statement::Plain(Expression::Log {
            prefix: info.text(12, 64).filter(|prefix| !prefix.is_empty()),
            group: Some(info.u16(4)?),
            level: None,
            snaplen: info.u32(0).filter(|length| *length != 0),
            threshold: info.u16(6).filter(|threshold| *threshold > 1),
            flags: 0,
        }),
        ("MARK", 2) => set(meta(3), changed(meta(3), !info.u32(4)?, info.u32(0)?)),
        ("CONNMARK", 1) => connection_mark(info, info.u8(12)?)?,
        // The later revision can shift the mark as well.
        ("CONNMARK", 2) if info.u8(13)? == 0 => connection_mark(info, info.u8(14)?)?,
        ("TCPMSS", 0) => segment_size(info.u16(0)?)?,
        ("TTL" | "HL", 0) if info.u8(0)? == 0 => {
            let field = if around.ipv6 { header(Protocol::Ip6, "hoplimit") } else { header(Protocol::Ip, "ttl") };
            set(field?, Value::Constant(vec![info.u8(1)?]))
        }
        ("DSCP", 0) => {
            let protocol = if around.ipv6 { Protocol::Ip6 } else { Protocol::Ip };
            set(header(protocol, "dscp")?, Value::Constant(vec![info.u8(0)?]))
        }
        ("CT", 0..=2) => connection(info)?,
        ("NOTRACK", 0) => Statement::Plain(Expression::Notrack),
        ("TRACE", 0) => set(meta(12), Value::Constant(vec![1])),
        ("CLASSIFY", 0) => set(meta(2), Value::Constant(info.u32(0)?.to_be_bytes().to_vec())),
        ("NFQUEUE", 0..=3) => {
            let total = if revision == 0 { 1 } else { info.u16(2)?.max(1) };
            let flags = if revision < 2 { 0 } else { info.u16(4)? };
            Statement::Plain(Expression::Queue { number: info.u16(0)?, total, flags })
        }
        _ => return None,
    };
    Some(vec![statement])
}

/// `struct nf_nat_ipv4_multi_range_compat`, or `struct nf_nat_range` and its successor.
fn translation(around: Surroundings, name: &str, revision: u32, info: &Info<'_>) -> Option<Statement> {
    /// What nft has words for: random, persistent and fully random.
    const CHOICES: u32 = 0x1c;
    // Addresses of IPv4 stand in the older structure, unless a later revision has one for both families.
    let older = !around.ipv6 && revision == 0;
    if older && info.u32(0)? != 1 {
        return None;
    }
    let length = if around.ipv6 { 16 } else { 4 };
    let [flags, low, high, first, last] = if older { [4, 8, 12, 16, 18] } else { [0, 4, 20, 36, 38] };
    let flags = info.u32(flags)?;
    let range = |low: &[u8], high: &[u8]| {
        if low == high { Value::Constant(low.to_vec()) } else { Value::Range(low.to_vec(), high.to_vec()) }
    };
    let address = match flags & NAT_ADDRESS {
        0 => None,
        _ => Some(range(info.bytes(low, length)?, info.bytes(high, length)?)),
    };
    let port = match flags & NAT_PORT {
        0 => None,
        _ => Some(range(&info.be16(first)?.to_be_bytes(), &info.be16(last)?.to_be_bytes())),
    };
    let rest = flags & !(NAT_ADDRESS | NAT_PORT);
    if rest & !CHOICES != 0 {
        return None;
    }
    Some(match name {
        "MASQUERADE" => Statement::Masquerade { port, flags: rest },
        "REDIRECT" => Statement::Redirect { port, flags: rest },
        _ => {
            let family = address.is_some().then_some(if around.ipv6 { 10 } else { 2 });
            Statement::Nat { source: name == "SNAT", family, address, port, flags: rest }
        }
    })
}

/// `enum ipt_reject_with` and `enum ip6t_reject_with`.
fn refusal(around: Surroundings, with: u32) -> Option<RejectKind> {
    /// Stands for a TCP reset among the codes of ICMP errors.
    const RESET: u8 = 255;
    let codes: &[Option<u8>] = if around.ipv6 {
        &[Some(0), Some(1), None, Some(3), Some(4), None, Some(RESET), Some(5), Some(6)]
    } else {
        &[Some(0), Some(1), Some(2), Some(3), None, Some(9), Some(10), Some(RESET), Some(13)]
    };
    match codes.get(with as usize).copied()?? {
        RESET => Some(RejectKind::TcpReset),
        code => Some(RejectKind::Icmp(code)),
    }
}

/// `struct xt_connmark_tginfo1` and the beginning of its successor.
fn connection_mark(info: &Info<'_>, mode: u8) -> Option<Statement> {
    let [mark, mark_mask, packet_mask] = [info.u32(0)?, info.u32(4)?, info.u32(8)?];
    let whole = mark_mask == u32::MAX && packet_mask == u32::MAX;
    match mode {
        0 => Some(set(ct(3), changed(ct(3), !mark_mask, mark))),
        1 if whole => Some(set(ct(3), Value::Read(Part::plain(meta(3))))),
        2 if whole => Some(set(meta(3), Value::Read(Part::plain(ct(3))))),
        _ => None,
    }
}

/// `struct xt_tcpmss_info`: a size, or as much as the route takes.
fn segment_size(size: u16) -> Option<Statement> {
    const CLAMP: u16 = 0xffff;
    let value = match size {
        CLAMP => Value::Read(Part { turned: true, ..Part::plain(Selector::route("mtu")?) }),
        size => Value::Constant(size.to_be_bytes().to_vec()),
    };
    Some(set(Selector::option(1, "maxseg", Some("size"))?, value))
}

/// `struct xt_ct_target_info` and its successor, as far as they take a packet out or give it a zone.
fn connection(info: &Info<'_>) -> Option<Statement> {
    const NOTRACK: u16 = 1;
    match info.u16(0)? {
        flags if flags & NOTRACK != 0 => Some(Statement::Plain(Expression::Notrack)),
        0 if info.bytes(4, 24)?.iter().all(|b| *b == 0) => {
            Some(set(ct(17), Value::Constant(info.u16(2)?.to_be_bytes().to_vec())))
        }
        _ => None,
    }
}

/// A number of which some bits are kept and others turned over.
fn changed(selector: Selector, kept: u32, turned: u32) -> Value {
    let [mask, xor] = [kept, turned].map(|bits| bits.to_be_bytes().to_vec());
    match kept {
        0 => Value::Constant(xor),
        _ => Value::Read(Part { bits: Some((mask, xor)), ..Part::plain(selector) }),
    }
}

fn set(target: Selector, value: Value) -> Statement {
    Statement::Set { target, value }
}

fn header(protocol: Protocol, name: &str) -> Option<Selector> {
    HeaderField::named(protocol, name).map(Selector::Header)
}

fn meta(key: u32) -> Selector {
    Selector::Meta(MetaKey(key))
}

fn ct(key: u32) -> Selector {
    Selector::Ct(CtKey(key), None)
}
