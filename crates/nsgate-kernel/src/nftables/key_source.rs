//! What the keys of a set are read from, where its maker said that (`typeof`) instead of a type.
//!
//! nft keeps it as rows within rows: the kind of expression by a number of its own, and that kind's parameters. The
//! numbers are nft's, told by what it writes for each field.

use std::fmt::Write as _;

use nsgate_core::model::ruleset::{CtKey, FibResult, MetaKey, Selector};

use super::user_data::{find, number};

/// How deep expressions may stand within one another.
const DEEPEST: usize = 2;

/// The row that says the kind of expression, and the one with its parameters.
const KIND: u8 = 0;
const PARAMETERS: u8 = 1;

/// nft's numbers of the kinds of expressions.
mod kind {
    pub(super) const PAYLOAD: u32 = 7;
    pub(super) const HEADER_OPTION: u32 = 8;
    pub(super) const META: u32 = 9;
    pub(super) const SOCKET: u32 = 10;
    pub(super) const FINGERPRINT: u32 = 11;
    pub(super) const CT: u32 = 12;
    pub(super) const CONCATENATION: u32 = 13;
    pub(super) const ROUTE: u32 = 25;
    pub(super) const FIB: u32 = 26;
    pub(super) const XFRM: u32 = 27;
}

/// The expression as nft writes it; none if it is of a kind that is not known.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    text_at(bytes, 0)
}

fn text_at(bytes: &[u8], depth: usize) -> Option<String> {
    let found = number(KIND, bytes)?;
    let parameters = find(PARAMETERS, bytes).unwrap_or_default();
    let first = || number(0, parameters);
    let second = || number(1, parameters);
    let selector = match found {
        kind::PAYLOAD => {
            let (word, fields) = PROTOCOLS.get(usize::try_from(first()?).ok()?.checked_sub(1)?)?;
            let field = fields.get(usize::try_from(second()?).ok()?.checked_sub(1)?)?;
            return Some(format!("{word} {field}"));
        }
        kind::HEADER_OPTION => return header_option(first()?, second()?, number(2, parameters)),
        kind::META => Selector::Meta(MetaKey(first()?)),
        kind::CT => Selector::Ct(CtKey(first()?), second().and_then(|way| u8::try_from(way).ok())),
        kind::SOCKET => Selector::Socket { key: first()?, level: None },
        kind::FINGERPRINT => return Some("osf name".into()),
        kind::ROUTE => Selector::Route(first()?),
        kind::FIB => Selector::Fib { result: FibResult(first()?), flags: second()? },
        kind::XFRM => {
            Selector::Xfrm { key: first()?, direction: u8::try_from(number(2, parameters)?).ok()?, number: second()? }
        }
        kind::CONCATENATION if depth < DEEPEST => return concatenation(parameters, depth),
        _ => return None,
    };
    Some(selector.to_string())
}

fn concatenation(parameters: &[u8], depth: usize) -> Option<String> {
    let mut text = String::new();
    for place in 0..=u8::MAX {
        let Some(part) = find(place, parameters) else { break };
        let separator = if place == 0 { "" } else { " . " };
        write!(text, "{separator}{}", text_at(part, depth + 1)?).ok()?;
    }
    (!text.is_empty()).then_some(text)
}

/// The options that sets are made for in practice: the segment size, and fields of the fragment header.
fn header_option(option: u32, field: u32, header: Option<u32>) -> Option<String> {
    const FRAGMENT: [&str; 6] = ["nexthdr", "reserved", "frag-off", "reserved2", "more-fragments", "id"];
    match (header, option, field) {
        (Some(1), 2, 2) => Some("tcp option maxseg size".into()),
        (None, 1, 1) => Some("hbh nexthdr".into()),
        (None, 6, field) => {
            let name = FRAGMENT.get(usize::try_from(field).ok()?.checked_sub(1)?)?;
            Some(format!("frag {name}"))
        }
        _ => None,
    }
}

/// The protocols by nft's number less one, each with its fields by their number less one.
const PROTOCOLS: [(&str, &[&str]); 17] = [
    ("ah", &["nexthdr", "hdrlength", "reserved", "spi", "sequence"]),
    ("esp", &["spi", "sequence"]),
    ("comp", &["nexthdr", "flags", "cpi"]),
    ("icmp", &["type", "code", "checksum", "id", "sequence", "gateway", "mtu"]),
    ("igmp", &["type", "checksum", "mrt", "group"]),
    ("udp", &["sport", "dport", "length", "checksum"]),
    ("udplite", &["sport", "dport", "csumcov", "checksum"]),
    ("tcp", &["sport", "dport", "sequence", "ackseq", "doff", "reserved", "flags", "window", "checksum", "urgptr"]),
    ("dccp", &["sport", "dport", "type"]),
    ("sctp", &["sport", "dport", "vtag", "checksum"]),
    ("th", &["sport", "dport"]),
    (
        "ip",
        &[
            "version",
            "hdrlength",
            "dscp",
            "ecn",
            "length",
            "id",
            "frag-off",
            "ttl",
            "protocol",
            "checksum",
            "saddr",
            "daddr",
        ],
    ),
    ("ip6", &["version", "dscp", "ecn", "flowlabel", "length", "nexthdr", "hoplimit", "saddr", "daddr"]),
    ("icmpv6", &["type", "code", "checksum", "parameter-problem", "mtu", "id", "sequence", "max-delay"]),
    ("arp", &["htype", "ptype", "hlen", "plen", "operation", "saddr ether", "saddr ip", "daddr ether", "daddr ip"]),
    ("vlan", &["pcp", "dei", "cfi", "id", "type"]),
    ("ether", &["daddr", "saddr", "type"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: kind, length and value.
    fn row(kind: u8, value: &[u8]) -> Vec<u8> {
        [&[kind, value.len() as u8][..], value].concat()
    }

    fn word(kind: u8, number: u32) -> Vec<u8> {
        row(kind, &number.to_ne_bytes())
    }

    fn expression(kind: u32, parameters: &[u8]) -> Vec<u8> {
        [word(0, kind), row(1, parameters)].concat()
    }

    #[test]
    fn what_nft_writes_is_read() {
        let address = expression(7, &[word(0, 12), word(1, 11)].concat());
        let tag = expression(7, &[word(0, 16), word(1, 4), word(4, 12)].concat());
        assert_eq!(text(&address).as_deref(), Some("ip saddr"));
        let both = expression(13, &[row(0, &address), row(1, &tag)].concat());
        assert_eq!(text(&both).as_deref(), Some("ip saddr . vlan id"));
        assert_eq!(text(&expression(9, &word(0, 3))).as_deref(), Some("meta mark"));
        assert_eq!(text(&expression(12, &[word(0, 14), word(1, 0)].concat())).as_deref(), Some("ct original packets"));
        assert_eq!(text(&expression(12, &[word(0, 3), word(1, !0)].concat())).as_deref(), Some("ct mark"));
        assert_eq!(text(&expression(26, &[word(0, 3), word(1, 2)].concat())).as_deref(), Some("fib daddr type"));
        assert_eq!(text(&expression(99, &[])), None);
        for end in 0..both.len() {
            assert_ne!(text(&both[..end]).as_deref(), Some("ip saddr . vlan id"));
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let mut deep = expression(9, &word(0, 3));
        for _ in 0..5 {
            deep = expression(13, &row(0, &deep));
        }
        assert_eq!(text(&deep), None);
    }
}
