//! From any specification to any other: the plan leads there, a second one is empty, and every beginning of it can be
//! taken back.

use std::fmt::Write;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::{Step, remove};
use super::tests::{alike, compiled, run, world};

/// Text of a specification: networks and members of few names, so that two have much in common.
fn specification() -> impl Strategy<Value = String> {
    let network = (
        any::<bool>(),
        subsequence(vec![4, 6], 1..=2),
        select(vec!["none", "masquerade", "10.20.30.182"]),
        select(vec!["", "mtu = 1400\n"]),
        select(vec![1u8, 254]),
    );
    let networks = prop::collection::vec(prop::option::weighted(0.7, network), 3);
    // Each member is in one of the networks, or in none.
    let members = prop::collection::vec((0..5usize, any::<bool>()), 6);
    (networks, members).prop_map(|(networks, members)| {
        let mut text = "[gateway.host]\nuplink = \"eth2\"\n".to_owned();
        for (number, network) in networks.into_iter().enumerate() {
            let Some((bridge, families, nat, mtu, gateway)) = network else { continue };
            let subnets: Vec<String> = families.iter().map(|family| subnet(number, *family)).collect();
            // A fixed address translates IPv4 only, so it needs an IPv4 subnet.
            let nat = if families.contains(&4) || nat != "10.20.30.182" { nat } else { "none" };
            let kind = if bridge { "bridge" } else { "routed" };
            writeln!(text, "[network.n{number}]\nkind = \"{kind}\"\nsource-nat = \"{nat}\"\n{mtu}").unwrap();
            writeln!(text, "subnets = [\"{}\"]", subnets.join("\", \"")).unwrap();
            if families.contains(&4) {
                writeln!(text, "gateway-addresses = [\"10.{number}.0.{gateway}\"]").unwrap();
            }
            for (member, (at, named)) in members.iter().enumerate().filter(|(_, (at, _))| *at == number) {
                let interface = if *named { format!("interface = \"if{at}\"") } else { String::new() };
                writeln!(text, "member.m{member} = {{ {interface} }}").unwrap();
            }
        }
        text
    })
}

fn subnet(network: usize, family: u8) -> String {
    if family == 4 { format!("10.{network}.0.0/24") } else { format!("fd00:{network}::/64") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_leads_from_any_specification_to_any_other(
        from in specification(),
        to in specification(),
        force_forwarding in any::<bool>(),
        length in any::<prop::sample::Index>(),
    ) {
        let empty = world(force_forwarding);
        let mut before = empty.clone();
        let first = compiled(&from, &before);
        run(&mut before, &first.plan.steps);
        prop_assert_eq!(compiled(&from, &before).plan.commands(), Vec::<String>::new());

        let second = compiled(&to, &before);
        let mut after = before.clone();
        run(&mut after, &second.plan.steps);
        prop_assert_eq!(compiled(&to, &after).plan.commands(), Vec::<String>::new());

        // The names that go, go last: they are what cannot be filled again.
        let whole = second.plan.steps.iter().take_while(|step| !step.to_string().starts_with("ip netns del")).count();
        let length = length.index(whole + 1);
        let mut cut = before.clone();
        run(&mut cut, &second.plan.steps[..length]);
        let back: Vec<Step> = second.plan.steps[..length].iter().rev().map(|step| step.inverse().unwrap()).collect();
        run(&mut cut, &back);
        alike(&cut, &before, &format!("after {length} of {:#?}", second.plan.commands()));

        let (state, _) = super::super::State::default().after(&first, &[], &empty);
        let (state, back) = state.after(&second, &[], &before);
        run(&mut after, &back);
        let gone = remove::remove("lab", &after, &state.restore);
        run(&mut after, &gone);
        alike(&after, &empty, "");
    }
}
