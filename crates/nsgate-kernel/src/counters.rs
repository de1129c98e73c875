//! The kernel's counters of a namespace, from its files below `/proc/thread-self/net`, and those of its interfaces.

mod advertisement;
mod interface;

use std::fs::File;
use std::io::Read as _;

use nsgate_core::trace::Counters;
use rustix::io::Errno;

pub use self::advertisement::advertisements_here;
use crate::error::Error;

/// The most that is read of one file; the longest, `netstat`, has about 5 KiB.
const LONGEST: u64 = 256 * 1024;

/// Reads all counters of the namespace that the calling thread is in.
///
/// Connection tracking counts only where it is loaded; its counters are missing otherwise.
pub fn read_here() -> Result<Counters, Error> {
    let mut counters = Counters::default();
    for file in ["snmp", "netstat"] {
        if let Some(text) = read(file)? {
            read_pairs(&text, &mut counters);
        }
    }
    if let Some(text) = read("snmp6")? {
        read_lines(&text, &mut counters);
    }
    if let Some(text) = read("stat/nf_conntrack")? {
        read_columns(&text, &mut counters);
    }
    if let Some(text) = read("xfrm_stat")? {
        read_ipsec(&text, &mut counters);
    }
    interface::read(&mut counters)?;
    Ok(counters)
}

/// The text of a file; none if the kernel does not have it.
fn read(file: &str) -> Result<Option<String>, Error> {
    let path = format!("/proc/thread-self/net/{file}");
    let mut text = String::new();
    let done = File::open(&path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    match done {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new("read", path, Errno::from_io_error(&error).unwrap_or(Errno::IO))),
    }
}

/// `Ip: Forwarding InReceives ...` above `Ip: 1 42 ...`.
fn read_pairs(text: &str, counters: &mut Counters) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((_, values))) = (names.split_once(": "), values.split_once(": ")) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            // Some are limits, and -1 says "none".
            if let Ok(value) = value.parse() {
                counters.insert(format!("{group}.{name}"), value);
            }
        }
    }
}

/// `Ip6InReceives    42`.
fn read_lines(text: &str, counters: &mut Counters) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(char::is_whitespace) else { continue };
        // The group ends with its 6: Ip6, Icmp6, Udp6, UdpLite6.
        let Some((group, name)) = name.split_once('6') else { continue };
        if let Ok(value) = value.trim().parse() {
            counters.insert(format!("{group}6.{name}"), value);
        }
    }
}

/// `XfrmOutNoStates    1`.
fn read_ipsec(text: &str, counters: &mut Counters) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(char::is_whitespace) else { continue };
        if let (Some(name), Ok(value)) = (name.strip_prefix("Xfrm"), value.trim().parse()) {
            counters.insert(format!("Xfrm.{name}"), value);
        }
    }
}

/// A line of names above one line of hexadecimal numbers for each processor.
fn read_columns(text: &str, counters: &mut Counters) {
    let mut lines = text.lines();
    let names: Vec<String> = lines
        .next()
        .map(|names| names.split_whitespace().map(|name| format!("Conntrack.{name}")).collect())
        .unwrap_or_default();
    for line in lines {
        for (name, value) in names.iter().zip(line.split_whitespace()) {
            let Ok(value) = u64::from_str_radix(value, 16) else { continue };
            // The number of entries is the namespace's and stands in every line; the others are counted apart.
            let sum = if name == "Conntrack.entries" { value } else { counters.get(name).wrapping_add(value) };
            counters.insert(name.clone(), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::sandbox::test;

    #[test]
    fn all_forms_are_read() {
        let mut counters = Counters::default();
        read_pairs("Ip: Forwarding InReceives\nIp: 2 42\nTcp: MaxConn\nTcp: -1\n", &mut counters);
        read_lines("Ip6InReceives                   \t7\nIcmp6OutMsgs\t3\nUdpLite6InErrors 1\n", &mut counters);
        read_columns("entries found drop\n00000002 00000001 0000000a\n00000002 00000000 00000006\n", &mut counters);
        read_ipsec("XfrmInError             \t0\nXfrmOutNoStates         \t5\n", &mut counters);
        let expected = [
            ("Conntrack.drop", 16),
            ("Conntrack.entries", 2),
            ("Conntrack.found", 1),
            ("Icmp6.OutMsgs", 3),
            ("Ip.Forwarding", 2),
            ("Ip.InReceives", 42),
            ("Ip6.InReceives", 7),
            ("UdpLite6.InErrors", 1),
            ("Xfrm.InError", 0),
            ("Xfrm.OutNoStates", 5),
        ];
        assert_eq!(counters.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_an_interface_drops_is_counted() {
        test(|| {
            // A frame that is sent into a wire whose other end is down.
            let lines = [
                "ip link add veth3 type veth peer name veth2",
                "ip addr add 1.1.1.3/24 dev veth3",
                "ip neigh add 1.1.1.2 lladdr 02:00:00:00:00:02 dev veth3",
                "ip link set veth3 up",
            ];
            for line in lines {
                crate::apply::perform(&line.parse().unwrap()).unwrap();
            }
            let before = read_here().unwrap();
            UdpSocket::bind("1.1.1.3:0").unwrap().send_to(b"x", "1.1.1.2:9").unwrap();
            let moved = read_here().unwrap().since(&before);
            assert_eq!(moved.get("link.veth3.tx_dropped"), 1, "{moved:?}");
            assert!(!moved.iter().any(|(name, _)| name.starts_with("link.veth2.")), "{moved:?}");
        });
    }

    #[test]
    fn a_packet_to_a_closed_port_is_counted() {
        test(|| {
            let before = read_here().unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", "127.0.0.1:9").unwrap();
            let moved = read_here().unwrap().since(&before);
            assert_eq!(moved.get("Udp.NoPorts"), 1, "{moved:?}");
            assert_eq!(moved.get("Icmp.OutDestUnreachs"), 1, "{moved:?}");
        });
    }
}
