//! Instructions as the kernel takes them.

use std::collections::HashMap;

use nsgate_core::model::ruleset::{
    Base, Bitwise, CmpOp, Data, Expression, Nat, NatFlags, Register, RejectKind, Verdict,
};

use super::super::numbers::{EXPRESSION_DATA, EXPRESSION_NAME, LIST_ELEMENT, data, register_number};
use crate::netlink::Batch;

/// The anonymous sets of a rule: by the name they have in it, the pattern and number that the kernel knows them by.
#[derive(Debug, Default)]
pub(super) struct SetNames(HashMap<String, (&'static str, u32)>);

impl SetNames {
    pub(super) fn insert(&mut self, name: &str, pattern: &'static str, number: u32) {
        self.0.insert(name.to_owned(), (pattern, number));
    }

    /// Writes which set is meant, into the attributes for its name and number.
    fn write(&self, batch: &mut Batch, name: &str, name_kind: u16, number_kind: u16) {
        match self.0.get(name) {
            Some((pattern, number)) => {
                batch.text(name_kind, pattern);
                batch.be32(number_kind, *number);
            }
            None => batch.text(name_kind, name),
        }
    }
}

/// Writes a rule's instructions, in order.
pub(super) fn write_all(batch: &mut Batch, expressions: &[Expression], names: &SetNames) {
    for expression in expressions {
        batch.nest(LIST_ELEMENT, |b| write(b, expression, names));
    }
}

/// Writes one instruction that names no anonymous set.
pub(super) fn write_one(batch: &mut Batch, expression: &Expression) {
    write(batch, expression, &SetNames::default());
}

/// Writes a verdict or value.
pub(super) fn write_data(batch: &mut Batch, written: &Data) {
    match written {
        Data::Value(bytes) => write_value(batch, bytes),
        Data::Verdict(verdict) => {
            let (code, chain) = match verdict {
                Verdict::Accept => (data::ACCEPT, None),
                Verdict::Drop => (data::DROP, None),
                Verdict::Queue => (data::QUEUE, None),
                Verdict::Continue => (data::CONTINUE, None),
                Verdict::Return => (data::RETURN, None),
                Verdict::Jump(chain) => (data::JUMP, Some(chain)),
                Verdict::Goto(chain) => (data::GOTO, Some(chain)),
            };
            batch.nest(data::VERDICT, |b| {
                b.be32(data::CODE, code as u32);
                if let Some(chain) = chain {
                    b.text(data::CHAIN, chain);
                }
            });
        }
    }
}

/// Writes a value.
pub(super) fn write_value(batch: &mut Batch, bytes: &[u8]) {
    batch.bytes(data::VALUE, bytes);
}

/// Writes one instruction: its name and its attributes.
fn write(batch: &mut Batch, expression: &Expression, names: &SetNames) {
    batch.text(EXPRESSION_NAME, expression.name());
    if let Expression::Unknown { attributes, .. } = expression {
        batch.bytes(EXPRESSION_DATA | libc::NLA_F_NESTED as u16, attributes);
        return;
    }
    batch.nest(EXPRESSION_DATA, |b| {
        loads(b, expression);
        loads_rarely(b, expression);
        compares(b, expression, names);
        sets(b, expression);
        translates(b, expression);
        acts(b, expression, names);
    });
}

/// Instructions that read something.
fn loads(b: &mut Batch, expression: &Expression) {
    match expression {
        Expression::Payload { to, base, offset, length } => {
            register(b, 1, *to);
            place(b, *base, *offset, *length);
        }
        Expression::Meta { key, to } => {
            b.be32(2, key.0);
            register(b, 1, *to);
        }
        Expression::Ct { key, to, direction } => {
            b.be32(2, key.0);
            register(b, 1, *to);
            if let Some(direction) = direction {
                b.u8(3, *direction);
            }
        }
        Expression::Fib { to, result, flags } => {
            register(b, 1, *to);
            b.be32(2, result.0);
            b.be32(3, *flags);
        }
        Expression::Route { key, to } => {
            b.be32(2, *key);
            register(b, 1, *to);
        }
        Expression::HeaderOption { to, kind, number, offset, length, present } => {
            register(b, 1, *to);
            option_place(b, *kind, *number, *offset, *length);
            if *present {
                b.be32(5, 1);
            }
        }
        Expression::Number { to, random, modulus, offset } => {
            register(b, 1, *to);
            b.be32(2, *modulus);
            b.be32(3, u32::from(*random));
            b.be32(4, *offset);
        }
        Expression::Hash { to, from, modulus, seed, offset } => {
            if let Some((from, length)) = from {
                register(b, 1, *from);
                b.be32(3, *length);
            }
            register(b, 2, *to);
            b.be32(4, *modulus);
            if let Some(seed) = seed {
                b.be32(5, *seed);
            }
            b.be32(6, *offset);
            b.be32(7, u32::from(from.is_none()));
        }
        Expression::Immediate { to, data } => {
            b.be32(1, to.map_or(0, register_number));
            b.nest(2, |b| write_data(b, data));
        }
        _ => {}
    }
}

/// Instructions that read something, and are rarely met.
fn loads_rarely(b: &mut Batch, expression: &Expression) {
    match expression {
        Expression::Socket { key, to, level } => {
            b.be32(1, *key);
            register(b, 2, *to);
            optional(b, *level, |b, level| b.be32(3, level));
        }
        Expression::Fingerprint { to, ttl, flags } => {
            register(b, 1, *to);
            b.u8(2, *ttl);
            b.be32(3, *flags);
        }
        Expression::Xfrm { key, to, direction, number } => {
            register(b, 1, *to);
            b.be32(2, *key);
            b.u8(3, *direction);
            b.be32(4, *number);
        }
        Expression::Tunnel { key, to, mode } => {
            b.be32(1, *key);
            register(b, 2, *to);
            b.be32(3, *mode);
        }
        Expression::Inner { number, kind, flags, header_length, load } => {
            b.be32(1, *number);
            b.be32(2, *kind);
            b.be32(3, *flags);
            b.be32(4, *header_length);
            b.nest(5, |b| write_one(b, load));
        }
        _ => {}
    }
}

/// Instructions that work on registers, ask, or look up.
fn compares(b: &mut Batch, expression: &Expression, names: &SetNames) {
    match expression {
        Expression::Cmp { from, op, value } => {
            register(b, 1, *from);
            b.be32(2, comparison(*op));
            b.nest(3, |b| write_value(b, value));
        }
        Expression::Range { from, inverted, low, high } => {
            register(b, 1, *from);
            b.be32(2, u32::from(*inverted));
            b.nest(3, |b| write_value(b, low));
            b.nest(4, |b| write_value(b, high));
        }
        Expression::Bitwise { from, to, length, operation } => bitwise(b, (*from, *to), *length, operation),
        Expression::Byteorder { from, to, to_host, length, size } => {
            register(b, 1, *from);
            register(b, 2, *to);
            b.be32(3, u32::from(!to_host));
            b.be32(4, *length);
            b.be32(5, *size);
        }
        Expression::Lookup { set, from, to, verdict, inverted } => {
            names.write(b, set, 1, 4);
            register(b, 2, *from);
            match (to, verdict) {
                (Some(to), _) => register(b, 3, *to),
                (None, true) => b.be32(3, 0),
                (None, false) => {}
            }
            if *inverted {
                b.be32(5, 1);
            }
        }
        Expression::Update { set, operation, key, data, timeout, each, inverted } => {
            names.write(b, set, 1, 2);
            b.be32(3, *operation);
            register(b, 4, *key);
            if let Some(data) = data {
                register(b, 5, *data);
            }
            if let Some(timeout) = timeout {
                b.be64(6, *timeout);
            }
            match &each[..] {
                [] => {}
                [one] => b.nest(7, |b| write(b, one, names)),
                many => b.nest(10, |b| write_all(b, many, names)),
            }
            let flags = u32::from(*inverted) | if each.len() > 1 { 2 } else { 0 };
            if flags != 0 {
                b.be32(9, flags);
            }
        }
        _ => {}
    }
}

/// Instructions that change something about the packet.
fn sets(b: &mut Batch, expression: &Expression) {
    match expression {
        Expression::PayloadSet { from, base, offset, length, checksum } => {
            register(b, 5, *from);
            place(b, *base, *offset, *length);
            b.be32(6, checksum.0);
            b.be32(7, checksum.1);
            if checksum.2 != 0 {
                b.be32(8, checksum.2);
            }
        }
        Expression::MetaSet { key, from } => {
            b.be32(2, key.0);
            register(b, 3, *from);
        }
        Expression::CtSet { key, from, direction } => {
            b.be32(2, key.0);
            register(b, 4, *from);
            if let Some(direction) = direction {
                b.u8(3, *direction);
            }
        }
        Expression::HeaderOptionSet { from, kind, number, offset, length } => {
            register(b, 7, *from);
            option_place(b, *kind, *number, *offset, *length);
        }
        Expression::HeaderOptionReset { kind, number } => option_place(b, *kind, *number, 0, 0),
        _ => {}
    }
}

/// Instructions that translate addresses.
fn translates(b: &mut Batch, expression: &Expression) {
    match expression {
        Expression::Nat(Nat { source, family, address, port, flags }) => {
            b.be32(1, u32::from(!source));
            b.be32(2, u32::from(*family));
            ends(b, 3, *address);
            ends(b, 5, *port);
            nat_flags(b, 7, *flags);
        }
        Expression::Masquerade { port, flags } => {
            nat_flags(b, 1, *flags);
            ends(b, 2, *port);
        }
        Expression::Redirect { port, flags } => {
            ends(b, 1, *port);
            nat_flags(b, 3, *flags);
        }
        Expression::TransparentProxy { family, address, port } => {
            b.be32(1, u32::from(*family));
            if let Some(address) = address {
                register(b, 2, *address);
            }
            if let Some(port) = port {
                register(b, 3, *port);
            }
        }
        Expression::Duplicate { address, device } => {
            optional(b, *address, |b, address| register(b, 1, address));
            optional(b, *device, |b, device| register(b, 2, device));
        }
        Expression::Forward { device, address } => {
            register(b, 1, *device);
            if let Some((address, family)) = address {
                register(b, 2, *address);
                b.be32(3, u32::from(*family));
            }
        }
        _ => {}
    }
}

/// Instructions that count, limit, report, refuse or hand on.
fn acts(b: &mut Batch, expression: &Expression, names: &SetNames) {
    match expression {
        Expression::Reject(kind) => {
            let (kind, code) = match kind {
                RejectKind::Icmp(code) => (0, *code),
                RejectKind::TcpReset => (1, 0),
                RejectKind::Icmpx(code) => (2, *code),
            };
            b.be32(1, kind);
            b.u8(2, code);
        }
        Expression::Counter { packets, bytes } => {
            b.be64(1, *bytes);
            b.be64(2, *packets);
        }
        Expression::Limit { rate, unit, burst, bytes, over } => {
            b.be64(1, *rate);
            b.be64(2, *unit);
            b.be32(3, *burst);
            b.be32(4, u32::from(*bytes));
            b.be32(5, u32::from(*over));
        }
        Expression::Log { prefix, group, level, snaplen, threshold, flags } => {
            optional(b, *group, |b, group| b.be16(1, group));
            optional(b, prefix.as_deref(), |b, prefix| b.text(2, prefix));
            optional(b, *snaplen, |b, snaplen| b.be32(3, snaplen));
            optional(b, *threshold, |b, threshold| b.be16(4, threshold));
            // The kernel takes a group or a level, not both.
            optional(b, level.filter(|_| group.is_none()), |b, level| b.be32(5, level));
            if *flags != 0 {
                b.be32(6, *flags);
            }
        }
        Expression::Queue { number, total, flags } => {
            b.be16(1, *number);
            b.be16(2, *total);
            b.be16(3, *flags);
        }
        Expression::ConnectionLimit { count, over } => {
            b.be32(1, *count);
            b.be32(2, u32::from(*over));
        }
        other => calls(b, other, names),
    }
}

/// Instructions that keep an account, or call something that has a name.
fn calls(b: &mut Batch, expression: &Expression, names: &SetNames) {
    match expression {
        Expression::Quota { bytes, used, over } => {
            b.be64(1, *bytes);
            b.be32(2, u32::from(*over));
            b.be64(4, *used);
        }
        Expression::Object { kind, name } => {
            b.be32(1, *kind);
            b.text(2, name);
        }
        Expression::ObjectMap { set, from } => {
            register(b, 3, *from);
            names.write(b, set, 4, 5);
        }
        Expression::Synproxy { mss, wscale, flags } => {
            b.be16(1, *mss);
            b.u8(2, *wscale);
            b.be32(3, *flags);
        }
        Expression::Last { used } => {
            b.be32(1, u32::from(used.is_some()));
            optional(b, *used, |b, used| b.be64(2, used));
        }
        Expression::FlowOffload { table } => b.text(1, table),
        Expression::XtMatch { name, revision, info } | Expression::XtTarget { name, revision, info } => {
            extension(b, name, *revision, info);
        }
        Expression::XtSet { target: true, revision, info, .. } => extension(b, "SET", *revision, info),
        Expression::XtSet { revision, info, .. } => extension(b, "set", *revision, info),
        _ => {}
    }
}

fn extension(b: &mut Batch, name: &str, revision: u32, info: &[u8]) {
    b.text(1, name);
    b.be32(2, revision);
    b.bytes(3, info);
}

fn bitwise(b: &mut Batch, (from, to): (Register, Register), length: u32, operation: &Bitwise) {
    register(b, 1, from);
    register(b, 2, to);
    b.be32(3, length);
    match operation {
        Bitwise::Bool { mask, xor } => {
            b.be32(6, 0);
            b.nest(4, |b| write_value(b, mask));
            b.nest(5, |b| write_value(b, xor));
        }
        Bitwise::ShiftLeft(by) | Bitwise::ShiftRight(by) => {
            b.be32(6, if matches!(operation, Bitwise::ShiftLeft(_)) { 1 } else { 2 });
            b.nest(7, |b| write_value(b, &by.to_ne_bytes()));
        }
        Bitwise::With(number, other) => {
            b.be32(6, *number);
            register(b, 8, *other);
        }
    }
}

fn comparison(op: CmpOp) -> u32 {
    match op {
        CmpOp::Eq => 0,
        CmpOp::Neq => 1,
        CmpOp::Lt => 2,
        CmpOp::Lte => 3,
        CmpOp::Gt => 4,
        CmpOp::Gte => 5,
    }
}

fn place(b: &mut Batch, base: Base, offset: u32, length: u32) {
    let base = match base {
        Base::Link => 0,
        Base::Network => 1,
        Base::Transport => 2,
        Base::Inner => 3,
    };
    b.be32(2, base);
    b.be32(3, offset);
    b.be32(4, length);
}

fn option_place(b: &mut Batch, kind: u32, number: u8, offset: u32, length: u32) {
    b.u8(2, number);
    b.be32(3, offset);
    b.be32(4, length);
    b.be32(6, kind);
}

fn register(b: &mut Batch, kind: u16, register: Register) {
    b.be32(kind, register_number(register));
}

/// Both ends of a range of addresses or ports, into two attributes that follow each other.
fn ends(b: &mut Batch, kind: u16, ends: Option<(Register, Register)>) {
    if let Some((low, high)) = ends {
        register(b, kind, low);
        register(b, kind + 1, high);
    }
}

fn nat_flags(b: &mut Batch, kind: u16, flags: NatFlags) {
    if flags.0 != 0 {
        b.be32(kind, flags.0);
    }
}

fn optional<T>(b: &mut Batch, value: Option<T>, write: impl FnOnce(&mut Batch, T)) {
    if let Some(value) = value {
        write(b, value);
    }
}
