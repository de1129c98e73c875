//! The ends of the probe's flow: its own, and those that it is translated to on its way.
//!
//! They are kept where all programs can read and write them. An end is one number: what is left of the address when its
//! parts are added up, and below that the port. That two ends are one number is rare, and does no harm.

use std::net::{IpAddr, SocketAddr};

use nsgate_core::model::Family;
use nsgate_core::trace::{Identity, ProbeKind};

use super::Writer;
use crate::bpf::assembler::Register::{self, R1, R2, R3, R4, R5, R8, R9};
use crate::bpf::assembler::Size::{Double, Half, Word};
use crate::bpf::assembler::{If, Operation};

/// How many ends are kept: enough for three translations of either one.
pub(in crate::bpf) const KNOWN_ENDS: usize = 8;

/// How many bits of an end are the port.
const PORT: i32 = 16;
/// The other bits.
const ADDRESS: i32 = -1 << PORT;

/// The ends that are known before the probe leaves. A place of 0 is free.
pub(in crate::bpf) fn ends(kind: ProbeKind, identity: &Identity) -> [u64; KNOWN_ENDS] {
    let mut ends = [0; KNOWN_ENDS];
    let own = [identity.source, identity.destination].into_iter().filter(|end| !end.ip().is_unspecified());
    for (place, end) in ends.iter_mut().zip(own) {
        *place = number(kind, end);
    }
    ends
}

/// An end as the programs make it from a packet.
fn number(kind: ProbeKind, end: SocketAddr) -> u64 {
    let address = match end.ip() {
        IpAddr::V4(address) => u32::from_ne_bytes(address.octets()).into(),
        IpAddr::V6(address) => {
            let bytes = address.octets();
            let half = |from: usize| bytes[from..].first_chunk().map_or(0, |half| u64::from_ne_bytes(*half));
            let sum = half(0).wrapping_add(half(8));
            sum.wrapping_add(sum >> PORT)
        }
    };
    let port = if has_ports(kind) { end.port().to_be() } else { 0 };
    address << PORT | u64::from(port)
}

/// Whether the ports of a packet tell whose it is, where nothing else does.
fn has_ports(kind: ProbeKind) -> bool {
    matches!(kind, ProbeKind::Udp(_))
}

/// Where an end stands in the header of the network, of both families, and in that of the transport.
#[derive(Clone, Copy)]
struct End {
    ipv4: i16,
    ipv6: i16,
    port: i16,
}

const SOURCE: End = End { ipv4: 12, ipv6: 8, port: 0 };
const DESTINATION: End = End { ipv4: 16, ipv6: 24, port: 2 };

/// Register 8 is the network header, 9 what follows it.
impl Writer<'_> {
    /// Notes the ends of a packet that is the probe's.
    pub(super) fn learn(&mut self) {
        for end in [SOURCE, DESTINATION] {
            let known = self.a.label();
            self.end_of_packet(R2, end, has_ports(self.wanted.kind));
            self.a.map_value(R4, self.maps.known);
            for place in places() {
                let other = self.a.label();
                self.a.load(Double, R1, R4, place);
                self.a.jump_if_register(R1, If::Equal, R2, known);
                self.a.jump_if(R1, If::NotEqual, 0, other);
                self.a.store(Double, R4, place, R2);
                self.a.jump(known);
                self.a.place(other);
            }
            self.a.place(known);
        }
    }

    /// Goes on if one end of the packet is known; ends the program otherwise.
    pub(super) fn has_known_end(&mut self) {
        self.compare_ends(true);
    }

    /// Goes on if the address of one end of the packet is known; ends the program otherwise.
    pub(super) fn has_known_address(&mut self) {
        self.compare_ends(false);
    }

    fn compare_ends(&mut self, with_ports: bool) {
        self.end_of_packet(R2, SOURCE, with_ports);
        self.end_of_packet(R3, DESTINATION, with_ports);
        self.a.map_value(R4, self.maps.known);
        for place in places() {
            self.a.load(Double, R1, R4, place);
            self.a.jump_if(R1, If::Equal, 0, self.labels.out);
            if !with_ports {
                self.a.number(Operation::And, R1, ADDRESS);
            }
            self.a.jump_if_register(R1, If::Equal, R2, self.labels.found);
            self.a.jump_if_register(R1, If::Equal, R3, self.labels.found);
        }
        self.a.jump(self.labels.out);
    }

    fn end_of_packet(&mut self, to: Register, end: End, with_port: bool) {
        match self.family() {
            Family::V4 => self.a.load(Word, to, R8, end.ipv4),
            Family::V6 => {
                self.a.load(Double, to, R8, end.ipv6);
                self.a.load(Double, R5, R8, end.ipv6 + 8);
                self.a.register(Operation::Add, to, R5);
                // What makes room for the port counts too.
                self.a.register(Operation::Move, R5, to);
                self.a.number(Operation::ShiftRight, R5, PORT);
                self.a.register(Operation::Add, to, R5);
            }
        }
        self.a.number(Operation::ShiftLeft, to, PORT);
        if with_port {
            self.a.load(Half, R5, R9, end.port);
            self.a.register(Operation::Or, to, R5);
        }
    }
}

/// The places of the known ends.
fn places() -> impl Iterator<Item = i16> {
    (0..KNOWN_ENDS).map(|place| 8 * place as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_its_address_and_where_it_counts_its_port() {
        let identity = Identity {
            cookie: [0; 8],
            sequence: 0,
            span: 1,
            source: "0.0.0.0:7".parse().unwrap(),
            destination: "1.2.3.4:515".parse().unwrap(),
        };
        let address = u64::from(u32::from_ne_bytes([1, 2, 3, 4])) << 16;
        let with = |port: u64| [address | port, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ends(ProbeKind::Udp(515), &identity), with(u16::from_ne_bytes([2, 3]).into()));
        assert_eq!(ends(ProbeKind::Icmp, &identity), with(0));
        let long = |text: &str| number(ProbeKind::Icmp, text.parse().unwrap());
        assert_ne!(long("[fd00::1]:1"), long("[fd00::2]:1"));
        assert_eq!(long("[fd00::1]:1"), long("[fd00::1]:2"));
    }
}
