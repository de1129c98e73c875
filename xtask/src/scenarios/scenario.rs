//! One scenario: read from its folder, built and probed in an isolated root, judged.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::expectation::{Expectation, trace_arguments};
use super::judge::{Outcome, judge};
use super::mend::{self, INSIDE};

/// Building may wait for neighbours to fail and probes to be lost; nothing takes longer than this.
const TIME_LIMIT: Duration = Duration::from_secs(90);
/// More than any answer holds.
const OUTPUT_LIMIT: u64 = 8 << 20;
/// The user `nobody` of every Linux.
const NOBODY: u32 = 65534;

/// What is run, and how.
pub(crate) struct Tool {
    /// The scenarios' folder, with its `run`.
    pub(crate) folder: PathBuf,
    /// The nsgate to judge.
    pub(crate) nsgate: PathBuf,
    /// This program, where an ordinary user can read it.
    pub(crate) xtask: PathBuf,
    /// Whether to try the fix.
    pub(crate) mend: bool,
    /// Whether to become an ordinary user first.
    pub(crate) unprivileged: bool,
    /// Whether nsgate must do without programs in the kernel.
    pub(crate) no_bpf: bool,
}

/// One scenario.
pub(crate) struct Scenario {
    /// Its folder's name.
    pub(crate) name: String,
    /// What nsgate should say.
    pub(crate) expectation: Expectation,
    /// The words after `nsgate`.
    trace: Vec<String>,
    needs_root: bool,
}

impl Scenario {
    /// Reads a scenario's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let read =
            |file: &str| fs::read_to_string(folder.join(file)).with_context(|| folder.join(file).display().to_string());
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let expectation = Expectation::parse(&read("expect.json")?).with_context(|| format!("{name}/expect.json"))?;
        let trace = trace_arguments(&read("probe")?).with_context(|| format!("{name}/probe"))?;
        Ok(Self { name, expectation, trace, needs_root: folder.join("needs-root").exists() })
    }

    /// Builds it, runs nsgate inside, and judges the answer.
    pub(crate) fn judge(&self, tool: &Tool) -> Outcome {
        if self.needs_root && (tool.unprivileged || !is_root()) {
            return Outcome::Skipped("needs root".to_owned());
        }
        let answer = match self.answer(tool) {
            Ok(answer) => answer,
            Err(error) => return Outcome::NoVerdict(format!("{error:#}")),
        };
        if tool.mend { mend::judge_mended(&answer, &self.expectation) } else { judge(&answer, &self.expectation) }
    }

    fn answer(&self, tool: &Tool) -> Result<Value> {
        let mut inside = vec![tool.nsgate.as_os_str()];
        if tool.mend {
            inside = vec![tool.xtask.as_os_str(), INSIDE.as_ref(), tool.nsgate.as_os_str()];
        }
        let mut command = self.command(&tool.folder, &inside);
        if tool.no_bpf {
            command.arg("--no-bpf");
        }
        if tool.unprivileged && is_root() {
            command.uid(NOBODY).gid(NOBODY).env("HOME", "/");
        }
        answer_of(&mut command)
    }

    /// Builds it, runs a command inside with the words after `nsgate`, and gives its answer.
    pub(crate) fn run(&self, folder: &Path, inside: &[&OsStr]) -> Result<Value> {
        answer_of(&mut self.command(folder, inside))
    }

    fn command(&self, folder: &Path, inside: &[&OsStr]) -> Command {
        let mut command = Command::new(folder.join("run"));
        command.args(["exec", &self.name, "--"]).args(inside).args(&self.trace).current_dir("/");
        command
    }
}

fn answer_of(command: &mut Command) -> Result<Value> {
    let Finished { stdout, stderr } = finish(command)?;
    match serde_json::from_str(&stdout) {
        Ok(answer) => Ok(answer),
        Err(_) if stdout.trim().is_empty() => bail!("no answer: {}", last_line(&stderr)),
        Err(error) => bail!("the answer is no JSON ({error}): {}", last_line(&stdout)),
    }
}

struct Finished {
    stdout: String,
    stderr: String,
}

/// Runs a command to its end or to the time limit, and keeps what it wrote.
fn finish(command: &mut Command) -> Result<Finished> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let in_time = wait(&mut child)?;
    let finished = Finished { stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() };
    if !in_time {
        bail!("nothing after {} s: {}", TIME_LIMIT.as_secs(), last_line(&finished.stderr));
    }
    Ok(finished)
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is to show.
        let _ = pipe.map(|pipe| pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the child; false if it had to be killed. Everything inside the isolated root ends with it.
fn wait(child: &mut Child) -> Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said").trim()
}

/// Root of the machine, as /proc says.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}
