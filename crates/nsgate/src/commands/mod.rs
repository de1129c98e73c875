//! One file a verb.

pub(crate) mod explain;
pub(crate) mod lab;
pub(crate) mod trace;

use crate::args::Command;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Runs the verb that was asked for.
pub(crate) fn run(command: Command, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        Command::Explain(args) => explain::run(&args, output),
        Command::Lab(args) => lab::run(&args, output),
        Command::Trace(args) => trace::run(&args, output),
    }
}
