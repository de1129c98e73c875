//! The experiment as a World, and probes that got so far and no further: what the causes are tested with.
//!
//! `ns_1` veth2 1.1.1.2/24 — veth3 1.1.1.3/24 `host` eth2 10.20.30.182/24 — w0 10.20.30.1/24 `world`, which holds
//! 114.114.114.114; the same with 2001:db8:{1,20,114}. Everything is healthy, and nothing translates.

use std::net::IpAddr;

use crate::model::{
    Address, AddressFlags, Bridge, BridgePort, Family, Link, LinkIndex, LinkKind, LinkQueues, Mac, Namespace,
    NetnsName, NextHop, OperState, Peer, Route, RouteKind, Rule, RuleAction, Scope, Setting, Sysctl, TABLE_LOCAL,
    TABLE_MAIN, World,
};
use crate::trace::{
    Addressee, Counters, Ending, Header, Identity, Journey, KernelEvent, KernelEventKind, Leg, Observation, Probe,
    ProbeKind, Sight, Watched, Way, Window,
};

/// A World and what was seen in it.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) observation: Observation,
}

pub(crate) fn name(text: &str) -> NetnsName {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An echo request of the experiment as the gateway received it, without what it carries.
pub(crate) const ECHO: [u8; 28] =
    [0x45, 0, 0, 84, 0, 0, 0, 0, 63, 1, 0, 0, 1, 1, 1, 2, 114, 114, 114, 114, 8, 0, 0, 0, 0, 7, 0, 1];

/// What the kernel told of that request at the gateway.
pub(crate) fn kernel_event(kind: KernelEventKind) -> KernelEvent {
    KernelEvent {
        time: 0,
        netns: Some(name("host")),
        link: None,
        kind,
        buffer: 1,
        mark: 0,
        addressee: Addressee::Host,
        ethertype: 0x0800,
        bytes: ECHO.into(),
        length: 98,
    }
}

impl Fixture {
    /// The healthy experiment; the probe is an echo request from `ns_1` that nothing was heard of.
    pub(crate) fn experiment() -> Self {
        let mut host = netns("host", 1);
        host.links.push(veth(2, "veth3", &["1.1.1.3/24", "2001:db8:1::3/64"], ("ns_1", 2)));
        host.links.push(veth(3, "eth2", &["10.20.30.182/24", "2001:db8:20::182/64"], ("world", 2)));
        default_routes(&mut host, 3, ["10.20.30.1", "2001:db8:20::1"]);
        let mut ns_1 = netns("ns_1", 2);
        ns_1.links.push(veth(2, "veth2", &["1.1.1.2/24", "2001:db8:1::2/64"], ("host", 2)));
        default_routes(&mut ns_1, 2, ["1.1.1.3", "2001:db8:1::3"]);
        let mut world = netns("world", 3);
        world.links.push(veth(2, "w0", &["10.20.30.1/24", "2001:db8:20::1/64"], ("host", 3)));
        hold(&mut world, 1, "114.114.114.114/32");
        hold(&mut world, 1, "2001:db8:114::114/128");
        let mut fixture = Self {
            world: World { namespaces: vec![host, ns_1, world], ..World::default() },
            observation: observation("114.114.114.114", ProbeKind::Icmp),
        };
        fixture.connect_all();
        fixture
    }

    /// `ns_1` (1.1.1.2) and `ns_2` (1.1.1.4) on the bridge br0 (1.1.1.3) of `host`, by its ports veth3 and veth4; the
    /// probe is an echo request from one to the other.
    pub(crate) fn lan() -> Self {
        let bridge = LinkIndex(9);
        let port = |index, link, peer| Link {
            master: Some(bridge),
            port: Some(BridgePort::default()),
            ..veth(index, link, &[], (peer, 2))
        };
        let mut host = netns("host", 1);
        host.links.push(port(2, "veth3", "ns_1"));
        host.links.push(port(3, "veth4", "ns_2"));
        let kind = LinkKind::Bridge(Bridge::default());
        host.links.push(Link { kind, peer: Peer::None, ..veth(9, "br0", &["1.1.1.3/24"], ("x", 0)) });
        let mut ns_1 = netns("ns_1", 2);
        ns_1.links.push(veth(2, "veth2", &["1.1.1.2/24"], ("host", 2)));
        let mut ns_2 = netns("ns_2", 3);
        ns_2.links.push(veth(2, "veth2", &["1.1.1.4/24"], ("host", 3)));
        let mut namespaces = vec![host, ns_1, ns_2];
        for netns in &mut namespaces {
            let inode = netns.inode as u8;
            for link in netns.links.iter_mut().filter(|link| link.index.0 > 1) {
                link.mac = Some(Mac([2, 0, 0, 0, inode, link.index.0 as u8]));
            }
        }
        let world = World { namespaces, ..World::default() };
        let mut fixture = Self { world, observation: observation("1.1.1.4", ProbeKind::Icmp) };
        fixture.connect_all();
        fixture
    }

    /// The experiment with a tunnel vxlan10 over it, between `ns_1` (10.200.0.2) and `host` (10.200.0.1), of which
    /// `ns_1` does not know where its other end is; the probe is an echo request through it.
    pub(crate) fn overlay() -> Self {
        let mut fixture = Self::experiment();
        for (netns, local, address, mac) in [
            ("host", "1.1.1.3", "10.200.0.1/24", [2, 0, 0, 0, 10, 1]),
            ("ns_1", "1.1.1.2", "10.200.0.2/24", [2, 0, 0, 0, 10, 2]),
        ] {
            let kind = LinkKind::Vxlan { vni: 10, remote: None, local: Some(ip(local)), port: 4789 };
            let link = Link { kind, mac: Some(Mac(mac)), peer: Peer::None, ..veth(9, "vxlan10", &[address], ("x", 0)) };
            let routes: Vec<Route> = connected(&link).into_iter().collect();
            let netns = fixture.netns(netns);
            netns.routes.extend(routes);
            netns.links.push(link);
        }
        fixture.observation = observation("10.200.0.1", ProbeKind::Icmp);
        fixture
    }

    /// Everything that was seen came in frames from this interface to that one, or to everybody.
    pub(crate) fn framed(&mut self, from: (&str, &str), to: Option<(&str, &str)>) {
        let mut mac = |(netns, link): (&str, &str)| self.link(netns, link).mac.unwrap();
        let macs = (mac(from), to.map_or(Mac([255; 6]), &mut mac));
        for sight in &mut self.observation.journey.sights {
            sight.header.macs = Some(macs);
        }
    }

    /// The same with an IPv6 probe.
    pub(crate) fn experiment6() -> Self {
        let observation = observation("2001:db8:114::114", ProbeKind::Icmp);
        Self { observation, ..Self::experiment() }
    }

    /// The experiment's request, which came to the gateway and left it nowhere.
    pub(crate) fn lost_at_the_gateway() -> Self {
        let mut fixture = Self::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        for sight in &mut fixture.observation.journey.sights {
            sight.bytes = ECHO.into();
        }
        fixture
    }

    /// The same with another kind of probe.
    pub(crate) fn probing(mut self, kind: ProbeKind) -> Self {
        self.observation = observation(&self.observation.probe.destination.to_string(), kind);
        self
    }

    /// A namespace, to be changed.
    pub(crate) fn netns(&mut self, netns: &str) -> &mut Namespace {
        self.world.namespaces.iter_mut().find(|n| n.name.as_str() == netns).unwrap()
    }

    /// An interface, to be changed.
    pub(crate) fn link(&mut self, netns: &str, link: &str) -> &mut Link {
        self.netns(netns).links.iter_mut().find(|l| l.name.as_str() == link).unwrap()
    }

    /// Sets a kernel setting of a namespace.
    pub(crate) fn sysctl(&mut self, netns: &str, sysctl: &'static str, value: &str) {
        self.netns(netns).sysctls.insert(Sysctl::known(sysctl), value.into());
    }

    /// Sets a kernel setting of an interface.
    pub(crate) fn setting(&mut self, netns: &str, link: &str, family: Family, setting: Setting, value: i32) {
        let link = self.link(netns, link);
        let settings = match family {
            Family::V4 => &mut link.settings4,
            Family::V6 => &mut link.settings6,
        };
        settings[setting.place(family).unwrap()] = value;
    }

    /// The probe was seen at these interfaces, in this order: `ns_1:veth2>` going out, `host:veth3<` coming in.
    pub(crate) fn seen(&mut self, leg: Leg, source: &str, destination: &str, places: &[&str]) {
        for place in places {
            let (place, way) = match place.strip_suffix('>') {
                Some(place) => (place, Way::Out),
                None => (place.strip_suffix('<').unwrap(), Way::In),
            };
            let (netns, link) = place.split_once(':').unwrap();
            let index = self.world.namespace(&name(netns)).unwrap().link_named(link).unwrap().index;
            let header = header(ip(source), ip(destination), self.observation.probe.kind);
            let time = self.observation.journey.sights.len() as u64;
            let (bytes, ethernet) = (Vec::new(), None);
            let sight =
                Sight { time, netns: name(netns), link: index, way, leg, header, bytes, ethernet, tunnel: None };
            self.observation.journey.sights.push(sight);
        }
    }

    /// The request got this far with its own addresses.
    pub(crate) fn request_seen(&mut self, places: &[&str]) {
        let (source, destination) = match self.observation.probe.destination {
            IpAddr::V4(_) => ("1.1.1.2", "114.114.114.114"),
            IpAddr::V6(_) => ("2001:db8:1::2", "2001:db8:114::114"),
        };
        self.seen(Leg::Request, source, destination, places);
    }

    /// A counter of a namespace moved by one.
    pub(crate) fn counted(&mut self, netns: &str, counter: &str) {
        let watched = self.observation.watched.iter_mut().find(|w| w.netns.as_str() == netns).unwrap();
        watched.counters.insert(counter, 1);
    }

    /// The verdict.
    pub(crate) fn explained(&self) -> super::Verdict {
        super::explain(&self.world, &self.observation).verdict
    }

    /// The verdict's code, place and object, for comparing.
    pub(crate) fn verdict(&self) -> (String, String, String) {
        let verdict = self.explained();
        let place = match &verdict.place.link {
            Some(link) => format!("{}/{link}", verdict.place.netns),
            None => verdict.place.netns.to_string(),
        };
        (verdict.cause.to_string(), place, verdict.object)
    }

    /// Adds the routes that come with the addresses.
    fn connect_all(&mut self) {
        for netns in &mut self.world.namespaces {
            let connected: Vec<Route> = netns.links.iter().flat_map(connected).collect();
            netns.routes.extend(connected);
        }
    }
}

fn netns(text: &str, inode: u64) -> Namespace {
    let mut netns = Namespace::new(name(text), inode);
    let loopback =
        Link { name: "lo".parse().unwrap(), kind: LinkKind::Loopback, ..veth(1, "x", &["127.0.0.1/8"], ("x", 0)) };
    netns.links.push(Link { peer: Peer::None, ..loopback });
    for family in Family::BOTH {
        for (priority, table) in [(0, TABLE_LOCAL), (32766, TABLE_MAIN)] {
            netns.rules.push(rule(family, priority, RuleAction::Table(table)));
        }
    }
    for sysctl in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        netns.sysctls.insert(Sysctl::known(sysctl), "1".into());
    }
    netns.sysctls.insert(Sysctl::known("net.ipv4.conf.all.rp_filter"), "0".into());
    netns
}

pub(crate) fn rule(family: Family, priority: u32, action: RuleAction) -> Rule {
    Rule {
        family,
        priority,
        inverted: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        mark: None,
        tos: 0,
        protocol: None,
        source_ports: None,
        destination_ports: None,
        users: None,
        vrf: false,
        suppress_prefix_length: None,
        action,
        made_by: 2,
    }
}

fn veth(index: u32, link: &str, addresses: &[&str], peer: (&str, u32)) -> Link {
    let mut settings4 = vec![0; 33];
    settings4[Setting::Forwarding.place(Family::V4).unwrap()] = 1;
    let addresses = addresses.iter().map(|a| address(a));
    Link {
        index: LinkIndex(index),
        name: link.parse().unwrap(),
        kind: LinkKind::Veth,
        mac: None,
        mtu: 1500,
        up: true,
        carrier: true,
        resolves_neighbours: true,
        promiscuous: false,
        state: OperState::Up,
        master: None,
        port: None,
        process: None,
        peer: Peer::There(name(peer.0), LinkIndex(peer.1)),
        vlans: Vec::new(),
        queues: LinkQueues::default(),
        group: 0,
        alias: None,
        addresses: addresses.collect(),
        settings4,
        settings6: vec![0; 60],
    }
}

pub(crate) fn address(net: &str) -> Address {
    let flags = AddressFlags { permanent: true, ..AddressFlags::default() };
    Address { net: net.parse().unwrap(), peer: None, broadcast: None, flags, protocol: 0 }
}

fn hold(netns: &mut Namespace, link: u32, address: &str) {
    let address = Address {
        net: address.parse().unwrap(),
        peer: None,
        broadcast: None,
        flags: AddressFlags::default(),
        protocol: 0,
    };
    netns.links.iter_mut().find(|l| l.index.0 == link).unwrap().addresses.push(address);
}

pub(crate) fn route(table: u32, destination: &str, kind: RouteKind, link: Option<u32>, gateway: Option<&str>) -> Route {
    let hop = |l| NextHop { gateway: gateway.map(ip), link: Some(LinkIndex(l)), weight: 1, ..NextHop::default() };
    Route {
        table,
        destination: destination.parse().unwrap(),
        from: None,
        tos: 0,
        kind,
        scope: Scope::Global,
        metric: 0,
        protocol: 3,
        source: None,
        next_hops: link.map(hop).into_iter().collect(),
        nexthop_object: None,
        mtu: None,
    }
}

fn default_routes(netns: &mut Namespace, link: u32, gateways: [&str; 2]) {
    for (destination, gateway) in ["0.0.0.0/0", "::/0"].into_iter().zip(gateways) {
        netns.routes.push(route(TABLE_MAIN, destination, RouteKind::Unicast, Some(link), Some(gateway)));
    }
}

fn connected(link: &Link) -> Vec<Route> {
    let both = |a: &Address| {
        let (own, net) = (ipnet::IpNet::from(a.net.addr()).to_string(), a.net.trunc().to_string());
        let local = route(TABLE_LOCAL, &own, RouteKind::Local, Some(link.index.0), None);
        let on_link = route(TABLE_MAIN, &net, RouteKind::Unicast, Some(link.index.0), None);
        [local, on_link]
    };
    link.addresses.iter().flat_map(both).collect()
}

fn header(source: IpAddr, destination: IpAddr, kind: ProbeKind) -> Header {
    Header {
        source,
        destination,
        source_port: kind.port().map(|_| 40000),
        destination_port: kind.port(),
        protocol: 1,
        ttl: 64,
        length: 84,
        macs: None,
        reset: false,
        segment: None,
        text: format!("{source} > {destination}"),
    }
}

fn observation(destination: &str, kind: ProbeKind) -> Observation {
    let destination = ip(destination);
    let source = if destination.is_ipv4() { ip("1.1.1.2") } else { ip("2001:db8:1::2") };
    let watched = ["host", "ns_1", "world"].map(|n| Watched {
        netns: name(n),
        lost: 0,
        counters: Counters::default(),
        routers_heard: Vec::new(),
    });
    Observation {
        probe: Probe {
            from: name("ns_1"),
            destination,
            kind,
            size: kind.usual_size(),
            source: None,
            dont_fragment: false,
        },
        identity: Some(Identity {
            cookie: [0; 8],
            sequence: 0,
            span: 2,
            source: (source, 7).into(),
            destination: (destination, kind.port().unwrap_or(0)).into(),
        }),
        ending: Ending::Silence,
        journey: Journey::default(),
        kernel: Vec::new(),
        rules: Vec::new(),
        counted: Vec::new(),
        connections: Vec::new(),
        neighbour_changes: Vec::new(),
        watched: watched.to_vec(),
        tracked: Vec::new(),
        crowds: Vec::new(),
        neighbours: Vec::new(),
        routes: Vec::new(),
        attempts: 1,
        repeated: None,
        waited: 1000,
        window: Window::default(),
        limits: Vec::new(),
    }
}
