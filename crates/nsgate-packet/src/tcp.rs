//! TCP headers.

use std::fmt;
use std::ops::BitOr;

use crate::field::{byte, long, short};

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// The port it comes from.
    pub source_port: u16,
    /// The port it goes to.
    pub destination_port: u16,
    /// The number of its first byte, or of its SYN.
    pub sequence: u32,
    /// The next number expected from the other end; without meaning unless [`TcpFlags::ACK`] is set.
    pub acknowledgement: u32,
    /// The flags.
    pub flags: TcpFlags,
    /// The receive window as written, not scaled.
    pub window: u16,
    /// The options, padding included.
    pub options: &'a [u8],
    /// The data.
    pub payload: &'a [u8],
}

/// The flags of a TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Opens a connection.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Refuses or breaks a connection.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// Hand the data to the application at once.
    pub const PSH: TcpFlags = TcpFlags(0x08);
    /// The acknowledgement number counts.
    pub const ACK: TcpFlags = TcpFlags(0x10);

    /// Whether all flags of `other` are set.
    pub fn has(self, other: TcpFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for TcpFlags {
    type Output = TcpFlags;

    fn bitor(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    /// In tcpdump's letters: `S`, `S.`, `R.`, `P.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(u8, char); 8] =
            [(0x01, 'F'), (0x02, 'S'), (0x04, 'R'), (0x08, 'P'), (0x20, 'U'), (0x40, 'E'), (0x80, 'W'), (0x10, '.')];
        if self.0 == 0 {
            return f.write_str("none");
        }
        LETTERS.iter().filter(|(bit, _)| self.0 & bit != 0).try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

/// The maximum segment size option.
const MSS: u8 = 2;

impl<'a> Tcp<'a> {
    /// Bytes of the header without options.
    pub const HEADER: usize = 20;

    /// The segment in `bytes`; none if its header is cut.
    pub fn parse(segment: &'a [u8]) -> Option<Tcp<'a>> {
        let header = usize::from(byte(segment, 12)? >> 4) * 4;
        Some(Tcp {
            source_port: short(segment, 0)?,
            destination_port: short(segment, 2)?,
            sequence: long(segment, 4)?,
            acknowledgement: long(segment, 8)?,
            flags: TcpFlags(byte(segment, 13)?),
            window: short(segment, 14)?,
            options: segment.get(Self::HEADER..header)?,
            payload: segment.get(header..)?,
        })
    }

    /// The maximum segment size the sender announces; only in segments with SYN.
    pub fn mss(&self) -> Option<u16> {
        self.option(MSS).and_then(|data| short(data, 0))
    }

    /// The data of the first option of that kind.
    pub fn option(&self, kind: u8) -> Option<&'a [u8]> {
        let mut rest = self.options;
        loop {
            match *rest.first()? {
                0 => return None,
                1 => rest = &rest[1..],
                other => {
                    let length = usize::from(byte(rest, 1)?);
                    let data = rest.get(2..length)?;
                    if other == kind {
                        return Some(data);
                    }
                    rest = &rest[length..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: [u8; 28] =
        [0x9c, 0x40, 0, 80, 0, 0, 0, 5, 0, 0, 0, 0, 0x70, 0x02, 0xfa, 0xf0, 0, 0, 0, 0, 1, 1, 2, 4, 0x05, 0xb4, 0, 0];

    #[test]
    fn a_syn_with_options() {
        let tcp = Tcp::parse(&SYN).unwrap();
        assert_eq!((tcp.source_port, tcp.destination_port, tcp.sequence), (40000, 80, 5));
        assert_eq!((tcp.flags, tcp.window, tcp.mss()), (TcpFlags::SYN, 64240, Some(1460)));
        assert!(tcp.payload.is_empty());
    }

    #[test]
    fn cut_or_impossible_is_none() {
        for length in 0..SYN.len() {
            assert_eq!(Tcp::parse(&SYN[..length]), None, "{length}");
        }
        let mut short_header = SYN;
        short_header[12] = 0x40;
        assert_eq!(Tcp::parse(&short_header), None);
    }

    #[test]
    fn hostile_options_end() {
        for options in [&[2, 0, 0, 0][..], &[2, 1, 5, 5], &[2, 200, 5, 5], &[8], &[1, 1, 1, 1]] {
            let tcp = Tcp { options, ..Tcp::parse(&SYN).unwrap() };
            assert_eq!(tcp.mss(), None, "{options:?}");
        }
    }

    #[test]
    fn flags_in_letters() {
        assert_eq!((TcpFlags::SYN | TcpFlags::ACK).to_string(), "S.");
        assert_eq!(TcpFlags(0).to_string(), "none");
        assert!(TcpFlags(0x12).has(TcpFlags::SYN) && !TcpFlags::SYN.has(TcpFlags(0x12)));
    }
}
