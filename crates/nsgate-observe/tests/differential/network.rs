//! The namespace that filters, with one on either side of it that sends; and what its packet filter is told to trace.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nsgate_core::model::Namespace;
use nsgate_core::model::lookup::{Query, look_up};
use nsgate_core::model::ruleset::{Command, Ruleset, TableId, parse};
use nsgate_core::trace::RuleEvent;
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::{apply, nftables, snapshot};
use nsgate_packet::Ip;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use super::packets::{Shot, Way, tag};

/// Two wires: `a` to the namespace left, `c` to the namespace right.
const LINES: [&str; 31] = [
    "ip netns add left",
    "ip netns add right",
    "ip link add a type veth peer name p netns left",
    "ip link add c type veth peer name q netns right",
    "ip link set a address 02:00:00:00:00:0a",
    "ip link set c address 02:00:00:00:00:0c",
    "ip -n left link set p address 02:00:00:00:00:01",
    "ip -n right link set q address 02:00:00:00:00:02",
    "ip addr add 10.1.0.1/16 dev a",
    "ip addr add fd00:1::1/64 dev a nodad",
    "ip addr add 10.2.0.1/24 dev c",
    "ip addr add fd00:2::1/64 dev c nodad",
    "ip -n left addr add 10.1.0.2/16 dev p",
    "ip -n left addr add fd00:1::2/64 dev p nodad",
    "ip -n right addr add 10.2.0.2/24 dev q",
    "ip -n right addr add fd00:2::2/64 dev q nodad",
    "ip link set a up",
    "ip link set c up",
    "ip -n left link set p up",
    "ip -n right link set q up",
    "ip route add default via 10.2.0.2",
    "ip route add default via fd00:2::2",
    "ip -n left route add default via 10.1.0.1",
    "ip -n left route add default via fd00:1::1",
    "ip -n right route add default via 10.2.0.1",
    "ip -n right route add default via fd00:2::1",
    "sysctl -w net.ipv4.ip_forward=1",
    "sysctl -w net.ipv6.conf.all.forwarding=1",
    "sysctl -w net.ipv4.conf.all.rp_filter=0",
    "sysctl -w net.ipv4.conf.a.rp_filter=0",
    "sysctl -w net.ipv4.conf.c.rp_filter=0",
];

/// Neighbours that need no asking, which rules could refuse.
const NEIGHBOURS: [&str; 6] = [
    "ip neigh add 10.2.0.2 lladdr 02:00:00:00:00:02 dev c nud permanent",
    "ip neigh add fd00:2::2 lladdr 02:00:00:00:00:02 dev c nud permanent",
    "ip -n left neigh add 10.1.0.1 lladdr 02:00:00:00:00:0a dev p nud permanent",
    "ip -n left neigh add fd00:1::1 lladdr 02:00:00:00:00:0a dev p nud permanent",
    "ip -n right neigh add 10.2.0.1 lladdr 02:00:00:00:00:0c dev q nud permanent",
    "ip -n right neigh add fd00:2::1 lladdr 02:00:00:00:00:0c dev q nud permanent",
];

/// What is traced, and the packet that comes last. The question for a connection keeps connection tracking at work.
const WATCH: &str = "table inet watch {
  chain pre {
    type filter hook prerouting priority -450; policy accept;
    ip daddr 203.0.113.255 meta nftrace set 1 drop
    iifname { \"a\", \"c\" } meta nftrace set 1
    ct state untracked counter
  }
  chain out {
    type filter hook output priority -450; policy accept;
    ip daddr 198.51.100.0/24 meta nftrace set 1
    ip6 daddr 2001:db8:100::/64 meta nftrace set 1
  }
}
";

/// The number of the packet that comes last.
const LAST: u16 = u16::MAX;
const PATIENCE: Duration = Duration::from_secs(20);

/// The network.
pub(crate) struct Network {
    /// The namespace that filters, as it is without a packet filter.
    plain: Namespace,
    tables: Vec<TableId>,
    filter: Socket,
    events: Socket,
    left: Raw,
    here: Raw,
    right: Raw,
}

/// A place to send from, for each family.
struct Raw {
    v4: OwnedFd,
    v6: OwnedFd,
}

impl Raw {
    fn open() -> Self {
        let open = |family| socket(family, SocketType::RAW, Some(ipproto::RAW)).expect("a raw socket");
        Self { v4: open(AddressFamily::INET), v6: open(AddressFamily::INET6) }
    }

    fn of(netns: &str) -> Self {
        Netns::open(&netns.parse().expect("a name")).and_then(|netns| netns.run(Self::open)).expect("a namespace")
    }

    fn send(&self, packet: &[u8]) {
        let destination = Ip::parse(packet).expect("a packet").destination;
        let socket = if destination.is_ipv4() { &self.v4 } else { &self.v6 };
        // A packet that its own namespace's rules drop is refused to the sender.
        let _ = sendto(socket, packet, SendFlags::empty(), &SocketAddr::new(destination, 0));
    }
}

/// Our namespace, once the kernel has the routes to all its addresses, which it makes in its own time.
fn settled() -> Namespace {
    let start = Instant::now();
    loop {
        let world = snapshot::take(&[]).expect("a snapshot");
        let netns = world.namespaces.into_iter().find(|netns| netns.name.as_str() == "host").expect("our namespace");
        let local = |address: &str| {
            let address = address.parse::<IpAddr>().expect("an address");
            look_up(&netns, &Query::from_here(None, address)).is_local()
        };
        if ["10.1.0.1", "10.2.0.1", "fd00:1::1", "fd00:2::1"].into_iter().all(local) {
            return netns;
        }
        assert!(start.elapsed() < PATIENCE, "addresses without routes");
        std::thread::yield_now();
    }
}

impl Network {
    /// Builds it.
    pub(crate) fn build() -> Self {
        for line in LINES.iter().chain(&NEIGHBOURS) {
            apply::perform(&line.parse().unwrap_or_else(|e| panic!("{line}: {e}"))).unwrap_or_else(|e| panic!("{e}"));
        }
        let mut events = Socket::open(Protocol::Netfilter).expect("a socket");
        events.join(nftables::TRACE_GROUP).expect("the traces");
        let mut network = Self {
            plain: settled(),
            tables: Vec::new(),
            filter: Socket::open(Protocol::Netfilter).expect("a socket"),
            events,
            left: Raw::of("left"),
            here: Raw::open(),
            right: Raw::of("right"),
        };
        network.commit(Vec::new(), WATCH);
        network.settle();
        network
    }

    fn commit(&mut self, mut commands: Vec<Command>, text: &str) {
        commands.extend(parse::commands(text, &Ruleset::default()).unwrap_or_else(|e| panic!("{e}\n{text}")));
        nftables::commit(&mut self.filter, &commands, None).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }

    /// Waits until what the left one sends arrives.
    fn settle(&mut self) {
        let start = Instant::now();
        while self.events_of(&[]).is_none() {
            assert!(start.elapsed() < PATIENCE, "nothing arrives");
        }
    }

    /// Puts another ruleset in place of the last one; gives the namespace with it, as the kernel has it.
    pub(crate) fn load(&mut self, text: &str) -> Namespace {
        let old = std::mem::take(&mut self.tables).into_iter().map(|table| Command::DeleteTable { table }).collect();
        self.commit(old, text);
        let mut ruleset = nftables::ruleset(&mut self.filter).expect("the ruleset").ruleset;
        ruleset.tables.retain(|table| table.name != "watch");
        self.tables = ruleset.tables.iter().map(|table| TableId::new(table.family, table.name.clone())).collect();
        Namespace { ruleset, ..self.plain.clone() }
    }

    /// Sends packets, and gives what the kernel told of each.
    pub(crate) fn fire(&mut self, shots: &[Shot]) -> Vec<Vec<RuleEvent>> {
        let tags: Vec<u16> = shots.iter().map(|shot| shot.tag).collect();
        for shot in shots {
            match shot.way {
                Way::In => self.left.send(&shot.bytes),
                Way::Made => self.here.send(&shot.bytes),
                Way::Back => self.right.send(&shot.bytes),
            }
        }
        self.events_of(&tags).expect("the last packet arrives")
    }

    /// Sends the last packet, and gives what was told of each of the others once that one is told of.
    fn events_of(&mut self, tags: &[u16]) -> Option<Vec<Vec<RuleEvent>>> {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let outer = nsgate_packet::build::Outer {
            id: LAST,
            ..nsgate_packet::build::Outer::new(address("10.1.0.9"), address("203.0.113.255"))
        };
        let udp = nsgate_packet::Udp { source_port: 9, destination_port: 9, payload: &[] };
        let packet = nsgate_packet::build::ip(&outer, &nsgate_packet::Transport::Udp(udp)).expect("a packet");
        self.left.send(&packet);
        let mut found = vec![Vec::new(); tags.len()];
        // The kernel's numbers of packets, and ours.
        let mut known = std::collections::HashMap::new();
        let start = Instant::now();
        let netns = self.plain.name.clone();
        while start.elapsed() < Duration::from_secs(2) {
            let events = self.events.events().expect("events");
            assert!(!events.lost, "too many events");
            for event in events.messages().filter_map(|message| nftables::trace_event(&message, &netns)) {
                if let Some(tag) = tag(&event.bytes) {
                    known.insert(event.packet, tag);
                }
                let tag = known.get(&event.packet).copied();
                if tag == Some(LAST) {
                    return Some(found);
                }
                let at = tags.iter().position(|other| Some(*other) == tag);
                if let Some(at) = at.filter(|_| event.table.name != "watch") {
                    found[at].push(event);
                }
            }
            std::thread::yield_now();
        }
        None
    }
}
