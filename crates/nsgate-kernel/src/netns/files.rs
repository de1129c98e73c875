//! The files that programs in a namespace find under `/etc`.
//!
//! A namespace of the network has no files of its own. iproute2 lets programs that it runs in a named one see
//! `/etc/netns/NAME/FILE` as `/etc/FILE`; a process, as those of containers, sees those of its own root directory.

use std::fs::File;
use std::io::Read as _;

use nsgate_core::model::NetnsName;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

use crate::{Error, containers};

/// The most that is read of a file.
const LONGEST: u64 = 1 << 20;

/// A file as programs in a namespace find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is for whoever runs nsgate.
    pub path: String,
    /// What it says, as far as that is text; none if there is no such file.
    pub text: Option<String>,
}

/// Reads `/etc/FILE` as programs in the namespace find it.
pub fn read(name: &NetnsName, file: &str) -> Result<Found, Error> {
    let process = match name.container() {
        Some(_) => Some(containers::process_of(name)?),
        None => name.process(),
    };
    if let Some(process) = process {
        return below(&format!("/proc/{process}/root"), &format!("etc/{file}"));
    }
    if name.is_plain() {
        let own = below("/", &format!("etc/netns/{name}/{file}"))?;
        if own.text.is_some() {
            return Ok(own);
        }
    }
    below("/", &format!("etc/{file}"))
}

/// Reads a file below a root directory; links in it lead to nothing outside.
fn below(root: &str, file: &str) -> Result<Found, Error> {
    let path = format!("{}/{file}", root.trim_end_matches('/'));
    // NONBLOCK: a named pipe in place of the file must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|root| openat2(root, file, flags, Mode::empty(), ResolveFlags::IN_ROOT));
    let text = text(opened.map(File::from), &path)?;
    Ok(Found { path, text })
}

fn text(opened: Result<File, Errno>, path: &str) -> Result<Option<String>, Error> {
    let failed = |errno| Error::new("read", path, errno);
    let file = match opened {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    let mut bytes = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut bytes);
    read.map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sandbox::test;

    fn found(name: &str) -> (String, Option<String>) {
        let Found { path, text } = read(&name.parse().unwrap(), "resolv.conf").unwrap();
        (path, text)
    }

    /// Hides the machine's files from this sandbox.
    fn hide(directory: &str) {
        rustix::mount::mount("none", directory, "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    }

    #[test]
    fn a_named_namespace_has_its_own_file_or_shares_the_machines() {
        test(|| {
            hide("/etc");
            assert_eq!(found("blue"), ("/etc/resolv.conf".into(), None));
            fs::write("/etc/resolv.conf", "shared").unwrap();
            assert_eq!(found("blue"), ("/etc/resolv.conf".into(), Some("shared".into())));
            fs::create_dir_all("/etc/netns/blue").unwrap();
            fs::write("/etc/netns/blue/resolv.conf", "own").unwrap();
            assert_eq!(found("blue"), ("/etc/netns/blue/resolv.conf".into(), Some("own".into())));
            for other in ["red", "host", "/run/netns/blue"] {
                assert_eq!(found(other).1.as_deref(), Some("shared"), "{other}");
            }
        });
    }

    #[test]
    fn a_process_has_the_files_of_its_root_and_links_lead_to_nothing_outside() {
        test(|| {
            hide("/etc");
            fs::create_dir_all("/run/box/etc").unwrap();
            fs::create_dir_all("/run/box/run").unwrap();
            fs::write("/run/secret", "outside").unwrap();
            fs::write("/run/box/run/stub", "inside").unwrap();
            symlink("../../secret", "/run/box/etc/hosts").unwrap();
            symlink("/run/stub", "/run/box/etc/resolv.conf").unwrap();
            assert_eq!(below("/run/box", "etc/resolv.conf").unwrap().text.as_deref(), Some("inside"));
            assert_eq!(below("/run/box", "etc/hosts").unwrap().text, None);
            let own = fs::read_link("/proc/self").unwrap();
            fs::write("/etc/resolv.conf", "shared").unwrap();
            assert_eq!(found(&format!("pid:{}", own.display())).1.as_deref(), Some("shared"));
            let task = "/run/containerd/io.containerd.runtime.v2.task/default/web";
            fs::create_dir_all(task).unwrap();
            fs::write(format!("{task}/init.pid"), own.to_str().unwrap()).unwrap();
            let path = format!("/proc/{}/root/etc/resolv.conf", own.display());
            assert_eq!(found("containerd:web"), (path, Some("shared".into())));
        });
    }

    #[test]
    fn what_is_no_text_file_keeps_nobody_waiting() {
        test(|| {
            hide("/etc");
            rustix::fs::mkfifoat(rustix::fs::CWD, "/etc/resolv.conf", Mode::RUSR).unwrap();
            assert_eq!(found("host").1.as_deref(), Some(""));
            fs::remove_file("/etc/resolv.conf").unwrap();
            fs::create_dir("/etc/resolv.conf").unwrap();
            assert!(read(&NetnsName::host(), "resolv.conf").is_err());
            fs::remove_dir("/etc/resolv.conf").unwrap();
            fs::write("/etc/resolv.conf", vec![b'x'; 3 << 20]).unwrap();
            assert_eq!(found("host").1.map(|text| text.len()), Some(1 << 20));
        });
    }
}
