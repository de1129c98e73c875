use super::super::{remove, simulate};
use super::*;
use std::collections::BTreeSet;

use crate::model::{Family, LinkIndex, Route, Setting, Sysctl};
use crate::spec::{self, Severity};

/// Three networks: the article's, a bridge of both families, and one without translation.
const THREE: &str = r#"
[gateway.host]
uplink = "eth2"

[network.blue]
subnets = ["1.1.1.0/24"]
gateway-addresses = ["1.1.1.3"]
source-nat = "10.20.30.182"
[network.blue.member.ns_1]
addresses = ["1.1.1.2"]
interface = "veth2"
gateway-interface = "veth3"

[network.red]
kind = "bridge"
subnets = ["10.0.0.0/24", "fd00:7::/64"]
source-nat = "masquerade"
member.web-1 = { addresses = ["10.0.0.11", "fd00:7::11"] }
member.web-2 = { addresses = ["10.0.0.12"] }

[network.plain]
subnets = ["10.9.0.0/24", "fd00:9::/64"]
mtu = 1400
member.p1 = {}
member.p2 = {}
"#;

/// A World whose `host` has an uplink, as `force_forwarding` is known there or not.
pub(super) fn world(force_forwarding: bool) -> World {
    let mut world = World::default();
    world.namespaces.push(Namespace::new(NetnsName::host(), 1));
    for line in [
        "ip link add eth2 type dummy",
        "ip addr add 10.20.30.182/24 dev eth2",
        "ip link set eth2 up",
        "ip route add default via 10.20.30.1 dev eth2",
        "sysctl -w net.ipv4.ip_forward=0",
        "sysctl -w net.ipv6.conf.all.forwarding=0",
        "sysctl -w net.ipv6.conf.eth2.accept_ra=1",
        "sysctl -w net.ipv4.conf.eth2.forwarding=0",
    ] {
        simulate::apply(&mut world, &line.parse().unwrap()).unwrap();
    }
    if force_forwarding {
        let step = "sysctl -w net.ipv6.conf.eth2.force_forwarding=0".parse().unwrap();
        simulate::apply(&mut world, &step).unwrap();
    }
    world
}

fn wanted(text: &str, world: &World) -> Wanted {
    let (spec, found) = spec::read(text);
    assert!(found.iter().all(|d| d.severity == Severity::Warning), "{found:?}");
    let resolved = spec::resolve(&spec.unwrap(), "lab", world);
    resolved.wanted.unwrap_or_else(|| panic!("{:?}", resolved.diagnostics))
}

pub(super) fn compiled(text: &str, world: &World) -> Compiled {
    compile(&wanted(text, world), world).unwrap()
}

#[track_caller]
pub(super) fn run(world: &mut World, steps: &[Step]) {
    for step in steps {
        simulate::apply(world, step).unwrap_or_else(|refusal| panic!("{step}: {refusal}"));
    }
}

fn built(text: &str, world: &World) -> World {
    let mut after = world.clone();
    run(&mut after, &compiled(text, world).plan.steps);
    after
}

/// What a World is like, one object a line: apart from the numbers and orders that any change moves.
pub(super) fn shape(world: &World) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for netns in &world.namespaces {
        let space = &netns.name;
        let name = |index: LinkIndex| netns.link(index).map_or("?".into(), |link| link.name.to_string());
        for link in &netns.links {
            let peer = world.peer(netns, link).map(|(there, end)| format!("{} {}", there.name, end.name));
            let settings =
                |values: &[i32]| values.iter().rposition(|value| *value != 0).map(|last| values[..=last].to_vec());
            let mut addresses: Vec<_> = link.addresses.iter().map(|address| format!("{address:?}")).collect();
            addresses.sort();
            lines.insert(format!(
                "{space}: {} {:?} {} {} {:?} {:?} {} {:?} {addresses:?} {:?} {:?}",
                link.name,
                link.kind,
                link.up,
                link.mtu,
                link.master.map(name),
                peer,
                link.group,
                link.alias,
                settings(&link.settings4),
                settings(&link.settings6),
            ));
        }
        for route in &netns.routes {
            let hops: Vec<_> = route.next_hops.iter().map(|hop| (hop.gateway, hop.link.map(name))).collect();
            let bare = Route { next_hops: Vec::new(), ..route.clone() };
            lines.insert(format!("{space}: {bare:?} {hops:?}"));
        }
        lines.extend(netns.rules.iter().map(|rule| format!("{space}: {rule:?}")));
        lines.extend(netns.sysctls.iter().map(|(name, value)| format!("{space}: {name}={value}")));
        lines.extend(netns.ruleset.tables.iter().map(|table| format!("{space}: {table}")));
        lines.insert(format!("{space}"));
    }
    lines
}

/// Two Worlds must be alike; what is not is named.
#[track_caller]
pub(super) fn alike(now: &World, before: &World, when: &str) {
    let (now, before) = (shape(now), shape(before));
    let (gone, new): (Vec<_>, Vec<_>) = (before.difference(&now).collect(), now.difference(&before).collect());
    assert!(gone.is_empty() && new.is_empty(), "{when}\ngone: {gone:#?}\nnew: {new:#?}");
}

#[test]
fn applying_twice_changes_nothing() {
    for force in [false, true] {
        let before = world(force);
        let after = built(THREE, &before);
        assert_ne!(shape(&after), shape(&before));
        let again = compiled(THREE, &after);
        assert_eq!(again.plan.commands(), Vec::<String>::new());
        assert_eq!(again.restore, []);
    }
}

#[test]
fn every_beginning_of_a_plan_can_be_taken_back() {
    let before = world(true);
    let steps = compiled(THREE, &before).plan.steps;
    for length in 0..=steps.len() {
        let mut world = before.clone();
        run(&mut world, &steps[..length]);
        let back: Vec<Step> = steps[..length].iter().rev().map(|step| step.inverse().unwrap()).collect();
        run(&mut world, &back);
        alike(&world, &before, &format!("after {length} steps"));
    }
}

#[test]
fn removing_leaves_what_was_before() {
    for force in [false, true] {
        let before = world(force);
        let compiled = compiled(THREE, &before);
        let mut after = before.clone();
        run(&mut after, &compiled.plan.steps);
        assert_eq!(remove::instances(&after).into_iter().collect::<Vec<_>>(), ["lab"]);
        let steps = remove::remove("lab", &after, &compiled.restore);
        run(&mut after, &steps);
        alike(&after, &before, "");
        assert_eq!(remove::remove("lab", &after, &compiled.restore), []);
    }
}

#[test]
fn a_change_of_the_file_touches_only_what_it_changes() {
    let after = built(THREE, &world(true));
    let changed = THREE.replace("member.web-2 = { addresses = [\"10.0.0.12\"] }", "member.web-3 = {}");
    assert_eq!(
        compiled(&changed, &after).plan.commands(),
        [
            "ip link set red-web-2 down",
            "ip link set red-web-2 nomaster",
            "ip link set red-web-2 alias ''",
            "ip -n web-2 route del default via 10.0.0.1 dev eth0 proto 215",
            "ip -n web-2 addr del 10.0.0.12/24 dev eth0",
            "ip -n web-2 link set eth0 down",
            "ip -n web-2 link set eth0 alias ''",
            "ip link del red-web-2",
            "ip netns add web-3",
            "ip -n web-3 link set lo alias nsgate:lab",
            "ip -n web-3 link set lo up",
            "ip link add red-web-3 mtu 1500 address 02:00:a6:53:73:c1 group 28275 type veth peer name eth0 mtu 1500 \
             address 02:59:c8:e3:22:31 group 28275 netns web-3",
            "ip link set red-web-3 addrgenmode none",
            "ip -n web-3 link set eth0 addrgenmode none",
            "ip link set red-web-3 alias nsgate:lab:red:web-3",
            "ip -n web-3 link set eth0 alias nsgate:lab:red:web-3",
            "ip link set red-web-3 master br-red",
            "ip link set red-web-3 up",
            "ip -n web-3 link set eth0 up",
            "ip -n web-3 addr add 10.0.0.2/24 dev eth0",
            "ip -n web-3 addr add fd00:7::2/64 dev eth0 nodad",
            "ip -n web-3 addr add fe80::2/64 dev eth0 nodad",
            "ip -n web-3 route add default via 10.0.0.1 dev eth0 proto 215",
            "ip -n web-3 -6 route add default via fd00:7::1 dev eth0 proto 215",
            "ip netns del web-2",
        ]
    );
    let twice = built(&changed, &after);
    assert_eq!(compiled(&changed, &twice).plan.commands(), Vec::<String>::new());
}

#[test]
fn drift_is_mended() {
    let after = built(THREE, &world(true));
    for line in [
        "ip link del veth3",
        "ip -n ns_1 link set veth2 down",
        "ip -n ns_1 route del default",
        "ip -n web-1 addr del 10.0.0.11/24 dev eth0",
        "ip link set br-red down",
        "ip link set red-web-1 nomaster",
        "ip link set plain-p1 mtu 1300",
        "sysctl -w net.ipv4.conf.eth2.forwarding=0",
        "ip netns del p1",
    ] {
        let mut drifted = after.clone();
        run(&mut drifted, &[line.parse().unwrap()]);
        let plan = compiled(THREE, &drifted).plan;
        assert!(!plan.is_empty(), "{line}");
        run(&mut drifted, &plan.steps);
        assert_eq!(drifted.namespaces.len(), after.namespaces.len(), "{line}");
        assert_eq!(compiled(THREE, &drifted).plan.commands(), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn forwarding_is_switched_on_where_it_is_needed_and_nowhere_else() {
    let after = built(THREE, &world(true));
    let host = after.namespace(&NetnsName::host()).unwrap();
    assert_eq!(host.sysctls.get("net.ipv4.ip_forward"), Some("0"));
    assert_eq!(host.sysctls.get("net.ipv6.conf.all.forwarding"), Some("0"));
    let on = |name: &str, family, setting| host.link_named(name).unwrap().setting(family, setting);
    assert_eq!(on("eth2", Family::V4, Setting::Forwarding), Some(1));
    assert_eq!(on("eth2", Family::V6, Setting::ForceForwarding), Some(1));
    assert_eq!(on("br-red", Family::V4, Setting::Forwarding), Some(1));
    assert_eq!(on("veth3", Family::V6, Setting::ForceForwarding), None, "blue has no IPv6");
}

#[test]
fn an_older_kernel_keeps_its_router_advertisements() {
    let before = world(false);
    let compiled = compiled(THREE, &before);
    let commands = compiled.plan.commands();
    let at = |line: &str| commands.iter().position(|command| command == line).unwrap();
    let accept = at("sysctl -w net.ipv6.conf.eth2.accept_ra=2");
    assert!(accept < at("sysctl -w net.ipv6.conf.all.forwarding=1"));
    let restore: Vec<String> = compiled.restore.iter().map(Step::to_string).collect();
    assert_eq!(
        restore,
        [
            "sysctl -w net.ipv4.conf.eth2.forwarding=0",
            "sysctl -w net.ipv6.conf.eth2.accept_ra=1",
            "sysctl -w net.ipv6.conf.all.forwarding=0"
        ]
    );
    assert_eq!(Sysctl::of_all(Family::V6, "forwarding").as_str(), "net.ipv6.conf.all.forwarding");
}

#[test]
fn a_namespace_that_was_there_is_used_and_left() {
    let mut before = world(true);
    run(&mut before, &["ip netns add ns_1".parse().unwrap(), "ip -n ns_1 link set lo up".parse().unwrap()]);
    let compiled = compiled(THREE, &before);
    assert!(
        !compiled
            .plan
            .commands()
            .iter()
            .any(|line| line.contains("netns add ns_1") || line.contains("ns_1 link set lo"))
    );
    let mut after = before.clone();
    run(&mut after, &compiled.plan.steps);
    let steps = remove::remove("lab", &after, &compiled.restore);
    run(&mut after, &steps);
    alike(&after, &before, "");
}

#[test]
fn another_instance_is_not_touched() {
    let first = built(THREE, &world(true));
    let other = "name = \"other\"\n[network.green]\nsubnets = [\"10.77.0.0/24\"]\nmember.g1 = {}\n";
    let both = built(other, &first);
    assert_eq!(compiled(THREE, &both).plan.commands(), Vec::<String>::new());
    let steps = remove::remove("other", &both, &[]);
    let mut after = both.clone();
    run(&mut after, &steps);
    assert_eq!(compiled(THREE, &after).plan.commands(), Vec::<String>::new());
    assert!(after.namespace(&"g1".parse().unwrap()).is_none());
}

#[test]
fn the_packet_filter_translates_on_the_way_out_and_nothing_else() {
    // Networks that do not talk to each other would have rules for that, too.
    let talking = THREE.replace("source-nat =", "talks-to = [\"blue\", \"red\", \"plain\"]\nsource-nat =");
    let talking = talking.replace("mtu = 1400", "mtu = 1400\ntalks-to = [\"blue\", \"red\"]");
    let after = built(&talking, &world(true));
    let host = after.namespace(&NetnsName::host()).unwrap();
    let table = &host.ruleset.tables[0];
    assert_eq!(
        table.to_string(),
        r#"table inet nsgate-lab {
	map snat4 {
		type ipv4_addr : ipv4_addr
		flags interval
		elements = { 1.1.1.0/24 comment "blue" : 10.20.30.182 }
	}

	set masquerade4 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/24 comment "red" }
	}

	map snat6 {
		type ipv6_addr : ipv6_addr
		flags interval
	}

	set masquerade6 {
		type ipv6_addr
		flags interval
		elements = { fd00:7::/64 comment "red" }
	}

	chain outward {
		snat ip to ip saddr map @snat4
		ip saddr @masquerade4 masquerade
		snat ip6 to ip6 saddr map @snat6
		ip6 saddr @masquerade6 masquerade
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth2" jump outward
	}
}
"#
    );
}

#[test]
fn another_translation_is_a_change_of_elements() {
    let mut after = built(THREE, &world(true));
    let changed = THREE.replace("source-nat = \"masquerade\"", "source-nat = \"10.20.30.182\"");
    let plan = compiled(&changed, &after).plan;
    assert_eq!(
        plan.commands(),
        ["nft 'add element inet nsgate-lab snat4 { 10.0.0.0/24 comment \"red\" : 10.20.30.182 }; \
          delete element inet nsgate-lab masquerade4 { 10.0.0.0/24 comment \"red\" }; \
          delete element inet nsgate-lab masquerade6 { fd00:7::/64 comment \"red\" }'"]
    );
    let before = after.clone();
    run(&mut after, &plan.steps);
    assert_eq!(compiled(&changed, &after).plan.commands(), Vec::<String>::new());
    run(&mut after, &[plan.steps[0].inverse().unwrap()]);
    assert_eq!(compiled(THREE, &after).plan.commands(), Vec::<String>::new());
    alike(&after, &before, "");
}

#[test]
fn a_table_that_was_tampered_with_is_made_again() {
    let mut after = built(THREE, &world(true));
    let tamper = "nft 'flush chain inet nsgate-lab postrouting'".parse().unwrap();
    run(&mut after, &[tamper]);
    let plan = compiled(THREE, &after).plan;
    assert!(
        plan.commands()[0].starts_with("nft 'delete table inet nsgate-lab; add table inet nsgate-lab; "),
        "{plan:?}"
    );
    run(&mut after, &plan.steps);
    assert_eq!(compiled(THREE, &after).plan.commands(), Vec::<String>::new());
}

#[test]
fn an_uplink_that_nftables_cannot_name_is_refused() {
    let mut odd = world(true);
    run(&mut odd, &["ip link add 'a\"b' type dummy".parse().unwrap()]);
    let mut wanted = wanted(THREE, &odd);
    wanted.gateways[0].uplinks[0].interface = "a\"b".parse().unwrap();
    assert_eq!(compile(&wanted, &odd).unwrap_err(), CompileError::Uplink("a\"b".parse().unwrap()));
}

#[test]
fn what_stands_is_listed_by_its_marks() {
    let after = built(THREE, &world(true));
    let found = super::super::inventory(&after);
    let lab = &found["lab"];
    assert!(lab.translates);
    assert_eq!(lab.networks.keys().collect::<Vec<_>>(), ["blue", "plain", "red"]);
    assert_eq!(lab.networks["red"].bridge.as_ref().unwrap().as_str(), "br-red");
    let member = &lab.networks["blue"].members[0];
    assert_eq!((member.netns.as_str(), member.interface.as_str(), member.up), ("ns_1", "veth2", true));
    assert_eq!(member.gateway_interface.as_ref().unwrap().as_str(), "veth3");
    assert_eq!(lab.namespaces.len(), 5);
}
