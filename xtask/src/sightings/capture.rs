//! What tcpdump writes: the records of a capture file, read without any of nsgate's own code.
//!
//! The format is pcap with times in nanoseconds and "cooked" link headers of version 2, which tell the interface and the
//! direction of each packet when tcpdump listens on all interfaces of a namespace.

use anyhow::{Context, Result, ensure};

/// One packet as tcpdump has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// When, in nanoseconds of the real-time clock.
    pub(crate) time: u64,
    /// The interface's index.
    pub(crate) interface: u32,
    /// Whether it went out there.
    pub(crate) outgoing: bool,
    /// Whether the interface is the loopback one.
    pub(crate) loopback: bool,
    /// What follows the link header: an ethertype.
    pub(crate) protocol: u16,
    /// The packet from its network header on.
    pub(crate) bytes: Vec<u8>,
}

/// The first number of a file with times in nanoseconds.
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// LINKTYPE_LINUX_SLL2.
const COOKED: u32 = 276;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const LINK_HEADER: usize = 20;
/// ARPHRD_LOOPBACK.
const LOOPBACK: [u8; 2] = 772u16.to_be_bytes();
/// PACKET_OUTGOING.
const OUTGOING: u8 = 4;

/// Reads a whole capture, written by a tcpdump on this machine; a last record that was cut short is left out.
pub(crate) fn records(file: &[u8]) -> Result<Vec<Record>> {
    let (header, mut rest) = file.split_at_checked(FILE_HEADER).context("a capture without a header")?;
    ensure!(native(header, 0) == Some(NANOSECONDS), "not a capture with nanoseconds");
    ensure!(native(header, 20) == Some(COOKED), "not a capture with cooked link headers of version 2");
    let mut records = Vec::new();
    while let Some((record, more)) = next(rest) {
        rest = more;
        records.extend(record);
    }
    Ok(records)
}

/// The next record, where its link header is whole, and what follows it.
fn next(rest: &[u8]) -> Option<(Option<Record>, &[u8])> {
    let (header, rest) = rest.split_at_checked(RECORD_HEADER)?;
    let length = usize::try_from(native(header, 8)?).ok()?;
    let (packet, rest) = rest.split_at_checked(length)?;
    let time = u64::from(native(header, 0)?) * 1_000_000_000 + u64::from(native(header, 4)?);
    Some((record(time, packet), rest))
}

fn record(time: u64, packet: &[u8]) -> Option<Record> {
    let (link, bytes) = packet.split_at_checked(LINK_HEADER)?;
    Some(Record {
        time,
        interface: u32::from_be_bytes(*link[4..].first_chunk()?),
        loopback: link[8..10] == LOOPBACK,
        outgoing: link[10] == OUTGOING,
        protocol: u16::from_be_bytes(*link.first_chunk()?),
        bytes: bytes.to_vec(),
    })
}

fn native(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(packets: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for number in [NANOSECONDS, 0, 0, 0, 262_144, COOKED] {
            file.extend(number.to_ne_bytes());
        }
        for packet in packets {
            for number in [3, 7, packet.len() as u32, packet.len() as u32] {
                file.extend(number.to_ne_bytes());
            }
            file.extend_from_slice(packet);
        }
        file
    }

    #[test]
    fn a_record_is_what_its_headers_say() {
        let mut packet = vec![0x08, 0x00, 0, 0, 0, 0, 0, 9, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0];
        packet.extend([0x45, 0x00]);
        let mut file = file(&[&packet, &[1]]);
        let expected = Record {
            time: 3_000_000_007,
            interface: 9,
            outgoing: true,
            loopback: false,
            protocol: 0x800,
            bytes: vec![0x45, 0x00],
        };
        let expected = vec![expected];
        assert_eq!(records(&file).unwrap(), expected);
        file.extend([1; 20]);
        assert_eq!(records(&file).unwrap(), expected, "what was cut short");
        assert!(records(&file[4..]).is_err());
        assert!(records(&[]).is_err());
    }
}
