//! The way of one probe and its answer, sight by sight.

use std::net::IpAddr;

use nsgate_packet::Mac;

use super::Way;
use crate::model::{LinkIndex, NetnsName};

/// What was seen of one probe, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journey {
    /// The sights.
    pub sights: Vec<Sight>,
    /// The sights of packets of a tunnel that carried it. What the tunnel makes of it stands between the sights of
    /// itself, so they tell more of the way, but nothing of what became of it outside.
    pub carried: Vec<Sight>,
}

/// One sight of the probe, its answer, or what they caused.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// When, in nanoseconds of the kernel's real-time clock.
    pub time: u64,
    /// In which namespace.
    pub netns: NetnsName,
    /// At which interface.
    pub link: LinkIndex,
    /// Whether it came in or went out there.
    pub way: Way,
    /// What it is of the journey.
    pub leg: Leg,
    /// What its headers say.
    pub header: Header,
    /// The bytes that were kept, from the network header on.
    pub bytes: Vec<u8>,
    /// The Ethernet header, where there was one.
    pub ethernet: Option<Vec<u8>>,
    /// The tunnel that carried it at this place and the tunnel's ends, in words. The header is that of what is carried,
    /// the bytes are those of the tunnel's own packet.
    pub tunnel: Option<String>,
}

/// What a frame is of a journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The probe itself.
    Request,
    /// What the other end sends back: an answer, or a TCP reset.
    Answer,
    /// An ICMP error that quotes the probe or its answer.
    Error,
    /// A router tells the sender of a better way (an ICMP redirect); the packet goes on.
    Redirect,
    /// Somebody asks who holds an address on the link (ARP, neighbour discovery).
    Question,
    /// Somebody says that it is he.
    Reply,
}

/// What the headers of a frame say that matters for its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The source address; for ARP that of who speaks.
    pub source: IpAddr,
    /// The destination address; for questions and replies the address they are about.
    pub destination: IpAddr,
    /// The source port, where the transport has ports.
    pub source_port: Option<u16>,
    /// The destination port.
    pub destination_port: Option<u16>,
    /// The transport protocol by its number.
    pub protocol: u8,
    /// The time to live or hop limit.
    pub ttl: u8,
    /// The length in bytes from the IP header on.
    pub length: u32,
    /// The link-layer source and destination, where the link has such addresses.
    pub macs: Option<(Mac, Mac)>,
    /// A TCP reset.
    pub reset: bool,
    /// What it carries and acknowledges, where it is a segment of the probe's connection.
    pub segment: Option<Segment>,
    /// One line for people.
    pub text: String,
}

/// What a segment does for its connection, in bytes counted from the first byte of data of either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where its data begins; 0 for what opens the connection.
    pub offset: u32,
    /// How many bytes of data it carries.
    pub length: u32,
    /// How much of the other end's data it acknowledges.
    pub acknowledged: u32,
}

impl Sight {
    /// Whether it was seen where another was, on its way between the same ends.
    fn passes_as(&self, other: &Self) -> bool {
        let place = |s: &Self| (s.link, s.way, s.leg, s.header.macs, s.header.reset);
        let ends = |h: &Header| [(h.source, h.source_port), (h.destination, h.destination_port)];
        self.netns == other.netns && place(self) == place(other) && ends(&self.header) == ends(&other.header)
    }
}

impl Segment {
    /// Whether it carries this byte.
    pub fn carries(&self, byte: u32) -> bool {
        byte.checked_sub(self.offset).is_some_and(|distance| distance < self.length)
    }
}

impl Journey {
    /// The sights of one leg.
    pub fn of(&self, leg: Leg) -> impl DoubleEndedIterator<Item = &Sight> {
        self.sights.iter().filter(move |s| s.leg == leg)
    }

    /// All sights, also those within tunnels, in the order of time.
    pub fn everything(&self) -> Vec<&Sight> {
        let mut all: Vec<&Sight> = self.sights.iter().chain(&self.carried).collect();
        all.sort_by_key(|sight| sight.time);
        all
    }

    /// The last sight of a leg: as far as it got.
    pub fn furthest(&self, leg: Leg) -> Option<&Sight> {
        self.of(leg).next_back()
    }

    /// Whether a leg was seen at an interface.
    pub fn seen(&self, leg: Leg, netns: &NetnsName, link: LinkIndex, way: Way) -> bool {
        self.of(leg).any(|s| s.netns == *netns && s.link == link && s.way == way)
    }

    /// Leaves out what a repetition of the probe, sent at that time, showed again in the same place.
    #[must_use]
    pub fn without_repetitions(self, sent: u64) -> Self {
        let (mut kept, again): (Vec<Sight>, Vec<Sight>) = self.sights.into_iter().partition(|s| s.time < sent);
        for sight in again {
            let repeats = |before: &Sight| sight.passes_as(before) && matches!(sight.leg, Leg::Request | Leg::Answer);
            if !kept.iter().any(repeats) {
                kept.push(sight);
            }
        }
        Self { sights: kept, carried: self.carried }
    }

    /// How a leg looked as it came into a namespace and as it left it, where both were seen.
    pub fn through(&self, leg: Leg, netns: &NetnsName) -> Option<(&Sight, &Sight)> {
        let entered = self.of(leg).find(|s| s.netns == *netns && s.way == Way::In)?;
        let left = self.of(leg).rfind(|s| s.netns == *netns && s.way == Way::Out)?;
        (entered.time <= left.time).then_some((entered, left))
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::trace::Leg;

    #[test]
    fn a_repetition_adds_only_what_is_new() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        let journey = fixture.observation.journey;
        let times = |sent| journey.clone().without_repetitions(sent).sights.iter().map(|s| s.time).collect::<Vec<_>>();
        assert_eq!(times(2), [0, 1, 4]);
        assert_eq!(times(1), [0, 1, 4], "what the first showed after the second was sent is kept once");
        assert_eq!(times(9), [0, 1, 2, 3, 4]);
    }
}
