//! What a rule can ask about: the fields of headers, what the kernel knows of the packet, its connection and its route.
//!
//! A [`Selector`] is the nameable form of a loading instruction. The tables of the names are in
//! [`header`] (fields of protocol headers) and here.

use std::fmt;

use super::header::{self, HeaderField};
use super::header_option::{self, CHUNK_FIELDS};
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
        /// How far into the option, in bits.
        offset: u32,
        /// How many bits.
        bits: u32,
        /// Only whether it is there.
        present: bool,
    },
    /// What the kernel knows of the local socket that the packet belongs to (NFT_SOCKET_*).
    Socket {
        /// What.
        key: u32,
        /// At which depth of the control groups.
        level: Option<u32>,
    },
    /// The sender's system as its first packet betrays it.
    Fingerprint {
        /// How the time to live is judged (NF_OSF_TTL_*).
        ttl: u8,
        /// With the system's version (1).
        flags: u32,
    },
    /// What the kernel knows of the packet's IPsec transformation (NFT_XFRM_KEY_*).
    Xfrm {
        /// What.
        key: u32,
        /// Of the packet's way in (0) or out (1).
        direction: u8,
        /// Of which of several transformations.
        number: u32,
    },
    /// An address of the packet's connection, of the family of the table.
    CtAddress {
        /// The source; otherwise the destination.
        source: bool,
        /// Of the reply; otherwise of the original direction.
        reply: bool,
        /// It is IPv6's.
        wide: bool,
    },
    /// What the kernel knows of the tunnel that the packet came by (NFT_TUNNEL_*).
    Tunnel {
        /// What.
        key: u32,
        /// Of the way in (1), out (2) or both (0).
        mode: u32,
    },
    /// Something of the packet within a tunnel's packet.
    Inner {
        /// The kind of tunnel.
        tunnel: &'static str,
        /// What of the packet inside.
        selector: Box<Selector>,
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

/// What can be asked of an IPsec transformation: key, words, type, order.
const XFRM: &[(u32, &str, ValueType, Order)] = &[
    (1, "ip daddr", ValueType::Ipv4Address, Order::Network),
    (2, "ip6 daddr", ValueType::Ipv6Address, Order::Network),
    (3, "ip saddr", ValueType::Ipv4Address, Order::Network),
    (4, "ip6 saddr", ValueType::Ipv6Address, Order::Network),
    (5, "reqid", ValueType::Integer, Order::Host),
    (6, "spi", ValueType::Integer, Order::Network),
];

/// The keys of meta that nft writes without the word `meta` before them.
const UNQUALIFIED: [&str; 6] = ["iif", "oif", "iifname", "oifname", "iifgroup", "oifgroup"];

/// What the routing table is asked with, in nft's order.
pub(super) const FIB_FLAGS: [(&str, u32); 5] = [("saddr", 1), ("daddr", 2), ("mark", 4), ("iif", 8), ("oif", 16)];

/// The answer of the routing table is only whether there is one (NFTA_FIB_F_PRESENT).
pub(super) const FIB_PRESENT: u32 = 32;

/// What the routing table can be asked for.
pub(super) const FIB_RESULTS: [(&str, FibResult); 3] =
    [("oif", FibResult(1)), ("oifname", FibResult(2)), ("type", FibResult(3))];

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
            Self::Option { kind, number, offset, bits, .. } => {
                let value_type = header_option::field_at(*kind, *number, *offset, *bits)
                    .map_or(ValueType::Integer, |field| field.value_type);
                Some(Kind { value_type, ..Kind::integer(bits.div_ceil(8) as usize) })
            }
            Self::Socket { key, .. } => match key {
                0 | 2 => Some(Kind { value_type: ValueType::Integer, length: 1, order: Order::Host }),
                1 => Some(ValueType::Mark.kind()),
                3 => Some(ValueType::Cgroup.kind()),
                _ => None,
            },
            Self::Fingerprint { .. } => Some(ValueType::Text.kind()),
            Self::Xfrm { key, .. } => {
                XFRM.iter().find(|row| row.0 == *key).map(|row| Kind { order: row.3, ..row.2.kind() })
            }
            Self::CtAddress { wide, .. } => {
                Some(if *wide { ValueType::Ipv6Address } else { ValueType::Ipv4Address }.kind())
            }
            Self::Tunnel { key, .. } => match key {
                0 => Some(ValueType::Existence.kind()),
                1 => Some(Kind { value_type: ValueType::Integer, length: 4, order: Order::Host }),
                _ => None,
            },
            Self::Inner { selector, .. } => selector.kind(),
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
        let Some(field) = field else {
            let number = header_option::option_number(kind, name)?;
            return Some(Self::Option { kind, number, offset: 0, bits: 8, present: true });
        };
        if let Some(row) = header_option::field_named(kind, name, field) {
            return Some(Self::Option { kind, number: row.number, offset: row.offset, bits: row.bits, present: false });
        }
        let number = header_option::option_number(kind, name)?;
        let (_, offset, bits) =
            CHUNK_FIELDS.iter().find(|(name, ..)| kind == header_option::SCTP && *name == field).copied()?;
        Some(Self::Option { kind, number, offset, bits, present: false })
    }

    /// The bytes that hold it: offset and length, where it is a field of the packet.
    pub(super) fn bytes(&self) -> Option<(u32, u32)> {
        let (offset, bits) = self.place()?;
        let first = offset / 8;
        Some((first, offset.checked_add(bits)?.div_ceil(8) - first))
    }

    /// Its bits within these bytes, and how far they are from the last one; none if it fills them.
    pub(super) fn mask(&self) -> Option<(Vec<u8>, u32)> {
        let (offset, bits) = self.place()?;
        header::mask_within(offset, bits)
    }

    /// Where it begins and how many bits it has, where it is a field of the packet.
    fn place(&self) -> Option<(u32, u32)> {
        match self {
            Self::Header(field) => Some((field.offset, field.bits)),
            Self::Raw { offset, bits, .. } | Self::Option { offset, bits, present: false, .. } => {
                Some((*offset, *bits))
            }
            _ => None,
        }
    }

    fn write_option(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Option { kind, number, offset, bits, present } = self else { return Ok(()) };
        let (whole, of_field) = header_option::words_before(*kind);
        let word = header_option::option_word(*kind, *number);
        if *present {
            return match word {
                Some(word) => write!(f, "{whole}{word}"),
                None => write!(f, "{whole}{number}"),
            };
        }
        if let Some(field) = header_option::field_at(*kind, *number, *offset, *bits) {
            return write!(f, "{of_field}{} {}", field.option, field.name);
        }
        let common = CHUNK_FIELDS.iter().find(|(_, at, much)| (at, much) == (offset, bits));
        if let (Some(word), Some((name, ..)), header_option::SCTP) = (word, common, *kind) {
            return write!(f, "{of_field}{word} {name}");
        }
        write!(f, "{of_field}@{number},{offset},{bits}")
    }

    /// What is rarely met.
    fn write_rarely(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { key, level } => match (key, level) {
                (0, _) => f.write_str("socket transparent"),
                (1, _) => f.write_str("socket mark"),
                (2, _) => f.write_str("socket wildcard"),
                (_, Some(level)) => write!(f, "socket cgroupv2 level {level}"),
                (key, None) => write!(f, "socket {key}"),
            },
            Self::Fingerprint { ttl, flags } => {
                let ttl = ["", "loose ", "skip "].get(usize::from(*ttl)).copied().unwrap_or("");
                let ttl = if ttl.is_empty() { String::new() } else { format!("ttl {ttl}") };
                write!(f, "osf {ttl}{}", if flags & 1 == 0 { "name" } else { "version" })
            }
            Self::Xfrm { key, direction, number } => {
                let way = if *direction == 0 { "in" } else { "out" };
                let number = if *number == 0 { String::new() } else { format!(" spnum {number}") };
                match XFRM.iter().find(|row| row.0 == *key) {
                    Some(row) => write!(f, "ipsec {way}{number} {}", row.1),
                    None => write!(f, "ipsec {way}{number} {key}"),
                }
            }
            Self::CtAddress { source, reply, .. } => {
                let way = if *reply { "reply" } else { "original" };
                write!(f, "ct {way} {}", if *source { "saddr" } else { "daddr" })
            }
            Self::Tunnel { key, .. } => match key {
                0 => f.write_str("tunnel path"),
                1 => f.write_str("tunnel id"),
                key => write!(f, "tunnel {key}"),
            },
            Self::Inner { tunnel, selector } => write!(f, "{tunnel} {selector}"),
            _ => Ok(()),
        }
    }

    fn write_number(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
            _ => Ok(()),
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
            Self::Number { .. } | Self::Hash { .. } => self.write_number(f),
            other => other.write_rarely(f),
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
