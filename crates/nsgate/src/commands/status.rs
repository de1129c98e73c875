//! `nsgate status`: what stands, and what differs from what a file wants.

use std::path::PathBuf;

use clap::Args;
use nsgate_core::plan;
use nsgate_kernel::snapshot;

use crate::exit::{Failure, Outcome};
use crate::output::json::plan::StatusJson;
use crate::output::{Output, human};
use crate::specification::{Specification, note_limits};

/// Show what stands, and what differs from what the file wants
///
/// Ends with 1 if something differs. Nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The file that says what is wanted; left out: everything that stands is shown
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// Shows what stands.
pub(crate) fn run(args: &StatusArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let specification = match &args.file {
        Some(file) => Some(Specification::read(Some(file), output)?),
        None => None,
    };
    let world = snapshot::take(&[])?;
    let mut found = plan::inventory(&world);
    let mut draft = None;
    if let Some(specification) = specification {
        let wanted = specification.outlook(&world, output)?;
        found = [(wanted.instance.clone(), found.remove(&wanted.instance).unwrap_or_default())].into();
        draft = Some(wanted);
    } else {
        note_limits(&world, output);
    }
    let drift = draft.as_ref().map(|draft| (draft.instance.as_str(), draft.steps.as_slice()));
    if args.json {
        output.json(&StatusJson::new(&found, drift))?;
    } else {
        output.write(&human::plan::standing(&found))?;
        if let Some((instance, steps)) = drift {
            output.write(&human::plan::drift(instance, steps))?;
        }
    }
    Ok(if drift.is_none_or(|(_, steps)| steps.is_empty()) { Outcome::Yes } else { Outcome::No })
}
