//! The elements of sets and maps.

use super::super::expression::{Data, Expression, Verdict};
use super::super::interval::elements_of_range;
use super::super::value::read_duration;
use super::super::value_type::{Kind, Order, ValueType};
use super::super::{Element, Set, SetData, value_type};
use super::ParseError;
use super::action;
use super::expression::{Written, read, written};
use super::lexer::{Cursor, Token};

/// The first and last value of one part of a key.
type Ends = (Vec<u8>, Vec<u8>);

/// One element as it was written: first and last value of each part, and what belongs to it.
pub(super) struct WrittenElement {
    /// None for the element that stands for all other keys.
    key: Option<Vec<Ends>>,
    data: Option<Data>,
    object: Option<String>,
    about: About,
}

/// What is written about an element beside what it leads to.
#[derive(Default)]
struct About {
    each: Vec<Expression>,
    timeout: Option<u64>,
    expires: Option<u64>,
    comment: Option<String>,
}

/// What a map leads to, as far as it is known before its elements are read.
#[derive(Clone, Debug)]
pub(super) enum DataKind {
    /// It is a plain set.
    None,
    /// Verdicts.
    Verdict,
    /// Objects, by their names.
    Object,
    /// Values of these kinds.
    Value(Vec<Kind>),
    /// Ranges of values of this kind.
    Ranges(Kind),
}

impl DataKind {
    /// What a set that exists leads to.
    pub(super) fn of(set: &Set) -> Self {
        match set.data {
            None => Self::None,
            Some(SetData::Object(_)) => Self::Object,
            Some(SetData::Verdict) => Self::Verdict,
            Some(SetData::Value { data_type, length }) => {
                if let Some(kind) = range_kind(data_type, length) {
                    return Self::Ranges(kind);
                }
                let kinds = value_type::parts(data_type, length as usize);
                Self::Value(kinds.unwrap_or_else(|| vec![Kind::integer(length as usize)]))
            }
        }
    }

    fn of_set(&self) -> Option<SetData> {
        match self {
            // No set without a name leads to objects.
            Self::None | Self::Object => None,
            Self::Verdict => Some(SetData::Verdict),
            Self::Ranges(kind) => {
                Some(SetData::Value { data_type: kind.value_type.number(), length: 2 * kind.length as u32 })
            }
            Self::Value(kinds) => Some(SetData::Value {
                data_type: value_type::type_number(kinds),
                length: match &kinds[..] {
                    [single] => single.length as u32,
                    many => many.iter().map(|k| k.padded() as u32).sum(),
                },
            }),
        }
    }
}

/// The kind of the values between which a map's ranges lie, if it leads to ranges.
fn range_kind(data_type: u32, length: u32) -> Option<Kind> {
    let kind = ValueType::from_number(data_type)?.kind();
    (2 * kind.length == length as usize).then_some(kind)
}

/// Reads elements in braces.
pub(super) fn braced(
    cursor: &mut Cursor<'_>,
    kinds: &[Kind],
    data: &DataKind,
) -> Result<Vec<WrittenElement>, ParseError> {
    cursor.sign("{")?;
    let mut elements = Vec::new();
    loop {
        cursor.skip_ends();
        if cursor.take_sign("}") {
            return Ok(elements);
        }
        elements.push(element(cursor, kinds, data)?);
        cursor.skip_ends();
        if !cursor.take_sign(",") {
            cursor.sign("}")?;
            return Ok(elements);
        }
    }
}

/// The anonymous set that holds these.
pub(super) fn anonymous(name: String, kinds: &[Kind], data: &DataKind, written: Vec<WrittenElement>) -> Set {
    let interval = written.iter().filter_map(|e| e.key.as_ref()).flatten().any(|(low, high)| low != high);
    let mut set = Set { name, anonymous: true, constant: true, interval, data: data.of_set(), ..keyed_by(kinds) };
    set.elements = kept(kinds, interval, written);
    set
}

/// A set without a name whose keys have parts of these kinds, which may be shorter or longer than their types say.
pub(super) fn keyed_by(kinds: &[Kind]) -> Set {
    let types: Vec<ValueType> = kinds.iter().map(|k| k.value_type).collect();
    let mut set = Set::new("", &types);
    set.key_length = match kinds {
        [single] => single.length,
        many => many.iter().map(|k| k.padded()).sum(),
    } as u32;
    if kinds.len() > 1 {
        set.key_parts = kinds.iter().map(|k| k.length as u32).collect();
    }
    set
}

/// Elements as a set keeps them.
pub(super) fn kept(kinds: &[Kind], interval: bool, written: Vec<WrittenElement>) -> Vec<Element> {
    let mut elements = Vec::new();
    for WrittenElement { key, data, object, about } in written {
        let About { each, timeout, expires, comment } = about;
        let element = Element { data, object, timeout, expires, each, comment, ..Element::default() };
        let Some(parts) = key else {
            elements.push(Element { catch_all: true, ..element });
            continue;
        };
        let join = |end: fn(&Ends) -> &Vec<u8>| -> Vec<u8> {
            let mut bytes = Vec::new();
            for (part, kind) in parts.iter().zip(kinds) {
                let kind = if interval { kind.in_network_order() } else { *kind };
                bytes.extend(kind.turned(end(part)));
                if kinds.len() > 1 {
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                }
            }
            bytes
        };
        let (low, high) = (join(|p| &p.0), join(|p| &p.1));
        match (interval, kinds) {
            (false, _) => elements.push(Element { key: low, ..element }),
            (true, [_]) => elements.extend(elements_of_range(low, &high, element)),
            (true, _) => elements.push(Element { key: low, key_end: Some(high), ..element }),
        }
    }
    if interval && kinds.len() == 1 {
        elements.sort_by(|a, b| (a.catch_all, &a.key, !a.interval_end).cmp(&(b.catch_all, &b.key, !b.interval_end)));
    }
    elements
}

fn element(cursor: &mut Cursor<'_>, kinds: &[Kind], data: &DataKind) -> Result<WrittenElement, ParseError> {
    let key = if cursor.take_sign("*") { None } else { Some(key(cursor, kinds)?) };
    let mut about = About::default();
    about.read(cursor)?;
    let mut object = None;
    let data = match data {
        DataKind::None => None,
        DataKind::Object => {
            cursor.sign(":")?;
            object = Some(cursor.text("the name of an object")?);
            None
        }
        DataKind::Verdict => {
            cursor.sign(":")?;
            Some(Data::Verdict(verdict(cursor)?))
        }
        DataKind::Value(kinds) => {
            cursor.sign(":")?;
            Some(Data::Value(self::data(cursor, kinds)?))
        }
        DataKind::Ranges(kind) => {
            cursor.sign(":")?;
            let (low, high) = ends(*kind, written(cursor, *kind)?);
            Some(Data::Value([kind.turned(&low), kind.turned(&high)].concat()))
        }
    };
    about.read(cursor)?;
    Ok(WrittenElement { key, data, object, about })
}

fn verdict(cursor: &mut Cursor<'_>) -> Result<Verdict, ParseError> {
    match action::verdict(cursor)? {
        Some(verdict) => Ok(verdict),
        None => Err(cursor.error("a verdict such as 'accept' or 'jump CHAIN'")),
    }
}

impl About {
    /// Reads on as long as what follows is about the element.
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let time = "a time such as 30s";
        loop {
            if cursor.take_word("comment") {
                self.comment = Some(cursor.text("a comment in quotes")?);
            } else if cursor.take_word("timeout") {
                self.timeout = Some(cursor.word_as(time, read_duration)?);
            } else if cursor.take_word("expires") {
                self.expires = Some(cursor.word_as(time, read_duration)?);
            } else if let Some(expression) = action::plain(cursor)? {
                self.each.push(expression);
            } else {
                return Ok(());
            }
        }
    }
}

fn key(cursor: &mut Cursor<'_>, kinds: &[Kind]) -> Result<Vec<Ends>, ParseError> {
    let mut parts = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        if index > 0 {
            cursor.sign(".")?;
        }
        parts.push(ends(*kind, key_part(cursor, *kind)?));
    }
    Ok(parts)
}

/// One part of a key; the colon of a map may stand at its end without a space.
fn key_part(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Written, ParseError> {
    if let (true, Some(Token::Word(word))) = (kind.value_type.is_flags(), cursor.peek())
        && let Some(found) = read(kind, word, false)
    {
        cursor.advance();
        return Ok(found);
    }
    written(cursor, kind)
}

/// The first and last value.
fn ends(kind: Kind, written: Written) -> Ends {
    match written {
        Written::One(bytes) if kind.order == Order::Text && bytes.len() < kind.length => {
            let fill = |with: u8| {
                let mut filled = bytes.clone();
                filled.resize(kind.length, with);
                filled
            };
            (fill(0), fill(0xff))
        }
        Written::One(bytes) => (bytes.clone(), bytes),
        Written::Range(low, high) => (low, high),
        Written::Prefix(bytes, length) => {
            let mask = super::super::lower::prefix_mask(bytes.len(), length);
            let high = bytes.iter().zip(mask).map(|(b, m)| b | !m).collect();
            (bytes, high)
        }
    }
}

fn data(cursor: &mut Cursor<'_>, kinds: &[Kind]) -> Result<Vec<u8>, ParseError> {
    let mut bytes = Vec::new();
    for (index, kind) in kinds.iter().enumerate() {
        if index > 0 {
            cursor.sign(".")?;
        }
        bytes.extend(kind.turned(&super::expression::one(cursor, *kind)?));
        if kinds.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    Ok(bytes)
}
