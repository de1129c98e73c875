//! Any bytes, read as what the kernel tells of rules, sets and their elements: nothing may panic, hang or take memory
//! without bound, and the text is fit for a terminal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_core::model::ruleset::TableFamily;
use nsgate_kernel::nftables::hostile::{Asked, shown};

/// NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS and the same places of sets' elements.
const TABLE: u16 = 1;
const SECOND: u16 = 2;
const EXPRESSIONS: u16 = 4;
const ELEMENTS: u16 = 3;

fuzz_target!(|bytes: &[u8]| {
    let [family, rest @ ..] = bytes else { return };
    let family = TableFamily::ALL[usize::from(*family) % TableFamily::ALL.len()];
    let messages: Vec<(Asked, Vec<u8>)> =
        parts(rest).into_iter().map(|(kind, part)| message(family, kind, part)).collect();
    let messages: Vec<(Asked, &[u8])> = messages.iter().map(|(asked, payload)| (*asked, &payload[..])).collect();
    let text = shown(family, &messages);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
});

/// Parts of the bytes: each begins with its kind and its length in two bytes.
fn parts(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut parts = Vec::new();
    while let [kind, low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (part, tail) = rest.split_at(length);
        parts.push((*kind, part));
        bytes = tail;
    }
    parts
}

/// A part as a message: whole, or as a rule's instructions or a set's elements alone.
fn message(family: TableFamily, kind: u8, part: &[u8]) -> (Asked, Vec<u8>) {
    let header = [family.number(), 0, 0, 0];
    let around = |inner: u16| {
        [&header[..], &attribute(TABLE, b"t\0"), &attribute(SECOND, b"c\0"), &attribute(inner, part)].concat()
    };
    match kind {
        0..=99 => (Asked::Rules, around(EXPRESSIONS)),
        100..=149 => (Asked::Elements, around(ELEMENTS)),
        other => (Asked::ALL[usize::from(other) % Asked::ALL.len()], [&header[..], part].concat()),
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
