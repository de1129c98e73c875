//! `nsgate plan`: what `up` would do, as the commands an operator would type.

use std::path::PathBuf;

use clap::Args;
use nsgate_kernel::snapshot;

use crate::exit::{Failure, Outcome};
use crate::output::json::plan::PlanJson;
use crate::output::{Output, human};
use crate::specification::{DEFAULT_FILE, Specification};

/// Show what `up` would do, as the commands an operator would type
///
/// Nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The file that says what is wanted; `-` is standard input
    #[arg(value_name = "FILE", help = format!("The file that says what is wanted, `-` for standard input [default: {DEFAULT_FILE}]"))]
    file: Option<PathBuf>,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// Shows the plan.
pub(crate) fn run(args: &PlanArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let specification = Specification::read(args.file.as_deref(), output)?;
    let world = snapshot::take(&[])?;
    let draft = specification.outlook(&world, output)?;
    if args.json {
        output.json(&PlanJson::new(&draft.instance, &draft.steps))?;
    } else {
        output.write(&human::plan::plan(&draft.instance, &draft.steps))?;
    }
    Ok(Outcome::Yes)
}
