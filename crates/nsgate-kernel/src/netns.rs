//! Network namespaces: found by name, path or process, made, removed, entered.
//!
//! A namespace has no name of its own. A name is a file under `/run/netns` on which the namespace is mounted, as
//! iproute2 does it; both tools see each other's. A namespace is entered in one function, by a thread that ends
//! afterwards, so no code ever finds itself in the wrong one.

pub mod files;
mod names;

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};

use nsgate_core::model::NetnsName;
use rustix::fs::{Mode, OFlags, fstat, fstatfs, open, stat, statfs};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use self::names::{Listed, create, delete, list};
use crate::{Error, Kind, containers, sys};

/// Where the names of namespaces are.
pub const DIRECTORY: &str = "/run/netns";

/// An open network namespace. It lives at least as long as this.
#[derive(Debug)]
pub struct Netns {
    file: OwnedFd,
    name: NetnsName,
    inode: u64,
}

impl Netns {
    /// Opens the namespace of that name.
    pub fn open(name: &NetnsName) -> Result<Self, Error> {
        let path = match name.container() {
            Some(_) => format!("/proc/{}/ns/net", containers::process_of(name)?).into(),
            None => path(name),
        };
        // NONBLOCK: a named pipe in place of a namespace must not keep us waiting.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match open(&path, flags, Mode::empty()) {
            Ok(file) => Self::of_file(file, name.clone()),
            // The name that is left over from a crash is a file that nobody but root may open.
            Err(Errno::ACCESS) if name.is_plain() && !is_mounted(&path) => Err(stale(name)),
            Err(errno) => Err(unopened(name, errno)),
        }
    }

    /// The namespace that nsgate was started in: that of its first thread, which never leaves it.
    pub fn host() -> Result<Self, Error> {
        Self::open(&NetnsName::host())
    }

    fn of_file(file: OwnedFd, name: NetnsName) -> Result<Self, Error> {
        let failed = |errno| Error::new("open network namespace", name.as_str(), errno);
        make_room_for_files(&file);
        if fstatfs(&file).map_err(failed)?.f_type as u64 != NSFS_MAGIC {
            return Err(if name.is_plain() { stale(&name) } else { not_a_namespace(&name) });
        }
        if !sys::is_network_namespace(file.as_fd()).map_err(failed)? {
            return Err(not_a_namespace(&name));
        }
        let inode = fstat(&file).map_err(failed)?.st_ino;
        Ok(Self { file, name, inode })
    }

    /// What it was called when it was opened.
    pub fn name(&self) -> &NetnsName {
        &self.name
    }

    /// Its inode number: namespaces of the same number are the same.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Does `work` within the namespace, on a thread of its own that ends with it.
    ///
    /// Sockets opened there, and files opened below `/proc/sys/net`, belong to the namespace for good and may be
    /// brought back.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_own_thread(&self.name, || self.enter().map(|()| work()))?
    }

    /// Moves the calling thread, which must end soon, or be about to become another program.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        match move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)) {
            Ok(()) => Ok(()),
            // Whoever is there already needs no power to go there.
            Err(Errno::PERM) if self.holds_this_thread() => Ok(()),
            Err(Errno::PERM) => Err(Error::explained(
                Kind::NotPermitted,
                "enter network namespace",
                self.name.as_str(),
                "CAP_SYS_ADMIN is needed for it; run as root",
            )),
            Err(errno) => Err(Error::new("enter network namespace", self.name.as_str(), errno)),
        }
    }

    /// Whether the calling thread is in this namespace.
    fn holds_this_thread(&self) -> bool {
        stat("/proc/thread-self/ns/net").is_ok_and(|about| about.st_ino == self.inode)
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Looks into many namespaces one after the other, on one thread for all; the answers come in the same order.
pub fn visit<'a, T: Send>(
    namespaces: impl IntoIterator<Item = &'a Netns> + Send,
    mut look: impl FnMut(&'a Netns) -> T + Send,
) -> Result<Vec<Result<T, Error>>, Error> {
    on_own_thread(&NetnsName::host(), || {
        namespaces.into_iter().map(|netns| netns.enter().map(|()| look(netns))).collect()
    })
}

/// The most threads that look at once. The kernel lets more of them wait for each other than get on.
const LOOKERS: usize = 4;

/// The same on as many threads as the machine runs at once; `look` gets what its thread kept from the one before.
pub fn visit_at_once<'a, S: Default, T: Send>(
    namespaces: &[&'a Netns],
    look: impl Fn(&'a Netns, &mut S) -> T + Sync,
) -> Result<Vec<Result<T, Error>>, Error> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    // Whoever is done takes the next: one namespace may hold more than all the others.
    let work = || {
        let mut kept = S::default();
        let places = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let there = places.map_while(|place| Some((place, *namespaces.get(place)?)));
        there.map(|(place, netns)| (place, netns.enter().map(|()| look(netns, &mut kept)))).collect::<Vec<_>>()
    };
    let mut looked = thread::scope(|scope| {
        let wanted = namespaces.len().min(processors).min(LOOKERS);
        let (threads, refused): (Vec<_>, Vec<_>) =
            (0..wanted).map(|_| start(scope, &NetnsName::host(), work)).partition(Result::is_ok);
        // One thread can do it all.
        if let (true, Some(Err(error))) = (threads.is_empty(), refused.into_iter().next()) {
            return Err(error);
        }
        Ok(threads.into_iter().flatten().flat_map(join).collect::<Vec<_>>())
    })?;
    looked.sort_unstable_by_key(|(place, _)| *place);
    Ok(looked.into_iter().map(|(_, looked)| looked).collect())
}

/// Lets the process open as many files as the administrator allows once it has used half of the usual number, which is
/// there for the sake of programs that keep files in a table of fixed size. A machine may have more namespaces.
fn make_room_for_files(open: &OwnedFd) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|most| open.as_raw_fd() as u64 >= most / 2) {
        // If not, whoever opens one too many is told so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// The file system that holds namespaces.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Whether a namespace is mounted on this file.
fn is_mounted(path: &std::path::Path) -> bool {
    statfs(path).is_ok_and(|about| about.f_type as u64 == NSFS_MAGIC)
}

/// The file of a namespace.
fn path(name: &NetnsName) -> PathBuf {
    if name.is_host() {
        return "/proc/self/ns/net".into();
    }
    match name.process() {
        Some(process) => format!("/proc/{process}/ns/net").into(),
        // A name that is a path replaces the directory.
        None => PathBuf::from(DIRECTORY).join(name.as_str()),
    }
}

/// Runs `work` on a thread that ends with it. Its panic becomes the caller's.
fn on_own_thread<T: Send>(name: &NetnsName, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| start(scope, name, work).map(join))
}

/// Starts a thread; `name` says for which namespace.
fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &NetnsName,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Error> {
    let started = thread::Builder::new().name(format!("netns {name}")).spawn_scoped(scope, work);
    started.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::AGAIN);
        Error::new("start a thread for network namespace", name.as_str(), errno)
    })
}

/// Waits for the end of a thread.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn unopened(name: &NetnsName, errno: Errno) -> Error {
    if errno != Errno::NOENT {
        return Error::new("open network namespace", name.as_str(), errno);
    }
    let why = match name.process() {
        Some(process) => format!("there is no process {process}"),
        None if name.is_plain() => format!("{} does not exist{}", path(name).display(), names::nearest(name)),
        None => "there is no such file".into(),
    };
    Error::explained(Kind::NotFound, "open network namespace", name.as_str(), why)
}

fn stale(name: &NetnsName) -> Error {
    let why = format!("stale name, nothing is mounted there: remove it with `ip netns del {name}`");
    Error::explained(Kind::NotFound, "open network namespace", name.as_str(), why)
}

fn not_a_namespace(name: &NetnsName) -> Error {
    let what = if fs::metadata(path(name)).is_ok_and(|about| about.is_dir()) { "a directory" } else { "another file" };
    Error::explained(
        Kind::NotFound,
        "open network namespace",
        name.as_str(),
        format!("this is {what}, not a network namespace"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sandbox::test;

    fn name(text: &str) -> NetnsName {
        text.parse().unwrap()
    }

    /// The error of opening a name that cannot be opened.
    fn refused(text: &str) -> String {
        Netns::open(&name(text)).unwrap_err().to_string()
    }

    fn own_inode() -> u64 {
        rustix::fs::stat("/proc/thread-self/ns/net").unwrap().st_ino
    }

    #[test]
    fn work_is_done_inside_and_the_caller_stays_outside() {
        test(|| {
            let blue = create(&name("blue")).unwrap();
            let outside = own_inode();
            assert_eq!(blue.run(own_inode).unwrap(), blue.inode());
            assert_eq!(own_inode(), outside);
            assert_eq!(Netns::host().unwrap().inode(), outside);
            assert_ne!(blue.inode(), outside);
        });
    }

    #[test]
    fn every_form_of_name_finds_the_namespace() {
        test(|| {
            let blue = create(&name("blue")).unwrap();
            let inode = |text: &str| Netns::open(&name(text)).unwrap().inode();
            assert_eq!(inode("blue"), blue.inode());
            assert_eq!(inode("/run/netns/blue"), blue.inode());
            // Not the number that the process knows itself by: an old /proc shows that of the machine.
            let own = fs::read_link("/proc/self").unwrap();
            assert_eq!(inode(&format!("pid:{}", own.display())), inode("host"));
        });
    }

    #[test]
    fn ones_own_namespace_is_entered_without_power() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

        test(|| {
            let blue = create(&name("blue")).unwrap();
            let mut powers = capabilities(None).unwrap();
            powers.effective.remove(CapabilitySet::SYS_ADMIN);
            set_capabilities(None, powers).unwrap();
            assert_eq!(Netns::host().unwrap().run(own_inode).unwrap(), own_inode());
            assert_eq!(blue.run(own_inode).unwrap_err().kind(), Kind::NotPermitted);
        });
    }

    #[test]
    fn many_are_visited_on_one_thread() {
        test(|| {
            let made: Vec<_> = (0..50).map(|n| create(&name(&format!("n{n}"))).unwrap()).collect();
            let seen = visit(&made, |netns| (netns.name().clone(), own_inode())).unwrap();
            let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
            let expected: Vec<_> = made.iter().map(|netns| (netns.name().clone(), netns.inode())).collect();
            assert_eq!(seen, expected);
            assert_eq!(seen.iter().map(|(_, inode)| inode).collect::<BTreeSet<_>>().len(), 50);
        });
    }

    #[test]
    fn many_are_visited_at_once_and_told_in_order() {
        test(|| {
            let made: Vec<_> = (0..50).map(|n| create(&name(&format!("n{n}"))).unwrap()).collect();
            let all: Vec<&Netns> = made.iter().collect();
            let look = |netns: &Netns, before: &mut usize| {
                *before += 1;
                (own_inode() == netns.inode(), netns.name().clone(), *before)
            };
            let seen = visit_at_once(&all, look).unwrap();
            let seen: Vec<_> = seen.into_iter().map(Result::unwrap).collect();
            assert!(seen.iter().all(|(within, ..)| *within), "{seen:?}");
            assert!(seen.iter().map(|(_, name, _)| name).eq(made.iter().map(Netns::name)));
            // What a thread keeps is its own: the last of them has seen all its others.
            let threads = seen.iter().filter(|(.., before)| *before == 1).count();
            let processors = thread::available_parallelism().unwrap().get();
            assert!((1..=processors.min(LOOKERS)).contains(&threads), "{threads}");
            assert_eq!(visit_at_once(&[], look).unwrap().len(), 0);
        });
    }

    #[test]
    #[should_panic(expected = "from one of many")]
    fn a_panic_within_one_of_many_reaches_the_caller() {
        let host = Netns::host().unwrap();
        let _ = visit_at_once(&[&host, &host], |_, (): &mut ()| panic!("from one of many"));
    }

    #[test]
    fn more_can_be_open_than_the_usual_limit_of_files() {
        test(|| {
            let limit = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(32), ..limit }).unwrap();
            let made: Vec<_> = (0..64).map(|n| create(&name(&format!("n{n}"))).unwrap()).collect();
            assert_eq!(made.len(), 64);
        });
    }

    #[test]
    fn what_is_no_namespace_is_refused_by_a_clear_word() {
        test(|| {
            create(&name("ns_1")).unwrap();
            assert!(
                refused("ns1").ends_with("/run/netns/ns1 does not exist; did you mean ns_1?"),
                "{}",
                refused("ns1")
            );
            assert!(refused("pid:4194305").ends_with("there is no process 4194305"), "{}", refused("pid:4194305"));
            assert!(refused("/proc/self/ns/mnt").ends_with("not a network namespace"));
            assert!(refused("/proc").ends_with("a directory, not a network namespace"));
            fs::write("/run/netns/left", "").unwrap();
            assert!(
                refused("left").ends_with("stale name, nothing is mounted there: remove it with `ip netns del left`")
            );
            rustix::fs::mkfifoat(rustix::fs::CWD, "/run/netns/pipe", Mode::RUSR).unwrap();
            assert!(refused("pipe").contains("stale name"));
        });
    }

    #[test]
    #[should_panic(expected = "from within")]
    fn a_panic_within_reaches_the_caller() {
        let _ = on_own_thread(&NetnsName::host(), || panic!("from within"));
    }
}
