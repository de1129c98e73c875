//! Instructions to statements.
//!
//! Follows what stands in each register, so that a comparison becomes a question about what was loaded. What cannot be
//! understood in full stays visible as [`Statement::Opaque`], with the instructions that led to it.

mod compare;
mod registers;

use self::registers::{Loaded, Registers, Slot};
use super::context::asked_in_front;
use super::expression::{CtKey, Data, Expression, Nat, Register};
use super::header::Context;
use super::lower::{NAT_ADDRESS, NAT_PORT};
use super::selector::Selector;
use super::statement::{Part, Relation, Right, Statement, Value};
use super::value_type::{Kind, ValueType};
use super::{CmpOp, Set, SetData, TableFamily, xt};

/// The statements of these instructions in a table of this family; its sets say how long the keys of look-ups are.
pub fn lift(family: TableFamily, sets: &[Set], expressions: &[Expression]) -> Vec<Statement> {
    let mut lift =
        Lift { context: Context::new(family), sets, registers: Registers::default(), statements: Vec::new() };
    let mut rest = expressions.iter().peekable();
    while let Some(expression) = rest.next() {
        if let (Some((from, low)), Some((next, high))) =
            (bound(expression, CmpOp::Gte), rest.peek().and_then(|e| bound(e, CmpOp::Lte)))
            && from == next
        {
            let range = Expression::Range { from, inverted: false, low, high };
            rest.next();
            lift.take(&range);
        } else {
            lift.take(expression);
        }
    }
    without_implied(family, &lift.statements)
}

/// The statements without the questions that lowering puts back.
fn without_implied(family: TableFamily, statements: &[Statement]) -> Vec<Statement> {
    /// The longest list of questions that one statement can need.
    const MOST: usize = 6;
    let mut context = Context::new(family);
    let mut kept = Vec::new();
    let mut index = 0;
    if let Some((first, rest)) = statements.split_first()
        && asked_in_front(family, rest).as_ref() == Some(first)
    {
        context.pass(first);
        index = 1;
    }
    while index < statements.len() {
        let implied = (1..=MOST).rev().find(|count| {
            let Some(target) = statements.get(index + count) else { return false };
            let questions = &statements[index..index + count];
            let told = needs_transport(target) && questions.iter().any(asks_for_transport);
            !told && context.clone().require(target) == *questions
        });
        index += implied.unwrap_or(0);
        context.pass(&statements[index]);
        kept.push(statements[index].clone());
        index += 1;
    }
    kept
}

fn asks_for_transport(statement: &Statement) -> bool {
    /// NFT_META_L4PROTO.
    const TRANSPORT: Selector = Selector::Meta(super::MetaKey(16));
    matches!(statement, Statement::Match { left, .. } if matches!(&left[..], [part] if part.selector == TRANSPORT))
}

/// Whether nft wants to be told the transport protocol before this statement, whatever it reads itself.
fn needs_transport(statement: &Statement) -> bool {
    match statement {
        Statement::Nat { address, port, .. } | Statement::TransparentProxy { address, port, .. } => {
            port.as_ref().is_some_and(|p| *p != Value::SameMap)
                || (port.is_none() && matches!(address, Some(Value::Map { .. })))
        }
        Statement::Masquerade { port, .. } | Statement::Redirect { port, .. } => port.is_some(),
        _ => false,
    }
}

struct Lift<'a> {
    context: Context,
    sets: &'a [Set],
    registers: Registers,
    statements: Vec<Statement>,
}

impl Lift<'_> {
    fn take(&mut self, expression: &Expression) {
        if self.load(expression) {
            return;
        }
        match self.act(expression).or_else(|| xt::translated(&self.context, expression)) {
            Some(statements) => {
                for statement in statements {
                    self.context.pass(&statement);
                    self.statements.push(statement);
                }
            }
            None => self.give_up(expression),
        }
    }

    /// Shows an instruction as it is, behind those that left values for it.
    fn give_up(&mut self, expression: &Expression) {
        for register in read_registers(expression) {
            self.statements.extend(self.registers.origin(register).iter().cloned().map(Statement::Opaque));
        }
        self.statements.push(Statement::Opaque(expression.clone()));
    }

    /// Takes an instruction that only leaves a value in a register; false if it does more.
    fn load(&mut self, expression: &Expression) -> bool {
        let (to, slot) = match expression {
            Expression::Payload { to, base, offset, length } => {
                (*to, Slot::Loaded(Loaded::payload(*base, *offset, *length)))
            }
            Expression::Meta { key, to } => (*to, Slot::of(Selector::Meta(*key))),
            Expression::Ct { key, to, direction } => (*to, Slot::of(self.connection(*key, *direction))),
            Expression::Fib { to, result, flags } => (*to, Slot::of(Selector::Fib { result: *result, flags: *flags })),
            Expression::Route { key, to } => (*to, Slot::of(Selector::Route(*key))),
            Expression::HeaderOption { to, kind, number, offset, length, present } => {
                let (Some(offset), Some(bits)) = (offset.checked_mul(8), length.checked_mul(8)) else { return false };
                let (kind, number, present) = (*kind, *number, *present);
                (*to, Slot::of(Selector::Option { kind, number, offset, bits, present }))
            }
            Expression::Socket { key, to, level } => (*to, Slot::of(Selector::Socket { key: *key, level: *level })),
            Expression::Fingerprint { to, ttl, flags } => {
                (*to, Slot::of(Selector::Fingerprint { ttl: *ttl, flags: *flags }))
            }
            Expression::Xfrm { key, to, direction, number } => {
                (*to, Slot::of(Selector::Xfrm { key: *key, direction: *direction, number: *number }))
            }
            Expression::Tunnel { key, to, mode } => (*to, Slot::of(Selector::Tunnel { key: *key, mode: *mode })),
            Expression::Inner { kind, load, .. } => match inner(*kind, load) {
                Some(loaded) => loaded,
                None => return false,
            },
            Expression::Number { to, random, modulus, offset } => {
                (*to, Slot::of(Selector::Number { random: *random, modulus: *modulus, offset: *offset }))
            }
            Expression::Hash { to, from, modulus, seed, offset } => {
                let of = match from {
                    None => Some(Vec::new()),
                    Some((from, length)) => self.parts(*from, Some(*length as usize)),
                };
                let Some(of) = of else { return false };
                let (modulus, seed, offset) = (*modulus, *seed, *offset);
                (*to, Slot::of(Selector::Hash { of, modulus, seed, offset }))
            }
            Expression::Immediate { to: Some(to), data: Data::Value(bytes) } => (*to, Slot::Constant(bytes.clone())),
            Expression::Bitwise { from, to, operation, .. } => match self.registers.masked(*from, operation) {
                Some(slot) => (*to, slot),
                None => return false,
            },
            Expression::Byteorder { from, to, to_host: false, .. } => match self.registers.turned(*from) {
                Some(slot) => (*to, slot),
                None => return false,
            },
            Expression::Lookup { set, from, to: Some(to), verdict: false, inverted: false } => {
                let Some(key) = self.parts(*from, self.set(set).map(|s| s.key_length as usize)) else { return false };
                (*to, Slot::Map { key, map: set.clone() })
            }
            _ => return false,
        };
        let length = self.length(&slot);
        self.registers.put(to, slot, length, expression);
        true
    }

    /// The statements of an instruction that asks or acts; none if it cannot be understood.
    fn act(&self, expression: &Expression) -> Option<Vec<Statement>> {
        let statement = match expression {
            Expression::Cmp { from, op, value } => {
                return compare::compare(&self.context, self.registers.loaded(*from)?, *op, value);
            }
            Expression::Range { from, inverted, low, high } => {
                let (part, kind) = self.part_and_kind(*from)?;
                let relation = if *inverted { Relation::UNEQUAL } else { Relation::EQUAL };
                let [low, high] = match compare::narrow(&self.context, self.registers.loaded(*from)?) {
                    Some((_, shift)) if shift > 0 => {
                        [compare::unshifted(kind, low, shift)?, compare::unshifted(kind, high, shift)?]
                    }
                    _ => [kind.turned(low), kind.turned(high)],
                };
                Statement::Match { left: vec![part], relation, right: Right::Range(low, high) }
            }
            Expression::Lookup { set, from, to, verdict, inverted } => {
                let left = self.parts(*from, self.set(set).map(|s| s.key_length as usize))?;
                match (verdict, to) {
                    (true, _) => Statement::VerdictMap { left, map: set.clone() },
                    (false, None) => Statement::Match {
                        left,
                        relation: if *inverted { Relation::UNEQUAL } else { Relation::EQUAL },
                        right: Right::Set(set.clone()),
                    },
                    (false, Some(_)) => return None,
                }
            }
            Expression::MetaSet { key, from } => self.assignment(Selector::Meta(*key), *from)?,
            Expression::CtSet { key, from, direction } => self.assignment(Selector::Ct(*key, *direction), *from)?,
            Expression::HeaderOptionSet { from, kind, number, offset, length } => {
                let (kind, number, offset, bits) = (*kind, *number, offset.checked_mul(8)?, length.checked_mul(8)?);
                self.assignment(Selector::Option { kind, number, offset, bits, present: false }, *from)?
            }
            Expression::PayloadSet { from, base, offset, length, checksum } => {
                compare::written(&self.context, self.registers.slot(*from)?, (*base, *offset, *length), *checksum)
                    .or_else(|| self.field_assignment(*from, (*base, *offset, *length), *checksum))?
            }
            Expression::Reject(kind) => Statement::Reject(*kind),
            Expression::Immediate { to: None, data: Data::Verdict(verdict) } => Statement::Verdict(verdict.clone()),
            Expression::Counter { .. }
            | Expression::Synproxy { .. }
            | Expression::Last { .. }
            | Expression::FlowOffload { .. }
            | Expression::HeaderOptionReset { .. }
            | Expression::Limit { .. }
            | Expression::Log { .. }
            | Expression::ConnectionLimit { .. }
            | Expression::Quota { .. }
            | Expression::Notrack
            | Expression::Queue { .. }
            | Expression::Object { .. } => Statement::Plain(expression.clone()),
            other => self.passage(other)?,
        };
        Some(vec![statement])
    }

    /// The statement of an instruction that sends a packet elsewhere, or calls what a map leads to.
    fn passage(&self, expression: &Expression) -> Option<Statement> {
        Some(match expression {
            Expression::Nat(nat) => self.nat(nat)?,
            Expression::Masquerade { port, flags } => {
                Statement::Masquerade { port: self.port(*port)?, flags: flags.0 & !NAT_PORT }
            }
            Expression::Redirect { port, flags } => {
                Statement::Redirect { port: self.port(*port)?, flags: flags.0 & !NAT_PORT }
            }
            Expression::TransparentProxy { .. } => self.transparent_proxy(expression)?,
            Expression::Update { inverted: false, .. } => self.update(expression)?,
            Expression::Duplicate { address, device } => {
                let kind = address_type(self.context.family.number()).kind();
                let address = some_or(address.map(|a| self.value(a, kind)))?;
                let device = some_or(device.map(|d| self.value(d, ValueType::InterfaceIndex.kind())))?;
                Statement::Duplicate { address, device }
            }
            Expression::Forward { device, address } => {
                let address = match address {
                    Some((from, family)) => Some((self.value(*from, address_type(*family).kind())?, *family)),
                    None => None,
                };
                Statement::Forward { address, device: self.value(*device, ValueType::InterfaceIndex.kind())? }
            }
            Expression::ObjectMap { set, from } => {
                let key = self.parts(*from, self.set(set).map(|s| s.key_length as usize))?;
                Statement::ObjectMap { key, map: set.clone() }
            }
            _ => return None,
        })
    }

    /// An address of the connection goes by the family of the table.
    fn connection(&self, key: CtKey, direction: Option<u8>) -> Selector {
        match (key.0, direction, self.context.family) {
            (8 | 9, Some(direction), TableFamily::Ip | TableFamily::Ip6) => Selector::CtAddress {
                source: key.0 == 8,
                reply: direction != 0,
                wide: self.context.family == TableFamily::Ip6,
            },
            _ => Selector::Ct(key, direction),
        }
    }

    fn transparent_proxy(&self, expression: &Expression) -> Option<Statement> {
        let Expression::TransparentProxy { family, address, port } = expression else { return None };
        let kind = address_type(*family).kind();
        let address = some_or(address.map(|a| self.value(a, kind)))?;
        let port = some_or(port.map(|p| self.value(p, ValueType::InetService.kind())))?;
        Some(Statement::TransparentProxy { family: *family, address, port })
    }

    fn update(&self, expression: &Expression) -> Option<Statement> {
        let Expression::Update { set, operation, key, data, timeout, each, .. } = expression else { return None };
        let known = self.set(set);
        let key = self.parts(*key, known.map(|s| s.key_length as usize))?;
        let data_kind = known.and_then(Set::data_kind).unwrap_or(Kind::integer(4));
        let data = some_or(data.map(|d| self.value(d, data_kind)))?;
        let each = lift(self.context.family, self.sets, each);
        let (set, operation, timeout) = (set.clone(), *operation, *timeout);
        Some(Statement::Update { set, operation, key, data, timeout, each })
    }

    fn nat(&self, nat: &Nat) -> Option<Statement> {
        let address_kind = address_type(nat.family).kind();
        let address = match nat.address {
            None => None,
            Some((low, high)) => match self.value(low, address_kind)? {
                Value::Map { key, map, .. } => {
                    let ranges = high != low;
                    let width = (address_kind.padded() / 4) as u8;
                    (!ranges || high.0 == low.0.checked_add(width)? && self.registers.within_map(low, high))
                        .then_some(())?;
                    Some(Value::Map { key, map, ranges })
                }
                _ => Some(self.ends((low, high), address_kind)?),
            },
        };
        let port = match (nat.address, nat.port) {
            (Some((address, _)), Some((port, _))) if self.registers.within_map(address, port) => Some(Value::SameMap),
            (_, port) => self.port(port)?,
        };
        Some(Statement::Nat {
            source: nat.source,
            family: address.is_some().then_some(nat.family),
            address,
            port,
            flags: nat.flags.0 & !(NAT_ADDRESS | NAT_PORT),
        })
    }

    #[expect(clippy::option_option, reason = "the outer one says whether the search failed, and is used with `?`")]
    fn port(&self, ends: Option<(Register, Register)>) -> Option<Option<Value>> {
        some_or(ends.map(|ends| self.ends(ends, ValueType::InetService.kind())))
    }

    /// One value for both ends, or the range between two.
    fn ends(&self, (low, high): (Register, Register), kind: Kind) -> Option<Value> {
        let first = self.value(low, kind)?;
        if low == high {
            return Some(first);
        }
        match (first, self.value(high, kind)?) {
            (Value::Constant(low), Value::Constant(high)) if low == high => Some(Value::Constant(low)),
            (Value::Constant(low), Value::Constant(high)) => Some(Value::Range(low, high)),
            _ => None,
        }
    }

    fn assignment(&self, target: Selector, from: Register) -> Option<Statement> {
        let kind = target.kind()?;
        Some(Statement::Set { target, value: self.value(from, kind)? })
    }

    fn field_assignment(
        &self,
        from: Register,
        place: (super::Base, u32, u32),
        checksum: (u32, u32, u32),
    ) -> Option<Statement> {
        let (base, offset, length) = place;
        let (offset, bits) = (offset.checked_mul(8)?, length.checked_mul(8)?);
        let field = self.context.field_at(base, offset, bits).map(Selector::Header);
        let raw = Selector::Raw { base, offset, bits };
        let target = field.into_iter().chain([raw]).find(|target| super::lower::checksum_of(target) == checksum)?;
        self.assignment(target, from)
    }

    /// What stands in a register, to be put where values of this kind belong.
    fn value(&self, register: Register, kind: Kind) -> Option<Value> {
        match self.registers.slot(register)? {
            Slot::Constant(bytes) => Some(Value::Constant(kind.turned(bytes))),
            Slot::Map { key, map } => Some(Value::Map { key: key.clone(), map: map.clone(), ranges: false }),
            Slot::Loaded(loaded) => Some(Value::Read(compare::part(&self.context, loaded)?)),
        }
    }

    fn part_and_kind(&self, register: Register) -> Option<(Part, Kind)> {
        let part = compare::part(&self.context, self.registers.loaded(register)?)?;
        let kind = part.kind()?;
        Some((part, kind))
    }

    /// The parts of a concatenation of this length, which begins at a register; one part if the length is not known.
    fn parts(&self, from: Register, length: Option<usize>) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut register = from;
        let mut left = length.unwrap_or(1);
        while left > 0 {
            let (part, kind) = self.part_and_kind(register)?;
            // A value of no length would never come to an end.
            (kind.length > 0).then_some(())?;
            parts.push(part);
            left = left.saturating_sub(kind.padded());
            register = Register(register.0.checked_add((kind.padded() / 4) as u8)?);
        }
        Some(parts)
    }

    fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|s| s.name == name)
    }

    /// How many bytes a slot takes.
    fn length(&self, slot: &Slot) -> usize {
        match slot {
            Slot::Constant(bytes) => bytes.len(),
            Slot::Loaded(loaded) => loaded.length(),
            Slot::Map { map, .. } => match self.set(map).and_then(|s| s.data) {
                Some(SetData::Value { length, .. }) => length as usize,
                _ => 4,
            },
        }
    }
}

/// What is read from the packet within a tunnel's packet; nothing says yet which protocol is there.
fn inner(kind: u32, load: &Expression) -> Option<(Register, Slot)> {
    let tunnel = match kind {
        1 => "vxlan",
        2 => "geneve",
        _ => "inner",
    };
    let (to, selector) = match load {
        Expression::Payload { to, base, offset, length } => {
            let (offset, bits) = (offset.checked_mul(8)?, length.checked_mul(8)?);
            (*to, Selector::Raw { base: *base, offset, bits })
        }
        Expression::Meta { key, to } => (*to, Selector::Meta(*key)),
        _ => return None,
    };
    Some((to, Slot::of(Selector::Inner { tunnel, selector: Box::new(selector) })))
}

/// The type of a translation's addresses.
fn address_type(family: u8) -> ValueType {
    if family == 10 { ValueType::Ipv6Address } else { ValueType::Ipv4Address }
}

/// Nothing if there was nothing to find; none if it was not found.
#[expect(clippy::option_option, reason = "the outer one says whether the search failed, and is used with `?`")]
fn some_or<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        None => Some(None),
        Some(inner) => inner.map(Some),
    }
}

/// The register and value of a comparison of this kind.
fn bound(expression: &Expression, wanted: CmpOp) -> Option<(Register, Vec<u8>)> {
    match expression {
        Expression::Cmp { from, op, value } if *op == wanted => Some((*from, value.clone())),
        _ => None,
    }
}

/// The registers that an instruction reads first of all.
fn read_registers(expression: &Expression) -> Vec<Register> {
    match expression {
        Expression::Cmp { from, .. }
        | Expression::Range { from, .. }
        | Expression::Bitwise { from, .. }
        | Expression::Byteorder { from, .. }
        | Expression::Lookup { from, .. }
        | Expression::MetaSet { from, .. }
        | Expression::CtSet { from, .. }
        | Expression::PayloadSet { from, .. }
        | Expression::ObjectMap { from, .. }
        | Expression::HeaderOptionSet { from, .. }
        | Expression::Update { key: from, .. } => vec![*from],
        Expression::Duplicate { address, device } => [*address, *device].into_iter().flatten().collect(),
        Expression::Forward { device, address } => {
            [address.map(|a| a.0), Some(*device)].into_iter().flatten().collect()
        }
        Expression::TransparentProxy { address, port, .. } => [*address, *port].into_iter().flatten().collect(),
        Expression::Masquerade { port, .. } | Expression::Redirect { port, .. } => {
            port.iter().map(|ends| ends.0).collect()
        }
        Expression::Nat(nat) => [nat.address, nat.port].into_iter().flatten().map(|ends| ends.0).collect(),
        _ => Vec::new(),
    }
}
