//! The words of a line, taken one by one, and what is said when the next one is not the right one.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::model::{Family, LinkName, NetnsName};
use crate::plan::words::{self, SplitError, Word};

/// Why a line is not a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct ParseError {
    /// What should have stood there.
    pub expected: String,
    /// What stands there, quoted; or that the line ends.
    pub found: String,
    /// The byte of the line at which it stands.
    pub offset: usize,
}

/// The words of a line, and how far they are read.
pub(super) struct Cursor<'a> {
    words: &'a [Word],
    next: usize,
    end: usize,
}

/// Splits the line, or says why it cannot be split.
pub(super) fn split(line: &str) -> Result<Vec<Word>, ParseError> {
    words::split(line).map_err(|error| match error {
        SplitError::Unclosed(offset) => {
            ParseError { expected: "a closing quote".into(), found: "the end of the line".into(), offset }
        }
        SplitError::Special(offset, c) => ParseError {
            expected: "one command, with special characters in quotes".into(),
            found: format!("{c:?}"),
            offset,
        },
        SplitError::TooLong => {
            ParseError { expected: "a shorter line".into(), found: format!("{} bytes", line.len()), offset: 0 }
        }
    })
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &str, words: &'a [Word]) -> Self {
        Self { words, next: 0, end: line.len() }
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|word| word.text.as_str())
    }

    /// Passes over the next word.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// The next word, if there is one.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.skip();
        Some(word)
    }

    /// The next word, or an error that says what is missing.
    pub(super) fn take(&mut self, expected: &str) -> Result<&'a str, ParseError> {
        match self.next() {
            Some(word) => Ok(word),
            None => Err(self.missing(expected)),
        }
    }

    /// Passes over the next word if it is this one.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let eaten = self.peek() == Some(word);
        self.next += usize::from(eaten);
        eaten
    }

    /// The word that was taken last and all that are left, with a space between them.
    pub(super) fn rest(&mut self, first: &str) -> String {
        let mut text = first.to_owned();
        while let Some(word) = self.next() {
            text.push(' ');
            text.push_str(word);
        }
        text
    }

    /// Whether these two words stand side by side in what is left.
    pub(super) fn ahead(&self, first: &str, second: &str) -> bool {
        self.words[self.next.min(self.words.len())..].windows(2).any(|w| w[0].text == first && w[1].text == second)
    }

    /// Passes over the next word, which must be this one.
    pub(super) fn expect(&mut self, word: &str) -> Result<(), ParseError> {
        if self.take(word)? == word { Ok(()) } else { Err(self.unexpected(word)) }
    }

    /// Nothing may be left.
    pub(super) fn finish(&mut self) -> Result<(), ParseError> {
        match self.next() {
            Some(_) => Err(self.unexpected("the end of the line")),
            None => Ok(()),
        }
    }

    /// The error for the word that was taken last.
    pub(super) fn unexpected(&self, expected: &str) -> ParseError {
        let word = self.next.checked_sub(1).and_then(|last| self.words.get(last));
        match word {
            Some(word) => {
                ParseError { expected: expected.into(), found: format!("'{}'", word.text), offset: word.start }
            }
            None => self.missing(expected),
        }
    }

    /// The error for a word whose meaning was refused, for a reason of its own.
    pub(super) fn refused(&self, reason: &impl Display) -> ParseError {
        let error = self.unexpected("something else");
        ParseError { expected: format!("another word ({reason})"), ..error }
    }

    fn missing(&self, expected: &str) -> ParseError {
        ParseError { expected: expected.into(), found: "the end of the line".into(), offset: self.end }
    }

    /// What must have been given by now.
    pub(super) fn required<T>(&self, value: Option<T>, expected: &str) -> Result<T, ParseError> {
        value.ok_or_else(|| self.missing(expected))
    }

    /// A number, decimal or hexadecimal with 0x in front.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, expected: &str) -> Result<T, ParseError> {
        let word = self.take(expected)?;
        number(word).ok_or_else(|| self.unexpected(expected))
    }

    /// A word that some type reads.
    pub(super) fn parsed<T: FromStr>(&mut self, expected: &str) -> Result<T, ParseError> {
        let word = self.take(expected)?;
        word.parse().map_err(|_| self.unexpected(expected))
    }

    /// An address of either family.
    pub(super) fn address(&mut self, expected: &str) -> Result<IpAddr, ParseError> {
        self.parsed(expected)
    }

    /// An address with a prefix length, which a single address may leave out; `all` stands for this.
    pub(super) fn net(&mut self, expected: &str, all: Option<IpNet>) -> Result<IpNet, ParseError> {
        let word = self.take(expected)?;
        if let (Some(all), "default" | "all" | "any") = (all, word) {
            return Ok(all);
        }
        net(word).ok_or_else(|| self.unexpected(expected))
    }

    /// The local address with the prefix length of its peer.
    pub(super) fn same_family(&self, local: IpNet, peer: IpNet) -> Result<IpNet, ParseError> {
        if Family::of(local.addr()) != Family::of(peer.addr()) {
            return Err(self.unexpected("a peer of the same family"));
        }
        IpNet::new(local.addr(), peer.prefix_len()).map_err(|_| self.unexpected("a prefix length"))
    }

    /// `on` or `off`.
    pub(super) fn on_off(&mut self) -> Result<bool, ParseError> {
        match self.take("on or off")? {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(self.unexpected("on or off")),
        }
    }

    /// The name of an interface.
    pub(super) fn link_name(&mut self) -> Result<LinkName, ParseError> {
        let word = self.take("an interface name")?;
        word.parse().map_err(|error| self.refused(&error))
    }

    /// The name of a namespace under `/run/netns`.
    pub(super) fn plain_netns(&mut self) -> Result<NetnsName, ParseError> {
        let name = self.netns_name()?;
        if name.is_plain() { Ok(name) } else { Err(self.unexpected("a name under /run/netns")) }
    }

    /// What follows `-n`: a name under `/run/netns`.
    pub(super) fn netns_name(&mut self) -> Result<NetnsName, ParseError> {
        let word = self.take("the name of a namespace")?;
        let name: NetnsName = word.parse().map_err(|error| self.refused(&error))?;
        if name.is_plain() { Ok(name) } else { Err(self.unexpected("a name under /run/netns")) }
    }

    /// What follows `netns`: a name, a process, a path, or `$$` for the namespace of the shell.
    pub(super) fn netns_argument(&mut self) -> Result<NetnsName, ParseError> {
        let word = self.take("a namespace")?;
        let text = match word.strip_prefix("/run/netns/") {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ if word == "$$" => "host".into(),
            _ if word.bytes().all(|b| b.is_ascii_digit()) => format!("pid:{word}"),
            _ if word == "host" || word.starts_with("pid:") => return Err(self.unexpected("a namespace")),
            _ => word.to_owned(),
        };
        text.parse().map_err(|error| self.refused(&error))
    }
}

/// A number, decimal or hexadecimal with 0x in front.
pub(super) fn number<T: TryFrom<u64>>(word: &str) -> Option<T> {
    let value = match word.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok()?,
        _ if word.starts_with('+') => return None,
        _ => word.parse().ok()?,
    };
    T::try_from(value).ok()
}

/// An address with a prefix length; without one it is a single address.
pub(super) fn net(word: &str) -> Option<IpNet> {
    word.parse().ok().or_else(|| Some(IpNet::from(word.parse::<IpAddr>().ok()?)))
}
