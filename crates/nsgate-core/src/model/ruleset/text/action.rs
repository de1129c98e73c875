//! What rules do, as text.

use super::super::expression::{Expression, RejectKind, Verdict};
use super::super::selector::Selector;
use super::super::value_type::ValueType;
use super::super::{TableFamily, value, xt};
use super::{plain, quoted};

/// The levels of the log, by syslog's numbers.
pub(crate) const LOG_LEVELS: [&str; 9] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];

/// The level that is meant where none is written.
pub(crate) const DEFAULT_LOG_LEVEL: u32 = 4;

/// What is written to the log besides (NF_LOG_*).
pub(crate) const LOG_FLAGS: [(&str, u32); 5] =
    [("tcp sequence", 1), ("tcp options", 2), ("ip options", 4), ("skuid", 8), ("ether", 32)];

/// All of these together.
pub(crate) const LOG_ALL: u32 = 0x2f;

/// The units of a limit in seconds.
pub(crate) const UNITS: [(&str, u64); 5] =
    [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400), ("week", 604_800)];

/// The burst that is meant where none is written.
pub(crate) const DEFAULT_BURST: u32 = 5;

/// The flags of a translation (NF_NAT_RANGE_*).
pub(crate) const NAT_FLAGS: [(&str, u32); 3] = [("random", 4), ("fully-random", 16), ("persistent", 8)];

/// The kinds of objects and the words before their names (NFT_OBJECT_*).
pub(crate) const OBJECTS: [(u32, &str); 9] = [
    (1, "counter name"),
    (2, "quota name"),
    (3, "ct helper set"),
    (4, "limit name"),
    (5, "ct count name"),
    (7, "ct timeout set"),
    (8, "meta secmark set"),
    (9, "ct expectation set"),
    (10, "synproxy name"),
];

/// A decision.
pub(super) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Continue => "continue".into(),
        Verdict::Return => "return".into(),
        Verdict::Jump(chain) => format!("jump {}", plain(chain)),
        Verdict::Goto(chain) => format!("goto {}", plain(chain)),
        Verdict::Queue => "queue".into(),
    }
}

/// A refusal.
pub(super) fn reject(family: TableFamily, in_ipv6: bool, kind: RejectKind) -> String {
    let usual = default_reject(family) == kind;
    match kind {
        _ if usual => "reject".into(),
        RejectKind::TcpReset => "reject with tcp reset".into(),
        RejectKind::Icmpx(code) => format!("reject with icmpx {}", value::show(ValueType::IcmpxCode.kind(), &[code])),
        RejectKind::Icmp(code) if in_ipv6 => {
            format!("reject with icmpv6 {}", value::show(ValueType::Icmp6Code.kind(), &[code]))
        }
        RejectKind::Icmp(code) => format!("reject with icmp {}", value::show(ValueType::IcmpCode.kind(), &[code])),
    }
}

/// The refusal that is meant by `reject` alone: "port unreachable" of whatever family.
pub(crate) fn default_reject(family: TableFamily) -> RejectKind {
    match family {
        TableFamily::Ip => RejectKind::Icmp(3),
        TableFamily::Ip6 => RejectKind::Icmp(4),
        _ => RejectKind::Icmpx(1),
    }
}

/// The flags of a translation, each kind once, behind the rest of it.
pub(super) fn nat_flags(flags: u32) -> String {
    let words: Vec<_> = NAT_FLAGS.iter().filter(|(_, bit)| flags & bit != 0).map(|(word, _)| *word).collect();
    if words.is_empty() { String::new() } else { format!(" {}", words.join(",")) }
}

/// An instruction that is a statement by itself.
pub(super) fn by_itself(expression: &Expression) -> String {
    match expression {
        Expression::Counter { packets: 0, bytes: 0 } => "counter".into(),
        Expression::Counter { packets, bytes } => format!("counter packets {packets} bytes {bytes}"),
        Expression::Limit { rate, unit, burst, bytes, over } => limit(*rate, *unit, *burst, *bytes, *over),
        Expression::Log { prefix, group, level, snaplen, threshold, flags } => {
            let mut text = String::from("log");
            let mut add = |word: &str, value: Option<String>| {
                if let Some(value) = value {
                    text = format!("{text} {word} {value}");
                }
            };
            add("prefix", prefix.as_deref().map(quoted));
            add("group", group.map(|g| g.to_string()));
            add("snaplen", snaplen.map(|s| s.to_string()));
            add("queue-threshold", threshold.map(|t| t.to_string()));
            add("level", level.filter(|l| *l != DEFAULT_LOG_LEVEL).map(level_name));
            text + &log_flags(*flags)
        }
        Expression::ConnectionLimit { count, over } => format!("ct count {}{count}", if *over { "over " } else { "" }),
        Expression::Quota { bytes, used, over } => {
            let used = if *used == 0 { String::new() } else { format!(" used {}", amount(*used)) };
            format!("quota {}{}{used}", if *over { "over " } else { "" }, amount(*bytes))
        }
        Expression::Notrack => "notrack".into(),
        Expression::Queue { number, total, flags } => {
            let words: Vec<_> = [("bypass", 1), ("fanout", 2)]
                .iter()
                .filter(|(_, bit)| flags & bit != 0)
                .map(|(word, _)| *word)
                .collect();
            let flags = if words.is_empty() { String::new() } else { format!(" flags {}", words.join(",")) };
            let last = number.saturating_add(total.saturating_sub(1));
            let range = if last == *number { number.to_string() } else { format!("{number}-{last}") };
            format!("queue{flags} to {range}")
        }
        Expression::Object { kind, name } => format!("{} {}", object_words(*kind), quoted(name)),
        Expression::HeaderOptionReset { kind, number } => {
            let option = Selector::Option { kind: *kind, number: *number, offset: 0, bits: 8, present: true };
            format!("reset {option}")
        }
        Expression::Synproxy { mss, wscale, flags } => {
            ["synproxy".to_owned()].into_iter().chain(synproxy(*mss, *wscale, *flags)).collect::<Vec<_>>().join(" ")
        }
        Expression::Last { used: None } => "last".into(),
        Expression::Last { used: Some(ago) } => format!("last used {}", value::duration(*ago)),
        Expression::FlowOffload { table } => format!("flow add @{}", plain(table)),
        other => opaque(TableFamily::Inet, false, other),
    }
}

/// The words before the name of an object of this kind.
pub(super) fn object_words(kind: u32) -> &'static str {
    OBJECTS.iter().find(|(number, _)| *number == kind).map_or("object", |(_, words)| *words)
}

/// The parameters of a synproxy.
pub(super) fn synproxy(mss: u16, wscale: u8, flags: u32) -> Vec<String> {
    let given = [
        (1, format!("mss {mss}")),
        (2, format!("wscale {wscale}")),
        (8, "timestamp".to_owned()),
        (4, "sack-perm".to_owned()),
    ];
    given.into_iter().filter(|(bit, _)| flags & bit != 0).map(|(_, text)| text).collect()
}

/// An instruction that nft's language has no words for, or whose meaning was not found.
pub(super) fn opaque(family: TableFamily, in_ipv6: bool, expression: &Expression) -> String {
    // The parameters of an extension, as far as they are known.
    let options = || {
        xt::options(family, in_ipv6, expression).map_or_else(String::new, |options| format!(" ( {} )", plain(&options)))
    };
    match expression {
        Expression::XtMatch { name, .. } => format!("xt match {}{}", quoted(name), options()),
        Expression::XtTarget { name, .. } => format!("xt target {}{}", quoted(name), options()),
        Expression::XtSet { target: false, .. } => format!("xt match \"set\"{}", options()),
        Expression::XtSet { .. } => format!("xt target \"SET\"{}", options()),
        other => format!("[ {} ]", plain(other.name())),
    }
}

fn limit(rate: u64, unit: u64, burst: u32, bytes: bool, over: bool) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, seconds)| *seconds == unit)
        .map_or_else(|| format!("{unit}s"), |(word, _)| (*word).into());
    let over = if over { "over " } else { "" };
    if bytes {
        let burst = if burst == 0 { String::new() } else { format!(" burst {}", amount(burst.into())) };
        return format!("limit rate {over}{}/{unit}{burst}", amount(rate));
    }
    let burst = if burst == DEFAULT_BURST { String::new() } else { format!(" burst {burst} packets") };
    format!("limit rate {over}{rate}/{unit}{burst}")
}

/// Bytes in the largest unit that divides them.
fn amount(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".into(),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} mbytes", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} kbytes", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn level_name(level: u32) -> String {
    LOG_LEVELS.get(level as usize).map_or_else(|| level.to_string(), |name| (*name).to_owned())
}

fn log_flags(flags: u32) -> String {
    if flags == LOG_ALL {
        return " flags all".into();
    }
    let tcp: Vec<_> =
        [("sequence", 1), ("options", 2)].iter().filter(|(_, b)| flags & b != 0).map(|(w, _)| *w).collect();
    let mut text = if tcp.is_empty() { String::new() } else { format!(" flags tcp {}", tcp.join(",")) };
    for (words, _) in LOG_FLAGS.iter().skip(2).filter(|(_, bit)| flags & bit != 0) {
        text = format!("{text} flags {words}");
    }
    text
}
