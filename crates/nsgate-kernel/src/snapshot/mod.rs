//! What is: every network namespace that can be seen, read from the kernel once.
//!
//! Reading changes nothing. A part that cannot be read, or that kept changing meanwhile, is named in the World's limits;
//! whatever else there is, is read all the same. Only what the caller asked for by name and is not there is an error.

mod elsewhere;
mod namespace;
mod peers;
mod settings;
mod survey;

use std::collections::BTreeMap;

use nsgate_core::model::{Limit, Machine, Namespace, NeighbourTable, NetnsName, World};

use self::namespace::{Depth, Hidden, Look};
pub use self::survey::Survey;
use crate::error::Error;
use crate::netlink::{Protocol, Socket};
use crate::netns::{self, Netns};
use crate::{bpf, containers, rtnetlink};

/// How far a snapshot goes beyond the namespaces that have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// No further.
    Named,
    /// To those that a wire leads to.
    Wired,
    /// To all that any process is in, or that are mounted anywhere; processes are told, and what was not found.
    All,
}

/// Reads the namespace nsgate runs in, all that have names under `/run/netns`, and those given besides.
pub fn take(besides: &[NetnsName]) -> Result<World, Error> {
    take_as_far_as(Reach::Named, besides)
}

/// The same, and what else there is as far as this.
pub fn take_as_far_as(reach: Reach, besides: &[NetnsName]) -> Result<World, Error> {
    read(Seen::all(besides)?, reach)
}

/// Reads these namespaces and no others.
pub fn take_only(names: &[NetnsName]) -> Result<World, Error> {
    let mut seen = Seen::default();
    seen.add_named(names)?;
    read(seen, Reach::Named)
}

/// The release of the running kernel, such as `6.12.5`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The namespaces to be read: each once, however many names it has.
#[derive(Default)]
struct Seen {
    open: Vec<Netns>,
    aliases: BTreeMap<u64, Vec<NetnsName>>,
    limits: Vec<Limit>,
}

impl Seen {
    /// The namespace nsgate runs in, all that have names, and those given besides.
    fn all(besides: &[NetnsName]) -> Result<Self, Error> {
        let mut seen = Self::default();
        seen.add(Netns::host()?);
        for listed in netns::list()? {
            if listed.stale {
                seen.limit(&listed.name, &"stale name: nothing is mounted there");
                continue;
            }
            match Netns::open(&listed.name) {
                Ok(netns) => seen.add(netns),
                Err(error) => seen.limit(&listed.name, &error),
            }
        }
        seen.add_named(besides)?;
        Ok(seen)
    }

    fn add(&mut self, netns: Netns) {
        match self.open.iter().find(|known| known.inode() == netns.inode()) {
            None => self.open.push(netns),
            Some(known) if known.name() != netns.name() => self.alias(netns.inode(), netns.name().clone()),
            Some(_) => {}
        }
    }

    /// Adds what was asked for. Commands cannot name a container's namespace but by its process.
    fn add_named(&mut self, names: &[NetnsName]) -> Result<(), Error> {
        for name in names {
            if name.container().is_none() {
                self.add(Netns::open(name)?);
                continue;
            }
            let netns = elsewhere::of_process(containers::process_of(name)?)?;
            self.alias(netns.inode(), name.clone());
            self.add(netns);
        }
        Ok(())
    }

    fn alias(&mut self, inode: u64, name: NetnsName) {
        let aliases = self.aliases.entry(inode).or_default();
        if !aliases.contains(&name) {
            aliases.push(name);
        }
    }

    fn limit(&mut self, netns: &NetnsName, why: &impl ToString) {
        self.limits.push(limit(netns, why));
    }
}

fn limit(netns: &NetnsName, why: &impl ToString) -> Limit {
    Limit { netns: Some(netns.clone()), what: "the namespace".into(), why: why.to_string() }
}

/// What has been read. The three lists are in the same order.
#[derive(Default)]
struct Reading {
    namespaces: Vec<Namespace>,
    wires: Vec<Vec<Hidden>>,
    open: Vec<Netns>,
    depth: Depth,
}

impl Reading {
    /// Looks at what there is to be read, and finds out where its wires lead.
    fn look(&mut self, seen: &mut Seen) -> Result<(), Error> {
        let open = std::mem::take(&mut seen.open);
        let all: Vec<&Netns> = open.iter().collect();
        let looks = netns::visit_at_once(&all, |netns, settings| namespace::look(netns, self.depth, settings))?;
        for (netns, look) in open.into_iter().zip(looks) {
            match look {
                Ok(Look { namespace, hidden, limits }) => {
                    self.namespaces.push(namespace);
                    self.wires.push(hidden);
                    self.open.push(netns);
                    seen.limits.extend(limits);
                }
                Err(error) => seen.limit(netns.name(), &error),
            }
        }
        peers::resolve(&mut self.namespaces, &self.wires, &self.open)
    }
}

fn read(mut seen: Seen, reach: Reach) -> Result<World, Error> {
    read_as_far_as(&mut Reading::default(), &mut seen, reach)
}

/// Reads what was seen, and what else there is as far as this.
fn read_as_far_as(reading: &mut Reading, seen: &mut Seen, reach: Reach) -> Result<World, Error> {
    reading.look(seen)?;
    elsewhere::read(reading, seen, reach)?;
    for namespace in &mut reading.namespaces {
        namespace.aliases = seen.aliases.remove(&namespace.inode).unwrap_or_default();
        namespace.aliases.retain(|alias| *alias != namespace.name);
    }
    let (programs, limits) = bpf::of_machine();
    seen.limits.extend(limits);
    let neighbour_tables = neighbour_tables(&mut seen.limits);
    let machine = Machine { neighbour_tables, programs, control_group: bpf::own_group() };
    let (namespaces, limits) = (std::mem::take(&mut reading.namespaces), std::mem::take(&mut seen.limits));
    Ok(World { namespaces, machine, limits })
}

/// The neighbour tables of the machine.
fn neighbour_tables(limits: &mut Vec<Limit>) -> Vec<NeighbourTable> {
    match Socket::open(Protocol::Route).and_then(|mut socket| rtnetlink::neighbour_tables(&mut socket)) {
        Ok(found) => found.items,
        Err(error) => {
            limits.push(Limit { netns: None, what: "the neighbour tables".into(), why: error.to_string() });
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use nsgate_core::model::saved::Saved;
    use nsgate_core::model::{Family, Peer, Setting, Transport};

    use super::*;
    use crate::apply::perform;
    use crate::error::Kind;
    use crate::sandbox::test;

    fn name(text: &str) -> NetnsName {
        text.parse().unwrap()
    }

    fn build(lines: &[&str]) {
        for line in lines {
            perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// What could not be read of namespaces. What may be known of BPF programs depends on who runs the test.
    fn limits(world: &World) -> Vec<&Limit> {
        world.limits.iter().filter(|limit| limit.netns.is_some()).collect()
    }

    /// Which interface of which namespace is at the other end.
    fn peer(world: &World, netns: &str, link: &str) -> Option<(String, String)> {
        let netns = world.namespace(&name(netns)).unwrap();
        let (there, end) = world.peer(netns, netns.link_named(link).unwrap())?;
        Some((there.name.to_string(), end.name.to_string()))
    }

    #[test]
    fn the_article_is_read_whole() {
        test(|| {
            build(&[
                "ip netns add ns_1",
                "ip link add veth3 type veth peer name veth2 netns ns_1",
                "ip link set veth3 up",
                "ip -n ns_1 link set veth2 up",
                "ip addr add 1.1.1.3/24 dev veth3",
                "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
                "ip -n ns_1 route add default via 1.1.1.3",
                "sysctl -w net.ipv4.conf.veth3.rp_filter=1",
                "sysctl -w net.ipv4.ip_forward=0",
                "ip neigh add 1.1.1.9 lladdr 02:00:00:00:00:09 dev veth3",
            ]);
            let server = std::net::TcpListener::bind("0.0.0.0:80").unwrap();
            let world = take(&[]).unwrap();
            assert_eq!(limits(&world), Vec::<&Limit>::new());
            let names: Vec<_> = world.namespaces.iter().map(|n| n.name.to_string()).collect();
            assert_eq!(names, ["host", "ns_1"]);
            assert_eq!(peer(&world, "host", "veth3"), Some(("ns_1".into(), "veth2".into())));
            assert_eq!(peer(&world, "ns_1", "veth2"), Some(("host".into(), "veth3".into())));
            let (host, inner) = (&world.namespaces[0], &world.namespaces[1]);
            let veth3 = host.link_named("veth3").unwrap();
            assert!(veth3.usable() && veth3.holds("1.1.1.3".parse().unwrap()));
            assert_eq!(veth3.setting(Family::V4, Setting::RpFilter), Some(1));
            assert_eq!(veth3.setting(Family::V4, Setting::Forwarding), Some(0));
            assert_eq!(host.sysctls.number("net.ipv4.ip_forward"), Some(0));
            assert_eq!(host.setting_of_all(Family::V6, Setting::Forwarding), Some(0));
            assert!(host.neighbours.iter().any(|n| n.address.to_string() == "1.1.1.9"));
            let tables = &world.machine.neighbour_tables;
            assert_eq!(tables.iter().map(|table| table.family).collect::<Vec<_>>(), Family::BOTH);
            assert!(tables.iter().all(|table| table.keep <= table.soft_limit && table.hard_limit > 0), "{tables:?}");
            assert!(veth3.queues.transmit >= 1 && veth3.queues.length > 0, "{:?}", veth3.queues);
            assert!(host.listeners.iter().any(|l| l.port == 80 && l.transport == Transport::Tcp));
            assert!(inner.listeners.is_empty());
            let saved = Saved::new(world.clone(), 0, kernel_release());
            assert_eq!(Saved::read(saved.write().unwrap().as_bytes()).unwrap().world, world);
            assert!(inner.routes.iter().any(|r| r.destination.to_string() == "0.0.0.0/0"));
            assert_eq!(inner.rules.len(), host.rules.len());
            drop(server);
        });
    }

    #[test]
    fn wires_between_all_namespaces_are_followed() {
        test(|| {
            build(&[
                "ip netns add a",
                "ip netns add b",
                "ip netns add c",
                "ip -n a link add ab type veth peer name ba netns b",
                "ip -n b link add bc type veth peer name cb netns c",
                "ip link add ha type veth peer name ah netns a",
                "ip link add x type veth peer name y",
                "ip -n c link add mv link cb type macvlan mode bridge",
                "ip -n c link set mv netns b",
            ]);
            let world = take(&[]).unwrap();
            for (netns, link, there, end) in [
                ("a", "ab", "b", "ba"),
                ("b", "ba", "a", "ab"),
                ("b", "bc", "c", "cb"),
                ("c", "cb", "b", "bc"),
                ("a", "ah", "host", "ha"),
                ("host", "ha", "a", "ah"),
                ("host", "x", "host", "y"),
                ("b", "mv", "c", "cb"),
            ] {
                assert_eq!(peer(&world, netns, link), Some((there.into(), end.into())), "{netns} {link}");
            }
            let only = take_only(&[name("b")]).unwrap();
            assert!(matches!(only.namespaces[0].link_named("ba").unwrap().peer, Peer::Hidden(_)));
        });
    }

    #[test]
    fn names_that_mean_the_same_namespace_are_one() {
        test(|| {
            build(&["ip netns add blue"]);
            std::fs::write("/run/netns/left", "").unwrap();
            let own = name(&format!("pid:{}", std::fs::read_link("/proc/self").unwrap().display()));
            let world = take(&[own.clone(), name("/run/netns/blue")]).unwrap();
            assert_eq!(world.namespaces.len(), 2);
            assert_eq!(world.namespace(&own).unwrap().name, NetnsName::host());
            assert_eq!(world.namespace(&name("/run/netns/blue")).unwrap().name, name("blue"));
            let limits = limits(&world);
            assert_eq!(limits.len(), 1, "{limits:?}");
            assert_eq!(limits[0].netns, Some(name("left")));
            assert_eq!(take(&[name("green")]).unwrap_err().kind(), Kind::NotFound);
        });
    }

    /// A process that does nothing in a namespace, until this is dropped.
    struct Sleeper(std::process::Child);

    impl Sleeper {
        fn within(netns: &str) -> Self {
            let start = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
            Self(Netns::open(&name(netns)).unwrap().run(start).unwrap())
        }

        fn netns(&self) -> NetnsName {
            name(&format!("pid:{}", self.0.id()))
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().and_then(|()| self.0.wait()).unwrap();
        }
    }

    #[test]
    fn a_wire_is_followed_into_a_namespace_without_a_name() {
        test(|| {
            build(&[
                "ip netns add near",
                "ip netns add far",
                "ip netns add apart",
                "ip link add hn type veth peer name nh netns near",
                "ip -n near link add nf type veth peer name fn netns far",
            ]);
            let (near, far, apart) = (Sleeper::within("near"), Sleeper::within("far"), Sleeper::within("apart"));
            build(&["ip netns del near", "ip netns del far", "ip netns del apart"]);
            let named = take(&[]).unwrap();
            assert_eq!((named.namespaces.len(), peer(&named, "host", "hn")), (1, None));
            let wired = take_as_far_as(Reach::Wired, &[]).unwrap();
            assert_eq!(limits(&wired), Vec::<&Limit>::new());
            let pid = |sleeper: &Sleeper| sleeper.netns().to_string();
            assert_eq!(peer(&wired, "host", "hn"), Some((pid(&near), "nh".into())));
            assert_eq!(peer(&wired, &pid(&near), "nf"), Some((pid(&far), "fn".into())));
            assert!(wired.namespace(&apart.netns()).is_none());
            let all = take_as_far_as(Reach::All, &[]).unwrap();
            assert_eq!(all.namespaces.len(), 4);
            assert_eq!(all.namespace(&apart.netns()).unwrap().processes[0].name, "sleep");
        });
    }

    #[test]
    fn a_wire_that_nobody_can_follow_is_told() {
        test(|| {
            build(&["ip netns add near", "ip link add hn type veth peer name nh netns near"]);
            let held = Netns::open(&name("near")).unwrap();
            build(&["ip netns del near"]);
            assert_eq!(limits(&take_as_far_as(Reach::Wired, &[]).unwrap()), Vec::<&Limit>::new());
            let all = take_as_far_as(Reach::All, &[]).unwrap();
            let told: Vec<(&str, &str)> = limits(&all).iter().map(|l| (l.what.as_str(), l.why.as_str())).collect();
            assert_eq!(told, [("where hn leads to", "that namespace has neither a name nor a process here")]);
            drop(held);
        });
    }

    #[test]
    fn the_namespace_of_a_container_is_called_by_its_process_and_its_name() {
        test(|| {
            build(&["ip netns add blue", "ip link add hb type veth peer name bh netns blue"]);
            let inside = Sleeper::within("blue");
            build(&["ip netns del blue"]);
            let (id, folder) = ("0123456789abcdef", "/run/containers/storage/overlay-containers");
            std::fs::create_dir_all(format!("{folder}/{id}/userdata")).unwrap();
            let list = format!(r#"[{{"id": "{id}", "names": ["web"]}}]"#);
            std::fs::write(format!("{folder}/volatile-containers.json"), list).unwrap();
            std::fs::write(format!("{folder}/{id}/userdata/pidfile"), inside.0.id().to_string()).unwrap();
            let web = name("podman:web");
            let asked_for = take(std::slice::from_ref(&web)).unwrap();
            let [wired, all] = [Reach::Wired, Reach::All].map(|reach| take_as_far_as(reach, &[]).unwrap());
            // To follow a wire to a container takes no look at any process.
            assert!(wired.namespaces.iter().all(|netns| netns.processes.is_empty()));
            for world in [asked_for, wired, all] {
                let netns = world.namespace(&web).unwrap();
                assert_eq!((&netns.name, &netns.aliases[..]), (&inside.netns(), &[web.clone()][..]));
            }
            assert_eq!(Netns::open(&web).unwrap().inode(), Netns::open(&inside.netns()).unwrap().inode());
            assert_eq!(take(&[name("podman:db")]).unwrap_err().kind(), Kind::NotFound);
        });
    }

    #[test]
    fn a_namespace_that_is_mounted_anywhere_is_found() {
        test(|| {
            build(&["ip netns add blue"]);
            std::fs::create_dir_all("/run/docker/netns").unwrap();
            std::fs::write("/run/docker/netns/5e1f", "").unwrap();
            rustix::mount::mount_bind("/run/netns/blue", "/run/docker/netns/5e1f").unwrap();
            build(&["ip link add hb type veth peer name bh netns blue", "ip netns del blue"]);
            let world = take_as_far_as(Reach::Wired, &[]).unwrap();
            assert_eq!(peer(&world, "host", "hb"), Some(("/run/docker/netns/5e1f".into(), "bh".into())));
        });
    }

    #[test]
    #[ignore = "needs /dev/net/tun, which containers mostly lack; run by cargo xtask interop"]
    fn the_process_behind_a_tap_is_told() {
        test(|| {
            let tun = std::fs::File::options().read(true).write(true).open("/dev/net/tun").unwrap();
            crate::sys::attach_tap(&tun, "tap7").unwrap();
            let world = take_as_far_as(Reach::All, &[]).unwrap();
            let tap = world.namespaces[0].link_named("tap7").unwrap();
            assert_eq!(tap.process.as_ref().map(|process| process.pid), Some(std::process::id()));
            drop(tun);
        });
    }
}
