//! Stages: parts of a bench that run in network and mount namespaces of their own.
//!
//! This program starts itself once more through `unshare`; all that a stage makes ends with that process.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{see, trace, traffic};

/// The task by which this program starts itself in a stage.
pub(crate) const INSIDE: &str = "bench-inside";

/// The kernel cleans up after a stage when it has time to.
const CLEANING: Duration = Duration::from_secs(2);

/// One stage: its name, and what is done in it.
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) run: fn(&Place) -> Result<bool>,
}

/// What a stage knows.
pub(super) struct Place {
    /// The nsgate to measure.
    pub(super) nsgate: PathBuf,
    /// How often.
    pub(super) rounds: usize,
}

impl Place {
    /// The nsgate to measure, with these words.
    pub(super) fn nsgate(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.nsgate);
        command.args(words);
        command
    }
}

/// Runs stages one after the other; false if one misses a bound.
pub(super) fn run(stages: &[Stage], nsgate: &Path, rounds: usize) -> Result<bool> {
    let mut held = true;
    for stage in stages {
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--mount", "--propagation", "private"]).arg(env::current_exe()?);
        let status =
            command.args([INSIDE, stage.name]).arg(nsgate).arg(rounds.to_string()).status().context("unshare")?;
        held &= match status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => bail!("stage {} ended with {status}", stage.name),
        };
        thread::sleep(CLEANING);
    }
    Ok(held)
}

/// What this program does in a stage: the stage itself, or one end of its traffic.
pub(crate) fn inside(words: &[String]) -> Result<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["send", what, to] => traffic::send(what, to),
        ["receive", at] => traffic::receive(at),
        [name, nsgate, rounds] => {
            let stage = see::STAGES.iter().chain(&trace::STAGES).find(|stage| stage.name == *name);
            let stage = stage.with_context(|| format!("no stage {name}"))?;
            (stage.run)(&Place { nsgate: nsgate.into(), rounds: rounds.parse()? })
        }
        _ => bail!("stages are started by `cargo xtask bench`"),
    }
}

/// A program that runs beside, and is killed with this.
pub(super) struct Beside(Child);

impl Beside {
    /// Starts it; what it prints is thrown away.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("{command:?}"))?))
    }

    /// Starts this program at the other end of a wire.
    pub(super) fn start_self(netns: &str, words: &[&str]) -> Result<Self> {
        let program = env::current_exe()?;
        Self::start(Command::new("ip").args(["netns", "exec", netns]).arg(program).arg(INSIDE).args(words))
    }

    /// Fails if it has ended before its time.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(ended.is_none(), "what was to run beside the measurement has ended: {ended:?}");
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Root of the machine, as /proc says.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}
