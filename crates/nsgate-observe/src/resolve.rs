//! Turning a name into an address as programs in a namespace would: by the files that they see, asking the servers that
//! these name from inside the namespace.
//!
//! No resolver of the system is called. Every question waits no longer than the caller allows, and no more questions
//! are asked than the files say.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use nsgate_core::model::{Family, LinkName, NetnsName};
use nsgate_core::resolve::{Configuration, Failure, Resolution, Server, Unresolved, in_hosts};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::{Netns, files};
use nsgate_kernel::{Error, rtnetlink};
use nsgate_packet::dns::{Answer, NameError, Question, ResponseCode};
use rustix::io::Errno;

use crate::random;

/// The port of name servers.
pub const PORT: u16 = 53;

/// Resolves a name in a namespace: in that family, or else in the first that it has an address of. `wait` is the longest
/// to wait for one answer.
///
/// The name must be one that a host can have: [`check`] says whether it is.
pub fn resolve(from: &NetnsName, name: &str, family: Option<Family>, wait: Duration) -> Result<Resolution, Error> {
    let hosts = files::read(from, "hosts")?;
    if let Some(address) = in_hosts(hosts.text.as_deref().unwrap_or_default(), name, family) {
        return Ok(Resolution::Address(address));
    }
    let file = files::read(from, "resolv.conf")?;
    let configuration = Configuration::parse(file.path, file.text.as_deref());
    let wait = wait.min(Duration::from_secs(configuration.timeout.into()));
    let families: &[Family] = match family {
        Some(Family::V4) => &[Family::V4],
        Some(Family::V6) => &[Family::V6],
        None => &Family::BOTH,
    };
    Netns::open(from)?.run(|| Inquiry { configuration: &configuration, wait }.resolve(name, families))?
}

/// Whether a host can have that name.
pub fn check(name: &str) -> Result<(), NameError> {
    Question::new(0, name, Family::V4).map(|_| ())
}

/// Whom to ask, and how long.
struct Inquiry<'a> {
    configuration: &'a Configuration,
    wait: Duration,
}

/// What the servers said to one question.
enum Said {
    Answer(Server, Answer),
    Nothing(Vec<(Server, Failure)>),
}

impl Inquiry<'_> {
    /// Asks for every name that the one given may mean; in the namespace of the calling thread.
    fn resolve(&self, name: &str, families: &[Family]) -> Result<Resolution, Error> {
        let mut absent = None;
        for candidate in self.configuration.candidates(name) {
            for family in families {
                // A suffix can make a name too long; nobody has that one.
                let Ok(question) = Question::new(id()?, &candidate, *family) else { continue };
                match self.ask_all(&question)? {
                    Said::Answer(server, answer) => match answer.addresses.first() {
                        Some(address) => return Ok(Resolution::Address(*address)),
                        None => absent = absent.or(Some(Resolution::Absent { server, code: answer.code })),
                    },
                    Said::Nothing(asked) => {
                        let (name, file) = (name.to_owned(), self.configuration.file.clone());
                        return Ok(Resolution::Unreachable(Unresolved { name, file, asked }));
                    }
                }
            }
        }
        let server = || self.configuration.servers.first().cloned();
        let nobody = || Server { address: Ipv4Addr::LOCALHOST.into(), zone: None };
        let unasked = || Resolution::Absent { server: server().unwrap_or_else(nobody), code: ResponseCode::NoSuchName };
        Ok(absent.unwrap_or_else(unasked))
    }

    /// Asks all servers in turn, as often as configured, until one answers.
    fn ask_all(&self, question: &Question) -> Result<Said, Error> {
        let mut failures: Vec<(Server, Failure)> = Vec::new();
        for attempt in 0..self.configuration.attempts {
            for server in &self.configuration.servers {
                match self.ask(server, question)? {
                    Ok(answer) if matches!(answer.code, ResponseCode::Done | ResponseCode::NoSuchName) => {
                        return Ok(Said::Answer(server.clone(), answer));
                    }
                    Ok(answer) if attempt == 0 => failures.push((server.clone(), Failure::Answered(answer.code))),
                    Err(failure) if attempt == 0 => failures.push((server.clone(), failure)),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(Said::Nothing(failures))
    }

    /// Asks one server once.
    fn ask(&self, server: &Server, question: &Question) -> Result<Result<Answer, Failure>, Error> {
        let Some(address) = socket_address(server)? else {
            return Ok(Err(Failure::Refused("there is no such interface".into())));
        };
        Ok(self.exchange(address, question).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Silent(self.wait.as_millis() as u64),
            _ => Failure::Refused(words(&error)),
        }))
    }

    fn exchange(&self, server: SocketAddr, question: &Question) -> std::io::Result<Answer> {
        let unspecified: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((unspecified, 0))?;
        socket.connect(server)?;
        socket.send(&question.to_bytes())?;
        let deadline = Instant::now() + self.wait;
        let mut bytes = [0; nsgate_packet::dns::LONGEST];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut bytes) {
                // What answers another question is passed over: it may be forged.
                Ok(length) => {
                    if let Some(answer) = question.answer(&bytes[..length]) {
                        return Ok(answer);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where a server is asked; none where its interface is not there.
fn socket_address(server: &Server) -> Result<Option<SocketAddr>, Error> {
    let (IpAddr::V6(address), Some(zone)) = (server.address, &server.zone) else {
        return Ok(Some(SocketAddr::new(server.address, PORT)));
    };
    let Ok(link) = zone.parse::<LinkName>() else { return Ok(None) };
    let index = rtnetlink::index_of(&mut Socket::open(Protocol::Route)?, &link);
    Ok(index.ok().map(|index| SocketAddrV6::new(address, PORT, 0, index.0).into()))
}

fn id() -> Result<u16, Error> {
    random::bytes().map(u16::from_ne_bytes)
}

/// The meaning of an error, without its number.
fn words(error: &std::io::Error) -> String {
    let meaning = Errno::from_io_error(error).map(|errno| std::io::Error::from(errno).to_string());
    let text = meaning.unwrap_or_else(|| error.to_string());
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
