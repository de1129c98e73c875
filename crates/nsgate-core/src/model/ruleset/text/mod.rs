//! The packet filter as text in nft's syntax.
//!
//! What stands here can be given back to `nft -f`, apart from what nft itself cannot take (extensions of xtables,
//! instructions that nsgate does not model), which is shown as such.

mod action;
mod object;
mod rule;
mod set;

use std::fmt;

pub(super) use self::action::{
    DEFAULT_BURST, DEFAULT_LOG_LEVEL, LOG_ALL, LOG_FLAGS, LOG_LEVELS, NAT_FLAGS, OBJECTS, UNITS, default_reject,
};
pub use self::rule::{comment, operand, rule, rule_without_counts};
pub(super) use self::set::{elements, object_type, set_block};
use super::expression::{Data, Expression, Verdict};
use super::{BaseChain, Chain, Rule, Ruleset, Table, TableFamily, names};

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, table) in self.tables.iter().enumerate() {
            write!(f, "{}{table}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {} {{", self.family, plain(&self.name))?;
        let mut first = true;
        let flags = [(self.dormant, "dormant"), (self.owner.is_some(), "owner"), (self.persistent, "persist")];
        for part in &table_parts(&flags, self.comment.as_deref()) {
            writeln!(f, "\t{part}")?;
            first = false;
        }
        for object in &self.objects {
            writeln!(f, "{}\t{} {{", blank(&mut first), object::heading(object))?;
            for part in object::parts(object) {
                writeln!(f, "\t\t{part}")?;
            }
            writeln!(f, "\t}}")?;
        }
        for set in self.sets.iter().filter(|s| !s.anonymous) {
            writeln!(f, "{}\t{} {} {{", blank(&mut first), set_word(set.data.is_some()), plain(&set.name))?;
            for part in set::set_parts(set, true) {
                writeln!(f, "\t\t{part}")?;
            }
            writeln!(f, "\t}}")?;
        }
        for flow_table in &self.flow_tables {
            writeln!(f, "{}\tflowtable {} {{", blank(&mut first), plain(&flow_table.name))?;
            for part in object::flow_table_parts(self.family, flow_table) {
                writeln!(f, "\t\t{part}")?;
            }
            writeln!(f, "\t}}")?;
        }
        for chain in self.chains.iter().filter(|c| !c.anonymous) {
            write!(f, "{}{}", blank(&mut first), ChainText { table: self, chain })?;
        }
        writeln!(f, "}}")
    }
}

/// A chain within its table.
struct ChainText<'a> {
    table: &'a Table,
    chain: &'a Chain,
}

impl fmt::Display for ChainText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, chain } = self;
        writeln!(f, "\tchain {} {{", plain(&chain.name))?;
        if let Some(comment) = &chain.comment {
            writeln!(f, "\t\tcomment {}", quoted(comment))?;
        }
        if let Some(base) = &chain.base {
            let mut parts = base_parts(table.family, base);
            if chain.offload {
                parts.insert(1, "flags offload".into());
            }
            writeln!(f, "\t\t{};", parts.join("; "))?;
        }
        for rule in &chain.rules {
            write_rule(f, table, rule, 2)?;
        }
        writeln!(f, "\t}}")
    }
}

/// A rule on a line of its own; a chain that only it has stands within it, in braces.
fn write_rule(f: &mut fmt::Formatter<'_>, table: &Table, rule: &Rule, depth: usize) -> fmt::Result {
    /// The kernel lets chains call one another no deeper.
    const DEEPEST: usize = 16;
    let text = self::rule(table.family, &table.sets, rule);
    let own = rule.expressions.iter().find_map(|e| match e {
        Expression::Immediate {
            data: Data::Verdict(verdict @ (Verdict::Jump(name) | Verdict::Goto(name))), ..
        } => {
            let chain = table.chain(name).filter(|c| c.anonymous && depth < DEEPEST)?;
            Some((chain, action::verdict(verdict)))
        }
        _ => None,
    });
    let indent = "\t".repeat(depth);
    let Some((chain, (head, tail), call)) =
        own.as_ref().and_then(|(chain, call)| Some((chain, text.split_once(call.as_str())?, call)))
    else {
        return writeln!(f, "{indent}{text}");
    };
    let word = call.split(' ').next().unwrap_or_default();
    writeln!(f, "{indent}{head}{word} {{")?;
    for rule in &chain.rules {
        write_rule(f, table, rule, depth + 1)?;
    }
    writeln!(f, "{indent}}}{tail}")
}

/// What stands behind a table's name: its flags and comment in braces, or nothing.
pub(super) fn table_block(dormant: bool, owned: bool, comment: Option<&str>) -> String {
    block(&table_parts(&[(dormant, "dormant"), (owned, "owner")], comment))
}

/// What stands behind a chain's name when it is made.
pub(super) fn chain_block(family: TableFamily, base: Option<&BaseChain>, comment: Option<&str>) -> String {
    let mut parts: Vec<String> = base.map(|b| base_parts(family, b)).unwrap_or_default();
    parts.extend(comment.map(|c| format!("comment {}", quoted(c))));
    block(&parts)
}

/// `set` or `map`.
pub(super) fn set_word(map: bool) -> &'static str {
    if map { "map" } else { "set" }
}

/// A name as it stands, but for what could disturb a terminal.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A string in quotes. nft knows no escapes, so what cannot stand in its strings is shown as `_`.
pub(super) fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).collect();
    format!("\"{plain}\"")
}

fn table_parts(flags: &[(bool, &str)], comment: Option<&str>) -> Vec<String> {
    let flags: Vec<_> = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
    let flags = (!flags.is_empty()).then(|| format!("flags {}", flags.join(",")));
    flags.into_iter().chain(comment.map(|c| format!("comment {}", quoted(c)))).collect()
}

fn base_parts(family: TableFamily, base: &BaseChain) -> Vec<String> {
    let devices = match &base.devices[..] {
        [] => String::new(),
        [one] => format!(" device {}", quoted(one.as_str())),
        many => {
            let names: Vec<_> = many.iter().map(|d| quoted(d.as_str())).collect();
            format!(" devices = {{ {} }}", names.join(", "))
        }
    };
    let priority = names::priority_text(family, base.hook, base.priority);
    let policy = if base.policy_drop { "drop" } else { "accept" };
    vec![format!("type {} hook {}{devices} priority {priority}", base.kind, base.hook), format!("policy {policy}")]
}

fn block(parts: &[String]) -> String {
    if parts.is_empty() { String::new() } else { format!(" {{ {}; }}", parts.join("; ")) }
}

/// An empty line before everything but the first thing.
fn blank(first: &mut bool) -> &'static str {
    if std::mem::take(first) { "" } else { "\n" }
}
