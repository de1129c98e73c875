//! The packet that is sent to find out.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nsgate_packet::{Flow, Icmp, Ip, Transport, protocol};

use crate::model::NetnsName;

/// What is sent, from where and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The namespace it starts in.
    pub from: NetnsName,
    /// The address it is for.
    pub destination: IpAddr,
    /// What it is.
    pub kind: ProbeKind,
    /// How many bytes it carries. Those of a connection are sent once it stands; with 0, it is only opened.
    pub size: u32,
    /// The source address asked for; none: the one the namespace would choose.
    pub source: Option<IpAddr>,
    /// It must not be cut into fragments.
    pub dont_fragment: bool,
}

/// What kind of packet a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeKind {
    /// An echo request, as ping sends it.
    Icmp,
    /// The opening of a connection to this port.
    Tcp(u16),
    /// A datagram to this port.
    Udp(u16),
}

impl ProbeKind {
    /// The port it is for, if it has one.
    pub fn port(self) -> Option<u16> {
        match self {
            ProbeKind::Icmp => None,
            ProbeKind::Tcp(port) | ProbeKind::Udp(port) => Some(port),
        }
    }

    /// Whether it opens a connection.
    pub fn is_connection(self) -> bool {
        matches!(self, ProbeKind::Tcp(_))
    }

    /// Whether a packet is of this kind: a probe or its answer, no error about one and no search for a neighbour.
    pub fn is_of(self, ip: &Ip<'_>) -> bool {
        match self {
            ProbeKind::Icmp => matches!(ip.transport(), Transport::Icmp(Icmp::Echo(_))),
            ProbeKind::Tcp(_) => ip.protocol == protocol::TCP,
            ProbeKind::Udp(_) => ip.protocol == protocol::UDP,
        }
    }

    /// How many bytes such a probe carries where nobody says otherwise: as many as a ping; a connection is only opened.
    pub fn usual_size(self) -> u32 {
        if self.is_connection() { 0 } else { 56 }
    }

    /// How long it takes until another one is under way: a connection repeats its opening by itself, after a second.
    pub fn repeats_after(self) -> Duration {
        if self.is_connection() { Duration::from_millis(1200) } else { Duration::from_millis(200) }
    }

    /// `icmp`, `tcp` or `udp`.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Icmp => "icmp",
            ProbeKind::Tcp(_) => "tcp",
            ProbeKind::Udp(_) => "udp",
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeKind::Icmp => f.write_str("icmp"),
            ProbeKind::Tcp(port) => write!(f, "tcp {port}"),
            ProbeKind::Udp(port) => write!(f, "udp {port}"),
        }
    }
}

impl Probe {
    /// How many sequence numbers the probe uses if it is a connection: its opening and its end take one each.
    pub fn span(&self) -> u32 {
        self.size.saturating_add(2)
    }
}

/// What makes one probe known wherever it is seen, whatever is translated on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The first eight bytes that an echo or datagram carries.
    pub cookie: [u8; 8],
    /// The initial sequence number of a connection.
    pub sequence: u32,
    /// How many sequence numbers the connection may use: for its opening, its data and its end.
    pub span: u32,
    /// Where it starts: the address and port (the identifier of an echo) as the sender's socket has them.
    pub source: SocketAddr,
    /// Where it goes, as the sender's socket has it (the port is 0 for an echo).
    pub destination: SocketAddr,
}

impl Identity {
    /// The flow of the request as its sender sends it. The identifier of an echo stands for both ports.
    pub fn flow(&self, kind: ProbeKind) -> Flow {
        let Identity { source, destination, .. } = *self;
        let (protocol, destination_port) = match (kind, destination.is_ipv4()) {
            (ProbeKind::Icmp, true) => (protocol::ICMP, source.port()),
            (ProbeKind::Icmp, false) => (protocol::ICMPV6, source.port()),
            (ProbeKind::Tcp(_), _) => (protocol::TCP, destination.port()),
            (ProbeKind::Udp(_), _) => (protocol::UDP, destination.port()),
        };
        Flow {
            protocol,
            source: source.ip(),
            destination: destination.ip(),
            source_port: source.port(),
            destination_port,
        }
    }
}
