//! A ruleset after a transaction, as the kernel would have it.
//!
//! Refuses what the kernel refuses for want or excess of an object; it does not judge whether rules make sense.

use std::collections::HashMap;

use super::{
    Chain, Command, Element, Expression, Place, Rule, Ruleset, Set, Table, TableId, Verdict, expression::Data, parse,
};

/// Why a command cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something that the command needs does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// Something that the command makes exists already, and differently.
    #[error("{0} exists already")]
    Exists(String),
    /// Something that the command removes is still used.
    #[error("{0} is still in use")]
    InUse(String),
    /// The text could not be read.
    #[error(transparent)]
    Text(#[from] parse::ParseError),
}

impl Ruleset {
    /// The ruleset that a text makes out of nothing.
    pub fn from_text(text: &str) -> Result<Self, Refusal> {
        let mut ruleset = Self::default();
        ruleset.apply(&parse::commands(text, &Self::default())?)?;
        Ok(ruleset)
    }

    /// Carries a transaction out: all of it or, if a command is refused, nothing.
    pub fn apply(&mut self, transaction: &[Command]) -> Result<(), Refusal> {
        let mut after = self.clone();
        for command in transaction {
            after.carry_out(command)?;
        }
        if !transaction.is_empty() {
            after.generation = after.generation.wrapping_add(1);
        }
        *self = after;
        Ok(())
    }

    fn carry_out(&mut self, command: &Command) -> Result<(), Refusal> {
        let id = command.table();
        if let Command::AddTable { table, dormant, owned, comment } = command {
            self.add_table(table, *dormant, *owned, comment.as_deref());
            return Ok(());
        }
        if let Command::DeleteTable { .. } = command {
            let index = self.position(id)?;
            self.tables.remove(index);
            return Ok(());
        }
        let index = self.position(id)?;
        let table = &mut self.tables[index];
        match command {
            Command::AddTable { .. } | Command::DeleteTable { .. } => Ok(()),
            Command::AddChain { name, base, comment, .. } => {
                if let Some(chain) = table.chains.iter_mut().find(|c| c.name == *name) {
                    if let (Some(old), Some(new)) = (&mut chain.base, base) {
                        old.policy_drop = new.policy_drop;
                    }
                    return Ok(());
                }
                let handle = table.next_handle();
                let (name, base, comment) = (name.clone(), base.clone(), comment.clone());
                table.chains.push(Chain { name, handle, base, comment, ..Chain::default() });
                Ok(())
            }
            Command::DeleteChain { name, .. } => table.delete_chain(name),
            Command::FlushChain { name, .. } => {
                let chain = table.chain_mut(name)?;
                chain.rules.clear();
                table.forget_unused();
                Ok(())
            }
            Command::AddSet { set, .. } => {
                if table.set(&set.name).is_some() {
                    return table.add_elements(&set.name, &set.elements);
                }
                let handle = table.next_handle();
                table.sets.push(Set { handle, ..set.clone() });
                Ok(())
            }
            Command::DeleteSet { name, .. } => table.delete_set(name),
            Command::FlushSet { name, .. } => {
                table.set_mut(name)?.elements.clear();
                Ok(())
            }
            Command::AddElements { set, .. } => table.add_elements(&set.name, &set.elements),
            Command::DeleteElements { set, .. } => table.delete_elements(&set.name, &set.elements),
            Command::AddRule { chain, place, rule, sets, .. } => table.add_rule(chain, *place, rule, sets),
            Command::ReplaceRule { chain, handle, rule, sets, .. } => {
                table.add_rule(chain, Place::After(*handle), rule, sets)?;
                table.delete_rule(chain, *handle)
            }
            Command::DeleteRule { chain, handle, .. } => table.delete_rule(chain, *handle),
        }
    }

    fn position(&self, id: &TableId) -> Result<usize, Refusal> {
        let found = self.tables.iter().position(|t| t.family == id.family && t.name == id.name);
        found.ok_or_else(|| Refusal::Missing(format!("table {id}")))
    }

    fn add_table(&mut self, id: &TableId, dormant: bool, owned: bool, comment: Option<&str>) {
        if let Ok(index) = self.position(id) {
            self.tables[index].dormant = dormant;
            return;
        }
        self.tables.push(Table {
            family: id.family,
            name: id.name.clone(),
            handle: self.tables.iter().map(|t| t.handle).max().unwrap_or(0) + 1,
            dormant,
            owner: owned.then_some(0),
            comment: comment.map(ToOwned::to_owned),
            ..Table::default()
        });
    }
}

impl Table {
    /// The handle that the next object of this table gets.
    fn next_handle(&self) -> u64 {
        let chains = self.chains.iter().flat_map(|c| c.rules.iter().map(|r| r.handle).chain([c.handle]));
        chains.chain(self.sets.iter().map(|s| s.handle)).max().unwrap_or(0) + 1
    }

    fn chain_mut(&mut self, name: &str) -> Result<&mut Chain, Refusal> {
        let found = self.chains.iter_mut().find(|c| c.name == name);
        found.ok_or_else(|| Refusal::Missing(format!("chain {name}")))
    }

    fn set_mut(&mut self, name: &str) -> Result<&mut Set, Refusal> {
        let found = self.sets.iter_mut().find(|s| s.name == name);
        found.ok_or_else(|| Refusal::Missing(format!("set {name}")))
    }

    fn delete_chain(&mut self, name: &str) -> Result<(), Refusal> {
        let chain = self.chain(name).ok_or_else(|| Refusal::Missing(format!("chain {name}")))?;
        let jumps_there =
            |data: &Data| matches!(data, Data::Verdict(Verdict::Jump(to) | Verdict::Goto(to)) if to == name);
        let by_rule = self.expressions().any(|e| matches!(e, Expression::Immediate { data, .. } if jumps_there(data)));
        let by_map = self.sets.iter().flat_map(|s| &s.elements).filter_map(|e| e.data.as_ref()).any(jumps_there);
        if !chain.rules.is_empty() || by_rule || by_map {
            return Err(Refusal::InUse(format!("chain {name}")));
        }
        self.chains.retain(|c| c.name != name);
        Ok(())
    }

    fn delete_set(&mut self, name: &str) -> Result<(), Refusal> {
        self.set_mut(name)?;
        if self.uses(name) {
            return Err(Refusal::InUse(format!("set {name}")));
        }
        self.sets.retain(|s| s.name != name);
        Ok(())
    }

    fn add_elements(&mut self, set: &str, elements: &[Element]) -> Result<(), Refusal> {
        let set = self.set_mut(set)?;
        for element in elements {
            match set.elements.iter().find(|e| e.is_at(element)) {
                Some(there) if there.data != element.data => {
                    return Err(Refusal::Exists(format!("an element of set {}", set.name)));
                }
                Some(_) => {}
                None => set.elements.push(element.clone()),
            }
        }
        if set.interval {
            set.elements
                .sort_by(|a, b| (a.catch_all, &a.key, !a.interval_end).cmp(&(b.catch_all, &b.key, !b.interval_end)));
        }
        Ok(())
    }

    fn delete_elements(&mut self, set: &str, elements: &[Element]) -> Result<(), Refusal> {
        let set = self.set_mut(set)?;
        for element in elements {
            let Some(index) = set.elements.iter().position(|e| e.is_at(element)) else {
                return Err(Refusal::Missing(format!("an element of set {}", set.name)));
            };
            set.elements.remove(index);
        }
        Ok(())
    }

    fn add_rule(&mut self, chain: &str, place: Place, rule: &Rule, sets: &[Set]) -> Result<(), Refusal> {
        self.chain_mut(chain)?;
        let mut names = HashMap::new();
        for set in sets {
            let name = self.free_name(if set.data.is_some() { "__map" } else { "__set" });
            names.insert(set.name.clone(), name.clone());
            self.sets.push(Set { name, handle: self.next_handle(), ..set.clone() });
        }
        let mut rule = Rule { handle: self.next_handle(), ..rule.clone() };
        for expression in &mut rule.expressions {
            if let Expression::Lookup { set, .. } | Expression::Update { set, .. } = expression {
                if let Some(name) = names.get(set) {
                    set.clone_from(name);
                } else if self.set(set).is_none() {
                    return Err(Refusal::Missing(format!("set {set}")));
                }
            }
        }
        for target in targets(&rule) {
            if self.chain(target).is_none() {
                return Err(Refusal::Missing(format!("chain {target}")));
            }
        }
        let rules = &mut self.chain_mut(chain)?.rules;
        let at = |handle: u64| {
            let found = rules.iter().position(|r| r.handle == handle);
            found.ok_or_else(|| Refusal::Missing(format!("rule {handle} of chain {chain}")))
        };
        let index = match place {
            Place::End => rules.len(),
            Place::Start => 0,
            Place::Before(handle) => at(handle)?,
            Place::After(handle) => at(handle)? + 1,
        };
        rules.insert(index, rule);
        Ok(())
    }

    fn delete_rule(&mut self, chain: &str, handle: u64) -> Result<(), Refusal> {
        let rules = &mut self.chain_mut(chain)?.rules;
        let Some(index) = rules.iter().position(|r| r.handle == handle) else {
            return Err(Refusal::Missing(format!("rule {handle} of chain {chain}")));
        };
        rules.remove(index);
        self.forget_unused();
        Ok(())
    }

    fn free_name(&self, stem: &str) -> String {
        let taken = |name: &String| self.sets.iter().any(|s| s.name == *name);
        (0..=self.sets.len()).map(|number| format!("{stem}{number}")).find(|name| !taken(name)).unwrap_or_default()
    }

    /// Anonymous sets go with the rule that they were made for.
    fn forget_unused(&mut self) {
        let used: Vec<bool> = self.sets.iter().map(|s| !s.anonymous || self.uses(&s.name)).collect();
        let mut used = used.into_iter();
        self.sets.retain(|_| used.next().unwrap_or(true));
    }

    fn uses(&self, name: &str) -> bool {
        self.expressions()
            .any(|e| matches!(e, Expression::Lookup { set, .. } | Expression::Update { set, .. } if set == name))
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.chains.iter().flat_map(|c| &c.rules).flat_map(|r| &r.expressions)
    }
}

impl Element {
    /// Whether both stand for the same key, whatever they lead to.
    fn is_at(&self, other: &Self) -> bool {
        (&self.key, &self.key_end, self.interval_end, self.catch_all)
            == (&other.key, &other.key_end, other.interval_end, other.catch_all)
    }
}

fn targets(rule: &Rule) -> impl Iterator<Item = &String> {
    rule.expressions.iter().filter_map(|e| match e {
        Expression::Immediate { data: Data::Verdict(Verdict::Jump(to) | Verdict::Goto(to)), .. } => Some(to),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "table ip t { chain other { } chain c { type filter hook forward priority 0; \
        tcp dport { 1, 2 } accept\n jump other } }";

    fn run(ruleset: &mut Ruleset, text: &str) -> Result<(), Refusal> {
        let commands = parse::commands(text, ruleset)?;
        ruleset.apply(&commands)
    }

    #[test]
    fn rules_go_where_they_are_sent_and_take_their_sets_along() {
        let mut ruleset = Ruleset::from_text(TEXT).unwrap();
        let handle = ruleset.tables[0].chains[1].rules[0].handle;
        run(&mut ruleset, &format!("add rule ip t c handle {handle} udp sport {{ 3, 4 }} drop")).unwrap();
        run(&mut ruleset, "insert rule ip t c notrack").unwrap();
        let texts: Vec<_> = {
            let table = &ruleset.tables[0];
            table.chains[1].rules.iter().map(|r| super::super::text::rule(table.family, &table.sets, r)).collect()
        };
        assert_eq!(texts, ["notrack", "tcp dport { 1, 2 } accept", "udp sport { 3, 4 } drop", "jump other"]);
        run(&mut ruleset, &format!("delete rule ip t c handle {handle}")).unwrap();
        assert_eq!(ruleset.tables[0].sets.len(), 1);
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_and_nothing_changes() {
        let mut ruleset = Ruleset::from_text(TEXT).unwrap();
        let before = ruleset.clone();
        for (text, refusal) in [
            ("delete chain ip t other", Refusal::InUse("chain other".into())),
            ("delete table ip6 t", Refusal::Missing("table ip6 t".into())),
            ("flush chain ip t c\nadd rule ip t c jump nowhere", Refusal::Missing("chain nowhere".into())),
            ("delete rule ip t c handle 99", Refusal::Missing("rule 99 of chain c".into())),
            ("add rule ip t c ip saddr @nope accept", Refusal::Missing("set nope".into())),
        ] {
            assert_eq!(run(&mut ruleset, text), Err(refusal));
            assert_eq!(ruleset, before);
        }
    }
}
