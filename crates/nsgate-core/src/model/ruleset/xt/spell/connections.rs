//! Matches that ask about connections, and what is remembered of addresses.

use super::super::info::Info;
use super::addresses::{address, masked};
use super::matches::{mark, quoted};
use super::{Words, names_of, range};

/// The states in the order in which iptables writes them.
const STATES: [(u32, &str); 7] = [
    (1, "INVALID"),
    (8, "NEW"),
    (4, "RELATED"),
    (2, "ESTABLISHED"),
    (0x100, "UNTRACKED"),
    (0x40, "SNAT"),
    (0x80, "DNAT"),
];
const STATUSES: [(u32, &str); 4] = [(1, "EXPECTED"), (2, "SEEN_REPLY"), (4, "ASSURED"), (8, "CONFIRMED")];

/// Flags of conntrack (XT_CONNTRACK_*).
const STATE: u16 = 0x01;
const PROTOCOL: u16 = 0x02;
const STATUS: u16 = 0x40;
const EXPIRES: u16 = 0x80;
const DIRECTION: u16 = 0x1000;
const ALIAS: u16 = 0x2000;

/// The name by which a match was asked for, where it is another.
pub(super) fn alias(name: &str, revision: u32, info: &Info<'_>) -> Option<&'static str> {
    let flags = info.u16(146)?;
    (name == "conntrack" && revision == 3 && flags & ALIAS != 0).then_some("state")
}

/// Adds the parameters of a match; none if it is not one of these.
pub(super) fn spell(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("conntrack", 1..=3) => conntrack(revision, info, ipv6, words),
        ("state", 0) => words.add(format!("--state {}", names_of(info.u32(0)?, &STATES))),
        ("connbytes", 0) => {
            let (from, to) = (info.u64(0)?, info.u64(8)?);
            let (low, high) = (from.min(to), from.max(to));
            let end = if high == u64::MAX || high == 0 { String::new() } else { format!(":{high}") };
            words.say(from > to, format!("--connbytes {low}{end}"));
            let mode = ["packets", "bytes", "avgpkt"].get(usize::from(info.u8(16)?))?;
            let direction = ["original", "reply", "both"].get(usize::from(info.u8(17)?))?;
            words.add(format!("--connbytes-mode {mode} --connbytes-dir {direction}"));
            Some(())
        }
        ("connlabel", 0) => {
            let flags = info.u16(2)?;
            words.say(flags & 1 != 0, format!("--label \"{}\"", info.u16(0)?));
            if flags & 2 != 0 {
                words.add("--set");
            }
            Some(())
        }
        ("connlimit", 1) => {
            let flags = info.u32(20)?;
            let side = if flags & 2 == 0 { "--connlimit-saddr" } else { "--connlimit-daddr" };
            let bits = if ipv6 { 16 } else { 4 };
            let mask: u32 = info.bytes(0, bits)?.iter().map(|b| b.count_ones()).sum();
            let option = if flags & 1 == 0 { "--connlimit-above" } else { "--connlimit-upto" };
            words.add(format!("{option} {} --connlimit-mask {mask} {side}", info.u32(16)?))
        }
        ("connmark", 1) => words.say(info.u8(8)? != 0, format!("--mark {}", mark(info.u32(0)?, info.u32(4)?))),
        ("helper", 0) => words.say(info.u32(0)? != 0, format!("--helper {}", quoted(&info.text(4, 30)?))),
        ("recent", 0 | 1) => recent(revision, info, ipv6, words),
        ("cluster", 0) => {
            words.say(info.u32(12)? & 1 != 0, format!("--cluster-local-nodemask {:#010x}", info.u32(4)?));
            let (nodes, seed) = (info.u32(0)?, info.u32(8)?);
            words.add(format!("--cluster-total-nodes {nodes} --cluster-hash-seed {seed:#010x}"))
        }
        _ => None,
    }
}

/// `struct xt_conntrack_mtinfo3` and its forerunners.
fn conntrack(revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    let (flags, inverted) = (info.u16(146)?, info.u16(148)?);
    let not = |flag: u16| inverted & flag != 0;
    let (states, statuses) = match revision {
        1 => (u32::from(info.u8(150)?), u32::from(info.u8(151)?)),
        _ => (u32::from(info.u16(150)?), u32::from(info.u16(152)?)),
    };
    if flags & STATE != 0 {
        let option = if flags & ALIAS == 0 { "--ctstate" } else { "--state" };
        words.say(not(STATE), format!("{option} {}", names_of(states, &STATES)));
    }
    if flags & PROTOCOL != 0 {
        words.say(not(PROTOCOL), format!("--ctproto {}", info.u16(136)?));
    }
    let ends = ["--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"];
    for (place, option) in ends.iter().enumerate() {
        let flag = 4 << place;
        if flags & flag != 0 {
            let at = 32 * place;
            let text = masked(address(info, at, ipv6)?, address(info, at + 16, ipv6)?);
            words.say(not(flag), format!("{option} {text}"));
        }
    }
    for (place, option) in ends.iter().enumerate() {
        let flag = 0x100 << place;
        if flags & flag != 0 {
            // Earlier revisions have one port only, in the order of the network.
            let ports = match revision {
                3 => range(info.u16(138 + 2 * place)?, info.u16(154 + 2 * place)?),
                _ => info.be16(138 + 2 * place)?.to_string(),
            };
            words.say(not(flag), format!("{option}port {ports}"));
        }
    }
    if flags & STATUS != 0 {
        let names = if statuses == 0 { "NONE".to_owned() } else { names_of(statuses, &STATUSES) };
        words.say(not(STATUS), format!("--ctstatus {names}"));
    }
    if flags & EXPIRES != 0 {
        words.say(not(EXPIRES), format!("--ctexpire {}", range(info.u32(128)?, info.u32(132)?)));
    }
    if flags & DIRECTION != 0 {
        words.add(if not(DIRECTION) { "--ctdir REPLY" } else { "--ctdir ORIGINAL" });
    }
    Some(())
}

/// `struct xt_recent_mtinfo_v1` and its forerunner.
fn recent(revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    let flags = info.u8(8)?;
    let action = [("--set", 2), ("--rcheck", 1), ("--update", 4), ("--remove", 8)];
    let (option, _) = action.iter().find(|(_, bit)| flags & bit != 0)?;
    words.say(info.u8(9)? != 0, option);
    let (seconds, hits) = (info.u32(0)?, info.u32(4)?);
    if seconds != 0 {
        words.add(format!("--seconds {seconds}"));
    }
    if flags & 0x20 != 0 {
        words.add("--reap");
    }
    if hits != 0 {
        words.add(format!("--hitcount {hits}"));
    }
    if flags & 0x10 != 0 {
        words.add("--rttl");
    }
    words.add(format!("--name {}", info.text(10, 200)?));
    if revision == 1 {
        words.add(format!("--mask {}", address(info, 212, ipv6)?));
    }
    words.add(if info.u8(210)? == 0 { "--rsource" } else { "--rdest" });
    Some(())
}
