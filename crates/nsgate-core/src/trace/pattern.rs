//! Which packets of somebody else are meant: a small, strict part of the filters that tcpdump's users know.
//!
//! ```text
//! tcp and dst port 8080 and src net 203.0.113.0/24
//! ```
//!
//! Every term must hold. One of `tcp`, `udp` and `icmp` must be there, so that it is plain what is waited for: the opening
//! of a connection, a datagram or an echo request.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use nsgate_packet::{Family, Icmp, Ip, TcpFlags, Transport};

use super::ProbeKind;

/// What a packet must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    protocol: Protocol,
    family: Option<Family>,
    terms: Vec<Term>,
}

/// What kind of packet is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// An echo request, of either family.
    Icmp,
    /// The opening of a connection.
    Tcp,
    /// A datagram.
    Udp,
}

/// A condition on an end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    side: Side,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
    Either,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Net(IpNet),
    Port(u16),
}

/// Where a pattern is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} (at character {at} of '{text}')")]
pub struct PatternError {
    /// The whole pattern.
    pub text: String,
    /// Which character is the first that cannot be, counted from 1.
    pub at: usize,
    /// What is wrong.
    pub why: String,
}

/// The longest pattern that is looked at.
const LONGEST: usize = 1024;

impl Pattern {
    /// What is waited for.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The port that the packet must be for, if it must be for one.
    pub fn port(&self) -> Option<u16> {
        self.terms.iter().find_map(|term| match term {
            Term { side: Side::Destination | Side::Either, what: What::Port(port) } => Some(*port),
            _ => None,
        })
    }

    /// Whether a packet is one that is meant: it begins something, and every term holds.
    pub fn matches(&self, ip: &Ip<'_>) -> bool {
        let family = self.family.is_none_or(|family| family == Family::of(ip.source));
        family && self.protocol.begins(ip).is_some() && self.terms.iter().all(|term| term.holds(ip))
    }
}

impl Protocol {
    /// `icmp`, `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Icmp => "icmp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// A probe of this kind, to this port where it has one.
    pub fn to(self, port: u16) -> ProbeKind {
        match self {
            Protocol::Icmp => ProbeKind::Icmp,
            Protocol::Tcp => ProbeKind::Tcp(port),
            Protocol::Udp => ProbeKind::Udp(port),
        }
    }

    /// What a packet would be as a probe, if it begins something that can be followed. An echo must carry enough to be
    /// known by.
    pub fn begins(self, ip: &Ip<'_>) -> Option<ProbeKind> {
        match (self, ip.transport()) {
            (Protocol::Icmp, Transport::Icmp(Icmp::Echo(echo))) if !echo.reply && echo.payload.len() >= 8 => {
                Some(ProbeKind::Icmp)
            }
            (Protocol::Tcp, Transport::Tcp(tcp)) if tcp.flags.has(TcpFlags::SYN) && !tcp.flags.has(TcpFlags::ACK) => {
                (tcp.destination_port != 0).then_some(ProbeKind::Tcp(tcp.destination_port))
            }
            (Protocol::Udp, Transport::Udp(udp)) => {
                (udp.destination_port != 0).then_some(ProbeKind::Udp(udp.destination_port))
            }
            _ => None,
        }
    }
}

impl Term {
    fn holds(&self, ip: &Ip<'_>) -> bool {
        let flow = ip.flow();
        let at = |address: IpAddr, port: u16| match self.what {
            What::Net(net) => net.contains(&address),
            What::Port(wanted) => port == wanted,
        };
        let source = || at(flow.source, flow.source_port);
        let destination = || at(flow.destination, flow.destination_port);
        match self.side {
            Side::Source => source(),
            Side::Destination => destination(),
            Side::Either => source() || destination(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = |at: usize, why: &str| PatternError { text: text.to_owned(), at: at + 1, why: why.to_owned() };
        if text.len() > LONGEST {
            return Err(PatternError { text: String::new(), at: LONGEST, why: "it is too long".to_owned() });
        }
        let mut reader = Reader { text, words: words(text), next: 0, protocol: None, family: None, terms: Vec::new() };
        loop {
            let may_go_on = reader.term()?;
            match reader.word() {
                None => break,
                Some("and" | "&&") => reader.next += 1,
                // A protocol may stand before what is asked of it, as in `tcp port 80`.
                Some(_) if may_go_on => {}
                Some("or" | "||" | "not" | "!" | "(") => return Err(reader.wrong("only `and` is known here")),
                Some(_) => return Err(reader.wrong("`and` is missing here")),
            }
        }
        let Some(protocol) = reader.protocol else {
            return Err(wrong(0, "it must say tcp, udp or icmp"));
        };
        let is_port = |term: &Term| matches!(term.what, What::Port(_));
        if protocol == Protocol::Icmp && reader.terms.iter().any(is_port) {
            return Err(wrong(0, "icmp has no ports"));
        }
        let Reader { family, terms, .. } = reader;
        Ok(Self { text: text.trim().to_owned(), protocol, family, terms })
    }
}

/// The words of a text, each with its place, counted in characters from 0.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (count, (at, c)) in text.char_indices().chain([(text.len(), ' ')]).enumerate() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some((count, at)),
            (true, Some((place, from))) => {
                words.push((place, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    words
}

struct Reader<'a> {
    text: &'a str,
    words: Vec<(usize, &'a str)>,
    next: usize,
    protocol: Option<Protocol>,
    family: Option<Family>,
    terms: Vec<Term>,
}

impl<'a> Reader<'a> {
    fn word(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|(_, word)| *word)
    }

    /// What is wrong with the next word, or with the end.
    fn wrong(&self, why: impl Into<String>) -> PatternError {
        let end = self.text.trim_end().chars().count();
        let at = self.words.get(self.next).map_or(end, |(at, _)| *at);
        PatternError { text: self.text.to_owned(), at: at + 1, why: why.into() }
    }

    /// Reads one term; gives whether another may follow without `and`.
    fn term(&mut self) -> Result<bool, PatternError> {
        let protocol = match self.word() {
            Some("tcp") => Some(Protocol::Tcp),
            Some("udp") => Some(Protocol::Udp),
            Some("icmp") => Some(Protocol::Icmp),
            _ => None,
        };
        if protocol.is_some() {
            if self.protocol.is_some() {
                return Err(self.wrong("a packet has one protocol only"));
            }
            self.protocol = protocol;
            self.next += 1;
            return Ok(true);
        }
        let family = match self.word() {
            Some("ip") => Some(Family::V4),
            Some("ip6") => Some(Family::V6),
            _ => None,
        };
        if let Some(family) = family {
            self.of_family(family)?;
            self.next += 1;
            return Ok(true);
        }
        let side = match self.word() {
            Some("src") => Side::Source,
            Some("dst") => Side::Destination,
            _ => Side::Either,
        };
        self.next += usize::from(side != Side::Either);
        let what = self.end()?;
        self.terms.push(Term { side, what });
        Ok(false)
    }

    /// Reads `host ADDRESS`, `net NET`, `port NUMBER`, or an address alone.
    fn end(&mut self) -> Result<What, PatternError> {
        match self.word() {
            Some("host") => {
                self.next += 1;
                self.host()
            }
            Some("net") => {
                self.next += 1;
                let net: Option<IpNet> = self.word().and_then(|word| word.parse().ok());
                let net = net.ok_or_else(|| self.wrong("a net is expected here, such as 10.0.0.0/8"))?;
                if net.trunc() != net {
                    return Err(self.wrong(format!("the net is {}: bits behind its length are set", net.trunc())));
                }
                self.of_family(Family::of(net.addr()))?;
                self.next += 1;
                Ok(What::Net(net))
            }
            Some("port") => {
                self.next += 1;
                let port = self.word().and_then(|word| word.parse().ok()).filter(|port| *port != 0);
                let port = port.ok_or_else(|| self.wrong("a port is expected here, a number from 1 to 65535"))?;
                self.next += 1;
                Ok(What::Port(port))
            }
            Some(word) if word.parse::<IpAddr>().is_ok() => self.host(),
            _ => Err(self.wrong("expected tcp, udp, icmp, ip, ip6, or [src|dst] host, net or port")),
        }
    }

    fn host(&mut self) -> Result<What, PatternError> {
        let address: Option<IpAddr> = self.word().and_then(|word| word.parse().ok());
        let address = address.ok_or_else(|| self.wrong("an address is expected here"))?;
        self.of_family(Family::of(address))?;
        self.next += 1;
        Ok(What::Net(IpNet::from(address)))
    }

    /// Notes that the packet must be of a family.
    fn of_family(&mut self, family: Family) -> Result<(), PatternError> {
        if self.family.is_some_and(|known| known != family) {
            return Err(self.wrong("no packet is of both families"));
        }
        self.family = Some(family);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nsgate_packet::build::{Outer, ip};
    use nsgate_packet::{Echo, Tcp, Udp};
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn packet(source: &str, destination: &str, transport: &Transport<'_>) -> Vec<u8> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        ip(&Outer::new(address(source), address(destination)), transport).unwrap()
    }

    fn tcp(flags: TcpFlags) -> Transport<'static> {
        let (source_port, destination_port) = (40000, 80);
        let (sequence, acknowledgement, window) = (7, 0, 0);
        Transport::Tcp(Tcp {
            source_port,
            destination_port,
            sequence,
            acknowledgement,
            flags,
            window,
            options: &[],
            payload: &[],
        })
    }

    #[track_caller]
    fn matches(text: &str, packet: &[u8]) -> bool {
        pattern(text).matches(&Ip::parse(packet).unwrap())
    }

    #[test]
    fn every_term_must_hold() {
        let syn = packet("10.0.0.1", "10.9.0.2", &tcp(TcpFlags::SYN));
        for text in [
            "tcp",
            "tcp port 80",
            "tcp dst port 80 and src net 10.0.0.0/24",
            "ip and tcp and src port 40000",
            "tcp && host 10.9.0.2 && dst 10.9.0.2 && src 10.0.0.1",
            "  tcp   and\tport 40000 ",
        ] {
            assert!(matches(text, &syn), "{text}");
        }
        for text in ["udp", "icmp", "tcp port 81", "tcp src port 80", "ip6 tcp", "tcp and src net 10.9.0.0/16"] {
            assert!(!matches(text, &syn), "{text}");
        }
        let syn = packet("fd00::1", "fd00:9::2", &tcp(TcpFlags::SYN));
        assert!(matches("ip6 tcp and dst net fd00:9::/32", &syn) && !matches("tcp and host fd00::7", &syn));
    }

    #[test]
    fn only_what_begins_something_is_meant() {
        let of = |transport: &Transport<'_>| packet("10.0.0.1", "10.9.0.2", transport);
        assert!(!matches("tcp", &of(&tcp(TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0)))));
        assert!(!matches("tcp", &of(&tcp(TcpFlags::ACK))));
        let echo = |reply, payload| Transport::Icmp(Icmp::Echo(Echo { reply, id: 1, sequence: 1, payload }));
        assert!(matches("icmp", &of(&echo(false, b"12345678"))));
        assert!(!matches("icmp", &of(&echo(true, b"12345678"))) && !matches("icmp", &of(&echo(false, b"1234567"))));
        let datagram = |destination_port| Transport::Udp(Udp { source_port: 5, destination_port, payload: b"x" });
        assert!(matches("udp", &of(&datagram(53))) && !matches("udp", &of(&datagram(0))));
    }

    #[test]
    fn errors_name_the_place() {
        let error = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        for (text, place, why) in [
            ("", 1, "expected tcp"),
            ("tcp and prot 80", 9, "expected tcp"),
            ("tcp port", 9, "a port is expected"),
            ("tcp port 0", 10, "a port is expected"),
            ("tcp port 80 port 81", 13, "`and` is missing"),
            ("tcp or udp", 5, "expected tcp, udp"),
            ("tcp port 80 or port 81", 13, "only `and` is known"),
            ("tcp and udp", 9, "one protocol only"),
            ("tcp and host fd00::1 and ip", 26, "both families"),
            ("port 80", 1, "must say tcp, udp or icmp"),
            ("icmp and port 80", 1, "icmp has no ports"),
            ("tcp net 10.0.0.1/8", 9, "the net is 10.0.0.0/8"),
            ("tcp and host www.example.test", 14, "an address is expected"),
            ("tcp and", 8, "expected tcp"),
        ] {
            let found = error(text);
            assert!(found.contains(why) && found.contains(&format!("at character {place} of")), "{text}: {found}");
        }
        assert!(error(&"x".repeat(LONGEST + 1)).contains("too long"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "((tcp|udp|icmp|and|src|dst|host|net|port|80|10.0.0.0/8|::1|\\PC{0,4})[ \u{a0}]{0,2}){0,8}") {
            if let Ok(read) = text.parse::<Pattern>() {
                prop_assert_eq!(read.to_string().parse::<Pattern>(), Ok(read));
            }
        }
    }
}
