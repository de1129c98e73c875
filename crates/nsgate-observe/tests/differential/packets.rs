//! Packets made up by chance, each with a number in its header by which it is known again.

use std::net::IpAddr;

use nsgate_core::filter::Connection;
use nsgate_packet::{Echo, Icmp, Tcp, TcpFlags, Transport, Udp, build};

use super::dice::Dice;

/// The way that a packet takes through the namespace that filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It comes in at `a`, and leaves by `c` or ends here.
    In,
    /// It is made here.
    Made,
    /// It comes in at `c`: the answer to one that left there.
    Back,
}

/// One packet.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    /// Its number.
    pub(crate) tag: u16,
    /// Its way.
    pub(crate) way: Way,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// What connection tracking will make of it.
    pub(crate) connection: Connection,
}

const SOURCES: [[&str; 4]; 2] =
    [["10.1.0.5", "10.1.0.6", "10.1.7.8", "10.1.200.1"], ["fd00:1::5", "fd00:1::6", "fd00:1::7:8", "fd00:1::c8:1"]];
const DESTINATIONS: [[&str; 5]; 2] = [
    ["198.51.100.1", "198.51.100.2", "198.51.100.3", "10.1.0.1", "10.2.0.1"],
    ["2001:db8:100::1", "2001:db8:100::2", "2001:db8:100::3", "fd00:1::1", "fd00:2::1"],
];
/// The addresses of the namespace at `c`, from which it sends.
const OWN: [&str; 2] = ["10.2.0.1", "fd00:2::1"];
const PORTS: [u16; 6] = [53, 80, 443, 8080, 22, 1500];
/// A protocol that nobody speaks.
const UNKNOWN: u8 = 200;

/// A packet of this number; no other has its port.
pub(crate) fn shot(dice: &mut Dice, tag: u16, own_port: u16) -> Shot {
    let six = dice.below(2);
    let way = if dice.chance(25) { Way::Made } else { Way::In };
    let (source, destination) = match way {
        // Only what goes to these addresses is traced.
        Way::Made => (OWN[six], dice.pick(&DESTINATIONS[six][..3])),
        _ => (dice.pick(&SOURCES[six]), dice.pick(&DESTINATIONS[six])),
    };
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let outer = build::Outer {
        ttl: dice.pick(&[64, 64, 64, 63, 7]),
        tos: dice.pick(&[0, 0, 0, 0x20]),
        id: tag,
        dont_fragment: dice.chance(50),
        ..build::Outer::new(address(source), address(destination))
    };
    let payload = vec![0x61; dice.pick(&[0, 12, 40])];
    let (segment, connection) = match dice.below(10) {
        0..=4 => tcp(dice, own_port, &payload),
        5..=6 => {
            let udp = Udp { source_port: own_port, destination_port: dice.pick(&PORTS), payload: &payload };
            (Transport::Udp(udp), Connection::new_flow())
        }
        _ => {
            let reply = dice.chance(20);
            let echo = Echo { reply, id: own_port, sequence: 1, payload: &payload };
            (Transport::Icmp(Icmp::Echo(echo)), if reply { Connection::invalid() } else { Connection::new_flow() })
        }
    };
    let mut bytes = build::ip(&outer, &segment).expect("a packet");
    let mut connection = connection;
    if way == Way::In && dice.chance(6) {
        // Ports mean nothing any more, so each such packet needs a source of its own.
        connection = Connection::new_flow();
        strange(&mut bytes, own_port);
    } else if dice.chance(15) {
        lengthen(&mut bytes);
    }
    if six == 1 {
        bytes[2..4].copy_from_slice(&tag.to_be_bytes());
    }
    Shot { tag, way, bytes, connection }
}

fn tcp<'a>(dice: &mut Dice, source_port: u16, payload: &'a [u8]) -> (Transport<'a>, Connection) {
    const NEW: [TcpFlags; 2] = [TcpFlags::SYN, TcpFlags::ACK];
    let invalid = [TcpFlags::RST, TcpFlags::SYN | TcpFlags::FIN, TcpFlags::SYN | TcpFlags::ACK];
    let (flags, connection) = if dice.chance(75) {
        (dice.pick(&NEW), Connection::new_flow())
    } else {
        (dice.pick(&invalid), Connection::invalid())
    };
    let tcp = Tcp {
        source_port,
        destination_port: dice.pick(&PORTS),
        sequence: dice.pick(&[1, 5_000_000]),
        acknowledgement: 0,
        flags,
        window: dice.pick(&[100, 60_000]),
        options: &[],
        payload,
    };
    (Transport::Tcp(tcp), connection)
}

/// Turns a packet into one of a protocol that nobody speaks.
fn strange(bytes: &mut [u8], number: u16) {
    let (protocol, source) = if bytes[0] >> 4 == 4 { (9, 14) } else { (6, 22) };
    bytes[protocol] = UNKNOWN;
    if bytes[source - 2..source] == [10, 1] || bytes[0] >> 4 == 6 && bytes[8..12] == [0xfd, 0, 0, 1] {
        bytes[source..source + 2].copy_from_slice(&number.to_be_bytes());
    }
}

/// Puts options between the IP header and the segment.
fn lengthen(bytes: &mut Vec<u8>) {
    let added: &[u8] = if bytes[0] >> 4 == 4 { &[1, 1, 1, 0] } else { &[bytes[6], 0, 1, 4, 0, 0, 0, 0] };
    let (at, length) = if bytes[0] >> 4 == 4 { (20, 2) } else { (40, 4) };
    if at == 20 {
        bytes[0] += 1;
    } else {
        bytes[6] = 60;
    }
    let added = added.to_vec();
    let longer = u16::from_be_bytes([bytes[length], bytes[length + 1]]) + added.len() as u16;
    bytes[length..length + 2].copy_from_slice(&longer.to_be_bytes());
    bytes.splice(at..at, added);
}

/// The answer to a packet that went through: with this number, and the ends changed over.
pub(crate) fn answer(shot: &Shot, tag: u16) -> Option<Shot> {
    use nsgate_packet::Ip;
    let ip = Ip::parse(&shot.bytes)?;
    let address = |ip: IpAddr| ip;
    let outer = build::Outer { id: tag, ..build::Outer::new(address(ip.destination), address(ip.source)) };
    let segment = match ip.transport() {
        Transport::Udp(udp) => Transport::Udp(Udp {
            source_port: udp.destination_port,
            destination_port: udp.source_port,
            payload: udp.payload,
        }),
        Transport::Tcp(tcp) if tcp.flags == TcpFlags::SYN => Transport::Tcp(Tcp {
            source_port: tcp.destination_port,
            destination_port: tcp.source_port,
            sequence: 9,
            acknowledgement: tcp.sequence + 1 + tcp.payload.len() as u32,
            flags: TcpFlags::SYN | TcpFlags::ACK,
            ..tcp
        }),
        Transport::Icmp(Icmp::Echo(echo)) if !echo.reply => Transport::Icmp(Icmp::Echo(Echo { reply: true, ..echo })),
        _ => return None,
    };
    let mut bytes = build::ip(&outer, &segment).ok()?;
    if bytes[0] >> 4 == 6 {
        bytes[2..4].copy_from_slice(&tag.to_be_bytes());
    }
    let connection = Connection { reply: Some(true), ..Connection::established() };
    Some(Shot { tag, way: Way::Back, bytes, connection })
}

/// The number in the header of a packet that the kernel tells of.
pub(crate) fn tag(bytes: &[u8]) -> Option<u16> {
    let at = match bytes.first()? >> 4 {
        4 => 4,
        6 => 2,
        _ => return None,
    };
    bytes.get(at..)?.first_chunk().map(|number| u16::from_be_bytes(*number))
}

impl Shot {
    /// Whether it goes through to `c`, from where it can be answered.
    pub(crate) fn leaves_by_c(&self) -> bool {
        let to = nsgate_packet::Ip::parse(&self.bytes).map(|ip| ip.destination.to_string()).unwrap_or_default();
        self.way == Way::In && (to.starts_with("198.51.") || to.starts_with("2001:"))
    }
}
