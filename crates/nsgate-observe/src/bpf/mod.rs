//! What the kernel does with a probe between the interfaces: where it throws it away and why, where it is done with it,
//! and how far it comes through the hooks of the packet filter.
//!
//! Small programs are written for the running kernel and the probe at hand, handed to the kernel (BPF) before the probe
//! leaves, and gone when [`KernelEvents`] is dropped or its process killed: nothing is left anywhere. It takes the power
//! over the whole machine to do so; who lacks it, or whose kernel lacks what it needs, gets a [`Limit`] that says so,
//! never an error.

mod assembler;
mod btf;
mod clock;
mod decode;
mod layout;
mod load;
mod program;
mod record;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nsgate_core::model::ruleset::{Hook, TableFamily};
use nsgate_core::model::{Family, Limit};
use nsgate_core::trace::{Identity, KernelEvent, ProbeKind};
use nsgate_kernel::netns::{self, Netns};
use nsgate_kernel::{Error, Kind};
use rustix::io::Errno;

pub(crate) use self::assembler::Instruction;
use self::btf::Btf;
use self::decode::Decoder;
use self::layout::{Kernel, Layout, Tracepoint};
use self::load::Ring;
use self::program::{Source, Wanted};
use self::record::Record;

/// Which events of the kernel are wanted.
#[derive(Clone, Debug)]
pub struct Interest {
    /// What the probe is.
    pub kind: ProbeKind,
    /// How it is known again.
    pub identity: Identity,
    /// The hooks of the packet filters to tap, each with a priority, as [`taps_at`] lists them. Every tap costs every
    /// packet of the watched namespaces some 40 ns.
    pub taps: Vec<(Hook, i32)>,
    /// Whether to be told of every interface that the packet passes. Taps on the interfaces tell most of that for less.
    pub passage: bool,
}

/// Events of the kernel, from now until this is dropped.
#[derive(Debug)]
pub struct KernelEvents {
    // Detached before the ring goes.
    links: Vec<OwnedFd>,
    taps: BTreeMap<i32, OwnedFd>,
    layout: Layout,
    wanted: Wanted,
    decoder: Decoder,
    limits: Vec<Limit>,
    ring: Ring,
}

/// Where taps are set first: behind the reassembly of fragments, in front of everything else; and behind everything
/// that can still throw a packet away. The very last places are the kernel's own.
pub const FIRST_TAPS: [i32; 2] = [-399, i32::MAX - 7];

/// How far a tap may move where its place is taken.
const MOST_MOVES: i32 = 4;
/// The hooks of the packet filter that taps can hang on.
pub const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
/// Where the kernel describes its types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Taps in each of these hooks, at each of these priorities.
pub fn taps_at(hooks: &[Hook], priorities: &[i32]) -> Vec<(Hook, i32)> {
    priorities.iter().flat_map(|priority| hooks.iter().map(|hook| (*hook, *priority))).collect()
}

impl KernelEvents {
    /// Attaches to the kernel and to the packet filters of these namespaces.
    pub fn attach(interest: &Interest, namespaces: &[&Netns]) -> Result<Self, Limit> {
        Self::attach_to(interest, namespaces, |_| ())
    }

    /// The same, with the layout of the kernel changed to that of a lesser one.
    fn attach_to(interest: &Interest, namespaces: &[&Netns], change: impl FnOnce(&mut Layout)) -> Result<Self, Limit> {
        // First, because this is what is refused to those who may not.
        let ring = Ring::make(program::ends(interest.kind, &interest.identity)).map_err(|error| refused(&error))?;
        let btf = read_types().map_err(|error| refused(&error))?;
        let kernel = Kernel::of(&btf);
        let mut layout = kernel.layout().map_err(|missing| refused(&lacking(missing)))?;
        change(&mut layout);
        let decoder = Decoder::new(kernel.drop_reasons(), namespaces, layout.atomic_time);
        let wanted = wanted(interest, namespaces);
        let mut events =
            Self { links: Vec::new(), taps: BTreeMap::new(), layout, wanted, decoder, limits: Vec::new(), ring };
        events.hang_on_tracepoints(&kernel, interest.passage).map_err(|error| refused(&error))?;
        if events.layout.hook.is_some() {
            events.tap(namespaces, &interest.taps);
        } else {
            events
                .limits
                .push(limit("which hooks of the packet filter it passes", &lacking("programs for those hooks")));
        }
        Ok(events)
    }

    /// Sets further taps in the packet filters of these namespaces.
    pub fn tap(&mut self, namespaces: &[&Netns], taps: &[(Hook, i32)]) {
        let mut seen = HashSet::new();
        let different: Vec<&Netns> = namespaces.iter().copied().filter(|netns| seen.insert(netns.inode())).collect();
        let family = Family::of(self.wanted.identity.destination.ip());
        let done = netns::visit(different.iter().copied(), |_| {
            taps.iter().try_for_each(|(hook, priority)| self.tap_here(family, *hook, *priority))
        });
        let what = "which hooks of the packet filter it passes";
        match done {
            Ok(done) => {
                for (netns, result) in different.iter().zip(done) {
                    if let Err(error) = result.and_then(|tapped| tapped) {
                        self.limits.push(Limit { netns: Some(netns.name().clone()), ..limit(what, &error) });
                    }
                }
            }
            Err(error) => self.limits.push(limit(what, &error)),
        }
    }

    /// What happened since the last time, in the order in which the kernel told it, without waiting.
    pub fn drain(&mut self) -> Vec<KernelEvent> {
        let mut events = Vec::new();
        let mut record = Vec::new();
        while self.ring.take(&mut record) {
            if let Some(record) = Record::parse(&record) {
                self.decoder.add(&record, &mut events);
            }
        }
        self.decoder.name_functions(&mut events);
        events
    }

    /// How many events were lost so far because too many waited.
    pub fn lost(&self) -> Result<u64, Error> {
        self.ring.lost()
    }

    /// What of the kernel's doings cannot be seen.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    fn hang_on_tracepoints(&mut self, kernel: &Kernel<'_>, passage: bool) -> Result<(), Error> {
        for found in kernel.tracepoints() {
            let kind = found.as_ref().map_or_else(|(kind, _)| *kind, |tracepoint| tracepoint.kind);
            let on_the_way = matches!(kind, record::Kind::Queued | record::Kind::Transmitted | record::Kind::Received);
            if on_the_way && !passage {
                continue;
            }
            let hung = match &found {
                Ok(tracepoint) => self.hang_on(tracepoint),
                Err((_, name)) => Err(lacking(format!("tracepoint {name}"))),
            };
            match hung {
                Ok(link) => self.links.push(link),
                // Without this one the others are of little use.
                Err(error) if kind == record::Kind::Dropped => return Err(error),
                Err(error) => self.limits.push(limit(told_by(kind), &error)),
            }
        }
        Ok(())
    }

    fn hang_on(&self, tracepoint: &Tracepoint) -> Result<OwnedFd, Error> {
        let source = Source::Tracepoint(tracepoint);
        let program = program::write(&self.layout, &self.wanted, self.ring.maps(), source);
        let program = program.ok_or_else(|| lacking(format!("tracepoint {}", tracepoint.name)))?;
        load::hang_on_tracepoint(tracepoint, &program)
    }

    /// Sets a tap in the namespace of the calling thread, or as near to its place as there is room.
    fn tap_here(&mut self, family: Family, hook: Hook, priority: i32) -> Result<(), Error> {
        let hook = hook.number(TableFamily::Inet).ok_or_else(|| lacking(format!("taps at {}", hook.name())))?;
        let away_from_end = if priority > 0 { -1 } else { 1 };
        let mut errno = Errno::BUSY;
        for moved in 0..MOST_MOVES {
            let priority = priority.saturating_add(moved * away_from_end);
            let tap = self.tap_at(priority)?;
            match load::hang_on_hook(tap, family, hook, priority) {
                Ok(link) => {
                    self.links.push(link);
                    return Ok(());
                }
                Err(Errno::BUSY) => {}
                Err(other) => {
                    errno = other;
                    break;
                }
            }
        }
        Err(Error::new("tap", format!("a hook of the packet filter at priority {priority}"), errno))
    }

    /// The program for taps at a priority.
    fn tap_at(&mut self, priority: i32) -> Result<&OwnedFd, Error> {
        if !self.taps.contains_key(&priority) {
            let program = program::write(&self.layout, &self.wanted, self.ring.maps(), Source::Tap(priority));
            let program = program.ok_or_else(|| lacking("programs for those hooks"))?;
            self.taps.insert(priority, load::tap(priority, &program)?);
        }
        Ok(&self.taps[&priority])
    }
}

impl AsFd for KernelEvents {
    /// Polls as readable when there is something to drain.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.file()
    }
}

fn wanted(interest: &Interest, namespaces: &[&Netns]) -> Wanted {
    let mut numbers: Vec<u32> = namespaces.iter().map(|netns| netns.inode() as u32).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Wanted { kind: interest.kind, identity: interest.identity, namespaces: numbers }
}

/// Reads the kernel's description of its types.
fn read_types() -> Result<Btf, Error> {
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        match errno {
            Errno::NOENT => lacking("description of its types (CONFIG_DEBUG_INFO_BTF)"),
            errno => Error::new("read", TYPES, errno),
        }
    };
    let file = std::fs::File::open(TYPES).map_err(failed)?;
    let length = file.metadata().map_or(0, |about| about.len()).min(btf::LARGEST);
    let mut bytes = Vec::with_capacity(length as usize + 1);
    file.take(btf::LARGEST).read_to_end(&mut bytes).map_err(failed)?;
    Btf::parse(bytes).map_err(|malformed| Error::answer("read", TYPES, malformed.to_string()))
}

fn lacking(what: impl std::fmt::Display) -> Error {
    Error::explained(Kind::MissingFeature, "watch", "the kernel", format!("it has no {what}"))
}

/// The limit that stands for all of this.
fn refused(error: &Error) -> Limit {
    let mut limit = limit("what the kernel drops, and why", error);
    if error.kind() == Kind::NotPermitted {
        limit.why.push_str("; it takes CAP_BPF and CAP_PERFMON over the whole machine, so run as root");
    }
    limit
}

fn limit(what: &str, error: &Error) -> Limit {
    Limit { netns: None, what: what.into(), why: error.to_string() }
}

/// What is not known without a kind of tracepoint.
fn told_by(kind: record::Kind) -> &'static str {
    match kind {
        record::Kind::Dropped => "what the kernel drops, and why",
        record::Kind::Consumed => "where packets come to their end",
        record::Kind::Queued | record::Kind::Transmitted | record::Kind::Received => "what passes the interfaces",
        record::Kind::IcmpSent => "which ICMP errors are sent, and because of which packet",
        record::Kind::ResetSent => "which TCP resets are sent, and because of which packet",
        record::Kind::Neighbour => "how neighbours change",
        record::Kind::Tap => "which hooks of the packet filter it passes",
    }
}
