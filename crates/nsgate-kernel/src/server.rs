//! A service for labs and tests: sends back whatever it gets, over TCP or UDP, inside a namespace.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use nsgate_core::model::Transport;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::Error;
use crate::netns::Netns;

/// The most connections served at once; others wait until one ends.
const MOST: usize = 64;

/// A running service. It ends when this is dropped, with all its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    // Its end is the sign to stop; of a service that hangs, the socket itself.
    running: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a service in the namespace; it listens when this returns. Port 0 takes any that is free.
    ///
    /// Over UDP, a service of the unspecified address answers from the address that the route back suggests.
    pub fn start(netns: &Netns, transport: Transport, address: SocketAddr) -> Result<Self, Error> {
        let failed = |error: std::io::Error| failed(netns, transport, address, &error);
        let service = netns.run(|| Service::open(transport, address))?.map_err(failed)?;
        let address = service.address().map_err(failed)?;
        let (stop, running) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let thread = std::thread::Builder::new()
            .name(format!("serve {}", address.port()))
            .spawn(move || service.run(&stop))
            .map_err(failed)?;
        Ok(Self { address, running: Some(running), thread: Some(thread) })
    }

    /// Starts a service that hangs: it listens with the shortest queue that the kernel gives, and takes nothing from it.
    pub fn hang(netns: &Netns, transport: Transport, address: SocketAddr) -> Result<Self, Error> {
        let failed = |error: std::io::Error| failed(netns, transport, address, &error);
        let socket = netns.run(|| hang(transport, address).map_err(std::io::Error::from))?.map_err(failed)?;
        let bound = rustix::net::getsockname(&socket).ok().and_then(|bound| SocketAddr::try_from(bound).ok());
        Ok(Self { address: bound.unwrap_or(address), running: Some(socket), thread: None })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the service is no reason for another.
            let _ = thread.join();
        }
    }
}

fn failed(netns: &Netns, transport: Transport, address: SocketAddr, error: &std::io::Error) -> Error {
    let protocol = match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    Error::new("serve", format!("{protocol} {address} in {}", netns.name()), errno)
}

/// A socket with the shortest queue.
fn hang(transport: Transport, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if transport == Transport::Udp {
        // The kernel makes it as large as the least it allows.
        sockopt::set_socket_recv_buffer_size(&socket, 0)?;
    }
    rustix::net::bind(&socket, &address)?;
    if transport == Transport::Tcp {
        rustix::net::listen(&socket, 0)?;
    }
    Ok(socket)
}

/// What a service listens with.
enum Service {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Service {
    fn open(transport: Transport, address: SocketAddr) -> std::io::Result<Self> {
        Ok(match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Self::Tcp(listener)
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                Self::Udp(socket)
            }
        })
    }

    fn address(&self) -> std::io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }

    /// Serves until the other end of `stop` is closed.
    fn run(self, stop: &OwnedFd) {
        match self {
            Self::Tcp(listener) => serve_connections(&listener, stop),
            Self::Udp(socket) => {
                let mut buffer = vec![0; 65536];
                while wait(stop.as_fd(), &[socket.as_fd()]).is_some() {
                    // An answer that cannot be sent is lost, as any datagram may be.
                    if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        let _ = socket.send_to(&buffer[..length], from);
                    }
                }
            }
        }
    }
}

fn serve_connections(listener: &TcpListener, stop: &OwnedFd) {
    let mut connections: Vec<TcpStream> = Vec::new();
    loop {
        let accepting = connections.len() < MOST;
        let mut sockets: Vec<_> = connections.iter().map(TcpStream::as_fd).collect();
        if accepting {
            sockets.push(listener.as_fd());
        }
        let Some(ready) = wait(stop.as_fd(), &sockets) else { return };
        let mut ready = ready.into_iter();
        connections.retain_mut(|connection| !ready.next().unwrap_or_default() || send_back(connection));
        if accepting && let Ok((connection, _)) = listener.accept() {
            // One that cannot be made non-blocking could hold up all others.
            connections.extend(connection.set_nonblocking(true).is_ok().then_some(connection));
        }
    }
}

/// Sends back what has come; gives whether the connection goes on.
///
/// A client that does not read what it gets is cut off: nothing is kept for it.
fn send_back(connection: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match connection.read(&mut buffer) {
        Ok(0) => {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
            false
        }
        Ok(length) => connection.write_all(&buffer[..length]).is_ok(),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// Waits until one of the sockets has something to read, and tells which; none when the service is to stop.
fn wait(stop: BorrowedFd<'_>, sockets: &[BorrowedFd<'_>]) -> Option<Vec<bool>> {
    let mut polled = vec![PollFd::from_borrowed_fd(stop, PollFlags::empty())];
    polled.extend(sockets.iter().map(|socket| PollFd::from_borrowed_fd(*socket, PollFlags::IN)));
    match poll(&mut polled, None) {
        Ok(_) if polled[0].revents().is_empty() => {
            Some(polled[1..].iter().map(|socket| !socket.revents().is_empty()).collect())
        }
        Err(Errno::INTR) => Some(vec![false; sockets.len()]),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::test;

    /// Starts a service on loopback and asks it from many clients in turn.
    fn check(transport: Transport, address: &str) {
        let netns = Netns::host().unwrap();
        let server = Server::start(&netns, transport, address.parse().unwrap()).unwrap();
        for number in 0..100_u32 {
            let question = number.to_be_bytes();
            let mut answer = [0; 4];
            match transport {
                Transport::Tcp => {
                    let mut client = TcpStream::connect(server.address()).unwrap();
                    client.write_all(&question).unwrap();
                    client.read_exact(&mut answer).unwrap();
                }
                Transport::Udp => {
                    let client = UdpSocket::bind((server.address().ip(), 0)).unwrap();
                    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                    client.send_to(&question, server.address()).unwrap();
                    client.recv_from(&mut answer).unwrap();
                }
            }
            assert_eq!(answer, question);
        }
        let address = server.address();
        drop(server);
        Server::start(&netns, transport, address).expect("the port is free again");
    }

    #[test]
    fn both_protocols_and_families_are_served() {
        test(|| {
            for transport in [Transport::Tcp, Transport::Udp] {
                check(transport, "127.0.0.1:0");
                check(transport, "[::1]:0");
            }
        });
    }

    #[test]
    fn a_service_is_in_its_namespace_alone() {
        test(|| {
            let blue = crate::netns::create(&"blue".parse().unwrap()).unwrap();
            let server = Server::start(&blue, Transport::Tcp, "[::]:80".parse().unwrap()).unwrap();
            assert_eq!(TcpStream::connect("127.0.0.1:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let taken = Server::start(&blue, Transport::Tcp, "[::]:80".parse().unwrap()).unwrap_err().to_string();
            assert_eq!(taken, "cannot serve tcp [::]:80 in blue: Address already in use");
            drop(server);
        });
    }

    #[test]
    fn silent_and_greedy_clients_do_not_stop_the_service() {
        test(|| {
            let netns = Netns::host().unwrap();
            let server = Server::start(&netns, Transport::Tcp, "127.0.0.1:0".parse().unwrap()).unwrap();
            let silent: Vec<_> = (0..MOST / 2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
            let mut greedy = TcpStream::connect(server.address()).unwrap();
            // Never reads what comes back, and so is cut off sooner or later.
            while greedy.write_all(&[0; 4096]).is_ok() {}
            let mut client = TcpStream::connect(server.address()).unwrap();
            client.write_all(b"still there?").unwrap();
            let mut answer = [0; 12];
            client.read_exact(&mut answer).unwrap();
            drop((silent, server));
        });
    }
}
