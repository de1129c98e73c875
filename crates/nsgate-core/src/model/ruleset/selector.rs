//! What a rule can ask about: the fields of headers, what the kernel knows of the packet, its connection and its route.
//!
//! A [`Selector`] is the nameable form of a loading instruction. The tables of the names are in
//! [`header`] (fields of protocol headers) and here.

use std::fmt;

use super::header::{self, HeaderField};
use super::statement::Part;
use super::value_type::{Kind, Order, ValueType};
use super::{Base, CtKey, FibResult, MetaKey};

/// Something that has a value for every packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A field of a protocol's header.
    Header(&'static HeaderField),
    /// Bits of the packet without a name.
    Raw {
        /// Where the counting begins.
        base: Base,
        /// How far into it, in bits.
        offset: u32,
        /// How many bits.
        bits: u32,
    },
    /// What the kernel knows of the packet.
    Meta(MetaKey),
    /// What the kernel knows of its connection; of the original direction (0), the reply (1), or neither.
    Ct(CtKey, Option<u8>),
    /// What the routing table says.
    Fib {
        /// What it is asked for.
        result: FibResult,
        /// With what it is asked (NFTA_FIB_F_*).
        flags: u32,
    },
    /// What the kernel knows of its route (NFT_RT_*).
    Route(u32),
    /// An option within a header.
    Option {
        /// Which header carries it (NFT_EXTHDR_OP_*).
        kind: u32,
        /// The option's number.
        number: u8,
        /// How far into the option, in bytes.
        offset: u32,
        /// How much, in bytes.
        length: u32,
        /// Only whether it is there.
        present: bool,
    },
    /// A number that changes from packet to packet.
    Number {
        /// At random; otherwise by counting up.
        random: bool,
        /// The numbers are smaller than this.
        modulus: u32,
        /// What is added.
        offset: u32,
    },
    /// A number made of values, or of the packet's flow where there are none.
    Hash {
        /// The values.
        of: Vec<Part>,
        /// The numbers are smaller than this.
        modulus: u32,
        /// What makes it differ from other hashes.
        seed: Option<u32>,
        /// What is added.
        offset: u32,
    },
}

/// A row of the tables below: key, words, type, and length and order where they differ from the type's own.
type Row = (u32, &'static str, ValueType, usize, Order);

const META: &[Row] = {
    use Order::{Host, Network, Text};
    use ValueType as T;
    &[
        (0, "length", T::Integer, 4, Host),
        (1, "protocol", T::EtherType, 2, Network),
        (2, "priority", T::ClassId, 4, Host),
        (3, "mark", T::Mark, 4, Host),
        (4, "iif", T::InterfaceIndex, 4, Host),
        (5, "oif", T::InterfaceIndex, 4, Host),
        (6, "iifname", T::InterfaceName, 16, Text),
        (7, "oifname", T::InterfaceName, 16, Text),
        (8, "iiftype", T::HardwareType, 2, Host),
        (9, "oiftype", T::HardwareType, 2, Host),
        (10, "skuid", T::User, 4, Host),
        (11, "skgid", T::Group, 4, Host),
        (12, "nftrace", T::Integer, 1, Host),
        (13, "rtclassid", T::Realm, 4, Host),
        (14, "secmark", T::Integer, 4, Host),
        (15, "nfproto", T::NetworkFamily, 1, Host),
        (16, "l4proto", T::InetProtocol, 1, Host),
        (17, "ibrname", T::InterfaceName, 16, Text),
        (18, "obrname", T::InterfaceName, 16, Text),
        (19, "pkttype", T::PacketType, 1, Host),
        (20, "cpu", T::Integer, 4, Host),
        (21, "iifgroup", T::DeviceGroup, 4, Host),
        (22, "oifgroup", T::DeviceGroup, 4, Host),
        (23, "cgroup", T::Integer, 4, Host),
        (24, "random", T::Integer, 4, Network),
        (25, "ipsec", T::Existence, 1, Host),
        (26, "iifkind", T::InterfaceName, 16, Text),
        (27, "oifkind", T::InterfaceName, 16, Text),
        (28, "ibrpvid", T::Integer, 2, Host),
        (29, "ibrvproto", T::EtherType, 2, Network),
        (30, "time", T::Date, 8, Host),
        (31, "day", T::Day, 1, Host),
        (32, "hour", T::Hour, 4, Host),
        (33, "sdif", T::InterfaceIndex, 4, Host),
        (34, "sdifname", T::InterfaceName, 16, Text),
        (35, "broute", T::Integer, 1, Host),
    ]
};

const CT: &[Row] = {
    use Order::{Host, Network, Text};
    use ValueType as T;
    &[
        (0, "state", T::CtState, 4, Host),
        (1, "direction", T::CtDirection, 1, Host),
        (2, "status", T::CtStatus, 4, Host),
        (3, "mark", T::Mark, 4, Host),
        (4, "secmark", T::Integer, 4, Host),
        (5, "expiration", T::Time, 4, Host),
        (6, "helper", T::Text, 16, Text),
        (7, "l3proto", T::NetworkFamily, 1, Host),
        (10, "protocol", T::InetProtocol, 1, Network),
        (11, "proto-src", T::InetService, 2, Network),
        (12, "proto-dst", T::InetService, 2, Network),
        (13, "label", T::CtLabel, 16, Host),
        (14, "packets", T::Integer, 8, Host),
        (15, "bytes", T::Integer, 8, Host),
        (16, "avgpkt", T::Integer, 8, Host),
        (17, "zone", T::Integer, 2, Host),
        (18, "event", T::CtEvent, 4, Host),
        (19, "ip saddr", T::Ipv4Address, 4, Network),
        (20, "ip daddr", T::Ipv4Address, 4, Network),
        (21, "ip6 saddr", T::Ipv6Address, 16, Network),
        (22, "ip6 daddr", T::Ipv6Address, 16, Network),
        (23, "id", T::Integer, 4, Network),
    ]
};

const ROUTE: &[Row] = {
    use Order::{Host, Network};
    use ValueType as T;
    &[
        (0, "classid", T::Realm, 4, Host),
        (1, "ip nexthop", T::Ipv4Address, 4, Network),
        (2, "ip6 nexthop", T::Ipv6Address, 16, Network),
        (3, "mtu", T::Integer, 2, Host),
        (4, "ipsec", T::Existence, 1, Host),
    ]
};

/// The keys of meta that nft writes without the word `meta` before them.
const UNQUALIFIED: [&str; 6] = ["iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"];

/// What the routing table is asked with, in nft's order.
pub(super) const FIB_FLAGS: [(&str, u32); 5] = [("saddr", 1), ("daddr", 2), ("mark", 4), ("iif", 8), ("oif", 16)];

/// The answer of the routing table is only whether there is one (NFTA_FIB_F_PRESENT).
pub(super) const FIB_PRESENT: u32 = 32;

/// What the routing table can be asked for.
pub(super) const FIB_RESULTS: [(&str, FibResult); 3] =
    [("oif", FibResult(1)), ("oifname", FibResult(2)), ("type", FibResult(3))];

/// The options that have names: header, its word, the option's name and number, field, offset and length.
type OptionRow = (u32, &'static str, u8, &'static str, u32, u32);

const OPTIONS: &[OptionRow] = &[
    (1, "maxseg", 2, "size", 2, 2),
    (1, "window", 3, "count", 2, 1),
    (1, "sack-perm", 4, "kind", 0, 1),
    (1, "sack", 5, "kind", 0, 1),
    (1, "timestamp", 8, "tsval", 2, 4),
    (1, "timestamp", 8, "tsecr", 6, 4),
    (0, "hbh", 0, "nexthdr", 0, 1),
    (0, "rt", 43, "nexthdr", 0, 1),
    (0, "frag", 44, "nexthdr", 0, 1),
    (0, "dst", 60, "nexthdr", 0, 1),
    (0, "mh", 135, "nexthdr", 0, 1),
    (2, "lsrr", 131, "type", 0, 1),
    (2, "ra", 148, "type", 0, 1),
    (2, "rr", 7, "type", 0, 1),
    (2, "ssrr", 137, "type", 0, 1),
];

/// The words before an option's name, by the kernel's number of the header.
const OPTION_WORDS: [(u32, &str, &str); 3] =
    [(1, "tcp option", "tcp option"), (0, "exthdr", ""), (2, "ip option", "ip option")];

impl Selector {
    /// What is known of its values; none if it has no name or nsgate does not know it.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Header(field) => Some(field.kind()),
            Self::Raw { bits, .. } => Some(Kind::integer(bits.div_ceil(8) as usize)),
            Self::Meta(key) => row_kind(META, key.0),
            Self::Ct(key, _) => row_kind(CT, key.0),
            Self::Route(key) => row_kind(ROUTE, *key),
            Self::Fib { flags, .. } if flags & FIB_PRESENT != 0 => Some(ValueType::Existence.kind()),
            Self::Fib { result, .. } => match result.0 {
                1 => Some(ValueType::InterfaceIndex.kind()),
                2 => Some(ValueType::InterfaceName.kind()),
                3 => Some(ValueType::FibType.kind()),
                _ => None,
            },
            Self::Option { present: true, .. } => Some(ValueType::Existence.kind()),
            Self::Option { kind, number, offset, length, .. } => OPTIONS
                .iter()
                .any(|o| (o.0, o.2, o.4, o.5) == (*kind, *number, *offset, *length))
                .then(|| Kind::integer(*length as usize)),
            Self::Number { .. } | Self::Hash { .. } => {
                Some(Kind { value_type: ValueType::Integer, length: 4, order: Order::Host })
            }
        }
    }

    /// The selector that stands under these words of `meta`.
    pub(super) fn meta(word: &str) -> Option<Self> {
        let alias = if word == "secpath" { "ipsec" } else { word };
        META.iter().find(|row| row.1 == alias).map(|row| Self::Meta(MetaKey(row.0)))
    }

    /// The selector that nft's users write without `meta` before it.
    pub(super) fn unqualified(word: &str) -> Option<Self> {
        let known = UNQUALIFIED.contains(&word)
            || ["mark", "iiftype", "oiftype", "skuid", "skgid", "nftrace", "rtclassid", "pkttype", "cpu", "cgroup"]
                .contains(&word);
        known.then(|| Self::meta(word))?
    }

    /// The selector that stands under these words of `ct`.
    pub(super) fn ct(words: &str, direction: Option<u8>) -> Option<Self> {
        CT.iter().find(|row| row.1 == words).map(|row| Self::Ct(CtKey(row.0), direction))
    }

    /// The selector that stands under these words of `rt`.
    pub(super) fn route(words: &str) -> Option<Self> {
        ROUTE.iter().find(|row| row.1 == words).map(|row| Self::Route(row.0))
    }

    /// The option of this name, or one field of it, in the header of this number.
    pub(super) fn option(kind: u32, name: &str, field: Option<&str>) -> Option<Self> {
        let row = OPTIONS.iter().find(|o| o.0 == kind && o.1 == name && field.is_none_or(|f| f == o.3))?;
        let (offset, length) = if field.is_some() { (row.4, row.5) } else { (0, 1) };
        Some(Self::Option { kind, number: row.2, offset, length, present: field.is_none() })
    }

    fn write_option(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Option { kind, number, offset, length, present } = self else { return Ok(()) };
        let (_, word, field_word) =
            OPTION_WORDS.iter().find(|w| w.0 == *kind).copied().unwrap_or((0, "option", "option"));
        let mut known = OPTIONS.iter().filter(|o| (o.0, o.2) == (*kind, *number));
        match known.clone().find(|o| (o.4, o.5) == (*offset, *length)) {
            Some(row) if !present => {
                write!(f, "{field_word}{}{} {}", if field_word.is_empty() { "" } else { " " }, row.1, row.3)
            }
            _ => match known.next() {
                Some(row) => write!(f, "{word} {}", row.1),
                None => write!(f, "{word} @{number},{},{}", offset * 8, length * 8),
            },
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(field) => write!(f, "{} {}", field.protocol.word(), field.name),
            Self::Raw { base, offset, bits } => write!(f, "@{},{offset},{bits}", header::base_word(*base)),
            Self::Meta(key) => match row_words(META, key.0) {
                Some(word) if UNQUALIFIED.contains(&word) => f.write_str(word),
                Some(word) => write!(f, "meta {word}"),
                None => write!(f, "meta {}", key.0),
            },
            Self::Ct(key, direction) => {
                let way = match direction {
                    None => "",
                    Some(0) => "original ",
                    Some(_) => "reply ",
                };
                match row_words(CT, key.0) {
                    Some(word) => write!(f, "ct {way}{word}"),
                    None => write!(f, "ct {way}{}", key.0),
                }
            }
            Self::Fib { result, flags } => {
                let words: Vec<_> =
                    FIB_FLAGS.iter().filter(|(_, bit)| flags & bit != 0).map(|(word, _)| *word).collect();
                let result = FIB_RESULTS.iter().find(|(_, r)| r == result).map_or("unknown", |(word, _)| word);
                write!(f, "fib {} {result}", words.join(" . "))
            }
            Self::Route(key) => match row_words(ROUTE, *key) {
                Some(words) => write!(f, "rt {words}"),
                None => write!(f, "rt {key}"),
            },
            Self::Option { .. } => self.write_option(f),
            Self::Number { random, modulus, offset } => {
                write!(f, "numgen {} mod {modulus}", if *random { "random" } else { "inc" })?;
                write_offset(f, *offset)
            }
            Self::Hash { of, modulus, seed, offset } => {
                if of.is_empty() {
                    write!(f, "symhash mod {modulus}")?;
                } else {
                    write!(f, "jhash {} mod {modulus}", super::text::operand(of))?;
                }
                if let Some(seed) = seed {
                    write!(f, " seed 0x{seed:x}")?;
                }
                write_offset(f, *offset)
            }
        }
    }
}

fn write_offset(f: &mut fmt::Formatter<'_>, offset: u32) -> fmt::Result {
    if offset == 0 { Ok(()) } else { write!(f, " offset {offset}") }
}

fn row_kind(rows: &[Row], key: u32) -> Option<Kind> {
    rows.iter().find(|row| row.0 == key).map(|row| Kind { value_type: row.2, length: row.3, order: row.4 })
}

fn row_words(rows: &[Row], key: u32) -> Option<&'static str> {
    rows.iter().find(|row| row.0 == key).map(|row| row.1)
}
