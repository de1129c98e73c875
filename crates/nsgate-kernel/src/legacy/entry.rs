//! One rule of the older engine: what of the header it asks, matches, a counter, and a target.

use std::collections::HashMap;

use nsgate_core::model::ruleset::{Base, Bitwise, CmpOp, Data, Expression, MetaKey, Register, TableFamily, Verdict};

/// NFT_META_IIFNAME, NFT_META_OIFNAME and NFT_META_L4PROTO.
const META_IIFNAME: MetaKey = MetaKey(6);
const META_OIFNAME: MetaKey = MetaKey(7);
const META_L4PROTO: MetaKey = MetaKey(16);

/// What is asked of the header is asked by way of this register.
pub(super) const REGISTER: Register = Register(0);

/// How long the head of a match or target is: its size, name and revision.
const EXTENSION: usize = 32;

/// Flags of a rule: fragments only; goto instead of jump (which has another number for IPv6).
const FLAG_FRAGMENT: u8 = 1;
const FLAG_GOTO: u8 = 2;
const FLAG_GOTO_IPV6: u8 = 4;

/// What of a rule is turned into its opposite.
const NOT_IN: u8 = 0x01;
const NOT_OUT: u8 = 0x02;
const NOT_SOURCE: u8 = 0x08;
const NOT_DESTINATION: u8 = 0x10;
const NOT_FRAGMENT: u8 = 0x20;
const NOT_PROTOCOL: u8 = 0x40;

/// Where the parts of a rule stand, by family.
pub(super) struct Layout {
    /// The length of an address.
    address: usize,
    /// Where the two names of interfaces begin; their masks follow.
    interfaces: usize,
    protocol: usize,
    flags: usize,
    pub(super) inverted: usize,
    /// Where it stands how far away the target and the next rule are.
    offsets: usize,
    counters: usize,
    /// Where the matches begin.
    matches: usize,
    /// Where source and destination stand in the packet.
    pub(super) in_packet: [u32; 2],
}

/// Where the parts of a rule of ARP stand: it has no matches, so its target may begin where those would.
const ARP: Layout = Layout {
    address: 4,
    interfaces: 94,
    protocol: 0,
    flags: 158,
    inverted: 160,
    offsets: 164,
    counters: 176,
    matches: 192,
    in_packet: [14, 24],
};

const IPV4: Layout = Layout {
    address: 4,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    offsets: 88,
    counters: 96,
    matches: 112,
    in_packet: [12, 16],
};

const IPV6: Layout = Layout {
    address: 16,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    offsets: 140,
    counters: 152,
    matches: 168,
    in_packet: [8, 24],
};

/// A rule.
#[derive(Debug)]
pub(super) struct Entry {
    /// What it asks and counts.
    before: Vec<Expression>,
    pub(super) target: Target,
    /// Where it ends, which is where the next one begins.
    pub(super) end: usize,
}

/// What a rule does.
#[derive(Debug)]
pub(super) enum Target {
    /// It only counts.
    None,
    /// It decides.
    Verdict(Verdict),
    /// It leads to the chain whose first rule is here.
    Chain { at: usize, goto: bool },
    /// It begins a chain of this name.
    Begin(String),
    /// Something else does.
    Extension(Expression),
}

impl Target {
    /// The name of the chain that begins here.
    pub(super) fn chain_name(&self) -> Option<&str> {
        match self {
            Self::Begin(name) => Some(name),
            _ => None,
        }
    }
}

impl Entry {
    /// Reads the rule that begins at `offset`.
    pub(super) fn read(family: TableFamily, all: &[u8], offset: usize) -> Option<Self> {
        let layout = match family {
            TableFamily::Arp => &ARP,
            TableFamily::Ip6 => &IPV6,
            _ => &IPV4,
        };
        let bytes = Bytes(all.get(offset..)?);
        let target_at = usize::from(bytes.u16(layout.offsets)?);
        let length = usize::from(bytes.u16(layout.offsets + 2)?);
        let sound = layout.matches <= target_at && target_at + EXTENSION <= length;
        let own = Bytes(bytes.slice(0, length).filter(|_| sound)?);
        let mut before =
            if family == TableFamily::Arp { super::arp::header(layout, &own)? } else { header(layout, &own)? };
        let mut at = layout.matches;
        while at < target_at {
            let size = usize::from(own.u16(at)?);
            let (name, revision, info) = own.extension(at, size)?;
            before.push(Expression::XtMatch { name, revision, info });
            at += size;
        }
        before.push(Expression::Counter { packets: own.u64(layout.counters)?, bytes: own.u64(layout.counters + 8)? });
        let goto_flag = if family == TableFamily::Ip6 { FLAG_GOTO_IPV6 } else { FLAG_GOTO };
        let goto = own.u8(layout.flags)? & goto_flag != 0;
        let next = offset.checked_add(length)?;
        Some(Self { before, target: target(&own, target_at, goto, next)?, end: next })
    }

    /// The rule as instructions; none if it leads to a chain that there is not.
    pub(super) fn expressions(&self, chains: &HashMap<usize, String>) -> Option<Vec<Expression>> {
        let decided = |verdict| Expression::Immediate { to: None, data: Data::Verdict(verdict) };
        let mut expressions = self.before.clone();
        match &self.target {
            Target::None | Target::Begin(_) => {}
            Target::Verdict(verdict) => expressions.push(decided(verdict.clone())),
            Target::Chain { at, goto } => {
                let name = chains.get(at)?.clone();
                expressions.push(decided(if *goto { Verdict::Goto(name) } else { Verdict::Jump(name) }));
            }
            Target::Extension(expression) => expressions.push(expression.clone()),
        }
        Some(expressions)
    }
}

/// The questions about interfaces; each may be inverted.
pub(super) fn devices(layout: &Layout, bytes: &Bytes<'_>, inverted: [bool; 2]) -> Option<Vec<Expression>> {
    let mut asked = Vec::new();
    for (place, key) in [META_IIFNAME, META_OIFNAME].into_iter().enumerate() {
        let name = bytes.slice(layout.interfaces + 16 * place, 16)?;
        let mask = bytes.slice(layout.interfaces + 32 + 16 * place, 16)?;
        let length = mask.iter().take_while(|b| **b != 0).count();
        if length > 0 {
            asked.push(Expression::Meta { key, to: REGISTER });
            let op = equality(inverted[place]);
            asked.push(Expression::Cmp { from: REGISTER, op, value: name[..length].to_vec() });
        }
    }
    Some(asked)
}

/// The question whether some bits of the packet are those of a value.
pub(super) fn masked(base: Base, offset: u32, mask: &[u8], value: &[u8], inverted: bool) -> Vec<Expression> {
    let length = value.len() as u32;
    let mut asked = vec![Expression::Payload { to: REGISTER, base, offset, length }];
    if mask.iter().any(|b| *b != 0xff) {
        let operation = Bitwise::Bool { mask: mask.to_vec(), xor: vec![0; value.len()] };
        asked.push(Expression::Bitwise { from: REGISTER, to: REGISTER, length, operation });
    }
    asked.push(Expression::Cmp { from: REGISTER, op: equality(inverted), value: value.to_vec() });
    asked
}

pub(super) fn equality(inverted: bool) -> CmpOp {
    if inverted { CmpOp::Neq } else { CmpOp::Eq }
}

/// The questions about interfaces, protocol and addresses, in iptables-nft's order.
fn header(layout: &Layout, bytes: &Bytes<'_>) -> Option<Vec<Expression>> {
    let inverted = bytes.u8(layout.inverted)?;
    let mut asked = devices(layout, bytes, [NOT_IN, NOT_OUT].map(|bit| inverted & bit != 0))?;
    let protocol = bytes.u16(layout.protocol)?;
    if protocol != 0 {
        asked.push(Expression::Meta { key: META_L4PROTO, to: REGISTER });
        let op = equality(inverted & NOT_PROTOCOL != 0);
        asked.push(Expression::Cmp { from: REGISTER, op, value: vec![protocol as u8] });
    }
    let size = layout.address;
    for (place, bit) in [(0, NOT_SOURCE), (1, NOT_DESTINATION)] {
        let value = bytes.slice(place * size, size)?;
        let mask = bytes.slice((place + 2) * size, size)?;
        if mask.iter().any(|b| *b != 0) || inverted & bit != 0 {
            asked.extend(masked(Base::Network, layout.in_packet[place], mask, value, inverted & bit != 0));
        }
    }
    if size == IPV4.address && bytes.u8(layout.flags)? & FLAG_FRAGMENT != 0 {
        asked.extend(fragment(inverted & NOT_FRAGMENT != 0));
    }
    Some(asked)
}

/// Whether a packet is a later fragment.
fn fragment(inverted: bool) -> [Expression; 3] {
    let operation = Bitwise::Bool { mask: vec![0x1f, 0xff], xor: vec![0; 2] };
    let op = if inverted { CmpOp::Eq } else { CmpOp::Neq };
    [
        Expression::Payload { to: REGISTER, base: Base::Network, offset: 6, length: 2 },
        Expression::Bitwise { from: REGISTER, to: REGISTER, length: 2, operation },
        Expression::Cmp { from: REGISTER, op, value: vec![0; 2] },
    ]
}

/// Reads what the rule does; `next` is where the rule behind it begins.
fn target(bytes: &Bytes<'_>, at: usize, goto: bool, next: usize) -> Option<Target> {
    /// XT_RETURN; the others are the verdict's number, made negative and less by one.
    const RETURN: i32 = -5;
    const DROP: i32 = -1;
    const ACCEPT: i32 = -2;
    const QUEUE: i32 = -4;
    let (name, revision, info) = bytes.extension(at, usize::from(bytes.u16(at)?))?;
    Some(match name.as_str() {
        "" => match bytes.i32(at + EXTENSION)? {
            DROP => Target::Verdict(Verdict::Drop),
            ACCEPT => Target::Verdict(Verdict::Accept),
            QUEUE => Target::Verdict(Verdict::Queue),
            RETURN => Target::Verdict(Verdict::Return),
            // A rule without a target goes on to the one behind it.
            place if usize::try_from(place).ok()? == next => Target::None,
            place => Target::Chain { at: usize::try_from(place).ok()?, goto },
        },
        "ERROR" => Target::Begin(Bytes(&info).text(0, info.len().min(30))?),
        _ => Target::Extension(Expression::XtTarget { name, revision, info }),
    })
}

/// Bytes that are read by places and never beyond their end.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn slice(&self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(length)?)
    }

    pub(super) fn u8(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_ne_bytes(self.slice(at, 2)?.try_into().ok()?))
    }

    pub(super) fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.slice(at, 4)?.try_into().ok()?))
    }

    pub(super) fn i32(&self, at: usize) -> Option<i32> {
        Some(i32::from_ne_bytes(self.slice(at, 4)?.try_into().ok()?))
    }

    pub(super) fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(self.slice(at, 8)?.try_into().ok()?))
    }

    pub(super) fn text(&self, at: usize, length: usize) -> Option<String> {
        let bytes = self.slice(at, length)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// The name, revision and parameters of a match or target.
    pub(super) fn extension(&self, at: usize, size: usize) -> Option<(String, u32, Vec<u8>)> {
        let info = self.slice(at, size)?.get(EXTENSION..)?.to_vec();
        Some((self.text(at + 2, 29)?, u32::from(self.u8(at + 31)?), info))
    }
}
