//! What instructions work with: registers, values, and the kernel's numbers for what they do.
//!
//! One to one with linux/netfilter/nf_tables.h; a number that has no name here stays a number.

use serde::{Deserialize, Serialize};

use super::super::wire::hex;

/// A place where instructions leave values for one another.
///
/// Counted in steps of four bytes: 0 to 15 stand for NFT_REG32_00 to NFT_REG32_15; the older 16-byte registers
/// NFT_REG_1 to NFT_REG_4 begin at 0, 4, 8 and 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Register(pub u8);

/// A value that stands in a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Data {
    /// Bytes in network order, unless the selector they are compared with is kept in the host's order.
    Value(
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        Vec<u8>,
    ),
    /// A decision.
    Verdict(Verdict),
}

/// What a rule decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Verdict {
    /// The packet passes this chain and those it was called from.
    Accept,
    /// The packet is gone.
    Drop,
    /// The next rule is asked.
    Continue,
    /// The rest of this chain is passed over.
    Return,
    /// Another chain is asked, then the next rule.
    Jump(String),
    /// Another chain is asked instead of the rest of this one.
    Goto(String),
    /// A program decides.
    Queue,
}

/// Where in the packet a payload instruction reads (NFT_PAYLOAD_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Base {
    /// From the link-layer header.
    Link,
    /// From the network header.
    Network,
    /// From the transport header.
    Transport,
    /// From what the transport carries.
    Inner,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// What of the packet's surroundings an instruction reads or sets (NFT_META_*, by the kernel's number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MetaKey(pub u32);

/// What of the packet's connection an instruction reads (NFT_CT_*, by the kernel's number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CtKey(pub u32);

/// What a `fib` instruction yields (NFT_FIB_RESULT_*, by the kernel's number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FibResult(pub u32);

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RejectKind {
    /// By an ICMP error of the packet's own family, with this code.
    Icmp(u8),
    /// By a TCP reset.
    TcpReset,
    /// By an ICMP error whose code is the same for both families (NFT_REJECT_ICMPX_*).
    Icmpx(u8),
}

/// A bit operation between registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Bitwise {
    /// `(value & mask) ^ xor`.
    Bool {
        /// The bits that are kept.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        mask: Vec<u8>,
        /// The bits that are then turned over.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        xor: Vec<u8>,
    },
    /// Shifts to the left.
    ShiftLeft(u32),
    /// Shifts to the right.
    ShiftRight(u32),
    /// Combines with another register; the operation by the kernel's number.
    With(u32, Register),
}

/// The flags of a translation (NF_NAT_RANGE_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NatFlags(pub u32);

/// A source or destination translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// The source is translated; otherwise the destination.
    pub source: bool,
    /// The family of the addresses (NFPROTO_IPV4 2 or NFPROTO_IPV6 10).
    pub family: u8,
    /// Where the first and the last new address stand.
    pub address: Option<(Register, Register)>,
    /// Where the first and the last new port stand.
    pub port: Option<(Register, Register)>,
    /// How the new values are chosen.
    pub flags: NatFlags,
}
