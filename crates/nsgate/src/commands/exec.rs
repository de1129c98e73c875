//! `nsgate exec`: run a command in a network namespace.

use std::ffi::OsString;

use anyhow::anyhow;
use clap::Args;
use nsgate_core::model::NetnsName;
use nsgate_kernel::exec;
use nsgate_kernel::netns::Netns;

use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::Output;

/// Run a command in a network namespace
///
/// As `ip netns exec` does: with the namespace's own /sys, and with what
/// /etc/netns/NAME holds in place of the files of /etc. Ends as the command does.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  nsgate exec ns_1 -- ping -c 1 1.1.1.3")]
pub(crate) struct ExecArgs {
    /// A name under /run/netns, `host`, `pid:N`, `podman:NAME`, `docker:NAME` or a path
    netns: NetnsName,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the command.
pub(crate) fn run(args: &ExecArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(FailureKind::Usage, anyhow!("no command is named")));
    };
    let netns = Netns::open(&args.netns)?;
    for limit in exec::enter(&netns)? {
        output.note(&format!("nsgate: {}: {}", limit.what, limit.why));
    }
    Err(exec::replace(program, arguments).into())
}
