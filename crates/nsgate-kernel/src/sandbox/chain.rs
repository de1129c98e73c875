//! How the processes of a sandbox are made, and how they end together.
//!
//! Three processes in a row: the *outer* one makes the namespaces and waits; the *first* one is process 1 of the new
//! process namespace, prepares the file systems, reaps orphans and waits; the *inner* one does the work. The first one
//! dies with the outer one whatever ends it, and the kernel then kills everything in its process namespace.
//!
//! All of it may run between fork and exec, in the child of a process of several threads: it must not allocate.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, set_parent_process_death_signal, wait, waitpid,
};
use rustix::thread::UnshareFlags;

use super::file_systems::{self, Kept};
use crate::sys::{self, Signals};

/// A step of making a sandbox, in the order taken.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Unshare,
    MapUser,
    Fork,
    MakeMountsPrivate,
    MountRun,
    SetLoopbackUp,
}

impl Step {
    const ALL: [Self; 6] =
        [Self::Unshare, Self::MapUser, Self::Fork, Self::MakeMountsPrivate, Self::MountRun, Self::SetLoopbackUp];
}

/// The step that failed, with the kernel's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

impl Failure {
    /// Sends the failure to the process that asked for the sandbox.
    pub(super) fn report(self, to: BorrowedFd<'_>) {
        let [a, b, c, d] = self.errno.raw_os_error().to_ne_bytes();
        // Nobody is left to be told if this fails.
        let _ = rustix::io::write(to, &[self.step as u8, a, b, c, d]);
    }

    /// The failure that was reported, if one was; every other process has closed its end of the pipe.
    pub(super) fn reported(from: BorrowedFd<'_>) -> Option<Self> {
        let mut record = [0; 5];
        if rustix::io::read(from, &mut record) != Ok(5) {
            return None;
        }
        let [step, errno @ ..] = record;
        let step = Step::ALL.into_iter().find(|s| *s as u8 == step)?;
        Some(Self { step, errno: Errno::from_raw_os_error(i32::from_ne_bytes(errno)) })
    }
}

/// What `/proc/self/uid_map` and `gid_map` of the new user namespace shall say: the caller becomes its root.
pub(super) struct UserMap {
    user: Box<[u8]>,
    group: Box<[u8]>,
}

impl UserMap {
    /// For the calling process.
    pub(super) fn of_caller() -> Self {
        let line = |id: u32| format!("0 {id} 1").into_bytes().into_boxed_slice();
        Self { user: line(rustix::process::geteuid().as_raw()), group: line(rustix::process::getegid().as_raw()) }
    }

    fn write(&self) -> Result<(), Errno> {
        // Without this the kernel does not let an ordinary user map a group.
        put(c"/proc/self/setgroups", b"deny")?;
        put(c"/proc/self/gid_map", &self.group)?;
        put(c"/proc/self/uid_map", &self.user)
    }
}

fn put(file: &std::ffi::CStr, text: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::io::write(&file, text)? == text.len() { Ok(()) } else { Err(Errno::IO) }
}

#[expect(clippy::large_enum_variant, reason = "there is one of it, on the stack, where nothing may be allocated")]
/// Which of the processes the caller has become.
pub(super) enum Side {
    /// The outer one; the child is process 1 of the sandbox.
    Outer(Outer),
    /// The inner one, with what of the outer world's file systems had to stay.
    Inner(Kept),
}

/// The outer process, after the sandbox is on its way.
pub(super) struct Outer {
    first: Pid,
    masked: Signals,
    before: Signals,
    // The first process sees the death of this one by the end of this pipe, should it come too early for the signal.
    alive: OwnedFd,
}

/// The signals that the waiting processes wait for: the end of a child, and those handed on to it.
const AWAITED: [Signal; 5] = [Signal::CHILD, Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Makes the sandbox around the calling process, which must have one thread; comes back in two processes.
///
/// Failures of processes that cannot come back are written to `report`.
pub(super) fn make(user_map: Option<&UserMap>, report: BorrowedFd<'_>) -> Result<Side, Failure> {
    let failed = |step| move |errno| Failure { step, errno };
    if let Some(map) = user_map {
        sys::unshare(UnshareFlags::NEWUSER).map_err(failed(Step::Unshare))?;
        map.write().map_err(failed(Step::MapUser))?;
    }
    // After the user namespace has its root: the kernel gives that user the network namespace's files in /proc when it
    // makes them, or nobody.
    let namespaces = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWPID;
    sys::unshare(namespaces).map_err(failed(Step::Unshare))?;
    let (dead, alive) = pipe_with(PipeFlags::CLOEXEC).map_err(failed(Step::Fork))?;
    sys::notice_children();
    let masked = Signals::of(&AWAITED);
    let before = masked.block();
    match sys::fork() {
        Ok(Some(first)) => Ok(Side::Outer(Outer { first, masked, before, alive })),
        Ok(None) => {
            drop(alive);
            Ok(Side::Inner(be_first(&dead, masked, before, report)))
        }
        Err(errno) => {
            before.restore();
            Err(Failure { step: Step::Fork, errno })
        }
    }
}

/// Has the calling process killed when its parent ends.
///
/// Not true for a parent that ended before: the caller must look.
pub(super) fn die_with_parent() {
    // Cannot fail: the signal is a real one.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

impl Outer {
    #[cfg(any(test, feature = "testing"))]
    /// Waits as [`Self::wait`] does, in a process that was made for this alone, and ends it.
    pub(super) fn become_waiter(self) -> ! {
        // Pipes must end when the inner process closes them. An old kernel without the call costs that only.
        let _ = sys::close_all_but_standard(Some(std::os::fd::AsFd::as_fd(&self.alive)));
        sys::exit_now(self.wait())
    }

    /// Waits for the end of the sandbox, handing on the signals that ask for it; gives the exit status.
    pub(super) fn wait(self) -> i32 {
        let status = loop {
            if let Some(status) = ended(self.first) {
                break status;
            }
            hand_on(self.masked, self.first);
        };
        self.before.restore();
        drop(self.alive);
        status
    }
}

/// The status that `first` ended with, if it has.
fn ended(first: Pid) -> Option<i32> {
    match waitpid(Some(first), WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => None,
        Ok(Some((_, status))) => Some(exit_status(status)),
        Err(_) => Some(LOST),
    }
}

/// The exit status of a process whose child cannot be waited for: a mistake of ours.
const LOST: i32 = 70;

/// The exit status that tells what became of a child, as shells put it.
fn exit_status(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => LOST,
    }
}

/// Waits for one signal; what a process sent goes to `child` too. The terminal's keys reach it without help.
fn hand_on(awaited: Signals, child: Pid) {
    if let Some((signal, from_process)) = awaited.wait()
        && from_process
        && signal != Signal::CHILD
    {
        // The child may be gone already: its status is about to be read.
        let _ = kill_process(child, signal);
    }
}

/// The life of process 1 of the sandbox. Comes back only in its child, the inner process.
fn be_first(dead: &OwnedFd, masked: Signals, before: Signals, report: BorrowedFd<'_>) -> Kept {
    die_with_parent();
    if hung_up(dead) {
        sys::exit_now(LOST);
    }
    let prepared = prepare();
    let forked = prepared.and_then(|kept| match sys::fork() {
        Ok(child) => Ok((kept, child)),
        Err(errno) => Err(Failure { step: Step::Fork, errno }),
    });
    match forked {
        Ok((kept, None)) => {
            before.restore();
            kept
        }
        Ok((_, Some(inner))) => {
            // As for the outer process.
            let _ = sys::close_all_but_standard(None);
            sys::exit_now(reap(masked, inner))
        }
        Err(failure) => {
            failure.report(report);
            sys::exit_now(LOST)
        }
    }
}

/// Whether the other end of a pipe is closed.
fn hung_up(pipe: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}

fn prepare() -> Result<Kept, Failure> {
    let failed = |step| move |errno| Failure { step, errno };
    file_systems::make_private().map_err(failed(Step::MakeMountsPrivate))?;
    file_systems::mount_run().map_err(failed(Step::MountRun))?;
    let kept = file_systems::renew_views();
    sys::loopback_up().map_err(failed(Step::SetLoopbackUp))?;
    Ok(kept)
}

/// Reaps whatever ends in the sandbox until the inner process does; gives its exit status.
fn reap(masked: Signals, inner: Pid) -> i32 {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((process, status))) if process == inner => return exit_status(status),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => hand_on(masked, inner),
            Err(_) => return LOST,
        }
    }
}
