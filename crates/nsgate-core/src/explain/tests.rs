//! A recorded loss for each cause whose own file has none, and what is said of it.

use nsgate_packet::{Mac, Tcp, TcpFlags, Transport, build};

use super::fixture::{Fixture, address, name, route, rule};
use crate::model::ruleset::Ruleset;
use crate::model::{
    Family, Link, LinkIndex, Neighbour, NeighbourState, Peer, RouteKind, RuleAction, Setting, Sysctl, TABLE_MAIN,
};
use crate::trace::{Ending, Leg, ProbeKind};

/// The cause and its place.
#[track_caller]
fn is(fixture: &Fixture, code: &str, place: &str) {
    let (found, at, object) = fixture.verdict();
    assert_eq!((found.as_str(), at.as_str()), (code, place), "{object}");
}

fn rules(fixture: &mut Fixture, text: &str) {
    fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
}

/// Echo requests that the gateway passed on as from this source.
fn passed_on(source: &str) -> Fixture {
    let mut fixture = Fixture::lost_at_the_gateway();
    fixture.seen(Leg::Request, source, "114.114.114.114", &["host:eth2>", "world:w0<"]);
    fixture
}

/// The first segment of a connection to this port, with the addresses of a sight.
fn syn(sight: &crate::trace::Sight, destination_port: u16) -> Vec<u8> {
    let tcp = Tcp {
        source_port: 40000,
        destination_port,
        sequence: 1,
        acknowledgement: 0,
        flags: TcpFlags::SYN,
        window: 100,
        options: &[],
        payload: &[],
    };
    let outer = build::Outer::new(sight.header.source, sight.header.destination);
    build::ip(&outer, &Transport::Tcp(tcp)).unwrap()
}

#[test]
fn what_arrives_is_delivered() {
    let mut fixture = Fixture::experiment();
    fixture.observation.ending = Ending::Answered;
    assert_eq!(fixture.verdict().0, "delivered");
}

#[test]
fn two_hosts_hold_one_address() {
    let mut fixture = Fixture::lan();
    fixture.link("host", "br0").addresses.push(address("1.1.1.4/24"));
    fixture.seen(Leg::Request, "1.1.1.2", "1.1.1.4", &["ns_1:veth2>"]);
    is(&fixture, "address-duplicate", "host/br0");
}

#[test]
fn an_address_is_not_usable_yet() {
    let mut fixture = Fixture::experiment6();
    fixture.observation.identity.as_mut().unwrap().source.set_ip("::".parse().unwrap());
    let own = &mut fixture.link("ns_1", "veth2").addresses;
    own.iter_mut().find(|a| a.net.addr().is_ipv6()).unwrap().flags.tentative = true;
    is(&fixture, "address-tentative", "ns_1/veth2");
}

#[test]
fn a_family_is_switched_off() {
    let mut fixture = Fixture::experiment6();
    fixture.setting("ns_1", "veth2", Family::V6, Setting::DisableIpv6, 1);
    is(&fixture, "ipv6-disabled", "ns_1/veth2");
}

#[test]
fn a_route_makes_a_remote_address_look_local() {
    let mut fixture = Fixture::lost_at_the_gateway();
    fixture.netns("host").routes.push(route(TABLE_MAIN, "114.114.114.0/24", RouteKind::Unicast, Some(3), None));
    let destination = fixture.observation.probe.destination;
    let state = NeighbourState::Failed;
    let entry = Neighbour { link: LinkIndex(3), address: destination, mac: None, state, proxy: false };
    fixture.observation.neighbours = vec![(name("host"), entry)];
    is(&fixture, "prefix-wrong", "host/eth2");
    assert_eq!(fixture.explained().fix.commands(), ["ip route del 114.114.114.0/24 dev eth2"]);
}

#[test]
fn a_route_leads_to_a_plain_host() {
    let mut fixture = Fixture::lan();
    fixture.observation.probe.destination = "7.7.7.7".parse().unwrap();
    fixture.netns("ns_1").routes.push(route(TABLE_MAIN, "0.0.0.0/0", RouteKind::Unicast, Some(2), Some("1.1.1.4")));
    let places = ["ns_1:veth2>", "host:veth3<", "host:veth4>", "ns_2:veth2<"];
    fixture.seen(Leg::Request, "1.1.1.2", "7.7.7.7", &places);
    is(&fixture, "route-wrong", "ns_1/veth2");
}

#[test]
fn a_policy_rule_refuses() {
    let mut fixture = Fixture::lost_at_the_gateway();
    let mut prohibit = rule(Family::V4, 100, RuleAction::Prohibit);
    prohibit.from = Some("1.1.1.0/24".parse().unwrap());
    fixture.netns("host").rules.insert(1, prohibit);
    is(&fixture, "rule-policy", "host");
}

#[test]
fn the_hops_run_out() {
    let mut fixture = Fixture::lost_at_the_gateway();
    for sight in &mut fixture.observation.journey.sights {
        sight.header.ttl = 1;
    }
    is(&fixture, "ttl-expired", "ns_1/veth2");
}

#[test]
fn the_receiver_holds_the_source_itself() {
    let mut fixture = Fixture::lost_at_the_gateway();
    fixture.link("host", "eth2").addresses.push(address("1.1.1.2/32"));
    is(&fixture, "source-martian", "host/veth3");
    assert_eq!(fixture.explained().fix.commands(), ["ip addr del 1.1.1.2/32 dev eth2"]);
}

#[test]
fn a_source_that_no_host_can_have_is_replaced_or_translated() {
    let mut fixture = Fixture::experiment();
    fixture.link("ns_1", "veth2").addresses = vec![address("1.1.1.255/23")];
    fixture.seen(Leg::Request, "1.1.1.255", "114.114.114.114", &["ns_1:veth2>", "host:veth3<"]);
    is(&fixture, "source-martian", "host/veth3");
    let expected = ["ip -n ns_1 addr add 1.1.1.2/24 dev veth2", "ip -n ns_1 addr del 1.1.1.255/23 dev veth2"];
    assert_eq!(fixture.explained().fix.commands(), expected);
    fixture.observation.probe.source = Some("1.1.1.255".parse().unwrap());
    assert!(fixture.explained().fix.is_empty(), "this source was asked for");

    let mut fixture = Fixture::experiment();
    fixture.seen(Leg::Request, "127.0.0.1", "114.114.114.114", &["ns_1:veth2>", "host:veth3<"]);
    is(&fixture, "source-martian", "host/veth3");
    let mend = fixture.explained().fix.commands().concat();
    assert!(mend.starts_with("ip netns exec ns_1 nft ") && mend.contains("oifname \"veth2\" masquerade"), "{mend}");
}

#[test]
fn a_translation_leads_to_loopback() {
    let mut fixture = Fixture::lost_at_the_gateway();
    let nat = "table ip nat { chain p { type nat hook prerouting priority -100; dnat to 127.0.0.1; } }";
    rules(&mut fixture, nat);
    is(&fixture, "localnet-unrouted", "host/veth3");
}

#[test]
fn a_translation_is_for_another_source() {
    let mut fixture = passed_on("1.1.1.2");
    let nat = "table ip nat { chain p { type nat hook postrouting priority 100; ip saddr 2.2.2.0/24 masquerade; } }";
    rules(&mut fixture, nat);
    is(&fixture, "snat-mismatch", "host/eth2");
}

#[test]
fn a_source_becomes_an_address_that_nobody_holds() {
    is(&passed_on("10.20.30.128"), "snat-address-wrong", "host/eth2");
}

#[test]
fn a_translation_has_no_port_left() {
    let mut fixture = Fixture::lost_at_the_gateway();
    rules(&mut fixture, "table ip nat { chain p { type nat hook postrouting priority 100; snat to 10.20.30.182; } }");
    fixture.counted("host", "Conntrack.insert_failed");
    is(&fixture, "snat-exhausted", "host/eth2");
    assert!(fixture.explained().fix.is_empty(), "it has all ports already");
}

#[test]
fn all_ports_of_the_same_address_are_opened_to_the_protocol() {
    for (rule, statement) in [
        ("snat to 10.20.30.182:5000-5009", "snat to 10.20.30.182"),
        ("masquerade to :5000-5009", "masquerade"),
        ("snat to 10.20.30.182-10.20.30.190:5000-5009", ""),
    ] {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(80));
        fixture.seen(Leg::Request, "1.1.1.2", "114.114.114.114", &["ns_1:veth2>", "host:veth3<"]);
        rules(
            &mut fixture,
            &format!(
                "table ip nat {{ chain p {{ type nat hook postrouting priority 100; tcp dport 1-65535 {rule}; }} }}"
            ),
        );
        for sight in &mut fixture.observation.journey.sights {
            sight.bytes = syn(sight, 80);
        }
        fixture.counted("host", "Conntrack.insert_failed");
        is(&fixture, "snat-exhausted", "host/eth2");
        let fix = fixture.explained().fix;
        let line = fix.commands().concat();
        let wanted = format!("ip saddr 1.1.1.0/24 oifname \"eth2\" meta l4proto tcp {statement}'");
        assert!(if statement.is_empty() { line.is_empty() } else { line.ends_with(&wanted) }, "{rule}: {line}");
        assert!(statement.is_empty() || fix.inverse().commands() == ["nft 'delete table ip nsgate-mend'"]);
    }
}

#[test]
fn a_router_sends_its_own_network_back() {
    let mut fixture = Fixture::experiment();
    fixture.observation.probe.destination = "203.0.113.5".parse().unwrap();
    let mut far = fixture.netns("ns_1").clone();
    far.name = name("far");
    far.inode = 9;
    far.links.retain(|link| link.index == LinkIndex(1));
    far.links[0].addresses.push(address("203.0.113.5/32"));
    let wire = fixture.link("world", "w0").clone();
    let w1 =
        Link { index: LinkIndex(3), name: "w1".parse().unwrap(), addresses: vec![address("203.0.113.1/24")], ..wire };
    let f0 = Link {
        index: LinkIndex(2),
        name: "f0".parse().unwrap(),
        addresses: vec![address("203.0.113.5/24")],
        ..w1.clone()
    };
    let peer = |netns: &str, link| Peer::There(name(netns), LinkIndex(link));
    fixture.netns("world").links.push(Link { peer: peer("far", 2), ..w1 });
    far.links.push(Link { peer: peer("world", 3), ..f0 });
    fixture.world.namespaces.push(far);
    let back = route(TABLE_MAIN, "203.0.113.0/24", RouteKind::Unicast, Some(2), Some("10.20.30.182"));
    fixture.netns("world").routes.push(back);
    fixture.seen(Leg::Request, "1.1.1.2", "203.0.113.5", &["ns_1:veth2>", "host:veth3<"]);
    fixture.seen(Leg::Request, "10.20.30.182", "203.0.113.5", &["host:eth2>", "world:w0<", "world:w0>", "host:eth2<"]);
    let hops = [64, 64, 63, 63, 62, 62];
    for (sight, hops) in fixture.observation.journey.sights.iter_mut().zip(hops) {
        sight.header.ttl = hops;
    }
    is(&fixture, "ttl-expired", "world/w0");
    let expected = [
        "ip -n world route del 203.0.113.0/24 via 10.20.30.182 dev w0",
        "ip -n world route add 203.0.113.0/24 dev w1 proto kernel src 203.0.113.1",
    ];
    assert_eq!(fixture.explained().fix.commands(), expected);
    // Nobody is there to be reached.
    fixture.world.namespaces.pop();
    assert!(fixture.explained().fix.is_empty());
}

#[test]
fn a_published_port_is_another_one() {
    let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(8080));
    fixture.observation.probe.from = name("world");
    fixture.observation.probe.destination = "10.20.30.182".parse().unwrap();
    rules(
        &mut fixture,
        "table ip nat { chain p { type nat hook prerouting priority -100; tcp dport 80 dnat to 1.1.1.2:80; } }",
    );
    fixture.seen(Leg::Request, "10.20.30.1", "10.20.30.182", &["world:w0>", "host:eth2<"]);
    for sight in &mut fixture.observation.journey.sights {
        sight.bytes = syn(sight, 8080);
    }
    is(&fixture, "dnat-mismatch", "host/eth2");
    let mend = fixture.explained().fix.commands().concat();
    assert!(mend.contains("tcp dport 8080 dnat to 1.1.1.2:80"), "{mend}");
}

#[test]
fn the_table_of_connections_is_full() {
    let mut fixture = Fixture::lost_at_the_gateway();
    for (sysctl, value) in [("net.netfilter.nf_conntrack_count", "8"), ("net.netfilter.nf_conntrack_max", "8")] {
        fixture.netns("host").sysctls.insert(Sysctl::known(sysctl), value.into());
    }
    fixture.counted("host", "Conntrack.drop");
    is(&fixture, "conntrack-full", "host");
}

#[test]
fn the_answer_takes_another_way_and_is_translated_there() {
    let mut fixture = passed_on("1.1.1.2");
    let other = Link { index: LinkIndex(3), name: "w1".parse().unwrap(), ..fixture.link("world", "w0").clone() };
    fixture.netns("world").links.push(Link { addresses: Vec::new(), peer: Peer::None, ..other });
    let back = route(TABLE_MAIN, "1.1.1.0/24", RouteKind::Unicast, Some(2), Some("10.20.30.182"));
    fixture.netns("world").routes.push(back);
    fixture.seen(Leg::Answer, "9.9.9.9", "1.1.1.2", &["world:w1>", "ns_1:veth2<"]);
    is(&fixture, "return-path-asymmetric", "world/w1");
    let router = fixture.link("host", "eth2").mac.insert(Mac([2, 0, 0, 0, 0, 1])).to_owned();
    for sight in &mut fixture.observation.journey.sights {
        sight.header.macs = Some((router, Mac([2, 0, 0, 0, 0, 2])));
    }
    let mend = fixture.explained().fix.commands();
    assert_eq!(mend, ["ip -n world route add 1.1.1.2/32 via 10.20.30.182 dev w0"]);
}

#[test]
fn the_destination_is_set_not_to_answer() {
    let mut fixture = passed_on("10.20.30.182");
    fixture.sysctl("world", "net.ipv4.icmp_echo_ignore_all", "1");
    is(&fixture, "echo-ignored", "world");
    assert_eq!(fixture.explained().fix.commands().len(), 1);
}
