//! One file a verb.

use crate::args::Command;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Runs the verb that was asked for.
pub(crate) fn run(command: Command, _output: &mut Output) -> Result<Outcome, Failure> {
    match command {}
}
