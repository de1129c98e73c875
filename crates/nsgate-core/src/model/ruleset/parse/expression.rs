//! What is looked at, and values to compare it with.

use super::super::expression::Base;
use super::super::header::{HeaderField, Protocol};
use super::super::selector::{FIB_FLAGS, FIB_PRESENT, FIB_RESULTS, Selector};
use super::super::statement::Part;
use super::super::value;
use super::super::value_type::{Kind, Order, ValueType};
use super::ParseError;
use super::lexer::{Cursor, Token};

/// How deep expressions may stand within one another.
const DEEPEST: usize = 4;

/// The words that begin an expression without a protocol's name.
const META_WORDS: &str = "a field such as 'ip saddr', 'tcp dport', 'meta mark' or 'ct state'";

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// One value.
    One(Vec<u8>),
    /// The values from one to another.
    Range(Vec<u8>, Vec<u8>),
    /// The values whose first bits are these.
    Prefix(Vec<u8>, u32),
}

/// Reads an expression: one part or a concatenation.
pub(super) fn operand(cursor: &mut Cursor<'_>, depth: usize) -> Result<Vec<Part>, ParseError> {
    let mut parts = vec![part(cursor, depth)?];
    while cursor.take_sign(".") {
        parts.push(part(cursor, depth)?);
    }
    Ok(parts)
}

/// Reads one part with its bit operations.
fn part(cursor: &mut Cursor<'_>, depth: usize) -> Result<Part, ParseError> {
    let selector = selector(cursor, depth)?;
    let Some(kind) = selector.kind() else { return Err(cursor.error("a field whose values are known")) };
    let mut bits: Option<(Vec<u8>, Vec<u8>)> = None;
    loop {
        let operation = if cursor.take_sign("&") || cursor.take_word("and") {
            '&'
        } else if cursor.take_sign("|") || cursor.take_word("or") {
            '|'
        } else if cursor.take_sign("^") || cursor.take_word("xor") {
            '^'
        } else {
            return Ok(Part { bits, ..Part::plain(selector) });
        };
        let operand = bit_operand(cursor, kind)?;
        let (mask, xor) = bits.unwrap_or((vec![0xff; kind.length], vec![0; kind.length]));
        let pairs = mask.into_iter().zip(xor).zip(operand);
        bits = Some(
            pairs
                .map(|((mask, xor), bits)| match operation {
                    '&' => (mask & bits, xor & bits),
                    '|' => (mask & !bits, xor & !bits | bits),
                    _ => (mask, xor ^ bits),
                })
                .unzip(),
        );
    }
}

/// Reads the bits of a bit operation: a value, or flags in parentheses.
pub(super) fn bit_operand(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Vec<u8>, ParseError> {
    if !cursor.take_sign("(") {
        return flags(cursor, kind);
    }
    let mut bits = one(cursor, kind)?;
    while cursor.take_sign("|") || cursor.take_sign(",") {
        bits = either(&bits, &one(cursor, kind)?);
    }
    cursor.sign(")")?;
    Ok(bits)
}

/// Reads flags with commas between them, or one value of a type that has none.
pub(super) fn flags(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Vec<u8>, ParseError> {
    let mut bits = one(cursor, kind)?;
    while kind.value_type.is_flags() && cursor.take_sign(",") {
        bits = either(&bits, &one(cursor, kind)?);
    }
    Ok(bits)
}

/// Reads one value.
pub(super) fn one(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Vec<u8>, ParseError> {
    match written(cursor, kind)? {
        Written::One(bytes) => Ok(bytes),
        Written::Range(..) | Written::Prefix(..) => {
            cursor.back_to(cursor.position() - 1);
            Err(cursor.error(&format!("one value of type {}", kind.value_type.name())))
        }
    }
}

/// Reads a value, range or prefix.
pub(super) fn written(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Written, ParseError> {
    let expected = format!("a value of type {}", kind.value_type.name());
    let (word, quoted) = match cursor.peek() {
        Some(Token::Word(word)) => (word.clone(), false),
        Some(Token::Quoted(word)) => (word.clone(), true),
        _ => return Err(cursor.error(&expected)),
    };
    let Some(found) = read(kind, &word, quoted) else { return Err(cursor.error(&expected)) };
    cursor.advance();
    if let (Written::One(low), true) = (&found, cursor.take_sign("-")) {
        let low = low.clone();
        return match written(cursor, kind)? {
            Written::One(high) if high.len() == low.len() && low <= high => Ok(Written::Range(low, high)),
            _ => {
                cursor.back_to(cursor.position() - 1);
                Err(cursor.error("the end of a range, not below its beginning"))
            }
        };
    }
    Ok(found)
}

/// What a word stands for.
pub(super) fn read(kind: Kind, word: &str, quoted: bool) -> Option<Written> {
    if kind.order == Order::Text {
        return name(kind, word);
    }
    if let Some(bytes) = value::read(kind, word) {
        return Some(Written::One(bytes));
    }
    let address = matches!(kind.value_type, ValueType::Ipv4Address | ValueType::Ipv6Address);
    if let (true, Some((address, length))) = (address, word.split_once('/')) {
        let length: u32 = length.parse().ok()?;
        let bytes = value::read(kind, address)?;
        let mask = super::super::lower::prefix_mask(bytes.len(), length);
        let most = bytes.len() as u32 * 8;
        let bytes: Vec<u8> = bytes.iter().zip(mask).map(|(b, m)| b & m).collect();
        return match length {
            full if full == most => Some(Written::One(bytes)),
            _ => (length < most).then_some(Written::Prefix(bytes, length)),
        };
    }
    if quoted {
        return None;
    }
    let dashes = word.match_indices('-').map(|(at, _)| (&word[..at], &word[at + 1..]));
    let mut ends = dashes.filter_map(|(low, high)| Some((value::read(kind, low)?, value::read(kind, high)?)));
    let (low, high) = ends.find(|(low, high)| low <= high)?;
    Some(if low == high { Written::One(low) } else { Written::Range(low, high) })
}

/// A name, or with a star at its end the beginning of names.
fn name(kind: Kind, word: &str) -> Option<Written> {
    if let Some(exact) = word.strip_suffix("\\*") {
        return value::read(kind, &format!("{exact}*")).map(Written::One);
    }
    match word.strip_suffix('*') {
        Some(beginning) if !beginning.is_empty() && beginning.len() < kind.length => {
            Some(Written::One(beginning.as_bytes().to_vec()))
        }
        Some(_) => None,
        None => value::read(kind, word).map(Written::One),
    }
}

fn either(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(l, r)| l | r).collect()
}

/// Reads what names a thing that has a value for every packet.
pub(super) fn selector(cursor: &mut Cursor<'_>, depth: usize) -> Result<Selector, ParseError> {
    if cursor.take_sign("@") {
        return raw(cursor);
    }
    let Some(word) = cursor.peek_word().map(ToOwned::to_owned) else { return Err(cursor.error(META_WORDS)) };
    if let Some(selector) = Selector::unqualified(&word) {
        cursor.advance();
        return Ok(selector);
    }
    match word.as_str() {
        "meta" => {
            cursor.advance();
            cursor.word_as("a key of meta, such as 'mark' or 'l4proto'", Selector::meta)
        }
        "ct" => {
            cursor.advance();
            ct(cursor)
        }
        "fib" => {
            cursor.advance();
            fib(cursor)
        }
        "rt" => {
            cursor.advance();
            let mut words = cursor.word("a key of rt")?;
            if matches!(words.as_str(), "ip" | "ip6") {
                words = format!("{words} {}", cursor.word("'nexthop'")?);
            }
            Selector::route(&words).ok_or_else(|| cursor.error("a key of rt, such as 'mtu'"))
        }
        "exthdr" => {
            cursor.advance();
            let name = cursor.word("an extension header")?;
            Selector::option(0, &name, None).ok_or_else(|| cursor.error("a known extension header"))
        }
        "numgen" | "jhash" | "symhash" => {
            cursor.advance();
            generated(cursor, &word, depth)
        }
        _ => header(cursor, &word),
    }
}

fn header(cursor: &mut Cursor<'_>, word: &str) -> Result<Selector, ParseError> {
    let Some(protocol) = Protocol::from_word(word) else { return Err(cursor.error(META_WORDS)) };
    cursor.advance();
    let kind = match protocol {
        Protocol::Tcp => Some(1),
        Protocol::Ip => Some(2),
        _ => None,
    };
    if let (Some(kind), true) = (kind, cursor.take_word("option")) {
        let name = cursor.word("the name of an option")?;
        let field = cursor.peek_word().and_then(|field| Selector::option(kind, &name, Some(field)));
        if let Some(selector) = field {
            cursor.advance();
            return Ok(selector);
        }
        return Selector::option(kind, &name, None).ok_or_else(|| cursor.error("a known option"));
    }
    let Some(first) = cursor.peek_word().map(ToOwned::to_owned) else {
        return Err(cursor.error("the name of a field"));
    };
    if let Some(Token::Word(second)) = cursor.peek_second()
        && let Some(field) = HeaderField::named(protocol, &format!("{first} {second}"))
    {
        cursor.advance();
        cursor.advance();
        return Ok(Selector::Header(field));
    }
    cursor.word_as(&format!("a field of {word}"), |name| HeaderField::named(protocol, name).map(Selector::Header))
}

fn raw(cursor: &mut Cursor<'_>) -> Result<Selector, ParseError> {
    let base = cursor.word_as("'ll', 'nh', 'th' or 'ih'", |word| match word {
        "ll" => Some(Base::Link),
        "nh" => Some(Base::Network),
        "th" => Some(Base::Transport),
        "ih" => Some(Base::Inner),
        _ => None,
    })?;
    cursor.sign(",")?;
    let whole_bytes = |number: u32| number.is_multiple_of(8).then_some(number);
    let number = |word: &str| whole_bytes(u32::try_from(value::read_number(word)?).ok()?);
    let offset = cursor.word_as("an offset in bits, a multiple of 8", number)?;
    cursor.sign(",")?;
    let bits = cursor.word_as("a length in bits, a multiple of 8 up to 128", |word| {
        number(word).filter(|bits| (8..=128).contains(bits))
    })?;
    Ok(Selector::Raw { base, offset, bits })
}

fn ct(cursor: &mut Cursor<'_>) -> Result<Selector, ParseError> {
    let direction = match cursor.peek_word() {
        Some("original") => Some(0),
        Some("reply") => Some(1),
        _ => None,
    };
    if direction.is_some() {
        cursor.advance();
    }
    let Some(mut words) = cursor.peek_word().map(ToOwned::to_owned) else { return Err(cursor.error("a key of ct")) };
    if let ("ip" | "ip6", Some(Token::Word(second))) = (words.as_str(), cursor.peek_second()) {
        words = format!("{words} {second}");
    }
    let Some(selector) = Selector::ct(&words, direction) else {
        return Err(cursor.error("a key of ct, such as 'state' or 'mark'"));
    };
    for _ in words.split(' ') {
        cursor.advance();
    }
    Ok(selector)
}

fn fib(cursor: &mut Cursor<'_>) -> Result<Selector, ParseError> {
    let mut flags = 0;
    loop {
        flags |= cursor.word_as("'saddr', 'daddr', 'mark', 'iif' or 'oif'", |word| {
            FIB_FLAGS.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit)
        })?;
        if !cursor.take_sign(".") {
            break;
        }
    }
    let result = cursor.word_as("'oif', 'oifname' or 'type'", |word| {
        FIB_RESULTS.iter().find(|(name, _)| *name == word).map(|(_, result)| *result)
    })?;
    let existence = matches!(cursor.peek_word(), Some("exists" | "missing"));
    Ok(Selector::Fib { result, flags: flags | if existence { FIB_PRESENT } else { 0 } })
}

fn generated(cursor: &mut Cursor<'_>, word: &str, depth: usize) -> Result<Selector, ParseError> {
    if depth >= DEEPEST {
        return Err(cursor.error("fewer hashes within one another"));
    }
    let random = word == "numgen"
        && cursor.word_as("'inc' or 'random'", |mode| match mode {
            "inc" => Some(false),
            "random" => Some(true),
            _ => None,
        })?;
    let of = if word == "jhash" { operand(cursor, depth + 1)? } else { Vec::new() };
    cursor.keyword("mod")?;
    let modulus = cursor.number("a number")?;
    let seed = if word == "jhash" && cursor.take_word("seed") { Some(cursor.number("a number")?) } else { None };
    let offset = if cursor.take_word("offset") { cursor.number("a number")? } else { 0 };
    Ok(match word {
        "numgen" => Selector::Number { random, modulus, offset },
        _ => Selector::Hash { of, modulus, seed, offset },
    })
}
