//! The older engine beside nftables: which of its tables there are.

use std::io::ErrorKind;

use rustix::io::Errno;

use crate::error::Error;

/// The lists of the older engine's tables in the namespace of this thread, by family.
const LISTS: [(&str, &str); 2] =
    [("ip", "/proc/thread-self/net/ip_tables_names"), ("ip6", "/proc/thread-self/net/ip6_tables_names")];

/// The tables of the older engine (`iptables-legacy`) in the namespace of this thread, such as `ip nat`.
pub fn legacy_tables() -> Result<Vec<String>, Error> {
    let mut tables = Vec::new();
    for (family, path) in LISTS {
        match std::fs::read_to_string(path) {
            Ok(names) => tables.extend(names.lines().map(|name| format!("{family} {name}"))),
            // Nothing of the older engine is there.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
                return Err(Error::new("read", path, errno));
            }
        }
    }
    Ok(tables)
}
