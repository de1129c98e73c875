//! `cargo xtask bench see`: how fast nsgate sees, and what its watching costs others.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::by_hand::ByHand;
use super::measure::{self, Times, middle};
use super::stage::{Beside, Place, Stage};
use super::table::{Bound, row};
use super::traffic::{SILENT, Sent};
use super::world;

/// All stages.
pub(super) const STAGES: [Stage; 3] = [
    Stage { name: "many-namespaces", run: many_namespaces },
    Stage { name: "many-rules", run: many_rules },
    Stage { name: "one-gateway", run: one_gateway },
];

/// The most memory, in MiB.
const MEMORY: Bound = Bound::Most(64.0, "MiB");

/// How long traffic is measured, and how long before that whatever changes it was started.
const WINDOW: Duration = Duration::from_millis(600);
const LEAD: Duration = Duration::from_millis(400);

/// A snapshot of 200 and of 1000 namespaces.
fn many_namespaces(place: &Place) -> Result<bool> {
    world::prepare()?;
    world::add_members(1, 200)?;
    world::add_foreign_rules(5000)?;
    let few = snapshots(place)?;
    let bound = Bound::Most(150.0, "ms");
    let mut held = row("snapshot: 200 namespaces, 5000 rules", &few.shown(), Some((few.middle(), bound)));
    world::add_members(201, 1000)?;
    let many = snapshots(place)?;
    let ratio = many.middle() / few.middle();
    held &=
        row("snapshot: 1000 namespaces, 5000 rules", &many.shown(), Some((many.middle(), Bound::Most(750.0, "ms"))));
    held &=
        row("  for 5 times as many, so much longer", &format!("{ratio:.2}"), Some((ratio, Bound::Most(5.0, "times"))));
    held &= memory("  its memory", place)?;
    Ok(held)
}

/// A snapshot of a packet filter with 50 000 rules.
fn many_rules(place: &Place) -> Result<bool> {
    world::prepare()?;
    world::add_members(1, 2)?;
    world::add_foreign_rules(50_000)?;
    let times = snapshots(place)?;
    let list = Times::of(place.rounds, || measure::time(std::process::Command::new("nft").args(["list", "ruleset"])))?;
    row("snapshot: 50 000 rules", &times.shown(), None);
    row("  beside it: nft list ruleset", &list.shown(), None);
    memory("  its memory", place)
}

fn snapshots(place: &Place) -> Result<Times> {
    Times::of(place.rounds, || measure::time(&mut place.nsgate(&["snapshot"])))
}

fn memory(what: &str, place: &Place) -> Result<bool> {
    let peak = measure::peak_memory(&mut place.nsgate(&["snapshot"]))?;
    Ok(row(what, &format!("{peak:.1} MiB"), Some((peak, MEMORY))))
}

/// One member, one gateway, one server: how soon watchers are ready, and what traffic they leave.
fn one_gateway(place: &Place) -> Result<bool> {
    world::prepare()?;
    world::add_members(1, 2)?;
    world::translate()?;
    let mut held = true;
    let trace = ["trace", "n1", "10.0.2.2", "--json"];
    for (what, words, most) in [
        ("watchers ready, with BPF", &trace[..], 50.0),
        ("watchers ready, without BPF", &[&trace[..], &["--no-bpf"]].concat(), 15.0),
    ] {
        let times = Times::of(place.rounds, || ready(place, words))?;
        held &= row(what, &times.shown(), Some((times.middle(), Bound::Most(most, "ms"))));
    }
    let _receiver = Beside::start_self("n2", &["receive", "10.0.2.2"])?;
    for (what, kind, least) in [("small datagrams", "datagrams", 0.7), ("one full TCP connection", "stream", 0.95)] {
        thread::sleep(LEAD);
        let _sender = Beside::start_self("n1", &["send", kind, "10.0.2.2"])?;
        held &= cost(place, what, least)?;
    }
    Ok(held)
}

/// How long one trace needs until it could send its probe, not counting the reading of what is.
fn ready(place: &Place, words: &[&str]) -> Result<Duration> {
    let output = place.nsgate(words).stdin(Stdio::null()).output()?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("the answer of nsgate trace")?;
    ensure!(answer["delivered"] == true, "the probe was lost: {}", answer["verdict"]["summary"]);
    let refused = |limit: &&Value| limit["what"].as_str().is_some_and(|what| what.starts_with("what the kernel drops"));
    let refused = answer["limits"].as_array().and_then(|limits| limits.iter().find(refused));
    ensure!(refused.is_none(), "the kernel was not watched: {}", answer["limits"]);
    Ok(Duration::from_micros(answer["timing"]["ready"].as_u64().context("no timing in the answer")?))
}

/// What is left of the traffic while somebody watches for something else.
fn cost(place: &Place, what: &str, least: f64) -> Result<bool> {
    thread::sleep(LEAD);
    let (mut alone, mut nsgate, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..place.rounds {
        // Each beside the traffic alone at the same time: what else happens on the machine changes by the minute.
        alone.push(rate(what)?);
        let mut watcher =
            Beside::start(&mut place.nsgate(&["trace", "n1", "10.0.2.2", "--udp", SILENT, "--wait", "5000"]))?;
        thread::sleep(LEAD);
        nsgate.push(rate(what)?);
        watcher.still_runs()?;
        drop(watcher);
        let mut watcher = ByHand::start(SILENT)?;
        thread::sleep(LEAD);
        by_hand.push(rate(what)?);
        watcher.still_runs()?;
        drop(watcher);
        thread::sleep(LEAD);
    }
    let kept = |rates: &[f64]| middle(rates.iter().zip(&alone).map(|(rate, alone)| rate / alone).collect());
    let (kept_by_nsgate, kept_by_hand) = (kept(&nsgate), kept(&by_hand));
    let unit = if what == "small datagrams" { "k/s" } else { "MB/s" };
    row(what, &format!("{:.0} {unit}", middle(alone.clone())), None);
    let shown = |kept: f64| format!("{:.0} %", kept * 100.0);
    let held =
        row("  kept while nsgate watches", &shown(kept_by_nsgate), Some((kept_by_nsgate, Bound::LeastPart(least))));
    Ok(row(
        "  kept by two tcpdumps and nft monitor trace",
        &shown(kept_by_hand),
        Some((kept_by_hand, Bound::LessPart(kept_by_nsgate))),
    ) & held)
}

/// Thousands of packets, or millions of bytes, that leave the gateway in a second.
fn rate(what: &str) -> Result<f64> {
    let sent = Sent::rate("v2", WINDOW)?;
    ensure!(sent.packets > 0.0, "no traffic passes");
    Ok(if what == "small datagrams" { sent.packets / 1e3 } else { sent.bytes / 1e6 })
}
