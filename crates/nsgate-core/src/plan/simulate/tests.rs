use super::*;

/// A World with `host` and what these lines build in it.
fn built(lines: &str) -> World {
    let mut world = World::default();
    let mut host = Namespace::new(NetnsName::host(), 1);
    host.links.push(link::loopback());
    host.rules = route::kernel_rules();
    world.namespaces.push(host);
    run(&mut world, lines).unwrap();
    world
}

fn run(world: &mut World, lines: &str) -> Result<(), (usize, Refusal)> {
    let steps: Vec<Step> = lines.lines().map(|line| line.trim().parse().unwrap()).collect();
    apply_all(world, &steps)
}

const ARTICLE: &str = "ip netns add ns_1
    ip link add veth3 type veth peer name veth2 netns ns_1
    ip addr add 1.1.1.3/24 dev veth3
    ip -n ns_1 addr add 1.1.1.2/24 dev veth2
    ip link set veth3 up
    ip -n ns_1 link set veth2 up
    ip -n ns_1 route add default via 1.1.1.3 dev veth2";

fn netns<'a>(world: &'a World, name: &str) -> &'a Namespace {
    world.namespace(&name.parse().unwrap()).unwrap()
}

#[test]
fn a_wire_has_carrier_when_both_ends_are_up() {
    let mut world = built(ARTICLE);
    let end = netns(&world, "host").link_named("veth3").unwrap();
    assert!(end.usable());
    assert_eq!(world.peer(netns(&world, "host"), end).unwrap().1.name.as_str(), "veth2");
    run(&mut world, "ip -n ns_1 link set veth2 down").unwrap();
    assert!(!netns(&world, "host").link_named("veth3").unwrap().carrier);
}

#[test]
fn a_connected_prefix_comes_with_the_interface_and_goes_with_it() {
    let mut world = built(ARTICLE);
    let main = |world: &World| netns(world, "ns_1").routes.iter().filter(|r| r.table == 254).count();
    assert_eq!(main(&world), 2);
    run(&mut world, "ip -n ns_1 link set veth2 down").unwrap();
    assert_eq!(main(&world), 0);
    run(&mut world, "ip -n ns_1 link set veth2 up").unwrap();
    assert_eq!(main(&world), 1, "the default route does not come back");
}

#[test]
fn a_namespace_takes_its_wires_along() {
    let mut world = built(ARTICLE);
    run(&mut world, "ip netns del ns_1").unwrap();
    assert!(netns(&world, "host").link_named("veth3").is_none());
    assert!(netns(&world, "host").routes.is_empty());
}

#[test]
fn what_linux_refuses_is_refused_and_changes_nothing() {
    let world = built(ARTICLE);
    for (line, words) in [
        ("ip netns add ns_1", "namespace ns_1 exists"),
        ("ip link add veth3 type dummy", "interface veth3 in host exists"),
        ("ip link add veth9 type veth peer name veth2 netns ns_1", "interface veth2 in ns_1 exists"),
        ("ip link del veth9", "interface veth9 in host does not exist"),
        ("ip link del lo", "the loopback interface cannot be removed"),
        ("ip addr add 1.1.1.3/24 dev veth3", "1.1.1.3/24 on veth3 exists"),
        ("ip route add 10.0.0.0/8 via 9.9.9.9", "the gateway 9.9.9.9 is on no link"),
        ("ip -n ns_1 route add default via 1.1.1.3", "route to 0.0.0.0/0 exists"),
        ("ip -n ns_2 link set lo up", "namespace ns_2 does not exist"),
        ("ip link set veth3 netns ns_1", "the effect of this step is not modelled"),
    ] {
        let mut changed = world.clone();
        let (_, refusal) = run(&mut changed, line).unwrap_err();
        assert_eq!(refusal.to_string(), words, "{line}");
        assert_eq!(changed, world, "{line}");
    }
}

#[test]
fn every_step_of_the_article_can_be_taken_back() {
    let before = built("ip netns add ns_1");
    let mut world = before.clone();
    let steps: Vec<Step> = ARTICLE.lines().skip(1).map(|line| line.trim().parse().unwrap()).collect();
    let mut back = Vec::new();
    for step in &steps {
        apply(&mut world, step).unwrap();
        // A setting is taken back by what was there before.
        back.push(match step.inverse() {
            Some(inverse) => inverse,
            None => step.to_string().replace(" up", " down").parse().unwrap(),
        });
    }
    for step in back.iter().rev() {
        apply(&mut world, step).unwrap();
    }
    assert_eq!(world, before);
}

#[test]
fn the_global_forwarding_switch_reaches_every_interface() {
    let mut world = built(ARTICLE);
    run(&mut world, "sysctl -w net.ipv4.ip_forward=1").unwrap();
    let host = netns(&world, "host");
    assert_eq!(host.setting_of_all(Family::V4, Setting::Forwarding), Some(1));
    assert_eq!(host.link_named("veth3").unwrap().setting(Family::V4, Setting::Forwarding), Some(1));
    run(&mut world, "sysctl -w net.ipv4.conf.veth3.forwarding=0").unwrap();
    let host = netns(&world, "host");
    assert_eq!(host.link_named("veth3").unwrap().setting(Family::V4, Setting::Forwarding), Some(0));
    assert_eq!(host.setting_of_all(Family::V4, Setting::Forwarding), Some(1));
}

#[test]
fn policy_rules_stand_in_their_order() {
    let mut world = built("ip rule add from 10.0.0.0/8 priority 100 lookup 7");
    let order: Vec<_> = netns(&world, "host").rules.iter().map(|rule| rule.priority).collect();
    assert_eq!(order, [0, 100, 32766, 32767, 0, 32766]);
    run(&mut world, "ip rule del from 10.0.0.0/8 priority 100 lookup 7").unwrap();
    assert_eq!(netns(&world, "host").rules, route::kernel_rules());
}
