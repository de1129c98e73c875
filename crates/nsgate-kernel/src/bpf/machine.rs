//! BPF programs that are attached to something of the machine and may decide about packets: control groups, and hooks of
//! the packet filter.
//!
//! Only where such programs are loaded at all is looked for the places that they are attached to.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nsgate_core::model::{AttachedProgram, Family, Limit, MachinePlace};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::name;
use crate::error::Error;
use crate::sys;

/// The most programs, links and control groups of the machine that are looked at.
const MOST: usize = 65_536;
const MOST_GROUPS: usize = 16_384;

/// `BPF_PROG_TYPE_*`: of what stands in the way of packets and their sockets, and what of a control group a program of
/// that kind may be attached to (BPF_CGROUP_*, with bpftool's names).
const KINDS: [(u32, &[(u32, &str)]); 3] = [
    (8, &[(0, "cgroup_inet_ingress"), (1, "cgroup_inet_egress")]),
    (9, &[(2, "cgroup_inet_sock_create"), (12, "cgroup_inet4_post_bind"), (13, "cgroup_inet6_post_bind")]),
    (
        18,
        &[
            (8, "cgroup_inet4_bind"),
            (9, "cgroup_inet6_bind"),
            (10, "cgroup_inet4_connect"),
            (11, "cgroup_inet6_connect"),
            (14, "cgroup_udp4_sendmsg"),
            (15, "cgroup_udp6_sendmsg"),
            (19, "cgroup_udp4_recvmsg"),
            (20, "cgroup_udp6_recvmsg"),
        ],
    ),
];
/// `BPF_PROG_TYPE_NETFILTER` and `BPF_LINK_TYPE_NETFILTER`.
const NETFILTER: u32 = 32;
const NETFILTER_LINK: u32 = 10;

/// What nsgate calls the programs by which it watches a probe: they let everything pass.
const OURS: &str = "nsgate";

/// The hooks of the packet filter, in the order of the kernel's numbers.
const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];

/// What was found, and what is not known of it.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) programs: Vec<AttachedProgram>,
    pub(crate) limits: Vec<Limit>,
}

/// The programs that are attached to something of the machine. Refused to whoever may not look at programs.
pub(crate) fn attached() -> Result<Found, Errno> {
    let kinds = loaded()?;
    let mut found = Found::default();
    let places: Vec<(u32, &str)> =
        KINDS.iter().filter(|(kind, _)| kinds.contains(kind)).flat_map(|(_, places)| places.iter().copied()).collect();
    if !places.is_empty() {
        find_in_groups(&places, &mut found);
    }
    if kinds.contains(&NETFILTER) {
        find_hooked(&mut found)?;
    }
    Ok(found)
}

/// The numbers of the programs by which any nsgate of this machine looks on at this moment.
#[cfg(feature = "testing")]
pub fn looking_on() -> Result<Vec<u32>, Error> {
    let failed = |errno| Error::new("look at", "the BPF programs of the machine", errno);
    let mut ours = Vec::new();
    for id in Numbers::of(sys::bpf_next) {
        let id = id.map_err(failed)?;
        ours.extend((name(id).as_deref() == Some(OURS)).then_some(id));
    }
    Ok(ours)
}

/// The control group that this process is in.
pub(crate) fn own_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// The kinds of the programs that are loaded, as far as they matter here.
fn loaded() -> Result<Vec<u32>, Errno> {
    let mut kinds = Vec::new();
    for id in Numbers::of(sys::bpf_next) {
        // A program may go while it is looked at.
        let Ok((kind, name)) = sys::bpf_about(id?) else { continue };
        if !kinds.contains(&kind) && !name.starts_with(OURS.as_bytes()) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Looks at every control group of the unified hierarchy.
fn find_in_groups(places: &[(u32, &str)], found: &mut Found) {
    let mut limit = |why: String| {
        found.limits.push(Limit { netns: None, what: "BPF programs attached to control groups".into(), why });
    };
    let Some(root) = hierarchy() else {
        return limit("such programs are loaded, and the unified hierarchy is mounted nowhere".into());
    };
    let mut waiting = vec![root.clone()];
    let mut looked_at = 0;
    while let Some(folder) = waiting.pop() {
        looked_at += 1;
        if looked_at > MOST_GROUPS {
            return limit(format!("there are more than {MOST_GROUPS} control groups"));
        }
        match find_in_group(&root, &folder, places) {
            Ok(programs) => found.programs.extend(programs),
            // It went meanwhile.
            Err(Errno::NOENT | Errno::NODEV) => continue,
            Err(errno) => {
                return limit(Error::new("look at", folder.display().to_string(), errno).to_string());
            }
        }
        let folders = fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        waiting.extend(folders.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())).map(|entry| entry.path()));
    }
}

/// The programs attached to one control group itself.
fn find_in_group(root: &Path, folder: &Path, places: &[(u32, &str)]) -> Result<Vec<AttachedProgram>, Errno> {
    let group = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = format!("/{}", folder.strip_prefix(root).unwrap_or(folder).display());
    let number = fs::metadata(folder).map_or(0, |about| about.ino());
    let mut programs = Vec::new();
    for (attach_type, hook) in places {
        let ids = match sys::bpf_attached_to(group.as_fd(), *attach_type) {
            Ok(ids) => ids,
            // The kernel does not have this place.
            Err(Errno::INVAL) => continue,
            Err(errno) => return Err(errno),
        };
        for id in ids {
            let place = MachinePlace::ControlGroup { path: path.clone(), number, hook: (*hook).to_owned() };
            programs.push(AttachedProgram { place, id, name: name(id) });
        }
    }
    Ok(programs)
}

/// Where the unified hierarchy of control groups is mounted.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let folder = mount.split(' ').nth(4)?;
        file_system.starts_with("cgroup2 ").then(|| PathBuf::from(folder))
    })
}

/// The programs that links keep on hooks of the packet filter.
fn find_hooked(found: &mut Found) -> Result<(), Errno> {
    for id in Numbers::of(sys::bpf_next_link) {
        let Ok(about) = sys::bpf_about_link(id?) else { continue };
        let Some(program) = hooked(about) else { continue };
        let name = name(program.id);
        if name.as_deref() != Some(OURS) {
            found.programs.push(AttachedProgram { name, ..program });
        }
    }
    if found.programs.iter().any(|program| matches!(program.place, MachinePlace::PacketFilter { .. })) {
        let why = "the kernel does not tell in which namespace they are".into();
        found.limits.push(Limit { netns: None, what: "BPF programs on hooks of the packet filter".into(), why });
    }
    Ok(())
}

/// What a link keeps on a hook of the packet filter, if it is such a link.
fn hooked([kind, _, program, _, family, hook, priority, _]: [u32; 8]) -> Option<AttachedProgram> {
    let family = Family::BOTH.into_iter().find(|known| match known {
        Family::V4 => family == libc::AF_INET as u32,
        Family::V6 => family == libc::AF_INET6 as u32,
    })?;
    let hook = (*HOOKS.get(hook as usize)?).to_owned();
    let place = MachinePlace::PacketFilter { family, hook, priority: priority as i32 };
    (kind == NETFILTER_LINK).then_some(AttachedProgram { place, id: program, name: None })
}

/// The numbers of all objects of a kind, from a function that knows the one behind another.
struct Numbers {
    next: fn(u32) -> Result<u32, Errno>,
    last: u32,
    left: usize,
}

impl Numbers {
    fn of(next: fn(u32) -> Result<u32, Errno>) -> Self {
        Self { next, last: 0, left: MOST }
    }
}

impl Iterator for Numbers {
    type Item = Result<u32, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match (self.next)(self.last) {
            Ok(id) => {
                self.last = id;
                Some(Ok(id))
            }
            Err(Errno::NOENT) => None,
            Err(errno) => {
                self.left = 0;
                Some(Err(errno))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_hook_is_told_from_others() {
        let link = [NETFILTER_LINK, 7, 42, 0, libc::AF_INET6 as u32, 2, (-5i32) as u32, 0];
        let place = MachinePlace::PacketFilter { family: Family::V6, hook: "forward".into(), priority: -5 };
        assert_eq!(hooked(link), Some(AttachedProgram { place, id: 42, name: None }));
        assert_eq!(hooked([3, 7, 42, 0, libc::AF_INET as u32, 2, 0, 0]), None);
        assert_eq!(hooked([NETFILTER_LINK, 7, 42, 0, libc::AF_INET as u32, 9, 0, 0]), None);
    }

    #[test]
    fn numbers_end_with_the_last_and_with_an_error() {
        let some = Numbers::of(|id| if id < 3 { Ok(id + 1) } else { Err(Errno::NOENT) });
        assert_eq!(some.collect::<Result<Vec<_>, _>>(), Ok(vec![1, 2, 3]));
        assert_eq!(Numbers::of(|_| Err(Errno::PERM)).collect::<Vec<_>>(), [Err(Errno::PERM)]);
    }

    #[test]
    fn whoever_may_look_is_told_of_control_groups() {
        let found = attached();
        assert_eq!(found.is_err(), sys::bpf_next(0) == Err(Errno::PERM));
        // Every control group is one that exists, by the number that sockets have of it.
        for program in found.map(|found| found.programs).unwrap_or_default() {
            if let MachinePlace::ControlGroup { path, number, .. } = program.place {
                assert!(path.starts_with('/') && number > 0, "{path}");
            }
        }
    }
}
