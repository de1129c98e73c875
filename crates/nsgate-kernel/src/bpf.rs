//! BPF programs that stand on packets' ways: which are attached to an interface, and what they are called.
//!
//! The kernel tells of programs only those who may load them. XDP programs come with the interfaces, without that power;
//! their names do not.

use nsgate_core::model::{Limit, LinkIndex, LinkKind, Program, ProgramPlace};
use rustix::io::Errno;

use crate::error::Error;
use crate::sys;

/// `BPF_TCX_INGRESS` and the others, with the place that each means.
const TCX: [(u32, ProgramPlace); 2] = [(46, ProgramPlace::TcxIngress), (47, ProgramPlace::TcxEgress)];
const NETKIT: [(u32, ProgramPlace); 2] = [(54, ProgramPlace::NetkitPrimary), (55, ProgramPlace::NetkitPeer)];

/// What stays unseen where we may not look.
const UNSEEN: &str = "BPF programs attached by tcx or to control groups, and the names of programs";

/// The name of the programs by which nsgate itself looks on while it traces: they let everything pass.
const OURS: &[u8; 16] = b"nsgate\0\0\0\0\0\0\0\0\0\0";

/// The most programs of the machine that are looked at.
const MOST: usize = 65_536;

/// Kinds of programs that can drop packets without being attached to an interface, by the kernel's numbers
/// (BPF_PROG_TYPE_*), and where they are attached.
const ELSEWHERE: [(u32, &str); 4] =
    [(8, "control groups"), (9, "control groups"), (18, "control groups"), (32, "hooks of the packet filter")];

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

/// What is not known of the machine's programs: those that are not looked at, or all, where we may not look.
pub(crate) fn limits() -> Vec<Limit> {
    let limit = |what: String, why: String| Limit { netns: None, what, why };
    match elsewhere() {
        Ok(found) => found
            .into_iter()
            .map(|(place, count)| {
                let what = format!("BPF programs on {place}, which may drop packets");
                limit(what, format!("{count} are loaded, and which packets they meet is not modelled"))
            })
            .collect(),
        Err(Errno::NOSYS) => Vec::new(),
        Err(errno) => {
            let error = Error::new("look at", "the BPF programs of the machine", errno);
            vec![limit(UNSEEN.into(), error.to_string())]
        }
    }
}

/// Where programs of others are attached that are not looked at, if there are any, and how many there are.
fn elsewhere() -> Result<Vec<(&'static str, usize)>, Errno> {
    let mut found: Vec<(&'static str, usize)> = Vec::new();
    let mut id = 0;
    for _ in 0..MOST {
        id = match sys::bpf_next(id) {
            Ok(next) => next,
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno),
        };
        // A program may go while it is looked at.
        let Ok((kind, name)) = sys::bpf_about(id) else { continue };
        if name == *OURS {
            continue;
        }
        let Some((_, place)) = ELSEWHERE.iter().find(|(number, _)| *number == kind) else { continue };
        match found.iter_mut().find(|(known, _)| known == place) {
            Some((_, count)) => *count += 1,
            None => found.push((place, 1)),
        }
    }
    Ok(found)
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
            assert_eq!(told.is_err(), elsewhere().is_err());
            assert_eq!(name(u32::MAX), None);
        });
    }
}
