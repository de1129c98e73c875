//! Parameters of extensions that nft has no statements for, as iptables spells them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::{Expression, SetQuestion};
use super::info::Info;

/// The parameters of an extension, where they are known.
pub(crate) fn options(expression: &Expression) -> Option<String> {
    match expression {
        Expression::XtMatch { name, revision, info } => {
            let info = Info::new(info);
            match (name.as_str(), revision) {
                ("physdev", 0) => bridge_ports(&info),
                ("addrtype", 1) => address_types(&info),
                ("multiport", 1) => ports(&info),
                ("connlimit", 1) => connection_limit(&info),
                ("string", 1) => text_within(&info),
                _ => None,
            }
        }
        Expression::XtTarget { name, revision, info } => {
            let info = Info::new(info);
            match (name.as_str(), revision) {
                ("TPROXY", 1) => transparent_proxy(&info),
                ("TTL" | "HL", 0) => {
                    let way = if info.u8(0)? == 1 { "inc" } else { "dec" };
                    Some(format!("--{}-{way} {}", name.to_ascii_lowercase(), info.u8(1)?))
                }
                _ => None,
            }
        }
        Expression::XtSet { target: false, revision, info, names } => {
            Some(set_question(&SetQuestion::of_match(*revision, info)?, names.first()))
        }
        Expression::XtSet { target: true, revision, info, names } => Some(set_changes(*revision, info, names)),
        _ => None,
    }
}

/// What a rule asks of a set of ipset.
fn set_question(question: &SetQuestion, name: Option<&String>) -> String {
    let mut text = String::new();
    add(&mut text, question.inverted, &format!("--match-set {} {}", set_name(question, name), question.directions()));
    if question.excepted_counts {
        add(&mut text, false, "--return-nomatch");
    }
    text
}

/// What a rule does to sets of ipset.
fn set_changes(revision: u32, info: &[u8], names: &[String]) -> String {
    let mut text = String::new();
    let mut names = names.iter();
    let options = ["--add-set", "--del-set", "--map-set"];
    for (option, question) in options.iter().zip(SetQuestion::of_target(revision, info)) {
        let Some(question) = question else { continue };
        let name = set_name(&question, names.next());
        add(&mut text, false, &format!("{option} {name} {}", question.directions()));
    }
    text
}

/// The name of a set, or its number where that is all there is.
fn set_name(question: &SetQuestion, name: Option<&String>) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| format!("#{}", question.index), Clone::clone)
}

/// `struct xt_physdev_info`.
fn bridge_ports(info: &Info<'_>) -> Option<String> {
    let (inverted, asked) = (info.u8(64)?, info.u8(65)?);
    let mut text = String::new();
    let devices = [("--physdev-in", 0, 1), ("--physdev-out", 32, 2)];
    for (option, at, bit) in devices.into_iter().filter(|(.., bit)| asked & bit != 0) {
        let name = info.text(at, 16)?;
        // A mask that covers the name's closing zero stands for that name alone, otherwise for all that begin so.
        let alone = info.bytes(at + 16, 16)?.get(name.len()).is_some_and(|b| *b != 0);
        add(&mut text, inverted & bit != 0, &format!("{option} {name}{}", if alone { "" } else { "+" }));
    }
    let states = [("--physdev-is-bridged", 4), ("--physdev-is-in", 8), ("--physdev-is-out", 16)];
    for (option, bit) in states.into_iter().filter(|(_, bit)| asked & bit != 0) {
        add(&mut text, inverted & bit != 0, option);
    }
    Some(text)
}

/// `struct xt_addrtype_info_v1`.
fn address_types(info: &Info<'_>) -> Option<String> {
    const NAMES: [&str; 12] = [
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
        "THROW",
        "NAT",
        "XRESOLVE",
    ];
    let flags = info.u32(4)?;
    let mut text = String::new();
    for (option, at, bit) in [("--src-type", 0, 1), ("--dst-type", 2, 2)] {
        let types = info.u16(at)?;
        let names: Vec<_> =
            NAMES.iter().enumerate().filter(|(n, _)| types >> n & 1 == 1).map(|(_, name)| *name).collect();
        if !names.is_empty() {
            add(&mut text, flags & bit != 0, &format!("{option} {}", names.join(",")));
        }
    }
    for (option, bit) in [("--limit-iface-in", 4), ("--limit-iface-out", 8)] {
        if flags & bit != 0 {
            add(&mut text, false, option);
        }
    }
    Some(text)
}

/// `struct xt_multiport_v1`, for either port.
fn ports(info: &Info<'_>) -> Option<String> {
    let count = usize::from(info.u8(1)?).min(15);
    let mut list = String::new();
    for place in 0..count {
        let opens = info.u8(32 + place)? != 0;
        let end = if place + 1 == count { "" } else { "," };
        let _ = write!(list, "{}{}", info.u16(2 + 2 * place)?, if opens { ":" } else { end });
    }
    let mut text = String::new();
    let option = ["--sports", "--dports"].get(usize::from(info.u8(0)?)).copied().unwrap_or("--ports");
    add(&mut text, info.u8(47)? != 0, &format!("{option} {list}"));
    Some(text)
}

/// `struct xt_connlimit_info`.
fn connection_limit(info: &Info<'_>) -> Option<String> {
    let flags = info.u32(20)?;
    let side = if flags & 2 == 0 { "--connlimit-saddr" } else { "--connlimit-daddr" };
    let mask: u32 = info.bytes(0, 16)?.iter().map(|b| b.count_ones()).sum();
    let option = if flags & 1 == 0 { "--connlimit-above" } else { "--connlimit-upto" };
    Some(format!("{option} {} --connlimit-mask {mask} {side}", info.u32(16)?))
}

/// `struct xt_string_info`.
fn text_within(info: &Info<'_>) -> Option<String> {
    let length = usize::from(info.u8(20 + 128)?).min(128);
    let pattern = info.bytes(20, length)?;
    let plain = pattern.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    let mut text = String::new();
    let pattern = if plain {
        format!("--string \"{}\"", String::from_utf8_lossy(pattern).replace('"', "_"))
    } else {
        let digits: Vec<String> = pattern.iter().map(|b| format!("{b:02x}")).collect();
        format!("--hex-string |{}|", digits.concat())
    };
    add(&mut text, info.u8(20 + 129)? & 1 != 0, &format!("{pattern} --algo {}", info.text(4, 16)?));
    Some(text)
}

/// `struct xt_tproxy_target_info_v1`.
fn transparent_proxy(info: &Info<'_>) -> Option<String> {
    let (mask, mark) = (info.u32(0)?, info.u32(4)?);
    let address: [u8; 16] = info.bytes(8, 16)?.try_into().ok()?;
    let port = info.be16(24)?;
    let mut text = format!("--on-port {port}");
    if address != [0; 16] {
        let wide = address[4..].iter().any(|b| *b != 0);
        let [first, second, third, fourth, ..] = address;
        let on = if wide {
            Ipv6Addr::from(address).to_string()
        } else {
            Ipv4Addr::new(first, second, third, fourth).to_string()
        };
        add(&mut text, false, &format!("--on-ip {on}"));
    }
    if mask != 0 {
        add(&mut text, false, &format!("--tproxy-mark 0x{mark:x}/0x{mask:x}"));
    }
    Some(text)
}

fn add(text: &mut String, inverted: bool, option: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    if inverted {
        text.push_str("! ");
    }
    text.push_str(option);
}
