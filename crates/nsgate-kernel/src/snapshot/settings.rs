//! The sysctls of a namespace that decide what becomes of packets. Those of single interfaces come with the interfaces.
//!
//! With many namespaces, finding a file below `/proc/sys/net` from the top is slow: every namespace has its own `ipv4`
//! under the same name, and the kernel goes through all that it remembers. So each of the few directories is found once,
//! and the files are found from there; and from time to time a fresh view of `/proc` is taken, which remembers nothing.
//! It is mounted nowhere, and gone when it is closed.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use nsgate_core::model::{Family, Setting, Sysctl, Sysctls};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::Error;

/// The longest value that is taken, in bytes.
const LONGEST: usize = 256;

/// By what they decide.
const NAMES: [&str; 44] = [
    // Whether anything is passed on; the IPv6 switch stands among those for all interfaces.
    "net.ipv4.ip_forward",
    // What new interfaces start with.
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv6.conf.default.forwarding",
    "net.ipv6.conf.default.disable_ipv6",
    "net.ipv6.conf.default.accept_ra",
    // Whether echo requests are answered.
    "net.ipv4.icmp_echo_ignore_all",
    "net.ipv6.icmp.echo_ignore_all",
    // How far packets made here go; for IPv6 it is an interface's.
    "net.ipv4.ip_default_ttl",
    // Which ports sockets, and translations of their own packets, may take.
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    // Who may send echo requests without power over the network.
    "net.ipv4.ping_group_range",
    // How many connections may wait to be accepted.
    "net.core.somaxconn",
    // How often errors are told: an error that is not told looks like silence.
    "net.ipv4.icmp_ratelimit",
    "net.ipv4.icmp_ratemask",
    "net.ipv6.icmp.ratelimit",
    // Path MTU discovery.
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.ip_forward_use_pmtu",
    // Addresses that are not here may be bound to.
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv6.ip_nonlocal_bind",
    // Marks of requests go on the answers that the kernel makes itself.
    "net.ipv4.fwmark_reflect",
    "net.ipv6.fwmark_reflect",
    // Whether sockets outside of a VRF get what comes in through one.
    "net.ipv4.raw_l3mdev_accept",
    "net.ipv4.tcp_l3mdev_accept",
    "net.ipv4.udp_l3mdev_accept",
    // How flows are spread over the ways of a route.
    "net.ipv4.fib_multipath_hash_policy",
    "net.ipv6.fib_multipath_hash_policy",
    // Memory for packets that come in pieces.
    "net.ipv4.ipfrag_high_thresh",
    "net.ipv6.ip6frag_high_thresh",
    // The neighbour tables: machine-wide, and shown in the machine's own namespace only.
    "net.ipv4.neigh.default.gc_thresh3",
    "net.ipv6.neigh.default.gc_thresh3",
    // Shown in the machine's first namespace only, which it is known by: what is one for the whole machine is set there.
    "net.core.netdev_budget",
    // Connection tracking: room, and what counts as invalid.
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_expect_max",
    "net.netfilter.nf_conntrack_checksum",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_loose",
    // Whether bridged packets go through the IP packet filter.
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-filter-vlan-tagged",
];

/// How many namespaces are read by one view of `/proc`. A fresh one costs as much as going past some hundred others.
const PER_VIEW: usize = 64;

/// Reads the settings of one namespace after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// A view of `/proc` of our own; none while the usual one serves.
    view: Option<OwnedFd>,
    /// How many namespaces were read by it.
    read: usize,
}

impl Reader {
    /// Reads them all in the namespace that the calling thread is in, and says of which it could not.
    pub(super) fn read_here(&mut self) -> (Sysctls, Vec<(Sysctl, Error)>) {
        if self.read == PER_VIEW {
            // Whoever may not have one reads on as before: it takes longer, but gives the same.
            self.view = fresh_view().ok();
            self.read = 0;
        }
        self.read += 1;
        let mut sysctls = Sysctls::default();
        let mut failed = Vec::new();
        let mut directories = BTreeMap::new();
        for name in names() {
            match self.read(&mut directories, &name.path()) {
                Ok(value) => sysctls.insert(name, value),
                // What the kernel does not have decides nothing.
                Err(Errno::NOENT) => {}
                Err(errno) => {
                    let error = Error::new("read", name.as_str(), errno);
                    failed.push((name, error));
                }
            }
        }
        (sysctls, failed)
    }

    /// Reads one file, found from the directory that is second on its path: `net/ipv4`, `net/ipv6`, `net/netfilter`.
    fn read(&self, directories: &mut BTreeMap<String, Result<OwnedFd, Errno>>, path: &str) -> Result<String, Errno> {
        let second = path.match_indices('/').nth(1).ok_or(Errno::NOENT)?.0;
        let (directory, file) = (&path[..second], &path[second + 1..]);
        let directory = directories.entry(directory.to_owned()).or_insert_with(|| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match &self.view {
                Some(view) => openat(view, format!("sys/{directory}"), flags, Mode::empty()),
                None => openat(CWD, format!("/proc/sys/{directory}"), flags, Mode::empty()),
            }
        });
        let directory = directory.as_ref().map_err(|errno| *errno)?;
        let file = openat(directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut value = [0; LONGEST];
        let length = rustix::io::read(&file, &mut value)?;
        let value = std::str::from_utf8(&value[..length]).map_err(|_| Errno::ILSEQ)?;
        Ok(value.trim_end_matches('\n').to_owned())
    }
}

/// A view of `/proc` that shows the same as the usual one, but has not been used yet.
fn fresh_view() -> Result<OwnedFd, Errno> {
    let file_system = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&file_system)?;
    let harmless =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&file_system, FsMountFlags::FSMOUNT_CLOEXEC, harmless)
}

/// All that are read.
fn names() -> impl Iterator<Item = Sysctl> {
    let of_all = Family::BOTH.into_iter().flat_map(|family| {
        let names = Setting::ALL.into_iter().filter_map(move |setting| setting.name(family));
        names.map(move |name| Sysctl::of_all(family, name))
    });
    NAMES.into_iter().map(Sysctl::known).chain(of_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::{create, visit};
    use crate::sandbox::test;
    use crate::sysctl;

    #[test]
    fn every_view_shows_the_namespace_that_the_thread_is_in() {
        test(|| {
            let forwarding = Sysctl::known("net.ipv4.ip_forward");
            let made: Vec<_> = (0..4).map(|n| create(&format!("n{n}").parse().unwrap()).unwrap()).collect();
            for (netns, value) in made.iter().zip(["0", "1", "0", "1"]) {
                sysctl::write(netns, &forwarding, value).unwrap();
            }
            let mut reader = Reader::default();
            let read = visit(&made, |_| {
                reader.read = PER_VIEW;
                let (sysctls, failed) = reader.read_here();
                assert!(failed.is_empty() && reader.view.is_some(), "{failed:?}");
                sysctls.number(forwarding.as_str())
            });
            let read: Vec<_> = read.unwrap().into_iter().map(Result::unwrap).collect();
            assert_eq!(read, [Some(0), Some(1), Some(0), Some(1)]);
        });
    }

    #[test]
    fn whoever_may_not_have_a_view_of_his_own_reads_the_usual_one() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

        test(|| {
            let mut powers = capabilities(None).unwrap();
            powers.effective.remove(CapabilitySet::SYS_ADMIN);
            set_capabilities(None, powers).unwrap();
            let mut reader = Reader { read: PER_VIEW, ..Reader::default() };
            let (sysctls, failed) = reader.read_here();
            assert!(failed.is_empty() && reader.view.is_none(), "{failed:?}");
            assert!(sysctls.number("net.ipv4.ip_forward").is_some());
        });
    }
}
