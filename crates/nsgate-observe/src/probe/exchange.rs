//! What goes over a connection once it stands: the probe's data there, whatever the service says to it back.
//!
//! Data is handed over segment by segment, each no larger than what goes out in one piece and only when nothing is left
//! to be sent: so what leaves the socket is what a wire sees, not a large piece that an interface cuts later.

use std::os::fd::{AsFd, OwnedFd};

use nsgate_core::trace::Ending;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::Refusal;
use crate::sys;

/// How far an exchange has come.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    stands: bool,
    /// Bytes handed to the kernel.
    written: usize,
    /// Bytes that came back.
    received: usize,
    /// The other end has said that it will send no more.
    closed: bool,
    /// The other end has broken the connection off.
    broken: bool,
    /// Bytes that the other end acknowledged.
    acknowledged: usize,
}

/// How many bytes are read at once.
const READ_AT_ONCE: usize = 16 * 1024;

/// Readies a socket that is to carry data.
pub(super) fn prepare(socket: &OwnedFd) -> Result<(), Errno> {
    let set = |name, value: i32| sys::set_option(socket.as_fd(), libc::IPPROTO_TCP, name, &value.to_ne_bytes());
    set(libc::TCP_NODELAY, 1)?;
    set(libc::TCP_NOTSENT_LOWAT, 1)?;
    // Data that nobody acknowledges must not be repeated for minutes after we are gone.
    set_socket_linger(socket, Some(std::time::Duration::ZERO))
}

impl Exchange {
    /// Goes as far as it can without waiting. Gives whether all was answered, or what went wrong.
    pub(super) fn go_on(&mut self, socket: &OwnedFd, payload: &[u8]) -> Result<bool, Refusal> {
        if !self.stands {
            self.stands = rustix::net::getpeername(socket).is_ok_and(|peer| peer.is_some());
        }
        if !self.stands || payload.is_empty() {
            return Ok(self.stands);
        }
        self.receive(socket)?;
        self.write(socket, payload)?;
        if !self.broken {
            let unacknowledged = sys::bytes_in_send_queue(socket.as_fd()).unwrap_or(self.written);
            self.acknowledged = self.written.saturating_sub(unacknowledged);
        }
        let arrived = self.acknowledged >= payload.len();
        let answered = arrived && (self.received >= payload.len() || self.closed || self.broken);
        if answered && !self.broken {
            // Now it can be closed politely.
            let _ = set_socket_linger(socket, None);
        }
        Ok(answered)
    }

    /// What to wait for.
    pub(super) fn waits_for(&self, payload: &[u8]) -> PollFlags {
        let mut events = PollFlags::empty();
        events.set(PollFlags::OUT, !self.stands || self.written < payload.len());
        events.set(PollFlags::IN, self.stands && !self.closed);
        events
    }

    /// How it ends if nothing more comes; none where the connection does not stand.
    pub(super) fn unfinished(&self) -> Option<Ending> {
        let bytes = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (acknowledged, received) = (bytes(self.acknowledged), bytes(self.received));
        self.stands.then_some(Ending::Unanswered { acknowledged, received })
    }

    /// Whether the connection stands.
    pub(super) fn stands(&self) -> bool {
        self.stands
    }

    /// Notes that the other end broke the connection off.
    pub(super) fn break_off(&mut self) {
        (self.broken, self.closed) = (true, true);
    }

    fn receive(&mut self, socket: &OwnedFd) -> Result<(), Refusal> {
        let mut bytes = [0; READ_AT_ONCE];
        while !self.closed {
            match recv(socket, &mut bytes[..], RecvFlags::empty()) {
                Ok((_, 0)) => self.closed = true,
                Ok((_, length)) => self.received = self.received.saturating_add(length),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => self.break_off(),
                Err(errno) => return Err(Refusal { operation: "receive", errno }),
            }
        }
        Ok(())
    }

    fn write(&mut self, socket: &OwnedFd, payload: &[u8]) -> Result<(), Refusal> {
        while self.written < payload.len() && !self.broken {
            let piece = payload.len().min(self.written + largest_segment(socket));
            match send(socket, &payload[self.written..piece], SendFlags::NOSIGNAL) {
                Ok(length) => self.written += length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET | Errno::PIPE) => self.break_off(),
                Err(errno) => return Err(Refusal { operation: "send", errno }),
            }
        }
        Ok(())
    }
}

/// How many bytes of data go into one segment at present.
fn largest_segment(socket: &OwnedFd) -> usize {
    /// What every network carries.
    const SURELY: u32 = 536;
    let mut size = [0; 4];
    let told = sys::get_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_MAXSEG, &mut size);
    told.map_or(SURELY, |()| u32::from_ne_bytes(size)).max(1) as usize
}
