//! Processes as far as networks are concerned: which namespace each is in, which of them holds a TUN or TAP device.
//!
//! One pass over `/proc` costs a few microseconds a process. Processes end while they are looked at; such are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nsgate_core::model::Process;

/// How many processes of one namespace are told.
const MOST: usize = 8;

/// The longest file of a process that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// The processes of the machine, as far as this process may see them, by the inode number of their network namespace.
#[derive(Debug, Default)]
pub struct Processes {
    by_namespace: BTreeMap<u64, Vec<u32>>,
    hidden: usize,
}

impl Processes {
    /// Looks at all of them.
    pub fn look() -> Self {
        let mut processes = Self::default();
        for pid in pids() {
            match fs::read_link(of(pid, "ns/net")) {
                Ok(link) => {
                    let inode = link.to_str().and_then(inode_of_link);
                    processes.by_namespace.entry(inode.unwrap_or_default()).or_default().push(pid);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => processes.hidden += 1,
                // It has ended meanwhile.
                Err(_) => {}
            }
        }
        processes.by_namespace.remove(&0);
        processes
    }

    /// The namespaces that they are in, each with its first process.
    pub fn namespaces(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.by_namespace.iter().filter_map(|(inode, pids)| Some((*inode, *pids.first()?)))
    }

    /// Some that are in the namespace of this inode number, by the smallest numbers.
    pub fn within(&self, inode: u64) -> Vec<Process> {
        let pids = self.by_namespace.get(&inode).map(Vec::as_slice).unwrap_or_default();
        pids.iter().take(MOST).filter_map(|pid| process(*pid)).collect()
    }

    /// How many there are whose namespace this process may not know.
    pub fn hidden(&self) -> usize {
        self.hidden
    }
}

/// Who holds TUN and TAP devices.
#[derive(Debug, Default)]
pub struct Holders {
    /// The processes, by the devices' names.
    pub found: BTreeMap<String, Process>,
    /// How many processes there are whose files this process may not know.
    pub hidden: usize,
}

/// The processes that hold devices of these names open.
///
/// The kernel does not tell in which namespace a device is that a process holds; only names that one process alone holds
/// are told.
pub fn holding_devices(names: &BTreeSet<&str>) -> Holders {
    let mut found: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let mut hidden = 0;
    for pid in if names.is_empty() { Vec::new() } else { pids() } {
        match devices_of(pid) {
            Ok(held) => {
                for device in held.into_iter().filter(|device| names.contains(device.as_str())) {
                    found.entry(device).or_default().insert(pid);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    let alone = found.into_iter().filter(|(_, pids)| pids.len() == 1);
    let found = alone.filter_map(|(device, pids)| Some((device, process(*pids.first()?)?))).collect();
    Holders { found, hidden }
}

/// The inode number of the network namespace that a process is in, where this process may know it.
pub(crate) fn namespace_of(pid: u32) -> Option<u64> {
    fs::read_link(of(pid, "ns/net")).ok()?.to_str().and_then(inode_of_link)
}

/// When a process was started; none if there is no such process.
pub(crate) fn started(pid: u32) -> Option<SystemTime> {
    /// USER_HZ: what the kernel counts in towards user space, on every architecture that Rust knows but one.
    const TICKS: u64 = 100;
    let about = read(&of(pid, "stat"))?;
    // The name of the process may hold anything; the fields behind it are numbers.
    let ticks: u64 = about.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let since_boot = read(Path::new("/proc/stat"))?;
    let boot: u64 = since_boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot.checked_add(ticks / TICKS)?))
}

/// The names of the TUN and TAP devices that a process holds open.
fn devices_of(pid: u32) -> io::Result<Vec<String>> {
    let files = fs::read_dir(of(pid, "fd"))?;
    let held = files.flatten().filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.ends_with("net/tun")));
    let device = |file: fs::DirEntry| {
        let about = read(&of(pid, "fdinfo").join(file.file_name()))?;
        about.lines().find_map(|line| line.strip_prefix("iff:")).map(|name| name.trim().to_owned())
    };
    Ok(held.filter_map(device).collect())
}

/// The numbers of all processes, in order.
fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    pids.sort_unstable();
    pids
}

fn process(pid: u32) -> Option<Process> {
    Some(Process { pid, name: read(&of(pid, "comm"))?.trim_end_matches('\n').to_owned() })
}

fn of(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The inode number in a link such as `net:[4026531840]`.
pub(crate) fn inode_of_link(link: &str) -> Option<u64> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether the file was last written after the process began: a file that names an earlier process of the same number
/// is older.
pub(crate) fn is_named_by(pid: u32, file: &Path) -> bool {
    /// Both clocks count in steps.
    const SLACK: Duration = Duration::from_secs(2);
    let written = fs::metadata(file).ok().and_then(|about| about.modified().ok());
    matches!((started(pid), written), (Some(started), Some(written)) if started <= written + SLACK)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::netns::{self, Netns};
    use crate::sandbox::test;

    #[test]
    fn every_process_is_found_in_its_namespace() {
        test(|| {
            let blue = netns::create(&"blue".parse().unwrap()).unwrap();
            let start = || Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
            let mut inside = blue.run(start).unwrap();
            let processes = Processes::look();
            let own = Netns::host().unwrap().inode();
            assert!(processes.within(own).len() > 1);
            assert_eq!(processes.within(blue.inode()), [Process { pid: inside.id(), name: "sleep".into() }]);
            assert_eq!(processes.namespaces().filter(|(inode, _)| *inode == blue.inode()).count(), 1);
            assert_eq!(processes.hidden(), 0);
            inside.kill().unwrap();
            inside.wait().unwrap();
            assert!(Processes::look().within(blue.inode()).is_empty());
        });
    }

    #[test]
    fn a_process_is_not_older_than_the_file_that_names_it() {
        test(|| {
            let own = std::process::id();
            fs::write("/run/pidfile", own.to_string()).unwrap();
            assert!(is_named_by(own, Path::new("/run/pidfile")));
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            File::open("/run/pidfile").unwrap().set_modified(long_ago).unwrap();
            assert!(!is_named_by(own, Path::new("/run/pidfile")));
            assert!(!is_named_by(4_194_305, Path::new("/run/pidfile")));
        });
    }

    #[test]
    fn only_links_to_network_namespaces_have_a_number() {
        assert_eq!(inode_of_link("net:[4026531840]"), Some(4_026_531_840));
        for link in ["mnt:[4026531840]", "net:[x]", "net:[1", "net:[99999999999999999999]", ""] {
            assert_eq!(inode_of_link(link), None, "{link}");
        }
    }
}
