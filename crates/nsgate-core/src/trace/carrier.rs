//! The packets of a tunnel that carried the probe, as a probe of their own.
//!
//! A tunnel that runs over UDP sends packets that nobody answers; what becomes of them is asked like what becomes of any
//! other datagram.

use std::net::{IpAddr, SocketAddr};

use nsgate_packet::{Ip, Mac, Transport};

use super::{Ending, Header, Identity, Journey, Leg, Observation, Probe, ProbeKind, Sight};
use crate::model::NetnsName;

/// Where a tunnel's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// Its own end, where it is known.
    pub source: Option<IpAddr>,
    /// The other end.
    pub destination: IpAddr,
    /// The UDP port there.
    pub port: u16,
}

impl Observation {
    /// The observation of the packet that carried a leg after a sight of it; none where no wire saw one, or where it is
    /// not a datagram.
    pub fn of_carrier(&self, sight: &Sight) -> Option<Observation> {
        let later = |carrier: &&Sight| carrier.leg == sight.leg && carrier.time >= sight.time;
        let first = |carrier: &&Sight| self.repeated.is_none_or(|sent| carrier.time < sent);
        let carried: Vec<&Sight> = self.journey.carried.iter().filter(later).collect();
        let once: Vec<&Sight> = carried.iter().copied().filter(first).collect();
        let carried = if once.is_empty() { carried } else { once };
        let begin = *carried.first()?;
        let ip = Ip::parse(&begin.bytes)?;
        let Transport::Udp(udp) = ip.transport() else { return None };
        let carrier = Carrier { source: Some(ip.source), destination: ip.destination, port: udp.destination_port };
        let sights = carried.into_iter().filter_map(outside).collect();
        Some(self.of_datagram(&begin.netns, carrier, udp.source_port, sights))
    }

    /// The observation of a tunnel's packet that no wire saw.
    #[must_use]
    pub fn of_unsent_carrier(&self, netns: &NetnsName, carrier: Carrier) -> Observation {
        self.of_datagram(netns, carrier, carrier.port, Vec::new())
    }

    fn of_datagram(&self, from: &NetnsName, carrier: Carrier, source_port: u16, mut sights: Vec<Sight>) -> Observation {
        let searches = self.journey.sights.iter().filter(|sight| matches!(sight.leg, Leg::Question | Leg::Reply));
        sights.extend(searches.cloned());
        sights.sort_by_key(|sight| sight.time);
        let kind = ProbeKind::Udp(carrier.port);
        let identity = carrier.source.map(|source| Identity {
            cookie: [0; 8],
            sequence: 0,
            span: 2,
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(carrier.destination, carrier.port),
        });
        Observation {
            probe: Probe {
                from: from.clone(),
                destination: carrier.destination,
                kind,
                size: kind.usual_size(),
                source: carrier.source,
                dont_fragment: false,
            },
            identity,
            ending: Ending::Silence,
            journey: Journey { sights, carried: Vec::new() },
            ..self.clone()
        }
    }
}

/// A sight of what is carried as a sight of what carries it.
fn outside(sight: &Sight) -> Option<Sight> {
    let ip = Ip::parse(&sight.bytes)?;
    let flow = ip.flow();
    let header = Header {
        source: ip.source,
        destination: ip.destination,
        source_port: Some(flow.source_port),
        destination_port: Some(flow.destination_port),
        protocol: ip.protocol,
        ttl: ip.ttl,
        length: ip.length as u32,
        macs: sight.ethernet.as_deref().and_then(macs),
        reset: false,
        segment: None,
        text: ip.to_string(),
    };
    Some(Sight { leg: Leg::Request, header, tunnel: None, ..sight.clone() })
}

/// Who sent a frame, and to whom: an Ethernet header has the receiver first.
fn macs(ethernet: &[u8]) -> Option<(Mac, Mac)> {
    let mac = |at: usize| Some(Mac(ethernet.get(at..at + 6)?.try_into().ok()?));
    Some((mac(6)?, mac(0)?))
}
