//! A place to build networks in that cannot touch the machine's own, and that the machine's own cannot reach.
//!
//! A sandbox has network, mount and process namespaces of its own, and a user namespace too unless the caller has the
//! power to do without. `/run` is empty in it, so the namespaces named there are the sandbox's own. It needs no root.
//! Everything in it ends with the process that made it, also when that one is killed.

mod chain;
mod defaults;
mod file_systems;
mod refusal;
#[cfg(any(test, feature = "testing"))]
mod testing;

use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nsgate_core::model::Limit;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use self::chain::{Failure, Side, UserMap};
pub(crate) use self::defaults::restore as restore_defaults;
use self::file_systems::Kept;
#[cfg(any(test, feature = "testing"))]
pub use self::testing::test;
use crate::privileges::Privileges;
use crate::{Error, Kind, sys};

/// The sandbox that the process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The user who asked for it, by the number that holds outside.
    pub user: u32,
    /// What of the outer world could not be kept out of sight, and what that costs.
    pub limits: Vec<Limit>,
}

/// Moves the calling process into a new sandbox.
///
/// The process that called goes on as a child inside; the original waits outside and exits as the child does, so this
/// must come before anything is opened, started or printed. Refused in a process of several threads.
pub fn enter() -> Result<Sandbox, Error> {
    let failed = |errno| Error::new("make", "the sandbox", errno);
    refuse_threads()?;
    let user = rustix::process::getuid().as_raw();
    let user_map = user_map();
    let (told, report) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(failed)?;
    // What is still buffered would be written by both processes. A closed output is for the command to notice.
    let _ = std::io::stdout().flush();
    match chain::make(user_map.as_ref(), report.as_fd()).map_err(refusal::explain)? {
        Side::Inner(kept) => {
            let mut limits = limits(kept);
            limits.extend(begin().err().map(|error| Limit {
                netns: None,
                what: "settings as the kernel is built with: those of the machine may show".into(),
                why: error.to_string(),
            }));
            Ok(Sandbox { user, limits })
        }
        Side::Outer(outer) => {
            drop(report);
            let status = outer.wait();
            Err(refusal::explain(outcome(&told).unwrap_or_else(|| sys::exit_now(status))))
        }
    }
}

/// Whether this process is in a sandbox.
static INSIDE: AtomicBool = AtomicBool::new(false);

/// Whether the process is in a sandbox, where namespaces start with the kernel's own settings.
pub(crate) fn is_inside() -> bool {
    INSIDE.load(Ordering::Relaxed)
}

/// What every sandbox begins with, before anything else happens in it.
fn begin() -> Result<(), Error> {
    INSIDE.store(true, Ordering::Relaxed);
    defaults::restore()
}

/// The map of the user namespace to make; none where the caller can do without.
fn user_map() -> Option<UserMap> {
    (!Privileges::of_caller().can_make_namespaces()).then(UserMap::of_caller)
}

/// The failure that kept the sandbox from standing, if one was reported.
fn outcome(told: &OwnedFd) -> Option<Failure> {
    Failure::reported(told.as_fd())
}

/// Only a process of one thread can move into a user namespace, or be split in two without harm.
fn refuse_threads() -> Result<(), Error> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        let why = format!("the process has {threads} threads, and only one can move into a sandbox");
        return Err(Error::explained(Kind::Refused, "make", "the sandbox", why));
    }
    Ok(())
}

fn limits(kept: Kept) -> Vec<Limit> {
    let limit = |(what, kept): (&str, Option<Errno>)| {
        Some(Limit { netns: None, what: what.into(), why: crate::error::meaning(kept?) })
    };
    [
        ("a fresh /proc: the processes of the machine show in the sandbox", kept.proc),
        ("a fresh /sys: the interfaces of the machine show in it, but not those of the sandbox", kept.sys),
    ]
    .into_iter()
    .filter_map(limit)
    .collect()
}
