//! Rules as their author thought of them: matches and actions, between the kernel's instructions and the text.
//!
//! [`lift`](super::lift()) makes statements of instructions, [`lower`](super::lower()) makes instructions of
//! statements, [`text`](super::text) and [`parse`](super::parse) write and read them. Values stand with their most
//! significant byte first; what a protocol's header requires to be there is left out where lowering puts it back.

use super::selector::Selector;
use super::value_type::{Kind, Order};
use super::{CmpOp, Expression, RejectKind, Verdict};

/// One statement of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Goes on only if something holds.
    Match {
        /// What is asked about; several parts form a concatenation.
        left: Vec<Part>,
        /// How it is compared.
        relation: Relation,
        /// With what.
        right: Right,
    },
    /// Goes where a verdict map leads.
    VerdictMap {
        /// What is looked up.
        left: Vec<Part>,
        /// The map.
        map: String,
    },
    /// Sets a mark, a field of the packet or the like.
    Set {
        /// What is set.
        target: Selector,
        /// To what.
        value: Value,
    },
    /// Translates an address.
    Nat {
        /// The source; otherwise the destination.
        source: bool,
        /// The family of the addresses; none where only ports are translated.
        family: Option<u8>,
        /// To which addresses.
        address: Option<Value>,
        /// To which ports.
        port: Option<Value>,
        /// The flags that are not told by the rest (NF_NAT_RANGE_*).
        flags: u32,
    },
    /// Translates the source to an address of the outgoing interface.
    Masquerade {
        /// To which ports.
        port: Option<Value>,
        /// The flags that are not told by the rest.
        flags: u32,
    },
    /// Translates the destination to this host.
    Redirect {
        /// To which ports.
        port: Option<Value>,
        /// The flags that are not told by the rest.
        flags: u32,
    },
    /// Hands the packet to a local socket without translating it.
    TransparentProxy {
        /// The family (NFPROTO_*; 0 for either).
        family: u8,
        /// The address of the socket.
        address: Option<Value>,
        /// The port of the socket.
        port: Option<Value>,
    },
    /// Puts an element into a set, or takes it out.
    Update {
        /// The set.
        set: String,
        /// The operation by the kernel's number (add, update, delete).
        operation: u32,
        /// The key.
        key: Vec<Part>,
        /// The data of a map.
        data: Option<Value>,
        /// How long it stays, in milliseconds.
        timeout: Option<u64>,
        /// What is done for each element.
        each: Vec<Statement>,
    },
    /// Sends a copy to another host or out of an interface.
    Duplicate {
        /// To which host.
        address: Option<Value>,
        /// Out of which interface.
        device: Option<Value>,
    },
    /// Sends the packet out of an interface instead.
    Forward {
        /// To which host, and its family (NFPROTO_*).
        address: Option<(Value, u8)>,
        /// Out of which interface.
        device: Value,
    },
    /// Calls the object that a map leads to.
    ObjectMap {
        /// What is looked up.
        key: Vec<Part>,
        /// The map.
        map: String,
    },
    /// Refuses the packet.
    Reject(RejectKind),
    /// Decides.
    Verdict(Verdict),
    /// An instruction that is a statement by itself: counters, limits, the log and the like.
    Plain(Expression),
    /// An instruction whose meaning for the rule was not found; text shows it and cannot be read back.
    Opaque(Expression),
}

/// One part of what is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is read.
    pub selector: Selector,
    /// How far its bits are moved first.
    pub before: Option<Shift>,
    /// Bits that are kept, and bits that are then turned over.
    pub bits: Option<(Vec<u8>, Vec<u8>)>,
    /// How far its bits are moved then.
    pub after: Option<Shift>,
    /// The value is brought into network order before it is compared.
    pub turned: bool,
}

/// A move of all bits of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Towards the most significant one, by so many places.
    Left(u32),
    /// Towards the least significant one.
    Right(u32),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// As the kernel compares; [`CmpOp::Neq`] with a range, prefix or set: outside.
    Compare(CmpOp),
    /// Any of these flags is set.
    AnyFlag,
    /// None of these flags is set.
    NoFlag,
}

/// What something is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// One value; for names of interfaces a shorter one stands for all that begin so.
    Value(Vec<u8>),
    /// The values from one to another.
    Range(Vec<u8>, Vec<u8>),
    /// The values whose first bits are these.
    Prefix(Vec<u8>, u32),
    /// The keys of a set.
    Set(String),
    /// Any of these ranges. Found only in what stands for an extension of xtables.
    OneOf(Vec<(Vec<u8>, Vec<u8>)>),
}

/// What something is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Always this.
    Constant(Vec<u8>),
    /// Any from one to another.
    Range(Vec<u8>, Vec<u8>),
    /// What is read.
    Read(Part),
    /// What a map has for what is read.
    Map {
        /// What is looked up.
        key: Vec<Part>,
        /// The map.
        map: String,
        /// The map leads to ranges: what something is set to is any within one.
        ranges: bool,
    },
    /// What the map has that the translated address comes from: its second part.
    SameMap,
}

impl Part {
    /// A part that is read as it is.
    pub fn plain(selector: Selector) -> Self {
        Self { selector, before: None, bits: None, after: None, turned: false }
    }

    /// Whether it is read as it is, but for the order of its bytes.
    pub fn is_plain(&self) -> bool {
        (self.before, &self.bits, self.after) == (None, &None, None)
    }

    /// What is known of its values as they stand in a register.
    pub fn kind(&self) -> Option<Kind> {
        let kind = self.selector.kind()?;
        Some(if self.turned { kind.in_network_order() } else { kind })
    }

    /// Whether numbers in network order have to be made of its values before they can be ordered.
    pub fn needs_turning(&self) -> bool {
        self.selector.kind().is_some_and(|k| k.order == Order::Host && k.length > 1)
    }
}

impl Relation {
    /// Equal.
    pub const EQUAL: Self = Self::Compare(CmpOp::Eq);
    /// Not equal.
    pub const UNEQUAL: Self = Self::Compare(CmpOp::Neq);
}
