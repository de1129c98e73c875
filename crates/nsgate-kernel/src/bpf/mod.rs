//! BPF programs that stand on packets' ways: which are attached to an interface, and what they are called.
//!
//! The kernel tells of programs only those who may load them. XDP programs come with the interfaces, without that power;
//! their names do not.

mod machine;

use nsgate_core::model::{AttachedProgram, Limit, LinkIndex, LinkKind, Program, ProgramPlace};
use rustix::io::Errno;

use crate::error::Error;
use crate::sys;

use machine::Found;
#[cfg(feature = "testing")]
pub use machine::looking_on;
pub(crate) use machine::own_group;

/// `BPF_TCX_INGRESS` and the others, with the place that each means.
const TCX: [(u32, ProgramPlace); 2] = [(46, ProgramPlace::TcxIngress), (47, ProgramPlace::TcxEgress)];
const NETKIT: [(u32, ProgramPlace); 2] = [(54, ProgramPlace::NetkitPrimary), (55, ProgramPlace::NetkitPeer)];

/// What stays unseen where we may not look.
const UNSEEN: &str =
    "BPF programs attached by tcx, to control groups or to hooks of the packet filter, and the names of programs";

/// The programs attached to an interface of the calling thread's namespace by `tcx` or `netkit`.
pub(crate) fn attached(link: LinkIndex, kind: &LinkKind) -> Result<Vec<Program>, Errno> {
    let netkit = matches!(kind, LinkKind::Other(name) if name == "netkit");
    let places = TCX.iter().chain(NETKIT.iter().filter(|_| netkit));
    let mut programs = Vec::new();
    for (attach_type, place) in places {
        match sys::bpf_attached(link.0, *attach_type) {
            Ok(ids) => programs.extend(ids.into_iter().map(|id| Program { link, place: *place, id, name: None })),
            // The kernel does not have this place, or the interface went.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NODEV | Errno::OPNOTSUPP | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}

/// The name of a program; none if it has none, or the kernel does not tell us.
pub(crate) fn name(id: u32) -> Option<String> {
    let (_, name) = sys::bpf_about(id).ok()?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = std::str::from_utf8(&name[..end]).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The programs that are attached to something of the machine, with what is not known of them; where we may not look,
/// only that.
pub(crate) fn of_machine() -> (Vec<AttachedProgram>, Vec<Limit>) {
    match machine::attached() {
        Ok(Found { programs, limits }) => (programs, limits),
        Err(Errno::NOSYS) => (Vec::new(), Vec::new()),
        Err(errno) => {
            let error = Error::new("look at", "the BPF programs of the machine", errno);
            (Vec::new(), vec![Limit { netns: None, what: UNSEEN.into(), why: error.to_string() }])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test;

    #[test]
    fn whoever_may_not_look_is_told_so() {
        test(|| {
            // In a sandbox nothing is attached; without power over the machine nobody is told.
            let told = attached(LinkIndex(1), &LinkKind::Loopback);
            assert!(matches!(told.as_deref(), Ok([]) | Err(&Errno::PERM)), "{told:?}");
            assert_eq!(told.is_err(), machine::attached().is_err());
            assert_eq!(name(u32::MAX), None);
        });
    }
}
