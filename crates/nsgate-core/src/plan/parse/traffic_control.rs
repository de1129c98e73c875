//! `tc qdisc …` and `tc filter del …`.

use super::cursor::{Cursor, ParseError};
use crate::model::Handle;
use crate::plan::step::Action;
use crate::plan::traffic_control::{OldFilter, RootQueue};

/// What follows `tc`.
pub(super) fn tc(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    match words.take("qdisc or filter")? {
        "qdisc" => qdisc(words),
        "filter" => {
            words.expect("del")?;
            words.expect("dev")?;
            let dev = words.link_name()?;
            let parent = place(words)?;
            let priority = if words.eat("pref") { words.number("a priority")? } else { 0 };
            Ok(Action::DeleteFilter(OldFilter { dev, parent, priority }))
        }
        _ => Err(words.unexpected("qdisc or filter")),
    }
}

fn qdisc(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    let gone = match words.take("replace or del")? {
        "replace" => false,
        "del" | "delete" => true,
        _ => return Err(words.unexpected("replace or del")),
    };
    words.expect("dev")?;
    let dev = words.link_name()?;
    words.expect("root")?;
    let queue = if gone { RootQueue::Usual } else { queue(words)? };
    Ok(Action::SetQueue { dev, queue, before: None })
}

fn queue(words: &mut Cursor<'_>) -> Result<RootQueue, ParseError> {
    let kind = words.take("pfifo, bfifo or tbf")?;
    if !matches!(kind, "pfifo" | "bfifo" | "tbf") {
        return Err(words.unexpected("pfifo, bfifo or tbf"));
    }
    let (mut rate, mut burst, mut limit) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "rate" if kind == "tbf" => rate = Some(bits(words)?),
            "burst" if kind == "tbf" => burst = Some(words.number("a number of bytes")?),
            "limit" => limit = Some(words.number("a number of packets or bytes")?),
            _ => return Err(words.unexpected(if kind == "tbf" { "rate, burst or limit" } else { "limit" })),
        }
    }
    let limit = words.required(limit, "limit NUMBER")?;
    Ok(match kind {
        "pfifo" => RootQueue::Pfifo { limit },
        "bfifo" => RootQueue::Bfifo { limit },
        _ => {
            let rate = words.required(rate, "rate RATE")?;
            RootQueue::Tbf { rate, burst: words.required(burst, "burst BYTES")?, limit }
        }
    })
}

/// A rate in bits a second, given in bytes a second.
fn bits(words: &mut Cursor<'_>) -> Result<u64, ParseError> {
    const UNITS: [(&str, u128); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000), ("bit", 1)];
    let expected = "a rate such as 10mbit, in whole bytes a second";
    let word = words.take(expected)?;
    let number = UNITS.iter().find_map(|(unit, factor)| {
        let number: u64 = super::cursor::number(word.strip_suffix(unit)?)?;
        Some(u128::from(number) * factor)
    });
    let rate = number.filter(|bits| bits % 8 == 0).and_then(|bits| u64::try_from(bits / 8).ok());
    rate.ok_or_else(|| words.unexpected(expected))
}

/// `ingress`, `egress`, `root` or `parent MAJOR:MINOR`.
fn place(words: &mut Cursor<'_>) -> Result<Handle, ParseError> {
    let expected = "ingress, egress, root or parent MAJOR:MINOR";
    match words.take(expected)? {
        "ingress" => Ok(Handle::CLSACT_INGRESS),
        "egress" => Ok(Handle::CLSACT_EGRESS),
        "root" => Ok(Handle::ROOT),
        "parent" => {
            let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok().filter(|n| *n <= 0xffff);
            let halves = words.take(expected)?.split_once(':');
            let number = halves.and_then(|(major, minor)| {
                let minor = if minor.is_empty() { "0" } else { minor };
                Some(hexadecimal(major)? << 16 | hexadecimal(minor)?)
            });
            number.map(Handle).ok_or_else(|| words.unexpected(expected))
        }
        _ => Err(words.unexpected(expected)),
    }
}
