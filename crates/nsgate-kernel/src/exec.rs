//! Running a program in a network namespace, as `ip netns exec` does, and the shell of a lab.
//!
//! Beside the network, a program sees the machine through `/sys` and `/etc`. So it gets a mount namespace of its own,
//! with the `/sys` of its network namespace, and with what `/etc/netns/NAME` holds in place of the files of `/etc`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use nsgate_core::model::{Limit, NetnsName};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, mount_change, move_mount,
    open_tree,
};
use rustix::process::{Signal, getpid, setpgid};
use rustix::termios::{isatty, tcsetpgrp};
use rustix::thread::UnshareFlags;

use crate::error::meaning;
use crate::netns::Netns;
use crate::sys::Signals;
use crate::{Error, Kind, sys};

/// Moves the calling thread into the namespace for good, with file systems to match; the program to run comes next.
///
/// Gives what could not be made to match.
pub fn enter(netns: &Netns) -> Result<Vec<Limit>, Error> {
    if netns.inode() == Netns::host()?.inode() {
        return Ok(Vec::new());
    }
    netns.enter()?;
    let failed = |operation| move |errno| Error::new(operation, format!("for {}", netns.name()), errno);
    sys::unshare(UnshareFlags::NEWNS).map_err(failed("make a mount namespace"))?;
    // What the machine mounts later still shows inside; what is mounted inside does not show outside.
    let private = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c"/", private).map_err(failed("keep mounts apart"))?;
    mount_sys().map_err(failed("mount /sys"))?;
    Ok(if netns.name().is_plain() { bind_files(netns.name()) } else { Vec::new() })
}

/// Becomes another program, found by the user's `PATH`. Comes back only with the reason why not.
pub fn replace(program: &OsStr, arguments: &[OsString]) -> Error {
    let error = Command::new(program).args(arguments).exec();
    unstarted(program, &error)
}

/// Runs the user's own shell, and gives its exit status.
///
/// The terminal's interrupt key is the shell's alone meanwhile.
pub fn shell(user: u32) -> Result<i32, Error> {
    let shell = login_shell(user);
    sys::survive(&[Signal::INT, Signal::QUIT]);
    take_terminal();
    let status = Command::new(&shell).status().map_err(|error| unstarted(shell.as_os_str(), &error))?;
    Ok(status_code(status))
}

/// Makes this process the leader of the terminal's foreground, where there is a terminal.
///
/// A shell hands the terminal back to whom it had it from, and in a sandbox the group of processes that it was started
/// in has no number.
fn take_terminal() {
    let terminal = std::io::stdin();
    if !isatty(&terminal) {
        return;
    }
    // Whoever asks for the terminal from the background is stopped by this signal otherwise.
    let before = Signals::of(&[Signal::TTOU]).block();
    // Without it a shell complains at its end, and works until then.
    let _ = setpgid(None, None).and_then(|()| tcsetpgrp(&terminal, getpid()));
    before.restore();
}

/// The exit status as shells put it: 128 and the signal for what a signal ended.
fn status_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1)
}

fn unstarted(program: &OsStr, error: &std::io::Error) -> Error {
    let program = program.to_string_lossy();
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => Error::explained(Kind::NotFound, "run", program, "there is no such program"),
        Some(Errno::ACCESS) => {
            let why =
                "it is not there for this user, or may not be run (a directory in PATH may be closed to the user)";
            Error::explained(Kind::NotPermitted, "run", program, why)
        }
        errno => Error::new("run", program, errno.unwrap_or(Errno::IO)),
    }
}

/// Mounts a `/sys` that shows the interfaces of the thread's network namespace, and keeps what is mounted below.
fn mount_sys() -> Result<(), Errno> {
    let below = ["/sys/fs/cgroup", "/sys/fs/bpf"].map(|path| (path, mount_tree(path)));
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Where the old /sys is read-only and locked so, the new one must be too.
    mount(c"sysfs", c"/sys", c"sysfs", flags, None)
        .or_else(|_| mount(c"sysfs", c"/sys", c"sysfs", flags | MountFlags::RDONLY, None))?;
    for (path, tree) in below {
        if let Some(tree) = tree {
            // A program that needs these can do without more often than not: no reason to refuse it.
            let _ = move_mount(&tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
        }
    }
    Ok(())
}

/// What is mounted at a path, as a tree to be mounted elsewhere too.
fn mount_tree(path: &str) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).ok()
}

/// Puts each file of `/etc/netns/NAME` over the one of that name in `/etc`; gives those that could not be put there.
fn bind_files(name: &NetnsName) -> Vec<Limit> {
    let directory = Path::new("/etc/netns").join(name.as_str());
    let Ok(files) = fs::read_dir(&directory) else { return Vec::new() };
    let bind = |file: fs::DirEntry| {
        let target = Path::new("/etc").join(file.file_name());
        let errno = mount_bind(file.path(), &target).err()?;
        let what = format!("{} in place of {}", file.path().display(), target.display());
        Some(Limit { netns: Some(name.clone()), what, why: meaning(errno) })
    };
    files.filter_map(Result::ok).filter_map(bind).collect()
}

/// The longest user database that is read.
const LONGEST: u64 = 4 << 20;

/// The login shell of a user; `/bin/sh` where there is none to log in with.
pub fn login_shell(user: u32) -> PathBuf {
    let mut users = String::new();
    // A database that cannot be read has no user.
    let _ = fs::File::open("/etc/passwd").and_then(|file| file.take(LONGEST).read_to_string(&mut users));
    shell_of(&users, user)
        .filter(|shell| fs::metadata(shell).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0))
        .unwrap_or_else(|| "/bin/sh".into())
}

/// The shell that a user database names for a user, unless it is one that only turns people away.
fn shell_of(users: &str, user: u32) -> Option<PathBuf> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let number: u32 = fields.nth(2)?.parse().ok()?;
        let shell = Path::new(fields.nth(3)?);
        let open = shell.is_absolute() && !shell.ends_with("nologin") && !shell.ends_with("false");
        (number == user && open).then(|| shell.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::create;
    use crate::sandbox::test;

    /// What `look` gives on a thread that has moved into the namespace for good.
    fn inside<T: Send>(netns: &Netns, look: impl FnOnce(&[Limit]) -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| look(&enter(netns).unwrap())).join().unwrap())
    }

    fn interfaces() -> usize {
        fs::read_dir("/sys/class/net").unwrap().count()
    }

    #[test]
    fn the_program_sees_the_namespace_in_sys() {
        test(|| {
            let blue = create(&"blue".parse().unwrap()).unwrap();
            let index = || fs::read_to_string("/sys/class/net/lo/flags").unwrap();
            let (outside, before) = (index(), interfaces());
            let (there, count) = inside(&blue, |limits| {
                assert_eq!(limits, []);
                (index(), interfaces())
            });
            // The sandbox's loopback is up (0x9), that of a new namespace is down (0x8).
            assert_eq!((outside.trim(), there.trim()), ("0x9", "0x8"));
            assert!(count <= before);
            assert_eq!(index(), outside, "the caller's /sys stays");
        });
    }

    #[test]
    fn files_of_the_namespace_lie_over_those_of_the_machine() {
        test(|| {
            mount(c"tmpfs", c"/etc", c"tmpfs", MountFlags::empty(), None).unwrap();
            fs::create_dir_all("/etc/netns/blue").unwrap();
            fs::write("/etc/resolv.conf", "nameserver 192.0.2.1").unwrap();
            fs::write("/etc/netns/blue/resolv.conf", "nameserver 198.51.100.1").unwrap();
            fs::write("/etc/netns/blue/hosts", "").unwrap();
            let blue = create(&"blue".parse().unwrap()).unwrap();
            let (read, unbound) = inside(&blue, |limits| {
                (
                    fs::read_to_string("/etc/resolv.conf").unwrap(),
                    limits.iter().map(|l| l.what.clone()).collect::<Vec<_>>(),
                )
            });
            assert_eq!(read, "nameserver 198.51.100.1");
            assert_eq!(unbound, ["/etc/netns/blue/hosts in place of /etc/hosts"]);
            assert_eq!(fs::read_to_string("/etc/resolv.conf").unwrap(), "nameserver 192.0.2.1");
        });
    }

    #[test]
    fn a_missing_program_is_told() {
        let error = replace(OsStr::new("/proc/no-such-program"), &[]);
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(error.to_string(), "cannot run /proc/no-such-program: there is no such program");
    }

    #[test]
    fn shells_by_user() {
        let users = "root:x:0:0:root:/root:/bin/zsh\nbad line\nnobody:x:65534:65534::/:/usr/sbin/nologin\n\
                     ann:x:1000:1000::/home/ann:\nbob:x:1001:1001::/home/bob:/bin/bash\n";
        assert_eq!(shell_of(users, 0), Some("/bin/zsh".into()));
        assert_eq!(shell_of(users, 1001), Some("/bin/bash".into()));
        for user in [65534, 1000, 7] {
            assert_eq!(shell_of(users, user), None, "{user}");
        }
    }
}
