//! Sorts the sightings of many frames into the one journey of the probe.
//!
//! The probe is known by what translation leaves alone: the cookie that an echo or datagram carries, the sequence number
//! of a connection; never by addresses alone. The answer to a datagram, which need not carry the cookie, is known as the
//! reverse of a request that was seen.

use std::collections::BTreeSet;

use nsgate_packet::{Arp, ArpOperation, Body, Flow, Icmp, Ip, Neighbour, Packet, Tcp, TcpFlags, Transport};

use super::{Header, Identity, Journey, Leg, ProbeKind, Segment, Sight, Sighting};

/// Sorts out what belongs to the probe, in the order of time. `flows` are those that the request is known to have been
/// translated to, which show it also where something made the packet anew.
pub fn follow(identity: &Identity, kind: ProbeKind, flows: &BTreeSet<Flow>, sightings: &[Sighting]) -> Journey {
    let mut ordered: Vec<&Sighting> = sightings.iter().collect();
    ordered.sort_by_key(|s| s.time);
    let mut tracker =
        Tracker { identity, kind, flows, requests: BTreeSet::new(), fragments: BTreeSet::new(), other_end: None };
    let (mut sights, mut carried) = (Vec::new(), Vec::new());
    for sight in ordered.into_iter().filter_map(|sighting| tracker.sight(sighting)) {
        if sight.tunnel.is_some() { carried.push(sight) } else { sights.push(sight) }
    }
    Journey { sights, carried }
}

/// What is known of the probe so far.
struct Tracker<'a> {
    identity: &'a Identity,
    kind: ProbeKind,
    /// The flows that the request is known to have been translated to.
    flows: &'a BTreeSet<Flow>,
    /// The flows under which the request was seen: its own, and every translated one.
    requests: BTreeSet<FlowKey>,
    /// The identifications of fragmented packets whose first fragment was recognised.
    fragments: BTreeSet<(u32, FlowEnds, bool)>,
    /// The initial sequence number of the connection's other end.
    other_end: Option<u32>,
}

/// How long an Ethernet header without tags is.
const ETHERNET: usize = 14;

/// A flow in a form that can be kept in order.
type FlowKey = (u8, FlowEnds, u16, u16);
/// Its addresses.
type FlowEnds = (std::net::IpAddr, std::net::IpAddr);

fn key(flow: Flow) -> FlowKey {
    (flow.protocol, (flow.source, flow.destination), flow.source_port, flow.destination_port)
}

impl Tracker<'_> {
    fn sight(&mut self, sighting: &Sighting) -> Option<Sight> {
        let packet = sighting.packet();
        let (leg, mut header, tunnel) = match self.of_packet(&packet) {
            Some((leg, header)) => (leg, header, None),
            _ => self.carried(&packet)?,
        };
        header.macs = packet.ether.map(|e| (e.source, e.destination));
        let start = if sighting.ethernet { ETHERNET } else { 0 };
        Some(Sight {
            bytes: sighting.frame.get(start..).unwrap_or_default().to_vec(),
            ethernet: sighting.ethernet.then(|| sighting.frame.get(..ETHERNET).unwrap_or_default().to_vec()),
            time: sighting.time,
            netns: sighting.netns.clone(),
            link: sighting.link,
            way: sighting.way,
            leg,
            header,
            tunnel,
        })
    }

    /// The same of what a tunnel's packet carries, with the tunnel and its ends in words.
    fn carried(&mut self, packet: &Packet<'_>) -> Option<(Leg, Header, Option<String>)> {
        let outer = packet.as_ip()?;
        let tunnel = outer.tunnel()?;
        let (leg, mut header) = self.of_packet(&tunnel.inner)?;
        let words = format!("{tunnel} {} > {}", outer.source, outer.destination);
        header.text = format!("{words}: {}", header.text);
        Some((leg, header, Some(words)))
    }

    /// What a packet is of the journey, and what its headers say; none if it does not belong to it.
    fn of_packet(&mut self, packet: &Packet<'_>) -> Option<(Leg, Header)> {
        match packet.body {
            // Who asks for an address from no address looks for a double of his own.
            Body::Arp(arp) if arp.sender.is_unspecified() => None,
            Body::Arp(arp) => resolution_by_arp(&arp),
            Body::Ip(ip) => self.of_ip(&ip),
            Body::Other { .. } | Body::Malformed => None,
        }
    }

    fn of_ip(&mut self, ip: &Ip<'_>) -> Option<(Leg, Header)> {
        if let Transport::Icmp(Icmp::Neighbour(neighbour)) = ip.transport() {
            return (!ip.source.is_unspecified()).then(|| resolution_by_discovery(ip, &neighbour));
        }
        let leg = self.leg(ip)?;
        if let (Some(id), Some(fragment)) = (ip.id, ip.fragment)
            && fragment.offset == 0
        {
            self.fragments.insert((id, (ip.source, ip.destination), leg == Leg::Answer));
        }
        if leg == Leg::Request {
            self.requests.insert(key(ip.flow()));
        }
        let segment = match ip.transport() {
            Transport::Tcp(tcp) if self.leg_by_number(&tcp) == Some(leg) => Some(self.segment(leg, ip, &tcp)),
            _ => None,
        };
        Some((leg, Header { segment, ..header(ip) }))
    }

    /// What a segment of the connection carries, and how much it acknowledges.
    fn segment(&mut self, leg: Leg, ip: &Ip<'_>, tcp: &Tcp<'_>) -> Segment {
        if leg == Leg::Answer && tcp.flags.has(TcpFlags::SYN) {
            self.other_end = Some(tcp.sequence);
        }
        let other_end = self.other_end.unwrap_or(tcp.sequence);
        let (own, other) = match leg {
            Leg::Answer => (other_end, self.identity.sequence),
            _ => (self.identity.sequence, other_end),
        };
        // An opening takes one number, so the first byte of data has the one after it.
        let offset = |number: u32, first: u32| match number.wrapping_sub(first).wrapping_sub(1) {
            u32::MAX => 0,
            offset => offset,
        };
        Segment {
            offset: offset(tcp.sequence, own),
            // Only the beginning of a large segment is kept of it.
            length: (tcp.payload.len() + ip.missing()) as u32,
            acknowledged: if tcp.flags.has(TcpFlags::ACK) { offset(tcp.acknowledgement, other) } else { 0 },
        }
    }

    /// What a packet is of the journey; none if it does not belong to it.
    fn leg(&self, ip: &Ip<'_>) -> Option<Leg> {
        match ip.transport() {
            Transport::Icmp(Icmp::Echo(echo)) => {
                let ours = self.kind == ProbeKind::Icmp && echo.payload.starts_with(&self.identity.cookie);
                ours.then_some(if echo.reply { Leg::Answer } else { Leg::Request })
            }
            Transport::Icmp(icmp @ Icmp::Error(_)) => {
                icmp.quoted_packet().filter(|quoted| self.quotes_us(quoted)).map(|_| Leg::Error)
            }
            Transport::Icmp(icmp @ Icmp::Redirect(_)) => {
                icmp.quoted_packet().filter(|quoted| self.quotes_us(quoted)).map(|_| Leg::Redirect)
            }
            Transport::Tcp(tcp) if matches!(self.kind, ProbeKind::Tcp(_)) => {
                // A proxy in between opens a connection of its own with the same ends.
                self.leg_by_number(&tcp).or_else(|| self.leg_of_flow(ip))
            }
            Transport::Udp(udp) if matches!(self.kind, ProbeKind::Udp(_)) => self.leg_of_datagram(ip, udp.payload),
            Transport::Cut => self.leg_of_fragment(ip),
            _ => None,
        }
    }

    /// What a segment is by the numbers that it bears or acknowledges.
    fn leg_by_number(&self, tcp: &Tcp<'_>) -> Option<Leg> {
        let Identity { sequence, span, .. } = *self.identity;
        let sent = tcp.sequence.wrapping_sub(sequence) <= span;
        let further = tcp.acknowledgement.wrapping_sub(sequence).wrapping_sub(1);
        match (sent, tcp.flags.has(TcpFlags::ACK) && further < span) {
            (true, _) => Some(Leg::Request),
            (false, true) => Some(Leg::Answer),
            (false, false) => None,
        }
    }

    fn leg_of_datagram(&self, ip: &Ip<'_>, payload: &[u8]) -> Option<Leg> {
        if self.requests.contains(&key(ip.flow().reversed())) {
            return Some(Leg::Answer);
        }
        if !payload.starts_with(&self.identity.cookie) {
            return self.leg_of_flow(ip);
        }
        // An echo service sends the cookie back: what goes to where the probe came from is the answer, whoever it
        // seems to come from by now.
        let back =
            ip.destination == self.identity.source.ip() && ip.flow().destination_port == self.identity.source.port();
        Some(if back && ip.source != ip.destination { Leg::Answer } else { Leg::Request })
    }

    /// What a packet is that bears nothing of the probe but its ends.
    fn leg_of_flow(&self, ip: &Ip<'_>) -> Option<Leg> {
        let flow = ip.flow();
        if self.flows.contains(&flow) {
            return Some(Leg::Request);
        }
        self.flows.contains(&flow.reversed()).then_some(Leg::Answer)
    }

    fn leg_of_fragment(&self, ip: &Ip<'_>) -> Option<Leg> {
        let (id, ends) = (ip.id?, (ip.source, ip.destination));
        let known = |answer| self.fragments.contains(&(id, ends, answer));
        if known(false) {
            Some(Leg::Request)
        } else if known(true) {
            Some(Leg::Answer)
        } else {
            None
        }
    }

    /// Whether a packet quoted by an ICMP error is the probe or its answer.
    fn quotes_us(&self, quoted: &Ip<'_>) -> bool {
        // An identifier of echoes may be somebody else's too; where the cookie is quoted, it decides.
        if let Transport::Icmp(Icmp::Echo(echo)) = quoted.transport()
            && let Some(carried) = echo.payload.first_chunk::<8>()
        {
            return self.kind == ProbeKind::Icmp && *carried == self.identity.cookie;
        }
        let flow = quoted.flow();
        if self.requests.contains(&key(flow)) || self.requests.contains(&key(flow.reversed())) {
            return true;
        }
        let own = flow == self.identity.flow(self.kind) || self.flows.contains(&flow);
        own || self.flows.contains(&flow.reversed())
            || quoted.tcp_sequence() == Some(self.identity.sequence)
            || self.leg(quoted).is_some()
    }
}

/// What an ARP frame says.
fn resolution_by_arp(arp: &Arp) -> Option<(Leg, Header)> {
    let (leg, about) = match arp.operation {
        ArpOperation::Request => (Leg::Question, arp.target),
        ArpOperation::Reply => (Leg::Reply, arp.sender),
        ArpOperation::Other(_) => return None,
    };
    Some((leg, resolution_header(arp.sender.into(), about.into(), 0, Packet { ether: None, body: Body::Arp(*arp) })))
}

/// What a neighbour solicitation or advertisement says.
fn resolution_by_discovery(ip: &Ip<'_>, neighbour: &Neighbour) -> (Leg, Header) {
    let leg = if neighbour.advertisement { Leg::Reply } else { Leg::Question };
    let packet = Packet { ether: None, body: Body::Ip(*ip) };
    (leg, resolution_header(ip.source, neighbour.target.into(), ip.protocol, packet))
}

fn resolution_header(source: std::net::IpAddr, about: std::net::IpAddr, protocol: u8, packet: Packet<'_>) -> Header {
    Header {
        source,
        destination: about,
        source_port: None,
        destination_port: None,
        protocol,
        ttl: 0,
        length: 0,
        macs: None,
        reset: false,
        segment: None,
        text: packet.to_string(),
    }
}

/// What the header of a packet says.
pub(crate) fn header(ip: &Ip<'_>) -> Header {
    let flow = ip.flow();
    let (ports, reset) = match ip.transport() {
        Transport::Tcp(tcp) => (true, tcp.flags.has(TcpFlags::RST)),
        Transport::Udp(_) => (true, false),
        _ => (false, false),
    };
    Header {
        source: ip.source,
        destination: ip.destination,
        source_port: ports.then_some(flow.source_port),
        destination_port: ports.then_some(flow.destination_port),
        protocol: ip.protocol,
        ttl: ip.ttl,
        length: ip.length as u32,
        macs: None,
        reset,
        segment: None,
        text: ip.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use nsgate_packet::{Echo, Udp, build};

    use super::*;
    use crate::model::LinkIndex;
    use crate::trace::Way;

    const COOKIE: [u8; 8] = *b"cookie-1";

    fn identity(source: &str, destination: &str) -> Identity {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        Identity { cookie: COOKIE, sequence: 1000, span: 2, source: address(source), destination: address(destination) }
    }

    fn ip(source: &str, destination: &str, transport: &Transport<'_>) -> Vec<u8> {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        build::ip(&build::Outer::new(address(source), address(destination)), transport).unwrap()
    }

    fn seen(time: u64, way: Way, packet: Vec<u8>) -> Sighting {
        let length = packet.len() as u32;
        let netns = "host".parse().unwrap();
        Sighting { time, netns, link: LinkIndex(2), way, ethernet: false, frame: packet, length }
    }

    fn echo(reply: bool, payload: &[u8]) -> Transport<'_> {
        Transport::Icmp(Icmp::Echo(Echo { reply, id: 7, sequence: 1, payload }))
    }

    fn tcp(ports: (u16, u16), numbers: (u32, u32), flags: TcpFlags) -> Transport<'static> {
        Transport::Tcp(Tcp {
            source_port: ports.0,
            destination_port: ports.1,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags,
            window: 100,
            options: &[],
            payload: &[],
        })
    }

    fn udp(source_port: u16, destination_port: u16, payload: &[u8]) -> Transport<'_> {
        Transport::Udp(Udp { source_port, destination_port, payload })
    }

    fn legs(identity: &Identity, kind: ProbeKind, sightings: &[Sighting]) -> Vec<Leg> {
        follow(identity, kind, &BTreeSet::new(), sightings).sights.iter().map(|s| s.leg).collect()
    }

    #[test]
    fn an_echo_is_known_by_its_cookie_whatever_its_addresses() {
        let identity = identity("1.1.1.2:7", "9.9.9.9:0");
        let sightings = [
            seen(3, Way::In, ip("9.9.9.9", "10.0.0.1", &echo(true, b"cookie-1and more"))),
            seen(1, Way::In, ip("1.1.1.2", "9.9.9.9", &echo(false, b"cookie-1and more"))),
            seen(2, Way::Out, ip("10.0.0.1", "9.9.9.9", &echo(false, b"cookie-1and more"))),
            seen(2, Way::Out, ip("1.1.1.2", "9.9.9.9", &echo(false, b"cookie-2"))),
        ];
        let found = legs(&identity, ProbeKind::Icmp, &sightings);
        assert_eq!(found, [Leg::Request, Leg::Request, Leg::Answer]);
    }

    #[test]
    fn a_connection_is_known_by_its_sequence_number_when_both_ends_are_translated() {
        let identity = identity("1.1.1.2:4000", "10.0.0.1:8080");
        let sightings = [
            seen(1, Way::In, ip("1.1.1.2", "10.0.0.1", &tcp((4000, 8080), (1000, 0), TcpFlags::SYN))),
            seen(2, Way::Out, ip("10.0.0.1", "1.1.1.2", &tcp((6000, 80), (1000, 0), TcpFlags::SYN))),
            seen(3, Way::In, ip("1.1.1.2", "10.0.0.1", &tcp((80, 6000), (5, 1001), TcpFlags::ACK))),
            seen(4, Way::In, ip("1.1.1.2", "10.0.0.1", &tcp((80, 6000), (5, 77), TcpFlags::ACK))),
        ];
        let found = legs(&identity, ProbeKind::Tcp(8080), &sightings);
        assert_eq!(found, [Leg::Request, Leg::Request, Leg::Answer]);
    }

    #[test]
    fn the_data_of_a_connection_is_counted_from_its_first_byte() {
        let mut identity = identity("1.1.1.2:4000", "9.9.9.9:80");
        (identity.sequence, identity.span) = (u32::MAX, 102);
        let segment = |answer: bool, numbers: (u32, u32), flags, payload| {
            let ports = if answer { (80, 4000) } else { (4000, 80) };
            let Transport::Tcp(plain) = tcp(ports, numbers, flags) else { unreachable!() };
            let (source, destination) = if answer { ("9.9.9.9", "1.1.1.2") } else { ("1.1.1.2", "9.9.9.9") };
            ip(source, destination, &Transport::Tcp(Tcp { payload, ..plain }))
        };
        let both = TcpFlags::SYN | TcpFlags::ACK;
        let sightings = [
            seen(1, Way::Out, segment(false, (u32::MAX, 0), TcpFlags::SYN, &[])),
            seen(2, Way::In, segment(true, (500, 0), both, &[])),
            seen(3, Way::Out, segment(false, (0, 501), TcpFlags::ACK, &[7; 60])),
            seen(4, Way::Out, segment(false, (60, 501), TcpFlags::ACK, &[7; 40])),
            seen(5, Way::In, segment(true, (501, 60), TcpFlags::ACK, &[])),
            seen(6, Way::In, segment(true, (501, 100), TcpFlags::ACK, &[7; 9])),
            seen(7, Way::Out, segment(false, (100, 510), TcpFlags::ACK | TcpFlags::FIN, &[])),
            seen(8, Way::Out, segment(false, (102, 510), TcpFlags::ACK, &[])),
        ];
        let journey = follow(&identity, ProbeKind::Tcp(80), &BTreeSet::new(), &sightings);
        let found: Vec<_> = journey
            .sights
            .iter()
            .map(|sight| (sight.leg, sight.header.segment.unwrap()))
            .map(|(leg, segment)| (leg == Leg::Answer, segment.offset, segment.length, segment.acknowledged))
            .collect();
        let expected = [
            (false, 0, 0, 0),
            (true, 0, 0, 0),
            (false, 0, 60, 0),
            (false, 60, 40, 0),
            (true, 0, 0, 60),
            (true, 0, 9, 100),
            (false, 100, 0, 9),
        ];
        assert_eq!(found, expected, "and what lies beyond belongs to somebody else");
    }

    #[test]
    fn the_answer_to_a_datagram_is_the_reverse_of_a_translated_request() {
        let identity = identity("1.1.1.2:4000", "9.9.9.9:53");
        let sightings = [
            seen(1, Way::In, ip("1.1.1.2", "9.9.9.9", &udp(4000, 53, &COOKIE))),
            seen(2, Way::Out, ip("10.0.0.1", "9.9.9.9", &udp(4000, 53, &COOKIE))),
            seen(3, Way::In, ip("9.9.9.9", "10.0.0.1", &udp(53, 4000, b"other words"))),
            seen(4, Way::In, ip("9.9.9.9", "10.0.0.2", &udp(53, 4000, b"other words"))),
        ];
        let found = legs(&identity, ProbeKind::Udp(53), &sightings);
        assert_eq!(found, [Leg::Request, Leg::Request, Leg::Answer]);
    }

    #[test]
    fn an_error_belongs_to_the_journey_only_if_it_quotes_it() {
        let identity = identity("1.1.1.2:7", "9.9.9.9:0");
        let mine = ip("1.1.1.2", "9.9.9.9", &echo(false, &COOKIE));
        let other = ip("1.1.1.9", "9.9.9.9", &echo(false, b"somebody"));
        let error = |quoted| {
            let family = nsgate_packet::Family::V4;
            let error = nsgate_packet::IcmpError { family, icmp_type: 3, code: 1, mtu: None, quoted };
            ip("1.1.1.3", "1.1.1.2", &Transport::Icmp(Icmp::Error(error)))
        };
        let sightings = [seen(1, Way::In, error(&mine)), seen(2, Way::In, error(&other))];
        assert_eq!(legs(&identity, ProbeKind::Icmp, &sightings), [Leg::Error]);
    }

    #[test]
    fn a_redirect_belongs_to_the_journey_only_if_it_quotes_it() {
        let identity = identity("1.1.1.2:7", "9.9.9.9:0");
        let redirect = |cookie: &[u8]| {
            let quoted = ip("1.1.1.2", "9.9.9.9", &echo(false, cookie));
            let gateway = "1.1.1.4".parse().unwrap();
            let redirect = nsgate_packet::Redirect { gateway, quoted: &quoted };
            seen(1, Way::In, ip("1.1.1.3", "1.1.1.2", &Transport::Icmp(Icmp::Redirect(redirect))))
        };
        let sightings = [redirect(&COOKIE), redirect(b"somebody")];
        assert_eq!(legs(&identity, ProbeKind::Icmp, &sightings), [Leg::Redirect]);
    }

    #[test]
    fn who_looks_for_a_double_of_his_own_address_asks_nothing_of_ours() {
        let ask = |source: &str| {
            let neighbour = Neighbour { advertisement: false, target: "fe80::1".parse().unwrap(), link_address: None };
            seen(1, Way::In, ip(source, "ff02::1:ff00:1", &Transport::Icmp(Icmp::Neighbour(neighbour))))
        };
        let identity = identity("[2001:db8::1]:7", "[2001:db8::2]:0");
        let legs = |source| follow(&identity, ProbeKind::Icmp, &BTreeSet::new(), &[ask(source)]).sights.len();
        assert_eq!(legs("fe80::2"), 1);
        assert_eq!(legs("::"), 0);
    }

    #[test]
    fn what_was_made_anew_is_known_by_what_connection_tracking_told() {
        let identity = identity("1.1.1.2:4000", "10.0.0.1:80");
        let translated = Flow {
            protocol: 6,
            source: "10.0.0.1".parse().unwrap(),
            destination: "1.1.1.5".parse().unwrap(),
            source_port: 999,
            destination_port: 8080,
        };
        let sightings = [
            seen(1, Way::Out, ip("10.0.0.1", "1.1.1.5", &tcp((999, 8080), (77, 0), TcpFlags::SYN))),
            seen(2, Way::In, ip("1.1.1.5", "10.0.0.1", &tcp((8080, 999), (5, 78), TcpFlags::SYN | TcpFlags::ACK))),
            seen(3, Way::In, ip("1.1.1.5", "10.0.0.1", &tcp((8080, 998), (5, 78), TcpFlags::ACK))),
        ];
        let journey = follow(&identity, ProbeKind::Tcp(80), &[translated].into(), &sightings);
        assert_eq!(journey.sights.iter().map(|s| s.leg).collect::<Vec<_>>(), [Leg::Request, Leg::Answer]);
        assert!(
            journey.sights.iter().all(|s| s.header.segment.is_none()),
            "numbers that are not the probe's count nothing"
        );
        assert_eq!(legs(&identity, ProbeKind::Tcp(80), &sightings), []);
    }

    #[test]
    fn what_a_tunnel_carries_is_a_sight_of_its_own() {
        let identity = identity("1.1.1.2:7", "9.9.9.9:0");
        let mut inner = ip("1.1.1.2", "9.9.9.9", &echo(false, b"cookie-1and more"));
        let mut carried = vec![8, 0, 0, 0, 0, 0, 42, 0];
        carried.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        carried.append(&mut inner.clone());
        let sightings = [
            seen(1, Way::Out, std::mem::take(&mut inner)),
            seen(2, Way::Out, ip("10.0.0.1", "10.0.0.2", &udp(5000, 4789, &carried))),
            seen(3, Way::Out, ip("10.0.0.1", "10.0.0.2", &udp(5000, 4788, &carried))),
        ];
        let journey = follow(&identity, ProbeKind::Icmp, &BTreeSet::new(), &sightings);
        assert_eq!((journey.sights.len(), journey.carried.len()), (1, 1));
        let within = &journey.carried[0];
        assert_eq!((within.leg, within.tunnel.as_deref()), (Leg::Request, Some("VXLAN 42 10.0.0.1 > 10.0.0.2")));
        assert_eq!(within.header.destination.to_string(), "9.9.9.9");
        assert_eq!(journey.everything().iter().map(|sight| sight.time).collect::<Vec<_>>(), [1, 2]);
    }
}
