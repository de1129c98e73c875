//! Who reaches whom, one line each, and why where that is not plain.

use nsgate_core::spec::Expected;

use crate::commands::check::{Cause, Reach, Tried};
use crate::output::style::{self, paint};

/// Where the results begin.
const COLUMN: usize = 46;

/// One result; what is otherwise than expected is told in full, with how to find out more.
pub(crate) fn line(tried: &Tried) -> String {
    let expected = &tried.expected;
    let who = format!("{} → {}", expected.from, whom(expected));
    let mark = if tried.met { paint(style::GOOD, "✓") } else { paint(style::BAD, "✗") };
    let (result, why) = match &tried.result {
        Reach::Answered if tried.met => ("reached".to_owned(), None),
        Reach::Answered => ("reached, and must not be".to_owned(), None),
        Reach::Arrived(cause) if expected.reach => (format!("not answered: {}", cause.code), Some(cause)),
        Reach::Arrived(cause) => (format!("reached, not answered: {}", cause.code), Some(cause)),
        Reach::Lost(cause) => (format!("not reached: {}", cause.code), Some(cause)),
        Reach::Untried(_) => ("not tried".to_owned(), None),
    };
    let mut text = format!("{mark} {who:<COLUMN$} {result}\n");
    if let Reach::Untried(reason) = &tried.result {
        text.push_str(&super::wrap(reason, 4));
    }
    if let Some(Cause { place, object, .. }) = why {
        text.push_str(&paint(style::FAINT, &super::wrap(&format!("{place}: {object}"), 4)));
    }
    if !tried.met && !matches!(tried.result, Reach::Untried(_)) {
        text.extend(["    ", &paint(style::TYPED, &by_hand(expected)), "\n"]);
    }
    text
}

/// What all of it comes to.
pub(crate) fn end(tried: &[Tried]) -> String {
    let met = tried.iter().filter(|one| one.met).count();
    match tried.len() {
        0 => "Nothing is expected: the file has no [[expect]] and no member.\n".into(),
        all if met == all => format!("{}\n", paint(style::GOOD, &format!("all {all} as expected"))),
        all => format!("{}\n", paint(style::BAD, &format!("{} of {all} otherwise than expected", all - met))),
    }
}

/// Whom a probe is for: a member with the address that was meant.
fn whom(expected: &Expected) -> String {
    match &expected.member {
        Some(member) => format!("{member} {}", expected.to),
        None => expected.to.to_string(),
    }
}

/// The command that tells more.
pub(crate) fn by_hand(expected: &Expected) -> String {
    let kind = match expected.to.kind {
        nsgate_core::trace::ProbeKind::Icmp => String::new(),
        nsgate_core::trace::ProbeKind::Tcp(port) => format!(" --tcp {port}"),
        nsgate_core::trace::ProbeKind::Udp(port) => format!(" --udp {port}"),
    };
    format!("nsgate trace {} {}{kind}", expected.from, expected.to.host)
}
