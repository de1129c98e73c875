//! The developer's tasks: `cargo xtask TASK`.
//!
//! Each task is one file or folder; this file only chooses. Tasks read and build the repository that they were built from
//! and change nothing in it.

mod bench;
mod interop;
mod repository;
mod scenarios;
mod sightings;
mod tidy;

use std::process::{Command, ExitCode};

use anyhow::Result;

const USAGE: &str = "\
cargo xtask TASK

  tidy                            the house rules that a program can hold
  scenarios [DIR] [OPTIONS]       judge nsgate by a folder of broken networks
      --only NAME...              these scenarios only
      --codes CODE,CODE...        the scenarios of these causes only
      --mend                      also run the fix that nsgate names, and probe again
      --unprivileged              as an ordinary user, though started by root
      --no-bpf                    without programs in the kernel
      -j N                        so many at once (default: one a processor)
  sightings [DIR] [OPTIONS]       what nsgate sees of its probe, held against tcpdump and nft, in every scenario (root)
      --only NAME,NAME...         these scenarios only
      --nsgate FILE               this nsgate (default: it is built for release)
  interop [--rulesets NUMBER]     compare with Debian's ip, nft, iptables, tcpdump, conntrack
  bench [lab|see|trace]... [-n N]
                                  how long the commands take, what watching costs others
  ci                              everything that .ci/run does
";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a developer's task speaks to its terminal")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((task, rest)) = arguments.split_first() else {
        print!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(task, rest) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {task}: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs one task; false is the honest no.
fn run(task: &str, rest: &[String]) -> Result<bool> {
    match task {
        "tidy" => tidy::run(rest),
        "scenarios" => scenarios::run(rest),
        scenarios::INSIDE => scenarios::inside(rest),
        "sightings" => sightings::run(rest),
        sightings::INSIDE => sightings::inside(rest),
        "interop" => interop::run(rest),
        "bench" => bench::run(rest),
        bench::INSIDE => bench::inside(rest),
        "ci" => Ok(Command::new(repository::root().join(".ci/run")).status()?.success()),
        _ => anyhow::bail!("no such task; the tasks are tidy, scenarios, sightings, interop, bench, ci"),
    }
}
