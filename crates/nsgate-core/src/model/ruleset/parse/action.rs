//! What rules do: decisions, counters, limits, the log and the like.

use super::super::expression::{Expression, RejectKind, Verdict};
use super::super::selector::Selector;
use super::super::text::{
    DEFAULT_BURST, DEFAULT_LOG_LEVEL, LOG_ALL, LOG_FLAGS, LOG_LEVELS, NAT_FLAGS, OBJECTS, UNITS, default_reject,
};
use super::super::value_type::ValueType;
use super::super::{TableFamily, value};
use super::ParseError;
use super::lexer::{Cursor, Token};

/// Reads a decision, if one is next.
pub(super) fn verdict(cursor: &mut Cursor<'_>) -> Result<Option<Verdict>, ParseError> {
    let simple = match cursor.peek_word() {
        Some("accept") => Verdict::Accept,
        Some("drop") => Verdict::Drop,
        Some("continue") => Verdict::Continue,
        Some("return") => Verdict::Return,
        Some(word @ ("jump" | "goto")) => {
            let jump = word == "jump";
            cursor.advance();
            let chain = cursor.word("the name of a chain")?;
            return Ok(Some(if jump { Verdict::Jump(chain) } else { Verdict::Goto(chain) }));
        }
        _ => return Ok(None),
    };
    cursor.advance();
    Ok(Some(simple))
}

/// Reads an instruction that is a statement by itself, if one is next.
pub(super) fn plain(cursor: &mut Cursor<'_>) -> Result<Option<Expression>, ParseError> {
    let Some(word) = cursor.peek_word().map(ToOwned::to_owned) else { return Ok(None) };
    if let Some(object) = object(cursor)? {
        return Ok(Some(object));
    }
    let start = cursor.position();
    cursor.advance();
    let expression = match word.as_str() {
        "counter" => counter(cursor)?,
        "limit" => limit(cursor)?,
        "log" => log(cursor)?,
        "quota" => quota(cursor)?,
        "notrack" => Expression::Notrack,
        "queue" => queue(cursor)?,
        "synproxy" => synproxy(cursor)?,
        "last" => last(cursor)?,
        "flow" if cursor.take_word("add") => {
            cursor.sign("@")?;
            Expression::FlowOffload { table: cursor.word("the name of a flow table")? }
        }
        "reset" => option_reset(cursor)?,
        "ct" if cursor.take_word("count") => {
            let over = cursor.take_word("over");
            Expression::ConnectionLimit { count: cursor.number("a number")?, over }
        }
        _ => {
            cursor.back_to(start);
            return Ok(None);
        }
    };
    Ok(Some(expression))
}

/// Reads a refusal; the cursor stands behind `reject`. Tells also the network protocol it is meant for.
pub(super) fn reject(
    cursor: &mut Cursor<'_>,
    family: TableFamily,
) -> Result<(RejectKind, Option<super::super::header::Protocol>), ParseError> {
    use super::super::header::Protocol;
    if !cursor.take_word("with") {
        return Ok((default_reject(family), None));
    }
    let word = cursor.word_as("'icmp', 'icmpv6', 'icmpx' or 'tcp reset'", |word| {
        matches!(word, "icmp" | "icmpv6" | "icmpx" | "tcp").then(|| word.to_owned())
    })?;
    if word == "tcp" {
        cursor.keyword("reset")?;
        return Ok((RejectKind::TcpReset, Some(Protocol::Tcp)));
    }
    cursor.take_word("type");
    cursor.take_word("code");
    let mut code = |value_type: ValueType| {
        let expected = format!("a value of type {}", value_type.name());
        cursor.word_as(&expected, |word| value::read(value_type.kind(), word)?.first().copied())
    };
    Ok(match word.as_str() {
        "icmp" => (RejectKind::Icmp(code(ValueType::IcmpCode)?), Some(Protocol::Ip)),
        "icmpv6" => (RejectKind::Icmp(code(ValueType::Icmp6Code)?), Some(Protocol::Ip6)),
        _ => (RejectKind::Icmpx(code(ValueType::IcmpxCode)?), None),
    })
}

/// Reads the flags of a translation, if any follow.
pub(super) fn nat_flags(cursor: &mut Cursor<'_>) -> Result<u32, ParseError> {
    let flag = |word: &str| NAT_FLAGS.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
    let Some(mut flags) = cursor.peek_word().and_then(flag) else { return Ok(0) };
    cursor.advance();
    while cursor.take_sign(",") {
        flags |= cursor.word_as("'random', 'fully-random' or 'persistent'", flag)?;
    }
    Ok(flags)
}

fn object(cursor: &mut Cursor<'_>) -> Result<Option<Expression>, ParseError> {
    for (kind, words) in OBJECTS {
        let start = cursor.position();
        if words.split(' ').all(|word| cursor.take_word(word)) && matches!(cursor.peek(), Some(Token::Quoted(_))) {
            return Ok(Some(Expression::Object { kind, name: cursor.text("a name in quotes")? }));
        }
        cursor.back_to(start);
    }
    Ok(None)
}

fn counter(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    if !cursor.take_word("packets") {
        return Ok(Expression::Counter { packets: 0, bytes: 0 });
    }
    let packets = cursor.number("a number of packets")?;
    cursor.keyword("bytes")?;
    Ok(Expression::Counter { packets, bytes: cursor.number("a number of bytes")? })
}

fn limit(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    cursor.keyword("rate")?;
    let over = cursor.take_word("over");
    let expected = "a rate such as 10/second or '1 mbytes/second'";
    let unit = |word: &str| UNITS.iter().find(|(name, _)| *name == word).map(|(_, seconds)| *seconds);
    let with_unit = |word: &str| {
        let (amount, per) = word.split_once('/')?;
        Some((amount.to_owned(), unit(per)?))
    };
    let (first, second) = match cursor.peek_word().map(ToOwned::to_owned) {
        Some(word) if word.contains('/') => (cursor.word_as(expected, with_unit)?, None),
        _ => {
            let amount: u64 = cursor.number(expected)?;
            let (scale, per) = cursor.word_as("'bytes/second', 'kbytes/second' or the like", with_unit)?;
            ((scale, per), Some(amount))
        }
    };
    let (rate, bytes) = match second {
        None => (value::read_number(&first.0).ok_or_else(|| cursor.error(expected))?, false),
        Some(amount) => (scaled(cursor, amount, &first.0)?, true),
    };
    let mut burst = if bytes { 0 } else { DEFAULT_BURST };
    if cursor.take_word("burst") {
        let amount = cursor.number("a number")?;
        let scale = cursor.word("'packets' or 'bytes'")?;
        let whole = if scale == "packets" { amount } else { scaled(cursor, amount, &scale)? };
        burst = u32::try_from(whole).map_err(|_| cursor.error("a smaller burst"))?;
    }
    Ok(Expression::Limit { rate, unit: first.1, burst, bytes, over })
}

/// An amount of bytes in this unit.
fn scaled(cursor: &Cursor<'_>, amount: u64, unit: &str) -> Result<u64, ParseError> {
    let factor = match unit {
        "bytes" => 1,
        "kbytes" => 1 << 10,
        "mbytes" => 1 << 20,
        _ => return Err(cursor.error("'bytes', 'kbytes' or 'mbytes' before this")),
    };
    amount.checked_mul(factor).ok_or_else(|| cursor.error("a smaller amount before this"))
}

fn amount(cursor: &mut Cursor<'_>) -> Result<u64, ParseError> {
    let amount = cursor.number("a number")?;
    let unit = cursor.word("'bytes', 'kbytes' or 'mbytes'")?;
    scaled(cursor, amount, &unit)
}

fn quota(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    let over = cursor.take_word("over");
    if !over {
        cursor.take_word("until");
    }
    let bytes = amount(cursor)?;
    let used = if cursor.take_word("used") { amount(cursor)? } else { 0 };
    Ok(Expression::Quota { bytes, used, over })
}

fn log(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    let (mut prefix, mut group, mut level, mut snaplen, mut threshold, mut flags) = (None, None, None, None, None, 0);
    while let Some(word) = cursor.peek_word().map(ToOwned::to_owned) {
        let start = cursor.position();
        cursor.advance();
        match word.as_str() {
            "prefix" => prefix = Some(cursor.text("text in quotes")?),
            "group" => group = Some(cursor.number("the number of a group")?),
            "snaplen" => snaplen = Some(cursor.number("a number of bytes")?),
            "queue-threshold" => threshold = Some(cursor.number("a number of packets")?),
            "level" => {
                level = Some(cursor.word_as("a level such as 'info'", |word| {
                    LOG_LEVELS.iter().position(|name| *name == word).map(|number| number as u32)
                })?);
            }
            "flags" => flags |= log_flags(cursor)?,
            _ => {
                cursor.back_to(start);
                break;
            }
        }
    }
    let level = level.or((group.is_none()).then_some(DEFAULT_LOG_LEVEL));
    Ok(Expression::Log { prefix, group, level, snaplen, threshold, flags })
}

fn log_flags(cursor: &mut Cursor<'_>) -> Result<u32, ParseError> {
    if cursor.take_word("all") {
        return Ok(LOG_ALL);
    }
    let expected = "'all', 'tcp sequence', 'tcp options', 'ip options', 'skuid' or 'ether'";
    let first = cursor.word(expected)?;
    let find = |words: &str| LOG_FLAGS.iter().find(|(name, _)| *name == words).map(|(_, bit)| *bit);
    if let Some(bit) = find(&first) {
        return Ok(bit);
    }
    let mut flags = 0;
    loop {
        flags |= cursor.word_as(expected, |second| find(&format!("{first} {second}")))?;
        if !cursor.take_sign(",") {
            return Ok(flags);
        }
    }
}

fn synproxy(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    let (mut mss, mut wscale, mut flags) = (0, 0, 0);
    loop {
        flags |= if cursor.take_word("mss") {
            mss = cursor.number("a number of bytes")?;
            1
        } else if cursor.take_word("wscale") {
            wscale = cursor.number("a number of bits")?;
            2
        } else if cursor.take_word("timestamp") {
            8
        } else if cursor.take_word("sack-perm") {
            4
        } else {
            return Ok(Expression::Synproxy { mss, wscale, flags });
        };
    }
}

fn last(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    if !cursor.take_word("used") {
        return Ok(Expression::Last { used: None });
    }
    if cursor.take_word("never") {
        return Ok(Expression::Last { used: None });
    }
    Ok(Expression::Last { used: Some(cursor.word_as("a time such as 30s", value::read_duration)?) })
}

fn option_reset(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    match super::expression::selector(cursor, 0)? {
        Selector::Option { kind, number, present: true, .. } => Ok(Expression::HeaderOptionReset { kind, number }),
        _ => Err(cursor.error("an option such as 'tcp option sack-perm' before this")),
    }
}

fn queue(cursor: &mut Cursor<'_>) -> Result<Expression, ParseError> {
    let flag = |word: &str| [("bypass", 1), ("fanout", 2)].iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit);
    let (mut flags, mut first, mut last) = (0, 0, 0);
    let mut read_flags = |cursor: &mut Cursor<'_>| {
        while let Some(bit) = cursor.peek_word().and_then(flag) {
            flags |= bit;
            cursor.advance();
            cursor.take_sign(",");
        }
    };
    if cursor.take_word("flags") {
        read_flags(cursor);
    }
    if cursor.take_word("num") || cursor.take_word("to") {
        (first, last) = cursor.word_as("the number of a queue or a range of them", |word| {
            let (low, high) = word.split_once('-').unwrap_or((word, word));
            let (low, high) = (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?);
            (low <= high && (low, high) != (0, u16::MAX)).then_some((low, high))
        })?;
    }
    read_flags(cursor);
    Ok(Expression::Queue { number: first, total: last - first + 1, flags })
}
