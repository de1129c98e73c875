//! What a comparison asks, given what was loaded.

use super::super::expression::{Base, CmpOp};
use super::super::header::Context;
use super::super::header_option::field_at;
use super::super::lower::{checksum, prefix_mask};
use super::super::selector::Selector;
use super::super::statement::{Part, Relation, Right, Shift, Statement, Value};
use super::super::value;
use super::super::value_type::{Kind, Order, ValueType};
use super::registers::{Loaded, Slot, Source};

/// The questions behind a comparison: several where one instruction compares fields that stand side by side.
pub(super) fn compare(context: &Context, loaded: &Loaded, op: CmpOp, bytes: &[u8]) -> Option<Vec<Statement>> {
    if let (Source::Payload { base, offset, length }, true) = (&loaded.source, loaded.is_plain()) {
        (bytes.len() == *length as usize).then_some(())?;
        if context.field_at(*base, offset.checked_mul(8)?, length.checked_mul(8)?).is_none() {
            return side_by_side(context, (*base, *offset), op, bytes)
                .or_else(|| beginning(context, (*base, *offset), op, bytes))
                .or_else(|| Some(vec![plain(part(context, loaded)?, op, Right::Value(bytes.to_vec()))]));
        }
    }
    if let Some(statement) = within_bytes(context, loaded, op, bytes) {
        return Some(vec![statement]);
    }
    let part = part(context, loaded)?;
    let kind = part.kind()?;
    if part.is_plain() && kind.order == Order::Network && has_prefixes(kind.value_type) && bytes.len() < kind.length {
        return beginning_of(part.selector, kind, op, bytes).map(|statement| vec![statement]);
    }
    // Whether something is there is one byte, but some versions of nft compare four.
    let kind = if kind.value_type == ValueType::Existence { Kind { length: bytes.len(), ..kind } } else { kind };
    let bytes = exact(kind, &kind.turned(bytes));
    Some(vec![
        flags(&part, kind, op, &bytes)
            .or_else(|| prefix(&part, kind, op, &bytes))
            .unwrap_or_else(|| plain(part, op, Right::Value(bytes))),
    ])
}

/// What was read, by its name where it has one.
pub(super) fn part(context: &Context, loaded: &Loaded) -> Option<Part> {
    if let Some((part, _)) = narrow(context, loaded) {
        return Some(part);
    }
    let selector = match &loaded.source {
        Source::Selector(selector) => selector.clone(),
        Source::Payload { base, offset, length } => {
            let (offset, bits) = (offset.checked_mul(8)?, length.checked_mul(8)?);
            match context.field_at(*base, offset, bits) {
                Some(field) => Selector::Header(field),
                None => Selector::Raw { base: *base, offset, bits },
            }
        }
    };
    let kind = selector.kind()?;
    let bits = loaded.bits.as_ref().map(|(mask, xor)| (kind.turned(mask), kind.turned(xor)));
    Some(Part { selector, before: loaded.before, bits, after: loaded.after, turned: loaded.turned })
}

/// A field that does not fill its bytes, of which the other bits were masked out, and how far it stands too far left.
pub(super) fn narrow(context: &Context, loaded: &Loaded) -> Option<(Part, u32)> {
    let (mask, xor) = loaded.bits.as_ref()?;
    (loaded.before.is_none() && !loaded.turned && xor.iter().all(|b| *b == 0)).then_some(())?;
    let first = u32::try_from(mask.iter().position(|b| *b != 0)?).ok()?;
    let skip = first * 8 + mask[first as usize].leading_zeros();
    let bits = mask.iter().map(|b| b.count_ones()).sum();
    let selector = match &loaded.source {
        Source::Payload { base, offset, .. } => {
            Selector::Header(context.field_at(*base, offset.checked_mul(8)?.checked_add(skip)?, bits)?)
        }
        Source::Selector(Selector::Option { kind, number, offset, present: false, .. }) => {
            let offset = offset.checked_add(skip)?;
            field_at(*kind, *number, offset, bits)?;
            Selector::Option { kind: *kind, number: *number, offset, bits, present: false }
        }
        Source::Selector(_) => return None,
    };
    let (own_mask, shift) = selector.mask()?;
    let place = match &loaded.source {
        Source::Payload { offset, length, .. } => (*offset, *length),
        Source::Selector(whole) => whole.bytes()?,
    };
    (own_mask == *mask && selector.bytes() == Some(place)).then_some(())?;
    match loaded.after {
        None => Some((Part::plain(selector), shift)),
        Some(Shift::Right(by)) if by == shift => Some((Part { after: loaded.after, ..Part::plain(selector) }, 0)),
        Some(_) => None,
    }
}

/// The setting of a field that is smaller than what was written, or that was read, changed and written back.
pub(super) fn written(
    context: &Context,
    slot: &Slot,
    (base, offset, length): (Base, u32, u32),
    sum: (u32, u32, u32),
) -> Option<Statement> {
    let Slot::Loaded(Loaded { source: Source::Payload { base: from, offset: at, length: much }, bits, .. }) = slot
    else {
        return None;
    };
    let (keep, new) = bits.as_ref()?;
    ((*from, *at, *much) == (base, offset, length)).then_some(())?;
    let changed: Vec<u8> = keep.iter().map(|b| !b).collect();
    let first = changed.iter().position(|b| *b != 0)?;
    let skip = u32::try_from(first).ok()? * 8 + changed[first].leading_zeros();
    let last = changed.iter().rposition(|b| *b != 0)?;
    let end = u32::try_from(last).ok()? * 8 + 8 - changed[last].trailing_zeros();
    let field = context.field_at(base, offset.checked_mul(8)?.checked_add(skip)?, end - skip)?;
    (checksum(field) == sum).then_some(())?;
    let number = value::number(new)?.checked_shr(length.checked_mul(8)?.checked_sub(end)?)?;
    let bytes = value::fitting(field.kind(), number)?;
    Some(Statement::Set { target: Selector::Header(field), value: Value::Constant(bytes) })
}

/// Several whole fields, each equal to its share of the bytes.
fn side_by_side(context: &Context, (base, offset): (Base, u32), op: CmpOp, bytes: &[u8]) -> Option<Vec<Statement>> {
    (op == CmpOp::Eq).then_some(())?;
    let mut statements = Vec::new();
    let mut rest = bytes;
    let mut at = offset.checked_mul(8)?;
    while !rest.is_empty() {
        let field = context.field_from(base, at, rest.len() as u32 * 8)?;
        field.mask().is_none().then_some(())?;
        let (value, tail) = rest.split_at(field.bits as usize / 8);
        statements.push(plain(Part::plain(Selector::Header(field)), op, Right::Value(value.to_vec())));
        at += field.bits;
        rest = tail;
    }
    Some(statements)
}

/// The first bytes of an address.
fn beginning(context: &Context, (base, offset): (Base, u32), op: CmpOp, bytes: &[u8]) -> Option<Vec<Statement>> {
    let bits = bytes.len() as u32 * 8;
    let field = context.wider_field_from(base, offset.checked_mul(8)?, bits)?;
    (has_prefixes(field.value_type) && matches!(op, CmpOp::Eq | CmpOp::Neq)).then_some(())?;
    let mut whole = bytes.to_vec();
    whole.resize(field.bits as usize / 8, 0);
    Some(vec![plain(Part::plain(Selector::Header(field)), op, Right::Prefix(whole, bits))])
}

/// The first bytes of an address that is no field of the packet.
fn beginning_of(selector: Selector, kind: Kind, op: CmpOp, bytes: &[u8]) -> Option<Statement> {
    matches!(op, CmpOp::Eq | CmpOp::Neq).then_some(())?;
    let bits = bytes.len() as u32 * 8;
    let mut whole = bytes.to_vec();
    whole.resize(kind.length, 0);
    Some(plain(Part::plain(selector), op, Right::Prefix(whole, bits)))
}

/// A field that does not fill its bytes.
fn within_bytes(context: &Context, loaded: &Loaded, op: CmpOp, bytes: &[u8]) -> Option<Statement> {
    let (part, shift) = narrow(context, loaded)?;
    let bytes = unshifted(part.selector.kind()?, bytes, shift)?;
    Some(plain(part, op, Right::Value(bytes)))
}

/// A value that stands this many bits too far left, put where numbers stand; none if there are other bits in it.
pub(super) fn unshifted(kind: Kind, bytes: &[u8], shift: u32) -> Option<Vec<u8>> {
    let number = value::number(bytes)?;
    (number.trailing_zeros() >= shift).then_some(())?;
    value::fitting(kind, number.checked_shr(shift)?)
}

/// Any or none of some flags.
fn flags(part: &Part, kind: Kind, op: CmpOp, bytes: &[u8]) -> Option<Statement> {
    let (mask, xor) = part.bits.as_ref()?;
    let asked = kind.value_type.is_flags() && [xor, bytes].iter().all(|b| b.iter().all(|b| *b == 0));
    let relation = match (asked, op) {
        (true, CmpOp::Neq) => Relation::AnyFlag,
        (true, CmpOp::Eq) => Relation::NoFlag,
        _ => return None,
    };
    let left = vec![Part { bits: None, ..part.clone() }];
    Some(Statement::Match { left, relation, right: Right::Value(mask.clone()) })
}

/// The addresses that begin with the same bits.
fn prefix(part: &Part, kind: Kind, op: CmpOp, bytes: &[u8]) -> Option<Statement> {
    let (mask, xor) = part.bits.as_ref()?;
    let length = mask.iter().map(|b| b.count_ones()).sum();
    let plain_prefix = has_prefixes(kind.value_type)
        && matches!(op, CmpOp::Eq | CmpOp::Neq)
        && xor.iter().all(|b| *b == 0)
        && *mask == prefix_mask(mask.len(), length)
        && bytes.iter().zip(mask).all(|(b, m)| b & !m == 0);
    plain_prefix.then(|| plain(Part { bits: None, ..part.clone() }, op, Right::Prefix(bytes.to_vec(), length)))
}

fn has_prefixes(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Ipv4Address | ValueType::Ipv6Address)
}

/// A name that ends within the bytes is that name alone, however many bytes were compared.
fn exact(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if matches!(kind.value_type, ValueType::InterfaceName | ValueType::Text)
        && let Some(end) = bytes.iter().position(|b| *b == 0)
    {
        bytes[end..].fill(0);
        bytes.resize(kind.length, 0);
    }
    bytes
}

fn plain(part: Part, op: CmpOp, right: Right) -> Statement {
    Statement::Match { left: vec![part], relation: Relation::Compare(op), right }
}
