//! The rule that should have matched: the nearest one, and what of it does not hold for the packet.

use std::cmp::Reverse;

use super::chain::plain;
use super::{Outcome, Subject, Walk, run};
use crate::model::ruleset::{Chain, Expression, Rule, Statement, Table, lift, lower, text};

/// A rule that does not match a packet, and why.
#[derive(Clone, Debug)]
pub struct Nearest<'a> {
    /// Its table.
    pub table: &'a Table,
    /// Its chain.
    pub chain: &'a Chain,
    /// The rule.
    pub rule: &'a Rule,
    /// The conditions that do not hold, as nft writes them; none if all hold.
    pub differs: Vec<String>,
    /// How many conditions do hold.
    holds: usize,
}

/// Of the rules that do what is wanted, the one with the fewest conditions that do not hold, and of these the one
/// with the most that do; the first of equals.
pub fn nearest<'a>(
    subject: &Subject<'_>,
    tables: impl Iterator<Item = &'a Table>,
    wanted: impl Fn(&Expression) -> bool,
) -> Option<Nearest<'a>> {
    let rules = tables.flat_map(|t| t.chains.iter().flat_map(move |c| c.rules.iter().map(move |r| (t, c, r))));
    rules
        .filter(|(table, _, rule)| plain(table, rule).iter().any(&wanted))
        .map(|(table, chain, rule)| Nearest::of(subject, table, chain, rule))
        .min_by_key(Nearest::distance)
}

/// Of the rules that a walk came by and that would have done what is wanted, the one with the fewest conditions that do
/// not hold; the first of equals.
pub fn nearest_passed<'a>(walk: &Walk<'a>, wanted: impl Fn(&Table, &Expression) -> bool) -> Option<Nearest<'a>> {
    let passed = walk.steps.iter().filter(|step| matches!(step.outcome, Outcome::Unmatched(_)));
    let rules = passed.filter_map(|step| Some((step.decision.table, step.decision.chain, step.decision.rule?)));
    rules
        .filter(|(table, _, rule)| plain(table, rule).iter().any(|expression| wanted(table, expression)))
        .map(|(table, chain, rule)| Nearest::of(&walk.after, table, chain, rule))
        .min_by_key(Nearest::distance)
}

impl<'a> Nearest<'a> {
    /// A rule with no packet to compare it with: one whose conditions all hold.
    pub fn matching(table: &'a Table, chain: &'a Chain, rule: &'a Rule) -> Self {
        Self { table, chain, rule, differs: Vec::new(), holds: 0 }
    }

    fn of(subject: &Subject<'_>, table: &'a Table, chain: &'a Chain, rule: &'a Rule) -> Self {
        let (differs, holds) = compare(subject, table, rule);
        Self { table, chain, rule, differs, holds }
    }

    /// How far it is from matching; less is nearer.
    fn distance(&self) -> (usize, Reverse<usize>) {
        (self.differs.len(), Reverse(self.holds))
    }
}

/// The conditions of a rule that do not hold, or of which it is not known whether they do; and how many hold.
fn compare(subject: &Subject<'_>, table: &Table, rule: &Rule) -> (Vec<String>, usize) {
    let statements = lift(table.family, &table.sets, &rule.expressions);
    let asks = |s: &&Statement| {
        matches!(s, Statement::Match { .. } | Statement::Opaque(Expression::XtSet { target: false, .. }))
    };
    let fails = |s: &&Statement| {
        let alone = lower(table.family, std::slice::from_ref(*s));
        matches!(run(subject, &table.sets, &alone), Outcome::Unmatched(_))
    };
    let shown = |s: &Statement| {
        let expressions = lower(table.family, std::slice::from_ref(s));
        text::rule(table.family, &table.sets, &Rule { handle: 0, expressions, comment: None })
    };
    let asked = statements.iter().filter(asks).count();
    let differs: Vec<String> = statements.iter().filter(asks).filter(fails).map(shown).collect();
    let holds = asked - differs.len();
    (differs, holds)
}
