//! The outcomes as a table: one line a cause, then one line for each scenario that failed, then the sum.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::judge::Outcome;
use super::scenario::Scenario;

const COLUMNS: [&str; 7] = ["pass", "cause", "place", "object", "mend", "silent", "skipped"];

/// Renders all outcomes.
pub(crate) fn render(outcomes: &[(&Scenario, Outcome)]) -> String {
    let named = outcomes.iter().map(|(s, outcome)| (s.expectation.cause.as_str(), s.name.as_str(), outcome));
    let outcomes: Vec<_> = named.collect();
    let mut text = header();
    for (cause, counts) in count(&outcomes) {
        let _ = write!(text, "{cause:<26}");
        for count in counts {
            let shown = if count == 0 { "·".to_owned() } else { count.to_string() };
            let _ = write!(text, "{shown:>9}");
        }
        text.push('\n');
    }
    for (_, name, outcome) in outcomes.iter().filter(|(_, _, outcome)| outcome.failed()) {
        let _ = write!(text, "\n{name}: {}: {}", COLUMNS[column(outcome)], outcome.detail());
    }
    if outcomes.iter().any(|(_, _, outcome)| outcome.failed()) {
        text.push_str("\n\n");
    }
    text.push_str(&sum(&outcomes));
    text
}

type Named<'a> = (&'a str, &'a str, &'a Outcome);

fn header() -> String {
    let mut text = format!("{:<26}", "expected cause");
    for column in COLUMNS {
        let _ = write!(text, "{column:>9}");
    }
    text.push('\n');
    text
}

fn count<'a>(outcomes: &[Named<'a>]) -> BTreeMap<&'a str, [usize; COLUMNS.len()]> {
    let mut counts = BTreeMap::new();
    for (cause, _, outcome) in outcomes {
        counts.entry(*cause).or_insert([0; COLUMNS.len()])[column(outcome)] += 1;
    }
    counts
}

/// Which column an outcome counts in; those after the first name what was wrong.
fn column(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Passed => 0,
        Outcome::WrongCause(_) => 1,
        Outcome::WrongPlace(_) => 2,
        Outcome::WrongObject(_) => 3,
        Outcome::NotMended(_) => 4,
        Outcome::NoVerdict(_) => 5,
        Outcome::Skipped(_) => 6,
    }
}

fn sum(outcomes: &[Named<'_>]) -> String {
    let failed = outcomes.iter().filter(|(_, _, outcome)| outcome.failed()).count();
    let passed = outcomes.iter().filter(|(_, _, outcome)| **outcome == Outcome::Passed).count();
    let skipped = outcomes.len() - failed - passed;
    let mut text = format!("{passed} passed, {failed} failed");
    if skipped > 0 {
        let _ = write!(text, ", {skipped} skipped (need root)");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_counts_once() {
        let passed = Outcome::Passed;
        let wrong = Outcome::WrongPlace("said x".into());
        let skipped = Outcome::Skipped("needs root".into());
        let outcomes = [("a", "a-1", &passed), ("a", "a-2", &wrong), ("b", "b-1", &skipped)];
        assert_eq!(sum(&outcomes), "1 passed, 1 failed, 1 skipped (need root)\n");
        let counts = count(&outcomes);
        assert_eq!(counts["a"], [1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(counts["b"], [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(header().lines().next().unwrap().split_whitespace().count(), 2 + COLUMNS.len());
    }
}
