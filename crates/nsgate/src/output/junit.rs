//! What `check` found as JUnit XML, which builds and dashboards read: one suite, one case an expectation.

use super::html::escape::escape;
use super::human::check::by_hand;
use crate::commands::check::{Cause, Reach, Tried};

/// The whole document.
pub(crate) fn document(instance: &str, tried: &[Tried]) -> String {
    let errors = tried.iter().filter(|one| matches!(one.result, Reach::Untried(_))).count();
    let failures = tried.iter().filter(|one| !one.met).count() - errors;
    let cases: String = tried.iter().map(case).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n\
         <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">\n\
         {cases}</testsuite>\n\
         </testsuites>\n",
        escape(instance),
        tried.len()
    )
}

fn case(tried: &Tried) -> String {
    let expected = &tried.expected;
    let wish = if expected.reach { "reaches" } else { "does not reach" };
    let name = format!("{} {wish} {}", expected.from, expected.to);
    let opening = format!("<testcase classname=\"{}\" name=\"{}\"", escape(expected.from.as_str()), escape(&name));
    let told = |Cause { code, place, object }: &Cause| format!("{code} at {place}: {object}");
    let (element, message) = match &tried.result {
        Reach::Untried(reason) => ("error", reason.clone()),
        _ if tried.met => return format!("{opening}/>\n"),
        Reach::Answered => ("failure", "it is answered".into()),
        Reach::Arrived(cause) => ("failure", format!("it arrives, and is not answered: {}", told(cause))),
        Reach::Lost(cause) => ("failure", told(cause)),
    };
    let (message, command) = (escape(&message), escape(&by_hand(expected)));
    format!("{opening}><{element} message=\"{message}\">{command}</{element}></testcase>\n")
}
