//! The instructions of one rule, run over one packet.
//!
//! Follows linux net/netfilter/nft_*.c: registers of four bytes, each instruction goes on, breaks off (the rule does not
//! match) or decides. A value that is not known makes what hangs on it unknown.

use std::net::IpAddr;

use super::{Layer, Subject, ipset};
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::{
    Bitwise, CmpOp, Data, Element, Expression, Nat, Register, RejectKind, Set, SetQuestion, TableFamily, Verdict,
    native,
};
use crate::model::{LinkIndex, RouteKind};

/// How one rule ended for one packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It does not match: the instruction at this place broke off.
    Unmatched(usize),
    /// It matches, and this is what it does.
    Matched(Vec<Action>),
    /// Whether it matches is not known: the instruction at this place asks for what is not known.
    Unknown(usize),
}

/// What a rule that matches does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Decides.
    Verdict(Verdict),
    /// Refuses, and says so.
    Reject(RejectKind),
    /// Translates the source or destination; the new address, if it is one that is known.
    Translate {
        /// The source; otherwise the destination.
        source: bool,
        /// The new address.
        address: Option<IpAddr>,
        /// The new port.
        port: Option<u16>,
    },
    /// Sets the packet's mark.
    Mark(u32),
    /// Takes the packet out of connection tracking.
    Notrack,
    /// A target of the xtables kind.
    Target(String),
}

/// The registers: bytes that are known.
struct Registers([Option<[u8; 4]>; 20]);

impl Registers {
    fn put(&mut self, at: Register, bytes: Option<&[u8]>, length: usize) {
        let first = usize::from(at.0);
        for (word, slot) in self.0.iter_mut().skip(first).take(length.div_ceil(4)).enumerate() {
            *slot = bytes.map(|bytes| {
                let mut filled = [0; 4];
                for (to, from) in filled.iter_mut().zip(bytes.iter().skip(word * 4)) {
                    *to = *from;
                }
                filled
            });
        }
    }

    fn get(&self, at: Register, length: usize) -> Option<Vec<u8>> {
        let first = usize::from(at.0);
        let words = self.0.get(first..first + length.div_ceil(4))?;
        let mut bytes: Vec<u8> = words.iter().copied().collect::<Option<Vec<_>>>()?.concat();
        bytes.truncate(length);
        Some(bytes)
    }
}

/// What one instruction does with the packet.
enum Flow {
    On,
    Break,
    Unknown,
    Act(Action),
}

/// Runs the instructions of one rule.
pub fn run(subject: &Subject<'_>, sets: &[Set], expressions: &[Expression]) -> Outcome {
    let mut registers = Registers([None; 20]);
    let mut actions = Vec::new();
    for (place, expression) in expressions.iter().enumerate() {
        match step(subject, sets, &mut registers, expression) {
            Flow::On => {}
            Flow::Break => return Outcome::Unmatched(place),
            Flow::Unknown => return Outcome::Unknown(place),
            Flow::Act(action) => {
                let last = matches!(action, Action::Verdict(_) | Action::Reject(_) | Action::Translate { .. });
                actions.push(action);
                if last {
                    break;
                }
            }
        }
    }
    Outcome::Matched(actions)
}

fn step(subject: &Subject<'_>, sets: &[Set], registers: &mut Registers, expression: &Expression) -> Flow {
    match expression {
        Expression::Payload { to, base, offset, length } => {
            let (offset, length) = (*offset as usize, *length as usize);
            if *base == crate::model::ruleset::Base::Transport && !subject.has_transport() {
                return Flow::Break;
            }
            match subject.payload(*base, offset, length) {
                Some(bytes) => registers.put(*to, Some(bytes), length),
                // Bytes beyond the packet's end break the rule; a header that was not kept leaves them unknown.
                None if *base == crate::model::ruleset::Base::Link => registers.put(*to, None, length),
                None => return Flow::Break,
            }
            Flow::On
        }
        Expression::Meta { key, .. } if subject.lacks_device(*key) => Flow::Break,
        Expression::Meta { key, to } => {
            let value = subject.meta(*key);
            registers.put(*to, value.as_deref(), value.as_ref().map_or(16, Vec::len));
            Flow::On
        }
        Expression::Ct { key, to, .. } => {
            let value = subject.ct(*key);
            registers.put(*to, value.as_deref(), value.as_ref().map_or(16, Vec::len));
            Flow::On
        }
        Expression::Fib { to, result, flags } => {
            let value = fib(subject, result.0, *flags);
            registers.put(*to, value.as_deref(), value.as_ref().map_or(4, Vec::len));
            Flow::On
        }
        Expression::Cmp { from, op, value } => {
            registers.get(*from, value.len()).map_or(Flow::Unknown, |found| truth(compare(*op, &found, value)))
        }
        Expression::Range { from, inverted, low, high } => registers
            .get(*from, low.len())
            .map_or(Flow::Unknown, |found| truth((low..=high).contains(&&found) != *inverted)),
        Expression::Lookup { set, from, to, verdict, inverted } => {
            look_into(sets, registers, set, *from, *to, *verdict, *inverted)
        }
        Expression::Immediate { to: Some(to), data: Data::Value(value) } => {
            registers.put(*to, Some(value), value.len());
            Flow::On
        }
        Expression::Immediate { data: Data::Verdict(verdict), .. } => Flow::Act(Action::Verdict(verdict.clone())),
        Expression::Bitwise { from, to, length, operation } => {
            let value = registers.get(*from, *length as usize).and_then(|v| bitwise(&v, operation));
            registers.put(*to, value.as_deref(), *length as usize);
            Flow::On
        }
        Expression::Byteorder { from, to, length, size, .. } => {
            let value = registers.get(*from, *length as usize).map(|v| turn(&v, *size as usize));
            registers.put(*to, value.as_deref(), *length as usize);
            Flow::On
        }
        other => act(subject, registers, other),
    }
}

/// The instructions that do something, and those that cannot be foreseen.
fn act(subject: &Subject<'_>, registers: &Registers, expression: &Expression) -> Flow {
    match expression {
        Expression::Nat(nat) => Flow::Act(translate(registers, nat)),
        Expression::Masquerade { .. } => Flow::Act(Action::Translate {
            source: true,
            address: own_address(subject, subject.leaves.as_ref()),
            port: None,
        }),
        Expression::Redirect { port, .. } => {
            let address = own_address(subject, subject.entered.as_ref());
            Flow::Act(Action::Translate {
                source: false,
                address,
                port: port.and_then(|(low, _)| number(registers, low)),
            })
        }
        Expression::Reject(kind) => Flow::Act(Action::Reject(*kind)),
        Expression::Notrack => Flow::Act(Action::Notrack),
        Expression::MetaSet { key, from } if key.0 == 3 => match registers.get(*from, 4) {
            Some(bytes) => Flow::Act(Action::Mark(u32::from_ne_bytes(bytes.try_into().unwrap_or_default()))),
            None => Flow::On,
        },
        Expression::XtMatch { .. } => extension(subject, expression).unwrap_or(Flow::Unknown),
        Expression::XtSet { target: false, revision, info, .. } => SetQuestion::of_match(*revision, info)
            .and_then(|question| ipset::holds(subject, &question))
            .map_or(Flow::Unknown, truth),
        Expression::XtSet { target: true, .. } => Flow::Act(Action::Target("SET".into())),
        Expression::XtTarget { name, .. } => {
            extension(subject, expression).unwrap_or_else(|| Flow::Act(Action::Target(name.clone())))
        }
        Expression::Counter { .. }
        | Expression::Log { .. }
        | Expression::MetaSet { .. }
        | Expression::CtSet { .. }
        | Expression::PayloadSet { .. }
        | Expression::Update { .. }
        | Expression::Duplicate { .. }
        | Expression::Last { .. }
        // Counters, helpers, timeouts, security marks and expectations: they let everything pass.
        | Expression::Object { kind: 1 | 3 | 7 | 8 | 9, .. } => Flow::On,
        _ => Flow::Unknown,
    }
}

/// An extension of xtables by the instructions that mean the same, where there are such.
fn extension(subject: &Subject<'_>, expression: &Expression) -> Option<Flow> {
    let family = match (subject.layer, subject.packet.first()? >> 4) {
        (Layer::Bridged, _) => TableFamily::Bridge,
        (Layer::Arp, _) => TableFamily::Arp,
        (_, 4) => TableFamily::Ip,
        (_, 6) => TableFamily::Ip6,
        _ => return None,
    };
    let (expressions, sets) = native(family, expression)?;
    let mut registers = Registers([None; 20]);
    for expression in &expressions {
        match step(subject, &sets, &mut registers, expression) {
            Flow::On => {}
            end => return Some(end),
        }
    }
    Some(Flow::On)
}

fn truth(holds: bool) -> Flow {
    if holds { Flow::On } else { Flow::Break }
}

/// As memcmp does; what is longer than the value is not looked at.
fn compare(op: CmpOp, found: &[u8], value: &[u8]) -> bool {
    let order = found.cmp(value);
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Neq => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Lte => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Gte => order.is_ge(),
    }
}

fn bitwise(value: &[u8], operation: &Bitwise) -> Option<Vec<u8>> {
    match operation {
        Bitwise::Bool { mask, xor } => Some(value.iter().zip(mask).zip(xor).map(|((v, m), x)| (v & m) ^ x).collect()),
        Bitwise::ShiftLeft(_) | Bitwise::ShiftRight(_) | Bitwise::With(..) => None,
    }
}

/// Turns the byte order of every number in it.
fn turn(value: &[u8], size: usize) -> Vec<u8> {
    if size < 2 || cfg!(target_endian = "big") {
        return value.to_vec();
    }
    value.chunks(size).flat_map(|chunk| chunk.iter().rev().copied().collect::<Vec<u8>>()).collect()
}

fn look_into(
    sets: &[Set],
    registers: &mut Registers,
    name: &str,
    from: Register,
    to: Option<Register>,
    verdict: bool,
    inverted: bool,
) -> Flow {
    let Some(set) = sets.iter().find(|s| s.name == name) else { return Flow::Unknown };
    let Some(key) = registers.get(from, set.key_length as usize) else { return Flow::Unknown };
    let element = find(set, &key);
    if set.dynamic && element.is_none() {
        return Flow::Unknown;
    }
    match element {
        None => truth(inverted),
        Some(_) if inverted => Flow::Break,
        Some(element) => match (&element.data, to) {
            (Some(Data::Verdict(found)), _) if verdict => Flow::Act(Action::Verdict(found.clone())),
            (Some(Data::Value(value)), Some(to)) => {
                registers.put(to, Some(value), value.len());
                Flow::On
            }
            _ => Flow::On,
        },
    }
}

/// The element that a key finds.
fn find(set: &Set, key: &[u8]) -> Option<Element> {
    let entries = set.entries();
    let hit = entries.iter().filter(|e| !e.element.catch_all).find(|e| within(set, key, &e.low, &e.high));
    let all = || entries.iter().find(|e| e.element.catch_all);
    hit.or_else(all).map(|e| e.element.clone())
}

/// Whether a key lies in a range; of a concatenation each part must.
fn within(set: &Set, key: &[u8], low: &[u8], high: &[u8]) -> bool {
    if set.key_parts.len() < 2 {
        return (low..=high).contains(&key);
    }
    let mut at = 0;
    set.key_parts.iter().all(|length| {
        let (from, to) = (at, at + *length as usize);
        at += (*length as usize).next_multiple_of(4);
        match (key.get(from..to), low.get(from..to), high.get(from..to)) {
            (Some(key), Some(low), Some(high)) => (low..=high).contains(&key),
            _ => false,
        }
    })
}

fn translate(registers: &Registers, nat: &Nat) -> Action {
    let address = nat.address.and_then(|(low, high)| {
        let length = if nat.family == 10 { 16 } else { 4 };
        let bytes = registers.get(low, length).filter(|b| registers.get(high, length).as_ref() == Some(b))?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(octets) => Some(IpAddr::from(octets)),
            Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).ok().map(IpAddr::from),
        }
    });
    Action::Translate { source: nat.source, address, port: nat.port.and_then(|(low, _)| number(registers, low)) }
}

fn number(registers: &Registers, at: Register) -> Option<u16> {
    registers.get(at, 2).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes)
}

fn own_address(subject: &Subject<'_>, device: Option<&super::Device>) -> Option<IpAddr> {
    let link = subject.netns.link(LinkIndex(device?.index))?;
    let v4 = subject.ip()?.source.is_ipv4();
    link.addresses.iter().map(|a| a.net.addr()).find(|a| a.is_ipv4() == v4)
}

/// What the routing table says (NFT_FIB_RESULT_*, NFTA_FIB_F_*).
fn fib(subject: &Subject<'_>, result: u32, flags: u32) -> Option<Vec<u8>> {
    const SADDR: u32 = 1;
    const IIF: u32 = 8;
    const PRESENT: u32 = 32;
    let ip = subject.ip()?;
    let asked = if flags & SADDR != 0 { ip.source } else { ip.destination };
    let answer = look_up(subject.netns, &Query::from_here(None, asked));
    if result == 3 {
        return Some(address_type(&answer).to_ne_bytes().to_vec());
    }
    let entered = subject.entered.as_ref();
    let mut link = answer.link();
    if flags & IIF != 0 && link.map(|l| l.0) != entered.map(|d| d.index) {
        link = None;
    }
    let index = link.map_or(0, |l| l.0);
    if flags & PRESENT != 0 {
        return Some(vec![u8::from(index != 0)]);
    }
    match result {
        1 => Some(index.to_ne_bytes().to_vec()),
        2 => {
            let name = subject.netns.link(LinkIndex(index)).map_or(String::new(), |l| l.name.to_string());
            let mut bytes = name.into_bytes();
            bytes.resize(16, 0);
            Some(bytes)
        }
        _ => None,
    }
}

/// The address type that a route makes of an address (RTN_*).
fn address_type(answer: &Answer<'_>) -> u32 {
    match answer.route().map(|r| r.kind) {
        Some(RouteKind::Local) => 2,
        Some(RouteKind::Broadcast) => 3,
        Some(RouteKind::Anycast) => 4,
        Some(RouteKind::Multicast) => 5,
        Some(RouteKind::Blackhole) => 6,
        Some(RouteKind::Unreachable) => 7,
        Some(RouteKind::Prohibit) => 8,
        Some(_) => 1,
        None => 0,
    }
}
