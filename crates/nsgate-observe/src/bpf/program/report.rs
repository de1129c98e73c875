//! Finding out where a packet is, and writing down what happens to it.

use super::{LINK, LOCATION, NETNS, NETWORK, Writer};
use crate::bpf::assembler::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use crate::bpf::assembler::Size::{Byte, Double, Half, Word};
use crate::bpf::assembler::{Helper, If, Label, Operation};
use crate::bpf::layout::Tracepoint;
use crate::bpf::record::{self, Kind, field};

impl Writer<'_> {
    /// Notes the interface and the namespace that the packet is in. A packet that is about to be delivered has been
    /// detached from its interface; then its route or its socket tells the namespace.
    pub(super) fn place_of_packet(&mut self, tracepoint: &Tracepoint) {
        let places = &self.layout.buffer;
        let (known, detached) = (self.a.label(), self.a.label());
        self.a.store_number(Double, R10, LINK, 0);
        self.a.load(Double, R1, R6, places.device);
        self.a.jump_if(R1, If::Equal, 0, detached);
        self.device_in_r1(known);
        self.a.place(detached);
        self.a.load(Word, R1, R6, places.arrival_link);
        self.a.store(Word, R10, LINK, R1);
        if let Some(cast) = &self.layout.cast {
            let none = self.a.label();
            self.a.load(Double, R1, R6, places.route);
            // The lowest bit says who holds the route.
            self.a.number(Operation::And, R1, -2);
            self.a.jump_if(R1, If::Equal, 0, none);
            self.a.number(Operation::Move, R2, cast.route.0 as i32);
            self.a.call_kernel(cast.function.0);
            self.a.load(Double, R1, R0, cast.route_device);
            self.a.jump_if(R1, If::Equal, 0, none);
            self.netns_of_r1(self.layout.device.netns, known);
            self.a.place(none);
        }
        self.a.load(Double, R1, R6, places.socket);
        self.socket_in_r1(known);
        if let Some(socket) = tracepoint.socket {
            let none = self.a.label();
            self.a.load(Double, R8, R7, 8 * socket);
            self.a.jump_if(R8, If::Equal, 0, none);
            self.distrust(R8, self.layout.cast.as_ref().map(|cast| cast.socket));
            self.a.register(Operation::Move, R1, R8);
            self.socket_in_r1(known);
            self.a.place(none);
        }
        self.a.place(known);
    }

    /// Notes the device in register 1 and its namespace; jumps if it has one.
    pub(super) fn device_in_r1(&mut self, known: Label) {
        self.a.load(Word, R2, R1, self.layout.device.index);
        self.a.store(Word, R10, LINK, R2);
        self.netns_of_r1(self.layout.device.netns, known);
    }

    /// Notes the namespace of the socket in register 1, if there is one; jumps if it has one.
    fn socket_in_r1(&mut self, known: Label) {
        let none = self.a.label();
        self.a.jump_if(R1, If::Equal, 0, none);
        self.netns_of_r1(self.layout.socket_netns, known);
        self.a.place(none);
    }

    /// Notes the namespace that the object in register 1 points to; jumps if there is one.
    fn netns_of_r1(&mut self, place: i16, known: Label) {
        let none = self.a.label();
        self.a.load(Double, R1, R1, place);
        self.a.jump_if(R1, If::Equal, 0, none);
        self.a.load(Word, R2, R1, self.layout.netns_number);
        self.a.store(Word, R10, NETNS, R2);
        self.a.jump_if(R2, If::NotEqual, 0, known);
        self.a.place(none);
    }

    /// Notes the interface and the namespace of a hook.
    pub(super) fn place_of_hook(&mut self) -> Option<()> {
        let places = self.layout.hook.as_ref()?;
        let (known, input) = (self.a.label(), self.a.label());
        self.a.store_number(Double, R10, LINK, 0);
        self.a.load(Double, R8, R7, 0);
        self.distrust(R8, self.layout.cast.as_ref().map(|cast| cast.hook));
        self.a.load(Double, R1, R8, places.input);
        self.a.jump_if(R1, If::NotEqual, 0, input);
        self.a.load(Double, R1, R8, places.output);
        let none = self.a.label();
        self.a.jump_if(R1, If::Equal, 0, none);
        self.a.place(input);
        self.a.load(Word, R2, R1, self.layout.device.index);
        self.a.store(Word, R10, LINK, R2);
        self.a.place(none);
        self.a.register(Operation::Move, R1, R8);
        self.netns_of_r1(places.netns, known);
        self.a.place(known);
        Some(())
    }

    /// Ends the program in namespaces that are not watched. A packet that is in none may be ours.
    pub(super) fn check_namespace(&mut self) {
        let watched = self.a.label();
        self.a.load(Word, R1, R10, NETNS);
        self.a.jump_if_word(R1, If::Equal, 0, watched);
        for number in &self.wanted.namespaces {
            self.a.jump_if_word(R1, If::Equal, *number, watched);
        }
        self.a.jump(self.labels.out);
        self.a.place(watched);
    }

    /// Makes room for a record, to which register 9 points from now on, and fills in what all have.
    pub(super) fn reserve(&mut self) {
        let room = self.a.label();
        self.a.map(R1, self.maps.ring);
        self.a.number(Operation::Move, R2, record::LENGTH.into());
        self.a.number(Operation::Move, R3, 0);
        self.a.call(Helper::ReserveInRing);
        self.a.jump_if(R0, If::NotEqual, 0, room);
        self.a.map_value(R1, self.maps.lost);
        self.a.number(Operation::Move, R2, 1);
        self.a.add_atomically(R1, R2);
        self.a.jump(self.labels.out);
        self.a.place(room);
        self.a.register(Operation::Move, R9, R0);
        // The ring still holds what was there before.
        for place in (0..field::SYMBOL + 8).step_by(8) {
            self.a.store_number(Double, R9, place, 0);
        }
        self.a.call(if self.layout.atomic_time { Helper::AtomicTime } else { Helper::MonotonicTime });
        self.a.store(Double, R9, field::TIME, R0);
        self.a.load(Word, R1, R10, NETNS);
        self.a.store(Word, R9, field::NETNS, R1);
        self.a.load(Word, R1, R10, LINK);
        self.a.store(Word, R9, field::LINK, R1);
        self.a.store(Double, R9, field::BUFFER, R6);
    }

    /// Writes down what the packet's buffer says.
    pub(super) fn tell_packet(&mut self) {
        let places = &self.layout.buffer;
        self.a.load(Word, R1, R6, places.mark);
        self.a.store(Word, R9, field::MARK, R1);
        self.a.load(Word, R1, R6, places.length);
        self.a.store(Word, R9, field::LENGTH, R1);
        self.a.load(Half, R1, R6, places.protocol);
        self.a.store(Half, R9, field::ETHERTYPE, R1);
        let (place, shift) = places.packet_type;
        self.a.load(Byte, R1, R6, place);
        self.a.number(Operation::ShiftRight, R1, shift);
        self.a.number(Operation::And, R1, 7);
        self.a.store(Byte, R9, field::ADDRESSEE, R1);
    }

    /// Writes down what the tracepoint says.
    pub(super) fn tell_tracepoint(&mut self, tracepoint: &Tracepoint) {
        self.a.store_number(Byte, R9, field::KIND, tracepoint.kind as i32);
        if let Some(location) = tracepoint.location {
            self.tell_location(location);
        }
        if let Some(numbers) = tracepoint.numbers {
            self.a.load(Double, R1, R7, 8 * numbers);
            self.a.number(Operation::And, R1, 0xff);
            self.a.number(Operation::ShiftLeft, R1, 8);
            self.a.load(Double, R2, R7, 8 * (numbers + 1));
            self.a.number(Operation::And, R2, 0xff);
            self.a.register(Operation::Or, R1, R2);
            self.a.store(Word, R9, field::DETAIL, R1);
        } else if let Some(reason) = tracepoint.reason {
            self.a.load(Double, R1, R7, 8 * reason);
            self.a.store(Word, R9, field::DETAIL, R1);
        } else {
            self.a.store_number(Word, R9, field::DETAIL, record::NO_REASON as i32);
        }
    }

    /// Writes down where in the kernel's code it happened, with the name of the function where the kernel can tell it.
    fn tell_location(&mut self, location: i16) {
        self.a.load(Double, R1, R7, 8 * location);
        // It is where the call returns to, which can be the start of the next function.
        self.a.number(Operation::Add, R1, -1);
        self.a.store(Double, R9, field::LOCATION, R1);
        if !self.layout.prints {
            return;
        }
        self.a.store(Double, R10, LOCATION, R1);
        self.a.register(Operation::Move, R1, R9);
        self.a.number(Operation::Add, R1, field::SYMBOL.into());
        self.a.number(Operation::Move, R2, record::MOST_SYMBOL.into());
        self.a.map_value(R3, self.maps.format);
        self.a.register(Operation::Move, R4, R10);
        self.a.number(Operation::Add, R4, LOCATION.into());
        self.a.number(Operation::Move, R5, 8);
        self.a.call(Helper::Print);
    }

    /// Writes down which hook it is. Register 8 is its state.
    pub(super) fn tell_hook(&mut self, priority: i32) -> Option<()> {
        let places = self.layout.hook.as_ref()?;
        self.a.store_number(Byte, R9, field::KIND, Kind::Tap as i32);
        self.a.store_number(Word, R9, field::PRIORITY, priority);
        self.a.load(Byte, R1, R8, places.number);
        self.a.store(Byte, R9, field::HOOK, R1);
        self.a.load(Byte, R1, R8, places.family);
        self.a.store(Byte, R9, field::FAMILY, R1);
        Some(())
    }

    /// Copies the packet from its network header on, as far as it lies in one piece.
    pub(super) fn keep_bytes(&mut self) {
        let places = &self.layout.buffer;
        let (short, none) = (self.a.label(), self.a.label());
        self.a.load(Double, R3, R10, NETWORK);
        self.a.load(Double, R2, R6, places.head);
        self.a.load(Word, R1, R6, places.tail);
        self.a.register(Operation::Add, R2, R1);
        self.a.register(Operation::Subtract, R2, R3);
        self.a.jump_if(R2, If::LessOrEqual, record::MOST_BYTES.into(), short);
        // The end lies before the start, as an unsigned number: the header is not where it was said to be.
        self.a.jump_if(R2, If::Greater, i32::from(i16::MAX) * 4, none);
        self.a.number(Operation::Move, R2, record::MOST_BYTES.into());
        self.a.place(short);
        self.a.store(Half, R9, field::KEPT, R2);
        self.a.register(Operation::Move, R1, R9);
        self.a.number(Operation::Add, R1, field::BYTES.into());
        self.a.call(Helper::ReadKernelMemory);
        self.a.jump_if(R0, If::Equal, 0, none);
        self.a.store_number(Half, R9, field::KEPT, 0);
        self.a.place(none);
    }

    /// Hands the record over.
    pub(super) fn submit(&mut self) {
        self.a.register(Operation::Move, R1, R9);
        self.a.number(Operation::Move, R2, 0);
        self.a.call(Helper::SubmitToRing);
    }
}
