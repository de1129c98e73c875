//! Sets, maps and their elements as text.

use super::super::interval::{Entry, prefix_length};
use super::super::value;
use super::super::value_type::{self, Kind, Order, ValueType};
use super::super::{Data, Set, SetData};
use super::action::{by_itself, verdict};
use super::{plain, quoted};

/// How wide a line of elements may grow before the next begins.
const LINE: usize = 100;

/// What stands behind a set's name when it is made, in one line.
pub(crate) fn set_block(set: &Set) -> String {
    format!("{{ {}; }}", set_parts(set, false).join("; "))
}

/// What a set's block says, part by part.
pub(super) fn set_parts(set: &Set, wrapped: bool) -> Vec<String> {
    let word = if set.key_source.is_some() { "typeof" } else { "type" };
    let mut parts = vec![format!("{word} {}", types(set))];
    if set.small {
        parts.push("policy memory".into());
    }
    if let Some(size) = set.size {
        parts.push(format!("size {size}"));
    }
    let flags: Vec<_> =
        [(set.constant, "constant"), (set.interval, "interval"), (set.dynamic, "dynamic"), (set.timeout, "timeout")]
            .into_iter()
            .filter(|f| f.0)
            .map(|f| f.1)
            .collect();
    if !flags.is_empty() {
        parts.push(format!("flags {}", flags.join(",")));
    }
    if let Some(timeout) = set.default_timeout {
        parts.push(format!("timeout {}", value::duration(timeout)));
    }
    if let Some(interval) = set.clearing_interval {
        parts.push(format!("gc-interval {}", value::duration(interval)));
    }
    if set.merges {
        parts.push("auto-merge".into());
    }
    parts.extend(set.each.iter().map(by_itself));
    if let Some(comment) = &set.comment {
        parts.push(format!("comment {}", quoted(comment)));
    }
    if !set.elements.is_empty() {
        parts.push(format!("elements = {}", if wrapped { wrapped_elements(set) } else { elements(set) }));
    }
    parts
}

/// The elements of a set in braces.
pub(crate) fn elements(set: &Set) -> String {
    elements_as(set, &set.key_kinds(), 0, set.data_kind())
}

/// The elements of a set whose keys and data are known to be of these kinds; the keys stand this many bits too far left.
pub(super) fn elements_as(set: &Set, key: &[Kind], shift: u32, data: Option<Kind>) -> String {
    let texts = element_texts(set, key, shift, data);
    if texts.is_empty() { "{ }".into() } else { format!("{{ {} }}", texts.join(", ")) }
}

fn wrapped_elements(set: &Set) -> String {
    let mut text = String::from("{ ");
    let mut width = 0;
    for (index, element) in element_texts(set, &set.key_kinds(), 0, set.data_kind()).into_iter().enumerate() {
        if index > 0 {
            text.push_str(if width > LINE { ",\n\t\t\t     " } else { ", " });
        }
        width = if width > LINE { 0 } else { width } + element.len() + 2;
        text.push_str(&element);
    }
    text + " }"
}

fn element_texts(set: &Set, key: &[Kind], shift: u32, data: Option<Kind>) -> Vec<String> {
    set.entries()
        .iter()
        .map(|entry| match (key, shift) {
            (_, 0) => element_text(set, (key, data), entry),
            ([kind], by) => element_text(set, (key, data), &moved(entry, *kind, by)),
            _ => element_text(set, (key, data), entry),
        })
        .collect()
}

/// An entry whose keys were kept too far left, put where numbers stand.
fn moved(entry: &Entry, kind: Kind, by: u32) -> Entry {
    let key = |key: &[u8]| {
        let number = value::number(key).and_then(|n| n.checked_shr(by));
        number.and_then(|n| value::fitting(kind, n)).unwrap_or_else(|| key.to_vec())
    };
    Entry { low: key(&entry.low), high: key(&entry.high), element: entry.element.clone() }
}

fn element_text(set: &Set, (key, data): (&[Kind], Option<Kind>), entry: &Entry) -> String {
    let mut text = if entry.element.catch_all { "*".into() } else { keys(key, &entry.low, &entry.high) };
    for expression in &entry.element.each {
        text = format!("{text} {}", by_itself(expression));
    }
    if let Some(timeout) = entry.element.timeout {
        text = format!("{text} timeout {}", value::duration(timeout));
    }
    if let Some(expires) = entry.element.expires {
        text = format!("{text} expires {}", value::duration(expires));
    }
    if let Some(comment) = &entry.element.comment {
        text = format!("{text} comment {}", quoted(comment));
    }
    if let Some(object) = &entry.element.object {
        return format!("{text} : {}", quoted(object));
    }
    match &entry.element.data {
        None => text,
        Some(Data::Verdict(decision)) => format!("{text} : {}", verdict(decision)),
        Some(Data::Value(bytes)) => match data.filter(|kind| kind.length == bytes.len()) {
            Some(kind) => format!("{text} : {}", value::show(kind, &kind.turned(bytes))),
            None => format!("{text} : {}", data_text(set.data, bytes)),
        },
    }
}

/// A key or range of keys, part by part.
fn keys(kinds: &[Kind], low: &[u8], high: &[u8]) -> String {
    if let [single] = kinds {
        return range(*single, low, high);
    }
    let mut at = 0;
    let mut parts = Vec::new();
    for kind in kinds {
        let [first, last] = [low, high].map(|key| key.get(at..at + kind.length).unwrap_or_default());
        parts.push(range(*kind, first, last));
        at += kind.padded();
    }
    parts.join(" . ")
}

/// One value or the range between two, as they are kept.
fn range(kind: Kind, low: &[u8], high: &[u8]) -> String {
    let (low, high) = (kind.turned(low), kind.turned(high));
    if low == high {
        let text = value::show(kind, &low);
        return if kind.value_type.is_flags() { text.replace(',', "|") } else { text };
    }
    let prefix = prefix_length(&low, &high);
    match (kind.value_type, prefix) {
        (ValueType::Ipv4Address | ValueType::Ipv6Address, Some(length)) => {
            format!("{}/{length}", value::show(kind, &low))
        }
        (_, Some(length)) if kind.order == Order::Text && length.is_multiple_of(8) => {
            value::show(kind, &low[..length as usize / 8])
        }
        _ => value::show_range(kind, &low, &high),
    }
}

/// What a map leads to.
fn data_text(kind: Option<SetData>, bytes: &[u8]) -> String {
    let Some(SetData::Value { data_type, length }) = kind else {
        return value::show(Kind::integer(bytes.len()), bytes);
    };
    let kinds = value_type::parts(data_type, bytes.len()).unwrap_or_else(|| vec![Kind::integer(bytes.len())]);
    match &kinds[..] {
        [single] if length as usize == 2 * single.length && bytes.len() == length as usize => {
            range(*single, &bytes[..single.length], &bytes[single.length..])
        }
        kinds => keys(kinds, bytes, bytes),
    }
}

fn types(set: &Set) -> String {
    let key = set.key_source.as_deref().map_or_else(|| type_names(set.key_type, set.key_length), plain);
    match set.data {
        None => key,
        Some(SetData::Verdict) => format!("{key} : verdict"),
        Some(SetData::Object(kind)) => format!("{key} : {}", object_type(kind)),
        Some(SetData::Value { data_type, length }) => {
            let interval = value_type::parts(data_type, length as usize)
                .is_some_and(|kinds| matches!(kinds[..], [k] if 2 * k.length == length as usize));
            let data = set.data_source.as_deref().map_or_else(|| type_names(data_type, length), plain);
            format!("{key} : {}{data}", if interval { "interval " } else { "" })
        }
    }
}

/// What a map of objects of this kind leads to.
pub(crate) fn object_type(kind: u32) -> String {
    let words = super::action::object_words(kind);
    words
        .strip_suffix(" name")
        .or_else(|| words.strip_suffix(" set"))
        .unwrap_or(words)
        .trim_start_matches("meta ")
        .into()
}

fn type_names(number: u32, length: u32) -> String {
    let Some(kinds) = value_type::parts(number, length as usize) else { return number.to_string() };
    kinds.iter().map(|k| k.value_type.name()).collect::<Vec<_>>().join(" . ")
}
