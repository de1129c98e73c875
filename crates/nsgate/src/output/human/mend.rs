//! What `nsgate trace --fix` tells while it mends.

use std::fmt::Write;

use super::{trace, wrap};
use crate::commands::trace::Mended;
use crate::inquiry::Findings;
use crate::output::style::{BAD, GOOD, HEADING, TYPED, paint};

/// The question before a mend.
pub(crate) fn question(steps: usize) -> String {
    let what = if steps == 1 { "this command".to_owned() } else { format!("these {steps} commands") };
    format!("\nRun {what} and probe again? [y/N] ")
}

/// What became of one mend.
pub(crate) fn tried(mended: &Mended) -> String {
    let mut text = format!("\n{}\n", paint(HEADING, "mending"));
    for command in mended.verdict.fix.commands() {
        let _ = writeln!(text, "  {}", paint(TYPED, &command));
    }
    if !mended.helped {
        let _ = writeln!(text, "  {} the probe is lost as before, so this was taken back", paint(BAD, "✗"));
    }
    text
}

/// What the new probe met.
pub(crate) fn after(Findings { asked, world, observation, report, .. }: &Findings) -> String {
    if report.delivered() {
        return format!("  {} {asked} is answered now\n", paint(GOOD, "✓"));
    }
    let further = wrap("The probe comes further now, and is lost to something else.", 2);
    format!("{further}\n{}", trace::show(asked, world, observation, report, false))
}

/// What stands in the end, and how it is taken back.
pub(crate) fn end(done: &[Mended], delivered: bool, mendable: bool) -> String {
    let mut text = String::new();
    let standing: Vec<&Mended> = done.iter().filter(|mended| mended.helped).collect();
    if !standing.is_empty() {
        let _ = writeln!(text, "\n{}", paint(HEADING, "to take it back"));
        for command in standing.iter().rev().flat_map(|mended| mended.undo.commands()) {
            let _ = writeln!(text, "  {}", paint(TYPED, &command));
        }
    }
    if !delivered && !mendable && done.iter().all(|mended| mended.helped) {
        text.push('\n');
        text += &wrap("What is lost now cannot be mended by a command on this machine.", 0);
    }
    text
}
