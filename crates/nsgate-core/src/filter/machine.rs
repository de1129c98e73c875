//! The instructions of one rule, run over one packet.
//!
//! Follows linux net/netfilter/nft_*.c: registers of four bytes, each instruction goes on, breaks off (the rule does not
//! match) or decides. A value that is not known makes what hangs on it unknown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nsgate_packet::Family;

use super::fib::fib;
use super::{Connection, Layer, Subject, ipset};
use crate::model::LinkIndex;
use crate::model::ruleset::{
    Base, Bitwise, CmpOp, CtKey, Data, Element, Expression, MetaKey, Nat, Register, RejectKind, Set, SetQuestion,
    TableFamily, Verdict, native,
};

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
    /// Puts the packet into a zone of connection tracking, in both directions.
    Zone(u16),
    /// A target of the xtables kind.
    Target(String),
}

/// `meta mark`, `ct mark` and `ct state`.
const MARK: MetaKey = MetaKey(3);
const CONNECTION_MARK: CtKey = CtKey(3);
/// `ct zone` (NFT_CT_ZONE).
const ZONE: CtKey = CtKey(17);
const CT_STATE: u32 = 0;

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

    fn mark(&self, at: Register) -> Option<u32> {
        self.get(at, 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
    }
}

/// What one instruction does with the packet.
enum Flow {
    On,
    Break,
    Unknown,
    Act(Action),
}

/// Runs the instructions of one rule, to see what would come of it.
pub fn run(subject: &Subject<'_>, sets: &[Set], expressions: &[Expression]) -> Outcome {
    run_on(&mut subject.clone(), sets, expressions)
}

/// Runs the instructions of one rule, and changes what they change: the packet's header and mark, and its connection. What
/// was changed before an instruction breaks off stays changed. Translations are told, and left to who follows the packet.
pub(super) fn run_on(subject: &mut Subject<'_>, sets: &[Set], expressions: &[Expression]) -> Outcome {
    let mut registers = Registers([None; 20]);
    let mut actions = Vec::new();
    for (place, expression) in expressions.iter().enumerate() {
        match step(subject, sets, &mut registers, expression) {
            Flow::On => {}
            Flow::Break => return Outcome::Unmatched(place),
            Flow::Unknown => {
                expressions[place..].iter().for_each(|expression| obscure(subject, expression));
                return Outcome::Unknown(place);
            }
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

fn step(subject: &mut Subject<'_>, sets: &[Set], registers: &mut Registers, expression: &Expression) -> Flow {
    match expression {
        Expression::Payload { to, base, offset, length } => {
            let (offset, length) = (*offset as usize, *length as usize);
            if *base == Base::Transport && !subject.has_transport() {
                return Flow::Break;
            }
            match subject.payload(*base, offset, length) {
                Some(bytes) => registers.put(*to, Some(bytes), length),
                // Bytes beyond the packet's end break the rule; what was not kept of it is unknown.
                None if *base == Base::Link || subject.is_cut() => registers.put(*to, None, length),
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
        Expression::Ct { key, .. } if subject.connection.is_absent() && key.0 != CT_STATE => Flow::Break,
        Expression::Ct { key, .. } if subject.lacks_address(*key) => Flow::Break,
        Expression::Ct { key, to, direction } => {
            let value = subject.ct(*key, *direction == Some(1));
            registers.put(*to, value.as_deref(), value.as_ref().map_or(16, Vec::len));
            Flow::On
        }
        Expression::Fib { to, result, flags } => {
            let value = fib(subject, *result, *flags);
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
        other => change(subject, registers, other).unwrap_or_else(|| act(subject, other)),
    }
}

/// What an instruction changes if it runs, and it is not known whether it does.
fn obscure(subject: &mut Subject<'_>, expression: &Expression) {
    match expression {
        Expression::MetaSet { key: MARK, .. } => subject.mark = None,
        Expression::CtSet { key: CONNECTION_MARK, .. } => subject.connection.mark = None,
        Expression::Notrack => subject.connection = Connection::default(),
        _ => {}
    }
}

/// The instructions that change the packet or its connection, and those that translate.
fn change(subject: &mut Subject<'_>, registers: &Registers, expression: &Expression) -> Option<Flow> {
    Some(match expression {
        // In a table of both families, one for the other family is passed over.
        Expression::Nat(nat) if !subject.is_of(nat.family) => Flow::On,
        Expression::Nat(nat) => Flow::Act(translate(registers, nat)),
        Expression::Masquerade { .. } => Flow::Act(Action::Translate {
            source: true,
            address: own_address(subject, subject.leaves.as_ref()),
            port: None,
        }),
        Expression::Redirect { port, .. } => {
            let address = match &subject.entered {
                Some(device) => own_address(subject, Some(device)),
                None => subject.ip().map(|ip| loopback(ip.family())),
            };
            let port = port.and_then(|range| one_number(registers, range));
            Flow::Act(Action::Translate { source: false, address, port })
        }
        // What has been tracked, or has been taken out before, stays as it is.
        Expression::Notrack if !subject.connection.is_unseen() => Flow::On,
        Expression::Notrack => {
            subject.connection.untrack();
            Flow::Act(Action::Notrack)
        }
        Expression::MetaSet { key: MARK, from } => {
            subject.mark = registers.mark(*from);
            subject.mark.map_or(Flow::On, |mark| Flow::Act(Action::Mark(mark)))
        }
        Expression::CtSet { key: ZONE, from, direction: None } => {
            let zone = registers.get(*from, 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
            zone.map_or(Flow::On, |zone| Flow::Act(Action::Zone(zone)))
        }
        Expression::CtSet { key: CONNECTION_MARK, from, .. } if !subject.connection.is_absent() => {
            subject.connection.mark = registers.mark(*from);
            Flow::On
        }
        Expression::PayloadSet { from, base, offset, length, .. } => {
            let bytes = registers.get(*from, *length as usize);
            let written = bytes.is_some_and(|bytes| subject.write(*base, *offset as usize, &bytes));
            if written { Flow::On } else { Flow::Unknown }
        }
        _ => return None,
    })
}

/// The instructions that do something else, and those that cannot be foreseen.
fn act(subject: &mut Subject<'_>, expression: &Expression) -> Flow {
    match expression {
        Expression::Reject(kind) => Flow::Act(Action::Reject(*kind)),
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
        | Expression::Update { .. }
        | Expression::Duplicate { .. }
        | Expression::Last { .. }
        // Counters, helpers, timeouts, security marks and expectations: they let everything pass.
        | Expression::Object { kind: 1 | 3 | 7 | 8 | 9, .. } => Flow::On,
        _ => Flow::Unknown,
    }
}

/// An extension of xtables by the instructions that mean the same, where there are such.
fn extension(subject: &mut Subject<'_>, expression: &Expression) -> Option<Flow> {
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
    Action::Translate { source: nat.source, address, port: nat.port.and_then(|range| one_number(registers, range)) }
}

/// The port that a range of ports holds, where it holds only one.
fn one_number(registers: &Registers, (low, high): (Register, Register)) -> Option<u16> {
    number(registers, low).filter(|low| number(registers, high) == Some(*low))
}

fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

fn number(registers: &Registers, at: Register) -> Option<u16> {
    registers.get(at, 2).and_then(|b| b.try_into().ok()).map(u16::from_be_bytes)
}

fn own_address(subject: &Subject<'_>, device: Option<&super::Device>) -> Option<IpAddr> {
    let link = subject.netns.link(LinkIndex(device?.index))?;
    let v4 = subject.ip()?.source.is_ipv4();
    link.addresses.iter().map(|a| a.net.addr()).find(|a| a.is_ipv4() == v4)
}
