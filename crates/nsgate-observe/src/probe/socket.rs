//! The sockets of probes, made ready as far as possible without sending anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use nsgate_core::trace::{Probe, ProbeKind};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, getsockname, ipproto, socket_with};

use super::{Refusal, exchange};
use crate::numbers::TCP_SEND_QUEUE;
use crate::sys;

/// Opens the socket of a probe: bound, set to report errors, the sequence number chosen.
pub(super) fn open(probe: &Probe, sequence: u32) -> Result<OwnedFd, Refusal> {
    let socket = unbound(probe)?;
    report_errors(&socket, probe.destination)?;
    if probe.dont_fragment {
        forbid_fragments(&socket, probe.destination)?;
    }
    if matches!(probe.kind, ProbeKind::Tcp(_)) {
        choose_sequence(&socket, sequence)?;
        if probe.size > 0 {
            exchange::prepare(&socket).map_err(refused("setsockopt"))?;
        }
    }
    // A raw socket has no port, and an address only on request.
    let source = probe.source.unwrap_or_else(|| unspecified(probe.destination));
    if probe.kind != ProbeKind::Icmp || probe.source.is_some() {
        bind(&socket, &SocketAddr::new(source, 0)).map_err(refused("bind"))?;
    }
    Ok(socket)
}

/// The address and port that a socket has so far.
pub(super) fn local_address(socket: &OwnedFd) -> Result<SocketAddr, Refusal> {
    let address = getsockname(socket).map_err(refused("getsockname"))?;
    address.try_into().map_err(refused("getsockname"))
}

/// The address that the kernel would send from, if it knows a way; asks without sending.
pub(super) fn source_for(destination: IpAddr) -> Option<IpAddr> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(family(destination), SocketType::DGRAM, flags, None).ok()?;
    // Any port: nothing is sent.
    connect(&socket, &SocketAddr::new(destination, 9)).ok()?;
    local_address(&socket).ok().map(|address| address.ip())
}

/// How often a connection has sent something once more.
pub(super) fn retransmissions(socket: &OwnedFd) -> u16 {
    const COUNT: usize = std::mem::offset_of!(libc::tcp_info, tcpi_total_retrans);
    let mut told = [0; COUNT + 4];
    let read = sys::get_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut told);
    let count = told.last_chunk().filter(|_| read.is_ok()).map_or(0, |count| u32::from_ne_bytes(*count));
    count.try_into().unwrap_or(u16::MAX)
}

fn unbound(probe: &Probe) -> Result<OwnedFd, Refusal> {
    let (kind, protocol): (_, Option<Protocol>) = match (probe.kind, probe.destination) {
        (ProbeKind::Icmp, IpAddr::V4(_)) => (SocketType::RAW, Some(ipproto::ICMP)),
        (ProbeKind::Icmp, IpAddr::V6(_)) => (SocketType::RAW, Some(ipproto::ICMPV6)),
        (ProbeKind::Tcp(_), _) => (SocketType::STREAM, None),
        (ProbeKind::Udp(_), _) => (SocketType::DGRAM, None),
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family(probe.destination), kind, flags, protocol).map_err(refused("socket"))
}

/// Has ICMP errors queued with who sent them and what they say.
fn report_errors(socket: &OwnedFd, destination: IpAddr) -> Result<(), Refusal> {
    let (level, name) = match destination {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    set(socket, level, name, 1)
}

fn forbid_fragments(socket: &OwnedFd, destination: IpAddr) -> Result<(), Refusal> {
    match destination {
        IpAddr::V4(_) => set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
    }
}

/// Has the connection begin with this sequence number: a socket that is being repaired may be told, and the kernel
/// chooses none of its own when the repair is over.
fn choose_sequence(socket: &OwnedFd, sequence: u32) -> Result<(), Refusal> {
    set(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, sequence as i32)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0)
}

fn set(socket: &OwnedFd, level: i32, name: i32, value: i32) -> Result<(), Refusal> {
    sys::set_option(socket.as_fd(), level, name, &value.to_ne_bytes()).map_err(refused("setsockopt"))
}

fn refused(operation: &'static str) -> impl Fn(Errno) -> Refusal {
    move |errno| Refusal { operation, errno }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn unspecified(destination: IpAddr) -> IpAddr {
    if destination.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
