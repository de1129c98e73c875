//! Text to words, signs and strings, each with its place.

use super::{LONGEST, ParseError};

/// One piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, number, address or the like.
    Word(String),
    /// Text between quotes.
    Quoted(String),
    /// A sign.
    Sign(&'static str),
    /// The end of a line or a semicolon.
    End,
}

/// The signs, longer ones first.
const SIGNS: [&str; 24] = [
    "==", "!=", "<=", ">=", "<<", ">>", "{", "}", "(", ")", "[", "]", "=", "!", "<", ">", "@", "&", "|", "^", ",", ":",
    ".", "-",
];

/// Signs that may also be part of a word.
const LOOSE_SIGNS: [&str; 3] = ["/", "+", "*"];

/// A place in the pieces of a text.
pub(super) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > LONGEST {
            let found = format!("{} bytes", text.len());
            return Err(ParseError { line: 1, column: 1, expected: format!("at most {LONGEST} bytes"), found });
        }
        Ok(Self { text, tokens: tokens(text)?, position: 0 })
    }

    /// The next piece.
    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position).map(|t| &t.0)
    }

    /// The piece behind the next one.
    pub(super) fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.position + 1).map(|t| &t.0)
    }

    /// The next piece, if it is a word.
    pub(super) fn peek_word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Passes the next piece.
    pub(super) fn advance(&mut self) {
        self.position += 1;
    }

    /// Where the cursor stands, to come back to it.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes back to where it stood.
    pub(super) fn back_to(&mut self, position: usize) {
        self.position = position;
    }

    /// Takes this sign, if it is next.
    pub(super) fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(s)) if *s == sign);
        self.position += usize::from(found);
        found
    }

    /// Takes this word, if it is next.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek_word() == Some(word);
        self.position += usize::from(found);
        found
    }

    /// Takes the next word.
    pub(super) fn word(&mut self, expected: &str) -> Result<String, ParseError> {
        match self.peek_word().map(ToOwned::to_owned) {
            Some(word) => {
                self.advance();
                Ok(word)
            }
            None => Err(self.error(expected)),
        }
    }

    /// Takes the next word or quoted text.
    pub(super) fn text(&mut self, expected: &str) -> Result<String, ParseError> {
        match self.peek().cloned() {
            Some(Token::Word(word) | Token::Quoted(word)) => {
                self.advance();
                Ok(word)
            }
            _ => Err(self.error(expected)),
        }
    }

    /// Takes the next word as what `read` makes of it.
    pub(super) fn word_as<T>(&mut self, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, ParseError> {
        match self.peek_word().and_then(read) {
            Some(value) => {
                self.advance();
                Ok(value)
            }
            None => Err(self.error(expected)),
        }
    }

    /// Takes the next word as a number.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, expected: &str) -> Result<T, ParseError> {
        self.word_as(expected, |w| T::try_from(super::super::value::read_number(w)?).ok())
    }

    /// Takes this sign or fails.
    pub(super) fn sign(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.error(&format!("'{sign}'"))) }
    }

    /// Takes this word or fails.
    pub(super) fn keyword(&mut self, word: &str) -> Result<(), ParseError> {
        if self.take_word(word) { Ok(()) } else { Err(self.error(&format!("'{word}'"))) }
    }

    /// Whether a statement cannot go on here.
    pub(super) fn at_stop(&self) -> bool {
        matches!(self.peek(), None | Some(Token::End | Token::Sign("}")))
    }

    /// Passes the ends of lines.
    pub(super) fn skip_ends(&mut self) {
        while self.peek() == Some(&Token::End) {
            self.advance();
        }
    }

    /// Whether the elements in the next braces lead to concatenations.
    pub(super) fn data_is_concatenated(&self) -> bool {
        self.first_data().any(|t| *t == Token::Sign("."))
    }

    /// Whether the elements in the next braces lead to ranges of addresses.
    pub(super) fn data_is_ranged(&self) -> bool {
        let is_range = |word: &str| word.contains('/') || word.contains('-') && word.contains(['.', ':']);
        self.first_data().any(|t| matches!(t, Token::Word(word) if is_range(word)))
    }

    /// What stands behind the first colon in the next braces, up to the end of that element.
    fn first_data(&self) -> impl Iterator<Item = &Token> {
        let braced = self.peek() == Some(&Token::Sign("{"));
        let ahead = self.tokens[self.position.min(self.tokens.len())..].iter().map(|t| &t.0);
        ahead
            .take_while(move |_| braced)
            .skip_while(|t| **t != Token::Sign(":"))
            .take_while(|t| !matches!(t, Token::Sign("," | "}")))
    }

    /// Fails unless everything was read.
    pub(super) fn at_end(&self) -> Result<(), ParseError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error("the end")) }
    }

    /// An error at the next piece.
    pub(super) fn error(&self, expected: &str) -> ParseError {
        let (found, offset) = match self.tokens.get(self.position) {
            Some((Token::End, offset)) => ("the end of the line".into(), *offset),
            Some((Token::Sign(sign), offset)) => (format!("'{sign}'"), *offset),
            Some((Token::Word(word), offset)) => (format!("'{}'", shortened(word)), *offset),
            Some((Token::Quoted(text), offset)) => (format!("\"{}\"", shortened(text)), *offset),
            None => ("the end".into(), self.text.len()),
        };
        error_at(self.text, offset, expected, found)
    }
}

fn shortened(text: &str) -> String {
    /// How much of a word an error repeats.
    const MOST: usize = 60;
    let clean = |c: char| if c.is_control() { '?' } else { c };
    let mut short: String = text.chars().take(MOST).map(clean).collect();
    if text.chars().nth(MOST).is_some() {
        short.push_str("...");
    }
    short
}

fn error_at(text: &str, offset: usize, expected: &str, found: String) -> ParseError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ParseError {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        expected: expected.to_owned(),
        found,
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        let (token, length) = match first {
            '\n' | ';' => (Some(Token::End), 1),
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '\\' if rest[1..].starts_with('\n') => (None, 2),
            c if c.is_whitespace() => (None, c.len_utf8()),
            '"' => {
                let Some(length) = rest[1..].find(['"', '\n']).filter(|end| rest[1 + end..].starts_with('"')) else {
                    return Err(error_at(text, at, "a closing quote", "none on this line".into()));
                };
                (Some(Token::Quoted(rest[1..=length].to_owned())), length + 2)
            }
            _ => match word_length(rest) {
                0 => {
                    let sign = SIGNS.iter().chain(&LOOSE_SIGNS).find(|sign| rest.starts_with(**sign));
                    let Some(sign) = sign else {
                        return Err(error_at(text, at, "a word or sign", format!("{first:?}")));
                    };
                    (Some(Token::Sign(sign)), sign.len())
                }
                length => (Some(Token::Word(rest[..length].to_owned())), length),
            },
        };
        tokens.extend(token.map(|t| (t, at)));
        at += length;
    }
    Ok(tokens)
}

/// The length of the word at the beginning, 0 if there is none: signs that stand alone are no words.
fn word_length(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || "_.:-/\\*+%~$".contains(c);
    let whole = text.find(|c: char| !is_part(c)).unwrap_or(text.len());
    let word = &text[..whole];
    if !word.contains(|c: char| c.is_alphanumeric()) && word != "::" && !word.starts_with("::/") {
        return 0;
    }
    if word.starts_with(['-', '/', '+']) {
        return 0;
    }
    // A colon at the end belongs to a map (`80: accept`), unless it is half of the one that ends an IPv6 address.
    if word.ends_with(':') && !word.ends_with("::") { whole - 1 } else { whole }
}
