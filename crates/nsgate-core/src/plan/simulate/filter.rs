//! nftables transactions.

use super::Refusal;
use crate::model::ruleset::{BaseChain, Chain, Command, Place, Rule, Ruleset, Set, Table, TableId};

/// Does all commands or none.
pub(super) fn transaction(ruleset: &mut Ruleset, commands: &[Command]) -> Result<(), Refusal> {
    let mut changed = ruleset.clone();
    for command in commands {
        apply(&mut changed, command)?;
    }
    changed.generation += 1;
    *ruleset = changed;
    Ok(())
}

fn apply(ruleset: &mut Ruleset, command: &Command) -> Result<(), Refusal> {
    match command {
        Command::AddTable { table, dormant, comment, .. } => {
            add_table(ruleset, table, *dormant, comment.clone());
            Ok(())
        }
        Command::DeleteTable { table } => {
            find(ruleset, table)?;
            ruleset.tables.retain(|t| t.family != table.family || t.name != table.name);
            Ok(())
        }
        Command::AddChain { table, name, base, comment } => {
            let handle = next_handle(ruleset);
            add_chain(find(ruleset, table)?, name, base.clone(), comment.clone(), handle);
            Ok(())
        }
        Command::DeleteChain { table, name } => {
            chain(ruleset, table, name)?;
            find(ruleset, table)?.chains.retain(|chain| chain.name != *name);
            Ok(())
        }
        Command::FlushChain { table, name } => {
            chain(ruleset, table, name)?.rules.clear();
            Ok(())
        }
        Command::AddSet { table, set } => {
            let handle = next_handle(ruleset);
            let table = find(ruleset, table)?;
            if table.set(&set.name).is_none() {
                table.sets.push(Set { handle, ..set.clone() });
            }
            Ok(())
        }
        Command::DeleteSet { table, name, .. } => {
            elements(ruleset, table, name)?;
            find(ruleset, table)?.sets.retain(|set| set.name != *name);
            Ok(())
        }
        Command::FlushSet { table, name, .. } => {
            elements(ruleset, table, name)?.elements.clear();
            Ok(())
        }
        Command::AddElements { table, set } => add_elements(elements(ruleset, table, &set.name)?, set),
        Command::DeleteElements { table, set } => delete_elements(elements(ruleset, table, &set.name)?, set),
        Command::AddRule { table, chain: name, place, rule, sets } => {
            let handle = next_handle(ruleset);
            find(ruleset, table)?.sets.extend(sets.iter().cloned());
            add_rule(chain(ruleset, table, name)?, *place, Rule { handle, ..rule.clone() })
        }
        Command::ReplaceRule { table, chain: name, handle, rule, sets } => {
            find(ruleset, table)?.sets.extend(sets.iter().cloned());
            replace_rule(chain(ruleset, table, name)?, *handle, rule)
        }
        Command::DeleteRule { table, chain: name, handle } => delete_rule(chain(ruleset, table, name)?, *handle),
    }
}

fn add_elements(there: &mut Set, set: &Set) -> Result<(), Refusal> {
    for element in &set.elements {
        match there.elements.iter().find(|e| e.key == element.key && e.interval_end == element.interval_end) {
            Some(same) if same.data == element.data => {}
            Some(_) => return Err(Refusal::Exists(format!("an element of {}", set.name))),
            None => there.elements.push(element.clone()),
        }
    }
    Ok(())
}

fn replace_rule(chain: &mut Chain, handle: u64, rule: &Rule) -> Result<(), Refusal> {
    let at = position(chain, handle)?;
    chain.rules[at] = Rule { handle, ..rule.clone() };
    Ok(())
}

fn delete_rule(chain: &mut Chain, handle: u64) -> Result<(), Refusal> {
    let at = position(chain, handle)?;
    chain.rules.remove(at);
    Ok(())
}

fn add_table(ruleset: &mut Ruleset, id: &TableId, dormant: bool, comment: Option<String>) {
    if ruleset.table(id.family, &id.name).is_some() {
        return;
    }
    let handle = next_handle(ruleset);
    ruleset.tables.push(Table {
        family: id.family,
        name: id.name.clone(),
        handle,
        dormant,
        owner: None,
        comment,
        chains: Vec::new(),
        sets: Vec::new(),
    });
}

fn add_chain(table: &mut Table, name: &str, base: Option<BaseChain>, comment: Option<String>, handle: u64) {
    match table.chains.iter_mut().find(|chain| chain.name == name) {
        Some(there) => {
            if let (Some(there), Some(wanted)) = (&mut there.base, base) {
                there.policy_drop = wanted.policy_drop;
            }
        }
        None => table.chains.push(Chain { name: name.into(), handle, base, comment, rules: Vec::new() }),
    }
}

fn add_rule(chain: &mut Chain, place: Place, rule: Rule) -> Result<(), Refusal> {
    let at = match place {
        Place::End => chain.rules.len(),
        Place::Start => 0,
        Place::Before(handle) => position(chain, handle)?,
        Place::After(handle) => position(chain, handle)? + 1,
    };
    chain.rules.insert(at, rule);
    Ok(())
}

fn delete_elements(there: &mut Set, gone: &Set) -> Result<(), Refusal> {
    for element in &gone.elements {
        let same = |e: &crate::model::ruleset::Element| e.key == element.key && e.interval_end == element.interval_end;
        let Some(at) = there.elements.iter().position(same) else {
            return Err(Refusal::Missing(format!("an element of {}", gone.name)));
        };
        there.elements.remove(at);
    }
    Ok(())
}

fn find<'a>(ruleset: &'a mut Ruleset, id: &TableId) -> Result<&'a mut Table, Refusal> {
    let found = ruleset.tables.iter_mut().find(|table| table.family == id.family && table.name == id.name);
    found.ok_or_else(|| Refusal::Missing(format!("table {id}")))
}

fn chain<'a>(ruleset: &'a mut Ruleset, id: &TableId, name: &str) -> Result<&'a mut Chain, Refusal> {
    let found = find(ruleset, id)?.chains.iter_mut().find(|chain| chain.name == name);
    found.ok_or_else(|| Refusal::Missing(format!("chain {id} {name}")))
}

fn elements<'a>(ruleset: &'a mut Ruleset, id: &TableId, name: &str) -> Result<&'a mut Set, Refusal> {
    let found = find(ruleset, id)?.sets.iter_mut().find(|set| set.name == name);
    found.ok_or_else(|| Refusal::Missing(format!("set {id} {name}")))
}

fn position(chain: &Chain, handle: u64) -> Result<usize, Refusal> {
    let at = chain.rules.iter().position(|rule| rule.handle == handle);
    at.ok_or_else(|| Refusal::Missing(format!("rule {handle} of {}", chain.name)))
}

fn next_handle(ruleset: &Ruleset) -> u64 {
    let tables = ruleset.tables.iter().map(|table| table.handle);
    let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    let inside = chains.flat_map(|chain| chain.rules.iter().map(|rule| rule.handle).chain([chain.handle]));
    let sets = ruleset.tables.iter().flat_map(|table| table.sets.iter().map(|set| set.handle));
    tables.chain(inside).chain(sets).max().unwrap_or(0) + 1
}
