use super::super::{State, remove};
use super::tests::{alike, compiled, run, world};
use super::*;
use crate::model::ruleset::{Expression, Table};

/// Every kind of translation, on the way out and on the way in.
const EVERY: &str = include_str!("dataplane.toml");

fn built(text: &str) -> World {
    let mut after = world(true);
    let steps = compiled(text, &after).plan.steps;
    run(&mut after, &steps);
    after
}

fn table(world: &World) -> &Table {
    &world.namespace(&NetnsName::host()).unwrap().ruleset.tables[0]
}

/// The elements of a set, as nft writes them.
fn elements(world: &World, set: &str) -> String {
    let text = table(world).to_string();
    let (_, after) = text.split_once(&format!(" {set} {{")).unwrap_or_else(|| panic!("no {set} in {text}"));
    let (block, _) = after.split_once("\n\t}").unwrap();
    block.split_once("elements = ").map(|(_, elements)| elements.to_owned()).unwrap_or_default()
}

/// All expressions of all rules.
fn expressions(world: &mut World) -> impl Iterator<Item = &mut Expression> {
    let tables = world.namespaces.iter_mut().flat_map(|netns| &mut netns.ruleset.tables);
    let rules = tables.flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    rules.flat_map(|rule| &mut rule.expressions)
}

/// The rules of a chain.
fn rules(world: &World, chain: &str) -> Vec<String> {
    let text = table(world).to_string();
    let (_, after) =
        text.split_once(&format!("\tchain {chain} {{\n")).unwrap_or_else(|| panic!("no {chain} in {text}"));
    let (block, _) = after.split_once("\n\t}").unwrap();
    block.lines().map(|line| line.trim().to_owned()).filter(|line| !line.starts_with("type ")).collect()
}

#[test]
fn sources_become_what_their_member_says_then_what_their_network_does() {
    let after = built(EVERY);
    assert_eq!(elements(&after, "untranslated4"), "{ 10.7.0.0/24 . 203.0.113.0/25 comment \"blue\" }");
    assert_eq!(elements(&after, "floating-source4"), "{ 10.7.0.5 comment \"web-4\" : 10.20.30.184 }");
    assert_eq!(elements(&after, "member-snat4"), "{ 10.7.0.3 comment \"blue:web-2\" : 10.20.30.183 }");
    assert_eq!(
        elements(&after, "member-source4"),
        "{ 10.7.0.4 comment \"blue:web-3\" : accept, 10.8.0.3 comment \"pool:p2\" : goto masquerade }"
    );
    assert_eq!(
        elements(&after, "pool6"),
        "{ fd00:8::/64 comment \"pool\" : goto pool-2001_db8__200-2001_db8__210-20000-20099 }"
    );
    assert_eq!(
        rules(&after, "pool-2001_db8__200-2001_db8__210-20000-20099"),
        [
            "meta l4proto { tcp, udp, sctp } snat ip6 to [2001:db8::200]-[2001:db8::210]:20000-20099",
            "snat ip6 to 2001:db8::200-2001:db8::210"
        ]
    );
    assert_eq!(
        rules(&after, "outward"),
        [
            "ip saddr . ip daddr @untranslated4 accept",
            "snat ip to ip saddr map @floating-source4",
            "snat ip to ip saddr map @member-snat4",
            "ip saddr vmap @member-source4",
            "snat ip to ip saddr map @snat4",
            "ip saddr vmap @pool4",
            "ip saddr @masquerade4 masquerade",
            "ip6 saddr vmap @member-source6",
            "snat ip6 to ip6 saddr map @snat6",
            "ip6 saddr vmap @pool6",
            "ip6 saddr @masquerade6 masquerade",
        ]
    );
}

#[test]
fn ports_lead_in_by_address_then_floating_addresses_then_ports_of_any_address() {
    let after = built(EVERY);
    let ports = "meta l4proto { tcp, udp, sctp }";
    assert_eq!(
        rules(&after, "inward"),
        [
            format!("{ports} dnat ip to ip daddr . meta l4proto . th dport map @publish4"),
            "dnat ip to ip daddr map @floating4".into(),
            format!("fib daddr type local {ports} dnat ip to meta l4proto . th dport map @publish-any4"),
            format!(
                "fib daddr type local {ports} dnat ip to ip saddr . meta l4proto . th dport map @publish-any-range-same4"
            ),
            format!("fib daddr type local {ports} dnat ip6 to meta l4proto . th dport map @publish-any6"),
            format!(
                "fib daddr type local {ports} dnat ip6 to ip6 saddr . meta l4proto . th dport map @publish-any-range-same6"
            ),
        ]
    );
    assert_eq!(
        elements(&after, "publish4"),
        "{ 10.20.30.182 . tcp . 8080 comment \"web-1\" : 10.7.0.2 . 80, \
         10.20.30.184 . tcp . 25 comment \"web-1\" : 10.7.0.2 . 2525 }"
    );
    // A range that stays is one element, one that moves is one for each port.
    assert_eq!(
        elements(&after, "publish-any-range-same6"),
        "{ 2001:db8::/64 . udp . 9000-9010 comment \"p1\" : fd00:8::2 }"
    );
    assert_eq!(elements(&after, "publish-any6").matches("fd00:7::2 . 800").count(), 3);
    assert!(elements(&after, "hairpin4").contains("10.8.0.0/24 . 10.8.0.0/24 comment \"pool\""));
}

#[test]
fn each_step_reads_back_and_all_of_it_goes() {
    let before = world(true);
    let first = compiled(EVERY, &before);
    for step in &first.plan.steps {
        assert_eq!(step.to_string().parse::<Step>().unwrap(), step.clone().forget(), "{step}");
    }
    for length in 0..=first.plan.steps.len() {
        let mut cut = before.clone();
        run(&mut cut, &first.plan.steps[..length]);
        let back: Vec<Step> = first.plan.steps[..length].iter().rev().map(|step| step.inverse().unwrap()).collect();
        run(&mut cut, &back);
        alike(&cut, &before, &format!("after {length} steps"));
    }
    let mut after = before.clone();
    run(&mut after, &first.plan.steps);
    let again = compiled(EVERY, &after);
    assert_eq!(again.plan.commands(), Vec::<String>::new());
    let (state, _) = State::default().after(&first, &[], &before);
    let text = state.to_string();
    assert!(text.contains("restore ip addr del 10.20.30.184/32 dev eth2\n"), "{text}");
    let (state, back) = text.parse::<State>().unwrap().after(&again, &[], &after);
    assert_eq!(back, []);
    let gone = remove::remove("lab", &after, &state.restore);
    run(&mut after, &gone);
    alike(&after, &before, "");
}

#[test]
fn one_more_port_is_one_more_element() {
    let after = built(EVERY);
    let more = EVERY.replace("8080/tcp\"\nto = \"web-1:80\"", "8080/tcp\"\nto = \"web-2:80\"")
        + "[[publish]]\non = \":53/udp\"\nto = \"p2\"\n";
    assert_eq!(
        compiled(&more, &after).plan.commands(),
        [
            "bridge link set dev pool-p2 hairpin on",
            "nft 'delete element inet nsgate-lab publish4 { 10.20.30.182 . tcp . 8080 comment \"web-1\" : 10.7.0.2 . 80 }; \
          add element inet nsgate-lab publish4 { 10.20.30.182 . tcp . 8080 comment \"web-2\" : 10.7.0.3 . 80 }; \
          add element inet nsgate-lab publish-any4 { udp . 53 comment \"p2\" : 10.8.0.3 . 53 }; \
          add element inet nsgate-lab publish-any6 { udp . 53 comment \"p2\" : fd00:8::3 . 53 }'"
        ]
    );
}

#[test]
fn a_floating_address_that_goes_is_taken_from_the_uplink() {
    let before = world(true);
    let first = compiled(EVERY, &before);
    let mut after = before.clone();
    run(&mut after, &first.plan.steps);
    let (state, _) = State::default().after(&first, &[], &before);
    let (less, _) = EVERY.split_once("[[floating]]").unwrap();
    let second = compiled(less, &after);
    let (_, back) = state.after(&second, &[], &after);
    assert_eq!(back.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ip addr del 10.20.30.184/32 dev eth2"]);
    run(&mut after, &second.plan.steps);
    run(&mut after, &back);
    assert!(!table(&after).to_string().contains("floating"));
    assert!(after.namespace(&NetnsName::host()).unwrap().holder("10.20.30.184".parse().unwrap()).is_none());
}

#[test]
fn networks_talk_to_whom_the_file_says() {
    let after = built(EVERY);
    let drop = |why: &str| format!("counter drop comment \"lab: {why}\"");
    assert_eq!(
        rules(&after, "forward")[..5],
        [
            "ct state established,related accept".to_owned(),
            "ct status dnat accept".into(),
            format!("ip saddr . ip daddr @denied4 {}", drop("the file denies it")),
            "ip saddr . ip daddr @together4 accept".into(),
            format!("ip saddr @restricted4 ip saddr . ip daddr != @allowed4 {}", drop("the file does not allow it")),
        ]
    );
    assert_eq!(
        rules(&after, "forward")[5],
        format!("ip saddr @senders4 ip daddr @networks4 {}", drop("these networks do not talk to each other"))
    );
    let together = elements(&after, "together4");
    assert!(together.contains("10.9.0.0/24 . 10.7.0.0/24 comment \"green\""), "{together}");
    assert!(!together.contains("10.7.0.0/24 . 10.9.0.0/24"), "{together}");
    assert_eq!(elements(&after, "denied6"), "{ fd00:10::/64 . 2001:db8:bad::/48 comment \"wired\" }");
    assert_eq!(elements(&after, "allowed4"), "{ 10.9.0.0/24 . 198.51.100.0/24 comment \"green\" }");
    assert_eq!(elements(&after, "restricted6"), "{ fd00:9::/64 comment \"green\" }");
}

#[test]
fn one_network_alone_needs_no_policy() {
    let one = "[gateway.host]\nuplink = \"eth2\"\n[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.m1 = {}\n";
    let after = built(one);
    assert_eq!(after.namespace(&NetnsName::host()).unwrap().ruleset.tables, []);
}

#[test]
fn members_send_with_their_own_addresses_and_at_their_own_rate() {
    let after = built(EVERY);
    assert_eq!(elements(&after, "holders4"), "{ \"wired-w1\" . 10.10.0.2 comment \"wired:w1\" }");
    let host = after.namespace(&NetnsName::host()).unwrap();
    let bridge = host.ruleset.tables[1].to_string();
    assert!(bridge.starts_with("table bridge nsgate-lab {"), "{bridge}");
    assert!(bridge.contains("iifname @guarded iifname . ether saddr != @holders counter"), "{bridge}");
    assert!(bridge.contains("\"green-g2\" . 10.9.0.3 comment \"green:g2\""), "{bridge}");
    let port = host.link_named("green-g1").unwrap().port.as_ref().unwrap();
    assert!(port.isolated);
    let lines = compiled(EVERY, &world(true)).plan.commands();
    let queues: Vec<&String> = lines.iter().filter(|line| line.contains("qdisc")).collect();
    assert_eq!(
        queues,
        [
            "tc qdisc replace dev green-g1 root tbf rate 100000000bit burst 125000 limit 625000",
            "tc -n g1 qdisc replace dev eth0 root tbf rate 100000000bit burst 125000 limit 625000",
            "tc qdisc replace dev green-g2 root tbf rate 64000bit burst 15000 limit 30000",
            "tc -n g2 qdisc replace dev eth0 root tbf rate 64000bit burst 15000 limit 30000",
        ]
    );
    // What was counted meanwhile is no difference.
    let mut counted = after.clone();
    for expression in expressions(&mut counted) {
        if let Expression::Counter { packets, bytes } = expression {
            (*packets, *bytes) = (7, 700);
        }
    }
    assert_ne!(counted, after);
    assert_eq!(compiled(EVERY, &counted).plan.commands(), Vec::<String>::new());
    let without = EVERY.replace("{ rate = \"64kbit\" }", "{}").replace("isolate-members = true\n", "");
    let lines = compiled(&without, &after).plan.commands();
    assert_eq!(
        lines,
        [
            "bridge link set dev green-g1 isolated off",
            "bridge link set dev green-g2 isolated off",
            "tc qdisc del dev green-g2 root",
            "tc -n g2 qdisc del dev eth0 root",
        ]
    );
}
