//! What the calling process may do: its effective capabilities, and whether they hold for the whole machine.

use std::os::linux::fs::MetadataExt as _;

use rustix::thread::CapabilitySet;

/// The inode number of the initial user namespace: a constant of the kernel (PROC_USER_INIT_INO).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The powers of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privileges {
    effective: CapabilitySet,
    initial_user_namespace: bool,
}

impl Privileges {
    /// Those of the calling thread.
    pub fn of_caller() -> Self {
        Self {
            effective: rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective),
            initial_user_namespace: std::fs::metadata("/proc/self/ns/user")
                .is_ok_and(|namespace| namespace.st_ino() == INITIAL_USER_NAMESPACE),
        }
    }

    /// Whether the process is in the user namespace that the machine started with.
    pub fn in_initial_user_namespace(self) -> bool {
        self.initial_user_namespace
    }

    /// Whether links, addresses, routes, packet filters and sysctls of its network namespace are its to change.
    pub fn can_change_networks(self) -> bool {
        self.effective.contains(CapabilitySet::NET_ADMIN)
    }

    /// Whether it may open packet sockets and send forged packets.
    pub fn can_send_raw(self) -> bool {
        self.effective.contains(CapabilitySet::NET_RAW)
    }

    /// Whether it may enter and make namespaces without a user namespace of its own.
    pub fn can_make_namespaces(self) -> bool {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        self.initial_user_namespace && self.effective.contains(needed)
    }

    /// Whether it may load programs that watch the kernel drop packets. Only the whole machine's capability counts.
    pub fn can_trace_kernel(self) -> bool {
        let fine = CapabilitySet::BPF | CapabilitySet::PERFMON;
        self.initial_user_namespace
            && (self.effective.contains(fine) || self.effective.contains(CapabilitySet::SYS_ADMIN))
    }

    /// The capabilities that nsgate uses and the process lacks, by the kernel's names.
    pub fn missing(self) -> Vec<&'static str> {
        [
            (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
            (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
            (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
        ]
        .into_iter()
        .filter(|&(capability, _)| !self.effective.contains(capability))
        .map(|(_, name)| name)
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_gives_what_networks_need() {
        crate::sandbox::test(|| {
            let privileges = Privileges::of_caller();
            assert!(privileges.can_change_networks());
            assert!(privileges.can_send_raw());
            assert_eq!(privileges.missing(), Vec::<&str>::new());
        });
    }

    #[test]
    fn capabilities_of_a_lesser_user_namespace_do_not_count_for_the_machine() {
        let root = Privileges { effective: CapabilitySet::all(), initial_user_namespace: true };
        assert!(root.can_make_namespaces() && root.can_trace_kernel());
        let contained = Privileges { initial_user_namespace: false, ..root };
        assert!(!contained.can_make_namespaces() && !contained.can_trace_kernel());
        let lesser = Privileges { effective: CapabilitySet::NET_ADMIN, initial_user_namespace: true };
        assert_eq!(lesser.missing(), ["CAP_NET_RAW", "CAP_SYS_ADMIN"]);
    }
}
