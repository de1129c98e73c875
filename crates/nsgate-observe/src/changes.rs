//! The news of one namespace while a probe is under way: what becomes of its connection, and of neighbours.

use std::os::fd::{AsFd as _, BorrowedFd};

use nsgate_core::model::{Limit, NetnsName};
use nsgate_core::trace::{ConnectionEvent, Identity, NeighbourEvent, ProbeKind};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::{Error, conntrack, rtnetlink};

use crate::filter::changes;
use crate::sys;

/// Listens for the news of one namespace.
#[derive(Debug)]
pub(crate) struct ChangeWatch {
    netns: NetnsName,
    connections: Option<Listener>,
    neighbours: Option<Listener>,
    limits: Vec<Limit>,
}

/// A socket that news comes to.
#[derive(Debug)]
struct Listener {
    socket: Socket,
    /// Whether some were lost.
    lost: bool,
}

/// What is not known without each kind of news.
const CONNECTIONS: &str = "what connection tracking does with the probe";
const NEIGHBOURS: &str = "how neighbours change meanwhile";

impl ChangeWatch {
    /// Listens in the namespace of the calling thread. Where connection tracking does not run, listening for its news
    /// would have the kernel load it.
    pub(crate) fn start(netns: &NetnsName, kind: ProbeKind, identity: &Identity, tracks: bool) -> Self {
        let mut watch = Self { netns: netns.clone(), connections: None, neighbours: None, limits: Vec::new() };
        if tracks {
            let filter = changes::of_connections(kind, identity);
            match Listener::open(Protocol::Netfilter, &conntrack::CHANGE_GROUPS, &filter) {
                Ok(listener) => watch.connections = Some(listener),
                Err(error) => watch.miss(CONNECTIONS, error.to_string()),
            }
        }
        match Listener::open(Protocol::Route, &[rtnetlink::NEIGHBOUR_GROUP], &changes::of_neighbours(identity)) {
            Ok(listener) => watch.neighbours = Some(listener),
            Err(error) => watch.miss(NEIGHBOURS, error.to_string()),
        }
        watch
    }

    /// What polls as readable when there is news.
    pub(crate) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.connections, &self.neighbours].into_iter().flatten().map(|listener| listener.socket.as_fd())
    }

    /// Takes the news since the last time, without waiting.
    pub(crate) fn take(&mut self, connections: &mut Vec<ConnectionEvent>, neighbours: &mut Vec<NeighbourEvent>) {
        let netns = &self.netns;
        if let Some(listener) = &mut self.connections {
            listener.take(connections, |message| conntrack::event(message, netns));
        }
        if let Some(listener) = &mut self.neighbours {
            listener.take(neighbours, |message| {
                rtnetlink::neighbour_event(message, netns).filter(|event| !event.neighbour.address.is_multicast())
            });
        }
    }

    /// What was not heard, and why. The sockets stay open until the watch is dropped.
    pub(crate) fn limits(&mut self) -> Vec<Limit> {
        for (listener, what) in [(&self.connections, CONNECTIONS), (&self.neighbours, NEIGHBOURS)] {
            if listener.as_ref().is_some_and(|listener| listener.lost) {
                let netns = Some(self.netns.clone());
                self.limits.push(Limit { netns, what: what.into(), why: "some of its news were lost".into() });
            }
        }
        std::mem::take(&mut self.limits)
    }

    fn miss(&mut self, what: &str, why: String) {
        self.limits.push(Limit { netns: Some(self.netns.clone()), what: what.into(), why });
    }
}

/// How much news is kept: far more than one probe can cause.
const MOST_NEWS: usize = 1 << 14;

impl Listener {
    fn open(protocol: Protocol, groups: &[u32], filter: &[crate::filter::Instruction]) -> Result<Self, Error> {
        let mut socket = Socket::open(protocol)?;
        // The filter is there before the first news can be.
        sys::attach_filter(socket.as_fd(), filter).map_err(|errno| Error::new("filter", "news", errno))?;
        groups.iter().try_for_each(|group| socket.join(*group))?;
        Ok(Self { socket, lost: false })
    }

    fn take<T>(&mut self, all: &mut Vec<T>, read: impl Fn(&nsgate_kernel::netlink::Message<'_>) -> Option<T>) {
        let Ok(events) = self.socket.events() else {
            self.lost = true;
            return;
        };
        self.lost |= events.lost;
        let room = MOST_NEWS.saturating_sub(all.len());
        let mut news: Vec<T> = events.messages().filter_map(|message| read(&message)).collect();
        self.lost |= news.len() > room;
        news.truncate(room);
        all.extend(news);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nsgate_core::model::NeighbourState;
    use nsgate_core::trace::{Change, Ending, Observation, Probe};
    use nsgate_kernel::netns::Netns;
    use nsgate_kernel::{apply, sandbox, settle};

    use super::*;
    use crate::Watch;

    /// ns_1, and its gateway that tracks connections and translates the source.
    const NETWORK: [&str; 15] = [
        "ip netns add ns_1",
        "ip link add veth3 type veth peer name veth2 netns ns_1",
        "ip addr add 1.1.1.3/24 dev veth3",
        "ip addr add 10.0.0.1/32 dev lo",
        "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
        "ip addr add fd01::3/64 dev veth3 nodad",
        "ip -n ns_1 addr add fd01::2/64 dev veth2 nodad",
        "ip link set lo up",
        "ip link set veth3 up",
        "ip -n ns_1 link set veth2 up",
        "ip -n ns_1 route add default via 1.1.1.3",
        "nft 'add table inet t'",
        "nft 'add chain inet t c { type nat hook prerouting priority -100; policy accept; }'",
        "nft 'add rule inet t c meta nfproto ipv4 udp dport 99 dnat to 10.0.0.1:53'",
        // Without a rule that asks for it, nothing tracks the connections of IPv6.
        "nft 'add rule inet t c ct state invalid drop'",
    ];

    fn observe(kind: ProbeKind, destination: &str) -> Observation {
        let from: NetnsName = "ns_1".parse().unwrap();
        let destination = destination.parse().unwrap();
        let probe = Probe { from, destination, kind, size: 56, source: None, dont_fragment: false };
        let mut watch = Watch::set(&probe, &[NetnsName::host()]).unwrap();
        watch.send();
        watch.collect(Duration::from_secs(5));
        let observation = watch.finish().unwrap();
        assert_eq!(observation.limits, []);
        observation
    }

    #[test]
    fn the_connection_and_the_neighbours_of_the_probe_are_told_of() {
        sandbox::test(|| {
            for line in NETWORK {
                apply::perform(&line.parse().unwrap()).unwrap();
            }
            let both = ["ns_1", "host"].map(|name| Netns::open(&name.parse().unwrap()).unwrap());
            assert_eq!(settle::settle(&both, Duration::from_secs(20)).unwrap(), []);
            for destination in ["1.1.1.3", "fd01::3"] {
                let seen = observe(ProbeKind::Icmp, destination);
                let news: Vec<_> = seen.connections.iter().map(|e| (e.netns.as_str(), e.change)).collect();
                assert_eq!(news.first(), Some(&("host", Change::New)), "{news:?}");
                let known = seen.neighbour_changes.iter().any(|event| {
                    event.netns.as_str() == "ns_1"
                        && event.neighbour.address.to_string() == destination
                        && event.neighbour.state == NeighbourState::Reachable
                });
                assert!(known, "{:#?}", seen.neighbour_changes);
            }
            // What is on its way to somebody else is none of ours.
            let other = std::net::UdpSocket::bind("1.1.1.3:0").unwrap();
            for _ in 0..3 {
                other.send_to(b"x", "1.1.1.2:9").unwrap();
                let seen = observe(ProbeKind::Udp(99), "1.1.1.3");
                assert!(matches!(seen.ending, Ending::IcmpError { icmp_type: 3, code: 3, .. }), "{:?}", seen.ending);
                let own: Vec<_> = seen.connections.iter().filter(|event| event.change == Change::New).collect();
                assert_eq!(own.len(), 1, "{own:#?}");
                assert_eq!(own[0].entry.reply.source.to_string(), "10.0.0.1");
                assert_eq!(own[0].entry.reply.source_port, 53);
                assert!(own[0].entry.destination_translated());
            }
        });
    }

    #[test]
    fn a_neighbour_that_is_given_up_is_told_of() {
        sandbox::test(|| {
            for line in NETWORK {
                apply::perform(&line.parse().unwrap()).unwrap();
            }
            apply::perform(&"ip -n ns_1 link set lo up".parse().unwrap()).unwrap();
            let both = ["ns_1", "host"].map(|name| Netns::open(&name.parse().unwrap()).unwrap());
            assert_eq!(settle::settle(&both, Duration::from_secs(20)).unwrap(), []);
            let seen = observe(ProbeKind::Icmp, "1.1.1.77");
            let failed = seen.neighbour_changes.iter().find(|event| event.is_failure()).unwrap();
            assert_eq!((failed.netns.as_str(), failed.neighbour.address.to_string().as_str()), ("ns_1", "1.1.1.77"));
        });
    }
}
