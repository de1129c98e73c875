//! A netlink socket: requests in, outcomes out.
//!
//! The kernel handles a request within the system call that sends it, so everything it has to say waits in the
//! socket when that call returns: reading never blocks, and nothing here waits for time to pass. A batch is not a
//! transaction (nftables excepted): each request stands or falls alone, and what became of each is reported.
//!
//! A socket belongs to the network namespace that its thread was in when it was opened, and keeps to it wherever it is
//! used later. A socket that has joined groups is for events only: requests go through another one.

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::attribute::{Attributes, Message, Messages};
use super::batch::{Batch, MESSAGE_HEADER};
use crate::error::Error;
use crate::sys;

/// The largest datagram taken: the kernel sends at most 32 KiB of a dump at once, and 64 KiB of anything else.
const DATAGRAM: usize = 128 * 1024;
/// What may wait to be read: so many answers that none is ever dropped, where the machine lets us have it.
const RECEIVE_BUFFER: usize = 4 << 20;
/// What may be sent at once: an nftables transaction for thousands of tenants is one message buffer.
const SEND_BUFFER: usize = 64 << 20;
/// Requests sent in one system call: their answers fit the receive buffer that an ordinary user is given.
const REQUESTS_AT_ONCE: usize = 128;
/// What of a batch is sent in one system call: as much as fits the send buffer that an ordinary user is given.
const BYTES_AT_ONCE: usize = 128 * 1024;
/// How often a dump that the kernel calls inconsistent is asked for again.
const ATTEMPTS: usize = 8;
/// The most that one dump may bring.
const DUMP_LIMIT: usize = 512 << 20;
/// The most datagrams that one look at the events takes.
const EVENTS_AT_ONCE: usize = 4096;

/// The smallest message type that is not a control message (NLMSG_MIN_TYPE).
pub(super) const FIRST_TYPE: u16 = 16;
/// Attributes of an error message.
const EXTACK_TEXT: u16 = 1;
const EXTACK_OFFSET: u16 = 2;
const EXTACK_MISSING_TYPE: u16 = 5;

/// Which subsystem a socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, rules, neighbours, queueing disciplines.
    Route,
    /// nftables and conntrack.
    Netfilter,
    /// Open sockets.
    SockDiag,
    /// IPsec policies and states.
    Xfrm,
}

/// A netlink socket.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    protocol: Protocol,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What became of one request.
pub type Outcome = Result<(), Refusal>;

/// Why the kernel refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's explanation.
    pub text: Option<String>,
    /// Where in the request the attribute stands that it does not like, in bytes from the start of the request.
    pub offset: Option<u32>,
}

/// What the kernel had to say to a batch.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// For each request, in the order of the batch, what became of it.
    pub outcomes: Vec<Outcome>,
    /// The objects that were asked for.
    pub replies: Vec<Reply>,
}

/// An object that the kernel sent in answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The request's place in the batch.
    pub request: usize,
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

/// All objects of a kind.
#[derive(Clone, Debug)]
pub struct Dump {
    bytes: Vec<u8>,
    /// Whether nothing changed while it was read.
    pub consistent: bool,
}

/// What happened since the last look.
#[derive(Clone, Debug)]
pub struct Events {
    bytes: Vec<u8>,
    /// Whether some events were lost because the socket was not read in time.
    pub lost: bool,
}

impl Socket {
    /// Opens a socket in the network namespace that this thread is in.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(net::netlink::NETFILTER),
            Protocol::SockDiag => Some(net::netlink::SOCK_DIAG),
            Protocol::Xfrm => Some(net::netlink::XFRM),
        };
        let failed = |errno| Error::new("open", protocol.name(), errno);
        let descriptor =
            net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number).map_err(failed)?;
        let socket = Self { descriptor, protocol, sequence: 0, buffer: vec![0; DATAGRAM] };
        socket.set_options();
        net::bind(&socket.descriptor, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        Ok(socket)
    }

    /// Sends a batch, in as few system calls as the answers allow, and says what became of each request.
    ///
    /// A request that is refused does not keep the later ones from being tried.
    pub fn send(&mut self, batch: &mut Batch) -> Result<Answers, Error> {
        let mut answers = Answers { outcomes: vec![Ok(()); batch.len()], replies: Vec::new() };
        let mut first = 0;
        while first < batch.len() {
            let mut end = batch.len().min(first + REQUESTS_AT_ONCE);
            while end > first + 1 && batch.part(first, end).len() > BYTES_AT_ONCE {
                end -= 1;
            }
            self.exchange(batch, first, end, &mut answers)?;
            first = end;
        }
        Ok(answers)
    }

    /// Sends a batch in one system call: for nftables, where one buffer is one transaction.
    pub fn send_whole(&mut self, batch: &mut Batch) -> Result<Answers, Error> {
        let mut answers = Answers { outcomes: vec![Ok(()); batch.len()], replies: Vec::new() };
        self.exchange(batch, 0, batch.len(), &mut answers)?;
        Ok(answers)
    }

    /// Reads all objects of a kind: `batch` holds the one request (NLM_F_DUMP is implied), `what` says in an error what
    /// was to be read. Asked again, a few times, if something changed meanwhile.
    pub fn dump(&mut self, batch: &mut Batch, what: &'static str) -> Result<Dump, Error> {
        let take = |bytes: &mut Vec<u8>, datagram: &[u8]| {
            if bytes.len() < DUMP_LIMIT {
                append(bytes, datagram);
            }
        };
        let (bytes, consistent) = self.gather(batch, what, take)?;
        if bytes.len() >= DUMP_LIMIT {
            return Err(Error::answer("read", what, "there are too many"));
        }
        Ok(Dump { bytes, consistent })
    }

    /// Joins a multicast group (RTNLGRP_LINK, NFNLGRP_NFTRACE): its events can be read from now on.
    pub fn join(&mut self, group: u32) -> Result<(), Error> {
        self.set(libc::NETLINK_ADD_MEMBERSHIP, group as i32)
            .map_err(|errno| Error::new("listen to", format!("group {group} of {}", self.protocol.name()), errno))
    }

    /// Takes the events that wait, without waiting for more.
    pub fn events(&mut self) -> Result<Events, Error> {
        let mut events = Events { bytes: Vec::new(), lost: false };
        for _ in 0..EVENTS_AT_ONCE {
            match self.receive() {
                Ok(Some(datagram)) => append(&mut events.bytes, datagram),
                Ok(None) => break,
                Err(Errno::NOBUFS) => events.lost = true,
                Err(errno) => return Err(Error::new("read events of", self.protocol.name(), errno)),
            }
        }
        Ok(events)
    }

    fn set_options(&self) {
        // Older kernels lack some of these; each only makes answers smaller or better.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, libc::NETLINK_GET_STRICT_CHK] {
            let _ = self.set(option, 1);
        }
        // The forced sizes need CAP_NET_ADMIN on the machine; without it the kernel gives what wmem_max, rmem_max allow.
        let _ = sockopt::set_socket_recv_buffer_size_force(&self.descriptor, RECEIVE_BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&self.descriptor, RECEIVE_BUFFER));
        let _ = sockopt::set_socket_send_buffer_size_force(&self.descriptor, SEND_BUFFER)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&self.descriptor, SEND_BUFFER));
    }

    fn set(&self, option: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
        sys::set_socket_option(self.descriptor.as_fd(), libc::SOL_NETLINK, option, value)
    }

    /// Sends the requests from `first` up to `end` and notes what the kernel says to them.
    fn exchange(&mut self, batch: &mut Batch, first: usize, end: usize, answers: &mut Answers) -> Result<(), Error> {
        if first == end {
            return Ok(());
        }
        let base = self.sequence.wrapping_add(1);
        for request in first..end {
            // The kernel reports every failure unasked; asking for the last acknowledgement alone keeps the answers few.
            let flags = if request + 1 == end { libc::NLM_F_ACK as u16 } else { 0 };
            batch.stamp(request, base.wrapping_add((request - first) as u32), flags);
        }
        self.sequence = base.wrapping_add((end - first - 1) as u32);
        self.transmit(batch, first, end)?;
        loop {
            let datagram = match self.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Ok(()),
                Err(errno) => return Err(Error::new("read the answer of", self.protocol.name(), errno)),
            };
            for message in Messages::new(datagram) {
                let place = message.sequence.wrapping_sub(base) as usize;
                if place < end - first {
                    answers.note(first + place, &message);
                }
            }
        }
    }

    /// Asks for all objects of a kind until nothing changes meanwhile, or often enough; `take` gets the answer piece by
    /// piece. Says whether the last attempt was consistent.
    pub(super) fn gather<T: Default>(
        &mut self,
        batch: &mut Batch,
        what: &'static str,
        take: impl Fn(&mut T, &[u8]),
    ) -> Result<(T, bool), Error> {
        let mut attempt = 1;
        loop {
            let mut gathered = T::default();
            let consistent = self.dump_once(batch, what, |datagram| take(&mut gathered, datagram))?;
            if consistent || attempt == ATTEMPTS {
                return Ok((gathered, consistent));
            }
            attempt += 1;
        }
    }

    /// One attempt at a dump; says whether it is consistent.
    fn dump_once(&mut self, batch: &mut Batch, what: &'static str, mut take: impl FnMut(&[u8])) -> Result<bool, Error> {
        let sequence = self.sequence.wrapping_add(1);
        self.sequence = sequence;
        batch.stamp(0, sequence, libc::NLM_F_DUMP as u16);
        self.transmit(batch, 0, 1)?;
        let mut consistent = true;
        loop {
            let datagram = match self.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Err(Error::answer("read", what, "the kernel's answer ended too early")),
                // A part of the answer found no room. The rest must be read all the same: until then the kernel
                // takes no other request.
                Err(Errno::NOBUFS) => {
                    consistent = false;
                    continue;
                }
                Err(errno) => return Err(Error::new("read", what, errno)),
            };
            // What was left of an earlier attempt is not ours; the end may come together with the last objects.
            if Messages::new(datagram).any(|m| m.sequence != sequence) {
                continue;
            }
            take(datagram);
            for message in Messages::new(datagram) {
                consistent &= message.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                if let libc::NLMSG_DONE | libc::NLMSG_ERROR = i32::from(message.kind) {
                    return outcome(&message).map(|()| consistent).map_err(|refusal| refusal.error("read", what));
                }
            }
        }
    }

    fn transmit(&self, batch: &Batch, first: usize, end: usize) -> Result<(), Error> {
        let failed = |errno| Error::new("send a request to", self.protocol.name(), errno);
        if !batch.sound() {
            return Err(failed(Errno::MSGSIZE));
        }
        retry_on_intr(|| net::send(&self.descriptor, batch.part(first, end), SendFlags::empty())).map_err(failed)?;
        Ok(())
    }

    /// The next datagram of the kernel; none if none waits.
    fn receive(&mut self) -> Result<Option<&[u8]>, Errno> {
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let received = retry_on_intr(|| net::recvfrom(&self.descriptor, self.buffer.as_mut_slice(), flags));
            let (taken, length, sender) = match received {
                Ok(received) => received,
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            let from_kernel =
                sender.and_then(|a| SocketAddrNetlink::try_from(a).ok()).is_some_and(|sender| sender.pid() == 0);
            if !from_kernel {
                continue;
            }
            if length > taken {
                return Err(Errno::MSGSIZE);
            }
            return Ok(Some(&self.buffer[..taken]));
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Protocol {
    /// What errors call it.
    fn name(self) -> &'static str {
        match self {
            Self::Route => "the routing netlink",
            Self::Netfilter => "the netfilter netlink",
            Self::SockDiag => "the socket diagnosis netlink",
            Self::Xfrm => "the IPsec netlink",
        }
    }
}

impl Refusal {
    /// The error that says what was to be done to which object.
    pub fn error(self, operation: impl Into<Cow<'static, str>>, object: impl Into<String>) -> Error {
        Error::Refused { operation: operation.into(), object: object.into(), errno: self.errno, extack: self.text }
    }
}

impl Answers {
    /// The first request that was refused, by its place in the batch.
    pub fn refused(&self) -> Option<(usize, &Refusal)> {
        self.outcomes.iter().enumerate().find_map(|(place, o)| o.as_ref().err().map(|refusal| (place, refusal)))
    }

    /// Everything that was refused.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.outcomes.iter().filter_map(|outcome| outcome.as_ref().err())
    }

    fn note(&mut self, request: usize, message: &Message<'_>) {
        match i32::from(message.kind) {
            libc::NLMSG_ERROR => self.outcomes[request] = outcome(message),
            _ if message.kind >= FIRST_TYPE => self.replies.push(Reply {
                request,
                kind: message.kind,
                flags: message.flags,
                payload: message.payload.to_vec(),
            }),
            _ => {}
        }
    }
}

impl Reply {
    /// The object as a message.
    pub fn message(&self) -> Message<'_> {
        Message { kind: self.kind, flags: self.flags, sequence: 0, payload: &self.payload }
    }
}

impl Dump {
    /// The objects.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        Messages::new(&self.bytes).filter(|m| m.kind >= FIRST_TYPE)
    }
}

impl Events {
    /// The events, in the order they happened.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        Messages::new(&self.bytes).filter(|m| m.kind >= FIRST_TYPE)
    }
}

/// Reads any message as an outcome; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &Message<'_>) {
    let _ = outcome(message);
}

/// Reads an acknowledgement, a refusal or the end of a dump.
fn outcome(message: &Message<'_>) -> Outcome {
    let Some(code) = message.payload.first_chunk::<4>().map(|c| i32::from_ne_bytes(*c)) else { return Ok(()) };
    if code >= 0 {
        return Ok(());
    }
    // Beyond these the kernel has no error numbers.
    let errno = if (-4095..0).contains(&code) { Errno::from_raw_os_error(-code) } else { Errno::PROTO };
    let mut refusal = Refusal { errno, text: None, offset: None };
    for attribute in explanation(message) {
        match attribute.kind {
            EXTACK_TEXT => refusal.text = attribute.text().map(str::to_owned),
            EXTACK_OFFSET => refusal.offset = attribute.u32(),
            EXTACK_MISSING_TYPE if refusal.text.is_none() => {
                refusal.text = attribute.u32().map(|kind| format!("attribute {kind} is missing"));
            }
            _ => {}
        }
    }
    Err(refusal)
}

/// The attributes behind a refusal: after the echoed request, which may have been cut to its header.
fn explanation<'a>(message: &Message<'a>) -> Attributes<'a> {
    if message.flags & libc::NLM_F_ACK_TLVS as u16 == 0 {
        return Attributes::default();
    }
    let start = if i32::from(message.kind) == libc::NLMSG_DONE {
        4
    } else if message.flags & libc::NLM_F_CAPPED as u16 == 0 {
        let echoed = message.payload.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
        (echoed as usize).next_multiple_of(4).saturating_add(4)
    } else {
        4 + MESSAGE_HEADER
    };
    Attributes::new(message.payload.get(start..).unwrap_or_default())
}

/// Appends a datagram so that the next one starts on a boundary of four bytes.
fn append(bytes: &mut Vec<u8>, datagram: &[u8]) {
    bytes.extend_from_slice(datagram);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ip route add default via 10.0.0.1` as the kernel refused it, recorded.
    fn refused_route() -> Vec<u8> {
        let mut payload = (-101i32).to_ne_bytes().to_vec();
        payload.extend_from_slice(&[44, 0, 0, 0, 24, 0, 5, 6, 9, 0, 0, 0, 0, 0, 0, 0]);
        let mut extack = Batch::new();
        extack.begin(0, 0, &[]);
        extack.text(EXTACK_TEXT, "Nexthop has invalid gateway");
        extack.u32(EXTACK_OFFSET, 36);
        payload.extend_from_slice(&extack.part(0, 1)[MESSAGE_HEADER..]);
        payload
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let payload = refused_route();
        let flags = (libc::NLM_F_CAPPED | libc::NLM_F_ACK_TLVS) as u16;
        let message = Message { kind: libc::NLMSG_ERROR as u16, flags, sequence: 1, payload: &payload };
        let refusal = outcome(&message).unwrap_err();
        assert_eq!(refusal.errno, Errno::NETUNREACH);
        assert_eq!(refusal.text.as_deref(), Some("Nexthop has invalid gateway"));
        assert_eq!(refusal.offset, Some(36));
    }

    #[test]
    fn a_code_that_is_no_error_number_is_one_all_the_same() {
        for (code, errno) in [(-1, Errno::PERM), (-4096, Errno::PROTO), (i32::MIN, Errno::PROTO)] {
            let payload = [code.to_ne_bytes(), [0; 4]].concat();
            let message = Message { kind: libc::NLMSG_ERROR as u16, flags: 0, sequence: 1, payload: &payload };
            assert_eq!(outcome(&message).unwrap_err().errno, errno);
        }
    }

    #[test]
    fn a_refusal_cut_anywhere_is_read_without_harm() {
        let payload = refused_route();
        for end in 0..payload.len() {
            for flags in [0, libc::NLM_F_CAPPED, libc::NLM_F_ACK_TLVS, libc::NLM_F_ACK_TLVS | libc::NLM_F_CAPPED] {
                let message = Message {
                    kind: libc::NLMSG_ERROR as u16,
                    flags: flags as u16,
                    sequence: 1,
                    payload: &payload[..end],
                };
                assert_eq!(outcome(&message).is_err(), end >= 4);
            }
        }
    }

    #[test]
    fn loopback_is_in_every_dump() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut batch = Batch::new();
        batch.begin(libc::RTM_GETLINK, 0, &[0; 16]);
        let dump = socket.dump(&mut batch, "links").unwrap();
        let names: Vec<_> =
            dump.messages().filter_map(|m| m.split::<16>()?.1.find(libc::IFLA_IFNAME)?.text()).collect();
        assert!(names.contains(&"lo"), "{names:?}");
    }

    #[test]
    fn each_request_has_its_own_outcome() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut batch = Batch::new();
        for index in [1u32, 0x7fff_0000, 1] {
            let mut header = [0; 16];
            header[4..8].copy_from_slice(&index.to_ne_bytes());
            batch.begin(libc::RTM_GETLINK, 0, &header);
        }
        let answers = socket.send(&mut batch).unwrap();
        let (place, refusal) = answers.refused().unwrap();
        assert_eq!((place, refusal.errno), (1, Errno::NODEV));
        assert!(answers.outcomes[0].is_ok() && answers.outcomes[2].is_ok());
        assert_eq!(answers.replies.iter().map(|r| r.request).collect::<Vec<_>>(), [0, 2]);
    }
}
