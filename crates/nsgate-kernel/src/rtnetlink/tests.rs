//! What is written reads back: each test builds by the lines an operator would type, in a sandbox of its own.

use std::net::IpAddr;
use std::time::Duration;

use nsgate_core::model::lookup::Query;
use nsgate_core::model::{
    BridgePort, Family, ForwardingOrigin, Link, LinkIndex, LinkKind, Mac, NeighbourState, Peer, PortState, RouteKind,
    RuleAction,
};
use nsgate_core::plan::Step;
use rustix::io::Errno;

use super::*;
use crate::error::{Error, Kind};
use crate::netlink::{Protocol, Socket};
use crate::netns::{Netns, create};
use crate::sandbox::test;
use crate::settle::settle;

fn socket() -> Socket {
    Socket::open(Protocol::Route).unwrap()
}

/// A socket in a namespace.
fn socket_in(netns: &Netns) -> Socket {
    netns.run(socket).unwrap()
}

fn step(line: &str) -> Step {
    line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Does what the lines say in the socket's namespace.
fn run(socket: &mut Socket, lines: &[impl AsRef<str>]) {
    for line in lines {
        perform(socket, &step(line.as_ref()), 0).unwrap_or_else(|error| panic!("{error}"));
    }
}

fn refused(socket: &mut Socket, line: &str) -> Error {
    perform(socket, &step(line), 0).unwrap_err()
}

fn link(socket: &mut Socket, name: &str) -> FoundLink {
    let found = links(socket).unwrap().items.into_iter().find(|found| found.link.name.as_str() == name);
    found.unwrap_or_else(|| panic!("{name} is missing"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_wire_is_born_with_its_other_end_in_place() {
    test(|| {
        let blue = create(&"blue".parse().unwrap()).unwrap();
        let (mut here, mut there) = (socket(), socket_in(&blue));
        run(
            &mut here,
            &[
                "ip link add veth3 mtu 1400 address 02:00:00:00:00:03 group 28275 numtxqueues 1 numrxqueues 1 \
                 type veth peer name veth2 mtu 1400 address 02:00:00:00:00:02 netns blue",
                "ip link set veth3 alias nsgate:lab",
                "ip link set veth3 up",
            ],
        );
        run(&mut there, &["ip link set veth2 up"]);
        let outer = link(&mut here, "veth3");
        let inner = link(&mut there, "veth2");
        assert_eq!(outer.link.kind, LinkKind::Veth);
        assert_eq!(outer.link.mac, Some("02:00:00:00:00:03".parse().unwrap()));
        assert_eq!((outer.link.mtu, inner.link.mtu), (1400, 1400));
        assert_eq!((outer.link.group, outer.link.alias.as_deref()), (28275, Some("nsgate:lab")));
        assert!(outer.link.usable() && inner.link.usable());
        assert_eq!(outer.link.peer, Peer::Hidden(inner.link.index));
        assert_eq!(outer.netnsid, netnsids(&mut here, &[&blue]).unwrap()[0]);
        assert_eq!(inner.link.mac, Some("02:00:00:00:00:02".parse().unwrap()));
        run(&mut here, &["ip link del veth3"]);
        assert!(links(&mut there).unwrap().items.iter().all(|found| found.link.name.as_str() == "lo"));
    });
}

#[test]
fn every_kind_of_link_reads_back() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add br0 type bridge",
                "ip link add a type veth peer name b",
                "ip link set a master br0",
                "ip link add mv0 link b type macvlan mode private",
                "ip link add vx0 type vxlan id 7 dev b remote 10.0.0.9 local 10.0.0.1 dstport 4790",
                "ip link set a name port0",
                "ip link set b arp off",
                "ip link set b promisc on",
                "bridge link set dev port0 isolated on",
                "bridge link set dev port0 hairpin on",
            ],
        );
        let bridge = link(&mut socket, "br0").link;
        assert!(matches!(bridge.kind, LinkKind::Bridge(b) if !b.spanning_tree));
        let port: Link = link(&mut socket, "port0").link;
        assert_eq!(port.master, Some(bridge.index));
        let wire = link(&mut socket, "b").link;
        assert_eq!(wire.peer, Peer::Here(port.index));
        assert!(!wire.resolves_neighbours && wire.promiscuous);
        let stacked = link(&mut socket, "mv0").link;
        assert_eq!(stacked.kind, LinkKind::Macvlan { mode: "private".into() });
        assert_eq!(stacked.peer, Peer::Here(wire.index));
        let tunnel = link(&mut socket, "vx0").link;
        let expected =
            LinkKind::Vxlan { vni: 7, remote: Some(ip("10.0.0.9")), local: Some(ip("10.0.0.1")), port: 4790 };
        assert_eq!(tunnel.kind, expected);
        run(&mut socket, &["ip link set port0 nomaster"]);
        assert_eq!(link(&mut socket, "port0").link.master, None);
        assert_eq!(link(&mut socket, "lo").link.kind, LinkKind::Loopback);
    });
}

#[test]
fn ports_of_a_bridge_say_what_passes() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add br0 type bridge",
                "ip link add a type veth peer name b",
                "ip link add c type veth peer name d",
                "ip link set a master br0",
                "ip link set c master br0",
                "bridge link set dev a isolated on",
                "bridge link set dev a hairpin on",
                "bridge link set dev a learning off",
                "ip link set br0 up",
                "ip link set a up",
                "ip link set b up",
            ],
        );
        settle(&[Netns::host().unwrap()], Duration::from_secs(10)).unwrap();
        let a = link(&mut socket, "a").link.port.unwrap();
        let expected = BridgePort {
            state: PortState::Forwarding,
            isolated: true,
            hairpin: true,
            learning: false,
            ..BridgePort::default()
        };
        assert_eq!(a, expected);
        let c = link(&mut socket, "c").link.port.unwrap();
        assert_eq!(c, BridgePort { state: PortState::Disabled, ..BridgePort::default() });
        assert_eq!(link(&mut socket, "b").link.port, None);
        assert_eq!(link(&mut socket, "br0").link.port, None);
        // A kernel without VLANs has ports without VLANs.
        let vlans = port_vlans(&mut socket).unwrap();
        assert_eq!(vlans.unread, 0);
    });
}

#[test]
fn forwarding_databases_of_bridges_and_tunnels_read_back() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add br0 type bridge",
                "ip link add a address 02:00:00:00:00:0a type veth peer name b",
                "ip link set a master br0",
                "ip link add vx0 type vxlan id 7 remote 10.0.0.9 local 10.0.0.1 dstport 4790",
                "ip link add vx1 type vxlan id 8 dstport 4790",
            ],
        );
        let [br0, a, vx0] = ["br0", "a", "vx0"].map(|name| link(&mut socket, name).link.index);
        let found = forwarding(&mut socket).unwrap();
        assert_eq!(found.unread, 0);
        let own = found.items.iter().find(|e| e.link == a).unwrap();
        assert_eq!((own.mac, own.bridge), ("02:00:00:00:00:0a".parse().unwrap(), Some(br0)));
        assert_eq!(own.origin, ForwardingOrigin::Permanent);
        let tunnels: Vec<_> = found.items.iter().filter(|e| e.bridge.is_none()).collect();
        let [rest] = tunnels.as_slice() else { panic!("{tunnels:?}") };
        assert_eq!((rest.link, rest.mac, rest.remote), (vx0, Mac([0; 6]), Some(ip("10.0.0.9"))));
        let made = [
            "bridge fdb add 02:00:00:00:00:09 dev vx1 dst 10.0.0.8",
            "bridge fdb add 02:00:00:00:00:07 dev a master static",
            "ip link set br0 type bridge stp_state 1",
        ];
        run(&mut socket, &made);
        let of = |socket: &mut Socket, last: u8| {
            let all = forwarding(socket).unwrap().items;
            all.into_iter().find(|e| e.mac == Mac([2, 0, 0, 0, 0, last]))
        };
        assert_eq!(of(&mut socket, 9).unwrap().remote, Some(ip("10.0.0.8")));
        let entry = of(&mut socket, 7).unwrap();
        assert_eq!((entry.link, entry.bridge, entry.origin), (a, Some(br0), ForwardingOrigin::Static));
        assert_eq!(refused(&mut socket, made[0]).kind(), Kind::Exists);
        run(&mut socket, &made[..2].iter().map(|line| line.replace("add", "del")).collect::<Vec<_>>());
        assert_eq!((of(&mut socket, 9), of(&mut socket, 7)), (None, None));
        assert!(matches!(link(&mut socket, "br0").link.kind, LinkKind::Bridge(b) if b.spanning_tree));
    });
}

#[test]
fn a_link_moves_to_another_namespace() {
    test(|| {
        let blue = create(&"blue".parse().unwrap()).unwrap();
        let mut here = socket();
        run(&mut here, &["ip link add a type veth peer name b", "ip link set b netns blue"]);
        assert_eq!(link(&mut here, "a").netnsid, netnsids(&mut here, &[&blue]).unwrap()[0]);
        assert_eq!(link(&mut socket_in(&blue), "b").link.name.as_str(), "b");
        assert_eq!(refused(&mut here, "ip link set a netns green").kind(), Kind::NotFound);
    });
}

#[test]
fn addresses_of_both_families_read_back() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip link set b up",
                "ip addr add 1.1.1.2/24 broadcast 1.1.1.255 dev a",
                "ip addr add fd00::2/64 dev a nodad",
                "ip addr add 10.9.0.1 peer 10.9.0.2/32 dev a",
            ],
        );
        let a = link(&mut socket, "a").link.index;
        let found: Vec<_> = addresses(&mut socket).unwrap().items.into_iter().filter(|(l, _)| *l == a).collect();
        let of = |text: &str| found.iter().map(|(_, a)| a).find(|a| a.net.addr() == ip(text)).unwrap();
        assert_eq!(of("1.1.1.2").net.prefix_len(), 24);
        assert_eq!(of("1.1.1.2").broadcast, Some(ip("1.1.1.255")));
        assert_eq!(of("10.9.0.1").peer, Some(ip("10.9.0.2")));
        let six = of("fd00::2");
        assert!(six.flags.no_dad && six.flags.permanent && !six.flags.tentative, "{six:?}");
        let twice = refused(&mut socket, "ip addr add 1.1.1.2/24 dev a");
        assert_eq!(twice.kind(), Kind::Exists);
        run(&mut socket, &["ip addr del 1.1.1.2/24 dev a"]);
        assert!(!addresses(&mut socket).unwrap().items.iter().any(|(_, a)| a.net.addr() == ip("1.1.1.2")));
    });
}

#[test]
fn routes_of_every_kind_read_back() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip link set b up",
                "ip addr add 10.0.0.1/24 dev a",
                "ip addr add fd00::1/64 dev a nodad",
                "ip route add default via 10.0.0.254 dev a metric 50 mtu 1400 proto 215",
                "ip route add 10.5.0.0/16 nexthop via 10.0.0.3 dev a weight 2 nexthop via 10.0.0.4 dev a",
                "ip route add unreachable 10.6.0.0/16 table 300",
                "ip route add blackhole fd06::/16",
                "ip route add fd05::/16 via fd00::9 dev a",
                "ip route add 10.7.0.0/16 via 192.168.0.1 dev a onlink",
            ],
        );
        let all = routes(&mut socket).unwrap();
        assert_eq!(all.unread, 0);
        let of =
            |net: &str| all.items.iter().find(|r| r.destination == net.parse().unwrap() && r.table != 255).unwrap();
        let default = of("0.0.0.0/0");
        assert_eq!((default.metric, default.mtu, default.protocol), (50, Some(1400), 215));
        assert_eq!(default.next_hops[0].gateway, Some(ip("10.0.0.254")));
        assert_eq!(of("10.5.0.0/16").next_hops.iter().map(|h| h.weight).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((of("10.6.0.0/16").kind, of("10.6.0.0/16").table), (RouteKind::Unreachable, 300));
        assert_eq!(of("fd06::/16").kind, RouteKind::Blackhole);
        assert!(of("fd06::/16").next_hops.is_empty());
        assert_eq!(of("fd05::/16").next_hops[0].gateway, Some(ip("fd00::9")));
        assert!(of("10.7.0.0/16").next_hops[0].on_link);
        run(
            &mut socket,
            &[
                "ip route replace default via 10.0.0.253 dev a metric 50",
                "ip route del 10.5.0.0/16",
                "ip route del unreachable 10.6.0.0/16 table 300",
                "ip route del fd05::/16 via fd00::9 dev a",
            ],
        );
        let left = routes(&mut socket).unwrap().items;
        assert!(
            !left
                .iter()
                .any(|r| ["10.5.0.0/16", "10.6.0.0/16", "fd05::/16"].contains(&r.destination.to_string().as_str()))
        );
        let defaults: Vec<_> = left.iter().filter(|r| r.destination.to_string() == "0.0.0.0/0").collect();
        assert_eq!(defaults.len(), 1);
        assert_eq!(defaults[0].next_hops[0].gateway, Some(ip("10.0.0.253")));
    });
}

#[test]
fn a_refusal_names_the_line_and_the_kernels_reason() {
    test(|| {
        let mut socket = socket();
        run(&mut socket, &["ip link add a type veth peer name b", "ip link set a up"]);
        let error = refused(&mut socket, "ip route add default via 10.0.0.254 dev a");
        assert_eq!(
            error.to_string(),
            "cannot do `ip route add default via 10.0.0.254 dev a`: \
             Nexthop has invalid gateway (Network is unreachable)"
        );
        assert_eq!(refused(&mut socket, "ip link set nope up").kind(), Kind::NotFound);
        assert_eq!(refused(&mut socket, "ip addr add 10.0.0.1/24 dev nope").kind(), Kind::NotFound);
    });
}

#[test]
fn policy_rules_read_back_in_order() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip rule add priority 100 from 10.0.0.0/8 fwmark 0x1/0xf ipproto 6 dport 80-90 lookup 77",
                "ip rule add priority 90 not from all to 10.3.0.0/16 iif lo blackhole",
                "ip rule add priority 110 ipproto 17 sport 53 lookup 78",
                "ip -6 rule add priority 200 from fd00::/8 prohibit",
            ],
        );
        let all = rules(&mut socket).unwrap();
        assert_eq!(all.unread, 0);
        let all = all.items;
        let four: Vec<u32> = all.iter().filter(|r| r.family == Family::V4).map(|r| r.priority).collect();
        assert_eq!(four, [0, 90, 100, 110, 32766, 32767]);
        let marked = all.iter().find(|r| r.priority == 100).unwrap();
        assert_eq!((marked.mark, marked.protocol, marked.destination_ports), (Some((1, 15)), Some(6), Some((80, 90))));
        assert_eq!(marked.action, RuleAction::Table(77));
        let inverted = all.iter().find(|r| r.priority == 90).unwrap();
        assert!(inverted.inverted && inverted.iif.as_ref().is_some_and(|i| i.as_str() == "lo"));
        assert_eq!(all.iter().find(|r| r.priority == 200).unwrap().action, RuleAction::Prohibit);
        run(&mut socket, &["ip rule del priority 90 not from all to 10.3.0.0/16 iif lo blackhole"]);
        assert!(!rules(&mut socket).unwrap().items.iter().any(|r| r.priority == 90));
    });
}

#[test]
fn neighbours_and_proxy_entries_read_back() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:01 dev a",
                "ip neigh add fd00::2 lladdr 02:00:00:00:00:01 dev a",
                "ip neigh add proxy 10.0.0.77 dev a",
                "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:07 dev a",
            ],
        );
        let all = neighbours(&mut socket).unwrap().items;
        let of = |text: &str| all.iter().find(|n| n.address == ip(text)).unwrap();
        assert_eq!(of("10.0.0.2").mac, Some("02:00:00:00:00:07".parse().unwrap()));
        assert_eq!(of("fd00::2").state, NeighbourState::Permanent);
        assert!(of("10.0.0.77").proxy);
        run(&mut socket, &["ip neigh del 10.0.0.2 dev a", "ip neigh del proxy 10.0.0.77 dev a"]);
        let left = neighbours(&mut socket).unwrap().items;
        assert_eq!(left.iter().map(|n| n.address).collect::<Vec<_>>(), [ip("fd00::2")]);
    });
}

#[test]
fn the_kernel_decides_about_packets_that_pass() {
    test(|| {
        let mut socket = socket();
        run(
            &mut socket,
            &[
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip link set b up",
                "ip addr add 1.1.1.3/24 dev a",
                "ip route add default via 1.1.1.9 dev a",
                "ip route add prohibit 10.8.0.0/16",
            ],
        );
        let a: LinkIndex = index_of(&mut socket, &"a".parse().unwrap()).unwrap();
        let ask = |socket: &mut Socket, query: Query| lookup(socket, &query).unwrap();
        let out = ask(&mut socket, Query::from_here(None, ip("114.114.114.114"))).unwrap();
        assert_eq!((out.link, out.gateway, out.source), (Some(a), Some(ip("1.1.1.9")), Some(ip("1.1.1.3"))));
        assert_eq!((out.table, out.destination), (Some(254), Some("0.0.0.0/0".parse().unwrap())));
        assert_eq!(ask(&mut socket, Query::from_here(None, ip("10.8.0.1"))), Err(Errno::ACCESS));
        assert_eq!(ask(&mut socket, Query::from_here(None, ip("fd00::1"))), Err(Errno::NETUNREACH));
        let passing = Query::passing(ip("1.1.1.2"), ip("114.114.114.114"), a);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(ask(&mut socket, passing), Err(Errno::HOSTUNREACH));
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        assert_eq!(ask(&mut socket, passing).unwrap().link, Some(a));
        let local = ask(&mut socket, Query::passing(ip("1.1.1.2"), ip("1.1.1.3"), a)).unwrap();
        assert_eq!(local.kind, RouteKind::Local);
    });
}

#[test]
fn both_families_refuse_alike() {
    test(|| {
        let mut socket = socket();
        let lines = ["1.0.0.0", "fd01::"].map(|base| {
            let of = |n: u8| base.replacen('1', &n.to_string(), 1);
            let bits = if base.contains(':') { 16 } else { 8 };
            [("blackhole", 2), ("unreachable", 3), ("prohibit", 4)]
                .map(|(kind, n)| format!("ip route add {kind} {}/{bits}", of(n)))
        });
        run(
            &mut socket,
            &[
                "ip link add a type veth peer name b",
                "ip link set a up",
                "ip link set b up",
                "ip addr add 1.1.1.3/24 dev a",
                "ip addr add fd09::3/64 dev a nodad",
            ],
        );
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        let a = index_of(&mut socket, &"a".parse().unwrap()).unwrap();
        run(&mut socket, &lines.as_flattened().iter().map(String::as_str).collect::<Vec<_>>());
        for (four, six, expected) in [
            ("2.0.0.1", "fd02::1", Errno::INVAL),
            ("3.0.0.1", "fd03::1", Errno::HOSTUNREACH),
            ("4.0.0.1", "fd04::1", Errno::ACCESS),
            ("5.0.0.1", "fd05::1", Errno::NETUNREACH),
        ] {
            for (source, destination) in [("1.1.1.2", four), ("fd09::2", six)] {
                let answer = lookup(&mut socket, &Query::from_here(None, ip(destination))).unwrap();
                assert_eq!(answer, Err(expected), "{destination}");
                let answer = lookup(&mut socket, &Query::passing(ip(source), ip(destination), a)).unwrap();
                assert_eq!(answer, Err(expected), "{destination} passing");
            }
        }
    });
}

#[test]
fn a_table_that_keeps_changing_is_read_or_said_to_change() {
    use std::sync::atomic::{AtomicBool, Ordering};

    test(|| {
        let mut here = socket();
        run(&mut here, &["ip link set lo up"]);
        let stable: Vec<String> = (0..200).map(|n| format!("ip addr add 10.7.{n}.1/32 dev lo")).collect();
        run(&mut here, &stable.iter().map(String::as_str).collect::<Vec<_>>());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut other = socket();
                while !done.load(Ordering::Relaxed) {
                    run(&mut other, &["ip addr add 10.8.0.1/32 dev lo", "ip addr del 10.8.0.1/32 dev lo"]);
                }
            });
            for _ in 0..100 {
                let found = addresses(&mut here).unwrap();
                let count = found.items.iter().filter(|(_, a)| a.net.to_string().starts_with("10.7.")).count();
                assert!(count == 200 || !found.consistent, "{count}");
                assert_eq!(found.unread, 0);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(addresses(&mut here).unwrap().consistent);
    });
}

#[test]
fn many_steps_stand_in_one_batch() {
    test(|| {
        let blue = create(&"blue".parse().unwrap()).unwrap();
        let mut names = Names { address_protocol: 215, ..Names::default() };
        names.namespaces.insert("blue".parse().unwrap(), &blue);
        let mut batch = crate::netlink::Batch::new();
        for n in 0..200u32 {
            names.links.insert(format!("h{n}").parse().unwrap(), LinkIndex(1000 + n));
            for line in [
                format!("ip link add h{n} type veth peer name t{n} netns blue"),
                format!("ip link set h{n} up"),
                format!("ip addr add 10.1.{n}.1/24 dev h{n}"),
            ] {
                write(&mut batch, &step(&line).action, &names).unwrap();
            }
        }
        let mut here = socket();
        let answers = here.send(&mut batch).unwrap();
        assert_eq!(answers.refused(), None);
        assert_eq!(answers.outcomes.len(), 600);
        assert_eq!(link(&mut here, "h7").link.index, LinkIndex(1007));
        let found = addresses(&mut here).unwrap().items;
        assert_eq!(found.iter().filter(|(_, a)| a.protocol == 215).count(), 200);
        assert_eq!(links(&mut socket_in(&blue)).unwrap().items.len(), 201);
    });
}
