//! nsgate: builds network namespaces behind NAT gateways, traces a packet through them, and mends what loses it.
#![expect(
    dead_code,
    unreachable_code,
    unused_variables,
    clippy::needless_pass_by_value,
    reason = "the verbs are being added"
)]

mod args;
mod commands;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::output::Output;

fn main() -> ExitCode {
    exit::explain_panics();
    let args = args::Args::parse();
    let mut output = Output::new(args.color);
    match commands::run(args.command, &mut output) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(&mut output),
    }
}
