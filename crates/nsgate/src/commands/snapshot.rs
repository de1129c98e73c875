//! `nsgate snapshot`: the machine's network namespaces with all that decides a packet's fate, as JSON or for people.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use nsgate_core::model::NetnsName;
use nsgate_core::model::saved::{LONGEST, Saved};
use nsgate_kernel::snapshot::{self, Reach};

use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::{Output, file, human, json_line};

/// Save or show what is: every network namespace with all that decides a packet's fate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nsgate snapshot -o before.json\n  nsgate snapshot --show\n  \
                        nsgate snapshot --show before.json")]
pub(crate) struct SnapshotArgs {
    /// Write the JSON to this file, which only its owner can read; left out: to standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "show")]
    output: Option<PathBuf>,

    /// Show it for people: what is now, or what a saved file holds
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "how clap says that the value may be left out")]
    show: Option<Option<PathBuf>>,

    /// Look at this namespace too, which must be there: `pid:N`, `podman:NAME`, `docker:NAME` or a path
    #[arg(short, long, value_name = "NETNS")]
    netns: Vec<NetnsName>,
}

/// Reads, and writes or shows.
pub(crate) fn run(args: &SnapshotArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let saved = match &args.show {
        Some(Some(file)) => read(file).map_err(|error| Failure::new(FailureKind::Usage, error))?,
        _ => take(&args.netns)?,
    };
    match (&args.show, &args.output) {
        (Some(_), _) => output.write(&human::snapshot::show(&saved))?,
        (None, Some(file)) => file::put(file, |to| json_line(&saved, to))?,
        (None, None) => output.json_line(&saved)?,
    }
    Ok(Outcome::Yes)
}

/// What is, now.
fn take(besides: &[NetnsName]) -> Result<Saved, Failure> {
    let world = snapshot::take_as_far_as(Reach::All, besides)?;
    let taken = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Saved::new(world, taken, snapshot::kernel_release()))
}

/// Reads a saved file, or no more of it than one may have.
fn read(path: &Path) -> anyhow::Result<Saved> {
    let mut text = Vec::new();
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut text).with_context(|| path.display().to_string())?;
    Saved::read(&text).with_context(|| path.display().to_string())
}
