//! Telling the probe's own packets from all others, as early and as cheaply as can be.

use nsgate_core::model::Family;
use nsgate_core::trace::{Identity, ProbeKind};
use nsgate_packet::{ethertype, icmp4, icmp6, protocol};

use super::{HEADER, NETWORK, PROTOCOL, SEGMENT, Source, Writer};
use crate::bpf::assembler::Register::{R0, R1, R2, R3, R6, R8, R9, R10};
use crate::bpf::assembler::Size::{Byte, Double, Half, Word};
use crate::bpf::assembler::{Helper, If, Operation, Register};
use crate::bpf::btf::TypeId;
use crate::bpf::layout::Tracepoint;
use crate::bpf::record::Kind;

/// The length of an IPv4 header without options.
const IPV4_HEADER: i32 = 20;
/// The length of an IPv6 header.
const IPV6_HEADER: i32 = 40;
/// What follows the header of an IPv6 packet that is a fragment.
const FRAGMENT_HEADER: u32 = 44;
/// How much of what follows the network header is read.
const SEGMENT_LENGTH: i32 = 16;

impl Writer<'_> {
    /// Finds the network header and gives up on packets of other families.
    pub(super) fn network_header(&mut self, source: Source<'_>) {
        let places = &self.layout.buffer;
        let number = |ethertype: u16| u32::from(ethertype.to_be());
        self.a.load(Half, R9, R6, places.protocol);
        let known = self.a.label();
        match self.family() {
            Family::V4 => {
                self.a.jump_if_word(R9, If::Equal, number(ethertype::IPV4), known);
                self.a.jump_if_word(R9, If::NotEqual, number(ethertype::ARP), self.labels.out);
            }
            Family::V6 => self.a.jump_if_word(R9, If::NotEqual, number(ethertype::IPV6), self.labels.out),
        }
        self.a.place(known);
        if matches!(source, Source::Tracepoint(Tracepoint { kind: Kind::Received, .. })) {
            // The place of the network header is that of the machine where the packet came from, or none yet.
            self.a.load(Double, R1, R6, places.data);
        } else {
            self.a.load(Double, R1, R6, places.head);
            self.a.load(Half, R2, R6, places.network_header);
            self.a.register(Operation::Add, R1, R2);
        }
        self.a.store(Double, R10, NETWORK, R1);
        if self.family() == Family::V4 {
            self.a.jump_if_word(R9, If::Equal, number(ethertype::ARP), self.labels.found);
        }
    }

    /// Goes on with what belongs to the probe, ends the program for anything else. Register 1 is the network header.
    pub(super) fn recognise(&mut self) {
        let cast = self.layout.cast.as_ref();
        let fragment = self.a.label();
        match self.family() {
            Family::V4 => {
                self.view(R8, cast.map(|cast| cast.ipv4), IPV4_HEADER, HEADER);
                self.a.load(Byte, R1, R8, 9);
                self.protocols();
                self.a.load(Half, R1, R8, 6);
                self.a.number(Operation::And, R1, i32::from(0x1fffu16.to_be()));
                self.a.jump_if_word(R1, If::NotEqual, 0, fragment);
                self.a.load(Byte, R2, R8, 0);
                self.a.number(Operation::And, R2, 15);
                self.a.number(Operation::ShiftLeft, R2, 2);
                self.a.load(Double, R1, R10, NETWORK);
                self.a.register(Operation::Add, R1, R2);
            }
            Family::V6 => {
                self.view(R8, cast.map(|cast| cast.ipv6), IPV6_HEADER, HEADER);
                self.a.load(Byte, R1, R8, 6);
                self.a.jump_if_word(R1, If::Equal, FRAGMENT_HEADER, fragment);
                self.protocols();
                self.a.load(Double, R1, R10, NETWORK);
                self.a.number(Operation::Add, R1, IPV6_HEADER);
            }
        }
        self.view(R9, cast.map(|cast| cast.sixteen), SEGMENT_LENGTH, SEGMENT);
        self.segment();
        self.a.place(fragment);
        self.has_known_address();
    }

    /// Ends the program unless register 1 is the probe's protocol or that of errors, and notes which it is.
    fn protocols(&mut self) {
        let ours = self.a.label();
        self.a.jump_if_word(R1, If::Equal, self.own_protocol().into(), ours);
        self.a.jump_if_word(R1, If::NotEqual, self.error_protocol().into(), self.labels.out);
        self.a.place(ours);
        self.a.store(Word, R10, PROTOCOL, R1);
    }

    /// Looks at what follows the network header, in register 9.
    fn segment(&mut self) {
        let errors = self.a.label();
        if self.own_protocol() != self.error_protocol() {
            self.a.load(Word, R1, R10, PROTOCOL);
            self.a.jump_if_word(R1, If::Equal, self.error_protocol().into(), errors);
        }
        match self.wanted.kind {
            ProbeKind::Icmp => self.carried(),
            ProbeKind::Udp(_) => {
                self.carried();
                self.has_known_end();
            }
            ProbeKind::Tcp(_) => {
                self.sequence();
                self.a.jump(self.labels.out);
            }
        }
        self.a.place(errors);
        self.a.load(Byte, R1, R9, 0);
        for number in self.telling_types() {
            self.a.jump_if_word(R1, If::Equal, (*number).into(), self.labels.found);
        }
        self.a.jump(self.labels.out);
    }

    /// Goes on if the packet carries the probe's own bytes.
    fn carried(&mut self) {
        self.a.load(Double, R1, R9, 8);
        self.a.wide(R2, u64::from_ne_bytes(self.wanted.identity.cookie));
        self.a.jump_if_register(R1, If::Equal, R2, self.labels.ours);
    }

    /// Goes on if the packet bears the probe's numbers, or acknowledges them.
    fn sequence(&mut self) {
        let Identity { sequence, span, .. } = self.wanted.identity;
        for (offset, first) in [(4, sequence), (8, sequence.wrapping_add(1))] {
            self.a.load(Word, R1, R9, offset);
            self.a.read_network_order(R1);
            self.a.number(Operation::Add, R1, first.wrapping_neg() as i32);
            self.a.jump_if_word(R1, If::LessOrEqual, span, self.labels.ours);
        }
    }

    /// Makes `length` bytes at the address in register 1 readable through `to`.
    fn view(&mut self, to: Register, of: Option<TypeId>, length: i32, copy: i16) {
        if let (Some(of), Some(cast)) = (of, &self.layout.cast) {
            self.a.number(Operation::Move, R2, of.0 as i32);
            self.a.call_kernel(cast.function.0);
            self.a.register(Operation::Move, to, R0);
            return;
        }
        self.a.register(Operation::Move, R3, R1);
        self.a.register(Operation::Move, R1, R10);
        self.a.number(Operation::Add, R1, copy.into());
        self.a.number(Operation::Move, R2, length);
        self.a.call(Helper::ReadKernelMemory);
        self.a.jump_if(R0, If::NotEqual, 0, self.labels.out);
        self.a.register(Operation::Move, to, R10);
        self.a.number(Operation::Add, to, copy.into());
    }

    /// The number of the probe's protocol.
    fn own_protocol(&self) -> u8 {
        match (self.wanted.kind, self.family()) {
            (ProbeKind::Icmp, Family::V4) => protocol::ICMP,
            (ProbeKind::Icmp, Family::V6) => protocol::ICMPV6,
            (ProbeKind::Tcp(_), _) => protocol::TCP,
            (ProbeKind::Udp(_), _) => protocol::UDP,
        }
    }

    /// The number of the protocol that errors come by.
    fn error_protocol(&self) -> u8 {
        match self.family() {
            Family::V4 => protocol::ICMP,
            Family::V6 => protocol::ICMPV6,
        }
    }

    /// The types of ICMP that may be about the probe: errors, redirects, and the search for neighbours.
    fn telling_types(&self) -> &'static [u8] {
        match self.family() {
            Family::V4 => &[icmp4::UNREACHABLE, icmp4::REDIRECT, icmp4::TIME_EXCEEDED, icmp4::PARAMETER],
            Family::V6 => &[
                icmp6::UNREACHABLE,
                icmp6::TOO_BIG,
                icmp6::TIME_EXCEEDED,
                icmp6::PARAMETER,
                icmp6::NEIGHBOUR_SOLICITATION,
                icmp6::NEIGHBOUR_ADVERTISEMENT,
                icmp6::REDIRECT,
            ],
        }
    }
}
