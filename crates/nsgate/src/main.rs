//! nsgate: builds network namespaces behind NAT gateways, traces a packet through them, and mends what loses it.

mod args;
mod codes;
mod commands;
mod exit;
mod inquiry;
mod lab;
mod listening;
mod output;
mod specification;

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
