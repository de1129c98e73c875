//! `cargo xtask scenarios DIR`: nsgate judged by a folder of broken networks.
//!
//! Every scenario is one fault with the verdict it should get. The folder's own `run` builds it in an isolated root and
//! runs nsgate inside; this task reads what nsgate said, judges it, and prints a table, cause by cause.

mod arguments;
mod expectation;
mod judge;
mod mend;
mod scenario;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process};

use anyhow::{Context, Result, ensure};

use crate::repository;
use arguments::Arguments;
use scenario::Tool;

pub(crate) use mend::{INSIDE, inside};
pub(crate) use scenario::Scenario;

/// Runs the chosen scenarios; false if one failed.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(crate) fn run(words: &[String]) -> Result<bool> {
    let arguments = Arguments::parse(words)?;
    let folder = fs::canonicalize(&arguments.folder)
        .with_context(|| format!("no scenarios at {}", arguments.folder.display()))?;
    let chosen = choose(&folder, &arguments.only, &arguments.codes)?;
    let readable = ReadableFolder::with(&[repository::build_release()?, env::current_exe()?])?;
    let tool = Tool {
        folder,
        nsgate: readable.file("nsgate"),
        xtask: readable.file("xtask"),
        mend: arguments.mend,
        unprivileged: arguments.unprivileged,
        no_bpf: arguments.no_bpf,
    };
    let outcomes = each(&chosen, arguments.jobs, |scenario| scenario.judge(&tool));
    print!("{}", table::render(&outcomes));
    Ok(outcomes.iter().all(|(_, outcome)| !outcome.failed()))
}

/// The scenarios of these names and of these causes (none: all), sorted by name.
pub(crate) fn choose(folder: &Path, names: &[String], causes: &[String]) -> Result<Vec<Scenario>> {
    let mut chosen = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("expect.json").is_file() {
            let scenario = Scenario::read(&path)?;
            let wanted = |wanted: &[String], has: &String| wanted.is_empty() || wanted.contains(has);
            if wanted(names, &scenario.name) && wanted(causes, &scenario.expectation.cause) {
                chosen.push(scenario);
            }
        }
    }
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    for name in names {
        ensure!(chosen.iter().any(|scenario| scenario.name == *name), "no scenario {name}");
    }
    ensure!(!chosen.is_empty(), "no scenario of that name or cause in {}", folder.display());
    Ok(chosen)
}

/// Does something with each scenario, several at once, and gives the outcomes in the order of the scenarios.
pub(crate) fn each<T: Send>(
    scenarios: &[Scenario],
    jobs: usize,
    work: impl Fn(&Scenario) -> T + Sync,
) -> Vec<(&Scenario, T)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(scenarios.len()) {
            scope.spawn(|| {
                while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < scenarios.len()) {
                    let outcome = work(&scenarios[at]);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, outcome));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(at, outcome)| (&scenarios[at], outcome)).collect()
}

/// A folder that every user may read, with copies of programs that lie where some users may not look.
pub(crate) struct ReadableFolder {
    path: PathBuf,
}

impl ReadableFolder {
    /// Copies programs there.
    pub(crate) fn with(programs: &[PathBuf]) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = env::temp_dir().join(format!("nsgate-scenarios-{}", process::id()));
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let folder = Self { path };
        fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755))?;
        for program in programs {
            let copy = folder.path.join(program.file_name().context("a program without a name")?);
            fs::copy(program, &copy).with_context(|| format!("copying {}", program.display()))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        }
        Ok(folder)
    }

    /// Where a program of this name lies there.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for ReadableFolder {
    fn drop(&mut self) {
        // Left-overs in the temporary folder harm nobody, and there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}
