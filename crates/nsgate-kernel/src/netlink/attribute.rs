//! Reading: messages in a buffer and attributes in a message.
//!
//! The bytes may be anything: a length that points out of the buffer ends the walk, a value of the wrong size reads
//! as absent.

use std::net::IpAddr;

use super::batch::{ATTRIBUTE_HEADER, MESSAGE_HEADER};

/// The bits of an attribute type that are its number; the two highest say how its value is written.
const TYPE_MASK: u16 = 0x3fff;

/// The messages of a buffer.
#[derive(Clone, Debug)]
pub struct Messages<'a>(&'a [u8]);

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type (RTM_NEWLINK).
    pub kind: u16,
    /// Its flags (NLM_F_MULTI).
    pub flags: u16,
    /// The sequence number of the request that it answers.
    pub sequence: u32,
    /// What follows the netlink header.
    pub payload: &'a [u8],
}

/// The attributes of a message or of a nested attribute.
#[derive(Clone, Debug, Default)]
pub struct Attributes<'a>(&'a [u8]);

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    /// Its type, without the bits that say how it is written.
    pub kind: u16,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads a buffer.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = self.0.first_chunk::<MESSAGE_HEADER>()?;
        let length = u32_at(header, 0) as usize;
        let payload = self.0.get(MESSAGE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: u16_at(header, 4), flags: u16_at(header, 6), sequence: u32_at(header, 8), payload })
    }
}

impl<'a> Message<'a> {
    /// The subsystem's header of `N` bytes, and the attributes behind it; none if the message is shorter.
    pub fn split<const N: usize>(&self) -> Option<(&'a [u8; N], Attributes<'a>)> {
        split(self.payload)
    }
}

impl<'a> Attributes<'a> {
    /// Reads attributes from bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first attribute of a type.
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        Iterator::find(&mut self.clone(), |a| a.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let header = self.0.first_chunk::<ATTRIBUTE_HEADER>()?;
        let length = u16_at(header, 0) as usize;
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind: u16_at(header, 2) & TYPE_MASK, value })
    }
}

impl<'a> Attribute<'a> {
    /// An 8-bit number.
    pub fn u8(&self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    /// A 16-bit number in the machine's byte order.
    pub fn u16(&self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    /// A 32-bit number in the machine's byte order.
    pub fn u32(&self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    /// A signed 32-bit number in the machine's byte order.
    pub fn i32(&self) -> Option<i32> {
        self.array().map(i32::from_ne_bytes)
    }

    /// A 64-bit number in the machine's byte order.
    pub fn u64(&self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// A 16-bit number in network byte order.
    pub fn be16(&self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit number in network byte order.
    pub fn be32(&self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit number in network byte order.
    pub fn be64(&self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text, with or without its closing zero.
    pub fn text(&self) -> Option<&'a str> {
        let end = self.value.iter().position(|b| *b == 0).unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).ok()
    }

    /// An IPv4 (4 bytes) or IPv6 (16 bytes) address.
    pub fn address(&self) -> Option<IpAddr> {
        match self.value.len() {
            4 => self.array::<4>().map(IpAddr::from),
            16 => self.array::<16>().map(IpAddr::from),
            _ => None,
        }
    }

    /// The attributes it holds.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }

    /// A header of `N` bytes and the attributes behind it.
    pub fn split<const N: usize>(&self) -> Option<(&'a [u8; N], Attributes<'a>)> {
        split(self.value)
    }

    /// The value, if it is `N` bytes long.
    pub fn array<const N: usize>(&self) -> Option<[u8; N]> {
        self.value.try_into().ok()
    }
}

/// A header and what follows it; headers are padded to four bytes.
fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], Attributes<'_>)> {
    let header = bytes.first_chunk::<N>()?;
    Some((header, Attributes(bytes.get(N.next_multiple_of(4)..).unwrap_or_default())))
}

fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_lengths_end_the_walk() {
        for length in [0u16, 3, 9, 0xffff] {
            let mut bytes = [0u8; 8];
            bytes[..2].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Attributes::new(&bytes).count(), 0, "{length}");
        }
        for length in [0u32, 15, 33, u32::MAX] {
            let mut bytes = [0u8; 32];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(Messages::new(&bytes).count(), 0, "{length}");
        }
    }

    #[test]
    fn an_unpadded_last_attribute_counts() {
        let bytes = [5, 0, 2, 0x80, 42];
        let mut attributes = Attributes::new(&bytes);
        let only = attributes.next().unwrap();
        assert_eq!((only.kind, only.u8()), (2, Some(42)));
        assert!(attributes.next().is_none());
    }
}
