//! What the programs write for each event, byte by byte, and how it is read.

/// Where each field lies. Numbers are in the machine's order unless said otherwise.
pub(super) mod field {
    /// When (64 bits).
    pub(in crate::bpf) const TIME: i16 = 0;
    /// The address of the buffer (64 bits).
    pub(in crate::bpf) const BUFFER: i16 = 8;
    /// The address in the kernel's code where it happened (64 bits).
    pub(in crate::bpf) const LOCATION: i16 = 16;
    /// What the kind of event says beside (32 bits).
    pub(in crate::bpf) const DETAIL: i16 = 24;
    /// The priority of a tap (32 bits, signed).
    pub(in crate::bpf) const PRIORITY: i16 = 28;
    /// The inode number of the namespace (32 bits).
    pub(in crate::bpf) const NETNS: i16 = 32;
    /// The number of the interface (32 bits).
    pub(in crate::bpf) const LINK: i16 = 36;
    /// The packet's mark (32 bits).
    pub(in crate::bpf) const MARK: i16 = 40;
    /// The length of the buffer (32 bits).
    pub(in crate::bpf) const LENGTH: i16 = 44;
    /// The ethertype (16 bits, network order).
    pub(in crate::bpf) const ETHERTYPE: i16 = 48;
    /// How many bytes were kept (16 bits).
    pub(in crate::bpf) const KEPT: i16 = 50;
    /// What happened (8 bits).
    pub(in crate::bpf) const KIND: i16 = 52;
    /// The number of the hook (8 bits).
    pub(in crate::bpf) const HOOK: i16 = 53;
    /// The family of the hook or neighbour, as the kernel counts families (8 bits).
    pub(in crate::bpf) const FAMILY: i16 = 54;
    /// To whom the frame was addressed (8 bits).
    pub(in crate::bpf) const ADDRESSEE: i16 = 55;
    /// The name of the function where it happened, closed by a zero.
    pub(in crate::bpf) const SYMBOL: i16 = 56;
    /// The bytes that were kept.
    pub(in crate::bpf) const BYTES: i16 = SYMBOL + super::MOST_SYMBOL;
}

/// How many bytes the name of a function has at most, with its closing zero; the rest of a longer name is cut off.
pub(super) const MOST_SYMBOL: i16 = 64;
/// How many bytes of a packet are kept at most: enough for an ICMPv6 error and the start of what it quotes.
pub(super) const MOST_BYTES: i16 = 128;
/// The length of a record.
pub(super) const LENGTH: i16 = field::BYTES + MOST_BYTES;
/// The detail of a drop on a kernel that gives no reasons.
pub(super) const NO_REASON: u32 = u32::MAX;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A packet was thrown away. Detail: the reason.
    Dropped = 1,
    /// A packet came to its end.
    Consumed = 2,
    /// A packet was given to the queue of an interface.
    Queued = 3,
    /// A packet was given to the driver of an interface.
    Transmitted = 4,
    /// A packet was taken in.
    Received = 5,
    /// An ICMP error is sent. Detail: type and code, eight bits each.
    IcmpSent = 6,
    /// A TCP reset is sent.
    ResetSent = 7,
    /// A neighbour changes. Detail: state before and after, eight bits each. The bytes are its address.
    Neighbour = 8,
    /// A packet passed a tap.
    Tap = 9,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) time: u64,
    pub(super) buffer: u64,
    pub(super) location: u64,
    pub(super) detail: u32,
    pub(super) priority: i32,
    pub(super) netns: u32,
    pub(super) link: u32,
    pub(super) mark: u32,
    pub(super) length: u32,
    pub(super) ethertype: u16,
    pub(super) kind: Kind,
    pub(super) hook: u8,
    pub(super) family: u8,
    pub(super) addressee: u8,
    pub(super) symbol: &'a [u8],
    pub(super) bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record; none if it is not one.
    pub(super) fn parse(record: &'a [u8]) -> Option<Self> {
        let byte = |offset: i16| record.get(offset as usize).copied();
        let short = |offset: i16| record.get(offset as usize..)?.first_chunk().copied();
        let long = |offset: i16| record.get(offset as usize..)?.first_chunk().map(|b| u32::from_ne_bytes(*b));
        let wide = |offset: i16| record.get(offset as usize..)?.first_chunk().map(|b| u64::from_ne_bytes(*b));
        let kept = u16::from_ne_bytes(short(field::KEPT)?).min(MOST_BYTES as u16);
        let symbol = record.get(field::SYMBOL as usize..field::BYTES as usize)?;
        let end = symbol.iter().position(|byte| *byte == 0)?;
        let start = field::BYTES as usize;
        Some(Self {
            time: wide(field::TIME)?,
            buffer: wide(field::BUFFER)?,
            location: wide(field::LOCATION)?,
            detail: long(field::DETAIL)?,
            priority: long(field::PRIORITY)? as i32,
            netns: long(field::NETNS)?,
            link: long(field::LINK)?,
            mark: long(field::MARK)?,
            length: long(field::LENGTH)?,
            ethertype: u16::from_be_bytes(short(field::ETHERTYPE)?),
            kind: Kind::of(byte(field::KIND)?)?,
            hook: byte(field::HOOK)?,
            family: byte(field::FAMILY)?,
            addressee: byte(field::ADDRESSEE)?,
            symbol: &symbol[..end],
            bytes: record.get(start..start + usize::from(kept))?,
        })
    }
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        use Kind::{Consumed, Dropped, IcmpSent, Neighbour, Queued, Received, ResetSent, Tap, Transmitted};
        [Dropped, Consumed, Queued, Transmitted, Received, IcmpSent, ResetSent, Neighbour, Tap]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_field_by_field() {
        let mut bytes: Vec<u8> = (0..LENGTH).map(|place| place as u8).collect();
        bytes[field::SYMBOL as usize..][..7].copy_from_slice(b"ip_rcv\0");
        bytes[field::KIND as usize] = Kind::Tap as u8;
        bytes[field::KEPT as usize..field::KIND as usize].copy_from_slice(&3u16.to_ne_bytes());
        let record = Record::parse(&bytes).unwrap();
        assert_eq!(record.time.to_ne_bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(record.priority.to_ne_bytes(), [28, 29, 30, 31]);
        assert_eq!((record.ethertype, record.kind, record.hook), (0x3031, Kind::Tap, 53));
        assert_eq!((record.symbol, record.bytes), (b"ip_rcv".as_slice(), [120, 121, 122].as_slice()));
    }

    #[test]
    fn what_is_no_record_is_nothing() {
        let mut bytes = [0; LENGTH as usize];
        assert_eq!(Record::parse(&bytes), None, "no such kind");
        bytes[field::KIND as usize] = 1;
        bytes[field::KEPT as usize..field::KIND as usize].copy_from_slice(&u16::MAX.to_ne_bytes());
        assert_eq!(Record::parse(&bytes).unwrap().bytes.len(), MOST_BYTES as usize);
        assert_eq!(Record::parse(&bytes[..LENGTH as usize - 1]), None);
        assert_eq!(Record::parse(&[]), None);
    }
}
