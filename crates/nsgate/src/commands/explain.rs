//! `nsgate explain`: what a cause code means, how to confirm it by hand, what mends it, and what looks like it.

use clap::Args;

use crate::codes;
use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::{Output, human, json};

/// Say what a cause code means, how to confirm it by hand, and what mends it
///
/// Without a code: every code in one line. The pages are part of the program;
/// nothing is looked at and nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nsgate explain\n  nsgate explain forwarding-disabled")]
pub(crate) struct ExplainArgs {
    /// The code, as a verdict names it
    code: Option<String>,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// Shows a page, or the list of all.
pub(crate) fn run(args: &ExplainArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let Some(code) = &args.code else {
        if args.json {
            output.json(&json::explain::List::new())?;
        } else {
            output.write(&human::explain::list())?;
        }
        return Ok(Outcome::Yes);
    };
    let (group, page) = codes::find(code).ok_or_else(|| unknown(code))?;
    if args.json {
        output.json(&json::explain::PageJson::new(group, page))?;
    } else {
        output.write(&human::explain::page(page))?;
    }
    Ok(Outcome::Yes)
}

fn unknown(code: &str) -> Failure {
    let failure = Failure::new(FailureKind::Usage, anyhow::anyhow!("there is no cause code '{code}'"));
    match codes::like(code).as_slice() {
        [] => failure.hint("`nsgate explain` lists all codes"),
        near => failure.hint(format!("did you mean {}?", near.join(" or "))),
    }
}
