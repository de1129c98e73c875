//! Writing: one buffer of many requests, with every length kept right as the buffer grows.

use std::net::IpAddr;

/// The size of `struct nlmsghdr`.
pub(super) const MESSAGE_HEADER: usize = 16;
/// The size of `struct nlattr`.
pub(super) const ATTRIBUTE_HEADER: usize = 4;

/// Requests, one after the other, ready to be sent.
///
/// [`begin`](Self::begin) opens a request; everything that is put afterwards belongs to it. Attributes nest by
/// [`nest`](Self::nest). An attribute longer than a netlink attribute can be makes the batch unfit to be sent, which
/// the socket reports; nothing here panics.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    too_long: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a request of a type (RTM_NEWLINK), with flags (NLM_F_CREATE; NLM_F_REQUEST is implied) and the
    /// subsystem's own header (`struct ifinfomsg`).
    pub fn begin(&mut self, kind: u16, flags: u16, header: &[u8]) {
        self.pad();
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.raw(header);
    }

    /// Appends bytes as they are: a header inside a nested attribute, for example.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
        self.set_message_length();
    }

    /// Appends an attribute of any bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(ATTRIBUTE_HEADER + value.len()) else {
            self.too_long = true;
            return;
        };
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value);
    }

    /// Appends an attribute without a value, whose presence is the message.
    pub fn flag(&mut self, kind: u16) {
        self.bytes(kind, &[]);
    }

    /// Appends an 8-bit number.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Appends a 16-bit number in the machine's byte order.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a 32-bit number in the machine's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a 64-bit number in the machine's byte order.
    pub fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Appends a 16-bit number in network byte order.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 32-bit number in network byte order.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 64-bit number in network byte order.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a text with its closing zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// Appends an IPv4 (4 bytes) or IPv6 (16 bytes) address.
    pub fn address(&mut self, kind: u16, value: IpAddr) {
        match value {
            IpAddr::V4(v4) => self.bytes(kind, &v4.octets()),
            IpAddr::V6(v6) => self.bytes(kind, &v6.octets()),
        }
    }

    /// Appends an attribute that holds attributes, marked as such (NLA_F_NESTED): those that `fill` puts.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.container(kind | libc::NLA_F_NESTED as u16, fill);
    }

    /// Like [`nest`](Self::nest) without the mark, for those few attributes whose reader in the kernel is older.
    pub fn container(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&(ATTRIBUTE_HEADER as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.set_message_length();
    }

    /// What follows the netlink header of the last request.
    pub(crate) fn body(&self) -> &[u8] {
        self.starts.last().map_or(&[], |start| &self.bytes[start + MESSAGE_HEADER..])
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// How many bytes they take.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether every attribute fits its length field.
    pub(super) fn sound(&self) -> bool {
        !self.too_long
    }

    /// The bytes of the requests from `first` up to, not including, `end`.
    pub(crate) fn part(&self, first: usize, end: usize) -> &[u8] {
        let start = self.starts.get(first).copied().unwrap_or(self.bytes.len());
        let stop = self.starts.get(end).copied().unwrap_or(self.bytes.len());
        &self.bytes[start..stop]
    }

    /// Gives a request its sequence number and adds flags to those it has.
    pub(super) fn stamp(&mut self, request: usize, sequence: u32, flags: u16) {
        let Some(&start) = self.starts.get(request) else { return };
        let flags = flags | self.flags(request);
        self.bytes[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    /// The flags of a request.
    pub(super) fn flags(&self, request: usize) -> u16 {
        let Some(&start) = self.starts.get(request) else { return 0 };
        u16::from_ne_bytes([self.bytes[start + 6], self.bytes[start + 7]])
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn set_message_length(&mut self) {
        if let Some(&start) = self.starts.last() {
            let length = (self.bytes.len() - start) as u32;
            self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Messages;
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut batch = Batch::new();
        batch.begin(16, 0x400, &[7; 16]);
        batch.text(3, "veth2");
        batch.nest(18, |b| {
            b.text(1, "veth");
            b.nest(2, |b| {
                b.nest(1, |b| {
                    b.raw(&[9; 16]);
                    b.u32(4, 1500);
                });
            });
        });
        batch.begin(20, 0, &[1, 2, 3, 4, 5]);
        batch.address(1, "fd00::1".parse().unwrap());
        batch.be16(2, 0x1234);

        let messages: Vec<_> = Messages::new(batch.part(0, 2)).collect();
        assert_eq!(messages.len(), 2);
        let (header, attributes) = messages[0].split::<16>().unwrap();
        assert_eq!(header, &[7; 16]);
        assert_eq!(attributes.find(3).unwrap().text(), Some("veth2"));
        let peer = attributes.find(18).unwrap().nested().find(2).unwrap().nested().find(1).unwrap();
        let (inner, inside) = peer.split::<16>().unwrap();
        assert_eq!(inner, &[9; 16]);
        assert_eq!(inside.find(4).unwrap().u32(), Some(1500));

        let (_, attributes) = messages[1].split::<5>().unwrap();
        assert_eq!(attributes.find(1).unwrap().address(), Some("fd00::1".parse().unwrap()));
        assert_eq!(attributes.find(2).unwrap().be16(), Some(0x1234));
        assert_eq!(attributes.find(2).unwrap().u32(), None);
    }

    #[test]
    fn an_attribute_that_cannot_be_is_noticed() {
        let mut batch = Batch::new();
        batch.begin(16, 0, &[]);
        batch.nest(1, |b| {
            for _ in 0..20 {
                b.bytes(1, &[0; 4000]);
            }
        });
        assert!(!batch.sound());
    }
}
