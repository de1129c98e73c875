//! A socket's error queue: ICMP errors with who sent them, and what the kernel itself refused after the call.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use nsgate_packet::{ErrorKind, Family};
use rustix::io::Errno;

use crate::sys;

/// What the queue says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reported {
    /// An ICMP error came.
    Icmp {
        /// Who sent it.
        from: IpAddr,
        /// Its type.
        icmp_type: u8,
        /// Its code.
        code: u8,
        /// The MTU it tells, where it tells one.
        mtu: Option<u32>,
    },
    /// The kernel gave up.
    Local(Errno),
}

/// The next entry that says something; none if there is none.
pub(super) fn next(socket: BorrowedFd<'_>) -> Option<Reported> {
    // One error and the address of who sent it; a multiple of a control message's alignment.
    let mut control = [0; 256];
    loop {
        match sys::next_error(socket, &mut control) {
            Ok(filled) => {
                if let Some(reported) = read(filled) {
                    return Some(reported);
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// `struct cmsghdr`: its length with what follows, level, type.
const HEADER: usize = size_of::<libc::cmsghdr>();
/// `struct sock_extended_err`.
const ERROR: usize = size_of::<libc::sock_extended_err>();

/// Reads the control messages of one entry.
fn read(mut control: &[u8]) -> Option<Reported> {
    loop {
        let length = usize::from_ne_bytes(*control.first_chunk()?);
        let level = i32::from_ne_bytes(*control.get(size_of::<usize>()..)?.first_chunk()?);
        let name = i32::from_ne_bytes(*control.get(size_of::<usize>() + 4..)?.first_chunk()?);
        let data = control.get(HEADER..length)?;
        match (level, name) {
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                return extended_error(data);
            }
            _ => control = control.get(length.next_multiple_of(align_of::<usize>())..)?,
        }
    }
}

fn extended_error(data: &[u8]) -> Option<Reported> {
    let number = |offset: usize| data.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let errno = number(0)? as i32;
    let (origin, icmp_type, code) = (*data.get(4)?, *data.get(5)?, *data.get(6)?);
    let family = match origin {
        libc::SO_EE_ORIGIN_ICMP => Family::V4,
        libc::SO_EE_ORIGIN_ICMP6 => Family::V6,
        libc::SO_EE_ORIGIN_LOCAL => return Some(Reported::Local(Errno::from_raw_os_error(errno))),
        _ => return None,
    };
    let too_big = ErrorKind::of(family, icmp_type, code) == ErrorKind::TooBig;
    let mtu = number(8).filter(|mtu| too_big && *mtu != 0);
    let from = offender(data.get(ERROR..)?)?;
    Some(Reported::Icmp { from, icmp_type, code, mtu })
}

/// The address in a `struct sockaddr`.
fn offender(address: &[u8]) -> Option<IpAddr> {
    match i32::from(u16::from_ne_bytes(*address.first_chunk()?)) {
        libc::AF_INET => address.get(4..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        libc::AF_INET6 => address.get(8..)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A control message, as the kernel lays it out.
    fn message(level: i32, name: i32, data: &[u8]) -> Vec<u8> {
        let length = HEADER + data.len();
        let mut bytes = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &name.to_ne_bytes(), data].concat();
        bytes.resize(length.next_multiple_of(8), 0);
        bytes
    }

    fn error(errno: u32, origin: u8, icmp_type: u8, code: u8, info: u32) -> Vec<u8> {
        [&errno.to_ne_bytes()[..], &[origin, icmp_type, code, 0], &info.to_ne_bytes(), &[0; 4]].concat()
    }

    fn from_ipv4() -> Vec<u8> {
        [&(libc::AF_INET as u16).to_ne_bytes()[..], &[0, 0, 10, 0, 0, 1], &[0; 8]].concat()
    }

    #[test]
    fn who_sent_an_error_and_what_it_says() {
        let data = [error(90, libc::SO_EE_ORIGIN_ICMP, 3, 4, 1400), from_ipv4()].concat();
        let other = message(libc::SOL_SOCKET, 1, &[0; 5]);
        let control = [other, message(libc::IPPROTO_IP, libc::IP_RECVERR, &data)].concat();
        let from = "10.0.0.1".parse().unwrap();
        assert_eq!(read(&control), Some(Reported::Icmp { from, icmp_type: 3, code: 4, mtu: Some(1400) }));
        let address: std::net::Ipv6Addr = "fd00::1".parse().unwrap();
        let ipv6 = [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &[0; 6], &address.octets(), &[0; 4]].concat();
        let data = [error(113, libc::SO_EE_ORIGIN_ICMP6, 1, 3, 1400), ipv6].concat();
        let control = message(libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &data);
        assert_eq!(read(&control), Some(Reported::Icmp { from: address.into(), icmp_type: 1, code: 3, mtu: None }));
    }

    #[test]
    fn what_the_kernel_itself_refused() {
        let control = message(libc::IPPROTO_IP, libc::IP_RECVERR, &error(90, libc::SO_EE_ORIGIN_LOCAL, 0, 0, 1400));
        assert_eq!(read(&control), Some(Reported::Local(Errno::MSGSIZE)));
    }

    #[test]
    fn what_is_cut_says_nothing() {
        let data = [error(113, libc::SO_EE_ORIGIN_ICMP, 3, 1, 0), from_ipv4()].concat();
        let control = message(libc::IPPROTO_IP, libc::IP_RECVERR, &data);
        for length in 0..control.len() {
            assert_eq!(read(&control[..length]), None, "{length}");
        }
        assert_eq!(read(&[0; 64]), None);
    }
}
