//! Why this machine refuses a sandbox, and the way round.
//!
//! The kernel says no more than "not permitted". Which of its switches is to blame is told by their files, all of
//! which everybody may read.

use std::borrow::Cow;

use rustix::io::Errno;

use super::chain::{Failure, Step};
use crate::{Error, Kind};

/// Tells a failure in the words of whoever has to mend it.
pub(super) fn explain(failure: Failure) -> Error {
    let step = match failure.step {
        Step::Unshare => "make new namespaces",
        Step::MapUser => "map the user into the new user namespace",
        Step::Fork => "start the first process",
        Step::MakeMountsPrivate => "make the mounts private",
        Step::MountRun => "mount an empty /run",
        Step::SetLoopbackUp => "set lo up",
    };
    match cause(failure, &Switches::of_machine()) {
        Some((kind, why)) => Error::explained(kind, step, "for the sandbox", why),
        None => Error::new(step, "for the sandbox", failure.errno),
    }
}

/// The settings of a machine that can forbid a sandbox; none where the kernel does not have them.
#[derive(Clone, Debug, Default)]
struct Switches {
    /// `kernel.unprivileged_userns_clone` (Debian's and Arch's).
    unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu's).
    apparmor: Option<u64>,
    /// `user.max_*_namespaces`, by file name.
    limits: Vec<(&'static str, u64)>,
    /// Whether a seccomp filter is in force.
    seccomp: bool,
}

impl Switches {
    fn of_machine() -> Self {
        let limit = |name| Some((name, number(&format!("/proc/sys/user/{name}"))?));
        Self {
            unprivileged_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            limits: ["max_user_namespaces", "max_net_namespaces", "max_mnt_namespaces", "max_pid_namespaces"]
                .into_iter()
                .filter_map(limit)
                .collect(),
            seccomp: std::fs::read_to_string("/proc/self/status")
                .is_ok_and(|status| status.lines().any(|line| line == "Seccomp:\t2")),
        }
    }
}

fn number(file: &str) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The cause of a failure, if the machine shows one.
fn cause(failure: Failure, switches: &Switches) -> Option<(Kind, Cow<'static, str>)> {
    let why: Cow<'static, str> = match (failure.step, failure.errno) {
        (Step::Unshare, Errno::INVAL) => {
            let why = "this kernel is built without user, network or process namespaces \
                       (CONFIG_USER_NS, CONFIG_NET_NS, CONFIG_PID_NS)";
            return Some((Kind::MissingFeature, why.into()));
        }
        (Step::Unshare, Errno::NOSPC | Errno::USERS) => match switches.limits.iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => format!(
                "user.{name} is 0; allow some with `sysctl -w user.{name}=1024`{}",
                if *name == "max_user_namespaces" { ", or run as root" } else { "" }
            )
            .into(),
            None => "the limit of namespaces is reached; see `sysctl user` for user.max_*_namespaces, or namespaces \
                     are nested too deeply"
                .into(),
        },
        (Step::Unshare, Errno::PERM | Errno::ACCESS) if switches.unprivileged_clone == Some(0) => {
            "kernel.unprivileged_userns_clone is 0, which keeps ordinary users from making namespaces; allow it with \
             `sysctl -w kernel.unprivileged_userns_clone=1`, or run as root"
                .into()
        }
        (_, Errno::PERM | Errno::ACCESS) if switches.apparmor == Some(1) => {
            "kernel.apparmor_restrict_unprivileged_userns is 1, which takes all power from namespaces of ordinary \
             users; allow it with `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, give the program an \
             AppArmor profile with `userns,`, or run as root"
                .into()
        }
        (_, Errno::PERM | Errno::ACCESS) if switches.seccomp => {
            "a seccomp filter forbids it, as container engines install; start the container with \
             `--security-opt seccomp=unconfined --cap-add SYS_ADMIN --cap-add NET_ADMIN`, or run outside of it"
                .into()
        }
        (Step::Unshare, Errno::PERM) => {
            "the kernel forbids it and names no reason: a security module or a changed root directory (chroot) does \
             this; run as root, or outside of it"
                .into()
        }
        _ => return None,
    };
    Some((Kind::NotPermitted, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The failure's error text on a machine with these switches.
    fn told(step: Step, errno: Errno, switches: &Switches) -> String {
        cause(Failure { step, errno }, switches).map(|(_, why)| why.into_owned()).unwrap_or_default()
    }

    #[test]
    fn each_switch_is_named_with_the_line_that_turns_it() {
        let open = Switches { unprivileged_clone: Some(1), apparmor: Some(0), ..Switches::default() };
        let debian = Switches { unprivileged_clone: Some(0), ..open.clone() };
        let ubuntu = Switches { apparmor: Some(1), ..open.clone() };
        let limited = Switches { limits: vec![("max_user_namespaces", 0)], ..open.clone() };
        let container = Switches { seccomp: true, ..open.clone() };
        for (switches, step, errno, line) in [
            (&debian, Step::Unshare, Errno::PERM, "sysctl -w kernel.unprivileged_userns_clone=1"),
            (&ubuntu, Step::MapUser, Errno::PERM, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            (&ubuntu, Step::MountRun, Errno::ACCESS, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            (&limited, Step::Unshare, Errno::NOSPC, "sysctl -w user.max_user_namespaces=1024"),
            (&container, Step::Unshare, Errno::PERM, "--security-opt seccomp=unconfined"),
            (&open, Step::Unshare, Errno::PERM, "chroot"),
        ] {
            let text = told(step, errno, switches);
            assert!(text.contains(line), "{step:?} {errno:?}: {text}");
        }
        assert_eq!(told(Step::MountRun, Errno::NOENT, &open), "");
    }
}
