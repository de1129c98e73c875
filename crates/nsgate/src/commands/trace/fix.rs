//! `nsgate trace --fix`: do what the verdict says, and prove it by a new probe.
//!
//! One cause at a time: a mend that lets the probe come further is kept, and the next cause is looked at; one that changes
//! nothing is taken back. Every mend goes through the journal, so that one cut short is taken back by the next command.

use std::io::{self, BufRead, IsTerminal};

use anyhow::anyhow;
use nsgate_core::explain::{Cause, Verdict, way_back};
use nsgate_core::plan::{Plan, State, Step};
use nsgate_core::trace::Leg;
use nsgate_kernel::apply::{self, Records};
use nsgate_kernel::snapshot;

use super::super::up::{self, may_change_networks};
use crate::exit::{Failure, FailureKind};
use crate::inquiry::Findings;
use crate::output::{Output, human};

/// The records of a mend that is being made.
const INSTANCE: &str = "mend";

/// How many causes are mended one after the other.
const MOST_MENDED: usize = 8;

/// One mend that was tried.
pub(crate) struct Mended {
    /// What it was for.
    pub(crate) verdict: Verdict,
    /// What takes it back.
    pub(crate) undo: Plan,
    /// It let the probe come further, so it stands; otherwise it was taken back.
    pub(crate) helped: bool,
}

/// How the user wants to be asked.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Everything is answered with yes.
    pub(super) yes: bool,
    /// Nothing is told but the end.
    pub(super) quiet: bool,
}

/// Mends one cause after the other until the probe arrives or nothing more can be done here. Gives the last trace and
/// what was done.
pub(super) fn mend(
    first: Findings,
    manner: Manner,
    again: impl Fn() -> Result<Findings, Failure>,
    output: &mut Output,
) -> Result<(Findings, Vec<Mended>), Failure> {
    let (mut findings, mut done) = (first, Vec::new());
    while !findings.report.delivered() && done.len() < MOST_MENDED {
        let fix = &findings.report.verdict.fix;
        if fix.steps.is_empty() {
            break;
        }
        if fix.steps.iter().any(Step::is_by_hand) {
            output.note("nsgate does not change tables of iptables-legacy: run the command yourself, and trace again.");
            break;
        }
        if !agreed(fix, manner, output)? {
            break;
        }
        if let Err(failure) = may_change_networks() {
            output.note("Nothing was tried; the commands above are complete as they stand.");
            // The loss is the answer; that nothing could be tried is told beside it.
            failure.report(output);
            break;
        }
        let (after, mended) = try_one(&findings, &again, output)?;
        let helped = mended.helped;
        if !manner.quiet {
            output.write(&human::mend::tried(&mended))?;
        }
        done.push(mended);
        if !helped {
            break;
        }
        if !manner.quiet {
            output.write(&human::mend::after(&after))?;
        }
        findings = after;
    }
    Ok((findings, done))
}

/// Does one mend and probes again; takes it back where it did not help.
fn try_one(
    before: &Findings,
    again: &impl Fn() -> Result<Findings, Failure>,
    output: &mut Output,
) -> Result<(Findings, Mended), Failure> {
    let verdict = before.report.verdict.clone();
    let records = Records::lock()?;
    up::recover(&records, INSTANCE, output)?;
    let state = State::default();
    apply::apply(&records, INSTANCE, &verdict.fix.steps, &state).map_err(|failed| up::failure(*failed))?;
    let touched: Vec<_> = verdict.fix.steps.iter().map(|step| step.netns.clone()).collect();
    let undo = way_back(&verdict.fix, &before.world, &snapshot::take(&touched)?);
    let outcome = again();
    let helped = outcome.as_ref().is_ok_and(|after| comes_further(before, after));
    if !helped {
        let left = apply::apply_each(&undo.steps);
        if let Some((step, why)) = left.first() {
            let error = anyhow!("the mend did not help, and could not be taken back");
            let failure = Failure::new(FailureKind::NotRestored, error);
            return Err(failure.hint(format!("`{step}` by hand: {why}")));
        }
    }
    Ok((outcome?, Mended { verdict, undo, helped }))
}

/// Whether the probe arrives now, or is lost to something else and not earlier.
fn comes_further(before: &Findings, after: &Findings) -> bool {
    let lost_to = |findings: &Findings| {
        let verdict = &findings.report.verdict;
        (verdict.cause, verdict.place.clone(), verdict.object.clone())
    };
    let places = |findings: &Findings| {
        let journey = &findings.observation.journey;
        journey.of(Leg::Request).count() + journey.of(Leg::Answer).count()
    };
    after.report.delivered()
        || (after.report.verdict.cause != Cause::Uncertain || places(after) > places(before))
            && lost_to(before) != lost_to(after)
            && places(after) >= places(before)
}

/// Asks whether the mend may be made.
fn agreed(fix: &Plan, manner: Manner, output: &mut Output) -> Result<bool, Failure> {
    if manner.yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        output.note("Nothing was changed: there is no terminal to ask at; --yes mends without asking.");
        return Ok(false);
    }
    output.write(&human::mend::question(fix.steps.len()))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
