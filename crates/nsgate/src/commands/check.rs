//! `nsgate check`: who must reach whom, and who must not, each tried by a real probe.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nsgate_core::explain::Cause as Code;
use nsgate_core::spec::{Expected, Host};
use nsgate_kernel::snapshot;

use crate::exit::{Failure, Outcome};
use crate::inquiry::{Destination, Question, Trouble};
use crate::output::{Output, file, human, json, junit};
use crate::specification::{DEFAULT_FILE, Specification, note_limits};

/// Try by real probes who reaches whom, and compare with what the file expects
///
/// Tried is every `[[expect]]` of the file, and that every member reaches its
/// gateway. Ends with 1 if anything is otherwise. Nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The file that says what is wanted; `-` is standard input
    #[arg(value_name = "FILE", help = format!("The file that says what is wanted, `-` for standard input [default: {DEFAULT_FILE}]"))]
    file: Option<PathBuf>,

    /// Try only what the file states under `[[expect]]`
    #[arg(long)]
    stated: bool,

    /// How long to wait for each answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    wait: u64,

    /// Write the result as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// What became of one expectation.
pub(crate) struct Tried {
    pub(crate) expected: Expected,
    /// Whether it is as expected.
    pub(crate) met: bool,
    pub(crate) result: Reach,
}

/// How far one probe came.
pub(crate) enum Reach {
    /// There and back.
    Answered,
    /// There, and it is not answered.
    Arrived(Cause),
    /// Not there.
    Lost(Cause),
    /// Nothing was sent, because of this.
    Untried(String),
}

/// Why a probe was not answered.
pub(crate) struct Cause {
    pub(crate) code: &'static str,
    pub(crate) place: String,
    pub(crate) object: String,
}

/// Tries everything, and shows each result as it comes.
pub(crate) fn run(args: &CheckArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let specification = Specification::read(args.file.as_deref(), output)?;
    let world = snapshot::take(&[])?;
    let wanted = specification.wanted(&world, output)?;
    note_limits(&world, output);
    let expected = specification.expected(&wanted, !args.stated);
    let mut tried = Vec::new();
    for one in expected {
        let one = attempt(one, Duration::from_millis(args.wait));
        if !args.json {
            output.write(&human::check::line(&one))?;
        }
        tried.push(one);
    }
    if let Some(path) = &args.junit {
        file::put(path, |to| to.write_all(junit::document(&wanted.instance, &tried).as_bytes()))?;
    }
    if args.json {
        output.json(&json::check::CheckJson::new(&wanted.instance, &tried))?;
    } else {
        output.write(&human::check::end(&tried))?;
    }
    Ok(if tried.iter().all(|one| one.met) { Outcome::Yes } else { Outcome::No })
}

fn attempt(expected: Expected, wait: Duration) -> Tried {
    let result = reach(&expected, wait);
    let met = match &result {
        Reach::Answered => expected.reach,
        Reach::Arrived(_) | Reach::Untried(_) => false,
        Reach::Lost(_) => !expected.reach,
    };
    Tried { expected, met, result }
}

fn reach(expected: &Expected, wait: Duration) -> Reach {
    let destination = match &expected.to.host {
        Host::Address(address) => Ok(Destination::Address(*address)),
        Host::Name(name) => name.parse(),
    };
    let destination = match destination {
        Ok(destination) => destination,
        Err(why) => return Reach::Untried(why),
    };
    let kind = expected.to.kind;
    let question = Question {
        from: expected.from.clone(),
        destination,
        family: None,
        kind,
        size: kind.usual_size(),
        source: None,
        dont_fragment: false,
        wait,
        kernel: true,
        flows: 1,
    };
    match question.find_out() {
        Err(Trouble::Kernel(error)) => Reach::Untried(error.to_string()),
        Err(Trouble::Usage(error)) => Reach::Untried(format!("{error:#}")),
        Ok(found) if found.report.delivered() => Reach::Answered,
        // No address was found for the name, so it is not known whether it is reached.
        Ok(found) if !expected.reach && found.report.verdict.cause == Code::ResolverUnreachable => {
            Reach::Untried(found.report.verdict.summary)
        }
        Ok(found) => {
            let verdict = &found.report.verdict;
            let cause =
                Cause { code: verdict.cause.code(), place: verdict.place.to_string(), object: verdict.object.clone() };
            if found.report.arrived(&found.observation) { Reach::Arrived(cause) } else { Reach::Lost(cause) }
        }
    }
}
