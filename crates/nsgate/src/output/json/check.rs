//! The document of `check`.

use serde::Serialize;

use crate::commands::check::{Cause, Reach, Tried};

/// The form of this document.
const SCHEMA: u32 = 1;

/// What was expected, and what is.
#[derive(Debug, Serialize)]
pub(crate) struct CheckJson {
    schema: u32,
    instance: String,
    as_expected: bool,
    expectations: Vec<ExpectationJson>,
}

#[derive(Debug, Serialize)]
struct ExpectationJson {
    from: String,
    /// As a file may say it: `10.0.0.1`, `10.0.0.1:80/tcp`.
    to: String,
    /// The member whose address that is.
    member: Option<String>,
    /// What is expected.
    reach: bool,
    /// Whether the file says so; else it follows from its networks.
    stated: bool,
    as_expected: bool,
    /// `answered`, `arrived` (and not answered), `lost` or `untried`.
    result: &'static str,
    /// Why it was not answered.
    cause: Option<CauseJson>,
    /// Why nothing was sent.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct CauseJson {
    code: &'static str,
    place: String,
    object: String,
}

impl CheckJson {
    /// The document of what was tried.
    pub(crate) fn new(instance: &str, tried: &[Tried]) -> Self {
        Self {
            schema: SCHEMA,
            instance: instance.into(),
            as_expected: tried.iter().all(|one| one.met),
            expectations: tried.iter().map(ExpectationJson::new).collect(),
        }
    }
}

impl ExpectationJson {
    fn new(tried: &Tried) -> Self {
        let Tried { expected, met, result } = tried;
        let (word, cause, error) = match result {
            Reach::Answered => ("answered", None, None),
            Reach::Arrived(cause) => ("arrived", Some(cause), None),
            Reach::Lost(cause) => ("lost", Some(cause), None),
            Reach::Untried(error) => ("untried", None, Some(error.clone())),
        };
        let cause =
            cause.map(|Cause { code, place, object }| CauseJson { code, place: place.clone(), object: object.clone() });
        Self {
            from: expected.from.to_string(),
            to: expected.to.to_string(),
            member: expected.member.as_ref().map(ToString::to_string),
            reach: expected.reach,
            stated: expected.stated,
            as_expected: *met,
            result: word,
            cause,
            error,
        }
    }
}
