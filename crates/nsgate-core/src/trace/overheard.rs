//! A packet of somebody else, followed as if it were a probe: what it is known by, where it comes from, and how it ended
//! as far as can be seen from outside of its sender.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nsgate_packet::{Icmp, Ip, TcpFlags, Transport};

use super::{Ending, Identity, Journey, Leg, Pattern, Probe, ProbeKind, Sight, Sighting, Way, follow};
use crate::model::NetnsName;

/// A packet that was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard {
    /// The probe that it would be.
    pub probe: Probe,
    /// How it is known again.
    pub identity: Identity,
    /// Whether it came from where nobody looks: it was seen coming in before it was seen anywhere else.
    pub from_outside: bool,
}

/// How many sequence numbers of a connection belong to it: enough to see that it went on.
const SPAN: u32 = 1 << 16;

impl Overheard {
    /// The first of these sightings in a namespace that is meant, followed back to where it was seen first.
    pub fn find(pattern: &Pattern, at: &NetnsName, sightings: &[Sighting]) -> Option<Self> {
        let here = sightings.iter().filter(|sighting| sighting.netns == *at);
        let met = here
            .filter(|sighting| sighting.packet().as_ip().is_some_and(|ip| pattern.matches(&ip)))
            .min_by_key(|sighting| sighting.time)?;
        let (kind, identity, _) = known_by(pattern, &met.packet().as_ip()?)?;
        let journey = follow(&identity, kind, &BTreeSet::from([identity.flow(kind)]), sightings);
        let first = journey.of(Leg::Request).next()?;
        // On its way to where it was waited for, it may have been translated.
        let (kind, identity, size) = known_by(pattern, &Ip::parse(&first.bytes)?)?;
        let probe = Probe {
            from: first.netns.clone(),
            destination: identity.destination.ip(),
            kind,
            size,
            source: Some(identity.source.ip()),
            dont_fragment: false,
        };
        Some(Self { probe, identity, from_outside: first.way == Way::In })
    }
}

/// What a packet is known by, and how many bytes it carries; none if it cannot be followed.
fn known_by(pattern: &Pattern, ip: &Ip<'_>) -> Option<(ProbeKind, Identity, u32)> {
    let kind = pattern.protocol().begins(ip)?;
    let (payload, sequence): (&[u8], u32) = match ip.transport() {
        Transport::Icmp(Icmp::Echo(echo)) => (echo.payload, 0),
        Transport::Udp(udp) => (udp.payload, 0),
        Transport::Tcp(tcp) => (&[], tcp.sequence),
        _ => return None,
    };
    let mut cookie = [0; 8];
    let carried = payload.len().min(cookie.len());
    cookie[..carried].copy_from_slice(&payload[..carried]);
    let flow = ip.flow();
    let destination_port = kind.port().unwrap_or(0);
    let identity = Identity {
        cookie,
        sequence,
        span: if kind.is_connection() { SPAN } else { 0 },
        source: SocketAddr::new(flow.source, flow.source_port),
        destination: SocketAddr::new(flow.destination, destination_port),
    };
    Some((kind, identity, (payload.len() + ip.missing()) as u32 * u32::from(!kind.is_connection())))
}

/// How a packet of somebody else ended, and when; none while that cannot be told.
///
/// It is answered when the answer has come to where the request was seen first. Whether a sender has really taken the
/// answer to its opening shows only in what it sends next: more of the connection, or the same once more.
pub fn ending_seen(journey: &Journey, kind: ProbeKind) -> Option<(Ending, u64)> {
    let first = journey.of(Leg::Request).next()?;
    let came_home = |sight: &&Sight| {
        (&sight.netns, sight.link) == (&first.netns, first.link)
            && sight.way != first.way
            && matches!(sight.leg, Leg::Answer | Leg::Error)
    };
    let home = journey.sights.iter().filter(|sight| sight.tunnel.is_none()).find(came_home)?;
    match home.leg {
        Leg::Answer if home.header.reset => Some((Ending::Reset, home.time)),
        Leg::Answer if kind.is_connection() => {
            let goes_on = journey.of(Leg::Request).any(|sight| sight.time > home.time && !opens(sight));
            goes_on.then_some((Ending::Answered, home.time))
        }
        Leg::Answer => Some((Ending::Answered, home.time)),
        Leg::Error => refusal(home).map(|ending| (ending, home.time)),
        _ => None,
    }
}

/// The time at which an answer came to where the request was seen first, if nothing shows that it was not taken.
pub fn answer_home(journey: &Journey) -> Option<u64> {
    let first = journey.of(Leg::Request).next()?;
    let home = journey.of(Leg::Answer).find(|sight| {
        (&sight.netns, sight.link) == (&first.netns, first.link) && sight.way != first.way && !sight.header.reset
    })?;
    repeated(journey).is_none_or(|again| again < home.time).then_some(home.time)
}

/// When the sender sent the same once more, if it was seen to.
pub fn repeated(journey: &Journey) -> Option<u64> {
    let first = journey.of(Leg::Request).next()?;
    let place = |sight: &&Sight| (&sight.netns, sight.link, sight.way) == (&first.netns, first.link, first.way);
    journey
        .of(Leg::Request)
        .filter(place)
        .filter(|sight| !is_segment(sight) || opens(sight))
        .nth(1)
        .map(|again| again.time)
}

fn is_segment(sight: &Sight) -> bool {
    Ip::parse(&sight.bytes).is_some_and(|ip| matches!(ip.transport(), Transport::Tcp(_)))
}

/// Whether it is the segment that opens a connection.
fn opens(sight: &Sight) -> bool {
    let ip = Ip::parse(&sight.bytes);
    ip.is_some_and(|ip| matches!(ip.transport(), Transport::Tcp(tcp) if tcp.flags.has(TcpFlags::SYN)))
}

/// What an ICMP error tells its addressee.
fn refusal(sight: &Sight) -> Option<Ending> {
    match Ip::parse(&sight.bytes)?.transport() {
        Transport::Icmp(Icmp::Error(error)) => Some(Ending::IcmpError {
            from: sight.header.source,
            icmp_type: error.icmp_type,
            code: error.code,
            mtu: error.mtu,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Tcp, Udp, build};

    use super::*;
    use crate::model::LinkIndex;

    /// A sighting as `NETNS:LINK>` of a segment with these flags, or of a datagram.
    fn seen(time: u64, place: &str, ends: [&str; 2], flags: Option<TcpFlags>) -> Sighting {
        let [source, destination]: [SocketAddr; 2] = ends.map(|end| end.parse().unwrap());
        let (source_port, destination_port) = (source.port(), destination.port());
        let transport = match flags {
            Some(flags) => {
                let answers = flags.has(TcpFlags::ACK) && source_port == 80;
                let (sequence, acknowledgement) = if answers { (9_000_000, 701) } else { (700, 9_000_001) };
                // What goes on after the opening has its number.
                let sequence = sequence + u32::from(!answers && !flags.has(TcpFlags::SYN));
                let (window, options, payload) = (100, &[][..], &[][..]);
                Transport::Tcp(Tcp {
                    source_port,
                    destination_port,
                    sequence,
                    acknowledgement,
                    flags,
                    window,
                    options,
                    payload,
                })
            }
            None => Transport::Udp(Udp { source_port, destination_port, payload: b"x" }),
        };
        let frame = build::ip(&build::Outer::new(source.ip(), destination.ip()), &transport).unwrap();
        let (netns, link) = place.trim_end_matches(['<', '>']).split_once(':').unwrap();
        Sighting {
            time,
            netns: netns.parse().unwrap(),
            link: LinkIndex(link.parse().unwrap()),
            way: if place.ends_with('<') { Way::In } else { Way::Out },
            ethernet: false,
            length: frame.len() as u32,
            frame,
        }
    }

    const SENT: [&str; 2] = ["203.0.113.9:40000", "10.0.0.1:8080"];
    const INSIDE: [&str; 2] = ["203.0.113.9:40000", "10.8.0.2:80"];
    const ANSWER: [&str; 2] = ["10.0.0.1:80", "203.0.113.9:40000"];
    const OPENS: Option<TcpFlags> = Some(TcpFlags::SYN);
    const ACCEPTS: Option<TcpFlags> = Some(TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0));

    fn found(at: &str, sightings: &[Sighting]) -> Option<Overheard> {
        Overheard::find(&"tcp and dst port 80".parse().unwrap(), &at.parse().unwrap(), sightings)
    }

    fn journey(sightings: &[Sighting]) -> Journey {
        let overheard = found("inner", sightings).unwrap();
        follow(&overheard.identity, overheard.probe.kind, &BTreeSet::new(), sightings)
    }

    #[test]
    fn a_packet_is_followed_back_to_where_it_was_seen_first() {
        let way =
            [seen(1, "host:2<", SENT, OPENS), seen(2, "host:3>", INSIDE, OPENS), seen(3, "inner:2<", INSIDE, OPENS)];
        let overheard = found("inner", &way).unwrap();
        assert_eq!((overheard.probe.from.as_str(), overheard.from_outside), ("host", true));
        assert_eq!(overheard.probe.kind, ProbeKind::Tcp(8080), "as it was before it was translated");
        assert_eq!(overheard.identity.destination, SENT[1].parse().unwrap());
        assert_eq!(found("host", &way[1..]).map(|overheard| overheard.from_outside), Some(false));
        assert_eq!(found("host", &way[..1]), None, "it is not for that port there");
        let answer = [seen(1, "inner:2>", ANSWER, ACCEPTS)];
        assert_eq!(found("inner", &answer), None);
    }

    #[test]
    fn an_answer_counts_once_the_sender_goes_on() {
        let ends = [seen(1, "inner:2<", INSIDE, OPENS), seen(4, "inner:2>", ANSWER, ACCEPTS)];
        let kind = ProbeKind::Tcp(80);
        let with = |more: Sighting| journey(&[&ends[..], &[more]].concat());
        assert_eq!(ending_seen(&journey(&ends), kind), None);
        assert_eq!(answer_home(&journey(&ends)), Some(4));
        let goes_on = with(seen(5, "inner:2<", INSIDE, Some(TcpFlags::ACK)));
        assert_eq!(ending_seen(&goes_on, kind), Some((Ending::Answered, 4)));
        assert_eq!(repeated(&goes_on), None);
        let again = with(seen(5, "inner:2<", INSIDE, OPENS));
        assert_eq!((ending_seen(&again, kind), answer_home(&again), repeated(&again)), (None, None, Some(5)));
        let refused = [ends[0].clone(), seen(4, "inner:2>", ANSWER, Some(TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0)))];
        assert_eq!(ending_seen(&journey(&refused), kind), Some((Ending::Reset, 4)));
    }

    #[test]
    fn a_datagram_too_short_to_be_known_by_is_known_by_its_ends() {
        let pattern: Pattern = "udp".parse().unwrap();
        let overheard = Overheard::find(&pattern, &"host".parse().unwrap(), &[seen(1, "host:2<", SENT, None)]).unwrap();
        assert_eq!((overheard.probe.size, overheard.identity.cookie[0]), (1, b'x'));
    }
}
