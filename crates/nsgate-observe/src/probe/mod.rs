//! The packet that is sent to find out, from a socket as an application would use it.
//!
//! A probe is made ready first: its socket is opened and its ports are chosen, so that it is known by what taps can
//! recognise it before it leaves. Nothing is sent until it is told to go. What came of it is asked for without waiting.
//!
//! Echoes and datagrams carry a cookie; a connection is opened with an initial sequence number of our choice, which the
//! kernel takes on a socket under repair. All of these survive address translation. What a connection carries once it
//! stands is known by the numbers that follow.

mod error_queue;
mod exchange;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nsgate_core::trace::{Ending, Identity, Probe, ProbeKind};
use nsgate_packet::{Echo, Family, Icmp, Ip, Transport, build};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, connect, recv, send};

use self::error_queue::Reported;
use self::exchange::Exchange;

/// A probe that is ready to go, or under way.
#[derive(Debug)]
pub struct Sender {
    kind: ProbeKind,
    identity: Identity,
    socket: OwnedFd,
    payload: Vec<u8>,
    /// What goes over a connection.
    exchange: Exchange,
    /// How many were sent.
    sent: u16,
    /// How many of them only repeat one that was not answered.
    repeated: u16,
    /// Which one was answered last.
    last_answered: u16,
    /// How many of them were answered.
    answered: u16,
    /// What went wrong.
    failure: Option<Ending>,
}

/// The kernel refused something that a probe needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {}", words(*errno))]
pub struct Refusal {
    /// The call that failed.
    pub operation: &'static str,
    /// The error number.
    pub errno: Errno,
}

/// The longest payload that a packet can carry; longer ones are cut to it, and the kernel refuses what is too long still.
const LONGEST: usize = 65_507;
/// Bytes of an answer that are looked at.
const LOOKED_AT: usize = 2048;

impl Sender {
    /// Makes a probe ready in the network namespace of the calling thread.
    ///
    /// The cookie and the sequence number (which may not be 0) are those it will be known by, so no two probes should
    /// have the same. The payload of an echo or datagram is never shorter than the cookie.
    pub fn open(probe: &Probe, cookie: [u8; 8], sequence: u32) -> Result<Self, Refusal> {
        let destination = SocketAddr::new(probe.destination, probe.kind.port().unwrap_or(0));
        let socket = socket::open(probe, sequence)?;
        let mut source = socket::local_address(&socket)?;
        if source.ip().is_unspecified()
            && let Some(address) = socket::source_for(probe.destination)
        {
            source.set_ip(address);
        }
        if probe.kind == ProbeKind::Icmp {
            source.set_port(echo_id(cookie));
        }
        Ok(Self {
            kind: probe.kind,
            identity: Identity { cookie, sequence, span: probe.span(), source, destination },
            socket,
            payload: payload(probe, cookie),
            exchange: Exchange::default(),
            sent: 0,
            repeated: 0,
            last_answered: 0,
            answered: 0,
            failure: None,
        })
    }

    /// By what it will be known. The source is certain once it was sent.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How many probes were answered so far, of those that [`Sender::ending`] has looked for.
    pub fn answered(&self) -> u16 {
        self.answered
    }

    /// Whether it can be sent once more; a connection repeats itself.
    pub fn can_repeat(&self) -> bool {
        !self.kind.is_connection() && self.sent > 0 && self.failure.is_none() && self.answered < self.wanted()
    }

    /// Sends once more what was not answered: one answer is enough for all. Does nothing where that cannot be.
    pub fn repeat(&mut self) {
        if !self.can_repeat() {
            return;
        }
        self.repeated = self.repeated.saturating_add(1);
        if let Err(refusal) = self.send() {
            self.failure = Some(refusal.into());
        }
    }

    /// Which attempt was answered, or how many were made in vain; the first one is 1.
    pub fn attempts(&self) -> u16 {
        match self.kind {
            ProbeKind::Tcp(_) if self.payload.is_empty() => 1 + socket::retransmissions(&self.socket),
            ProbeKind::Tcp(_) => 1,
            ProbeKind::Icmp | ProbeKind::Udp(_) if self.answered > 0 => self.last_answered.max(1),
            ProbeKind::Icmp | ProbeKind::Udp(_) => self.sent.max(1),
        }
    }

    /// Sends the probe, or one more like it; but a connection is opened once, and repeats itself.
    pub fn send(&mut self) -> Result<(), Refusal> {
        if self.sent == 0 {
            self.connect()?;
        } else {
            // Otherwise the socket would report the error of an earlier one here.
            self.ending();
        }
        let message = match self.kind {
            ProbeKind::Tcp(_) => {
                self.sent = 1;
                return Ok(());
            }
            ProbeKind::Udp(_) => self.payload.clone(),
            ProbeKind::Icmp => self.echo_request(),
        };
        self.sent = self.sent.saturating_add(1);
        match send(&self.socket, &message, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Refusal { operation: "send", errno }),
        }
    }

    /// How it ended, if it has: all probes are answered, or one has failed. Does not wait; when there may be news, the
    /// socket polls as [`Sender::waits_for`] says, or as in error.
    pub fn ending(&mut self) -> Option<Ending> {
        if self.sent > 0 && self.failure.is_none() && self.answered < self.wanted() {
            self.failure = self.reported();
            if self.failure.is_none() {
                match self.kind {
                    ProbeKind::Tcp(_) => self.look_for_connection(),
                    ProbeKind::Udp(_) | ProbeKind::Icmp => self.look_for_answers(),
                }
            }
        }
        let all_answered = self.sent > 0 && self.answered >= self.wanted();
        self.failure.clone().or(all_answered.then_some(Ending::Answered))
    }

    /// What the socket is to be polled for.
    pub fn waits_for(&self) -> PollFlags {
        if self.kind.is_connection() { self.exchange.waits_for(&self.payload) } else { PollFlags::IN }
    }

    /// How it ends if nothing more comes.
    pub fn unfinished(&self) -> Ending {
        match self.exchange.unfinished() {
            Some(ending) => ending,
            None if self.answered > 0 => Ending::Answered,
            None => Ending::Silence,
        }
    }

    /// How many answers there must be.
    fn wanted(&self) -> u16 {
        self.sent.saturating_sub(self.repeated)
    }

    fn connect(&mut self) -> Result<(), Refusal> {
        match connect(&self.socket, &self.identity.destination) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(Refusal { operation: "connect", errno }),
        }
        if let Ok(chosen) = socket::local_address(&self.socket) {
            self.identity.source.set_ip(chosen.ip());
        }
        Ok(())
    }

    fn echo_request(&self) -> Vec<u8> {
        let id = self.identity.source.port();
        let echo = Icmp::Echo(Echo { reply: false, id, sequence: self.sent.wrapping_add(1), payload: &self.payload });
        build::icmp(Family::of(self.identity.destination.ip()), &echo).unwrap_or_default()
    }

    /// What the error queue says; it comes before what the socket itself says, for it knows who and why.
    fn reported(&self) -> Option<Ending> {
        Some(match error_queue::next(self.socket.as_fd())? {
            Reported::Icmp { from, icmp_type, code, mtu } => Ending::IcmpError { from, icmp_type, code, mtu },
            Reported::Local(errno) => Refusal { operation: "send", errno }.into(),
        })
    }

    /// Whether the connection stands and its data was answered, or was refused.
    fn look_for_connection(&mut self) {
        match rustix::net::sockopt::socket_error(&self.socket) {
            Ok(Err(Errno::CONNRESET)) if self.exchange.stands() => self.exchange.break_off(),
            Ok(Err(Errno::CONNREFUSED | Errno::CONNRESET)) => self.failure = Some(Ending::Reset),
            Ok(Err(errno)) | Err(errno) => self.failure = Some(Refusal { operation: "connect", errno }.into()),
            Ok(Ok(())) => {}
        }
        if self.failure.is_some() {
            return;
        }
        match self.exchange.go_on(&self.socket, &self.payload) {
            Ok(answered) => self.answered = answered.into(),
            Err(refusal) => self.failure = Some(refusal.into()),
        }
    }

    /// Counts the answers that have come.
    fn look_for_answers(&mut self) {
        let mut bytes = [0; LOOKED_AT];
        while self.failure.is_none() {
            match recv(&self.socket, &mut bytes[..], RecvFlags::TRUNC) {
                Ok((kept, _)) => {
                    if let Some(attempt) = self.answered_by(&bytes[..kept.min(LOOKED_AT)]) {
                        self.answered = self.answered.saturating_add(1);
                        self.last_answered = attempt;
                    }
                    if self.answered >= self.wanted() {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // An error without an entry in the queue: it came while the queue was full.
                Err(errno) => self.failure = Some(Refusal { operation: "receive", errno }.into()),
            }
        }
    }

    /// Which attempt these bytes answer; the answer to a datagram does not tell, so it is taken to be the last one.
    fn answered_by(&self, bytes: &[u8]) -> Option<u16> {
        let message = match (self.kind, self.identity.destination.ip()) {
            (ProbeKind::Icmp, IpAddr::V4(_)) => match Ip::parse(bytes).map(|ip| ip.transport()) {
                Some(Transport::Icmp(icmp)) => Some(icmp),
                _ => None,
            },
            (ProbeKind::Icmp, IpAddr::V6(_)) => Icmp::parse(Family::V6, bytes),
            // Only what the other end sends gets to a connected socket.
            _ => return Some(self.sent),
        };
        match message {
            Some(Icmp::Echo(echo)) if echo.reply && echo.payload.starts_with(&self.identity.cookie) => {
                Some(echo.sequence)
            }
            _ => None,
        }
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Refusal> for Ending {
    fn from(Refusal { operation, errno }: Refusal) -> Self {
        Ending::Refused { operation, errno: errno.raw_os_error(), words: words(errno) }
    }
}

/// The identifier of the echoes with this cookie. Never 0, which some translators take for none.
fn echo_id(cookie: [u8; 8]) -> u16 {
    let [.., high, low] = cookie;
    u16::from_be_bytes([high, low]).max(1)
}

/// The cookie, and letters behind it up to the size; a connection may carry nothing at all.
fn payload(probe: &Probe, cookie: [u8; 8]) -> Vec<u8> {
    let letters = (b'a'..=b'z').cycle();
    let shortest = if probe.kind.is_connection() { 0 } else { cookie.len() };
    let length = (probe.size as usize).clamp(shortest, LONGEST);
    cookie.into_iter().chain(letters).take(length).collect()
}

/// The meaning of an error number, without the number.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
