//! What changed in a namespace while a probe was under way: the connections that connection tracking made, went on with
//! or forgot, and the neighbours that became known or were given up.
//!
//! A connection is told of when its first packet has passed the last hook: a packet that is thrown away before leaves
//! no trace here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nsgate_packet::Flow;

use super::Journey;
use crate::model::conntrack::Entry;
use crate::model::{LinkIndex, Neighbour, NeighbourState, NetnsName};

/// What connection tracking told of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// In which namespace.
    pub netns: NetnsName,
    /// What happened.
    pub change: Change,
    /// The kernel's number for the connection, the same that traces of rules give.
    pub id: u32,
    /// The connection from then on.
    pub entry: Entry,
}

/// What was told of one neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourEvent {
    /// In which namespace.
    pub netns: NetnsName,
    /// What happened. The kernel does not tell what is new from what is only in another state.
    pub change: Change,
    /// The neighbour from then on.
    pub neighbour: Neighbour,
}

/// What happened to something that the kernel remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It is new.
    New,
    /// It is in another state.
    Updated,
    /// It is gone.
    Gone,
}

impl Change {
    /// `new`, `updated` or `gone`.
    pub fn name(self) -> &'static str {
        match self {
            Change::New => "new",
            Change::Updated => "updated",
            Change::Gone => "gone",
        }
    }
}

/// The flows of the request: the given ones, and what connection tracking made of any of them, in whichever namespace.
pub fn translated_flows(seen: impl IntoIterator<Item = Flow>, events: &[ConnectionEvent]) -> BTreeSet<Flow> {
    let mut flows: BTreeSet<Flow> = seen.into_iter().collect();
    loop {
        let known = flows.len();
        for ConnectionEvent { entry, .. } in events {
            let there = [entry.original, entry.reply.reversed()];
            // An answer that nobody expected begins a connection of its own.
            let back = there.map(Flow::reversed);
            for ways in [there, back] {
                if ways.iter().any(|flow| flows.contains(flow)) {
                    flows.extend(ways);
                    break;
                }
            }
        }
        if flows.len() == known {
            return flows;
        }
    }
}

/// Keeps what was told of the neighbours that the journey had to do with: those that were asked for, or that stand
/// behind an interface it used.
pub fn neighbours_on_the_way(events: Vec<NeighbourEvent>, journey: &Journey) -> Vec<NeighbourEvent> {
    let places: BTreeSet<(&NetnsName, LinkIndex)> = journey.sights.iter().map(|s| (&s.netns, s.link)).collect();
    let addresses: BTreeSet<IpAddr> = journey.sights.iter().map(|s| s.header.destination).collect();
    let touched = |event: &NeighbourEvent| {
        places.contains(&(&event.netns, event.neighbour.link)) || addresses.contains(&event.neighbour.address)
    };
    events.into_iter().filter(touched).collect()
}

impl NeighbourEvent {
    /// Whether the kernel gave the neighbour up.
    pub fn is_failure(&self) -> bool {
        self.change != Change::Gone && self.neighbour.state == NeighbourState::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LinkIndex;

    fn flow(source: &str, destination: &str) -> Flow {
        let [source, destination]: [std::net::SocketAddr; 2] = [source, destination].map(|a| a.parse().unwrap());
        Flow {
            protocol: 17,
            source: source.ip(),
            destination: destination.ip(),
            source_port: source.port(),
            destination_port: destination.port(),
        }
    }

    fn event(netns: &str, original: Flow, reply: Flow) -> ConnectionEvent {
        let entry = Entry { original, reply, status: 0, mark: 0, zone: 0, timeout: 30, tcp_state: None };
        ConnectionEvent { netns: netns.parse().unwrap(), change: Change::New, id: 1, entry }
    }

    #[test]
    fn a_flow_is_followed_through_translations_one_after_the_other() {
        let own = flow("1.1.1.2:4000", "9.9.9.9:53");
        let once = flow("10.0.0.1:700", "9.9.9.9:53");
        let twice = flow("10.0.0.1:700", "10.7.7.7:5353");
        let other = flow("1.1.1.9:4000", "9.9.9.9:53");
        let events =
            [event("b", once, twice.reversed()), event("a", own, once.reversed()), event("a", other, other.reversed())];
        let flows = translated_flows([own], &events);
        assert_eq!(flows, [own, once, twice].into());
        let strange = event("c", twice.reversed(), flow("10.8.8.8:1", "10.0.0.1:700").reversed().reversed());
        let further = translated_flows([own], &[&events[..], &[strange]].concat());
        assert_eq!(further.len(), 4, "{further:?}");
    }

    #[test]
    fn only_neighbours_of_the_journey_are_kept() {
        let event = |link, address: &str, state| NeighbourEvent {
            netns: "host".parse().unwrap(),
            change: Change::Updated,
            neighbour: Neighbour {
                link: LinkIndex(link),
                address: address.parse().unwrap(),
                mac: None,
                state,
                proxy: false,
            },
        };
        let mut fixture = crate::explain::fixture::Fixture::experiment();
        fixture.request_seen(&["host:veth3<"]);
        let link = fixture.observation.journey.sights[0].link.0;
        let events = vec![
            event(link, "1.1.1.2", NeighbourState::Reachable),
            event(link + 70, "114.114.114.114", NeighbourState::Failed),
            event(link + 70, "8.8.8.8", NeighbourState::Failed),
        ];
        let kept = neighbours_on_the_way(events, &fixture.observation.journey);
        assert_eq!(kept.iter().map(NeighbourEvent::is_failure).collect::<Vec<_>>(), [false, true]);
    }
}
