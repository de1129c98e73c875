//! What instances have to remember between two commands: files below `/run/nsgate`, and the lock that keeps two
//! commands apart.
//!
//! `/run/nsgate/NAME/state` is what [`State`] says, `/run/nsgate/NAME/journal` a change under way. The directories are
//! the owner's alone, links are not followed, and what is empty is removed: after the last `down` nothing is left.

use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nsgate_core::plan::State;
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::{Error, Kind};

/// Where the records are.
pub const DIRECTORY: &str = "/run/nsgate";

/// The largest file that is read, in bytes.
const LARGEST: usize = 64 << 20;
/// How long another nsgate is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

const STATE: &str = "state";
const JOURNAL: &str = "journal";

/// The records of all instances.
#[derive(Debug)]
pub struct Records {
    directory: Option<OwnedFd>,
}

impl Records {
    /// Opens the records for changes; waits for another nsgate to finish its own.
    ///
    /// The lock ends with this value, or with the process.
    pub fn lock() -> Result<Self, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match mkdirat(CWD, DIRECTORY, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::new("make", DIRECTORY, errno)),
            }
            let directory = open_directory(CWD, DIRECTORY).map_err(|errno| Error::new("open", DIRECTORY, errno))?;
            check_owner(&directory)?;
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                // Whoever held the lock before may have removed the directory that was waited for.
                Ok(()) if is_current(&directory) => return Ok(Self { directory: Some(directory) }),
                Ok(()) | Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(()) | Err(Errno::WOULDBLOCK) => {
                    let why = "another nsgate is at work; try again when it has finished";
                    return Err(Error::explained(Kind::Refused, "lock", DIRECTORY, why));
                }
                Err(errno) => return Err(Error::new("lock", DIRECTORY, errno)),
            }
        }
    }

    /// Opens the records to look at them: nothing is made, nobody is waited for.
    pub fn look() -> Result<Self, Error> {
        match open_directory(CWD, DIRECTORY) {
            Ok(directory) => Ok(Self { directory: Some(directory) }),
            Err(Errno::NOENT) => Ok(Self { directory: None }),
            Err(errno) => Err(Error::new("open", DIRECTORY, errno)),
        }
    }

    /// The instances that have records.
    pub fn instances(&self) -> Result<Vec<String>, Error> {
        let Some(directory) = &self.directory else { return Ok(Vec::new()) };
        let failed = |errno| Error::new("list", DIRECTORY, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_str() {
                Ok(name) if !name.starts_with('.') => names.push(name.to_owned()),
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    /// What an instance remembers.
    pub fn state(&self, instance: &str) -> Result<State, Error> {
        let text = self.read(instance, STATE)?.unwrap_or_default();
        let unread = |error: nsgate_core::plan::StateError| {
            Error::answer("read", format!("{DIRECTORY}/{instance}/{STATE}"), error.to_string())
        };
        text.parse().map_err(unread)
    }

    /// What all instances but one remember.
    pub fn other_states(&self, instance: &str) -> Result<Vec<(String, State)>, Error> {
        let others = self.instances()?.into_iter().filter(|name| name != instance);
        others.map(|name| self.state(&name).map(|state| (name, state))).collect()
    }

    /// Notes what an instance remembers from now on.
    pub fn keep(&self, instance: &str, state: &State) -> Result<(), Error> {
        if state.is_empty() {
            return self.forget(instance, STATE);
        }
        self.write(instance, STATE, &state.to_string())
    }

    /// Whether a change of an instance is under way, or was cut short.
    pub fn under_way(&self, instance: &str) -> bool {
        self.journal(instance).is_ok_and(|journal| journal.is_some())
    }

    pub(super) fn journal(&self, instance: &str) -> Result<Option<String>, Error> {
        self.read(instance, JOURNAL)
    }

    pub(super) fn begin_journal(&self, instance: &str, text: &str) -> Result<OwnedFd, Error> {
        self.write(instance, JOURNAL, text)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.of(instance)?, JOURNAL, flags, Mode::empty()).map_err(failure("open", instance, JOURNAL))
    }

    pub(super) fn end_journal(&self, instance: &str) -> Result<(), Error> {
        self.forget(instance, JOURNAL)
    }

    /// Replaces a file as a whole: it is the old one or the new one, whatever happens.
    fn write(&self, instance: &str, file: &str, text: &str) -> Result<(), Error> {
        let directory = self.of(instance)?;
        let new = format!(".{file}");
        let failed = failure("write", instance, file);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = openat(&directory, &new, flags, Mode::RUSR | Mode::WUSR).map_err(&failed)?;
        write_all(&open, text.as_bytes()).map_err(&failed)?;
        renameat(&directory, &new, &directory, file).map_err(&failed)
    }

    fn read(&self, instance: &str, file: &str) -> Result<Option<String>, Error> {
        let Some(all) = &self.directory else { return Ok(None) };
        let failed = failure("read", instance, file);
        let path = format!("{}/{file}", checked(instance)?);
        let open = match openat(all, &path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(open) => open,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match rustix::io::read(&open, &mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed(errno)),
            };
            bytes.extend_from_slice(&buffer[..count]);
            if bytes.len() > LARGEST {
                return Err(failed(Errno::FBIG));
            }
        }
        String::from_utf8(bytes).map(Some).map_err(|_| failed(Errno::ILSEQ))
    }

    /// Removes a file, and the instance's directory with its last one.
    fn forget(&self, instance: &str, file: &str) -> Result<(), Error> {
        let Some(all) = &self.directory else { return Ok(()) };
        let path = format!("{}/{file}", checked(instance)?);
        // One that was being written when its writer was killed goes too.
        for path in [path, format!("{instance}/.{file}")] {
            match unlinkat(all, &path, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(failure("remove", instance, file)(errno)),
            }
        }
        // It stays while there is another file in it.
        let _ = unlinkat(all, instance, AtFlags::REMOVEDIR);
        Ok(())
    }

    /// The directory of an instance, made if need be.
    fn of(&self, instance: &str) -> Result<OwnedFd, Error> {
        let name = checked(instance)?;
        let failed = |errno| Error::new("make", format!("{DIRECTORY}/{instance}"), errno);
        let Some(all) = &self.directory else { return Err(failed(Errno::NOENT)) };
        match mkdirat(all, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => open_directory(all, name).map_err(failed),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for Records {
    /// With the last instance goes the directory. It stays while there is something in it.
    fn drop(&mut self) {
        if self.directory.as_ref().is_some_and(is_current) {
            let _ = unlinkat(CWD, DIRECTORY, AtFlags::REMOVEDIR);
        }
    }
}

/// The name of an instance, which must be one component of a path.
fn checked(instance: &str) -> Result<&str, Error> {
    let fits = !instance.is_empty() && !instance.starts_with('.') && !instance.contains(['/', '\0']);
    if fits {
        return Ok(instance);
    }
    Err(Error::explained(Kind::Refused, "use", format!("'{instance}'"), "it cannot be the name of an instance"))
}

fn open_directory(at: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// What is in the directory is believed, so nobody else may write there.
fn check_owner(directory: &OwnedFd) -> Result<(), Error> {
    let about = fstat(directory).map_err(|errno| Error::new("look at", DIRECTORY, errno))?;
    if about.st_uid == geteuid().as_raw() && about.st_mode & 0o022 == 0 {
        return Ok(());
    }
    let why = "it belongs to another user, or others can write there; remove it";
    Err(Error::explained(Kind::Refused, "use", DIRECTORY, why))
}

/// Whether a directory is the one that now stands at its path.
fn is_current(directory: &OwnedFd) -> bool {
    match (fstat(directory), statat(CWD, DIRECTORY, AtFlags::SYMLINK_NOFOLLOW)) {
        (Ok(open), Ok(there)) => (open.st_dev, open.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

fn failure(operation: &'static str, instance: &str, file: &str) -> impl Fn(Errno) -> Error + use<> {
    let path = format!("{DIRECTORY}/{instance}/{file}");
    move |errno| Error::new(operation, path.clone(), errno)
}

pub(super) fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
