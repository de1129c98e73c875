//! Traffic through the gateway that has nothing to do with any probe: small datagrams, one after the other, or one
//! connection that is always full.
//!
//! What counts is what leaves the gateway on its way to the receiver, as the kernel counts it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where the receiver takes datagrams and connections, and where it takes datagrams and never says a word.
pub(super) const DATAGRAMS: &str = "4000";
pub(super) const STREAM: &str = "4001";
pub(super) const SILENT: &str = "4002";

/// Sends until it is killed.
pub(super) fn send(what: &str, to: &str) -> Result<bool> {
    match what {
        "datagrams" => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(format!("{to}:{DATAGRAMS}"))?;
            loop {
                // The smallest that fill an Ethernet frame. One that is refused is made up for by the next.
                let _ = socket.send(&[0; 18]);
            }
        }
        "stream" => {
            let mut stream = TcpStream::connect(format!("{to}:{STREAM}"))?;
            let bytes = vec![0; 256 << 10];
            loop {
                stream.write_all(&bytes)?;
            }
        }
        _ => bail!("no traffic of that kind"),
    }
}

/// Takes everything until it is killed.
pub(super) fn receive(at: &str) -> Result<bool> {
    let bind = |port: &str| UdpSocket::bind(format!("{at}:{port}"));
    let (datagrams, _silent) = (bind(DATAGRAMS)?, bind(SILENT)?);
    let listener = TcpListener::bind(format!("{at}:{STREAM}"))?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = vec![0; 256 << 10];
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        }
    });
    let mut bytes = [0; 64];
    loop {
        datagrams.recv(&mut bytes)?;
    }
}

/// What an interface sent.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) bytes: f64,
    pub(super) packets: f64,
}

impl Sent {
    /// What it sends in a second, measured for so long.
    pub(super) fn rate(interface: &str, window: Duration) -> Result<Self> {
        let (before, start) = (Self::so_far(interface)?, Instant::now());
        thread::sleep(window);
        let (after, seconds) = (Self::so_far(interface)?, start.elapsed().as_secs_f64());
        Ok(Self { bytes: (after.bytes - before.bytes) / seconds, packets: (after.packets - before.packets) / seconds })
    }

    fn so_far(interface: &str) -> Result<Self> {
        Self::read(&fs::read_to_string("/proc/thread-self/net/dev")?, interface)
            .with_context(|| format!("no counters of {interface}"))
    }

    /// Reads the kernel's table of interfaces: eight numbers of what came in, then bytes and packets that went out.
    fn read(table: &str, interface: &str) -> Option<Self> {
        let line = table.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'))?;
        let mut sent = line.split_whitespace().skip(8).map(|number| number.parse().ok());
        Some(Self { bytes: sent.next()??, packets: sent.next()?? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "Inter-|   Receive | Transmit\n face |bytes\n    v2:  1 2 3 4 5 6 7 8 900 10 0 0\n   v22: 1 2 3 4 5 6 7 8 9 9\n";
        let sent = Sent::read(table, "v2").unwrap();
        assert!((sent.bytes - 900.0).abs() < 0.1 && (sent.packets - 10.0).abs() < 0.1);
        assert!(Sent::read(table, "v3").is_none());
    }
}
