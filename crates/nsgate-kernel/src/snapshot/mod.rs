//! What is: every network namespace that can be seen, read from the kernel once.
//!
//! Reading changes nothing. A part that cannot be read, or that kept changing meanwhile, is named in the World's limits;
//! whatever else there is, is read all the same. Only what the caller asked for by name and is not there is an error.

mod namespace;
mod peers;
mod settings;

use std::collections::BTreeMap;

use nsgate_core::model::{Limit, Namespace, NetnsName, World};

use self::namespace::Look;
use crate::bpf;
use crate::error::Error;
use crate::netns::{self, Netns};

/// Reads the namespace nsgate runs in, all that have names under `/run/netns`, and those given besides.
pub fn take(besides: &[NetnsName]) -> Result<World, Error> {
    let mut seen = Seen::default();
    seen.add(Netns::host()?);
    for listed in netns::list()? {
        if listed.stale {
            seen.limit(&listed.name, "the namespace", &"stale name: nothing is mounted there");
            continue;
        }
        match Netns::open(&listed.name) {
            Ok(netns) => seen.add(netns),
            Err(error) => seen.limit(&listed.name, "the namespace", &error),
        }
    }
    for name in besides {
        seen.add(Netns::open(name)?);
    }
    read(seen)
}

/// Reads these namespaces and no others.
pub fn take_only(names: &[NetnsName]) -> Result<World, Error> {
    let mut seen = Seen::default();
    for name in names {
        seen.add(Netns::open(name)?);
    }
    read(seen)
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
    fn add(&mut self, netns: Netns) {
        let Some(known) = self.open.iter().find(|known| known.inode() == netns.inode()) else {
            self.open.push(netns);
            return;
        };
        let aliases = self.aliases.entry(netns.inode()).or_default();
        if known.name() != netns.name() && !aliases.contains(netns.name()) {
            aliases.push(netns.name().clone());
        }
    }

    fn limit(&mut self, netns: &NetnsName, what: &str, why: &impl ToString) {
        self.limits.push(Limit { netns: Some(netns.clone()), what: what.into(), why: why.to_string() });
    }
}

fn read(mut seen: Seen) -> Result<World, Error> {
    let looks = netns::visit(&seen.open, namespace::look)?;
    let (mut namespaces, mut wires, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for (netns, look) in std::mem::take(&mut seen.open).into_iter().zip(looks) {
        match look {
            Ok(Look { namespace, hidden, limits }) => {
                let aliases = seen.aliases.remove(&netns.inode()).unwrap_or_default();
                namespaces.push(Namespace { aliases, ..namespace });
                wires.push(hidden);
                seen.limits.extend(limits);
                open.push(netns);
            }
            Err(error) => seen.limit(netns.name(), "the namespace", &error),
        }
    }
    peers::resolve(&mut namespaces, &wires, &open)?;
    seen.limits.extend(bpf::limits());
    Ok(World { namespaces, limits: seen.limits })
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
}
