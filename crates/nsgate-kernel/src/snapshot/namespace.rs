//! One namespace, read by a thread that is in it.

use nsgate_core::model::{Bridge, Limit, LinkIndex, LinkKind, Namespace, NetnsName};

use super::settings;
use crate::error::{Error, Kind};
use crate::netlink::{Listing, Protocol, Socket};
use crate::netns::Netns;
use crate::{bpf, conntrack, ipset, legacy, nftables, rtnetlink, sockets, traffic_control, xfrm};

/// What one look at a namespace gave.
pub(super) struct Look {
    /// The namespace.
    pub(super) namespace: Namespace,
    /// The interfaces whose peers are elsewhere, with the number by which the namespace knows that place.
    pub(super) hidden: Vec<Hidden>,
    /// What could not be read.
    pub(super) limits: Vec<Limit>,
}

/// An interface whose peer is in another namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hidden {
    /// The interface.
    pub(super) link: LinkIndex,
    /// The number of the other namespace.
    pub(super) netnsid: i32,
}

/// How much of a namespace is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Depth {
    /// Everything.
    #[default]
    Whole,
    /// Its interfaces and their addresses.
    Outline,
}

/// Reads the namespace that the calling thread is in.
pub(super) fn look(netns: &Netns, depth: Depth, settings: &mut settings::Reader) -> Look {
    let namespace = Namespace::new(netns.name().clone(), netns.inode());
    let mut look = Look { namespace, hidden: Vec::new(), limits: Vec::new() };
    if depth == Depth::Outline {
        look.read_outline();
        return look;
    }
    look.read_network();
    look.read_packet_filter();
    look.read_sockets();
    look.read_settings(settings);
    look.read_connection_tracking();
    look.read_xfrm();
    look
}

impl Look {
    /// Interfaces, addresses, routes, policy rules and neighbours.
    fn read_network(&mut self) {
        let mut socket = match Socket::open(Protocol::Route) {
            Ok(socket) => socket,
            Err(error) => return self.limit("interfaces, addresses, routes, policy rules and neighbours", &error),
        };
        self.read_links(&mut socket);
        self.read_bridges(&mut socket);
        self.read_traffic_control(&mut socket);
        self.read_programs();
        self.read_addresses(&mut socket);
        let found = rtnetlink::routes(&mut socket);
        self.namespace.routes = self.whole("routes", found);
        let found = rtnetlink::rules(&mut socket);
        self.namespace.rules = self.whole("policy rules", found);
        let found = rtnetlink::nexthop_objects(&mut socket);
        self.namespace.nexthop_objects = self.whole("nexthop objects", found);
        let found = rtnetlink::neighbours(&mut socket);
        self.namespace.neighbours = self.whole("neighbours", found);
    }

    /// Interfaces and addresses: who is wired to whom, and who is called what.
    fn read_outline(&mut self) {
        match Socket::open(Protocol::Route) {
            Ok(mut socket) => {
                self.read_links(&mut socket);
                self.read_addresses(&mut socket);
            }
            Err(error) => self.limit("interfaces and addresses", &error),
        }
    }

    fn read_links(&mut self, socket: &mut Socket) {
        let found = rtnetlink::links(socket);
        for found in self.whole("interfaces", found) {
            self.hidden.extend(found.netnsid.map(|netnsid| Hidden { link: found.link.index, netnsid }));
            self.namespace.programs.extend(found.programs);
            self.namespace.links.push(found.link);
        }
    }

    fn read_addresses(&mut self, socket: &mut Socket) {
        let found = rtnetlink::addresses(socket);
        for (index, address) in self.whole("addresses", found) {
            if let Some(link) = self.namespace.links.iter_mut().find(|link| link.index == index) {
                link.addresses.push(address);
            }
        }
    }

    /// Queueing disciplines, with their classes and filters.
    fn read_traffic_control(&mut self, socket: &mut Socket) {
        let found = traffic_control::qdiscs(socket);
        let qdiscs = self.whole("queueing disciplines", found);
        let found = traffic_control::classes(socket, &qdiscs);
        self.namespace.traffic_classes = self.whole("traffic classes", found);
        let found = traffic_control::filters(socket, &qdiscs);
        self.namespace.traffic_filters = self.whole("traffic filters", found);
        self.namespace.qdiscs = qdiscs;
    }

    /// BPF programs on interfaces, and the names of all. Whoever may not look is told so once for all namespaces.
    fn read_programs(&mut self) {
        for link in &self.namespace.links {
            let Ok(programs) = bpf::attached(link.index, &link.kind) else { break };
            self.namespace.programs.extend(programs);
        }
        for program in &mut self.namespace.programs {
            program.name = bpf::name(program.id);
        }
    }

    /// The VLANs of bridge ports, and the forwarding databases, where there is anything that has them.
    fn read_bridges(&mut self, socket: &mut Socket) {
        let some = |of: fn(&LinkKind) -> bool| self.namespace.links.iter().any(|link| of(&link.kind));
        let filtering = some(|kind| matches!(kind, LinkKind::Bridge(Bridge { vlan_filtering: true, .. })));
        let forwarding = some(|kind| matches!(kind, LinkKind::Bridge(_) | LinkKind::Vxlan { .. }));
        if filtering {
            let found = rtnetlink::port_vlans(socket);
            for (index, vlans) in self.whole("VLANs of bridge ports", found) {
                let Some(link) = self.namespace.links.iter_mut().find(|link| link.index == index) else { continue };
                match (&mut link.port, &link.kind) {
                    (Some(port), _) => port.vlans = vlans,
                    (None, LinkKind::Bridge(_)) => link.vlans = vlans,
                    _ => {}
                }
            }
        }
        if forwarding {
            let found = rtnetlink::forwarding(socket);
            self.namespace.forwarding = self.whole("the forwarding database", found);
        }
    }

    /// nftables, and which tables of the older engine there are.
    fn read_packet_filter(&mut self) {
        let what = "the packet filter";
        match Socket::open(Protocol::Netfilter).and_then(|mut socket| nftables::ruleset(&mut socket)) {
            Ok(reading) => {
                if reading.unread > 0 {
                    self.limit(what, &format!("{} of its objects cannot be understood", reading.unread));
                }
                if !reading.consistent {
                    self.limit(what, &"it kept changing while it was read");
                }
                self.namespace.ruleset = reading.ruleset;
            }
            Err(error) => self.limit(what, &error),
        }
        let bridges = self.namespace.links.iter().any(|link| matches!(link.kind, LinkKind::Bridge(_)));
        let legacy = legacy::tables(bridges);
        self.namespace.ruleset.legacy_tables = legacy.names;
        self.namespace.ruleset.legacy = legacy.tables;
        let sets = ipset::complete(&mut self.namespace.ruleset);
        for (what, error) in legacy.unread.into_iter().chain(sets) {
            self.limit(&what, &error);
        }
    }

    fn read_sockets(&mut self) {
        let found = Socket::open(Protocol::SockDiag).and_then(|mut socket| sockets::listeners(&mut socket));
        self.namespace.listeners = self.whole("listening sockets", found);
    }

    fn read_settings(&mut self, settings: &mut settings::Reader) {
        let (sysctls, failed) = settings.read_here();
        for (name, error) in failed {
            self.limit(name.as_str(), &error);
        }
        self.namespace.sysctls = sysctls;
    }

    /// How full the connection-tracking table is. To ask where it is not loaded would load it.
    fn read_connection_tracking(&mut self) {
        if self.namespace.sysctls.get("net.netfilter.nf_conntrack_count").is_none() {
            return;
        }
        match Socket::open(Protocol::Netfilter).and_then(|mut socket| conntrack::table(&mut socket)) {
            Ok(table) => self.namespace.conntrack = Some(table),
            Err(error) => self.limit("the connection-tracking table", &error),
        }
    }

    /// IPsec policies and states. A kernel without them has none.
    fn read_xfrm(&mut self) {
        let mut socket = match Socket::open(Protocol::Xfrm) {
            Ok(socket) => socket,
            Err(error) if error.kind() == Kind::MissingFeature => return,
            Err(error) => return self.limit("IPsec policies and states", &error),
        };
        let found = xfrm::policies(&mut socket);
        self.namespace.xfrm.policies = self.whole("IPsec policies", found);
        let found = xfrm::states(&mut socket);
        self.namespace.xfrm.states = self.whole("IPsec states", found);
        match xfrm::refused_by_default(&mut socket) {
            Ok(refused) => self.namespace.xfrm.refused_by_default = refused,
            Err(error) => self.limit("what IPsec refuses by default", &error),
        }
    }

    /// The objects of a listing; what is wrong with it becomes a limit.
    fn whole<T>(&mut self, what: &str, found: Result<Listing<T>, Error>) -> Vec<T> {
        let listing = match found {
            Ok(listing) => listing,
            Err(error) => {
                self.limit(what, &error);
                return Vec::new();
            }
        };
        if listing.unread > 0 {
            self.limit(what, &format!("{} of them cannot be understood", listing.unread));
        }
        if !listing.consistent {
            self.limit(what, &"they kept changing while they were read");
        }
        listing.items
    }

    fn limit(&mut self, what: &str, why: &impl ToString) {
        let netns: NetnsName = self.namespace.name.clone();
        self.limits.push(Limit { netns: Some(netns), what: what.into(), why: why.to_string() });
    }
}
