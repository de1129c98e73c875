//! The command line: one verb each, spelled as iproute2's users expect.

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands;

/// Build, prove, trace and explain Linux network namespaces behind NAT gateways.
#[derive(Debug, Parser)]
#[command(
    name = "nsgate",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 80,
    after_help = "Examples:\n  nsgate lab                          see one lost packet being found\n  \
                  nsgate trace ns_1 114.114.114.114   where does a packet die, what mends it?\n\n\
                  Exit codes: 0 yes, 1 no (lost, drift), 2 usage, 3 not permitted or supported,\n\
                  4 refused and restored, 5 refused and not fully restored, 70 a bug."
)]
pub(crate) struct Args {
    /// When to use colour: auto, always or never
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true, global = true)]
    pub(crate) color: Color,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Lab(commands::lab::LabArgs),

    /// Show what `up` would do, as the commands an operator would type
    Plan(commands::plan::PlanArgs),

    /// Make what the file wants; all of it stands in the end, or nothing was changed
    Up(commands::up::UpArgs),

    /// Remove what `up` made, and put back what it changed
    Down(commands::down::DownArgs),

    /// Show what stands, and what differs from what the file wants
    Status(commands::status::StatusArgs),

    /// Try by real probes who reaches whom, and compare with what the file expects
    Check(commands::check::CheckArgs),

    /// Run a command in a network namespace
    Exec(commands::exec::ExecArgs),

    /// Follow one probe packet, and say where it is lost, why, and what mends it
    Trace(commands::trace::TraceArgs),

    /// Save or show what is: every network namespace with all that decides a packet's fate
    Snapshot(commands::snapshot::SnapshotArgs),

    /// Say what a cause code means, how to confirm it by hand, and what mends it
    Explain(commands::explain::ExplainArgs),
}
