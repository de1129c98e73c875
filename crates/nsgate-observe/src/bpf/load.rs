//! Hands programs to the kernel and hangs them where they belong. Nothing is pinned: every object ends with its file
//! descriptor, so a kill leaves nothing behind.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nsgate_core::model::Family;
use nsgate_kernel::Error;
use rustix::io::Errno;

use super::assembler::Instruction;
use super::layout::Tracepoint;
use super::program::{KNOWN_ENDS, Maps};
use crate::sys::{self, KernelProgram, RecordRing};

/// The maps that all programs share: the ring, a counter, the ends of the probe's flow as far as they are known, and the
/// format in which the kernel prints function names.
#[derive(Debug)]
pub(super) struct Ring {
    // Unmapped before the files are closed.
    records: RecordRing,
    file: OwnedFd,
    lost: OwnedFd,
    known: OwnedFd,
    format: OwnedFd,
}

/// Bytes of the ring: room for about 2000 records.
const SIZE: u32 = 1 << 19;

/// Kinds of maps and of programs, and what programs hang on (linux/bpf.h).
const RING: u32 = 27;
const TRACING: u32 = 26;
const NETFILTER: u32 = 32;
const RAW_TRACEPOINT: u32 = 23;

impl Ring {
    /// Makes an empty ring for a probe that is known to have these ends. This is the first thing that the kernel refuses
    /// to those who may not trace it.
    pub(super) fn make(known: [u64; KNOWN_ENDS]) -> Result<Self, Error> {
        let failed = |errno| Error::new("make", "a ring for events of the kernel", errno);
        let file = sys::bpf_map(RING, 0, 0, SIZE).map_err(failed)?;
        let lost = sys::bpf_map(sys::BPF_ARRAY, 4, 8, 1).map_err(failed)?;
        let known = sys::bpf_numbers(&known).map_err(failed)?;
        let format = sys::bpf_text(c"%ps").map_err(failed)?;
        let records = RecordRing::map(file.as_fd(), SIZE as usize).map_err(failed)?;
        Ok(Self { records, file, lost, known, format })
    }

    /// What programs need to write to it.
    pub(super) fn maps(&self) -> Maps {
        let [ring, lost, known, format] = [&self.file, &self.lost, &self.known, &self.format].map(OwnedFd::as_raw_fd);
        Maps { ring, lost, known, format }
    }

    /// Copies the next record into `bytes`; false if there is none.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) -> bool {
        self.records.take(bytes)
    }

    /// How many records found no room so far.
    pub(super) fn lost(&self) -> Result<u64, Error> {
        let failed = |errno| Error::new("count", "the events of the kernel that were lost", errno);
        sys::bpf_value(self.lost.as_fd()).map_err(failed)
    }

    /// The file that polls as readable when there is a record.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Hangs a program on a tracepoint.
pub(super) fn hang_on_tracepoint(tracepoint: &Tracepoint, instructions: &[Instruction]) -> Result<OwnedFd, Error> {
    let name = tracepoint.name;
    let program = KernelProgram { kind: TRACING, hang_on: RAW_TRACEPOINT, tracepoint: tracepoint.id.0, instructions };
    let program = load(program, name)?;
    sys::bpf_hang_on_tracepoint(program.as_fd())
        .map_err(|errno| Error::new("watch the kernel's tracepoint", name, errno))
}

/// Loads a program for the hooks of the packet filter.
pub(super) fn tap(priority: i32, instructions: &[Instruction]) -> Result<OwnedFd, Error> {
    let program = KernelProgram { kind: NETFILTER, hang_on: sys::BPF_NETFILTER, tracepoint: 0, instructions };
    load(program, &format!("hooks at priority {priority}"))
}

/// Hangs a tap on a hook in the namespace of the calling thread. Two may not share one priority there.
pub(super) fn hang_on_hook(tap: &OwnedFd, family: Family, hook: u32, priority: i32) -> Result<OwnedFd, Errno> {
    let family = match family {
        Family::V4 => libc::NFPROTO_IPV4,
        Family::V6 => libc::NFPROTO_IPV6,
    };
    sys::bpf_hang_on_hook(tap.as_fd(), family as u32, hook, priority)
}

/// Loads a program; when the kernel refuses it, once more to learn why.
fn load(program: KernelProgram<'_>, name: &str) -> Result<OwnedFd, Error> {
    let errno = match sys::bpf_program(program, &mut []) {
        Ok(program) => return Ok(program),
        Err(errno) => errno,
    };
    let mut log = vec![0; 1 << 16];
    let said = match errno {
        Errno::PERM | Errno::NOSYS => None,
        _ => sys::bpf_program(program, &mut log).err().and_then(|_| last_words(&log)),
    };
    Err(Error::Refused { operation: "load a program for".into(), object: name.to_owned(), errno, extack: said })
}

/// The end of what the verifier says: the instruction that it objects to, and why.
fn last_words(log: &[u8]) -> Option<String> {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(&log[..end]);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("processed ")).collect();
    let last = &lines[lines.len().saturating_sub(2)..];
    (!last.is_empty()).then(|| last.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_has_the_last_word() {
        let log = b"0: (b7) r0 = 0\n1: (95) exit\nR0 !read_ok\nprocessed 2 insns (limit 1000000)\n\0\0";
        assert_eq!(last_words(log).as_deref(), Some("1: (95) exit; R0 !read_ok"));
        assert_eq!(last_words(&[0; 8]), None);
    }
}
