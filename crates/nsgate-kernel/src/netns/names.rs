//! The names of namespaces: files under `/run/netns`, made and removed as iproute2 does.

use std::fs;

use nsgate_core::model::NetnsName;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, mkdir, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount};
use rustix::thread::UnshareFlags;

use super::{DIRECTORY, Netns, is_mounted, on_own_thread, path, unopened};
use crate::{Error, Kind, sandbox, sys};

/// A name under `/run/netns`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name; the path where the file's name means something else to nsgate, as `host` does.
    pub name: NetnsName,
    /// Whether nothing is mounted there: a name left over from a crash.
    pub stale: bool,
}

/// All names under `/run/netns`, in order.
pub fn list() -> Result<Vec<Listed>, Error> {
    let failed = |error: std::io::Error| {
        Error::new("list network namespaces in", DIRECTORY, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    let files = match fs::read_dir(DIRECTORY) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut listed = Vec::new();
    for file in files {
        let file = file.map_err(failed)?;
        // What is not text, or holds white space, cannot be named in any command of ours.
        if let Some(name) = file.file_name().to_str().and_then(name_of_file) {
            listed.push(Listed { name, stale: !is_mounted(&file.path()) });
        }
    }
    listed.sort();
    Ok(listed)
}

/// How a file under `/run/netns` is called.
fn name_of_file(file: &str) -> Option<NetnsName> {
    let name: Option<NetnsName> = file.parse().ok();
    match name {
        Some(name) if name.is_plain() => Some(name),
        _ => format!("{DIRECTORY}/{file}").parse().ok().filter(|_| !file.contains(char::is_whitespace)),
    }
}

/// Makes a namespace and gives it that name, which must be free.
pub fn create(name: &NetnsName) -> Result<Netns, Error> {
    let failed = |errno| Error::new("make network namespace", name.as_str(), errno);
    plain(name, "make network namespace")?;
    // Without the lock, two makers at once could both mount the directory onto itself.
    let _lock = prepare_directory()?;
    let path = path(name);
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match open(&path, flags, Mode::empty()) {
        Ok(_) => {}
        Err(Errno::EXIST) if !is_mounted(&path) => {
            let why = format!("the name is left over, nothing is mounted there: remove it with `ip netns del {name}`");
            return Err(Error::explained(Kind::Exists, "make network namespace", name.as_str(), why));
        }
        Err(errno) => return Err(failed(errno)),
    }
    let mounted = on_own_thread(name, || {
        sys::unshare(UnshareFlags::NEWNET).map_err(failed)?;
        if sandbox::is_inside() {
            sandbox::restore_defaults()?;
        }
        mount_bind(c"/proc/thread-self/ns/net", path.as_path()).map_err(failed)
    });
    let mounted = mounted.flatten();
    if mounted.is_err() {
        // The name was made a moment ago by this very function.
        let _ = fs::remove_file(&path);
    }
    mounted.and_then(|()| Netns::open(name))
}

/// Removes a name, also a stale one. The namespace ends when its last process, socket or other name does.
pub fn delete(name: &NetnsName) -> Result<(), Error> {
    let failed = |errno| Error::new("remove network namespace", name.as_str(), errno);
    plain(name, "remove network namespace")?;
    let path = path(name);
    let about = fs::symlink_metadata(&path)
        .map_err(|error| unopened(name, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let left_over = about.is_file() && about.len() == 0;
    if !left_over && !is_mounted(&path) {
        return Err(Error::explained(
            Kind::Refused,
            "remove network namespace",
            name.as_str(),
            "the file of that name is not one that names a namespace",
        ));
    }
    // A name can be mounted more than once where two makers ran into each other.
    loop {
        match unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(failed(errno)),
        }
    }
    fs::remove_file(&path).map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
}

/// Refuses names of namespaces that others make.
fn plain(name: &NetnsName, operation: &'static str) -> Result<(), Error> {
    if name.is_plain() {
        return Ok(());
    }
    Err(Error::explained(
        Kind::Refused,
        operation,
        name.as_str(),
        format!("only a plain name, which stands for a file in {DIRECTORY}, can be made and removed"),
    ))
}

/// Makes the directory, and sees to it that what is mounted in it shows in every mount namespace that shares it:
/// else the names of one namespace would stay busy in others. Gives the lock on it.
fn prepare_directory() -> Result<impl Drop, Error> {
    let failed = |errno| Error::new("prepare", DIRECTORY, errno);
    match mkdir(DIRECTORY, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let directory =
        open(DIRECTORY, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
    let share = || mount_change(DIRECTORY, MountPropagationFlags::SHARED | MountPropagationFlags::REC);
    match share() {
        // Not a mount point yet.
        Err(Errno::INVAL) => {
            mount_bind_recursive(DIRECTORY, DIRECTORY).map_err(failed)?;
            share().map_err(failed)?;
        }
        done => done.map_err(failed)?,
    }
    Ok(directory)
}

/// The existing names most like a missing one, as the end of a sentence; nothing if none is near.
pub(super) fn nearest(missing: &NetnsName) -> String {
    /// Names that differ more than this are no slip of the finger.
    const ALIKE: f64 = 0.7;
    let names = list().unwrap_or_default();
    let mut near: Vec<_> = names
        .iter()
        .map(|listed| (strsim::jaro_winkler(missing.as_str(), listed.name.as_str()), listed.name.as_str()))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    match near.iter().take(3).map(|(_, name)| *name).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sandbox::test;

    fn name(text: &str) -> NetnsName {
        text.parse().unwrap()
    }

    #[test]
    fn made_listed_and_removed() {
        test(|| {
            assert_eq!(list().unwrap(), []);
            create(&name("blue")).unwrap();
            let again = create(&name("blue")).unwrap_err();
            assert_eq!(again.kind(), Kind::Exists);
            assert_eq!(list().unwrap(), [Listed { name: name("blue"), stale: false }]);
            delete(&name("blue")).unwrap();
            assert_eq!(list().unwrap(), []);
            let gone = delete(&name("blue")).unwrap_err();
            assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
        });
    }

    #[test]
    fn the_directory_is_made_and_shared_once() {
        test(|| {
            fs::remove_dir(DIRECTORY).unwrap();
            assert_eq!(list().unwrap(), []);
            create(&name("blue")).unwrap();
            create(&name("red")).unwrap();
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let of_directory: Vec<_> = mounts.lines().filter(|l| l.split(' ').nth(4) == Some(DIRECTORY)).collect();
            assert_eq!(of_directory.len(), 1, "{mounts}");
            assert!(of_directory[0].contains(" shared:"), "{mounts}");
        });
    }

    #[test]
    fn what_a_crash_left_is_told_and_can_be_removed() {
        test(|| {
            create(&name("blue")).unwrap();
            open("/run/netns/left", OFlags::CREATE | OFlags::RDONLY, Mode::empty()).unwrap();
            let stale: Vec<_> = list().unwrap().into_iter().map(|l| (l.name.to_string(), l.stale)).collect();
            assert_eq!(stale, [("blue".to_owned(), false), ("left".to_owned(), true)]);
            let refused = create(&name("left")).unwrap_err().to_string();
            assert!(refused.contains("ip netns del left"), "{refused}");
            delete(&name("left")).unwrap();
            assert!(!Path::new("/run/netns/left").exists());
        });
    }

    #[test]
    fn only_namespaces_are_removed() {
        test(|| {
            fs::write("/run/netns/notes", "do not lose this").unwrap();
            assert!(delete(&name("notes")).is_err());
            assert!(Path::new("/run/netns/notes").exists());
            assert!(delete(&NetnsName::host()).is_err());
            assert!(create(&name("/run/netns/x")).is_err());
        });
    }

    #[test]
    fn file_names_with_a_meaning_of_their_own_are_shown_as_paths() {
        assert_eq!(name_of_file("blue"), Some(name("blue")));
        assert_eq!(name_of_file("host"), Some(name("/run/netns/host")));
        assert_eq!(name_of_file("pid:1"), Some(name("/run/netns/pid:1")));
        assert_eq!(name_of_file("a b"), None);
    }

    #[test]
    fn the_nearest_names_are_offered() {
        test(|| {
            for made in ["web-1", "web-2", "database"] {
                create(&name(made)).unwrap();
            }
            assert_eq!(nearest(&name("web1")), "; did you mean web-1 or web-2?");
            assert_eq!(nearest(&name("xyz")), "");
        });
    }
}
