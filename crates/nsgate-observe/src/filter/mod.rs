//! Which frames a tap keeps: a socket filter that the kernel runs on every frame of a namespace.
//!
//! It keeps every frame that can belong to a probe's journey, whatever is translated on the way, and little else: the
//! probe by its cookie or sequence number, answers, ICMP errors, and what resolves neighbours (ARP, neighbour discovery),
//! also as a tunnel carries them.
//! It may keep too much, never too little; what exactly belongs to the journey is decided later, in the core.

mod assembler;
pub(crate) mod changes;
mod glance;
#[cfg(test)]
mod interpreter;

use nsgate_core::trace::{Identity, ProbeKind, Protocol};
use nsgate_packet::{Flow, GENEVE_PORT, VXLAN_PORTS, ethertype, icmp4, icmp6, protocol};

pub(crate) use self::assembler::Instruction;
use self::assembler::{Assembler, Label, Width};
use crate::numbers::{ARPHRD_ETHER, ARPHRD_LOOPBACK, NOTE_HARDWARE_TYPE, NOTE_PROTOCOL};

/// A filter for the frames of one probe's journey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(crate) program: Vec<Instruction>,
}

/// How many bytes of each frame are kept: all headers, and what an ICMP error must quote.
pub(crate) const KEPT: u32 = 768;

impl Filter {
    /// The filter for a probe.
    pub fn of(kind: ProbeKind, identity: &Identity) -> Self {
        Self::of_flows(kind, identity, &[])
    }

    /// The filter for a probe that was translated to these flows.
    pub fn of_flows(kind: ProbeKind, identity: &Identity, flows: &[Flow]) -> Self {
        let program = Writer::new().write(&Interest::of(kind, identity, flows));
        // A program that cannot be put together keeps everything rather than too little.
        let program = program.unwrap_or_else(|| vec![keep(KEPT)]);
        Self { program }
    }

    /// The filter for whatever may begin, refuse or end something of this kind, whosever it is: who translates a packet
    /// changes its ends, so that they cannot tell which frames belong to it.
    pub fn of_openings(protocol: Protocol) -> Self {
        let program = Writer::new().write(&Interest::Opening(protocol));
        Self { program: program.unwrap_or_else(|| vec![keep(KEPT)]) }
    }

    /// The filter that keeps nothing.
    pub(crate) fn of_nothing() -> Self {
        Self { program: vec![keep(0)] }
    }
}

/// A program that keeps so much of every frame.
fn keep(bytes: u32) -> Instruction {
    Instruction { code: assembler::code::RETURN, when_true: 0, when_false: 0, operand: bytes }
}

/// What a probe is known by.
enum Interest {
    Echo {
        cookie: [u32; 2],
    },
    Segment {
        sequence: u32,
        span: u32,
        callers: Vec<u16>,
    },
    /// The ports that requests come from, and those that they go to.
    Datagram {
        cookie: [u32; 2],
        callers: Vec<u16>,
        servers: Vec<u16>,
    },
    /// Of connections what opens, refuses and ends them, of all else everything.
    Opening(Protocol),
}

/// How many ports a filter may look for: each makes it longer.
const MOST_PORTS: usize = 12;

impl Interest {
    fn of(kind: ProbeKind, identity: &Identity, flows: &[Flow]) -> Self {
        let ports = |own, of: fn(&Flow) -> u16| {
            let mut ports = vec![own];
            ports.extend(flows.iter().map(of).filter(|port| *port != own));
            ports.dedup();
            ports.truncate(MOST_PORTS);
            ports
        };
        let callers = ports(identity.source.port(), |flow| flow.source_port);
        let cookie = u64::from_be_bytes(identity.cookie);
        let cookie = [(cookie >> 32) as u32, cookie as u32];
        match kind {
            ProbeKind::Icmp => Self::Echo { cookie },
            ProbeKind::Tcp(_) => {
                let Identity { sequence, span, .. } = *identity;
                Self::Segment { sequence, span, callers }
            }
            ProbeKind::Udp(port) => {
                Self::Datagram { cookie, callers, servers: ports(port, |flow| flow.destination_port) }
            }
        }
    }

    /// The protocol number over IPv4 and over IPv6.
    fn protocols(&self) -> [u8; 2] {
        match self {
            Self::Echo { .. } | Self::Opening(Protocol::Icmp) => [protocol::ICMP, protocol::ICMPV6],
            Self::Segment { .. } | Self::Opening(Protocol::Tcp) => [protocol::TCP; 2],
            Self::Datagram { .. } | Self::Opening(Protocol::Udp) => [protocol::UDP; 2],
        }
    }
}

/// Writes the program. The index holds the offset of the header in question.
struct Writer {
    out: Assembler,
    /// Where the transport header begins.
    place: Place,
    accept: Label,
    reject: Label,
    /// The index is at the transport header of a packet with the probe's protocol.
    transport: Label,
}

/// Where a header begins.
#[derive(Clone, Copy)]
enum Place {
    /// At the index.
    Index,
    /// So many bytes into the frame.
    Fixed(u32),
}

/// Where the program goes on with what a tunnel carries.
struct Tunnels {
    /// The index is at the header of UDP.
    udp: Label,
    /// The index is at the header of GRE.
    gre: Label,
    inner: Inner,
}

/// Where the program looks at what was carried; the index is at its first header.
#[derive(Clone, Copy)]
struct Inner {
    ethernet: Label,
    ipv4: Label,
    ipv6: Label,
}

/// Where the protocol number is put away; where the ethertype of what a tunnel carries, and the flags of GRE.
const PROTOCOL: u32 = 0;
const CARRIED: u32 = 1;
const FLAGS: u32 = 2;
/// IPv6 extension headers: hop-by-hop, routing, fragment, authentication, destination options, mobility.
const EXTENSIONS: [u32; 6] = [0, 43, 44, 51, 60, 135];
const IPV6_HEADER: u32 = 40;
const ETHERNET_HEADER: u32 = 14;
const UDP_HEADER: u32 = 8;
/// The offset in an IPv4 fragment, and its mask.
const FRAGMENT: (u32, u32) = (6, 0x1fff);
/// Where TCP has its flags, and those that open, refuse and end a connection: SYN, RST and FIN.
const FLAGS_OF_TCP: u32 = 13;
const BEGIN_OR_END: u32 = 0x07;
/// Tunnels by their protocols: an IPv4 packet, an IPv6 packet, GRE; and UDP, which some tunnels use.
const IPIP: u32 = 4;
const SIT: u32 = 41;
const GRE: u32 = 47;
/// The ethertype by which tunnels carry whole frames.
const BRIDGED: u32 = 0x6558;

impl Writer {
    fn new() -> Self {
        let mut out = Assembler::default();
        let (accept, reject, transport) = (out.label(), out.label(), out.label());
        Self { out, place: Place::Index, accept, reject, transport }
    }

    fn write(mut self, interest: &Interest) -> Option<Vec<Instruction>> {
        let mut label = || self.out.label();
        let (ipv4, ipv6) = (label(), label());
        let inner = Inner { ethernet: label(), ipv4: label(), ipv6: label() };
        let tunnels = Tunnels { udp: label(), gre: label(), inner };
        self.first_glance(interest, &tunnels);
        self.begin_part();
        self.link_header(ipv4, ipv6);
        self.network(interest, ipv4, ipv6, Some(&tunnels));
        self.begin_part();
        self.carried(&tunnels);
        self.end_part();
        self.begin_part();
        self.inner_frame(inner);
        self.network(interest, inner.ipv4, inner.ipv6, None);
        self.out.finish()
    }

    /// Jumps reach only so far, so each part of the program has ends of its own.
    fn begin_part(&mut self) {
        (self.accept, self.reject, self.transport) = (self.out.label(), self.out.label(), self.out.label());
    }

    fn end_part(&mut self) {
        self.out.place(self.reject);
        self.out.keep(0);
        self.out.place(self.accept);
        self.out.keep(KEPT);
    }

    /// Decides by what begins at these labels, and ends the part.
    fn network(&mut self, interest: &Interest, ipv4: Label, ipv6: Label, tunnels: Option<&Tunnels>) {
        let [over_ipv4, over_ipv6] = interest.protocols();
        self.out.place(ipv4);
        self.ipv4(over_ipv4.into(), tunnels);
        self.out.place(ipv6);
        self.ipv6(over_ipv6.into(), tunnels);
        self.out.place(self.transport);
        self.transport(interest, tunnels);
        self.end_part();
    }

    /// Goes on with what a tunnel carries, if the protocol in the accumulator is one's.
    fn enter_tunnel(&mut self, tunnels: Option<&Tunnels>) {
        let Some(tunnels) = tunnels else { return };
        for (protocol, to) in [
            (IPIP, tunnels.inner.ipv4),
            (SIT, tunnels.inner.ipv6),
            (GRE, tunnels.gre),
            (protocol::UDP.into(), tunnels.udp),
        ] {
            self.out.go_if(protocol, to);
        }
    }

    /// Finds what a tunnel carries.
    fn carried(&mut self, tunnels: &Tunnels) {
        let (vxlan, geneve) = (self.out.label(), self.out.label());
        self.out.place(tunnels.udp);
        self.out.load_indexed(Width::Half, 2);
        self.out.jump_if_one_of(&VXLAN_PORTS.map(u32::from), vxlan);
        self.out.jump_if_one_of(&[GENEVE_PORT.into()], geneve);
        self.out.goto(self.reject);
        self.out.place(vxlan);
        self.out.advance_index(UDP_HEADER + 8);
        self.out.goto(tunnels.inner.ethernet);
        self.out.place(geneve);
        self.out.load_indexed(Width::Half, UDP_HEADER + 2);
        self.out.store(CARRIED);
        self.out.load_indexed(Width::Byte, UDP_HEADER);
        // The length of the options in words.
        self.out.advance_index_by_accumulator(0x3f, 2);
        self.out.advance_index(UDP_HEADER + 8);
        self.by_ethertype(tunnels.inner);
        self.out.place(tunnels.gre);
        self.gre(tunnels.inner);
    }

    fn gre(&mut self, inner: Inner) {
        self.out.load_indexed(Width::Half, 2);
        self.out.store(CARRIED);
        self.out.load_indexed(Width::Half, 0);
        self.out.store(FLAGS);
        self.out.advance_index(4);
        // The checksum, the key and the sequence number, each only if it is there.
        for flag in [0x8000, 0x2000, 0x1000] {
            let (there, next) = (self.out.label(), self.out.label());
            self.out.recall(FLAGS);
            self.out.jump_if_any_bit(flag, there);
            self.out.goto(next);
            self.out.place(there);
            self.out.advance_index(4);
            self.out.place(next);
        }
        self.by_ethertype(inner);
    }

    fn by_ethertype(&mut self, inner: Inner) {
        self.out.recall(CARRIED);
        self.out.go_if(BRIDGED, inner.ethernet);
        self.out.go_if(ethertype::IPV4.into(), inner.ipv4);
        self.out.go_if(ethertype::IPV6.into(), inner.ipv6);
        self.out.goto(self.reject);
    }

    /// Steps over the header of a frame that was carried.
    fn inner_frame(&mut self, inner: Inner) {
        self.out.place(inner.ethernet);
        self.out.load_indexed(Width::Half, 12);
        self.out.store(CARRIED);
        self.out.advance_index(ETHERNET_HEADER);
        self.out.recall(CARRIED);
        self.out.jump_if_one_of(&[ethertype::ARP.into()], self.accept);
        self.out.go_if(ethertype::IPV4.into(), inner.ipv4);
        self.out.go_if(ethertype::IPV6.into(), inner.ipv6);
        self.out.goto(self.reject);
    }

    /// Steps over the link-layer header, where there is one, and up to two VLAN tags in it.
    fn link_header(&mut self, ipv4: Label, ipv6: Label) {
        const TAGS: [u32; 2] = [ethertype::VLAN as u32, ethertype::SERVICE_VLAN as u32];
        let (ethernet, known) = (self.out.label(), self.out.label());
        self.out.load(Width::Word, NOTE_HARDWARE_TYPE);
        self.out.jump_if_one_of(&[ARPHRD_ETHER.into(), ARPHRD_LOOPBACK.into()], ethernet);
        self.out.set_index(0);
        self.out.load(Width::Word, NOTE_PROTOCOL);
        self.out.goto(known);
        self.out.place(ethernet);
        for offset in [12, 16] {
            let tagged = self.out.label();
            self.out.set_index(offset + 2);
            self.out.load(Width::Half, offset);
            self.out.jump_if_one_of(&TAGS, tagged);
            self.out.goto(known);
            self.out.place(tagged);
        }
        self.out.set_index(22);
        self.out.load(Width::Half, 20);
        self.out.place(known);
        self.out.jump_if_one_of(&[ethertype::ARP.into()], self.accept);
        self.out.jump_if_one_of(&[ethertype::IPV4.into()], ipv4);
        self.out.jump_if_one_of(&[ethertype::IPV6.into()], ipv6);
        self.out.goto(self.reject);
    }

    fn ipv4(&mut self, ours: u32, tunnels: Option<&Tunnels>) {
        const ERRORS: [u8; 5] =
            [icmp4::UNREACHABLE, icmp4::SOURCE_QUENCH, icmp4::REDIRECT, icmp4::TIME_EXCEEDED, icmp4::PARAMETER];
        let (fragment, message) = (self.out.label(), self.out.label());
        self.out.load_indexed(Width::Byte, 9);
        self.out.store(PROTOCOL);
        self.out.load_indexed(Width::Half, FRAGMENT.0);
        self.out.jump_if_any_bit(FRAGMENT.1, fragment);
        self.out.load_indexed(Width::Byte, 0);
        // The header's length in words.
        self.out.advance_index_by_accumulator(0x0f, 2);
        self.out.recall(PROTOCOL);
        self.out.jump_if_one_of(&[protocol::ICMP.into()], message);
        self.out.jump_if_one_of(&[ours], self.transport);
        self.enter_tunnel(tunnels);
        self.out.goto(self.reject);
        self.out.place(fragment);
        self.out.recall(PROTOCOL);
        self.out.jump_if_one_of(&[ours], self.accept);
        self.out.goto(self.reject);
        self.out.place(message);
        self.out.load_indexed(Width::Byte, 0);
        self.out.jump_if_one_of(&ERRORS.map(u32::from), self.accept);
        self.echo(protocol::ICMP, ours, [icmp4::ECHO_REQUEST, icmp4::ECHO_REPLY]);
    }

    fn ipv6(&mut self, ours: u32, tunnels: Option<&Tunnels>) {
        let (message, not_error) = (self.out.label(), self.out.label());
        self.out.load_indexed(Width::Byte, 6);
        self.out.store(PROTOCOL);
        self.out.advance_index(IPV6_HEADER);
        self.out.recall(PROTOCOL);
        self.out.jump_if_one_of(&[protocol::ICMPV6.into()], message);
        self.out.jump_if_one_of(&[ours], self.transport);
        self.out.jump_if_one_of(&EXTENSIONS, self.accept);
        self.enter_tunnel(tunnels);
        self.out.goto(self.reject);
        self.out.place(message);
        self.out.load_indexed(Width::Byte, 0);
        self.out.jump_if_at_least(icmp6::ECHO_REQUEST.into(), not_error);
        self.out.goto(self.accept);
        self.out.place(not_error);
        let discovery = u32::from(icmp6::ROUTER_SOLICITATION)..=icmp6::REDIRECT.into();
        self.out.jump_if_one_of(&discovery.collect::<Vec<_>>(), self.accept);
        self.echo(protocol::ICMPV6, ours, [icmp6::ECHO_REQUEST, icmp6::ECHO_REPLY]);
    }

    /// Goes on with echoes if the probe is one; the accumulator holds the type.
    fn echo(&mut self, icmp: u8, ours: u32, types: [u8; 2]) {
        if ours == u32::from(icmp) {
            self.out.jump_if_one_of(&types.map(u32::from), self.transport);
        }
        self.out.goto(self.reject);
    }

    fn transport(&mut self, interest: &Interest, tunnels: Option<&Tunnels>) {
        match interest {
            Interest::Echo { cookie } => self.cookie(*cookie),
            Interest::Segment { sequence, span, callers } => {
                let (sequence, span) = (*sequence, *span);
                // What it carries, and what it acknowledges.
                for (offset, first) in [(4, sequence), (8, sequence.wrapping_add(1))] {
                    let beyond = self.out.label();
                    self.load(Width::Word, offset);
                    self.out.subtract(first);
                    self.out.jump_if_at_least(span.saturating_add(1), beyond);
                    self.out.goto(self.accept);
                    self.out.place(beyond);
                }
                self.ports(callers, callers);
            }
            Interest::Opening(Protocol::Icmp) => self.out.goto(self.accept),
            Interest::Opening(Protocol::Tcp) => {
                self.load(Width::Byte, FLAGS_OF_TCP);
                self.out.jump_if_any_bit(BEGIN_OR_END, self.accept);
            }
            Interest::Opening(Protocol::Udp) => {
                self.tunnels_over_udp(tunnels);
                self.out.goto(self.accept);
            }
            Interest::Datagram { cookie, callers, servers } => {
                self.tunnels_over_udp(tunnels);
                // Ports first: a load past the end of a short datagram ends the program.
                self.ports(&[callers.as_slice(), servers].concat(), callers);
                self.cookie(*cookie);
            }
        }
    }

    /// Loads from an offset of the transport header.
    fn load(&mut self, width: Width, offset: u32) {
        match self.place {
            Place::Index => self.out.load_indexed(width, offset),
            Place::Fixed(start) => self.out.load(width, start + offset),
        }
    }

    /// Goes on with what a tunnel over UDP carries.
    fn tunnels_over_udp(&mut self, tunnels: Option<&Tunnels>) {
        let Some(tunnels) = tunnels else { return };
        self.load(Width::Half, 2);
        for port in VXLAN_PORTS.into_iter().chain([GENEVE_PORT]) {
            self.out.go_if(port.into(), tunnels.udp);
        }
    }

    /// Accepts packets that come from or go to one of these ports; a port of 0 stands for none.
    fn ports(&mut self, from: &[u16], to: &[u16]) {
        for (offset, ports) in [(0, from), (2, to)] {
            let ports: Vec<u32> = ports.iter().filter(|port| **port != 0).map(|port| u32::from(*port)).collect();
            self.load(Width::Half, offset);
            self.out.jump_if_one_of(&ports, self.accept);
        }
    }

    /// Accepts packets with this behind a header of eight bytes, as those of echoes and datagrams are.
    fn cookie(&mut self, cookie: [u32; 2]) {
        self.load(Width::Word, 8);
        self.out.jump_unless(cookie[0], self.reject);
        self.load(Width::Word, 12);
        self.out.jump_if_one_of(&[cookie[1]], self.accept);
    }
}

#[cfg(test)]
mod tests;
