//! Matches that ask about headers of transports, and about those between IPv6 and its transport.

use super::super::info::Info;
use super::addresses::{address, masked};
use super::{Words, names_of, range};

/// The flags of TCP.
const TCP_FLAGS: [(u32, &str); 6] = [(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG")];

/// Adds the parameters of a match; none if it is not one of these.
pub(super) fn spell(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("tcp", 0) => tcp(info, words),
        ("udp", 0) => ports(info, info.u8(8)?, [0, 4], words),
        ("tcpmss", 0) => words.say(info.u8(4)? != 0, format!("--mss {}", range(info.u16(0)?, info.u16(2)?))),
        ("ah", 0) if ipv6 => {
            indexes("--ahspi", info, info.u8(13)?, words)?;
            let length = info.u32(8)?;
            if length != 0 {
                words.say(info.u8(13)? & 2 != 0, format!("--ahlen {length}"));
            }
            flag(info.u8(12)? != 0, "--ahres", words)
        }
        ("ah", 0) => indexes("--ahspi", info, info.u8(8)?, words),
        ("esp", 0) => indexes("--espspi", info, info.u8(8)?, words),
        ("ipcomp", 0) => {
            indexes("--ipcompspi", info, info.u8(8)?, words)?;
            flag(info.u8(9)? != 0, "--compres", words)
        }
        ("dccp", 0) => dccp(info, words),
        ("sctp", 0) => sctp(info, words),
        ("dscp", 0) => words.say(info.u8(1)? != 0, format!("--dscp {:#04x}", info.u8(0)?)),
        ("tos", 1) => {
            let (mask, value) = (info.u8(0)?, info.u8(1)?);
            words.say(info.u8(2)? != 0, format!("--tos {value:#04x}/{mask:#04x}"))
        }
        ("ecn", 0) => ecn(info, words),
        ("ttl" | "hl", 0) => {
            let value = info.u8(1)?;
            let sign = ["eq", "eq", "lt", "gt"].get(usize::from(info.u8(0)?))?;
            words.say(info.u8(0)? == 1, format!("--{name}-{sign} {value}"))
        }
        ("dst" | "hbh", 0) => options(name, info, words),
        ("eui64", 0) => Some(()),
        ("frag", 0) => fragment(info, words),
        ("ipv6header", 0) => chain_of_headers(info, words),
        ("mh", 0) => {
            let types = range(info.u8(0)?, info.u8(1)?);
            let any = types == "0:255" && info.u8(2)? & 1 == 0;
            if !any {
                words.say(info.u8(2)? & 1 != 0, format!("--mh-type {types}"));
            }
            Some(())
        }
        ("rt", 0) => routing(info, words),
        ("srh", 0) => segments(info, [info.u16(6)?, info.u16(8)?], words),
        ("srh", 1) => segments(info, [info.u16(104)?, info.u16(106)?], words),
        _ => None,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the callers are arms of one match, most of which can fail")]
fn flag(set: bool, option: &str, words: &mut Words) -> Option<()> {
    if set {
        words.add(option);
    }
    Some(())
}

/// Ranges of ports at these places, source first.
fn ports(info: &Info<'_>, inverted: u8, places: [usize; 2], words: &mut Words) -> Option<()> {
    for ((option, bit), at) in [("--sport", 1), ("--dport", 2)].into_iter().zip(places) {
        let ends = (info.u16(at)?, info.u16(at + 2)?);
        if ends != (0, u16::MAX) || inverted & bit != 0 {
            words.say(inverted & bit != 0, format!("{option} {}", range(ends.0, ends.1)));
        }
    }
    Some(())
}

/// `struct xt_tcp`.
fn tcp(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let inverted = info.u8(11)?;
    ports(info, inverted, [0, 4], words)?;
    let (option, mask, compared) = (info.u8(8)?, info.u8(9)?, info.u8(10)?);
    if option != 0 || inverted & 8 != 0 {
        words.say(inverted & 8 != 0, format!("--tcp-option {option}"));
    }
    if mask != 0 || inverted & 4 != 0 {
        words.say(inverted & 4 != 0, tcp_flags(mask, compared));
    }
    Some(())
}

/// The flags that are looked at, and those of them that must be set.
pub(in super::super::super) fn tcp_flags(mask: u8, compared: u8) -> String {
    let names = |flags: u8| if flags == 0 { "NONE".to_owned() } else { names_of(flags.into(), &TCP_FLAGS) };
    format!("--tcp-flags {} {}", names(mask), names(compared))
}

/// A range of security parameter indexes at the beginning.
fn indexes(option: &str, info: &Info<'_>, inverted: u8, words: &mut Words) -> Option<()> {
    let (low, high) = (info.u32(0)?, info.u32(4)?);
    if (low, high) != (0, u32::MAX) || inverted & 1 != 0 {
        words.say(inverted & 1 != 0, format!("{option} {}", range(low, high)));
    }
    Some(())
}

/// `struct xt_dccp_info`, in which the destination's ports come first.
fn dccp(info: &Info<'_>, words: &mut Words) -> Option<()> {
    const TYPES: [&str; 11] =
        ["REQUEST", "RESPONSE", "DATA", "ACK", "DATAACK", "CLOSEREQ", "CLOSE", "RESET", "SYNC", "SYNCACK", "INVALID"];
    let (flags, inverted) = (info.u16(8)?, info.u16(10)?);
    for (option, at, bit) in [("--sport", 4, 1), ("--dport", 0, 2)] {
        if flags & bit != 0 {
            words.say(inverted & bit != 0, format!("{option} {}", range(info.u16(at)?, info.u16(at + 2)?)));
        }
    }
    if flags & 4 != 0 {
        let types = info.u16(12)?;
        let named = TYPES.iter().enumerate().filter(|(place, _)| types >> place & 1 == 1);
        let names: Vec<_> = named.map(|(_, name)| *name).collect();
        words.say(inverted & 4 != 0, format!("--dccp-types {}", names.join(",")));
    }
    if flags & 8 != 0 {
        words.say(inverted & 8 != 0, format!("--dccp-option {}", info.u8(14)?));
    }
    Some(())
}

/// `struct xt_sctp_info`, in which the destination's ports come first.
fn sctp(info: &Info<'_>, words: &mut Words) -> Option<()> {
    const CHUNKS: [(u8, &str); 21] = [
        (0, "DATA"),
        (1, "INIT"),
        (2, "INIT_ACK"),
        (3, "SACK"),
        (4, "HEARTBEAT"),
        (5, "HEARTBEAT_ACK"),
        (6, "ABORT"),
        (7, "SHUTDOWN"),
        (8, "SHUTDOWN_ACK"),
        (9, "ERROR"),
        (10, "COOKIE_ECHO"),
        (11, "COOKIE_ACK"),
        (12, "ECN_ECNE"),
        (13, "ECN_CWR"),
        (14, "SHUTDOWN_COMPLETE"),
        (64, "I_DATA"),
        (128, "ASCONF_ACK"),
        (130, "RE_CONFIG"),
        (192, "FORWARD_TSN"),
        (193, "ASCONF"),
        (194, "I_FORWARD_TSN"),
    ];
    let (flags, inverted) = (info.u32(284)?, info.u32(288)?);
    for (option, at, bit) in [("--sport", 4, 1), ("--dport", 0, 2)] {
        if flags & bit != 0 {
            words.say(inverted & bit != 0, format!("{option} {}", range(info.u16(at)?, info.u16(at + 2)?)));
        }
    }
    if flags & 4 != 0 {
        // Flags of single chunks are not spelled here.
        (info.u32(280)? == 0).then_some(())?;
        let how = match info.u32(264)? {
            1 => "any",
            2 => "all",
            4 => "only",
            _ => return None,
        };
        let bits: Vec<u32> = (0..8).map(|place| info.u32(8 + 4 * place)).collect::<Option<_>>()?;
        let has = |number: u8| bits[usize::from(number / 32)] >> (number % 32) & 1 == 1;
        let chunks = if bits.iter().all(|word| *word == u32::MAX) {
            "ALL".to_owned()
        } else {
            let name = |n: u8| {
                CHUNKS.iter().find(|(number, _)| *number == n).map_or(n.to_string(), |(_, name)| (*name).into())
            };
            (0..=u8::MAX).filter(|number| has(*number)).map(name).collect::<Vec<_>>().join(",")
        };
        words.say(inverted & 4 != 0, format!("--chunk-types {how} {chunks}"));
    }
    Some(())
}

/// `struct xt_ecn_info`.
fn ecn(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (asked, inverted) = (info.u8(0)?, info.u8(1)?);
    for (option, bit) in [("--ecn-tcp-ece", 0x10), ("--ecn-tcp-cwr", 0x20)] {
        if asked & bit != 0 {
            words.say(inverted & bit != 0, option);
        }
    }
    if asked & 1 != 0 {
        words.say(inverted & 1 != 0, format!("--ecn-ip-ect {}", info.u8(2)?));
    }
    Some(())
}

/// `struct ip6t_opts`: options for the destination, or for each hop.
fn options(name: &str, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (flags, inverted) = (info.u8(4)?, info.u8(5)?);
    if flags & 1 != 0 {
        words.say(inverted & 1 != 0, format!("--{name}-len {}", info.u32(0)?));
    }
    if flags & 2 != 0 {
        let count = usize::from(info.u8(38)?).min(16);
        let option = |place: usize| {
            let value = info.u16(6 + 2 * place)?;
            let (kind, length) = (value >> 8, value & 0xff);
            Some(if length == 0xff { kind.to_string() } else { format!("{kind}:{length}") })
        };
        let list: Vec<String> = (0..count).map(option).collect::<Option<_>>()?;
        words.add(format!("--{name}-opts {}", list.join(",")));
    }
    flag(flags & 4 != 0, &format!("--{name}-not-strict"), words)
}

/// `struct ip6t_frag`.
fn fragment(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (low, high, length) = (info.u32(0)?, info.u32(4)?, info.u32(8)?);
    let (flags, inverted) = (info.u8(12)?, info.u8(13)?);
    if (low, high) != (0, u32::MAX) {
        words.say(inverted & 1 != 0, format!("--fragid {}", range(low, high)));
    }
    if flags & 2 != 0 {
        words.say(inverted & 2 != 0, format!("--fraglen {length}"));
    }
    for (option, bit) in [("--fragres", 4), ("--fragfirst", 8), ("--fragmore", 0x10), ("--fraglast", 0x20)] {
        flag(flags & bit != 0, option, words)?;
    }
    Some(())
}

/// `struct ip6t_ipv6header_info`.
fn chain_of_headers(info: &Info<'_>, words: &mut Words) -> Option<()> {
    const NAMES: [(u32, &str); 8] = [
        (0x80, "hop-by-hop"),
        (0x40, "ipv6-opts"),
        (0x20, "ipv6-route"),
        (0x10, "ipv6-frag"),
        (8, "ah"),
        (4, "esp"),
        (2, "ipv6-nonxt"),
        (1, "prot"),
    ];
    words.say(info.u8(1)? != 0, format!("--header {}", names_of(info.u8(0)?.into(), &NAMES)));
    flag(info.u8(2)? != 0, "--soft", words)
}

/// `struct ip6t_rt`, as far as no addresses are asked for.
fn routing(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (flags, inverted) = (info.u8(16)?, info.u8(17)?);
    (flags & 0x30 == 0).then_some(())?;
    if flags & 1 != 0 {
        words.say(inverted & 1 != 0, format!("--rt-type {}", info.u32(0)?));
    }
    let (low, high) = (info.u32(4)?, info.u32(8)?);
    if (low, high) != (0, u32::MAX) {
        words.say(inverted & 2 != 0, format!("--rt-segsleft {}", range(low, high)));
    }
    if flags & 4 != 0 {
        words.say(inverted & 4 != 0, format!("--rt-len {}", info.u32(12)?));
    }
    flag(flags & 8 != 0, "--rt-0-res", words)
}

/// `struct ip6t_srh` and its successor, whose flags stand elsewhere.
fn segments(info: &Info<'_>, [flags, inverted]: [u16; 2], words: &mut Words) -> Option<()> {
    let questions: [(&str, u16, u16); 11] = [
        ("--srh-next-hdr", 0x001, info.u8(0)?.into()),
        ("--srh-hdr-len-eq", 0x002, info.u8(1)?.into()),
        ("--srh-hdr-len-gt", 0x004, info.u8(1)?.into()),
        ("--srh-hdr-len-lt", 0x008, info.u8(1)?.into()),
        ("--srh-segs-left-eq", 0x010, info.u8(2)?.into()),
        ("--srh-segs-left-gt", 0x020, info.u8(2)?.into()),
        ("--srh-segs-left-lt", 0x040, info.u8(2)?.into()),
        ("--srh-last-entry-eq", 0x080, info.u8(3)?.into()),
        ("--srh-last-entry-gt", 0x100, info.u8(3)?.into()),
        ("--srh-last-entry-lt", 0x200, info.u8(3)?.into()),
        ("--srh-tag", 0x400, info.u16(4)?),
    ];
    for (option, bit, value) in questions.into_iter().filter(|(_, bit, _)| flags & bit != 0) {
        words.say(inverted & bit != 0, format!("{option} {value}"));
    }
    for (option, place, bit) in [("--srh-psid", 0, 0x800), ("--srh-nsid", 1, 0x1000), ("--srh-lsid", 2, 0x2000)] {
        if flags & bit != 0 {
            let end = |at| address(info, at, true);
            let text = masked(end(8 + 16 * place)?, end(56 + 16 * place)?);
            words.say(inverted & bit != 0, format!("{option} {text}"));
        }
    }
    Some(())
}
