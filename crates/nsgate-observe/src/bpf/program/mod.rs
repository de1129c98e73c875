//! The programs that run in the kernel: one template, filled in for each tracepoint and tap, for the kernel that runs
//! and for the probe that is under way.
//!
//! A program costs every packet of the machine some time, so it gives up on a packet as early as it can: by the
//! protocol, then by what the probe carries. Only then does it ask in which namespace the packet is, and only what is
//! the probe's own, its answer's, or an error or a question for a neighbour in a watched namespace is written down.
//! What looks like the probe's and is not (another packet of the same addresses and ports) is for the reader to sort out.
//!
//! An answer need not carry anything of the probe. So every program that meets the probe itself notes under which ends it
//! travels by now, for all of them: what has one of these ends may be the answer, whatever was translated on the way.
//!
//! The kernel's memory is read by the types that it describes. Headers have no type; where the kernel can give them one
//! they are read in place, otherwise they are copied to the stack first.

mod learn;
mod recognise;
mod report;

use nsgate_core::model::Family;
use nsgate_core::trace::{Identity, ProbeKind};

pub(super) use self::learn::{KNOWN_ENDS, ends};
use super::assembler::Register::{R0, R1, R2, R3, R6, R7, R9, R10};
use super::assembler::Size::{Byte, Double, Half, Word};
use super::assembler::{Assembler, Helper, If, Instruction, Label, Operation, Register};
use super::btf::TypeId;
use super::layout::{Layout, Tracepoint};
use super::record::{Kind, field};

/// What a program looks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What the probe is.
    pub(super) kind: ProbeKind,
    /// How it is known again.
    pub(super) identity: Identity,
    /// The inode numbers of the namespaces to watch.
    pub(super) namespaces: Vec<u32>,
}

/// What a program hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A tracepoint.
    Tracepoint(&'a Tracepoint),
    /// All hooks of the packet filter, at one priority.
    Tap(i32),
}

/// The file descriptors of the maps that programs use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    /// The ring of records.
    pub(super) ring: i32,
    /// The number of records that found no room.
    pub(super) lost: i32,
    /// The ends of the probe's flow, as [`ends`] makes them: its own, and what it was seen to be translated to.
    pub(super) known: i32,
    /// The text `%ps`: an address as the name of the function that it lies in.
    pub(super) format: i32,
}

/// Writes a program. None if the kernel lacks what this one needs.
pub(super) fn write(layout: &Layout, wanted: &Wanted, maps: Maps, source: Source<'_>) -> Option<Vec<Instruction>> {
    let mut assembler = Assembler::default();
    let labels = Labels { ours: assembler.label(), found: assembler.label(), out: assembler.label() };
    let mut writer = Writer { a: assembler, layout, wanted, maps, labels };
    match source {
        Source::Tracepoint(Tracepoint { kind: Kind::Neighbour, subject, numbers, .. }) => {
            writer.neighbour(*subject, (*numbers)?)?;
        }
        source => writer.packet(source)?,
    }
    writer.end(match source {
        Source::Tracepoint(_) => 0,
        Source::Tap(_) => NF_ACCEPT,
    });
    writer.a.finish()
}

/// A tap lets everything pass.
const NF_ACCEPT: i32 = 1;

/// Places on the stack, below register 10. The address of the network header:
const NETWORK: i16 = -8;
/// The inode number of the namespace.
const NETNS: i16 = -12;
/// The number of the interface.
const LINK: i16 = -16;
/// The number of the transport protocol.
const PROTOCOL: i16 = -24;
/// A copy of the network header (at most 40 bytes).
const HEADER: i16 = -64;
/// A copy of what follows it (16 bytes).
const SEGMENT: i16 = -80;

/// An address in the kernel's code.
const LOCATION: i16 = -88;

/// How many bytes of a neighbour's address are kept: enough for both families.
const ADDRESS_LENGTH: i32 = 16;

struct Writer<'a> {
    a: Assembler,
    layout: &'a Layout,
    wanted: &'a Wanted,
    maps: Maps,
    labels: Labels,
}

#[derive(Clone, Copy)]
struct Labels {
    /// The packet carries what the probe is known by.
    ours: Label,
    /// The packet is one to tell of.
    found: Label,
    /// It is none.
    out: Label,
}

/// Throughout a program: register 6 is the packet, 7 what the program was given, 8 the network header, 9 what follows
/// that header, or the record.
impl Writer<'_> {
    /// A program for what happens to packets.
    fn packet(&mut self, source: Source<'_>) -> Option<()> {
        let subject = match source {
            Source::Tracepoint(tracepoint) => tracepoint.subject,
            // struct bpf_nf_ctx: the state of the hook, then the packet.
            Source::Tap(_) => 1,
        };
        self.a.register(Operation::Move, R7, R1);
        self.a.load(Double, R6, R7, 8 * subject);
        self.a.jump_if(R6, If::Equal, 0, self.labels.out);
        self.network_header(source);
        self.recognise();
        self.a.place(self.labels.ours);
        self.learn();
        self.a.place(self.labels.found);
        self.distrust(R6, self.layout.cast.as_ref().map(|cast| cast.buffer));
        match source {
            Source::Tracepoint(tracepoint) => self.place_of_packet(tracepoint),
            Source::Tap(_) => self.place_of_hook()?,
        }
        self.check_namespace();
        self.reserve();
        self.tell_packet();
        match source {
            Source::Tracepoint(tracepoint) => self.tell_tracepoint(tracepoint),
            Source::Tap(priority) => self.tell_hook(priority)?,
        }
        self.keep_bytes();
        self.submit();
        Some(())
    }

    /// A program for changes of neighbours.
    fn neighbour(&mut self, subject: i16, state: i16) -> Option<()> {
        let places = self.layout.neighbour.as_ref()?;
        self.a.register(Operation::Move, R7, R1);
        self.a.load(Double, R6, R7, 8 * subject);
        self.a.jump_if(R6, If::Equal, 0, self.labels.out);
        self.distrust(R6, self.layout.cast.as_ref().map(|cast| cast.neighbour));
        self.a.store_number(Double, R10, LINK, 0);
        self.a.load(Double, R1, R6, places.device);
        let known = self.a.label();
        self.device_in_r1(known);
        self.a.place(known);
        self.check_namespace();
        self.reserve();
        self.a.load(Byte, R2, R6, places.state);
        self.a.number(Operation::ShiftLeft, R2, 8);
        self.a.load(Double, R1, R7, 8 * state);
        self.a.number(Operation::And, R1, 0xff);
        self.a.register(Operation::Or, R1, R2);
        self.a.store(Word, R9, field::DETAIL, R1);
        self.a.load(Double, R1, R6, places.table);
        self.a.load(Word, R1, R1, places.table_family);
        self.a.store(Byte, R9, field::FAMILY, R1);
        self.a.store_number(Byte, R9, field::KIND, Kind::Neighbour as i32);
        self.a.register(Operation::Move, R3, R6);
        self.a.number(Operation::Add, R3, i32::from(places.address));
        self.a.register(Operation::Move, R1, R9);
        self.a.number(Operation::Add, R1, i32::from(field::BYTES));
        self.a.number(Operation::Move, R2, ADDRESS_LENGTH);
        self.a.store_number(Half, R9, field::KEPT, ADDRESS_LENGTH);
        self.a.call(Helper::ReadKernelMemory);
        self.submit();
        Some(())
    }

    /// Has the verifier forget that it knows a pointer to be good: looking up which pointers in it are good too takes it
    /// longer than everything else.
    fn distrust(&mut self, pointer: Register, of: Option<TypeId>) {
        if let (Some(of), Some(cast)) = (of, &self.layout.cast) {
            self.a.register(Operation::Move, R1, pointer);
            self.a.number(Operation::Move, R2, of.0 as i32);
            self.a.call_kernel(cast.function.0);
            self.a.register(Operation::Move, pointer, R0);
        }
    }

    /// Ends the program.
    fn end(&mut self, result: i32) {
        self.a.place(self.labels.out);
        self.a.number(Operation::Move, R0, result);
        self.a.exit();
    }

    fn family(&self) -> Family {
        Family::of(self.wanted.identity.destination.ip())
    }
}
