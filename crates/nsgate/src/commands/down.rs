//! `nsgate down`: remove what `up` made, and put back what it changed.

use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use nsgate_core::plan::{self, State};
use nsgate_kernel::apply::{self, Records};
use nsgate_kernel::snapshot;

use super::up::{may_change_networks, recover};
use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::json::plan::PlanJson;
use crate::output::{Output, human};
use crate::specification;

/// Remove what `up` made, and put back what it changed
///
/// It goes by the marks on what was made, so the file need not be there any more,
/// and nothing is removed that nsgate did not make.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// The file, or the name of what it made; left out: the only one that stands
    #[arg(value_name = "FILE|NAME")]
    name: Option<String>,

    /// Show every step that was done
    #[arg(short, long, conflicts_with = "json")]
    details: bool,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// Removes what stands.
pub(crate) fn run(args: &DownArgs, output: &mut Output) -> Result<Outcome, Failure> {
    may_change_networks()?;
    let records = Records::lock()?;
    let Some(instance) = instance(args.name.as_deref(), &records)? else {
        output.write("Nothing stands.\n")?;
        return Ok(Outcome::Yes);
    };
    recover(&records, &instance, output)?;
    let world = snapshot::take(&[])?;
    let state = hand_over(&records, &instance)?;
    let steps = plan::remove(&instance, &world, &state.restore);
    let left = apply::apply_each(&steps);
    if !left.is_empty() {
        records.keep(&instance, &state)?;
        let error = anyhow!("{} of {} steps could not be done", left.len(), steps.len());
        let failure = Failure::new(FailureKind::NotRestored, error);
        return Err(left.iter().fold(failure, |failure, (step, why)| failure.hint(format!("`{step}`: {why}"))));
    }
    records.keep(&instance, &State::default())?;
    if args.json {
        output.json(&PlanJson::new(&instance, &steps))?;
        return Ok(Outcome::Yes);
    }
    if args.details {
        output.write(&human::plan::steps(&steps))?;
    }
    output.write(&human::plan::down(&instance, steps.len()))?;
    Ok(Outcome::Yes)
}

/// Which instance is meant: the one that is named, or the only one there is.
fn instance(name: Option<&str>, records: &Records) -> Result<Option<String>, Failure> {
    if let Some(name) = name {
        return named(name).map(Some);
    }
    let mut found = plan::instances(&snapshot::take(&[])?);
    found.extend(records.instances()?);
    let mut names = found.into_iter();
    match (names.next(), names.next()) {
        (first, None) => Ok(first),
        (first, second) => {
            let all: Vec<String> = first.into_iter().chain(second).chain(names).collect();
            let error = anyhow!("several stand, and none is named");
            Err(Failure::new(FailureKind::Usage, error).hint(format!("name one: {}", all.join(", "))))
        }
    }
}

/// The instance of a file, or of that name.
fn named(name: &str) -> Result<String, Failure> {
    let path = Path::new(name);
    if !path.is_file() && !name.contains('/') {
        return Ok(name.strip_suffix(".toml").unwrap_or(name).to_owned());
    }
    let unnamed = || Failure::new(FailureKind::Usage, anyhow!("{name} does not say what it made"));
    let stem = specification::stem(path).ok_or_else(unnamed)?;
    // The file may have gone or be broken by now: then its name has to do.
    Ok(specification::name_in(path).unwrap_or(stem))
}

/// What this instance has to put back: not what others rely on, which becomes theirs to put back.
fn hand_over(records: &Records, instance: &str) -> Result<State, Failure> {
    let mut going = records.state(instance)?;
    for (name, mut other) in records.other_states(instance)? {
        let before = other.clone();
        other.inherit(&mut going);
        if other != before {
            records.keep(&name, &other)?;
        }
    }
    Ok(going)
}
