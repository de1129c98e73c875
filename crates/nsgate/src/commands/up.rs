//! `nsgate up`: make what the file wants, or change nothing.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use nsgate_kernel::apply::{self, Failed, Records, Recovered};
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::{Kind, snapshot};

use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::json::plan::PlanJson;
use crate::output::{Output, human};
use crate::specification::{DEFAULT_FILE, Specification};

/// Make what the file wants; all of it stands in the end, or nothing was changed
///
/// What stands already is left alone, so a second run changes nothing. What the
/// file no longer wants is removed, if nsgate made it.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The file that says what is wanted; `-` is standard input
    #[arg(value_name = "FILE", help = format!("The file that says what is wanted, `-` for standard input [default: {DEFAULT_FILE}]"))]
    file: Option<PathBuf>,

    /// Show every step that was done
    #[arg(short, long, conflicts_with = "json")]
    details: bool,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// Makes what the file wants.
pub(crate) fn run(args: &UpArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let specification = Specification::read(args.file.as_deref(), output)?;
    may_change_networks()?;
    let records = Records::lock()?;
    recover(&records, specification.instance(), output)?;
    let world = snapshot::take(&[])?;
    let draft = specification.draft(&world, &records, output)?;
    apply::apply(&records, &draft.instance, &draft.steps, &draft.state).map_err(|failed| failure(*failed))?;
    if args.json {
        output.json(&PlanJson::new(&draft.instance, &draft.steps))?;
        return Ok(Outcome::Yes);
    }
    if args.details {
        output.write(&human::plan::steps(&draft.steps))?;
    }
    output.write(&human::plan::up(&draft.wanted, draft.steps.len()))?;
    Ok(Outcome::Yes)
}

/// Says what is missing before anything is tried.
pub(super) fn may_change_networks() -> Result<(), Failure> {
    if Privileges::of_caller().can_change_networks() {
        return Ok(());
    }
    let error = anyhow!("changing networks needs the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN");
    Err(Failure::new(FailureKind::Environment, error).hint("run it as root"))
}

/// Takes back what an earlier command, cut short, left half done.
pub(super) fn recover(records: &Records, instance: &str, output: &mut Output) -> Result<(), Failure> {
    let recovered = apply::recover(records, instance)?;
    let Some(Recovered { undone, left, .. }) = recovered else { return Ok(()) };
    if undone > 0 {
        output.note(&format!("An earlier change of {instance} was cut short; what it had done was taken back first."));
    }
    for (step, error) in left {
        output.note(&format!("This could not be taken back: `{step}`: {error}"));
    }
    Ok(())
}

/// What a plan that could not be done means for the user.
pub(super) fn failure(failed: Failed) -> Failure {
    let Failed { done, error, left, .. } = failed;
    let missing = matches!(error.kind(), Kind::NotPermitted | Kind::MissingFeature);
    let kind = match (left.is_empty(), done) {
        (false, _) => FailureKind::NotRestored,
        (true, 0) if missing => FailureKind::Environment,
        (true, _) => FailureKind::Restored,
    };
    let after = match (left.is_empty(), done) {
        (true, 0) => "nothing was changed".to_owned(),
        (true, _) => format!("the {done} steps before it were taken back"),
        (false, _) => format!("of the {done} steps before it, {} could not be taken back", left.len()),
    };
    let failure = Failure::new(kind, anyhow!("{error}; {after}"));
    left.iter().fold(failure, |failure, (step, why)| failure.hint(format!("`{step}` by hand: {why}")))
}
