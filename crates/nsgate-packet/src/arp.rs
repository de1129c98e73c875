//! ARP for IPv4 over Ethernet.

use std::net::Ipv4Addr;

use crate::Mac;
use crate::field::{bytes, short};

/// An ARP packet that asks for, or tells, the link-layer address of an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: ArpOperation,
    /// The link-layer address of the sender.
    pub sender_mac: Mac,
    /// The address of the sender; 0.0.0.0 while it checks for duplicates.
    pub sender: Ipv4Addr,
    /// The link-layer address of the target, zero in a question.
    pub target_mac: Mac,
    /// The address that is asked for, or that gets the answer.
    pub target: Ipv4Addr,
}

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Asks who holds the target address.
    Request,
    /// Tells that the sender holds the sender address.
    Reply,
    /// Anything else (reverse ARP and its like).
    Other(u16),
}

impl ArpOperation {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
            ArpOperation::Other(number) => number,
        }
    }
}

impl From<u16> for ArpOperation {
    fn from(number: u16) -> Self {
        match number {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            other => ArpOperation::Other(other),
        }
    }
}

impl Arp {
    /// The packet in `bytes`; none if it is cut or not about IPv4 over Ethernet.
    pub fn parse(bytes_of: &[u8]) -> Option<Arp> {
        let kind: [u8; 6] = bytes(bytes_of, 0)?;
        if kind != ETHERNET_AND_IPV4 {
            return None;
        }
        Some(Arp {
            operation: short(bytes_of, 6)?.into(),
            sender_mac: Mac(bytes(bytes_of, 8)?),
            sender: bytes::<4>(bytes_of, 14)?.into(),
            target_mac: Mac(bytes(bytes_of, 18)?),
            target: bytes::<4>(bytes_of, 24)?.into(),
        })
    }
}

/// Hardware type 1, protocol 0x0800, six and four bytes of address.
pub(crate) const ETHERNET_AND_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 28] = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 3];

    #[test]
    fn a_request() {
        let arp = Arp::parse(&REQUEST).unwrap();
        assert_eq!(arp.operation, ArpOperation::Request);
        assert_eq!(arp.sender_mac, Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(arp.sender, Ipv4Addr::new(1, 1, 1, 2));
        assert_eq!(arp.target, Ipv4Addr::new(1, 1, 1, 3));
    }

    #[test]
    fn cut_or_foreign_is_none() {
        for length in 0..REQUEST.len() {
            assert_eq!(Arp::parse(&REQUEST[..length]), None, "{length}");
        }
        let mut infiniband = REQUEST;
        infiniband[1] = 32;
        assert_eq!(Arp::parse(&infiniband), None);
    }
}
