//! A whole packet, as a tap sees it: link-layer header, if there is one, and what is inside.

use crate::ethernet::ethertype;
use crate::{Arp, Ethernet, Ip};

/// A packet and the link-layer header in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The Ethernet header, where the link has one.
    pub ether: Option<Ethernet>,
    /// What is inside.
    pub body: Body<'a>,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// IPv4 or IPv6.
    Ip(Ip<'a>),
    /// Something else.
    Other {
        /// What it claims to be.
        ethertype: u16,
    },
    /// Cut, or not what it claims to be.
    Malformed,
}

impl<'a> Packet<'a> {
    /// Reads a frame that starts with an Ethernet header.
    pub fn ethernet(frame: &'a [u8]) -> Packet<'a> {
        match Ethernet::parse(frame) {
            Some((ether, rest)) => Packet { ether: Some(ether), body: Body::parse(ether.ethertype, rest) },
            None => Packet { ether: None, body: Body::Malformed },
        }
    }

    /// Reads a packet that starts with its IP header, as links without a header of their own carry it.
    pub fn ip(packet: &'a [u8]) -> Packet<'a> {
        Packet { ether: None, body: Ip::parse(packet).map_or(Body::Malformed, Body::Ip) }
    }

    /// The IP packet, if it is one.
    pub fn as_ip(&self) -> Option<Ip<'a>> {
        match self.body {
            Body::Ip(ip) => Some(ip),
            _ => None,
        }
    }
}

impl<'a> Body<'a> {
    /// Reads what follows a link-layer header with that ethertype.
    pub fn parse(ethertype: u16, rest: &'a [u8]) -> Body<'a> {
        match ethertype {
            ethertype::IPV4 | ethertype::IPV6 => {
                let version = if ethertype == ethertype::IPV4 { 4 } else { 6 };
                let claimed = rest.first().is_some_and(|first| first >> 4 == version);
                claimed.then(|| Ip::parse(rest)).flatten().map_or(Body::Malformed, Body::Ip)
            }
            ethertype::ARP => Arp::parse(rest).map_or(Body::Malformed, Body::Arp),
            ethertype => Body::Other { ethertype },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ethertype_must_be_true() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x45]);
        frame.extend([0; 60]);
        assert_eq!(Packet::ethernet(&frame).body, Body::Malformed);
    }

    #[test]
    fn a_cut_header_is_malformed_and_a_strange_one_other() {
        assert_eq!(Packet::ethernet(&[0; 13]), Packet { ether: None, body: Body::Malformed });
        let mut lldp = vec![0; 12];
        lldp.extend([0x88, 0xcc]);
        assert_eq!(Packet::ethernet(&lldp).body, Body::Other { ethertype: 0x88cc });
        assert_eq!(Packet::ip(&[]).body, Body::Malformed);
    }
}
