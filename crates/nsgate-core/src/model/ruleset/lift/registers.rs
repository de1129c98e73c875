//! What stands in the registers while a rule is read.

use super::super::expression::{Base, Bitwise, Expression, Register};
use super::super::selector::Selector;
use super::super::statement::{Part, Shift};

/// The content of a register.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// A value that stands in the rule.
    Constant(Vec<u8>),
    /// Something that was read.
    Loaded(Loaded),
    /// What a map led to.
    Map {
        /// What was looked up.
        key: Vec<Part>,
        /// The map.
        map: String,
    },
}

/// Something that was read, and what was done with it since.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) source: Source,
    /// How far its bits were moved first.
    pub(super) before: Option<Shift>,
    /// Bits kept and bits turned over, as they stood in the register.
    pub(super) bits: Option<(Vec<u8>, Vec<u8>)>,
    /// How far its bits were moved then.
    pub(super) after: Option<Shift>,
    /// It was brought into network order.
    pub(super) turned: bool,
}

/// Where it was read.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Payload { base: Base, offset: u32, length: u32 },
    Selector(Selector),
}

/// The registers, with the instructions that filled them.
#[derive(Debug, Default)]
pub(super) struct Registers(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    first: u8,
    /// How many registers it spans.
    span: u8,
    slot: Slot,
    origin: Vec<Expression>,
}

impl Slot {
    pub(super) fn of(selector: Selector) -> Self {
        Self::Loaded(Loaded {
            source: Source::Selector(selector),
            before: None,
            bits: None,
            after: None,
            turned: false,
        })
    }
}

impl Loaded {
    pub(super) fn payload(base: Base, offset: u32, length: u32) -> Self {
        Self { source: Source::Payload { base, offset, length }, before: None, bits: None, after: None, turned: false }
    }

    /// Nothing was done with it since.
    pub(super) fn is_plain(&self) -> bool {
        (self.before, &self.bits, self.after, self.turned) == (None, &None, None, false)
    }

    /// Moves its bits; none if that was done twice already.
    fn shift(&mut self, by: Shift) -> Option<()> {
        let place = if self.bits.is_none() { &mut self.before } else { &mut self.after };
        place.is_none().then_some(())?;
        *place = Some(by);
        Some(())
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> usize {
        match &self.source {
            Source::Payload { length, .. } => *length as usize,
            Source::Selector(selector) => match selector.bytes() {
                Some((_, length)) => length as usize,
                None => selector.kind().map_or(4, |k| k.length),
            },
        }
    }
}

impl Registers {
    /// Leaves something in a register, over what was there.
    pub(super) fn put(&mut self, to: Register, slot: Slot, length: usize, expression: &Expression) {
        let span = u8::try_from(length.div_ceil(4)).unwrap_or(u8::MAX).max(1);
        let mut origin = match expression {
            Expression::Bitwise { from, .. } | Expression::Byteorder { from, .. } | Expression::Lookup { from, .. } => {
                self.origin(*from).to_vec()
            }
            _ => Vec::new(),
        };
        origin.push(expression.clone());
        let end = to.0.saturating_add(span);
        self.0.retain(|e| e.first.saturating_add(e.span) <= to.0 || e.first >= end);
        self.0.push(Entry { first: to.0, span, slot, origin });
    }

    /// What begins at this register.
    pub(super) fn slot(&self, register: Register) -> Option<&Slot> {
        self.entry(register).map(|e| &e.slot)
    }

    /// What was read into this register.
    pub(super) fn loaded(&self, register: Register) -> Option<&Loaded> {
        match self.slot(register)? {
            Slot::Loaded(loaded) => Some(loaded),
            _ => None,
        }
    }

    /// The instructions that filled this register.
    pub(super) fn origin(&self, register: Register) -> &[Expression] {
        self.entry(register).map_or(&[], |e| &e.origin)
    }

    /// Whether `inner` lies within the value that a map left at `first`.
    pub(super) fn within_map(&self, first: Register, inner: Register) -> bool {
        self.entry(first).is_some_and(|e| {
            matches!(e.slot, Slot::Map { .. }) && inner > first && inner.0 < e.first.saturating_add(e.span)
        })
    }

    /// The register's content after a bit operation, if it can be told in one step.
    pub(super) fn masked(&self, from: Register, operation: &Bitwise) -> Option<Slot> {
        let loaded = self.loaded(from)?;
        (!loaded.turned && loaded.after.is_none()).then_some(())?;
        let mut changed = loaded.clone();
        match operation {
            Bitwise::Bool { mask, xor } => {
                let fits = loaded.bits.is_none() && mask.len() == loaded.length() && xor.len() == mask.len();
                fits.then_some(())?;
                changed.bits = Some((mask.clone(), xor.clone()));
            }
            Bitwise::ShiftLeft(by) => changed.shift(Shift::Left(*by))?,
            Bitwise::ShiftRight(by) => changed.shift(Shift::Right(*by))?,
            Bitwise::With(..) => return None,
        }
        Some(Slot::Loaded(changed))
    }

    /// The register's content in network order, if it is something read.
    pub(super) fn turned(&self, from: Register) -> Option<Slot> {
        let loaded = self.loaded(from)?;
        (!loaded.turned).then_some(Slot::Loaded(Loaded { turned: true, ..loaded.clone() }))
    }

    fn entry(&self, register: Register) -> Option<&Entry> {
        self.0.iter().find(|e| e.first == register.0)
    }
}
