//! How a value of each type reads, and the value that is meant by a word.
//!
//! Values are given here with the most significant byte first, whatever order the kernel keeps them in.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::symbol::symbols;
use super::value_type::{Kind, ValueType};

/// The value as nft writes it.
pub fn show(kind: Kind, bytes: &[u8]) -> String {
    let number = number(bytes);
    match kind.value_type {
        ValueType::Ipv4Address => {
            <[u8; 4]>::try_from(bytes).map_or_else(|_| hex(bytes), |b| Ipv4Addr::from(b).to_string())
        }
        ValueType::Ipv6Address => {
            <[u8; 16]>::try_from(bytes).map_or_else(|_| hex(bytes), |b| Ipv6Addr::from(b).to_string())
        }
        ValueType::EtherAddress | ValueType::LinkAddress => {
            bytes.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
        }
        ValueType::InterfaceName | ValueType::Text => interface_name(kind, bytes),
        ValueType::InterfaceIndex if number == Some(1) => "\"lo\"".into(),
        ValueType::Mark => number.map_or_else(|| hex(bytes), |n| format!("0x{n:08x}")),
        ValueType::ClassId => number.map_or_else(|| hex(bytes), |n| format!("{:x}:{:x}", n >> 16, n & 0xffff)),
        ValueType::Time => number.map_or_else(|| hex(bytes), duration),
        ValueType::Date => number.map_or_else(|| hex(bytes), date),
        ValueType::CtLabel => labels(bytes),
        flags if flags.is_flags() => number.map_or_else(|| hex(bytes), |n| show_flags(flags, n)),
        named => match number {
            Some(number) => symbol(named, number).map_or_else(
                || if named == ValueType::EtherType { format!("0x{number:04x}") } else { number.to_string() },
                ToOwned::to_owned,
            ),
            None => hex(bytes),
        },
    }
}

/// All values from one to another as nft writes them; names with a dash in them could not be told apart there.
pub fn show_range(kind: Kind, low: &[u8], high: &[u8]) -> String {
    let [first, last] = [low, high].map(|end| show(kind, end));
    let named = !symbols(kind.value_type).is_empty();
    match (number(low), number(high)) {
        (Some(low), Some(high)) if named && (first.contains('-') || last.contains('-')) => format!("{low}-{high}"),
        _ => format!("{first}-{last}"),
    }
}

/// The value of this type that a word stands for.
pub fn read(kind: Kind, word: &str) -> Option<Vec<u8>> {
    match kind.value_type {
        ValueType::Ipv4Address => Some(word.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        ValueType::Ipv6Address => Some(word.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        ValueType::EtherAddress | ValueType::LinkAddress => ether_address(word),
        ValueType::InterfaceName | ValueType::Text => {
            let mut bytes = word.as_bytes().to_vec();
            (bytes.len() < kind.length).then(|| bytes.resize(kind.length, 0))?;
            Some(bytes)
        }
        ValueType::InterfaceIndex if word == "lo" => fitting(kind, 1),
        ValueType::ClassId => {
            let (major, minor) = word.split_once(':')?;
            let [major, minor] = [major, minor].map(|half| u16::from_str_radix(half, 16).ok());
            fitting(kind, u64::from(major?) << 16 | u64::from(minor?))
        }
        ValueType::Time => fitting(kind, read_duration(word)?),
        ValueType::Date => fitting(kind, read_number(word)?.checked_mul(NANOSECONDS)?),
        ValueType::CtLabel => label(kind, read_number(word)?),
        named => fitting(kind, from_symbol(named, word).or_else(|| read_number(word))?),
    }
}

/// The number that these bytes are, if it has no more than 64 bits.
pub fn number(bytes: &[u8]) -> Option<u64> {
    let significant = bytes.iter().position(|b| *b != 0).map_or(&[][..], |first| &bytes[first..]);
    (significant.len() <= 8).then(|| significant.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// A number as bytes of the kind's length, if it fits in them.
pub fn fitting(kind: Kind, number: u64) -> Option<Vec<u8>> {
    let bytes = number.to_be_bytes();
    if kind.length >= 8 {
        return Some([vec![0; kind.length - 8], bytes.to_vec()].concat());
    }
    let (rest, value) = bytes.split_at(8 - kind.length);
    rest.iter().all(|b| *b == 0).then(|| value.to_vec())
}

/// A number in decimal or, after `0x`, in hexadecimal digits.
pub fn read_number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.bytes().all(|b| b.is_ascii_digit()) => word.parse().ok(),
        None => None,
    }
}

/// A span of milliseconds in nft's way: `1d2h3m4s5ms`.
pub fn duration(mut milliseconds: u64) -> String {
    let mut text = String::new();
    for (unit, length) in DURATIONS {
        let count = milliseconds / length;
        milliseconds %= length;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// The milliseconds of a span as [`duration`] writes it; a bare number counts seconds.
pub fn read_duration(word: &str) -> Option<u64> {
    if let Some(seconds) = read_number(word) {
        return seconds.checked_mul(1000);
    }
    let mut rest = word;
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let length = DURATIONS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(count.parse::<u64>().ok()?.checked_mul(length)?)?;
        rest = tail;
    }
    Some(total)
}

/// How many nanoseconds a second has.
const NANOSECONDS: u64 = 1_000_000_000;

const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The name of a value of this type.
pub fn symbol(value_type: ValueType, number: u64) -> Option<&'static str> {
    symbols(value_type).iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

fn from_symbol(value_type: ValueType, name: &str) -> Option<u64> {
    let alias = match (value_type, name) {
        (ValueType::InetProtocol, "icmpv6") => Some(58),
        (ValueType::EtherType, "vlan") => Some(0x8100),
        (ValueType::Icmp6Type, "mld-listener-reduction") => Some(132),
        (ValueType::PacketType, "unicast") | (ValueType::Dscp, "be" | "df") => Some(0),
        _ => None,
    };
    alias.or_else(|| symbols(value_type).iter().find(|(n, _)| *n == name).map(|(_, number)| *number))
}

/// A point in time as nft takes it: seconds since 1970, where it prints the local time.
fn date(nanoseconds: u64) -> String {
    match (nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS) {
        (seconds, 0) => seconds.to_string(),
        (seconds, rest) => format!("{seconds}.{rest:09}"),
    }
}

/// The labels among these bits, by their numbers.
fn labels(bytes: &[u8]) -> String {
    let of_byte = |(place, byte): (usize, &u8)| {
        let byte = *byte;
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| (place * 8 + bit).to_string())
    };
    let numbers: Vec<String> = bytes.iter().rev().enumerate().flat_map(of_byte).collect();
    if numbers.is_empty() { hex(bytes) } else { numbers.join(",") }
}

fn label(kind: Kind, number: u64) -> Option<Vec<u8>> {
    let number = usize::try_from(number).ok().filter(|number| *number < kind.length * 8)?;
    let mut bytes = vec![0; kind.length];
    bytes[kind.length - 1 - number / 8] = 1 << (number % 8);
    Some(bytes)
}

fn show_flags(value_type: ValueType, number: u64) -> String {
    let known = symbols(value_type);
    let mut names: Vec<String> =
        known.iter().filter(|(_, bit)| number & bit == *bit).map(|(name, _)| (*name).to_owned()).collect();
    let rest = known.iter().fold(number, |rest, (_, bit)| rest & !bit);
    if rest != 0 || names.is_empty() {
        names.push(format!("0x{rest:x}"));
    }
    names.join(",")
}

fn interface_name(kind: Kind, bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0);
    let name = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]);
    let wildcard = end.is_none() && bytes.len() < kind.length;
    let plain: String = name.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).collect();
    // A star within a name would be read as a wildcard.
    let plain = if plain.ends_with('*') && !wildcard { format!("{}\\*", plain.trim_end_matches('*')) } else { plain };
    format!("\"{plain}{}\"", if wildcard { "*" } else { "" })
}

fn ether_address(word: &str) -> Option<Vec<u8>> {
    let octets: Option<Vec<u8>> =
        word.split(':').map(|pair| (pair.len() <= 2).then(|| u8::from_str_radix(pair, 16).ok())?).collect();
    octets.filter(|o| o.len() == 6)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn both(value_type: ValueType, bytes: &[u8], text: &str) {
        assert_eq!(show(value_type.kind(), bytes), text);
        assert_eq!(read(value_type.kind(), text.trim_matches('"')).as_deref(), Some(bytes));
    }

    #[test]
    fn values_read_as_nft_writes_them() {
        both(ValueType::Ipv4Address, &[1, 1, 1, 2], "1.1.1.2");
        both(ValueType::Mark, &[0, 0, 0, 16], "0x00000010");
        both(ValueType::IcmpType, &[8], "echo-request");
        both(ValueType::EtherType, &[0x88, 0xcc], "0x88cc");
        both(ValueType::EtherAddress, &[2, 0, 0, 0, 0, 1], "02:00:00:00:00:01");
        both(ValueType::InterfaceIndex, &[0, 0, 0, 1], "\"lo\"");
        both(ValueType::InterfaceName, b"eth2\0\0\0\0\0\0\0\0\0\0\0\0", "\"eth2\"");
        both(ValueType::ClassId, &[0, 1, 0, 0x10], "1:10");
        both(ValueType::Time, &[0, 0, 0, 0, 0, 1, 0x11, 0x70], "1m10s");
        both(ValueType::InetProtocol, &[99], "99");
        assert_eq!(show(ValueType::CtState.kind(), &[0, 0, 0, 6]), "established,related");
        assert_eq!(show(ValueType::CtState.kind(), &[0, 0, 1, 1]), "invalid,0x100");
        assert_eq!(show(ValueType::InterfaceName.kind(), b"veth"), "\"veth*\"");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(read(ValueType::InetService.kind(), "65536"), None);
        assert_eq!(read(ValueType::InterfaceName.kind(), "sixteen-bytes-xx"), None);
        assert_eq!(read(ValueType::Mark.kind(), "0x100000000"), None);
        assert_eq!(read(ValueType::EtherAddress.kind(), "02:00:00:00:00"), None);
        assert_eq!(read_duration("99999999999999999999d"), None);
        assert_eq!(read_duration("5x"), None);
    }
}
