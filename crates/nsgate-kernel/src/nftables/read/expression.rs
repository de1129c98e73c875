//! Instructions as the kernel tells them. What is not known, or not complete, stays as it came.

use nsgate_core::model::ruleset::{
    Base, Bitwise, CmpOp, CtKey, Data, Expression, FibResult, MetaKey, Nat, NatFlags, Register, RejectKind, Verdict,
};

use super::super::numbers::{self, EXPRESSION_DATA, EXPRESSION_NAME, LIST_ELEMENT};
use crate::netlink::{Attribute, Attributes};

/// How deep instructions may stand within one another.
const DEEPEST: usize = 4;

/// Reads a list of instructions.
pub(in super::super) fn all(list: Attributes<'_>) -> Vec<Expression> {
    list_at(list, 0)
}

/// Reads one instruction.
pub(super) fn single(attributes: &Attributes<'_>) -> Option<Expression> {
    one(attributes, 0)
}

/// Reads the instruction of this name from its own attributes.
pub(super) fn named(name: &str, attributes: &Attributes<'_>) -> Option<Expression> {
    Reader(attributes.clone()).act(name)
}

/// Reads a value or verdict.
pub(super) fn data(attributes: &Attributes<'_>) -> Option<Data> {
    if let Some(value) = attributes.find(numbers::data::VALUE) {
        return Some(Data::Value(value.value.to_vec()));
    }
    verdict(&attributes.find(numbers::data::VERDICT)?.nested()).map(Data::Verdict)
}

/// Reads a verdict.
pub(in super::super) fn verdict(attributes: &Attributes<'_>) -> Option<Verdict> {
    let chain = || attributes.find(numbers::data::CHAIN)?.text().map(ToOwned::to_owned);
    Some(match attributes.find(numbers::data::CODE)?.be32()? as i32 {
        numbers::data::ACCEPT => Verdict::Accept,
        numbers::data::DROP => Verdict::Drop,
        numbers::data::CONTINUE | numbers::data::BREAK => Verdict::Continue,
        numbers::data::RETURN => Verdict::Return,
        numbers::data::JUMP => Verdict::Jump(chain()?),
        numbers::data::GOTO => Verdict::Goto(chain()?),
        // The number of a queue may stand above.
        queue if queue & 0xff == numbers::data::QUEUE => Verdict::Queue,
        _ => return None,
    })
}

fn list_at(list: Attributes<'_>, depth: usize) -> Vec<Expression> {
    let instructions = list.filter(|e| e.kind == LIST_ELEMENT);
    // Exactly as many as there are: a vector that grows by itself would hold half as many again, for each rule.
    let mut read = Vec::with_capacity(instructions.clone().count());
    read.extend(instructions.filter_map(|e| one(&e.nested(), depth)));
    read
}

/// One instruction; none only if it has no name.
fn one(attributes: &Attributes<'_>, depth: usize) -> Option<Expression> {
    let name = attributes.find(EXPRESSION_NAME)?.text()?;
    let inner = attributes.find(EXPRESSION_DATA);
    let bytes = inner.map_or(&[][..], |a| a.value);
    let reader = Reader(Attributes::new(bytes));
    let known = reader
        .load(name)
        .or_else(|| reader.load_rarely(name, depth))
        .or_else(|| reader.compare(name))
        .or_else(|| reader.update(name, depth))
        .or_else(|| reader.set(name))
        .or_else(|| reader.translate(name))
        .or_else(|| reader.act(name));
    Some(known.unwrap_or_else(|| Expression::Unknown { name: name.to_owned(), attributes: bytes.to_vec() }))
}

/// The attributes of one instruction.
struct Reader<'a>(Attributes<'a>);

impl<'a> Reader<'a> {
    /// Instructions that read something.
    fn load(&self, name: &str) -> Option<Expression> {
        Some(match name {
            "payload" => {
                let (base, offset, length) = self.place()?;
                Expression::Payload { to: self.register(1)?, base, offset, length }
            }
            "meta" => Expression::Meta { key: MetaKey(self.be32(2)?), to: self.register(1)? },
            "ct" => Expression::Ct { key: CtKey(self.be32(2)?), to: self.register(1)?, direction: self.u8(3) },
            "fib" => Expression::Fib {
                to: self.register(1)?,
                result: FibResult(self.be32(2)?),
                flags: self.be32(3).unwrap_or(0),
            },
            "rt" => Expression::Route { key: self.be32(2)?, to: self.register(1)? },
            "exthdr" => {
                let (kind, number, offset, length) = self.option_place()?;
                let present = self.be32(5).unwrap_or(0) & 1 != 0;
                Expression::HeaderOption { to: self.register(1)?, kind, number, offset, length, present }
            }
            "numgen" => Expression::Number {
                to: self.register(1)?,
                random: self.be32(3)? == 1,
                modulus: self.be32(2)?,
                offset: self.be32(4).unwrap_or(0),
            },
            "hash" => {
                let by_flow = self.be32(7).unwrap_or(0) == 1;
                let from = if by_flow { None } else { Some((self.register(1)?, self.be32(3)?)) };
                let (modulus, offset) = (self.be32(4)?, self.be32(6).unwrap_or(0));
                Expression::Hash { to: self.register(2)?, from, modulus, seed: self.be32(5), offset }
            }
            "immediate" => {
                let to = match self.be32(1)? {
                    0 => None,
                    number => Some(numbers::register(number)?),
                };
                Expression::Immediate { to, data: data(&self.0.find(2)?.nested())? }
            }
            _ => return None,
        })
    }

    /// Instructions that read something, and are rarely met.
    fn load_rarely(&self, name: &str, depth: usize) -> Option<Expression> {
        Some(match name {
            "socket" => Expression::Socket { key: self.be32(1)?, to: self.register(2)?, level: self.be32(3) },
            "osf" => Expression::Fingerprint {
                to: self.register(1)?,
                ttl: self.u8(2).unwrap_or(0),
                flags: self.be32(3).unwrap_or(0),
            },
            "xfrm" => Expression::Xfrm {
                to: self.register(1)?,
                key: self.be32(2)?,
                direction: self.u8(3)?,
                number: self.be32(4).unwrap_or(0),
            },
            "tunnel" => {
                Expression::Tunnel { key: self.be32(1)?, to: self.register(2)?, mode: self.be32(3).unwrap_or(0) }
            }
            "inner" if depth < DEEPEST => Expression::Inner {
                number: self.be32(1).unwrap_or(0),
                kind: self.be32(2)?,
                flags: self.be32(3)?,
                header_length: self.be32(4)?,
                load: Box::new(one(&self.0.find(5)?.nested(), depth + 1)?),
            },
            _ => return None,
        })
    }

    /// Instructions that work on registers, ask, or look up.
    fn compare(&self, name: &str) -> Option<Expression> {
        Some(match name {
            "cmp" => {
                let op = match self.be32(2)? {
                    0 => CmpOp::Eq,
                    1 => CmpOp::Neq,
                    2 => CmpOp::Lt,
                    3 => CmpOp::Lte,
                    4 => CmpOp::Gt,
                    5 => CmpOp::Gte,
                    _ => return None,
                };
                Expression::Cmp { from: self.register(1)?, op, value: self.value(3)? }
            }
            "range" => Expression::Range {
                from: self.register(1)?,
                inverted: self.be32(2)? == 1,
                low: self.value(3)?,
                high: self.value(4)?,
            },
            "bitwise" => Expression::Bitwise {
                from: self.register(1)?,
                to: self.register(2)?,
                length: self.be32(3)?,
                operation: self.bit_operation()?,
            },
            "byteorder" => Expression::Byteorder {
                from: self.register(1)?,
                to: self.register(2)?,
                to_host: self.be32(3)? == 0,
                length: self.be32(4)?,
                size: self.be32(5)?,
            },
            "lookup" => {
                let (to, verdict) = match self.be32(3) {
                    None => (None, false),
                    Some(0) => (None, true),
                    Some(number) => (Some(numbers::register(number)?), false),
                };
                let inverted = self.be32(5).unwrap_or(0) & 1 != 0;
                Expression::Lookup { set: self.text(1)?, from: self.register(2)?, to, verdict, inverted }
            }
            _ => return None,
        })
    }

    fn update(&self, name: &str, depth: usize) -> Option<Expression> {
        if name != "dynset" || depth >= DEEPEST {
            return None;
        }
        let data = match self.be32(5) {
            Some(number) => Some(numbers::register(number)?),
            None => None,
        };
        let each = match (self.0.find(7), self.0.find(10)) {
            (_, Some(list)) => list_at(list.nested(), depth + 1),
            (Some(single), None) => one(&single.nested(), depth + 1).into_iter().collect(),
            (None, None) => Vec::new(),
        };
        Some(Expression::Update {
            set: self.text(1)?,
            operation: self.be32(3)?,
            key: self.register(4)?,
            data,
            timeout: self.be64(6).filter(|timeout| *timeout != 0),
            each,
            inverted: self.be32(9).unwrap_or(0) & 1 != 0,
        })
    }

    /// Instructions that change something about the packet.
    fn set(&self, name: &str) -> Option<Expression> {
        Some(match name {
            "payload" => {
                let (base, offset, length) = self.place()?;
                let small = |kind| self.be32(kind).unwrap_or(0);
                let checksum = (small(6), small(7), small(8));
                Expression::PayloadSet { from: self.register(5)?, base, offset, length, checksum }
            }
            "meta" => Expression::MetaSet { key: MetaKey(self.be32(2)?), from: self.register(3)? },
            "ct" => Expression::CtSet { key: CtKey(self.be32(2)?), from: self.register(4)?, direction: self.u8(3) },
            "exthdr" if self.find(7).is_some() => {
                let (kind, number, offset, length) = self.option_place()?;
                Expression::HeaderOptionSet { from: self.register(7)?, kind, number, offset, length }
            }
            "exthdr" if self.find(1).is_none() => {
                Expression::HeaderOptionReset { kind: self.be32(6).unwrap_or(0), number: self.u8(2)? }
            }
            _ => return None,
        })
    }

    /// Instructions that translate addresses.
    fn translate(&self, name: &str) -> Option<Expression> {
        Some(match name {
            "nat" => Expression::Nat(Nat {
                source: self.be32(1)? == 0,
                family: u8::try_from(self.be32(2)?).ok()?,
                address: self.ends(3),
                port: self.ends(5),
                flags: self.nat_flags(7),
            }),
            "masq" => Expression::Masquerade { port: self.ends(2), flags: self.nat_flags(1) },
            "redir" => Expression::Redirect { port: self.ends(1), flags: self.nat_flags(3) },
            "tproxy" => Expression::TransparentProxy {
                family: u8::try_from(self.be32(1).unwrap_or(0)).ok()?,
                address: self.register(2),
                port: self.register(3),
            },
            "dup" => Expression::Duplicate { address: self.register(1), device: self.register(2) },
            "fwd" => {
                let family = || u8::try_from(self.be32(3)?).ok();
                let address = match self.register(2) {
                    Some(register) => Some((register, family()?)),
                    None => None,
                };
                Expression::Forward { device: self.register(1)?, address }
            }
            _ => return None,
        })
    }

    /// Instructions that count, limit, report, refuse or hand on.
    fn act(&self, name: &str) -> Option<Expression> {
        Some(match name {
            "reject" => {
                let code = self.u8(2).unwrap_or(0);
                Expression::Reject(match self.be32(1)? {
                    0 => RejectKind::Icmp(code),
                    1 => RejectKind::TcpReset,
                    2 => RejectKind::Icmpx(code),
                    _ => return None,
                })
            }
            "counter" => Expression::Counter { packets: self.be64(2)?, bytes: self.be64(1)? },
            "limit" => Expression::Limit {
                rate: self.be64(1)?,
                unit: self.be64(2)?,
                burst: self.be32(3).unwrap_or(0),
                bytes: self.be32(4).unwrap_or(0) == 1,
                over: self.be32(5).unwrap_or(0) & 1 != 0,
            },
            "log" => {
                let group = self.be16(1);
                let not_zero = |number: &u16| *number != 0;
                Expression::Log {
                    prefix: self.text(2),
                    group,
                    level: self.be32(5).filter(|_| group.is_none()),
                    snaplen: self.be32(3).filter(|length| *length != 0),
                    threshold: self.be16(4).filter(not_zero),
                    flags: self.be32(6).unwrap_or(0),
                }
            }
            "queue" => Expression::Queue {
                number: self.be16(1)?,
                total: self.be16(2).unwrap_or(1),
                flags: self.be16(3).unwrap_or(0),
            },
            "connlimit" => {
                Expression::ConnectionLimit { count: self.be32(1)?, over: self.be32(2).unwrap_or(0) & 1 != 0 }
            }
            "quota" => Expression::Quota {
                bytes: self.be64(1)?,
                used: self.be64(4).unwrap_or(0),
                over: self.be32(2).unwrap_or(0) & 1 != 0,
            },
            "objref" if self.find(3).is_some() => Expression::ObjectMap { from: self.register(3)?, set: self.text(4)? },
            "objref" => Expression::Object { kind: self.be32(1)?, name: self.text(2)? },
            "synproxy" => Expression::Synproxy {
                mss: self.be16(1).unwrap_or(0),
                wscale: self.u8(2).unwrap_or(0),
                flags: self.be32(3).unwrap_or(0),
            },
            "last" => Expression::Last { used: self.be64(2).filter(|_| self.be32(1) == Some(1)) },
            "flow_offload" => Expression::FlowOffload { table: self.text(1)? },
            "notrack" => Expression::Notrack,
            "match" => Expression::XtMatch { name: self.text(1)?, revision: self.be32(2)?, info: self.bytes(3)? },
            "target" => Expression::XtTarget { name: self.text(1)?, revision: self.be32(2)?, info: self.bytes(3)? },
            _ => return None,
        })
    }

    fn bit_operation(&self) -> Option<Bitwise> {
        Some(match self.be32(6).unwrap_or(0) {
            0 => Bitwise::Bool { mask: self.value(4)?, xor: self.value(5)? },
            1 => Bitwise::ShiftLeft(self.shift()?),
            2 => Bitwise::ShiftRight(self.shift()?),
            number => Bitwise::With(number, self.register(8)?),
        })
    }

    fn shift(&self) -> Option<u32> {
        self.value(7)?.try_into().ok().map(u32::from_ne_bytes)
    }

    fn place(&self) -> Option<(Base, u32, u32)> {
        let base = match self.be32(2)? {
            0 => Base::Link,
            1 => Base::Network,
            2 => Base::Transport,
            3 => Base::Inner,
            _ => return None,
        };
        Some((base, self.be32(3)?, self.be32(4)?))
    }

    fn option_place(&self) -> Option<(u32, u8, u32, u32)> {
        Some((self.be32(6).unwrap_or(0), self.u8(2)?, self.be32(3)?, self.be32(4)?))
    }

    /// Both ends of a range; the kernel leaves out the second where it is the first.
    fn ends(&self, kind: u16) -> Option<(Register, Register)> {
        let low = self.register(kind)?;
        Some((low, self.register(kind + 1).unwrap_or(low)))
    }

    fn nat_flags(&self, kind: u16) -> NatFlags {
        NatFlags(self.be32(kind).unwrap_or(0))
    }

    fn register(&self, kind: u16) -> Option<Register> {
        numbers::register(self.be32(kind)?)
    }

    fn value(&self, kind: u16) -> Option<Vec<u8>> {
        self.0.find(kind)?.nested().find(numbers::data::VALUE).map(|v| v.value.to_vec())
    }

    fn bytes(&self, kind: u16) -> Option<Vec<u8>> {
        self.find(kind).map(|a| a.value.to_vec())
    }

    fn text(&self, kind: u16) -> Option<String> {
        self.find(kind)?.text().map(ToOwned::to_owned)
    }

    fn u8(&self, kind: u16) -> Option<u8> {
        self.find(kind)?.u8()
    }

    fn be16(&self, kind: u16) -> Option<u16> {
        self.find(kind)?.be16()
    }

    fn be32(&self, kind: u16) -> Option<u32> {
        self.find(kind)?.be32()
    }

    fn be64(&self, kind: u16) -> Option<u64> {
        self.find(kind)?.be64()
    }

    fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        self.0.find(kind)
    }
}
