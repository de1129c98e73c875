//! `cargo xtask sightings DIR`: what nsgate sees of its probe, held against tcpdump and `nft monitor trace`.
//!
//! In every scenario of a folder both tools listen in each namespace while nsgate traces. Nothing that they saw of the
//! probe may be missing from what nsgate says that it saw, and nsgate may claim nothing that they did not see. What they
//! write is read here by code of its own.

mod capture;
mod compare;
mod inside;
mod monitor;
mod packet;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::repository;
use crate::scenarios::{ReadableFolder, Scenario, choose, each};
use compare::Found;

pub(crate) use inside::{INSIDE, inside};

/// What was asked for.
struct Arguments {
    folder: PathBuf,
    only: Vec<String>,
    /// The nsgate to judge; none: it is built.
    nsgate: Option<PathBuf>,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut parsed = Self { folder: PathBuf::from("../shared/scenarios"), only: Vec::new(), nsgate: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--only" => {
                    let names = words.next().context("--only needs names, with commas between them")?;
                    parsed.only.extend(names.split(',').map(str::to_owned));
                }
                "--nsgate" => parsed.nsgate = Some(words.next().context("--nsgate needs a file")?.into()),
                option if option.starts_with('-') => bail!("unknown option {option}"),
                folder => parsed.folder = PathBuf::from(folder),
            }
        }
        Ok(parsed)
    }
}

/// Compares in the chosen scenarios; false if anything is missing or invented.
#[expect(clippy::print_stdout, reason = "a developer's task speaks to its terminal")]
pub(crate) fn run(words: &[String]) -> Result<bool> {
    let arguments = Arguments::parse(words)?;
    let folder = fs::canonicalize(&arguments.folder)
        .with_context(|| format!("no scenarios at {}", arguments.folder.display()))?;
    let chosen = choose(&folder, &arguments.only, &[])?;
    let nsgate = arguments.nsgate.map_or_else(repository::build_release, Ok)?;
    let readable = ReadableFolder::with(&[nsgate, env::current_exe()?])?;
    let (xtask, nsgate) = (readable.file("xtask"), readable.file("nsgate"));
    // One at a time: the moments at the end of a trace, of which nothing is known, are to be few.
    let answers = each(&chosen, 1, |scenario: &Scenario| {
        let answer = scenario.run(&folder, &[xtask.as_os_str(), INSIDE.as_ref(), nsgate.as_os_str()]);
        match answer.map(|answer| (Found::from_json(&answer), answer)) {
            Ok((Some(found), _)) => Ok(found),
            Ok((None, answer)) => Err(unsent(&answer)),
            Err(error) => Err(format!("{error:#}")),
        }
    });
    let mut sum = Found::default();
    let (mut compared, mut failed) = (0, 0);
    for (scenario, answer) in answers {
        match answer {
            Ok(found) => {
                compared += 1;
                print!("{}", table_row(&scenario.name, &found));
                sum.add(found);
            }
            Err(why) => {
                failed += usize::from(!why.starts_with(NOT_SENT));
                println!("{:40} {why}", scenario.name);
            }
        }
    }
    println!("\n{compared} scenarios compared, {failed} could not be");
    print!("{}", table_row("all", &sum));
    Ok(failed == 0 && sum.missing.is_empty() && sum.invented.is_empty())
}

/// What nsgate refuses to send is no sighting.
const NOT_SENT: &str = "nothing was sent: ";

fn unsent(answer: &Value) -> String {
    answer["unsent"].as_str().map_or_else(|| "no answer".to_owned(), |why| format!("{NOT_SENT}{why}"))
}

/// One line, and one more for everything that is wrong.
fn table_row(name: &str, found: &Found) -> String {
    let Found { records, same_time, unasked, events, late, missing, invented } = found;
    let mut text = format!(
        "{name:40} {records:5} frames ({same_time} at the same time, {unasked} others) {events:5} rule events  {late:3} late  \
         {:3} missing {:3} invented\n",
        missing.len(),
        invented.len()
    );
    if name != "all" {
        text.extend(missing.iter().map(|line| format!("    missing: {line}\n")));
        text.extend(invented.iter().map(|line| format!("    invented: {line}\n")));
    }
    text
}
