//! The evaluator of rules against the kernel: rulesets and packets made up by chance, each packet sent through the
//! kernel's own packet filter, and what its trace tells compared rule by rule with what the evaluator says.
//!
//! A decision of which the evaluator says that it is not known is counted; one that it gets wrong is a failure. Other
//! numbers of pairs, and other seeds, are asked for by `NSGATE_PAIRS=PAIRS[,SEED]`.
#![expect(clippy::format_push_string, reason = "texts of a few lines, made for the reader of this code")]

mod dice;
mod judge;
mod network;
mod packets;
mod rulesets;

use std::fmt::Write as _;

use nsgate_core::model::{Namespace, ruleset};
use nsgate_kernel::sandbox;

use dice::Dice;
use judge::{Ends, expect, show};
use network::Network;
use packets::{Shot, answer, shot};

/// The first port that a packet comes from; there are enough for 60 000 pairs.
const FIRST_PORT: usize = 4096;
/// How many packets each ruleset sees, answers not counted.
const PACKETS: usize = 20;

#[test]
fn the_evaluator_says_what_the_kernel_does() {
    sandbox::test(|| compare(300, 1));
}

#[test]
#[ignore = "takes a minute; run by cargo xtask interop"]
fn the_evaluator_says_what_the_kernel_does_ten_thousand_times() {
    sandbox::test(|| {
        let asked = std::env::var("NSGATE_PAIRS").unwrap_or_default();
        let mut numbers = asked.split(',').filter_map(|number| number.parse::<u64>().ok());
        let pairs = numbers.next().unwrap_or(10_000);
        compare(pairs as usize, numbers.next().unwrap_or(2));
    });
}

/// What was compared.
#[derive(Debug, Default)]
struct Counts {
    rulesets: usize,
    pairs: usize,
    /// Pairs whose end is not known.
    unknown: usize,
    /// Pairs in which it is not known of some rule whether it matches.
    partly: usize,
    /// Rules that match.
    rules: usize,
    dropped: usize,
    translated: usize,
}

#[expect(clippy::print_stdout, reason = "the counts are what is asked for")]
fn compare(pairs: usize, seed: u64) {
    let mut network = Network::build();
    let mut counts = Counts::default();
    let mut wrong = Vec::new();
    while counts.pairs < pairs && wrong.len() < 12 {
        // Each ruleset by a seed of its own, so that one can be tried alone.
        let seed = seed.wrapping_mul(1_000_003) + counts.rulesets as u64;
        if let Some(found) = one_ruleset(&mut network, seed, &mut counts) {
            wrong.push(found);
        }
        counts.rulesets += 1;
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares what one ruleset does to some packets; the first difference.
fn one_ruleset(network: &mut Network, seed: u64, counts: &mut Counts) -> Option<String> {
    let mut dice = Dice::new(seed);
    let text = rulesets::ruleset(&mut dice);
    let netns = network.load(&text);
    // Connections are known for minutes: each packet needs a port of its own.
    let port = |at: usize| u16::try_from(FIRST_PORT + counts.rulesets * PACKETS + at).expect("a port that is left");
    let mut shots: Vec<Shot> = (0..PACKETS).map(|at| shot(&mut dice, 1 + at as u16, port(at))).collect();
    let mut wrong = None;
    for _ in 0..2 {
        let told = network.fire(&shots);
        let mut answers = Vec::new();
        for (shot, told) in shots.iter().zip(&told) {
            let expected = expect(&netns, shot);
            counts.pairs += 1;
            counts.unknown += usize::from(expected.end == Ends::Unknown);
            counts.partly += usize::from(expected.rules.iter().any(|rule| rule.verdict.is_none()));
            counts.rules += expected.rules.iter().filter(|rule| rule.verdict.is_some()).count();
            counts.dropped += usize::from(matches!(expected.end, Ends::ByRule | Ends::ByPolicy(_)));
            counts.translated += usize::from(expected.translated);
            if let Some(difference) = expected.differs(told) {
                wrong.get_or_insert_with(|| report(seed, &netns, &text, shot, &difference, told));
            }
            let passed = expected.end == (Ends::Passed { further: false }) && expected.tracked;
            answers.extend(answer(shot, shot.tag + PACKETS as u16).filter(|_| passed && shot.leaves_by_c()));
        }
        shots = answers;
    }
    wrong
}

fn report(
    seed: u64,
    netns: &Namespace,
    text: &str,
    shot: &Shot,
    difference: &str,
    told: &[nsgate_core::trace::RuleEvent],
) -> String {
    let packet = nsgate_packet::Packet::ip(&shot.bytes);
    let mut report = format!("seed {seed}: {:?} {packet:?} {:?}\n  we say {difference}\n", shot.way, shot.connection);
    for event in told {
        let _ = writeln!(report, "    {}", show(Some(event)));
    }
    for table in &netns.ruleset.tables {
        for (chain, rule) in table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule))) {
            let shown = ruleset::text::rule(table.family, &table.sets, rule);
            let _ = writeln!(report, "    rule {} {} {}: {shown}", table.name, chain.name, rule.handle);
        }
    }
    report + text
}
