//! Questions for the addresses of a name, and the answers to them (RFC 1035), as they go over UDP.
//!
//! Only what it takes to resolve one name: one question, and of the answer the addresses, wherever a chain of aliases
//! leads to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Family;
use crate::field::{byte, bytes, short};

/// The longest message that a server may send without being asked for more.
pub const LONGEST: usize = 512;

/// A question for the addresses of a name in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: u16,
    family: Family,
    /// The name as labels, each behind its length, the empty one last.
    name: Vec<u8>,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went.
    pub code: ResponseCode,
    /// The addresses of the name.
    pub addresses: Vec<IpAddr>,
}

/// How a server says it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// The name is there; it may have no address of the family.
    Done,
    /// There is no such name (NXDOMAIN).
    NoSuchName,
    /// The server could not find out (SERVFAIL).
    Failed,
    /// The server will not say (REFUSED).
    Refused,
    /// Another number.
    Other(u8),
}

/// Why a text is no name of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError(String);

/// A header: identification, flags, four counts.
const HEADER: usize = 12;
/// Recursion desired.
const RECURSE: u16 = 0x0100;
/// This is a response.
const RESPONSE: u16 = 0x8000;
/// The class of the internet.
const INTERNET: u16 = 1;
/// The types of records with addresses.
const ADDRESS_V4: u16 = 1;
const ADDRESS_V6: u16 = 28;
/// How many records of an answer are looked at.
const MOST_RECORDS: u16 = 64;

impl Question {
    /// A question for a name, with or without its last dot.
    pub fn new(id: u16, name: &str, family: Family) -> Result<Self, NameError> {
        Ok(Self { id, family, name: labels(name)? })
    }

    /// The message to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = [self.id, RECURSE, 1, 0, 0, 0];
        let mut message: Vec<u8> = header.into_iter().flat_map(u16::to_be_bytes).collect();
        message.extend(&self.name);
        message.extend([self.record_type(), INTERNET].into_iter().flat_map(u16::to_be_bytes));
        message
    }

    /// The answer in a message; none if the message does not answer this question.
    pub fn answer(&self, message: &[u8]) -> Option<Answer> {
        let flags = short(message, 2)?;
        let asked = message.get(HEADER..HEADER + self.name.len())?;
        let after = HEADER + self.name.len();
        let ours = short(message, 0)? == self.id
            && flags & RESPONSE != 0
            && short(message, 4)? == 1
            && asked.eq_ignore_ascii_case(&self.name)
            && short(message, after)? == self.record_type();
        ours.then(|| Answer { code: (flags as u8 & 0x0f).into(), addresses: self.addresses(message, after + 4) })
    }

    /// The addresses in the records from an offset on.
    fn addresses(&self, message: &[u8], mut offset: usize) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for _ in 0..short(message, 6).unwrap_or(0).min(MOST_RECORDS) {
            let Some((address, next)) = self.record(message, offset) else { break };
            found.extend(address);
            offset = next;
        }
        found
    }

    /// The address in the record at an offset, if it has one, and where the next one begins.
    fn record(&self, message: &[u8], offset: usize) -> Option<(Option<IpAddr>, usize)> {
        let fixed = skip_name(message, offset)?;
        let length = usize::from(short(message, fixed + 8)?);
        let data = message.get(fixed + 10..fixed + 10 + length)?;
        let wanted = short(message, fixed)? == self.record_type() && short(message, fixed + 2)? == INTERNET;
        let address = match self.family {
            Family::V4 => bytes::<4>(data, 0).filter(|_| length == 4).map(|octets| Ipv4Addr::from(octets).into()),
            Family::V6 => bytes::<16>(data, 0).filter(|_| length == 16).map(|octets| Ipv6Addr::from(octets).into()),
        };
        Some((address.filter(|_| wanted), fixed + 10 + length))
    }

    fn record_type(&self) -> u16 {
        match self.family {
            Family::V4 => ADDRESS_V4,
            Family::V6 => ADDRESS_V6,
        }
    }
}

/// A name as labels. Letters, digits, hyphens and the underscores that some put there.
fn labels(name: &str) -> Result<Vec<u8>, NameError> {
    let mut bytes = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let fits = (1..=63).contains(&label.len());
        let readable = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits || !readable {
            return Err(NameError(name.to_owned()));
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    if bytes.len() > 255 { Err(NameError(name.to_owned())) } else { Ok(bytes) }
}

/// Where a name ends that begins at an offset: behind its last label, or behind the first reference to another name.
fn skip_name(message: &[u8], mut offset: usize) -> Option<usize> {
    /// More labels than the longest name has.
    const MOST_LABELS: usize = 128;
    for _ in 0..MOST_LABELS {
        match byte(message, offset)? {
            0 => return Some(offset + 1),
            length @ 1..=63 => offset += 1 + usize::from(length),
            192..=255 => return Some(offset + 2),
            _ => return None,
        }
    }
    None
}

impl From<u8> for ResponseCode {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Failed,
            3 => Self::NoSuchName,
            5 => Self::Refused,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("NOERROR"),
            Self::NoSuchName => f.write_str("NXDOMAIN"),
            Self::Failed => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Other(code) => write!(f, "response code {code}"),
        }
    }
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' is neither an address nor the name of a host", self.0)
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(family: Family) -> Question {
        Question::new(0x1234, "www.Example.test", family).unwrap()
    }

    /// A response to the question with these records, as type and data; names are references to the first one.
    fn response(question: &Question, flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = question.to_bytes();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            message.extend([*kind, INTERNET, 0, 60, data.len() as u16].into_iter().flat_map(u16::to_be_bytes));
            message.extend(*data);
        }
        message
    }

    #[test]
    fn a_question_in_bytes() {
        let bytes = question(Family::V4).to_bytes();
        assert_eq!(bytes, b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03www\x07Example\x04test\0\0\x01\0\x01");
        assert_eq!(Question::new(0x1234, "www.Example.test.", Family::V4), Ok(question(Family::V4)));
    }

    #[test]
    fn addresses_are_found_behind_aliases_in_both_families() {
        let question4 = question(Family::V4);
        let records: [(u16, &[u8]); 3] = [(5, b"\x01x\xc0\x10"), (1, &[10, 0, 0, 1]), (1, &[10, 0, 0, 2])];
        let answer = question4.answer(&response(&question4, 0x8180, &records)).unwrap();
        assert_eq!(answer.code, ResponseCode::Done);
        assert_eq!(answer.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2"]);
        let question6 = question(Family::V6);
        let records: [(u16, &[u8]); 2] =
            [(1, &[10, 0, 0, 1]), (28, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])];
        let answer = question6.answer(&response(&question6, 0x8180, &records)).unwrap();
        assert_eq!(answer.addresses, ["fd00::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn what_answers_another_question_is_none() {
        let asked = question(Family::V4);
        let right = response(&asked, 0x8183, &[]);
        assert_eq!(asked.answer(&right), Some(Answer { code: ResponseCode::NoSuchName, addresses: Vec::new() }));
        assert_eq!(asked.answer(&asked.to_bytes()), None, "a question");
        assert_eq!(question(Family::V6).answer(&right), None, "another type");
        let other = Question::new(0x1234, "www.Example.text", Family::V4).unwrap();
        assert_eq!(other.answer(&right), None, "another name");
        assert_eq!(Question { id: 7, ..asked.clone() }.answer(&right), None, "another number");
        let mut shouted = right.clone();
        shouted[13..16].copy_from_slice(b"WWW");
        assert!(asked.answer(&shouted).is_some(), "case does not matter");
    }

    #[test]
    fn what_is_cut_or_hostile_ends() {
        let asked = question(Family::V4);
        let whole = response(&asked, 0x8180, &[(1, &[10, 0, 0, 1]), (1, &[10, 0, 0, 2])]);
        for length in 0..whole.len() {
            let found = asked.answer(&whole[..length]).map_or(0, |answer| answer.addresses.len());
            assert!(found <= 1, "{length}");
        }
        let mut endless = whole;
        let start = asked.to_bytes().len();
        endless.truncate(start);
        endless[6..8].copy_from_slice(&[0xff, 0xff]);
        endless.extend([1, b'a'].repeat(1000));
        assert_eq!(asked.answer(&endless).unwrap().addresses, [] as [IpAddr; 0]);
    }

    #[test]
    fn names_that_no_host_can_have() {
        for name in ["", ".", "a..b", "a b", "höst", &"x".repeat(64), &"abc.".repeat(64)] {
            let error = Question::new(1, name, Family::V4).unwrap_err();
            assert!(error.to_string().starts_with(&format!("'{name}' is neither")), "{error}");
        }
        assert!(Question::new(1, "_x.a-1", Family::V4).is_ok());
    }
}
