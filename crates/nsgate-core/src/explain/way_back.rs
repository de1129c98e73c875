//! What takes a mend back that was done.
//!
//! Most steps know their inverse. A rule that was added is known by its handle only once it stands, so it is looked for in
//! the World after the mend: the rules that bear the mend's comment and were not there before.

use super::let_pass::COMMENT;
use crate::model::ruleset::{Command, Ruleset, TableId};
use crate::model::{NetnsName, World};
use crate::plan::{Action, Plan, Step};

/// The plan that takes `done` back, which led from the World `before` to the World `after`.
pub fn way_back(done: &Plan, before: &World, after: &World) -> Plan {
    let back = |step: &Step| step.inverse().or_else(|| without_new_rules(step, before, after));
    Plan { steps: done.steps.iter().rev().filter_map(back).collect() }
}

/// Takes away the rules that a step added.
fn without_new_rules(step: &Step, before: &World, after: &World) -> Option<Step> {
    let Action::Nft { commands: added, .. } = &step.action else { return None };
    let old = ruleset(before, &step.netns)?;
    let commands: Vec<Command> = added
        .iter()
        .filter_map(|command| match command {
            Command::AddRule { table, chain, .. } => Some((table, chain)),
            _ => None,
        })
        .fold(Vec::new(), |mut chains, chain| {
            if !chains.contains(&chain) {
                chains.push(chain);
            }
            chains
        })
        .into_iter()
        .flat_map(|(table, chain)| {
            let known = marked(old, table, chain);
            let now = ruleset(after, &step.netns).map(|ruleset| marked(ruleset, table, chain)).unwrap_or_default();
            let new = now.into_iter().filter(move |handle| !known.contains(handle));
            new.map(|handle| Command::DeleteRule { table: table.clone(), chain: chain.clone(), handle })
        })
        .collect();
    (!commands.is_empty()).then(|| Step::new(&step.netns, Action::Nft { commands, undo: Some(added.clone()) }))
}

fn ruleset<'a>(world: &'a World, netns: &NetnsName) -> Option<&'a Ruleset> {
    world.namespace(netns).map(|netns| &netns.ruleset)
}

/// The handles of the rules in a chain that a mend added.
fn marked(ruleset: &Ruleset, table: &TableId, chain: &str) -> Vec<u64> {
    let chain = ruleset.table(table.family, &table.name).and_then(|table| table.chain(chain));
    let rules = chain.into_iter().flat_map(|chain| &chain.rules);
    rules.filter(|rule| rule.comment.as_deref() == Some(COMMENT)).map(|rule| rule.handle).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, name};
    use super::*;
    use crate::model::ruleset::parse;
    use crate::model::ruleset::{Table, TableFamily};

    fn chain_of(rules: &[(u64, Option<&str>)]) -> Table {
        let text = "add table inet filter\n\
                    add chain inet filter forward { type filter hook forward priority 0; policy drop; }\n";
        let mut ruleset = Ruleset::default();
        let line = |rule: &(u64, Option<&str>)| match rule.1 {
            Some(comment) => format!("add rule inet filter forward accept comment \"{comment}\"\n"),
            None => "add rule inet filter forward accept\n".to_owned(),
        };
        let text: String = std::iter::once(text.to_owned()).chain(rules.iter().map(line)).collect();
        ruleset.apply(&parse::commands(&text, &Ruleset::default()).unwrap()).unwrap();
        let mut table = ruleset.table(TableFamily::Inet, "filter").unwrap().clone();
        for (rule, (handle, _)) in table.chains[0].rules.iter_mut().zip(rules) {
            rule.handle = *handle;
        }
        table
    }

    #[test]
    fn a_setting_goes_back_to_what_it_was() {
        let world = Fixture::experiment().world;
        let step: Step = "sysctl -w net.ipv4.ip_forward=1".parse().unwrap();
        let Action::Sysctl { name, value, .. } = step.action else { panic!() };
        let done = Plan::of(Step::sysctl(&step.netns, name, &value, Some("0")));
        let back = way_back(&done, &world, &world);
        assert_eq!(back.commands(), ["sysctl -w net.ipv4.ip_forward=0"]);
    }

    #[test]
    fn only_the_rules_that_this_mend_added_are_taken_away() {
        let mut before = Fixture::experiment();
        let mut after = before.clone();
        before.netns("host").ruleset.tables = vec![chain_of(&[(2, None), (3, Some(COMMENT))])];
        after.netns("host").ruleset.tables =
            vec![chain_of(&[(5, Some(COMMENT)), (6, Some(COMMENT)), (2, None), (3, Some(COMMENT)), (7, None)])];
        let text = format!(
            "insert rule inet filter forward position 2 tcp dport 80 accept comment \"{COMMENT}\"\n\
             insert rule inet filter forward position 2 ct state established accept comment \"{COMMENT}\"\n"
        );
        let commands = parse::commands(&text, &before.netns("host").ruleset).unwrap();
        let done = Plan::of(Step::new(&name("host"), Action::Nft { commands, undo: None }));
        let back = way_back(&done, &before.world, &after.world);
        let wanted = "nft 'delete rule inet filter forward handle 5; delete rule inet filter forward handle 6'";
        assert_eq!(back.commands(), [wanted]);
        assert_eq!(way_back(&done, &before.world, &before.world), Plan::default());
    }
}
