//! Matches that count: rates, shares and quotas.

use super::super::info::Info;
use super::{Words, names_of};

/// Units of time with their length in seconds, the longest first.
const UNITS: [(&str, u64); 4] = [("day", 86400), ("hour", 3600), ("min", 60), ("sec", 1)];

/// The parts of a second in which limits are given.
const SCALE: u64 = 10_000;

/// Adds the parameters of a match; none if it is not one of these.
pub(super) fn spell(name: &str, revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    match (name, revision) {
        ("limit", 0) => words.add(limit(info.u32(0)?.into(), info.u32(4)?)),
        ("hashlimit", 1..=3) => per_key(revision, info, ipv6, words),
        ("statistic", 0) => {
            let (inverted, value) = (info.u16(2)? & 1 != 0, info.u32(4)?);
            match info.u16(0)? {
                0 => {
                    let share = f64::from(value) / f64::from(0x8000_0000_u32);
                    words.add("--mode random");
                    words.say(inverted, format!("--probability {share:.11}"));
                }
                1 => {
                    words.add("--mode nth");
                    let every = u64::from(value) + 1;
                    words.say(inverted, format!("--every {every} --packet {}", info.u32(8)?));
                }
                _ => return None,
            }
            Some(())
        }
        ("quota", 0) => words.say(info.u32(0)? & 1 != 0, format!("--quota {}", info.u64(8)?)),
        _ => None,
    }
}

/// A rate, given as the time for one packet in parts of 10000 of a second, and how many may come at once.
pub(in super::super::super) fn limit(period: u64, burst: u32) -> String {
    const USUAL_BURST: u32 = 5;
    let burst = if burst == USUAL_BURST { String::new() } else { format!(" --limit-burst {burst}") };
    format!("--limit {}{burst}", rate(period, SCALE).0)
}

/// How many packets, and in how many seconds, when one may come in this many parts of 10000 of a second.
pub(in super::super) fn packets_in_seconds(period: u64) -> Option<(u64, u64)> {
    (period > 0).then(|| unit(period, SCALE)).map(|(_, seconds)| (seconds * SCALE / period, seconds))
}

/// A rate in the largest unit that does not falsify it, and that unit in seconds.
fn rate(period: u64, scale: u64) -> (String, u64) {
    if period == 0 {
        return ("???/sec".to_owned(), 1);
    }
    let (name, seconds) = unit(period, scale);
    (format!("{}/{name}", seconds * scale / period), seconds)
}

/// The shortest unit of time in which packets can be counted without falsifying the time for one.
fn unit(period: u64, scale: u64) -> (&'static str, u64) {
    let mut chosen = UNITS[0];
    for unit in &UNITS[1..] {
        let length = unit.1 * scale;
        if period > length || length / period < length % period {
            break;
        }
        chosen = *unit;
    }
    chosen
}

/// Where things stand in `struct xt_hashlimit_mtinfo1` and its successors.
struct Layout {
    name: usize,
    /// Where the rate stands, and what follows it.
    rate: usize,
    /// Where the mode stands; the numbers of the table follow.
    mode: usize,
    /// Where the lengths of prefixes stand.
    masks: usize,
    wide: bool,
    /// Parts of a second in which the rate is given.
    scale: u64,
}

/// `struct xt_hashlimit_mtinfo3` and its forerunners.
fn per_key(revision: u32, info: &Info<'_>, ipv6: bool, words: &mut Words) -> Option<()> {
    const INVERTED: u32 = 0x10;
    const BYTES: u32 = 0x20;
    const BY_RATE: u32 = 0x40;
    const KEYS: [(u32, &str); 4] = [(4, "srcip"), (8, "srcport"), (1, "dstip"), (2, "dstport")];
    let layout = match revision {
        1 => Layout { name: 16, rate: 20, mode: 16, masks: 44, wide: false, scale: 10_000 },
        2 => Layout { name: 255, rate: 256, mode: 272, masks: 292, wide: true, scale: 1_000_000 },
        _ => Layout { name: 255, rate: 256, mode: 272, masks: 296, wide: true, scale: 1_000_000 },
    };
    let number = |place: usize| {
        if layout.wide { info.u64(layout.rate + 8 * place) } else { info.u32(layout.rate + 4 * place).map(u64::from) }
    };
    let (average, burst) = (number(0)?, number(1)?);
    let mode = info.u32(layout.mode)?;
    // A rate over an interval is counted in another manner.
    (mode & BY_RATE == 0).then_some(())?;
    let option = if mode & INVERTED == 0 { "--hashlimit-upto" } else { "--hashlimit-above" };
    let usual_expiry = if mode & BYTES == 0 {
        let (rate, seconds) = rate(average, layout.scale);
        words.add(format!("{option} {rate} --hashlimit-burst {burst}"));
        seconds * 1000
    } else {
        let most = u64::from(u32::MAX);
        let each = most.checked_div(average).unwrap_or(most).saturating_sub(1) << 4;
        words.add(format!("{option} {}b/s", bytes(each)));
        let together = each.saturating_mul(burst);
        if burst > 1 {
            words.add(format!("--hashlimit-burst {}b", bytes(together)));
        }
        1000
    };
    let keys = names_of(mode, &KEYS);
    if !keys.is_empty() {
        words.add(format!("--hashlimit-mode {keys}"));
    }
    words.add(format!("--hashlimit-name {}", info.text(0, layout.name)?));
    // The numbers of the table follow its mode, or in the first form its rate.
    let table = if layout.wide { layout.mode + 4 } else { layout.rate + 8 };
    for (option, place, usual) in [
        ("--hashlimit-htable-size", 0, 0),
        ("--hashlimit-htable-max", 1, 0),
        ("--hashlimit-htable-gcinterval", 2, 1000),
        ("--hashlimit-htable-expire", 3, usual_expiry),
    ] {
        let value = info.u32(table + 4 * place)?;
        if u64::from(value) != usual {
            words.add(format!("{option} {value}"));
        }
    }
    let whole = if ipv6 { 128 } else { 32 };
    for (option, at) in [("--hashlimit-srcmask", layout.masks), ("--hashlimit-dstmask", layout.masks + 1)] {
        let length = info.u8(at)?;
        if length != whole {
            words.add(format!("{option} {length}"));
        }
    }
    Some(())
}

/// Bytes in the largest unit of which there is at least one.
fn bytes(count: u64) -> String {
    let units = [("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)];
    let unit = units.into_iter().find(|(_, size)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| count.to_string(), |(name, size)| format!("{}{name}", count / size))
}
