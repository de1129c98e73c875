use super::super::{remove, simulate};
use super::tests::{alike, compiled, run, shape, world};
use super::*;
use crate::plan::step::Step;

/// A router on a bridge, one behind it, and a network of the host's.
const ROUTERS: &str = include_str!("../../../../../examples/router.toml");

/// The World of the tests with a bridge that leads outside.
fn outside(force_forwarding: bool) -> World {
    let mut world = world(force_forwarding);
    for line in ["ip link add br-ex type bridge", "ip link set br-ex up"] {
        simulate::apply(&mut world, &line.parse().unwrap()).unwrap();
    }
    world
}

#[test]
fn each_router_has_its_own_table_routes_and_switch() {
    let before = outside(true);
    let commands = compiled(ROUTERS, &before).plan.commands();
    let lines = |prefix: &str| -> Vec<&str> {
        commands.iter().filter_map(|line| line.strip_prefix(prefix)).filter(|line| !line.starts_with("link")).collect()
    };
    assert_eq!(
        lines("ip -n qrouter-8 "),
        [
            "addr add 10.255.0.2/30 dev up-qrouter-7",
            "route add default via 10.255.0.1 dev up-qrouter-7 proto 215",
            "addr add 10.8.0.1/24 dev green-app-1 noprefixroute",
            "route add 10.8.0.2/32 dev green-app-1 proto 215 src 10.8.0.1",
            "route add 10.66.0.0/16 via 10.8.0.2 dev green-app-1 proto 215",
            "addr add 10.8.0.1/24 dev green-app-2 noprefixroute",
            "route add 10.8.0.3/32 dev green-app-2 proto 215 src 10.8.0.1",
            "route add unreachable 10.67.0.0/16 proto 215",
        ]
    );
    // What is behind the inner router untranslated, the outer one reaches through it, and translates.
    let ways: Vec<&String> = commands.iter().filter(|line| line.contains("10.8.0.0/24 via")).collect();
    assert!(
        ways.len() == 1 && ways[0].starts_with("ip -n qrouter-7 route add 10.8.0.0/24 via 10.255.0.2 dev "),
        "{ways:?}"
    );
    let mut after = before.clone();
    run(&mut after, &compiled(ROUTERS, &before).plan.steps);
    let table = |name: &str| {
        let netns = after.namespace(&name.parse().unwrap()).unwrap();
        netns.ruleset.tables.iter().map(ToString::to_string).collect::<String>()
    };
    assert!(table("qrouter-7").contains("10.8.0.0/24 comment \"@qrouter-8\", 10.255.0.0/30 comment \"@qrouter-8\""));
    assert!(table("qrouter-7").contains("oifname \"up-br-ex\" jump outward"));
    assert_eq!(table("qrouter-8"), "");
    assert!(table("host").contains("oifname \"eth2\" jump outward"));
    for (name, forwards6) in [("qrouter-7", "1"), ("qrouter-8", "0")] {
        let sysctls = &after.namespace(&name.parse().unwrap()).unwrap().sysctls;
        assert_eq!(sysctls.get("net.ipv4.ip_forward"), Some("1"), "{name}");
        assert_eq!(sysctls.get("net.ipv6.conf.all.forwarding"), Some(forwards6), "{name}");
    }
    assert_eq!(after.namespace(&NetnsName::host()).unwrap().sysctls.get("net.ipv4.ip_forward"), Some("0"));
}

#[test]
fn routers_stand_are_taken_back_and_go() {
    for force in [false, true] {
        let before = outside(force);
        let compiled_first = compiled(ROUTERS, &before);
        let steps = &compiled_first.plan.steps;
        for length in 0..=steps.len() {
            let mut world = before.clone();
            run(&mut world, &steps[..length]);
            let back: Vec<Step> = steps[..length].iter().rev().map(|step| step.inverse().unwrap()).collect();
            run(&mut world, &back);
            alike(&world, &before, &format!("after {length} steps"));
        }
        let mut after = before.clone();
        run(&mut after, steps);
        assert_ne!(shape(&after), shape(&before));
        assert_eq!(compiled(ROUTERS, &after).plan.commands(), Vec::<String>::new());
        let gone = remove::remove("lab", &after, &compiled_first.restore);
        run(&mut after, &gone);
        alike(&after, &before, "");
    }
}

#[test]
fn what_drifts_at_a_router_is_mended() {
    let mut after = outside(true);
    let steps = compiled(ROUTERS, &after).plan.steps;
    run(&mut after, &steps);
    for line in [
        "ip netns del qrouter-7",
        "ip link del qrouter-7-br-ex",
        "ip link set qrouter-7-br-ex nomaster",
        "ip -n qrouter-7 addr del 203.0.113.5/24 dev up-br-ex",
        "ip -n qrouter-8 route del default",
        "ip -n qrouter-8 route del unreachable 10.67.0.0/16 proto 215",
        "ip -n qrouter-8 route del 10.66.0.0/16 via 10.8.0.2 dev green-app-1 proto 215",
        "ip -n qrouter-8 link set up-qrouter-7 mtu 1400",
        "ip netns exec qrouter-7 sysctl -w net.ipv4.ip_forward=0",
        "nft delete table inet nsgate-lab",
    ] {
        let mut drifted = after.clone();
        run(&mut drifted, &[line.parse().unwrap()]);
        let plan = compiled(ROUTERS, &drifted).plan;
        assert!(!plan.is_empty(), "{line}");
        run(&mut drifted, &plan.steps);
        assert_eq!(compiled(ROUTERS, &drifted).plan.commands(), Vec::<String>::new(), "{line}");
        alike(&drifted, &after, line);
    }
}

#[test]
fn a_router_that_is_no_longer_wanted_goes_and_the_others_stay() {
    let mut after = outside(true);
    let steps = compiled(ROUTERS, &after).plan.steps;
    run(&mut after, &steps);
    let (head, rest) = ROUTERS.split_once("[gateway.qrouter-8]").unwrap();
    let (_, networks) = rest.split_once("[network.blue]").unwrap();
    let (networks, _) = networks.split_once("[network.green]").unwrap();
    let less = format!("{head}[network.blue]{networks}").replace("talks-to = [\"green\"]", "");
    let plan = compiled(&less, &after).plan;
    // Who may talk to whom changes with the networks; nothing else of the others does.
    let commands = plan.commands();
    let mut others = commands.iter().filter(|line| !line.contains(" nft "));
    assert!(others.all(|line| !line.contains("br-ex") && !line.contains("web-")), "{plan:#?}");
    run(&mut after, &plan.steps);
    assert!(after.namespace(&"qrouter-8".parse().unwrap()).is_none());
    let mut fresh = outside(true);
    let steps = compiled(&less, &fresh).plan.steps;
    run(&mut fresh, &steps);
    alike(&after, &fresh, "");
}

#[test]
fn a_namespace_that_was_there_is_a_gateway_and_stays() {
    let mut before = outside(true);
    for line in ["ip netns add qrouter-7", "ip -n qrouter-7 link set lo up"] {
        simulate::apply(&mut before, &line.parse().unwrap()).unwrap();
    }
    let first = compiled(ROUTERS, &before);
    let commands = first.plan.commands();
    assert!(
        !commands.iter().any(|line| line.contains("netns add qrouter-7") || line.contains("qrouter-7 link set lo"))
    );
    assert!(
        !commands.iter().any(|line| line.contains("exec qrouter-7 sysctl -w net.ipv4.ip_forward")),
        "{commands:#?}"
    );
    let mut after = before.clone();
    run(&mut after, &first.plan.steps);
    let gone = remove::remove("lab", &after, &first.restore);
    run(&mut after, &gone);
    alike(&after, &before, "");
}
