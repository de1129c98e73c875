//! The packet filter of a namespace as the kernel holds it.
//!
//! Rules are kept as the kernel's own small instructions (the [`Expression`]s): that loses nothing and is what really
//! decides. Text in nft's syntax is made from them, and they from text.

mod apply;
pub mod command;
mod conntrack_timeout;
mod context;
mod engine;
mod expression;
mod header;
mod header_option;
mod interval;
mod ipset;
mod iptables;
mod lift;
mod lower;
pub mod names;
mod object;
mod operand;
pub mod parse;
#[cfg(test)]
mod round_trip;
mod selector;
mod statement;
mod symbol;
pub mod text;
pub mod value;
pub mod value_type;
pub(crate) mod xt;

pub use apply::Refusal;
pub use command::{Command, Place, TableId, lines};
pub use engine::Engine;
pub use expression::{
    Base, Bitwise, CmpOp, CtKey, Data, Expression, FibResult, MetaKey, Nat, NatFlags, Register, RejectKind, Verdict,
};
pub use header::{HeaderField, Protocol};
pub use interval::{Entry, elements_of_range};
pub use ipset::{IpSet, Member, SetQuestion};
pub use iptables::iptables_line;
pub use lift::lift;
pub use lower::lower;
pub use object::{FlowTable, Object, ObjectKind, Tunnel};
pub use selector::Selector;
pub use statement::{Part, Relation, Right, Shift, Statement, Value};
pub use xt::native;

use serde::{Deserialize, Serialize};

use self::value_type::{Kind, ValueType};
use super::LinkName;
use super::wire::hex;

/// The packet filter of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ruleset {
    /// The nftables tables, those that iptables-nft and its kin keep included, in the kernel's order.
    pub tables: Vec<Table>,
    /// The kernel's generation number of the nftables ruleset when it was read.
    pub generation: u32,
    /// The tables of the older engine (`iptables-legacy`) that exist here, such as `ip nat`.
    pub legacy_tables: Vec<String>,
    /// Those of them that could be read, with their rules in the terms of nftables; they cannot be changed as such.
    pub legacy: Vec<Table>,
    /// The sets of ipset that rules of either engine name, and those that these name.
    pub ipsets: Vec<IpSet>,
}

/// The family of a table (NFPROTO_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TableFamily {
    /// IPv4 and IPv6.
    #[default]
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ARP.
    Arp,
    /// Bridged frames.
    Bridge,
    /// Frames at one device.
    Netdev,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its family.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// Switched off: its chains see no packet.
    pub dormant: bool,
    /// The netlink port of the process that alone may change it.
    pub owner: Option<u32>,
    /// It stays when its owner is gone.
    pub persistent: bool,
    /// The comment its maker left.
    pub comment: Option<String>,
    /// Its chains in the kernel's order.
    pub chains: Vec<Chain>,
    /// Its sets and maps.
    pub sets: Vec<Set>,
    /// Its named counters, limits, helpers and the like.
    pub objects: Vec<Object>,
    /// Its flow tables.
    pub flow_tables: Vec<FlowTable>,
}

/// One chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// Where packets enter it; none: only by jump.
    pub base: Option<BaseChain>,
    /// Its rules are carried out by the network card where that can.
    pub offload: bool,
    /// It belongs to the one rule that jumps to it, and has no name of its own.
    pub anonymous: bool,
    /// The comment its maker left.
    pub comment: Option<String>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// Where a base chain stands on the packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BaseChain {
    /// What it is for.
    pub kind: ChainKind,
    /// The hook.
    pub hook: Hook,
    /// Its place among the chains of that hook: the smaller comes first.
    pub priority: i32,
    /// Whether packets that no rule decides are dropped; otherwise they pass.
    pub policy_drop: bool,
    /// The interfaces it is bound to (ingress and egress of devices).
    pub devices: Vec<LinkName>,
}

/// What a base chain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ChainKind {
    /// Decides.
    Filter,
    /// Translates; sees only the first packet of a flow.
    Nat,
    /// Routes again what it changed.
    Route,
}

/// A hook on the packet's way (NF_INET_*, NF_NETDEV_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Hook {
    /// As a frame comes in by a device.
    Ingress,
    /// Before it is routed.
    Prerouting,
    /// Before it is delivered here.
    Input,
    /// As it is passed on.
    Forward,
    /// As a packet made here starts.
    Output,
    /// Before it leaves IP.
    Postrouting,
    /// As a frame leaves by a device.
    Egress,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FilterRule"))]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The number by which the kernel knows it, within its table.
    pub handle: u64,
    /// What it does, instruction by instruction.
    pub expressions: Vec<Expression>,
    /// The comment its maker left.
    pub comment: Option<String>,
}

/// A set, a map (key to data) or a verdict map (key to verdict).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Its name; anonymous ones are called `__set0`, `__map3` and so on.
    pub name: String,
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// Made for one rule, without a name of its own.
    pub anonymous: bool,
    /// Its elements cannot change.
    pub constant: bool,
    /// It holds ranges.
    pub interval: bool,
    /// Its elements vanish after a time.
    pub timeout: bool,
    /// After how long, unless an element says otherwise, in milliseconds.
    pub default_timeout: Option<u64>,
    /// How many elements it may hold.
    pub size: Option<u32>,
    /// Rules put elements in.
    pub dynamic: bool,
    /// The key's type, by nft's number (`ipv4_addr` is 7; concatenations carry six bits a part).
    pub key_type: u32,
    /// The key's length in bytes.
    pub key_length: u32,
    /// It is kept small rather than fast (NFT_SET_POL_MEMORY).
    pub small: bool,
    /// How often what has timed out is cleared away, in milliseconds.
    pub clearing_interval: Option<u64>,
    /// Ranges that touch become one.
    pub merges: bool,
    /// What the keys are read from, as nft writes it, where its maker said that instead of a type.
    pub key_source: Option<String>,
    /// The same for what a map leads to.
    pub data_source: Option<String>,
    /// What is done for each element that a packet finds.
    pub each: Vec<Expression>,
    /// What a map leads to.
    pub data: Option<SetData>,
    /// The length in bytes of each part of a concatenated key.
    pub key_parts: Vec<u32>,
    /// The comment its maker left.
    pub comment: Option<String>,
    /// What it holds.
    pub elements: Vec<Element>,
}

/// What a map leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SetData {
    /// Verdicts.
    Verdict,
    /// Objects of this kind (NFT_OBJECT_*).
    Object(u32),
    /// Values of this type (nft's number) and length in bytes.
    Value {
        /// The type.
        data_type: u32,
        /// The length in bytes.
        length: u32,
    },
}

/// One element of a set or map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Element {
    /// The key; for a range its first value. Empty for the catch-all element.
    #[serde(with = "hex")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub key: Vec<u8>,
    /// The last value of a range whose both ends stand in one element (concatenated sets).
    #[serde(with = "hex::option")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub key_end: Option<Vec<u8>>,
    /// It closes the range that the element before it opens: keys from here on are outside.
    pub interval_end: bool,
    /// What a map leads to.
    pub data: Option<Data>,
    /// The name of the object that a map of objects leads to.
    pub object: Option<String>,
    /// Applies to every key that has no element of its own.
    pub catch_all: bool,
    /// After how long it vanishes, in milliseconds, where that is not the set's own time.
    pub timeout: Option<u64>,
    /// After how long from now it vanishes, in milliseconds.
    pub expires: Option<u64>,
    /// What is done for each packet that finds it, with what was counted so far.
    pub each: Vec<Expression>,
    /// The comment its maker left.
    pub comment: Option<String>,
}

impl Ruleset {
    /// The table of this family and name.
    pub fn table(&self, family: TableFamily, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.family == family && t.name == name)
    }

    /// The tables of nftables, then those of the older engine.
    pub fn of_both_engines(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().chain(&self.legacy)
    }

    /// The set of ipset that rules know by this number.
    pub fn ipset(&self, index: u16) -> Option<&IpSet> {
        self.ipsets.iter().find(|set| set.index == Some(index))
    }

    /// Whether the older engine has a table that translates, and it could not be read.
    pub fn has_unread_nat(&self) -> bool {
        let exists = self.legacy_tables.iter().any(|name| name.ends_with(" nat"));
        exists && !self.legacy.iter().any(|table| table.name == "nat")
    }

    /// Whether a table of this ruleset belongs to the older engine.
    pub fn is_legacy(&self, table: &Table) -> bool {
        self.legacy.iter().any(|t| std::ptr::eq(t, table))
    }

    /// All chains at a hook that see packets, with their tables, in the order the kernel asks them; those of the older
    /// engine are among them.
    ///
    /// Chains that translate are asked where the kernel translates, whatever their own place, which only tells their order
    /// among themselves. Of two chains at the same place the one made later comes first.
    pub fn chains_at(&self, hook: Hook) -> Vec<(&Table, &Chain, &BaseChain)> {
        let ours = self.tables.iter().rev().filter(|t| !t.dormant);
        let mut chains: Vec<_> = ours
            .flat_map(|t| t.chains.iter().rev().map(move |c| (t, c)))
            .chain(self.legacy.iter().flat_map(|t| t.chains.iter().map(move |c| (t, c))))
            .filter_map(|(t, c)| Some((t, c, c.base.as_ref().filter(|b| b.hook == hook)?)))
            .collect();
        chains.sort_by_key(|(_, _, base)| (base.place(), base.priority));
        chains
    }
}

impl BaseChain {
    /// Where it is asked among the chains of its hook: NF_IP_PRI_NAT_DST or NF_IP_PRI_NAT_SRC if it translates.
    fn place(&self) -> i32 {
        match (self.kind, self.hook) {
            (ChainKind::Nat, Hook::Prerouting | Hook::Output) => -100,
            (ChainKind::Nat, _) => 100,
            _ => self.priority,
        }
    }
}

impl Table {
    /// The chain of this name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|c| c.name == name)
    }

    /// The set or map of this name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|s| s.name == name)
    }
}

impl Chain {
    /// Whether a rule of this chain sends packets to another by itself, not through a verdict map.
    pub fn jumps_to(&self, chain: &str) -> bool {
        let verdict = |expression: &Expression| match expression {
            Expression::Immediate { data: Data::Verdict(Verdict::Jump(to) | Verdict::Goto(to)), .. } => to == chain,
            _ => false,
        };
        self.rules.iter().flat_map(|rule| &rule.expressions).any(verdict)
    }
}

impl Set {
    /// An empty named set whose keys are of this type, or concatenations of these types.
    pub fn new(name: impl Into<String>, key: &[ValueType]) -> Self {
        let kinds: Vec<Kind> = key.iter().map(|t| t.kind()).collect();
        let key_length = match &kinds[..] {
            [single] => single.length,
            many => many.iter().map(|k| k.padded()).sum(),
        };
        Self {
            name: name.into(),
            key_type: value_type::type_number(&kinds),
            key_length: key_length as u32,
            key_parts: if kinds.len() > 1 { kinds.iter().map(|k| k.length as u32).collect() } else { Vec::new() },
            ..Self::default()
        }
    }

    /// An empty named map from keys of these types to values of these types.
    pub fn map(name: impl Into<String>, key: &[ValueType], data: &[ValueType]) -> Self {
        let data = Self::new("", data);
        Self {
            data: Some(SetData::Value { data_type: data.key_type, length: data.key_length }),
            ..Self::new(name, key)
        }
    }

    /// An empty named map from keys of these types to verdicts.
    pub fn verdict_map(name: impl Into<String>, key: &[ValueType]) -> Self {
        Self { data: Some(SetData::Verdict), ..Self::new(name, key) }
    }
}
