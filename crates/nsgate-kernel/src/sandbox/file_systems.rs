//! The file systems of a sandbox: nothing that is mounted in it shows outside, `/run` is empty, and `/proc` and `/sys`
//! show the sandbox instead of the machine where the kernel permits.
//!
//! Runs in the sandbox's first process and must not allocate.

use rustix::fs::{Mode, mkdir};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

/// The views of the outer world that the kernel did not let us renew, with its reason.
///
/// It refuses where parts of the old view are covered, as container engines do: a new mount would bare them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) proc: Option<Errno>,
    pub(super) sys: Option<Errno>,
}

/// Keeps mounts and unmounts of the sandbox from the rest of the machine, and the other way round.
pub(super) fn make_private() -> Result<(), Errno> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// Puts an empty `/run` in place, with a directory for the names of namespaces.
pub(super) fn mount_run() -> Result<(), Errno> {
    mount(c"tmpfs", c"/run", c"tmpfs", MountFlags::NOSUID | MountFlags::NODEV, c"mode=0755")?;
    mkdir(c"/run/netns", Mode::from_raw_mode(0o755))
}

/// Mounts `/proc` of the new process namespace and `/sys` of the new network namespace over the old ones.
pub(super) fn renew_views() -> Kept {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let proc = mount(c"proc", c"/proc", c"proc", flags, None);
    // Where the old /sys is read-only and locked so, the new one must be too.
    let sys = mount(c"sysfs", c"/sys", c"sysfs", flags, None)
        .or_else(|_| mount(c"sysfs", c"/sys", c"sysfs", flags | MountFlags::RDONLY, None));
    Kept { proc: proc.err(), sys: sys.err() }
}
