//! ICMP and ICMPv6: echoes, errors, neighbour discovery.
//!
//! The two families number the same things differently; here they share one vocabulary. [`ErrorKind`] says what an
//! error means for the packet it quotes, [`error_words`] what its sender calls it.

use std::net::{IpAddr, Ipv6Addr};

use crate::field::{byte, bytes, long, short};
use crate::{Family, Ip, Mac};

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp<'a> {
    /// An echo request or reply.
    Echo(Echo<'a>),
    /// A packet could not be delivered.
    Error(IcmpError<'a>),
    /// There is a better next hop.
    Redirect(Redirect<'a>),
    /// ICMPv6: who holds an address, or who does.
    Neighbour(Neighbour),
    /// ICMPv6: asks for routers, or is a router's announcement.
    Router {
        /// Whether it is the router's announcement.
        advertisement: bool,
    },
    /// Any other message.
    Other {
        /// Its type.
        icmp_type: u8,
        /// Its code.
        code: u8,
    },
}

/// An echo request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Whether it is the reply.
    pub reply: bool,
    /// The identifier, chosen by the asking side; NAT may rewrite it like a port.
    pub id: u16,
    /// The sequence number.
    pub sequence: u16,
    /// The data, the same in request and reply.
    pub payload: &'a [u8],
}

/// An error about a packet, which it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError<'a> {
    /// Whether the numbers are those of ICMP or ICMPv6.
    pub family: Family,
    /// The type on the wire.
    pub icmp_type: u8,
    /// The code on the wire.
    pub code: u8,
    /// The largest packet that would have passed, where the message says so.
    pub mtu: Option<u32>,
    /// The start of the packet that could not be delivered.
    pub quoted: &'a [u8],
}

/// A router's hint that another next hop is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// The better next hop.
    pub gateway: IpAddr,
    /// The start of the packet that made the router say so; empty where it is left out.
    pub quoted: &'a [u8],
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Whether it tells (rather than asks).
    pub advertisement: bool,
    /// The address in question.
    pub target: Ipv6Addr,
    /// The link-layer address that the message carries: of its sender in a question, of the target in an answer.
    pub link_address: Option<Mac>,
}

/// What an ICMP error means, in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A router has no route.
    NetworkUnreachable,
    /// The last router cannot reach the host, or a route says so.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nothing listens on the port.
    PortUnreachable,
    /// The packet is too big and may not be fragmented.
    TooBig,
    /// A rule or route forbids it.
    Prohibited,
    /// Unreachable in another way.
    OtherUnreachable,
    /// TTL or hop limit reached zero.
    TimeExceeded,
    /// Not all fragments came in time.
    ReassemblyTimeExceeded,
    /// A header field made no sense.
    Parameter,
    /// An error with no meaning of its own here.
    Other,
}

/// The types of ICMP messages.
pub mod icmp4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, obsolete.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER: u8 = 12;
}

/// The types of ICMPv6 messages.
pub mod icmp6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOUR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;
}

/// Bytes of an ICMP header; all messages read here have eight.
pub(crate) const HEADER: usize = 8;

impl<'a> Icmp<'a> {
    /// The message in `message`; none if it is cut.
    pub fn parse(family: Family, message: &'a [u8]) -> Option<Icmp<'a>> {
        let (icmp_type, code) = (byte(message, 0)?, byte(message, 1)?);
        if is_error(family, icmp_type) {
            return error(family, message);
        }
        match (family, icmp_type) {
            (Family::V4, icmp4::ECHO_REQUEST) | (Family::V6, icmp6::ECHO_REQUEST) => echo(false, message),
            (Family::V4, icmp4::ECHO_REPLY) | (Family::V6, icmp6::ECHO_REPLY) => echo(true, message),
            (Family::V4, icmp4::REDIRECT) => {
                let gateway = IpAddr::from(bytes::<4>(message, 4)?);
                Some(Icmp::Redirect(Redirect { gateway, quoted: message.get(HEADER..)? }))
            }
            (Family::V6, icmp6::REDIRECT) => {
                let gateway = IpAddr::from(bytes::<16>(message, 8)?);
                // The redirected-header option: six reserved bytes, then the packet.
                let quoted = discovery_option(message.get(40..)?, 4).and_then(|data| data.get(6..));
                Some(Icmp::Redirect(Redirect { gateway, quoted: quoted.unwrap_or_default() }))
            }
            (Family::V6, icmp6::NEIGHBOUR_SOLICITATION) => neighbour(false, message),
            (Family::V6, icmp6::NEIGHBOUR_ADVERTISEMENT) => neighbour(true, message),
            (Family::V6, icmp6::ROUTER_SOLICITATION) => Some(Icmp::Router { advertisement: false }),
            (Family::V6, icmp6::ROUTER_ADVERTISEMENT) => Some(Icmp::Router { advertisement: true }),
            _ => Some(Icmp::Other { icmp_type, code }),
        }
    }

    /// The packet that the message is about, where it quotes one.
    pub fn quoted_packet(&self) -> Option<Ip<'a>> {
        match self {
            Icmp::Error(IcmpError { quoted, .. }) | Icmp::Redirect(Redirect { quoted, .. }) => Ip::parse(quoted),
            _ => None,
        }
    }
}

impl<'a> IcmpError<'a> {
    /// What the error means for the packet it quotes.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::of(self.family, self.icmp_type, self.code)
    }

    /// What its sender calls it.
    pub fn words(&self) -> &'static str {
        error_words(self.family, self.icmp_type, self.code)
    }

    /// The packet that could not be delivered; nearly always cut.
    pub fn quoted_packet(&self) -> Option<Ip<'a>> {
        Ip::parse(self.quoted)
    }
}

impl ErrorKind {
    /// What an error of that type and code means.
    pub fn of(family: Family, icmp_type: u8, code: u8) -> ErrorKind {
        use ErrorKind as Kind;
        match (family, icmp_type, code) {
            (Family::V4, icmp4::UNREACHABLE, 0 | 6 | 11) | (Family::V6, icmp6::UNREACHABLE, 0) => {
                Kind::NetworkUnreachable
            }
            (Family::V4, icmp4::UNREACHABLE, 1 | 7 | 8 | 12) | (Family::V6, icmp6::UNREACHABLE, 3) => {
                Kind::HostUnreachable
            }
            (Family::V4, icmp4::UNREACHABLE, 2) | (Family::V6, icmp6::PARAMETER, 1) => Kind::ProtocolUnreachable,
            (Family::V4, icmp4::UNREACHABLE, 3) | (Family::V6, icmp6::UNREACHABLE, 4) => Kind::PortUnreachable,
            (Family::V4, icmp4::UNREACHABLE, 4) | (Family::V6, icmp6::TOO_BIG, _) => Kind::TooBig,
            (Family::V4, icmp4::UNREACHABLE, 9 | 10 | 13..=15) | (Family::V6, icmp6::UNREACHABLE, 1 | 5 | 6) => {
                Kind::Prohibited
            }
            (Family::V4, icmp4::UNREACHABLE, _) | (Family::V6, icmp6::UNREACHABLE, _) => Kind::OtherUnreachable,
            (Family::V4, icmp4::TIME_EXCEEDED, 0) | (Family::V6, icmp6::TIME_EXCEEDED, 0) => Kind::TimeExceeded,
            (Family::V4, icmp4::TIME_EXCEEDED, 1) | (Family::V6, icmp6::TIME_EXCEEDED, 1) => {
                Kind::ReassemblyTimeExceeded
            }
            (Family::V4, icmp4::PARAMETER, _) | (Family::V6, icmp6::PARAMETER, _) => Kind::Parameter,
            _ => Kind::Other,
        }
    }
}

/// Whether messages of that type are errors about a packet that they quote.
pub fn is_error(family: Family, icmp_type: u8) -> bool {
    match family {
        Family::V4 => {
            matches!(icmp_type, icmp4::UNREACHABLE | icmp4::SOURCE_QUENCH | icmp4::TIME_EXCEEDED | icmp4::PARAMETER)
        }
        // ICMPv6 keeps the lower half of the types for errors.
        Family::V6 => icmp_type < icmp6::ECHO_REQUEST,
    }
}

/// What the sender of an error of that type and code calls it.
pub fn error_words(family: Family, icmp_type: u8, code: u8) -> &'static str {
    match family {
        Family::V4 => words_v4(icmp_type, code),
        Family::V6 => words_v6(icmp_type, code),
    }
}

fn words_v4(icmp_type: u8, code: u8) -> &'static str {
    match (icmp_type, code) {
        (icmp4::UNREACHABLE, 0) => "network unreachable",
        (icmp4::UNREACHABLE, 1) => "host unreachable",
        (icmp4::UNREACHABLE, 2) => "protocol unreachable",
        (icmp4::UNREACHABLE, 3) => "port unreachable",
        (icmp4::UNREACHABLE, 4) => "fragmentation needed",
        (icmp4::UNREACHABLE, 5) => "source route failed",
        (icmp4::UNREACHABLE, 6) => "destination network unknown",
        (icmp4::UNREACHABLE, 7) => "destination host unknown",
        (icmp4::UNREACHABLE, 8) => "source host isolated",
        (icmp4::UNREACHABLE, 9) => "network administratively prohibited",
        (icmp4::UNREACHABLE, 10) => "host administratively prohibited",
        (icmp4::UNREACHABLE, 11) => "network unreachable for this type of service",
        (icmp4::UNREACHABLE, 12) => "host unreachable for this type of service",
        (icmp4::UNREACHABLE, 13) => "communication administratively prohibited",
        (icmp4::UNREACHABLE, 14) => "host precedence violation",
        (icmp4::UNREACHABLE, 15) => "precedence cutoff in effect",
        (icmp4::UNREACHABLE, _) => "destination unreachable",
        (icmp4::SOURCE_QUENCH, _) => "source quench",
        (icmp4::TIME_EXCEEDED, 0) => "time exceeded in transit",
        (icmp4::TIME_EXCEEDED, 1) => "fragment reassembly time exceeded",
        (icmp4::TIME_EXCEEDED, _) => "time exceeded",
        (icmp4::PARAMETER, _) => "parameter problem",
        _ => "unknown error",
    }
}

fn words_v6(icmp_type: u8, code: u8) -> &'static str {
    match (icmp_type, code) {
        (icmp6::UNREACHABLE, 0) => "no route to destination",
        (icmp6::UNREACHABLE, 1) => "communication administratively prohibited",
        (icmp6::UNREACHABLE, 2) => "beyond scope of source address",
        (icmp6::UNREACHABLE, 3) => "address unreachable",
        (icmp6::UNREACHABLE, 4) => "port unreachable",
        (icmp6::UNREACHABLE, 5) => "source address failed policy",
        (icmp6::UNREACHABLE, 6) => "reject route to destination",
        (icmp6::UNREACHABLE, _) => "destination unreachable",
        (icmp6::TOO_BIG, _) => "packet too big",
        (icmp6::TIME_EXCEEDED, 0) => "hop limit exceeded in transit",
        (icmp6::TIME_EXCEEDED, 1) => "fragment reassembly time exceeded",
        (icmp6::TIME_EXCEEDED, _) => "time exceeded",
        (icmp6::PARAMETER, 1) => "unrecognized next header",
        (icmp6::PARAMETER, 2) => "unrecognized option",
        (icmp6::PARAMETER, _) => "parameter problem",
        _ => "unknown error",
    }
}

fn echo(reply: bool, message: &[u8]) -> Option<Icmp<'_>> {
    Some(Icmp::Echo(Echo {
        reply,
        id: short(message, 4)?,
        sequence: short(message, 6)?,
        payload: message.get(HEADER..)?,
    }))
}

fn neighbour(advertisement: bool, message: &[u8]) -> Option<Icmp<'_>> {
    let target = bytes::<16>(message, 8)?.into();
    // The target and the source link-layer address option.
    let option = if advertisement { 2 } else { 1 };
    let link_address = discovery_option(message.get(24..)?, option).and_then(|data| bytes(data, 0)).map(Mac);
    Some(Icmp::Neighbour(Neighbour { advertisement, target, link_address }))
}

fn error(family: Family, message: &[u8]) -> Option<Icmp<'_>> {
    let (icmp_type, code) = (byte(message, 0)?, byte(message, 1)?);
    let mtu = match (ErrorKind::of(family, icmp_type, code), family) {
        (ErrorKind::TooBig, Family::V4) => Some(u32::from(short(message, 6)?)),
        (ErrorKind::TooBig, Family::V6) => Some(long(message, 4)?),
        _ => None,
    };
    // Routers older than RFC 1191 leave the field zero.
    let mtu = mtu.filter(|mtu| *mtu != 0);
    Some(Icmp::Error(IcmpError { family, icmp_type, code, mtu, quoted: message.get(HEADER..)? }))
}

/// The data of the first neighbour-discovery option of that kind.
fn discovery_option(mut options: &[u8], kind: u8) -> Option<&[u8]> {
    loop {
        let length = usize::from(byte(options, 1)?) * 8;
        let data = options.get(2..length)?;
        if options.first() == Some(&kind) {
            return Some(data);
        }
        options = &options[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_echo_in_both_families() {
        let message = |icmp_type| [icmp_type, 0, 0, 0, 0, 7, 0, 1, 0xab];
        let echo = |reply| Icmp::Echo(Echo { reply, id: 7, sequence: 1, payload: &[0xab] });
        assert_eq!(Icmp::parse(Family::V4, &message(8)), Some(echo(false)));
        assert_eq!(Icmp::parse(Family::V4, &message(0)), Some(echo(true)));
        assert_eq!(Icmp::parse(Family::V6, &message(128)), Some(echo(false)));
        assert_eq!(Icmp::parse(Family::V6, &message(129)), Some(echo(true)));
        assert_eq!(Icmp::parse(Family::V4, &message(8)[..7]), None);
    }

    #[test]
    fn too_big_tells_the_mtu() {
        let v4 = [3, 4, 0, 0, 0, 0, 0x05, 0x78];
        let v6 = [2, 0, 0, 0, 0, 0, 0x05, 0x78];
        for (family, message) in [(Family::V4, &v4), (Family::V6, &v6)] {
            let Some(Icmp::Error(error)) = Icmp::parse(family, message) else { panic!("{family}") };
            assert_eq!((error.kind(), error.mtu), (ErrorKind::TooBig, Some(1400)));
        }
        let old = [3, 4, 0, 0, 0, 0, 0, 0];
        assert!(matches!(Icmp::parse(Family::V4, &old), Some(Icmp::Error(IcmpError { mtu: None, .. }))));
    }

    #[test]
    fn errors_share_one_meaning() {
        let same = [
            (3, 1, 1, 3, ErrorKind::HostUnreachable),
            (3, 3, 1, 4, ErrorKind::PortUnreachable),
            (3, 13, 1, 1, ErrorKind::Prohibited),
            (11, 0, 3, 0, ErrorKind::TimeExceeded),
            (3, 2, 4, 1, ErrorKind::ProtocolUnreachable),
        ];
        for (type4, code4, type6, code6, kind) in same {
            assert_eq!(ErrorKind::of(Family::V4, type4, code4), kind);
            assert_eq!(ErrorKind::of(Family::V6, type6, code6), kind);
        }
        assert_eq!(error_words(Family::V4, 3, 13), "communication administratively prohibited");
        assert_eq!(error_words(Family::V6, 1, 0), "no route to destination");
    }

    #[test]
    fn a_neighbour_advertisement() {
        let mut message = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend("fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        message.extend([14, 1, 0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 9]);
        let expected = Neighbour {
            advertisement: true,
            target: "fe80::1".parse().unwrap(),
            link_address: Some(Mac([2, 0, 0, 0, 0, 9])),
        };
        assert_eq!(Icmp::parse(Family::V6, &message), Some(Icmp::Neighbour(expected)));
        // An option of length zero would never end.
        message[25] = 0;
        let Some(Icmp::Neighbour(cut)) = Icmp::parse(Family::V6, &message) else { panic!() };
        assert_eq!(cut.link_address, None);
    }

    #[test]
    fn an_ipv6_redirect_quotes_in_an_option() {
        let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
        message.extend("fe80::2".parse::<Ipv6Addr>().unwrap().octets());
        message.extend([0; 16]);
        message.extend([4, 2, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let expected = Redirect { gateway: "fe80::2".parse().unwrap(), quoted: &[1, 2, 3, 4, 5, 6, 7, 8] };
        assert_eq!(Icmp::parse(Family::V6, &message), Some(Icmp::Redirect(expected)));
    }
}
