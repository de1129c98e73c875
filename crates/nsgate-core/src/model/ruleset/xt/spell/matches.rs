//! Matches that ask about the packet, its ports and surroundings.

use std::fmt::Write as _;

use super::super::super::SetQuestion;
use super::super::info::Info;
use super::addresses::address;
use super::{Words, names_of, range};

/// The kinds of addresses, by number.
const ADDRESS_TYPES: [&str; 12] = [
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

/// Adds the parameters of a match; none if it is not one of these.
pub(super) fn spell(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("addrtype", 0 | 1) => address_types(revision, info, words),
        ("bpf", 0 | 1) => program(revision, info, words),
        ("cgroup", 0..=2) => cgroup(revision, info, words),
        ("comment", 0) => {
            words.add(format!("--comment {}", quoted(&info.text(0, 256)?)));
            Some(())
        }
        ("cpu", 0) => words.say(info.u32(4)? != 0, format!("--cpu {}", info.u32(0)?)),
        ("devgroup", 0) => device_groups(info, words),
        ("icmp" | "icmp6", 0) => icmp(name, info, words),
        ("iprange", 1) => {
            let flags = info.u8(64)?;
            for (option, at, bit) in [("--src-range", 0, 1), ("--dst-range", 32, 2)] {
                if flags & bit != 0 {
                    let ends = (address(info, at, ipv6)?, address(info, at + 16, ipv6)?);
                    words.say(flags & bit << 4 != 0, format!("{option} {}-{}", ends.0, ends.1));
                }
            }
            Some(())
        }
        ("length", 0) => words.say(info.u8(4)? != 0, format!("--length {}", range(info.u16(0)?, info.u16(2)?))),
        ("mac", 0) => {
            let octets: Vec<String> = info.bytes(0, 6)?.iter().map(|octet| format!("{octet:02x}")).collect();
            words.say(info.u32(8)? != 0, format!("--mac-source {}", octets.join(":")))
        }
        ("mark", 1) => words.say(info.u8(8)? != 0, format!("--mark {}", mark(info.u32(0)?, info.u32(4)?))),
        ("multiport", 1) => multiport(info, words),
        _ => None,
    }
}

/// The same for those that ask less usual things.
pub(super) fn spell_surroundings(
    name: &str,
    revision: u32,
    info: &Info<'_>,
    ipv6: bool,
    words: &mut Words,
) -> Option<()> {
    match (name, revision) {
        ("osf", 0) => fingerprint(info, words),
        ("owner", 1) => owner(info, words),
        ("physdev", 0) => bridge_ports(info, words),
        ("pkttype", 0) => {
            let kind = info.u32(0)?;
            let kind = ["unicast", "broadcast", "multicast"].get(kind as usize)?;
            words.say(info.u32(4)? != 0, format!("--pkt-type {kind}"))
        }
        ("policy", 0) => policy(info, ipv6, words),
        ("rpfilter", 0) => {
            let flags = info.u8(0)?;
            for (option, bit) in [("--loose", 1), ("--validmark", 2), ("--accept-local", 4), ("--invert", 8)] {
                if flags & bit != 0 {
                    words.add(option);
                }
            }
            Some(())
        }
        ("realm", 0) => {
            let mask = info.u32(4)?;
            let mask = if mask == u32::MAX { String::new() } else { format!("/{mask:#x}") };
            words.say(info.u8(8)? != 0, format!("--realm {:#x}{mask}", info.u32(0)?))
        }
        ("socket", 0) => Some(()),
        ("socket", 1..=3) => {
            let flags = info.u8(0)?;
            for (option, bit) in [("--transparent", 1), ("--nowildcard", 2), ("--restore-skmark", 4)] {
                if flags & bit != 0 {
                    words.add(option);
                }
            }
            Some(())
        }
        ("string", 1) => text_within(info, words),
        ("time", 0) => time(info, words),
        ("u32", 0) => arithmetic(info, words),
        _ => None,
    }
}

/// A mark, with its mask where that leaves bits out.
pub(super) fn mark(value: u32, mask: u32) -> String {
    if mask == u32::MAX { format!("{value:#x}") } else { format!("{value:#x}/{mask:#x}") }
}

/// A text as iptables-save writes it: in quotes unless it is a plain word.
pub(in super::super::super) fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars().map(|c| if c.is_control() { '?' } else { c }) {
        if matches!(c, '"' | '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// What a rule asks of a set of ipset; none if it asks for what is not known here.
pub(super) fn set_question(revision: u32, info: &[u8], names: &[String]) -> Option<String> {
    let question = SetQuestion::of_match(revision, info)?;
    let mut words = Words::default();
    let name = set_name(&question, names.first());
    words.say(question.inverted, format!("--match-set {name} {}", question.directions()));
    if question.only_exceptions {
        words.add("--return-nomatch");
    }
    let flags = if revision >= 3 { Info::new(info).u32(40)? } else { 0 };
    for (option, bit) in [("--update-counters", 8), ("--update-subcounters", 16)] {
        if flags & bit != 0 {
            words.say(true, option);
        }
    }
    (!question.counters).then(|| words.text())
}

/// What a rule does to sets of ipset.
pub(super) fn set_changes(revision: u32, info: &[u8], names: &[String]) -> Option<String> {
    let mut words = Words::default();
    let mut names = names.iter();
    let options = ["--add-set", "--del-set", "--map-set"];
    for (option, question) in options.iter().zip(SetQuestion::of_target(revision, info)) {
        let Some(question) = question else { continue };
        words.add(format!("{option} {} {}", set_name(&question, names.next()), question.directions()));
    }
    let at = match revision {
        2 => 8,
        3 => 12,
        _ => return Some(words.text()),
    };
    let (flags, timeout) = (Info::new(info).u32(at)?, Info::new(info).u32(at + 4)?);
    for (option, bit) in [("--exist", 1), ("--map-mark", 0x100), ("--map-prio", 0x200), ("--map-queue", 0x400)] {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    if timeout != u32::MAX {
        words.add(format!("--timeout {timeout}"));
    }
    Some(words.text())
}

/// The name of a set, or its number where that is all there is.
fn set_name(question: &SetQuestion, name: Option<&String>) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| format!("#{}", question.index), Clone::clone)
}

/// `struct xt_addrtype_info_v1` and its forerunner.
fn address_types(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let flags = match revision {
        0 => u32::from(info.u32(4)? != 0) | u32::from(info.u32(8)? != 0) << 1,
        _ => info.u32(4)?,
    };
    for (option, at, bit) in [("--src-type", 0, 1), ("--dst-type", 2, 2)] {
        let types = info.u16(at)?;
        let named = ADDRESS_TYPES.iter().enumerate().filter(|(number, _)| types >> number & 1 == 1);
        let names: Vec<_> = named.map(|(_, name)| *name).collect();
        if !names.is_empty() {
            words.say(flags & bit != 0, format!("{option} {}", names.join(",")));
        }
    }
    for (option, bit) in [("--limit-iface-in", 4), ("--limit-iface-out", 8)] {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}

/// `struct xt_bpf_info_v1` and its forerunner.
fn program(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    /// The most instructions that there is room for.
    const MOST: u16 = 64;
    let (mode, count, first) = if revision == 0 { (0, info.u16(0)?, 4) } else { (info.u16(0)?, info.u16(2)?, 8) };
    if mode == 2 {
        words.add(format!("--object-pinned {}", quoted(&info.text(first, 512)?)));
        return Some(());
    }
    (mode == 0 && count <= MOST).then_some(())?;
    let mut text = count.to_string();
    for place in 0..usize::from(count) {
        let at = first + 8 * place;
        let _ = write!(text, ",{} {} {} {}", info.u16(at)?, info.u8(at + 2)?, info.u8(at + 3)?, info.u32(at + 4)?);
    }
    words.add(format!("--bytecode \"{text}\""));
    Some(())
}

/// `struct xt_cgroup_info_v2` and its forerunners.
fn cgroup(revision: u32, info: &Info<'_>, words: &mut Words) -> Option<()> {
    if revision == 0 {
        return words.say(info.u32(4)? != 0, format!("--cgroup {}", info.u32(0)?));
    }
    let (length, class) = if revision == 1 { (4096, 4 + 4096) } else { (512, 4) };
    if info.u8(0)? != 0 {
        words.say(info.u8(2)? != 0, format!("--path {}", quoted(&info.text(4, length)?)));
    }
    if info.u8(1)? != 0 {
        words.say(info.u8(3)? != 0, format!("--cgroup {}", info.u32(class)?));
    }
    Some(())
}

/// `struct xt_devgroup_info`.
fn device_groups(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let flags = info.u32(0)?;
    for (option, at, bit) in [("--src-group", 4, 1), ("--dst-group", 12, 4)] {
        if flags & bit != 0 {
            words.say(flags & bit << 1 != 0, format!("{option} {}", mark(info.u32(at)?, info.u32(at + 4)?)));
        }
    }
    Some(())
}

/// `struct ipt_icmp` and `struct ip6t_icmp`.
fn icmp(name: &str, info: &Info<'_>, words: &mut Words) -> Option<()> {
    let option = if name == "icmp" { "--icmp-type" } else { "--icmpv6-type" };
    let (kind, low, high, inverted) = (info.u8(0)?, info.u8(1)?, info.u8(2)?, info.u8(3)? & 1 != 0);
    let text = match (kind, low, high) {
        (255, 0, 255) if name == "icmp" => "any".to_owned(),
        (_, 0, 255) => kind.to_string(),
        _ => format!("{kind}/{low}"),
    };
    words.say(inverted, format!("{option} {text}"))
}

/// `struct xt_multiport_v1`.
fn multiport(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let count = usize::from(info.u8(1)?).min(15);
    let mut list = String::new();
    for place in 0..count {
        let opens = info.u8(32 + place)? != 0;
        let end = if place + 1 == count { "" } else { "," };
        let _ = write!(list, "{}{}", info.u16(2 + 2 * place)?, if opens { ":" } else { end });
    }
    let option = ["--sports", "--dports"].get(usize::from(info.u8(0)?)).copied().unwrap_or("--ports");
    words.say(info.u8(47)? != 0, format!("{option} {list}"))
}

/// `struct nf_osf_info`.
fn fingerprint(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let flags = info.u32(36)?;
    words.say(flags & 8 != 0, format!("--genre {}", info.text(0, 32)?));
    if flags & 2 != 0 {
        words.add(format!("--ttl {}", info.u32(44)?));
    }
    if flags & 4 != 0 {
        words.add(format!("--log {}", info.u32(40)?));
    }
    Some(())
}

/// `struct xt_owner_match_info`.
fn owner(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (asked, inverted) = (info.u8(16)?, info.u8(17)?);
    if asked & 4 != 0 {
        words.say(inverted & 4 != 0, "--socket-exists");
    }
    for (option, at, bit) in [("--uid-owner", 0, 1), ("--gid-owner", 8, 2)] {
        if asked & bit != 0 {
            let (low, high) = (info.u32(at)?, info.u32(at + 4)?);
            let ids = if low == high { low.to_string() } else { format!("{low}-{high}") };
            words.say(inverted & bit != 0, format!("{option} {ids}"));
        }
    }
    if asked & 8 != 0 {
        words.say(inverted & 8 != 0, "--suppl-groups");
    }
    Some(())
}

/// `struct xt_physdev_info`.
fn bridge_ports(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let (inverted, asked) = (info.u8(64)?, info.u8(65)?);
    for (option, at, bit, is) in [("--physdev-in", 0, 1, 8), ("--physdev-out", 32, 2, 16)] {
        if asked & bit != 0 {
            let mask = info.bytes(at + 16, 16)?;
            let covered = mask.iter().take_while(|byte| **byte != 0).count();
            let name = info.text(at, covered.min(16))?;
            // A mask that covers the name's closing zero stands for that name alone, otherwise for all that begin so.
            let alone = covered > name.len();
            words.say(inverted & bit != 0, format!("{option} {name}{}", if alone { "" } else { "+" }));
        }
        if asked & is != 0 {
            let option = if bit == 1 { "--physdev-is-in" } else { "--physdev-is-out" };
            words.say(inverted & is != 0, option);
        }
    }
    if asked & 4 != 0 {
        words.say(inverted & 4 != 0, "--physdev-is-bridged");
    }
    Some(())
}

/// `struct xt_policy_info`.
fn policy(info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    /// The size of an element, how many there may be, and where the flags stand behind them.
    const ELEMENT: usize = 76;
    const MOST: usize = 4;
    const FLAGS: usize = ELEMENT * MOST;
    let (flags, count) = (info.u16(FLAGS)?, usize::from(info.u16(FLAGS + 2)?).min(MOST));
    words.add(if flags & 1 != 0 { "--dir in" } else { "--dir out" });
    if flags & 4 != 0 {
        words.add("--pol none");
        return Some(());
    }
    words.add("--pol ipsec");
    if flags & 8 != 0 {
        words.add("--strict");
    }
    for place in 0..count {
        let at = place * ELEMENT;
        if place > 0 {
            words.add("--next");
        }
        let (asked, inverted) = (info.u8(at + 74)?, info.u8(at + 75)?);
        let protocol = match info.u8(at + 72)? {
            50 => "esp".to_owned(),
            51 => "ah".to_owned(),
            108 => "ipcomp".to_owned(),
            other => other.to_string(),
        };
        let mode = ["transport", "tunnel"].get(usize::from(info.u8(at + 73)?)).copied().unwrap_or("???");
        let end = |place| Some(super::addresses::masked(address(info, place, ipv6)?, address(info, place + 16, ipv6)?));
        let (source, destination) = (end(at)?, end(at + 32)?);
        for (bit, option) in [
            (32, format!("--reqid {}", info.u32(at + 68)?)),
            (16, format!("--spi {:#x}", info.u32(at + 64)?)),
            (4, format!("--proto {protocol}")),
            (8, format!("--mode {mode}")),
            (2, format!("--tunnel-dst {destination}")),
            (1, format!("--tunnel-src {source}")),
        ] {
            if asked & bit != 0 {
                words.say(inverted & bit != 0, option);
            }
        }
    }
    Some(())
}

/// `struct xt_string_info`.
fn text_within(info: &Info<'_>, words: &mut Words) -> Option<()> {
    let length = usize::from(info.u8(20 + 128)?).min(128);
    let pattern = info.bytes(20, length)?;
    let flags = info.u8(20 + 129)?;
    let plain = pattern.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
        && !matches!(pattern.first(), Some(b'|'))
        && !matches!(pattern.last(), Some(b' '));
    let pattern = if plain {
        let escaped = String::from_utf8_lossy(pattern).replace('\\', "\\\\").replace('"', "\\\"");
        format!("--string \"{escaped}\"")
    } else {
        let digits: Vec<String> = pattern.iter().map(|b| format!("{b:02x}")).collect();
        format!("--hex-string \"|{}|\"", digits.concat())
    };
    words.say(flags & 1 != 0, pattern);
    words.add(format!("--algo {}", info.text(4, 16)?));
    for (option, value, usual) in [("--from", info.u16(0)?, 0), ("--to", info.u16(2)?, u16::MAX)] {
        if value != usual {
            words.add(format!("{option} {value}"));
        }
    }
    if flags & 2 != 0 {
        words.add("--icase");
    }
    Some(())
}

/// `struct xt_time_info`.
fn time(info: &Info<'_>, words: &mut Words) -> Option<()> {
    const LAST_SECOND: u32 = 24 * 60 * 60 - 1;
    const WEEKDAYS: [(u32, &str); 7] =
        [(2, "Mon"), (4, "Tue"), (8, "Wed"), (16, "Thu"), (32, "Fri"), (64, "Sat"), (128, "Sun")];
    let clock = |seconds: u32| format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let (start, stop) = (info.u32(8)?, info.u32(12)?);
    if start != 0 || stop != LAST_SECOND {
        words.add(format!("--timestart {}", clock(start)));
        words.add(format!("--timestop {}", clock(stop)));
    }
    let (days, weekdays, flags) = (info.u32(16)?, info.u8(20)?, info.u8(21)?);
    if days != 0xffff_fffe {
        let list: Vec<String> = (1..32).filter(|day| days >> day & 1 == 1).map(|day: u32| day.to_string()).collect();
        words.add(format!("--monthdays {}", list.join(",")));
    }
    if weekdays != 0xfe {
        words.add(format!("--weekdays {}", names_of(weekdays.into(), &WEEKDAYS)));
    }
    for (option, seconds) in [("--datestart", info.u32(0)?), ("--datestop", info.u32(4)?)] {
        if seconds != 0 {
            let (year, month, day) = date(seconds / 86400);
            words.add(format!("{option} {year}-{month:02}-{day:02}T{}", clock(seconds % 86400)));
        }
    }
    for (option, bit) in [("--kerneltz", 1), ("--contiguous", 2)] {
        if flags & bit != 0 {
            words.add(option);
        }
    }
    Some(())
}

/// The date that lies this many days behind 1970-01-01, by the Gregorian calendar.
fn date(days: u32) -> (u32, u32, u32) {
    // Years are counted from March, so that the day that leap years have more is their last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

/// `struct xt_u32`.
fn arithmetic(info: &Info<'_>, words: &mut Words) -> Option<()> {
    /// The size of a test, how many numbers it may have on either side, and how many tests there may be.
    const TEST: usize = 180;
    const MOST: usize = 11;
    const SIGNS: [&str; 4] = ["&", "<<", ">>", "@"];
    let mut text = String::new();
    let count = usize::from(info.u8(TEST * MOST)?).min(MOST);
    for test in 0..count {
        let at = test * TEST;
        text += if test > 0 { "&&" } else { "" };
        let numbers = usize::from(info.u8(at + 176)?).min(MOST);
        for place in 0..numbers {
            let sign = SIGNS.get(usize::from(info.u8(at + 8 * place + 4)?)).copied().unwrap_or("?");
            let sign = if place == 0 { "" } else { sign };
            let _ = write!(text, "{sign}{:#x}", info.u32(at + 8 * place)?);
        }
        text.push('=');
        let values = usize::from(info.u8(at + 177)?).min(MOST);
        for place in 0..values {
            let (low, high) = (info.u32(at + 88 + 8 * place)?, info.u32(at + 92 + 8 * place)?);
            let _ = write!(text, "{}{low:#x}", if place > 0 { "," } else { "" });
            if low != high {
                let _ = write!(text, ":{high:#x}");
            }
        }
    }
    words.say(info.u8(TEST * MOST + 1)? != 0, format!("--u32 \"{text}\""))
}
