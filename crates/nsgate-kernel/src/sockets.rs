//! The sockets of a namespace that wait for packets, as the kernel's socket diagnosis lists them.

use std::net::IpAddr;

use nsgate_core::model::{Family, LinkIndex, Listener, Transport};

use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// The size of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// The size of `struct inet_diag_msg`.
const ANSWER: usize = 72;
/// `INET_DIAG_SKMEMINFO`: memory in use and allowed.
const MEMORY: u16 = 7;
/// The place of the receive buffer's size in it (SK_MEMINFO_RCVBUF).
const RECEIVE_BUFFER: usize = 4;
/// `INET_DIAG_SKV6ONLY`.
const ONLY_V6: u16 = 11;
/// `INET_DIAG_CGROUP_ID`.
const CONTROL_GROUP: u16 = 21;
/// The states of sockets that wait: a TCP socket that listens, a UDP socket that is not connected.
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;

/// All sockets that wait for packets in the namespace of a [`SockDiag`](crate::netlink::Protocol::SockDiag) socket.
pub fn listeners(socket: &mut Socket) -> Result<Listing<Listener>, Error> {
    let mut all = Listing { items: Vec::new(), unread: 0, consistent: true };
    for transport in [Transport::Tcp, Transport::Udp] {
        for family in Family::BOTH {
            let mut batch = Batch::new();
            batch.begin(BY_FAMILY, 0, &request(transport, family));
            all = all.join(socket.list(&mut batch, "listening sockets", |message| read(transport, message))?);
        }
    }
    Ok(all)
}

/// `struct inet_diag_req_v2` for all sockets that wait.
fn request(transport: Transport, family: Family) -> [u8; REQUEST] {
    let (protocol, state) = match transport {
        Transport::Tcp => (libc::IPPROTO_TCP, LISTEN),
        Transport::Udp => (libc::IPPROTO_UDP, CLOSE),
    };
    let mut request = [0; REQUEST];
    request[0] = match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    };
    request[1] = protocol as u8;
    request[2] = 1 << (MEMORY - 1);
    request[4..8].copy_from_slice(&(1u32 << state).to_ne_bytes());
    request
}

/// Reads any message as a socket; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &Message<'_>) {
    let _ = (read(Transport::Tcp, message), read(Transport::Udp, message));
}

/// Reads one socket.
fn read(transport: Transport, message: &Message<'_>) -> Option<Listener> {
    let (answer, attributes) = message.split::<ANSWER>()?;
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let address = match i32::from(answer[0]) {
        libc::AF_INET => IpAddr::from(<[u8; 4]>::try_from(&answer[8..12]).ok()?),
        libc::AF_INET6 => IpAddr::from(<[u8; 16]>::try_from(&answer[8..24]).ok()?),
        _ => return None,
    };
    let queued = number(56)?;
    let queue_limit = match transport {
        // A listening socket tells how many connections may wait where others tell what waits to be sent.
        Transport::Tcp => number(60)?,
        Transport::Udp => receive_buffer(&attributes).unwrap_or(0),
    };
    Some(Listener {
        transport,
        address,
        port: u16::from_be_bytes([answer[4], answer[5]]),
        only_v6: attributes.find(ONLY_V6).and_then(|a| a.u8()) == Some(1),
        link: number(40).filter(|index| *index != 0).map(LinkIndex),
        control_group: attributes.find(CONTROL_GROUP).and_then(|a| a.u64()),
        queued,
        queue_limit,
    })
}

fn receive_buffer(attributes: &Attributes<'_>) -> Option<u32> {
    let memory = attributes.find(MEMORY)?.value;
    Some(u32::from_ne_bytes(memory.get(RECEIVE_BUFFER..RECEIVE_BUFFER + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::netlink::{Protocol, hostile};
    use crate::sandbox::test;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(|message| read(Transport::Udp, message));
    }

    #[test]
    fn what_listens_is_found() {
        test(|| {
            let tcp = TcpListener::bind("127.0.0.1:80").unwrap();
            let udp = UdpSocket::bind("[::]:53").unwrap();
            let connected = UdpSocket::bind("127.0.0.1:99").unwrap();
            connected.connect("127.0.0.1:98").unwrap();
            let mut socket = Socket::open(Protocol::SockDiag).unwrap();
            let found = listeners(&mut socket).unwrap();
            assert_eq!((found.items.len(), found.unread), (2, 0), "{found:?}");
            let web = &found.items[0];
            assert_eq!((web.transport, web.address, web.port), (Transport::Tcp, "127.0.0.1".parse().unwrap(), 80));
            assert_eq!((web.queued, web.link, web.only_v6), (0, None, false));
            assert!(web.queue_limit > 0);
            let names = &found.items[1];
            assert_eq!((names.transport, names.address, names.port), (Transport::Udp, "::".parse().unwrap(), 53));
            assert!(names.queue_limit > 0);
            drop((tcp, udp));
            assert!(listeners(&mut socket).unwrap().items.is_empty());
        });
    }
}
