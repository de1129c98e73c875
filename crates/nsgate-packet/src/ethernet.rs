//! Ethernet headers, with up to two VLAN tags.

use crate::Mac;
use crate::field::{bytes, short};

/// The ethertypes that are told apart here.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// The address resolution protocol.
    pub const ARP: u16 = 0x0806;
    /// A customer VLAN tag (802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A service VLAN tag (802.1ad).
    pub const SERVICE_VLAN: u16 = 0x88a8;
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Whom the frame is for.
    pub destination: Mac,
    /// Who sent it.
    pub source: Mac,
    /// The VLAN tags, the outer one first.
    pub vlans: [Option<Vlan>; 2],
    /// What the frame holds behind the tags.
    pub ethertype: u16,
}

/// A VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The ethertype of the tag itself, [`ethertype::VLAN`] or [`ethertype::SERVICE_VLAN`].
    pub protocol: u16,
    /// Priority, drop-eligible bit and identifier, as in the frame.
    pub control: u16,
}

impl Vlan {
    /// The VLAN identifier, 0 to 4095.
    pub fn id(self) -> u16 {
        self.control & 0x0fff
    }
}

impl Ethernet {
    /// The header at the start of `frame`, and what follows it.
    pub fn parse(frame: &[u8]) -> Option<(Ethernet, &[u8])> {
        let destination = Mac(bytes(frame, 0)?);
        let source = Mac(bytes(frame, 6)?);
        let mut vlans = [None; 2];
        let mut offset = 12;
        for vlan in &mut vlans {
            let protocol = short(frame, offset)?;
            if !matches!(protocol, ethertype::VLAN | ethertype::SERVICE_VLAN) {
                break;
            }
            *vlan = Some(Vlan { protocol, control: short(frame, offset + 2)? });
            offset += 4;
        }
        let header = Ethernet { destination, source, vlans, ethertype: short(frame, offset)? };
        Some((header, frame.get(offset + 2..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 24] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0x20, 0x64, 0x81, 0x00, 0x00, 0x07, 0x08,
        0x06, 0xaa, 0xbb,
    ];

    #[test]
    fn two_tags() {
        let (header, rest) = Ethernet::parse(&FRAME).unwrap();
        assert_eq!(header.destination, Mac::BROADCAST);
        assert_eq!(header.source, Mac([2, 0, 0, 0, 0, 1]));
        let ids = header.vlans.map(|vlan| vlan.map(Vlan::id));
        assert_eq!(ids, [Some(100), Some(7)]);
        assert_eq!((header.ethertype, rest), (ethertype::ARP, &[0xaa, 0xbb][..]));
    }

    #[test]
    fn no_tag() {
        let mut plain = FRAME[..12].to_vec();
        plain.extend([0x86, 0xdd, 0x60]);
        let (header, rest) = Ethernet::parse(&plain).unwrap();
        assert_eq!((header.vlans, header.ethertype, rest), ([None; 2], ethertype::IPV6, &[0x60][..]));
    }

    #[test]
    fn a_cut_header_is_none() {
        for length in 0..22 {
            assert_eq!(Ethernet::parse(&FRAME[..length]), None, "{length}");
        }
    }
}
