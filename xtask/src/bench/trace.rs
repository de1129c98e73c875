//! `cargo xtask bench trace`: how long the whole command takes, from its start to its exit; beside it the same answer by
//! hand.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::by_hand;
use super::measure::{self, Times, milliseconds};
use super::stage::{Beside, Place, Stage};
use super::table::{Bound, row};
use super::traffic::SILENT;
use super::world;

/// All stages.
pub(super) const STAGES: [Stage; 2] =
    [Stage { name: "trace-one-gateway", run: one_gateway }, Stage { name: "trace-in-a-crowd", run: in_a_crowd }];

/// A way to ask: what it shows, the words after `nsgate`, the cause that must come out, and the most milliseconds.
type Case = (&'static str, &'static [&'static str], &'static str, f64);

/// How long a trace waits for an answer where nothing else is said, and what it may take besides.
const WAIT: f64 = 1000.0;
const BESIDES: f64 = 150.0;

const HEALTHY: Case = ("healthy", &["n1", "10.0.2.2"], "delivered", 80.0);
const CASES: [Case; 5] = [
    HEALTHY,
    ("healthy, without BPF", &["n1", "10.0.2.2", "--no-bpf"], "delivered", 40.0),
    ("a closed port", &["n1", "10.0.2.2", "--tcp", "81"], "service-closed", 150.0),
    ("dropped by a rule", &["n1", "10.0.2.2", "--udp", "5000"], "filter-drop", 150.0),
    ("lost without a word", &["n1", "10.0.2.2", "--udp", SILENT], "", WAIT + BESIDES),
];

/// One member, one gateway, one server.
fn one_gateway(place: &Place) -> Result<bool> {
    world::prepare()?;
    world::add_members(1, 2)?;
    world::translate()?;
    world::nft(
        "table inet rules {\nchain forward { type filter hook forward priority 0; policy accept;\n\
         udp dport 5000 drop\n}\n}\n",
    )?;
    let _receiver = Beside::start_self("n2", &["receive", "10.0.2.2"])?;
    let mut held = true;
    for case in CASES {
        let times = traces(place, case)?;
        held &= row(case.0, &times.shown(), Some((times.middle(), Bound::Most(case.3, "ms"))));
    }
    let by_hand = Times::of(place.rounds, || measure::time(&mut by_hand::script("10.0.2.2")))?;
    row("by hand: ping, 2 tcpdumps, nft monitor trace", &by_hand.shown(), None);
    Ok(held)
}

/// The same among 200 other namespaces and 5000 rules of others.
fn in_a_crowd(place: &Place) -> Result<bool> {
    world::prepare()?;
    world::add_members(1, 2)?;
    world::translate()?;
    let alone = traces(place, HEALTHY)?;
    world::add_members(3, 202)?;
    world::add_foreign_rules(5000)?;
    let crowd = traces(place, HEALTHY)?;
    row("healthy, alone", &alone.shown(), None);
    row("healthy, with 200 namespaces and 5000 rules", &crowd.shown(), None);
    let more = crowd.middle() - alone.middle();
    let mut held = row("  so much longer", &format!("{more:.1} ms"), Some((more, Bound::Most(100.0, "ms"))));
    let lost: Case = ("", &["n1", "10.0.2.2", "--tcp", "81"], "service-closed", 0.0);
    let times = traces(place, lost)?;
    row("a closed port, with them", &times.shown(), None);
    let peak = measure::peak_memory(&mut command(place, HEALTHY.1))?;
    held &= row("  its memory", &format!("{peak:.1} MiB"), Some((peak, Bound::Most(64.0, "MiB"))));
    Ok(held)
}

fn traces(place: &Place, case: Case) -> Result<Times> {
    let (_, words, cause, _) = case;
    let answer = command(place, words).output()?;
    let answer: Value = serde_json::from_slice(&answer.stdout).context("the answer of nsgate trace")?;
    let found = answer["verdict"]["cause"].as_str().unwrap_or_default();
    ensure!(cause.is_empty() || found == cause, "{words:?} should be {cause}: {answer}");
    Times::of(place.rounds, || {
        let took = measure::time(&mut command(place, words))?;
        // Nothing is measured while the kernel still cleans up.
        std::thread::sleep(Duration::from_millis(50));
        ensure!(milliseconds(took) > 1.0, "that was no trace");
        Ok(took)
    })
}

fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = place.nsgate(&["trace", "--json"]);
    command.args(words);
    command
}
