//! The rule that should have matched: the nearest one, and what of it does not hold for the packet.

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
}

/// Of the rules that do what is wanted, the one with the fewest conditions that do not hold; the first of equals.
pub fn nearest<'a>(
    subject: &Subject<'_>,
    tables: impl Iterator<Item = &'a Table>,
    wanted: impl Fn(&Expression) -> bool,
) -> Option<Nearest<'a>> {
    let rules = tables.flat_map(|t| t.chains.iter().flat_map(move |c| c.rules.iter().map(move |r| (t, c, r))));
    rules
        .filter(|(table, _, rule)| plain(table, rule).iter().any(&wanted))
        .map(|(table, chain, rule)| Nearest { table, chain, rule, differs: differs(subject, table, rule) })
        .min_by_key(|n| n.differs.len())
}

/// Of the rules that a walk came by and that would have done what is wanted, the one with the fewest conditions that do
/// not hold; the first of equals.
pub fn nearest_passed<'a>(walk: &Walk<'a>, wanted: impl Fn(&Expression) -> bool) -> Option<Nearest<'a>> {
    let passed = walk.steps.iter().filter(|step| matches!(step.outcome, Outcome::Unmatched(_)));
    let rules = passed.filter_map(|step| Some((step.decision.table, step.decision.chain, step.decision.rule?)));
    rules
        .filter(|(table, _, rule)| plain(table, rule).iter().any(&wanted))
        .map(|(table, chain, rule)| Nearest { table, chain, rule, differs: differs(&walk.after, table, rule) })
        .min_by_key(|nearest| nearest.differs.len())
}

/// The conditions of a rule that do not hold, or of which it is not known whether they do.
fn differs(subject: &Subject<'_>, table: &Table, rule: &Rule) -> Vec<String> {
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
    statements.iter().filter(asks).filter(fails).map(shown).collect()
}
