//! The packet filter of the older engine (iptables-legacy, arptables-legacy and ebtables-legacy), which works beside
//! nftables at the same hooks.
//!
//! It is read by socket options that each give one table as one block of bytes. Asking for a table that is not there
//! would make it, so only those are asked for that the namespace lists. It is never changed from here.

mod arp;
mod blob;
mod entry;
mod frames;
mod registered;

use std::io::ErrorKind;
use std::os::fd::AsFd as _;

use nsgate_core::model::ruleset::{Table, TableFamily};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use self::blob::Head;
use crate::error::Error;
use crate::sys;

/// The largest table that is read, in bytes.
const LARGEST: usize = 256 << 20;
/// How often a table that changes its size meanwhile is asked for again.
const ATTEMPTS: usize = 4;

/// IPT_SO_GET_INFO, which has the same number for IPv6; IPT_SO_GET_ENTRIES is the next.
const GET_HEAD: libc::c_int = 64;
/// ARPT_SO_GET_INFO; ARPT_SO_GET_ENTRIES is the next.
const GET_ARP_HEAD: libc::c_int = 96;

/// The older engine for one family.
#[derive(Clone, Copy, Debug)]
struct Engine {
    of: TableFamily,
    /// Where the namespace lists the tables that there are.
    list: &'static str,
    address: AddressFamily,
    level: libc::c_int,
    /// The option that gives a table's head.
    head: libc::c_int,
}

const ENGINES: [Engine; 3] = [
    Engine {
        of: TableFamily::Ip,
        list: "/proc/thread-self/net/ip_tables_names",
        address: AddressFamily::INET,
        level: libc::IPPROTO_IP,
        head: GET_HEAD,
    },
    Engine {
        of: TableFamily::Ip6,
        list: "/proc/thread-self/net/ip6_tables_names",
        address: AddressFamily::INET6,
        level: libc::IPPROTO_IPV6,
        head: GET_HEAD,
    },
    Engine {
        of: TableFamily::Arp,
        list: "/proc/thread-self/net/arp_tables_names",
        address: AddressFamily::INET,
        level: libc::IPPROTO_IP,
        head: GET_ARP_HEAD,
    },
];

/// What there is of the older engine in the namespace of this thread.
#[derive(Clone, Debug, Default)]
pub struct Legacy {
    /// The names of its tables, such as `ip nat`.
    pub names: Vec<String>,
    /// Those of them that could be read. The handle of a rule is its number within its chain, counted from 1.
    pub tables: Vec<Table>,
    /// What could not be read, each with the reason.
    pub unread: Vec<(String, Error)>,
}

/// Reads the tables of the older engine in the namespace of this thread, those for bridged frames only if it has
/// bridges.
pub fn tables(bridges: bool) -> Legacy {
    let mut legacy = if bridges { of_bridges() } else { Legacy::default() };
    for engine in ENGINES {
        let names = match listed(engine) {
            Ok(names) => names,
            Err(error) => {
                legacy.unread.push((format!("the tables of {}", engine.name()), error));
                continue;
            }
        };
        for name in names {
            let full = format!("{} {name}", engine.of);
            match read(engine, &name) {
                Ok(table) => legacy.tables.push(table),
                Err(error) => legacy.unread.push((format!("table {full} of {}", engine.name()), error)),
            }
            legacy.names.push(full);
        }
    }
    legacy
}

/// A table out of the bytes that the kernel's interface gives: its head, its rules, and for bridged frames the counters,
/// which stand apart there. None where they cannot be understood.
pub fn from_bytes(family: TableFamily, name: &str, head: &[u8], rules: &[u8], counters: &[u8]) -> Option<Table> {
    if family == TableFamily::Bridge {
        let hooks = entry::Bytes(head).u32(32)?;
        return frames::table(name, hooks, rules, counters);
    }
    blob::table(family, name, &Head::read(family, head)?, rules)
}

/// The tables of ebtables-legacy.
fn of_bridges() -> Legacy {
    let mut legacy = Legacy::default();
    match registered::tables() {
        Ok(names) => {
            for name in names {
                let full = format!("{} {name}", TableFamily::Bridge);
                match frames::read(name) {
                    Ok(table) => legacy.tables.push(table),
                    Err(error) => legacy.unread.push((format!("table {full} of ebtables-legacy"), error)),
                }
                legacy.names.push(full);
            }
        }
        Err(error) => legacy.unread.push(("the tables of ebtables-legacy".into(), error)),
    }
    legacy
}

impl Engine {
    fn name(self) -> &'static str {
        match self.of {
            TableFamily::Arp => "arptables-legacy",
            TableFamily::Ip6 => "ip6tables-legacy",
            _ => "iptables-legacy",
        }
    }
}

/// The names of a family's tables.
fn listed(engine: Engine) -> Result<Vec<String>, Error> {
    match std::fs::read_to_string(engine.list) {
        Ok(names) => Ok(names.lines().map(ToOwned::to_owned).collect()),
        // Nothing of the older engine is there.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            Err(Error::new("read", engine.list, errno))
        }
    }
}

fn read(engine: Engine, name: &str) -> Result<Table, Error> {
    let failed = |errno| Error::new("read", format!("table {} {name} of {}", engine.of, engine.name()), errno);
    let socket = net::socket_with(engine.address, SocketType::RAW, SocketFlags::CLOEXEC, Some(net::ipproto::RAW))
        .map_err(failed)?;
    let ask = |option, buffer: &mut [u8]| sys::get_socket_option(socket.as_fd(), engine.level, option, buffer);
    let unreadable = |why| Error::answer("read", format!("table {} {name} of {}", engine.of, engine.name()), why);
    for _ in 0..ATTEMPTS {
        let mut bytes = blob::head_request(engine.of, name);
        ask(engine.head, &mut bytes).map_err(failed)?;
        let head = Head::read(engine.of, &bytes).ok_or_else(|| unreadable("its head cannot be understood"))?;
        if head.size > LARGEST {
            return Err(unreadable("it is too large"));
        }
        let mut bytes = blob::entries_request(name, head.size);
        match ask(engine.head + 1, &mut bytes) {
            Ok(()) => {
                let table = blob::table(engine.of, name, &head, blob::entries(&bytes));
                return table.ok_or_else(|| unreadable("its rules cannot be understood"));
            }
            // Its size has changed meanwhile.
            Err(Errno::AGAIN | Errno::INVAL) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(unreadable("it kept changing"))
}

#[cfg(test)]
mod interop;
#[cfg(test)]
mod tests;
