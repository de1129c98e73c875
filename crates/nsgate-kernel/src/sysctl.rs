//! Kernel settings of a network namespace, read and written as files below `/proc/sys/net`.
//!
//! Those files belong to the namespace of the thread that opens them. Settings outside of `net` belong to the whole
//! machine, which is why they are refused here.

use nsgate_core::model::Sysctl;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::netns::Netns;
use crate::{Error, Kind};

/// The longest value, in bytes: the kernel takes and gives a page.
const LONGEST: usize = 4096;

/// Reads a setting of that namespace.
pub fn read(netns: &Netns, sysctl: &Sysctl) -> Result<String, Error> {
    netns.run(|| read_here(sysctl))?
}

/// Writes a setting of that namespace, and gives the value it had before.
pub fn write(netns: &Netns, sysctl: &Sysctl, value: &str) -> Result<String, Error> {
    netns.run(|| write_here(sysctl, value))?
}

/// Reads a setting of the namespace that the calling thread is in.
pub fn read_here(sysctl: &Sysctl) -> Result<String, Error> {
    let failed = |errno| failure("read", sysctl, errno);
    let file = open(path(sysctl, "read")?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mut value = vec![0; LONGEST];
    let length = rustix::io::read(&file, &mut value).map_err(failed)?;
    if length == LONGEST {
        return Err(Error::answer("read", sysctl.as_str(), format!("its value is longer than {LONGEST} bytes")));
    }
    value.truncate(length);
    match String::from_utf8(value) {
        Ok(value) => Ok(value.trim_end_matches('\n').to_owned()),
        Err(_) => Err(Error::answer("read", sysctl.as_str(), "its value is not text")),
    }
}

/// Writes a setting of the namespace that the calling thread is in, and gives the value it had before.
pub fn write_here(sysctl: &Sysctl, value: &str) -> Result<String, Error> {
    check(sysctl, value)?;
    let failed = |errno| failure_of_value(sysctl, value, errno);
    let before = read_here(sysctl)?;
    let file = open(path(sysctl, "write")?, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    // The kernel takes the value from one write, or not at all.
    let written = rustix::io::write(&file, value.as_bytes()).map_err(failed)?;
    if written == value.len() {
        return Ok(before);
    }
    Err(Error::answer("write", sysctl.as_str(), format!("only {written} of {} bytes were taken", value.len())))
}

/// The file of a setting, which must belong to a network namespace.
fn path(sysctl: &Sysctl, operation: &'static str) -> Result<String, Error> {
    let path = sysctl.path();
    if path.starts_with("net/") {
        return Ok(format!("/proc/sys/{path}"));
    }
    let why = "it belongs to the whole machine, not to a network namespace";
    Err(Error::explained(Kind::Refused, operation, sysctl.as_str(), why))
}

/// Refuses what cannot be a value.
fn check(sysctl: &Sysctl, value: &str) -> Result<(), Error> {
    let refused = |why: String| Err(Error::explained(Kind::Refused, "write", sysctl.as_str(), why));
    if value.is_empty() {
        return refused("the value is empty".into());
    }
    if value.len() >= LONGEST {
        return refused(format!("the value is {} bytes long; {} is the most", value.len(), LONGEST - 1));
    }
    match value.chars().find(|c| c.is_control() && *c != '\t') {
        Some(control) => refused(format!("the value holds {control:?}")),
        None => Ok(()),
    }
}

fn failure(operation: &'static str, sysctl: &Sysctl, errno: Errno) -> Error {
    let (kind, why) = match errno {
        Errno::NOENT => {
            (Kind::NotFound, "there is no such setting here: the kernel lacks it, or the interface is missing")
        }
        Errno::ROFS => (Kind::NotPermitted, "/proc/sys is mounted read-only here, as container engines do"),
        Errno::ACCESS | Errno::PERM => (Kind::NotPermitted, "CAP_NET_ADMIN in the namespace is needed for it"),
        errno => return Error::new(operation, sysctl.as_str(), errno),
    };
    Error::explained(kind, operation, sysctl.as_str(), why)
}

/// As [`failure`], of a write: says the value where the kernel found fault with it.
fn failure_of_value(sysctl: &Sysctl, value: &str, errno: Errno) -> Error {
    match errno {
        Errno::INVAL | Errno::RANGE | Errno::DOM => Error::new("write", format!("{sysctl} = {value}"), errno),
        errno => failure("write", sysctl, errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::create;
    use crate::sandbox::test;

    const FORWARDING: &str = "net.ipv4.ip_forward";

    fn sysctl(name: &str) -> Sysctl {
        name.parse().unwrap()
    }

    #[test]
    fn a_value_is_written_in_its_namespace_alone() {
        test(|| {
            let blue = create(&"blue".parse().unwrap()).unwrap();
            let host = Netns::host().unwrap();
            let forwarding = sysctl(FORWARDING);
            write(&host, &forwarding, "0").unwrap();
            write(&blue, &forwarding, "0").unwrap();
            assert_eq!(write(&blue, &forwarding, "1").unwrap(), "0");
            assert_eq!(read(&blue, &forwarding).unwrap(), "1");
            assert_eq!(read(&host, &forwarding).unwrap(), "0");
            assert_eq!(write(&blue, &forwarding, "0").unwrap(), "1");
        });
    }

    #[test]
    fn values_of_several_words() {
        test(|| {
            let range = sysctl("net.ipv4.ip_local_port_range");
            write_here(&range, "40000\t50000").unwrap();
            assert_eq!(read_here(&range).unwrap(), "40000\t50000");
        });
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        test(|| {
            let told = |name: &str, value: &str| write_here(&sysctl(name), value).unwrap_err().to_string();
            assert!(told("net.ipv4.conf.veth9.forwarding", "1").contains("there is no such setting here"));
            assert_eq!(told(FORWARDING, "yes"), "cannot write net.ipv4.ip_forward = yes: Invalid argument");
            assert!(told(FORWARDING, "").ends_with("the value is empty"));
            assert!(told(FORWARDING, "1\n0").contains(r"holds '\n'"));
            assert!(told(FORWARDING, &"1".repeat(5000)).contains("4095 is the most"));
            assert!(told("kernel.hostname", "x").contains("whole machine"));
        });
    }
}
