//! What a step shows is what it reads: for every step, and for lines as they are typed.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_packet::Flow;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::step::{Action, Change, Hop, NewAddress, NewForwarding, NewNeighbour, NewRoute, Step};
use super::{IptablesChange, IptablesRule, PacketKind};
use super::{LinkSetting, MacvlanMode, NewKind, NewLink, NewPolicy, OldFilter, RootQueue, VethPeer, Vxlan, XdpMode};
use crate::model::{
    Family, Handle, LinkName, Mac, NeighbourState, NetnsName, PortState, RouteKind, Rule, RuleAction, Scope, Sysctl,
    XfrmDirection, XfrmMode, XfrmTemplate,
};

fn link_name() -> BoxedStrategy<LinkName> {
    let odd = prop_oneof![
        Just("up".to_owned()),
        Just("dev".into()),
        Just("m".into()),
        Just("eth0.10".into()),
        Just("it's".into()),
        Just("$(reboot)".into()),
        Just("-x".into()),
        Just("é".into()),
    ];
    prop_oneof![4 => "[a-z][a-z0-9_.@-]{0,14}", 1 => odd].prop_map(|text| text.parse().unwrap()).boxed()
}

fn netns() -> BoxedStrategy<NetnsName> {
    prop_oneof![
        Just("host".to_owned()),
        "[a-z][a-z0-9_.-]{0,20}",
        Just("7".into()),
        Just("a;b".into()),
        (1..=u32::MAX).prop_map(|process| format!("pid:{process}")),
        Just("/proc/7/ns/net".into()),
        Just("/run/user/1 2/x".into()),
    ]
    .prop_map(|text| text.parse().unwrap())
    .boxed()
}

fn plain_netns() -> impl Strategy<Value = NetnsName> {
    netns().prop_filter("plain", NetnsName::is_plain)
}

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u16; 8]>().prop_map(IpAddr::from).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    family().prop_flat_map(address)
}

fn net(family: Family) -> impl Strategy<Value = IpNet> {
    let longest = if family == Family::V4 { 32u8 } else { 128 };
    (address(family), 0..=longest).prop_map(|(address, length)| IpNet::new(address, length).unwrap())
}

fn mac() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>().prop_map(Mac)
}

fn peer() -> impl Strategy<Value = VethPeer> {
    (link_name(), of(netns()), of(any::<u32>()), of(mac()), any::<u32>(), of(any::<u32>()))
        .prop_map(|(name, netns, mtu, mac, group, queues)| VethPeer { name, netns, mtu, mac, group, queues })
}

fn vxlan() -> impl Strategy<Value = Vxlan> {
    (0u32..1 << 24, of(any_address()), of(any_address()), of(link_name()), any::<u16>(), any::<bool>())
        .prop_map(|(id, remote, local, dev, port, learning)| Vxlan { id, remote, local, dev, port, learning })
}

fn kind() -> BoxedStrategy<NewKind> {
    prop_oneof![
        peer().prop_map(NewKind::Veth),
        any::<(bool, bool)>()
            .prop_map(|(vlan_filtering, spanning_tree)| NewKind::Bridge { vlan_filtering, spanning_tree }),
        (link_name(), proptest::sample::select(&MacvlanMode::ALL[..]))
            .prop_map(|(parent, mode)| NewKind::Macvlan { parent, mode }),
        (link_name(), 1u16..=4094).prop_map(|(parent, id)| NewKind::Vlan { parent, id }),
        vxlan().prop_map(NewKind::Vxlan),
        any::<u32>().prop_map(|table| NewKind::Vrf { table }),
        Just(NewKind::Dummy),
        Just(NewKind::Ifb),
    ]
    .boxed()
}

fn new_link() -> BoxedStrategy<NewLink> {
    (link_name(), kind(), of(any::<u32>()), of(mac()), any::<u32>(), of(any::<u32>()))
        .prop_map(|(name, kind, mtu, mac, group, queues)| NewLink { name, kind, mtu, mac, group, queues })
        .boxed()
}

fn setting() -> BoxedStrategy<LinkSetting> {
    prop_oneof![
        any::<bool>().prop_map(LinkSetting::Up),
        of(link_name()).prop_map(LinkSetting::Master),
        any::<u32>().prop_map(LinkSetting::Mtu),
        mac().prop_map(LinkSetting::Mac),
        of("[ -~]{1,40}").prop_map(LinkSetting::Alias),
        any::<bool>().prop_map(LinkSetting::Arp),
        any::<bool>().prop_map(LinkSetting::Promiscuous),
        any::<u32>().prop_map(LinkSetting::Group),
        link_name().prop_map(LinkSetting::Name),
        netns().prop_map(LinkSetting::Netns),
        any::<bool>().prop_map(LinkSetting::LinkLocalAddress),
        any::<bool>().prop_map(LinkSetting::VlanFiltering),
        any::<bool>().prop_map(LinkSetting::SpanningTree),
        proptest::sample::select(&XdpMode::ALL[..]).prop_map(LinkSetting::NoXdp),
        any::<bool>().prop_map(LinkSetting::Isolated),
        any::<bool>().prop_map(LinkSetting::Hairpin),
        any::<bool>().prop_map(LinkSetting::Learning),
        proptest::sample::select(&PortState::ALL[..]).prop_map(LinkSetting::State),
    ]
    .boxed()
}

fn new_address() -> BoxedStrategy<NewAddress> {
    family()
        .prop_flat_map(|f| (link_name(), net(f), of(address(f)), of(address(f)), any::<[bool; 3]>()))
        .prop_map(|(dev, net, peer, broadcast, [no_dad, no_prefix_route, deprecated])| NewAddress {
            dev,
            net,
            peer,
            broadcast,
            no_dad,
            no_prefix_route,
            deprecated,
        })
        .boxed()
}

fn route_kind() -> impl Strategy<Value = RouteKind> {
    prop_oneof![
        4 => Just(RouteKind::Unicast),
        1 => Just(RouteKind::Local),
        1 => Just(RouteKind::Blackhole),
        1 => Just(RouteKind::Unreachable),
        1 => Just(RouteKind::Prohibit),
        1 => Just(RouteKind::Throw),
    ]
}

fn hop(family: Family) -> impl Strategy<Value = Hop> {
    let via = match family {
        Family::V4 => any_address().boxed(),
        Family::V6 => address(Family::V6),
    };
    (of(via), of(link_name()), any::<bool>(), 1u16..=256)
        .prop_map(|(via, dev, on_link, weight)| Hop { via, dev, on_link, weight })
        .prop_filter("says something", |hop| hop.via.is_some() || hop.dev.is_some())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Global),
        Just(Scope::Site),
        Just(Scope::Link),
        Just(Scope::Host),
        Just(Scope::Nowhere),
        (1u8..=199).prop_map(Scope::Other),
    ]
}

fn new_route() -> BoxedStrategy<NewRoute> {
    family()
        .prop_flat_map(|f| {
            let rest = (1u32..=300, any::<u32>(), of(address(f)), any::<u8>(), of(scope()), of(any::<u32>()));
            (route_kind(), net(f), vec(hop(f), 0..3), rest).prop_map(|(kind, net, hops, rest)| {
                let (table, metric, source, protocol, scope, mtu) = rest;
                NewRoute { kind, table, metric, source, protocol, scope, mtu, ..NewRoute::with_hops(net, hops) }
            })
        })
        .boxed()
}

fn rule_action() -> impl Strategy<Value = RuleAction> {
    prop_oneof![
        (1u32..).prop_map(RuleAction::Table),
        any::<u32>().prop_map(RuleAction::Goto),
        Just(RuleAction::Nop),
        Just(RuleAction::Blackhole),
        Just(RuleAction::Unreachable),
        Just(RuleAction::Prohibit),
    ]
}

fn ports() -> impl Strategy<Value = (u16, u16)> {
    any::<(u16, u16)>().prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn rule() -> BoxedStrategy<Rule> {
    let selectors = family().prop_flat_map(|f| {
        let some = move || of(net(f).prop_map(|n| n.trunc()).prop_filter("not all", |n| n.prefix_len() > 0));
        (Just(f), some(), some(), of(link_name()), of(link_name()), of(any::<(u32, u32)>()))
    });
    let numbers = (any::<u8>(), of(any::<u8>()), of(ports()), of(ports()), of(Just((0u32, 1000u32))), any::<u8>());
    let rest = (any::<u32>(), any::<bool>(), of(0u32..129), of(rule_action()));
    (selectors, numbers, rest)
        .prop_map(|(selectors, numbers, rest)| {
            let (family, from, to, iif, oif, mark) = selectors;
            let (tos, protocol, source_ports, destination_ports, users, made_by) = numbers;
            let (priority, inverted, suppress_prefix_length, action) = rest;
            Rule {
                // What no network tells, `-6` tells.
                family,
                priority,
                inverted,
                from,
                to,
                iif,
                oif,
                mark,
                tos,
                protocol,
                source_ports,
                destination_ports,
                users,
                vrf: action.is_none(),
                suppress_prefix_length,
                action: action.unwrap_or(RuleAction::Table(0)),
                made_by,
            }
        })
        .boxed()
}

fn new_neighbour() -> BoxedStrategy<NewNeighbour> {
    let state = prop_oneof![
        Just(NeighbourState::Permanent),
        Just(NeighbourState::Reachable),
        Just(NeighbourState::Stale),
        Just(NeighbourState::NoArp),
        Just(NeighbourState::Failed)
    ];
    (link_name(), any_address(), of(mac()), of(state), any::<bool>())
        .prop_map(|(dev, address, mac, state, proxy)| NewNeighbour { dev, address, mac, state, proxy })
        .boxed()
}

fn new_forwarding() -> impl Strategy<Value = NewForwarding> {
    (link_name(), mac(), of(any_address()), of(1u16..4095)).prop_map(|(dev, mac, remote, vlan)| NewForwarding {
        dev,
        mac,
        remote,
        vlan,
    })
}

fn queue() -> impl Strategy<Value = RootQueue> {
    prop_oneof![
        Just(RootQueue::Usual),
        any::<u32>().prop_map(|limit| RootQueue::Pfifo { limit }),
        any::<u32>().prop_map(|limit| RootQueue::Bfifo { limit }),
        (0..=u64::MAX / 8, any::<u32>(), any::<u32>()).prop_map(|(rate, burst, limit)| RootQueue::Tbf {
            rate,
            burst,
            limit
        }),
    ]
}

fn old_filter() -> impl Strategy<Value = OldFilter> {
    let parent = prop_oneof![Just(Handle::CLSACT_INGRESS), Just(Handle::CLSACT_EGRESS), (0..u32::MAX).prop_map(Handle)];
    (link_name(), parent, any::<u16>()).prop_map(|(dev, parent, priority)| OldFilter { dev, parent, priority })
}

fn iptables_rule() -> impl Strategy<Value = IptablesRule> {
    let kind = prop_oneof![
        any::<u16>().prop_map(PacketKind::Tcp),
        any::<u16>().prop_map(PacketKind::Udp),
        any::<u8>().prop_map(PacketKind::Icmp),
        Just(PacketKind::Established),
    ];
    let names = ("[a-z]{1,8}", "[A-Z][A-Z-]{0,12}", "[ -~]{0,20}");
    let addresses = family().prop_flat_map(|family| (Just(family), of(address(family)), of(address(family))));
    (addresses, any::<bool>(), names, of(kind)).prop_map(
        |((family, source, destination), legacy, (table, chain, comment), kind)| IptablesRule {
            family,
            legacy,
            table,
            chain,
            source,
            destination,
            kind,
            comment,
        },
    )
}

fn iptables_change() -> impl Strategy<Value = IptablesChange> {
    prop_oneof![
        any::<u32>().prop_map(IptablesChange::Insert),
        Just(IptablesChange::Append),
        Just(IptablesChange::Delete)
    ]
}

fn new_policy() -> impl Strategy<Value = NewPolicy> {
    let template = |family| {
        let ends = (of(address(family)), of(address(family)));
        let protocol = prop_oneof![Just(50u8), Just(51), Just(108)];
        let mode = prop_oneof![Just(XfrmMode::Transport), Just(XfrmMode::Tunnel)];
        (ends, protocol, mode, any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
            |((source, destination), protocol, mode, request, spi, optional)| XfrmTemplate {
                protocol,
                mode,
                source,
                destination,
                request,
                spi,
                optional,
            },
        )
    };
    let direction = prop_oneof![Just(XfrmDirection::In), Just(XfrmDirection::Out), Just(XfrmDirection::Forward)];
    let of_family = family().prop_flat_map(move |family| {
        let templates = proptest::collection::vec(template(family), 0..3);
        (address(family), address(family), 0u8..=32, 0u8..=32, templates)
    });
    (of_family, direction, any::<u32>(), any::<bool>()).prop_map(
        |((source, destination, from, to, templates), direction, priority, refuses)| NewPolicy {
            source: ipnet::IpNet::new(source, from).unwrap().trunc(),
            destination: ipnet::IpNet::new(destination, to).unwrap().trunc(),
            direction,
            priority,
            refuses,
            templates,
        },
    )
}

fn tracked_flow() -> impl Strategy<Value = Flow> {
    let ends = family().prop_flat_map(|family| (address(family), address(family)));
    (ends, prop_oneof![Just(6u8), Just(17)], any::<u16>(), any::<u16>()).prop_map(
        |((source, destination), protocol, source_port, destination_port)| Flow {
            protocol,
            source,
            destination,
            source_port,
            destination_port,
        },
    )
}

fn sysctl() -> impl Strategy<Value = Sysctl> {
    prop_oneof![
        Just(Sysctl::known("net.ipv4.ip_forward")),
        (family(), link_name()).prop_map(|(family, link)| Sysctl::of_link(family, &link, "rp_filter")),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![Just(Change::Add), Just(Change::Replace), Just(Change::Delete)]
}

fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        plain_netns().prop_map(Action::AddNetns),
        plain_netns().prop_map(Action::DeleteNetns),
        new_link().prop_map(Action::AddLink),
        link_name().prop_map(|name| Action::DeleteLink { name, was: None }),
        any::<u32>().prop_map(Action::DeleteGroup),
        (link_name(), setting()).prop_map(|(name, setting)| Action::SetLink { name, setting, before: None }),
        (change(), new_address()).prop_map(|(change, address)| Action::Address(change, address)),
        (change(), new_route()).prop_map(|(change, route)| Action::Route(change, route)),
        (prop_oneof![Just(Change::Add), Just(Change::Delete)], rule())
            .prop_map(|(change, rule)| Action::Rule(change, rule)),
        (change(), new_neighbour()).prop_map(|(change, entry)| Action::Neighbour(change, entry)),
        (prop_oneof![Just(Change::Add), Just(Change::Delete)], new_forwarding())
            .prop_map(|(change, entry)| Action::Forwarding(change, entry)),
        (link_name(), queue()).prop_map(|(dev, queue)| Action::SetQueue { dev, queue, before: None }),
        old_filter().prop_map(Action::DeleteFilter),
        (change(), new_policy()).prop_map(|(change, policy)| {
            // What goes is told by as much as it takes to find it.
            let policy = if change == Change::Delete { policy.key() } else { policy };
            Action::Policy(change, policy)
        }),
        tracked_flow().prop_map(Action::Forget),
        family().prop_flat_map(address).prop_map(Action::ForgetFrom),
        (iptables_change(), iptables_rule()).prop_map(|(change, rule)| Action::Iptables(change, rule)),
        (sysctl(), "[ -~]{0,20}").prop_map(|(name, value)| Action::Sysctl { name, value, before: None }),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_step_reads_what_it_shows(netns in netns(), action in action()) {
        let step = Step { netns, action };
        let line = step.to_string();
        let read: Step = line.parse().map_err(|error| TestCaseError::fail(format!("{line}: {error}")))?;
        prop_assert_eq!(&read, &step, "{}", line);
        prop_assert_eq!(read.to_string(), line);
    }

    #[test]
    fn the_inverse_of_an_inverse_is_the_step(netns in netns(), action in action()) {
        // What a replacement replaced is gone: taken back, it is only removed.
        prop_assume!(!matches!(action, Action::Neighbour(Change::Replace, _)));
        let step = Step { netns, action };
        if let Some(twice) = step.inverse().and_then(|back| back.inverse()) {
            prop_assert_eq!(twice.forget(), step);
        }
    }

    #[test]
    fn no_line_makes_the_reader_panic(line in "(ip|bridge|tc|sysctl|nsenter|iptables-nft|ip6tables-legacy) [ -~]{0,60}") {
        let _ = line.parse::<Step>();
    }
}

fn shown(line: &str) -> String {
    line.parse::<Step>().map_or_else(|error| format!("{error} at {}", error.offset), |step| step.to_string())
}

#[test]
fn lines_as_they_are_typed() {
    for (typed, full) in [
        ("ip netns add ns_1", "ip netns add ns_1"),
        ("ip l a veth3 type veth peer name veth2 netns ns_1", "ip link add veth3 type veth peer name veth2 netns ns_1"),
        ("ip -n ns_1 addr add 1.1.1.2/24 dev veth2", "ip -n ns_1 addr add 1.1.1.2/24 dev veth2"),
        ("ip a a 10.20.30.182 dev eth2", "ip addr add 10.20.30.182/32 dev eth2"),
        ("ip a add 10.0.0.1 peer 10.0.0.2/32 dev p", "ip addr add 10.0.0.1 peer 10.0.0.2/32 dev p"),
        ("ip link set dev veth2 up", "ip link set veth2 up"),
        ("ip link set m up", "ip link set dev m up"),
        ("ip netns exec ns_1 ip link set lo up", "ip -n ns_1 link set lo up"),
        (
            "bridge fdb add 02:00:00:00:0a:01 dev vxlan10 dst 1.1.1.3",
            "bridge fdb add 02:00:00:00:0a:01 dev vxlan10 dst 1.1.1.3",
        ),
        (
            "bridge -n a fdb del 02:00:00:00:0a:01 vlan 7 dev veth3 master static",
            "bridge -n a fdb del 02:00:00:00:0a:01 dev veth3 master static vlan 7",
        ),
        (
            "tc qdisc replace dev eth2 root tbf rate 10mbit burst 15000 limit 100000",
            "tc qdisc replace dev eth2 root tbf rate 10000000bit burst 15000 limit 100000",
        ),
        ("tc -n a qdisc del dev eth2 root", "tc -n a qdisc del dev eth2 root"),
        ("tc filter del dev eth2 parent 1: pref 7", "tc filter del dev eth2 parent 1:0 pref 7"),
        ("ip link set dev veth3 xdpgeneric off", "ip link set veth3 xdpgeneric off"),
        ("ip l set br0 type bridge stp_state 0", "ip link set br0 type bridge stp_state 0"),
        ("ip -n ns_1 r a default via 1.1.1.3", "ip -n ns_1 route add default via 1.1.1.3"),
        ("ip route add default via fd00::1 dev a", "ip -6 route add default via fd00::1 dev a"),
        ("ip -6 route add default dev a", "ip -6 route add default dev a"),
        ("ip route add default via inet6 fe80::1 dev a", "ip route add default via inet6 fe80::1 dev a"),
        ("ip route add blackhole 10.0.0.0/8", "ip route add blackhole 10.0.0.0/8"),
        ("ip rule add pref 100 from 10.0.0.0/24 table 7", "ip rule add from 10.0.0.0/24 priority 100 lookup 7"),
        (
            "ip -6 rule del from all prio 1 lookup 7",
            "expected from, to, iif, oif, fwmark, ipproto, sport, dport, priority, lookup or another action, found 'prio' at 24",
        ),
        (
            "ip neigh add 1.1.1.3 lladdr 02:00:00:00:00:01 dev veth2 nud permanent",
            "ip neigh add 1.1.1.3 lladdr 02:00:00:00:00:01 dev veth2 nud permanent",
        ),
        ("sysctl net.ipv4.ip_forward=1", "sysctl -w net.ipv4.ip_forward=1"),
        (
            "ip netns exec ns_1 sysctl -w net.ipv4.tcp_rmem='1 2 3'",
            "ip netns exec ns_1 sysctl -w net.ipv4.tcp_rmem='1 2 3'",
        ),
        ("nft add table inet nat", "nft 'add table inet nat'"),
        (
            "ip netns exec a nft 'add table ip nat; add chain ip nat p { type nat hook postrouting priority 100; }; add rule ip nat p ip saddr 1.1.1.2 oifname eth2 snat to 10.20.30.182'",
            "ip netns exec a nft 'add table ip nat; add chain ip nat p { type nat hook postrouting priority srcnat; policy accept; }; add rule ip nat p ip saddr 1.1.1.2 oifname \"eth2\" snat to 10.20.30.182'",
        ),
        ("nsenter -t 7 -n ip link set lo up", "nsenter -t 7 -n ip link set lo up"),
        ("ip -n a link set w1 netns $$", "ip -n a link set w1 netns $$"),
        ("ip link set br0 type bridge_slave isolated on", "bridge link set dev br0 isolated on"),
    ] {
        assert_eq!(shown(typed), full, "{typed}");
    }
}

#[test]
fn an_error_says_what_was_expected_and_where() {
    for (line, message) in [
        (
            "",
            "expected a command: ip, bridge, tc, sysctl, nft, iptables-nft or nsenter, found the end of the line at 0",
        ),
        ("rm -rf x", "expected ip, bridge, tc, sysctl, nft, iptables-nft or nsenter, found 'rm' at 0"),
        (
            "ip link set veth2 upp",
            "expected up, down, master, nomaster, mtu, address, alias, arp, promisc, group, name, netns, addrgenmode, xdp or type, found 'upp' at 18",
        ),
        (
            "ip addr add 1.1.1.2/33 dev veth2",
            "expected an address with its prefix length, such as 1.1.1.2/24, found '1.1.1.2/33' at 12",
        ),
        ("ip addr add 1.1.1.2/24", "expected dev INTERFACE, found the end of the line at 22"),
        (
            "ip link add sixteen-bytes-xx type dummy",
            "expected another word ('sixteen-bytes-xx' is 16 bytes long; 15 is the longest that Linux takes here), found 'sixteen-bytes-xx' at 12",
        ),
        ("ip link set a mtu 1400 up", "expected the end of the line, found 'up' at 23"),
        (
            "ip netns add ../x",
            "expected another word ('../x' holds '/', which cannot stand in such a name), found '../x' at 13",
        ),
        ("ip -6 route add 10.0.0.0/8 dev a", "expected an IPv6 destination after -6, found '10.0.0.0/8' at 16"),
        ("ip rule add from 10.0.0.0/8 lookup 7", "expected priority NUMBER, found the end of the line at 36"),
        ("nft", "expected a change to the packet filter, found the end of the line at 3"),
        ("nft 'add tabel ip x'", "expected 'table', 'chain', 'rule', 'set', 'map' or 'element', found 'tabel' at 4"),
        ("sysctl -w net.ipv4.ip_forward", "expected NAME=VALUE, found 'net.ipv4.ip_forward' at 10"),
    ] {
        assert_eq!(shown(line), message, "{line}");
    }
}
