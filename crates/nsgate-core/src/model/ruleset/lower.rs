//! Statements to instructions.
//!
//! Registers are given out as nft does it: every statement begins with the first, the parts of a concatenation stand
//! side by side in whole registers, the ends of ranges in the next large ones.

use super::expression::{Base, Bitwise, CmpOp, CtKey, Data, Expression, Nat, NatFlags, Register};
use super::header::{Context, HeaderField, Protocol};
use super::selector::Selector;
use super::statement::{Part, Relation, Right, Shift, Statement, Value};
use super::value_type::{Kind, Order, ValueType};
use super::{TableFamily, value, xt};

/// How many registers of four bytes one of the older 16-byte registers spans.
pub(super) const LARGE: u8 = 4;

/// Flags of a translation that its other parameters tell (NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_PROTO_SPECIFIED).
pub(super) const NAT_ADDRESS: u32 = 1;
pub(super) const NAT_PORT: u32 = 2;
/// The addresses are translated prefix by prefix (NF_NAT_RANGE_NETMAP).
pub(super) const NAT_PREFIX: u32 = 0x40;

/// The instructions of these statements in a table of this family.
pub fn lower(family: TableFamily, statements: &[Statement]) -> Vec<Expression> {
    let mut context = Context::new(family);
    let mut out = Vec::new();
    for statement in statements {
        for question in context.require(statement) {
            lower_statement(family, &question, &mut out);
        }
        lower_statement(family, statement, &mut out);
        context.pass(statement);
    }
    out
}

fn lower_statement(family: TableFamily, statement: &Statement, out: &mut Vec<Expression>) {
    let first = Register(0);
    match statement {
        Statement::Match { left, relation, right } => lower_match(left, *relation, right, out),
        Statement::VerdictMap { left, map } => {
            load_parts(left, first, out);
            out.push(Expression::Lookup { set: map.clone(), from: first, to: None, verdict: true, inverted: false });
        }
        Statement::Set { target, value } => lower_set(target, value, out),
        Statement::Update { set, operation, key, data, timeout, each } => {
            load_parts(key, first, out);
            let to = Register(LARGE);
            if let Some(data) = data {
                load_value(data, None, to, out);
            }
            out.push(Expression::Update {
                set: set.clone(),
                operation: *operation,
                key: first,
                data: data.is_some().then_some(to),
                timeout: *timeout,
                each: lower(family, each),
                inverted: false,
            });
        }
        Statement::ObjectMap { key, map } => {
            load_parts(key, first, out);
            out.push(Expression::ObjectMap { set: map.clone(), from: first });
        }
        Statement::Reject(kind) => out.push(Expression::Reject(*kind)),
        Statement::Verdict(verdict) => {
            out.push(Expression::Immediate { to: None, data: Data::Verdict(verdict.clone()) });
        }
        Statement::Plain(expression) | Statement::Opaque(expression) => out.push(expression.clone()),
        other => lower_passage(family, other, out),
    }
}

/// What sends a packet elsewhere: translations, copies, ways round the routes.
fn lower_passage(family: TableFamily, statement: &Statement, out: &mut Vec<Expression>) {
    match statement {
        Statement::Nat { source, family: to_family, address, port, flags } => {
            let number = to_family.unwrap_or_else(|| family.number());
            let registers = load_nat(number, address.as_ref(), port.as_ref(), out);
            out.push(Expression::Nat(Nat {
                source: *source,
                family: number,
                address: registers.0,
                port: registers.1,
                flags: nat_flags(*flags, address.is_some(), port.is_some()),
            }));
        }
        Statement::Masquerade { port, flags } => {
            let port_registers = load_nat(0, None, port.as_ref(), out).1;
            out.push(Expression::Masquerade { port: port_registers, flags: nat_flags(*flags, false, port.is_some()) });
        }
        Statement::Redirect { port, flags } => {
            let port_registers = load_nat(0, None, port.as_ref(), out).1;
            out.push(Expression::Redirect { port: port_registers, flags: nat_flags(*flags, false, port.is_some()) });
        }
        Statement::TransparentProxy { family, address, port } => {
            let registers = load_nat(*family, address.as_ref(), port.as_ref(), out);
            let [address, port] = [registers.0, registers.1].map(|pair| pair.map(|p| p.0));
            out.push(Expression::TransparentProxy { family: *family, address, port });
        }
        Statement::Duplicate { address, device } => {
            let ends = load_nat(family.number(), address.as_ref(), None, out).0;
            let free = if address.is_some() { Register(LARGE) } else { Register(0) };
            let device = device.as_ref().map(|device| load_device(device, free, out));
            out.push(Expression::Duplicate { address: ends.map(|e| e.0), device });
        }
        Statement::Forward { address, device } => {
            let device = load_device(device, Register(0), out);
            let address = address.as_ref().map(|(address, family)| {
                let kind = if *family == 10 { ValueType::Ipv6Address } else { ValueType::Ipv4Address }.kind();
                load_value(address, Some(kind), Register(LARGE), out);
                (Register(LARGE), *family)
            });
            out.push(Expression::Forward { device, address });
        }
        _ => {}
    }
}

fn lower_match(left: &[Part], relation: Relation, right: &Right, out: &mut Vec<Expression>) {
    let from = Register(0);
    if let (Right::Set(set), Relation::Compare(op)) = (right, relation) {
        load_parts(left, from, out);
        let inverted = op == CmpOp::Neq;
        out.push(Expression::Lookup { set: set.clone(), from, to: None, verdict: false, inverted });
        return;
    }
    let [part] = left else { return };
    let kind = part.kind().unwrap_or(Kind::integer(4));
    match (relation, right) {
        (Relation::AnyFlag | Relation::NoFlag, Right::Value(flags)) => {
            load_part(part, from, out);
            let mask = kind.turned(flags);
            let zero = vec![0; mask.len()];
            out.push(bitwise(from, mask, zero.clone()));
            let op = if relation == Relation::AnyFlag { CmpOp::Neq } else { CmpOp::Eq };
            out.push(Expression::Cmp { from, op, value: zero });
        }
        (Relation::Compare(op), Right::Value(bytes)) => {
            let shift = load_part(part, from, out);
            let bytes = kind.turned(bytes);
            let value = if part.bits.is_none() { placed(&part.selector, bytes, shift) } else { bytes };
            out.push(Expression::Cmp { from, op, value });
        }
        (Relation::Compare(op), Right::Prefix(bytes, length)) => lower_prefix(part, kind, op, bytes, *length, out),
        (_, Right::Range(low, high)) => {
            let shift = load_part(part, from, out);
            let [low, high] = [low, high].map(|end| placed(&part.selector, kind.turned(end), shift));
            if relation == Relation::UNEQUAL {
                out.push(Expression::Range { from, inverted: true, low, high });
            } else {
                out.push(Expression::Cmp { from, op: CmpOp::Gte, value: low });
                out.push(Expression::Cmp { from, op: CmpOp::Lte, value: high });
            }
        }
        (_, Right::OneOf(ranges)) => {
            out.extend(xt::multiport(&part.selector, relation == Relation::UNEQUAL, ranges));
        }
        // Flags are never compared with these.
        (_, Right::Set(_) | Right::Prefix(..)) => {}
    }
}

/// Whole bytes of a prefix are compared alone; otherwise the other bits are masked out.
fn lower_prefix(part: &Part, kind: Kind, op: CmpOp, bytes: &[u8], length: u32, out: &mut Vec<Expression>) {
    let from = Register(0);
    let whole = length as usize / 8;
    if let (Selector::Header(field), true) =
        (&part.selector, length.is_multiple_of(8) && length > 0 && part.bits.is_none())
    {
        let offset = field.bytes().0;
        out.push(Expression::Payload { to: from, base: field.protocol.base(), offset, length: length / 8 });
        out.push(Expression::Cmp { from, op, value: bytes[..whole.min(bytes.len())].to_vec() });
        return;
    }
    load_part(part, from, out);
    let mask = prefix_mask(bytes.len(), length);
    let value: Vec<u8> = bytes.iter().zip(&mask).map(|(b, m)| b & m).collect();
    out.push(bitwise(from, kind.turned(&mask), vec![0; mask.len()]));
    out.push(Expression::Cmp { from, op, value: kind.turned(&value) });
}

fn lower_set(target: &Selector, value: &Value, out: &mut Vec<Expression>) {
    let from = Register(0);
    let kind = target.kind();
    match target {
        Selector::Meta(key) => {
            load_value(value, kind, from, out);
            out.push(Expression::MetaSet { key: *key, from });
        }
        Selector::Ct(key, direction) => {
            load_value(value, kind, from, out);
            out.push(Expression::CtSet { key: *key, from, direction: *direction });
        }
        Selector::Option { kind: header, number, offset, bits, .. } => {
            load_value(value, kind, from, out);
            let (number, offset, length) = (*number, *offset / 8, bits.div_ceil(8));
            out.push(Expression::HeaderOptionSet { from, kind: *header, number, offset, length });
        }
        Selector::Header(field) => lower_header_set(field, value, out),
        Selector::Raw { base, offset, bits } => {
            load_value(value, kind, from, out);
            let (base, offset, length, checksum) = (*base, *offset / 8, bits.div_ceil(8), checksum_of(target));
            out.push(Expression::PayloadSet { from, base, offset, length, checksum });
        }
        _ => {}
    }
}

/// Checksums are mended two bytes at a time, so a field that is not made of these is read, changed and written back.
fn lower_header_set(field: &HeaderField, value: &Value, out: &mut Vec<Expression>) {
    let from = Register(0);
    let base = field.protocol.base();
    let (mut offset, mut length) = field.bytes();
    let checksum = checksum(field);
    let aligned = checksum.0 == 0 || (offset.is_multiple_of(2) && length.is_multiple_of(2));
    if let (Some(bytes), true) = (constant(value), !aligned || field.mask().is_some()) {
        let end = (offset + length).next_multiple_of(2);
        let (first, old_end) = (offset - offset % 2, offset + length);
        let (mask, shift) = field.mask().unwrap_or((vec![0xff; length as usize], 0));
        let placed = shifted(&bytes, length as usize, shift);
        let pad = |inner: &[u8], fill: u8| {
            [vec![fill; (offset - first) as usize], inner.to_vec(), vec![fill; (end - old_end) as usize]].concat()
        };
        let keep: Vec<u8> = pad(&mask, 0).iter().map(|b| !b).collect();
        let new = pad(&placed, 0);
        (offset, length) = (first, end - first);
        out.push(Expression::Payload { to: from, base, offset, length });
        out.push(bitwise(from, keep, new));
    } else {
        load_value(value, Some(field.kind()), from, out);
    }
    out.push(Expression::PayloadSet { from, base, offset, length, checksum });
}

/// The checksum of a field's protocol: its kind (NFT_PAYLOAD_CSUM_*), place and flags.
pub(super) fn checksum(field: &HeaderField) -> (u32, u32, u32) {
    let in_pseudo_header = u32::from(matches!(field.name, "saddr" | "daddr"));
    match field.protocol {
        Protocol::Ip => (1, 10, in_pseudo_header),
        Protocol::Ip6 => (0, 0, in_pseudo_header),
        Protocol::Tcp => (1, 16, 0),
        Protocol::Udp => (1, 6, 0),
        Protocol::Icmp | Protocol::Icmp6 | Protocol::Igmp => (1, 2, 0),
        _ => (0, 0, 0),
    }
}

/// The same for whatever can be written into; bits without a name have no checksum that is mended for certain.
pub(super) fn checksum_of(target: &Selector) -> (u32, u32, u32) {
    match target {
        Selector::Header(field) => checksum(field),
        Selector::Raw { base: Base::Inner, .. } => (0, 0, 1),
        _ => (0, 0, 0),
    }
}

fn constant(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Constant(bytes) => Some(bytes.clone()),
        _ => None,
    }
}

fn nat_flags(flags: u32, address: bool, port: bool) -> NatFlags {
    NatFlags(flags | if address { NAT_ADDRESS } else { 0 } | if port { NAT_PORT } else { 0 })
}

/// The registers of the first and last value.
type Ends = Option<(Register, Register)>;

/// Leaves the parameters of a translation in registers.
fn load_nat(family: u8, address: Option<&Value>, port: Option<&Value>, out: &mut Vec<Expression>) -> (Ends, Ends) {
    let address_type = if family == 10 { ValueType::Ipv6Address } else { ValueType::Ipv4Address };
    let address_kind = address_type.kind();
    let width = (address_kind.padded() / 4) as u8;
    let mut next = Register(0);
    let address_ends = address.map(|value| {
        let mut ends = load_ends(value, address_kind, &mut next, out);
        if matches!(value, Value::Map { ranges: true, .. }) {
            ends.1 = Register(ends.0.0 + width);
        }
        ends
    });
    let port_ends = port.map(|value| match value {
        Value::SameMap => (Register(width), Register(width)),
        _ => load_ends(value, ValueType::InetService.kind(), &mut next, out),
    });
    (address_ends, port_ends)
}

/// Leaves the ends of a range, or one value for both, in the next free registers.
fn load_ends(value: &Value, kind: Kind, next: &mut Register, out: &mut Vec<Expression>) -> (Register, Register) {
    let mut free = || {
        let register = *next;
        *next = Register(next.0 + LARGE);
        register
    };
    if let Value::Range(low, high) = value {
        let ends = (free(), free());
        for (end, bytes) in [(ends.0, low), (ends.1, high)] {
            out.push(Expression::Immediate { to: Some(end), data: Data::Value(kind.turned(bytes)) });
        }
        return ends;
    }
    let register = free();
    load_value(value, Some(kind), register, out);
    (register, register)
}

/// Leaves a value in a register; `kind` is what the place it is meant for holds.
fn load_value(value: &Value, kind: Option<Kind>, to: Register, out: &mut Vec<Expression>) {
    match value {
        Value::Constant(bytes) | Value::Range(bytes, _) => {
            let data = Data::Value(kind.map_or_else(|| bytes.clone(), |k| k.turned(bytes)));
            out.push(Expression::Immediate { to: Some(to), data });
        }
        Value::Read(part) => {
            load_part(part, to, out);
        }
        Value::Map { key, map, .. } => {
            load_parts(key, to, out);
            out.push(Expression::Lookup { set: map.clone(), from: to, to: Some(to), verdict: false, inverted: false });
        }
        Value::SameMap => {}
    }
}

/// Leaves a concatenation in registers that follow one another.
fn load_parts(parts: &[Part], to: Register, out: &mut Vec<Expression>) {
    let mut register = to;
    for part in parts {
        load_part(part, register, out);
        let kind = part.selector.kind().unwrap_or(Kind::integer(4));
        register = Register(register.0.saturating_add((kind.padded() / 4) as u8));
    }
}

/// Leaves one value in a register; the number of bits by which it stands too far left there.
fn load_part(part: &Part, to: Register, out: &mut Vec<Expression>) -> u32 {
    let mut shift = 0;
    match &part.selector {
        Selector::Header(field) => {
            let (offset, length) = field.bytes();
            out.push(Expression::Payload { to, base: field.protocol.base(), offset, length });
        }
        Selector::Raw { base, offset, bits } => load_raw(*base, *offset, *bits, to, out),
        Selector::Meta(key) => out.push(Expression::Meta { key: *key, to }),
        Selector::Ct(key, direction) => out.push(Expression::Ct { key: *key, to, direction: *direction }),
        Selector::CtAddress { source, reply, .. } => {
            let key = CtKey(if *source { 8 } else { 9 });
            out.push(Expression::Ct { key, to, direction: Some(u8::from(*reply)) });
        }
        Selector::Fib { result, flags } => out.push(Expression::Fib { to, result: *result, flags: *flags }),
        Selector::Route(key) => out.push(Expression::Route { key: *key, to }),
        Selector::Option { kind, number, offset, bits, present } => {
            let (offset, length) = part.selector.bytes().unwrap_or((*offset / 8, bits.div_ceil(8)));
            let (kind, number, present) = (*kind, *number, *present);
            out.push(Expression::HeaderOption { to, kind, number, offset, length, present });
        }
        Selector::Socket { key, level } => out.push(Expression::Socket { key: *key, to, level: *level }),
        Selector::Fingerprint { ttl, flags } => {
            out.push(Expression::Fingerprint { to, ttl: *ttl, flags: *flags });
        }
        Selector::Xfrm { key, direction, number } => {
            out.push(Expression::Xfrm { key: *key, to, direction: *direction, number: *number });
        }
        Selector::Tunnel { key, mode } => out.push(Expression::Tunnel { key: *key, to, mode: *mode }),
        // What stands in a tunnel's packet is only read from the kernel, never written.
        Selector::Inner { .. } => {}
        Selector::Number { random, modulus, offset } => {
            out.push(Expression::Number { to, random: *random, modulus: *modulus, offset: *offset });
        }
        Selector::Hash { of, modulus, seed, offset } => {
            let from = Register(to.0.saturating_add(LARGE));
            load_parts(of, from, out);
            let length: usize = of.iter().filter_map(Part::kind).map(Kind::padded).sum();
            let from = (!of.is_empty()).then_some((from, length as u32));
            out.push(Expression::Hash { to, from, modulus: *modulus, seed: *seed, offset: *offset });
        }
    }
    if let Some((mask, by)) = part.selector.mask().filter(|_| !matches!(part.selector, Selector::Raw { .. })) {
        let zero = vec![0; mask.len()];
        out.push(bitwise(to, mask, zero));
        shift = by;
    }
    let kind = part.selector.kind().unwrap_or(Kind::integer(4));
    move_bits(part.before, kind, to, out);
    if let Some((mask, xor)) = &part.bits {
        let [mask, xor] = [mask, xor].map(|bits| kind.turned(bits));
        out.push(bitwise(to, mask, xor));
    }
    move_bits(part.after, kind, to, out);
    if part.turned && kind.order == Order::Host {
        let length = kind.length as u32;
        out.push(Expression::Byteorder { from: to, to, to_host: false, length, size: length });
    }
    shift
}

fn load_raw(base: Base, offset: u32, bits: u32, to: Register, out: &mut Vec<Expression>) {
    out.push(Expression::Payload { to, base, offset: offset / 8, length: bits.div_ceil(8) });
}

fn move_bits(shift: Option<Shift>, kind: Kind, register: Register, out: &mut Vec<Expression>) {
    let operation = match shift {
        None => return,
        Some(Shift::Left(by)) => Bitwise::ShiftLeft(by),
        Some(Shift::Right(by)) => Bitwise::ShiftRight(by),
    };
    out.push(Expression::Bitwise { from: register, to: register, length: kind.length as u32, operation });
}

fn load_device(device: &Value, to: Register, out: &mut Vec<Expression>) -> Register {
    load_value(device, Some(ValueType::InterfaceIndex.kind()), to, out);
    to
}

fn bitwise(register: Register, mask: Vec<u8>, xor: Vec<u8>) -> Expression {
    let length = mask.len() as u32;
    Expression::Bitwise { from: register, to: register, length, operation: Bitwise::Bool { mask, xor } }
}

/// A value of a field that does not fill its bytes, moved to where it stands in them.
fn placed(selector: &Selector, bytes: Vec<u8>, shift: u32) -> Vec<u8> {
    match selector {
        Selector::Header(_) | Selector::Option { .. } if selector.mask().is_some() => {
            let length = selector.bytes().map_or(bytes.len(), |(_, length)| length as usize);
            shifted(&bytes, length, shift)
        }
        _ => bytes,
    }
}

fn shifted(bytes: &[u8], length: usize, shift: u32) -> Vec<u8> {
    let number = value::number(bytes).unwrap_or(0) << shift;
    let wide = number.to_be_bytes();
    match wide.len().checked_sub(length) {
        Some(skip) => wide[skip..].to_vec(),
        None => bytes.to_vec(),
    }
}

/// A mask whose first `length` bits are set.
pub(super) fn prefix_mask(bytes: usize, length: u32) -> Vec<u8> {
    (0..bytes as u32).map(|byte| !(0xff_u32 >> length.saturating_sub(byte * 8).min(8)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_prefixes() {
        assert_eq!(prefix_mask(4, 20), [255, 255, 240, 0]);
        assert_eq!(prefix_mask(4, 0), [0; 4]);
        assert_eq!(prefix_mask(4, 32), [255; 4]);
    }
}
