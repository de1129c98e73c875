//! `nsgate trace --listen`: wait for a packet that somebody else sends, and say what becomes of it.

use std::time::Duration;

use nsgate_core::model::NetnsName;
use nsgate_core::trace::Pattern;

use super::{TraceArgs, draw, outcome, show, unsent};
use crate::exit::{Failure, Outcome};
use crate::listening::{Heard, Listening, not_heard};
use crate::output::{Output, human, json};

/// How long is waited where nobody says otherwise, in milliseconds.
const USUAL_WAIT: u64 = 30_000;

/// Waits, and shows what was found.
pub(super) fn run(args: &TraceArgs, pattern: &Pattern, output: &mut Output) -> Result<Outcome, Failure> {
    let wait = Duration::from_millis(args.wait.unwrap_or(USUAL_WAIT));
    let at = args.at.clone().unwrap_or_else(NetnsName::host);
    let listening = Listening { pattern: pattern.clone(), at, wait, kernel: !args.no_bpf };
    let asked = not_heard(pattern, &listening.at);
    let waiting = match listening.begin() {
        Ok(waiting) => waiting,
        Err(error) => return unsent(&asked, error, args.json, output),
    };
    output.note(&human::trace::waiting(pattern, &listening.at, wait, waiting.watched()));
    match waiting.find_out()? {
        Heard::Packet(findings) => {
            show(args, &findings, &[], output)?;
            draw(args, &findings, &[], output)?;
            Ok(outcome(&findings))
        }
        Heard::Nothing(report) => {
            if args.json {
                output.json(&json::trace::Trace::unsent(&asked, &report))?;
            } else if args.brief {
                output.write(&human::trace::brief(&report))?;
            } else {
                output.write(&human::trace::nothing_heard(&report))?;
            }
            Ok(Outcome::No)
        }
    }
}
