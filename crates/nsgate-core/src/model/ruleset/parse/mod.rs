//! Text in nft's syntax to the model: commands, whole tables, single rules.
//!
//! Reads what [`text`](super::text) writes and what people commonly write. It resolves nothing outside the text: no
//! variables, includes, host or service names, and interface numbers other than that of `lo` must be numbers.

mod action;
mod command;
mod elements;
mod expression;
mod lexer;
mod statement;

use self::command::Commands;
use self::lexer::Cursor;
use self::statement::RuleParser;
use super::{Command, Part, Rule, Ruleset, Set, TableFamily};

/// The longest text that is read, in bytes.
pub const LONGEST: usize = 16 << 20;

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: expected {expected}, found {found}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// What could have stood there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

/// A rule with the anonymous sets that its look-ups name.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRule {
    /// The rule.
    pub rule: Rule,
    /// Its anonymous sets.
    pub sets: Vec<Set>,
}

/// Reads one rule for a table of this family; `sets` are the named sets of that table.
pub fn rule(family: TableFamily, sets: &[Set], text: &str) -> Result<NewRule, ParseError> {
    let mut cursor = Cursor::new(text)?;
    let new = RuleParser::new(family, sets, &mut cursor).rule()?;
    cursor.skip_ends();
    cursor.at_end()?;
    Ok(new)
}

/// Reads what values are taken from, such as `ip saddr . vlan id`; none if it is not known.
pub(super) fn operand(text: &str) -> Option<Vec<Part>> {
    let mut cursor = Cursor::new(text).ok()?;
    let parts = expression::operand(&mut cursor, 0).ok()?;
    cursor.at_end().ok()?;
    Some(parts)
}

/// Reads commands (`add rule ...`, `table ... { ... }` and so on); `known` holds the tables that exist already.
pub fn commands(text: &str, known: &Ruleset) -> Result<Vec<Command>, ParseError> {
    let mut cursor = Cursor::new(text)?;
    Commands::new(known, &mut cursor).all()
}
