//! `nsgate lab`: an experiment on the real kernel, in a sandbox, told step by step.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use nsgate_kernel::netns::Netns;
use nsgate_kernel::{exec, sandbox, sysctl};

use crate::exit::{Failure, FailureKind, Outcome};
use crate::inquiry::Findings;
use crate::lab::{self, Done, Lab, Observed, Stage};
use crate::output::json::lab::{LabJson, ListedJson};
use crate::output::{Output, html, human};

/// Watch one lost packet being found, in a sandbox that needs no root
///
/// A lab builds a small network on this machine's kernel, loses a packet in it,
/// says where and why, mends it and proves the mend. Nothing outside the sandbox
/// is read or changed, and all of it is gone when the lab ends.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// Which lab, or the code of a cause that one shows
    #[arg(value_name = "LAB|CODE", default_value = lab::LABS[0].0)]
    name: String,

    /// List the labs
    #[arg(long)]
    list: bool,

    /// Print one JSON document: every step with what was done and seen, and the verdict
    #[arg(short, long)]
    json: bool,

    /// Stop at the loss and its verdict, mend nothing
    #[arg(long)]
    no_fix: bool,

    /// Draw the first trace, which finds the loss, on a page for a browser, too; a page that is there is replaced
    #[arg(long, value_name = "FILE", conflicts_with = "list")]
    html: Option<PathBuf>,

    /// Open a shell in the sandbox after the last step
    #[arg(long, conflicts_with_all = ["json", "list"])]
    shell: bool,
}

/// Runs a lab, or lists them.
pub(crate) fn run(args: &LabArgs, output: &mut Output) -> Result<Outcome, Failure> {
    if args.list {
        return list(args.json, output);
    }
    let (name, lab) = find(&args.name)?;
    let page = args.html.as_deref().map(html::Destination::open).transpose()?;
    let sandbox = sandbox::enter()?;
    can_be_shown(&lab)?;
    // What the lab serves is there for the shell, too.
    let mut stage = Stage::default();
    let (outcome, found) = perform(&mut stage, name, &lab, args, output)?;
    if let Some(page) = page {
        draw(&page, found.as_deref(), output)?;
    }
    if args.shell {
        output.note("\nThis shell is inside the sandbox; all of it is gone when you leave it.");
        exec::shell(sandbox.user)?;
    }
    Ok(outcome)
}

/// What a lab came to, and what its first trace found.
type Performed = (Outcome, Option<Box<Findings>>);

/// Performs the steps in order, up to the first that does not show what the lab says.
fn perform(
    stage: &mut Stage,
    name: &str,
    lab: &Lab,
    args: &LabArgs,
    output: &mut Output,
) -> Result<Performed, Failure> {
    let start = Instant::now();
    let mut document = LabJson::new(name, lab);
    if !args.json {
        output.write(&human::lab::opening(name, lab))?;
    }
    let mends = if args.no_fix { &[] } else { lab.mends.as_slice() };
    let (mut ok, mut first) = (true, None);
    for (index, step) in lab.steps.iter().chain(mends).enumerate() {
        if !args.json {
            output.write(&human::lab::before(index + 1, step))?;
        }
        let done = stage.perform(step);
        if !args.json {
            output.write(&human::lab::after(&done))?;
        }
        document.add(step, &done);
        ok = done.problem.is_none();
        if let (None, Done { observed: Some(Observed::Verdict(found)), .. }) = (&first, done) {
            first = Some(found);
        }
        if !ok {
            break;
        }
    }
    if args.json {
        output.json(&document)?;
    } else {
        output.write(&human::lab::closing(name, ok, !args.no_fix, start.elapsed()))?;
    }
    Ok((if ok { Outcome::Yes } else { Outcome::No }, first))
}

/// Draws what the first trace found.
fn draw(page: &html::Destination, found: Option<&Findings>, output: &mut Output) -> Result<(), Failure> {
    let Some(found) = found else {
        output.note("There is no page: the lab did not come to a trace");
        return Ok(());
    };
    page.write(found)?;
    output.note(&format!("The page is {}", page.path().display()));
    Ok(())
}

/// Whether the kernel has what the lab needs.
fn can_be_shown(lab: &Lab) -> Result<(), Failure> {
    let Some(needs) = &lab.needs else { return Ok(()) };
    sysctl::read(&Netns::host()?, &needs.sysctl).map(drop).map_err(|error| {
        let error = anyhow::Error::from(error).context("this kernel cannot show it");
        Failure::new(FailureKind::Environment, error).hint(&needs.from)
    })
}

fn find(wanted: &str) -> Result<(&'static str, Lab), Failure> {
    let found = lab::find(wanted).map_err(|error| Failure::new(FailureKind::Bug, error))?;
    found.ok_or_else(|| {
        let failure = Failure::new(FailureKind::Usage, anyhow::anyhow!("there is no lab '{wanted}'"));
        match (lab::without(wanted), lab::like(wanted)) {
            (Some(reason), _) => failure.hint(format!("{wanted} has none: {reason}")),
            (None, Some(near)) => failure.hint(format!("did you mean {near}?")),
            (None, None) => failure.hint("`nsgate lab --list` lists the labs"),
        }
    })
}

fn list(json: bool, output: &mut Output) -> Result<Outcome, Failure> {
    let mut labs = Vec::new();
    for (name, _) in lab::LABS {
        labs.push(find(name)?);
    }
    if json {
        output.json(&labs.iter().map(|(name, lab)| ListedJson::new(name, lab)).collect::<Vec<_>>())?;
    } else {
        output.write(&human::lab::list(&labs))?;
    }
    Ok(Outcome::Yes)
}
