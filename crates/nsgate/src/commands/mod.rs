//! One file a verb.

pub(crate) mod check;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod lab;
pub(crate) mod plan;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod up;

use crate::args::Command;
use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Runs the verb that was asked for.
pub(crate) fn run(command: Command, output: &mut Output) -> Result<Outcome, Failure> {
    match command {
        Command::Explain(args) => explain::run(&args, output),
        Command::Plan(args) => plan::run(&args, output),
        Command::Up(args) => up::run(&args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Down(args) => down::run(&args, output),
        Command::Status(args) => status::run(&args, output),
        Command::Exec(args) => exec::run(&args, output),
        Command::Lab(args) => lab::run(&args, output),
        Command::Snapshot(args) => snapshot::run(&args, output),
        Command::Trace(args) => trace::run(&args, output),
    }
}
