//! `not-permitted`: nsgate itself may not look, or what it was told to look at is not there.

use super::{Cause, Evidence, EvidenceKind, Place, Report, Verdict};
use crate::model::NetnsName;

/// The report where the probe could not even be made ready: `object` is what is missing or out of reach, `why` the
/// refusal in words, `advice` what would help.
pub fn not_permitted(from: &NetnsName, object: &str, why: &str, advice: Option<String>) -> Report {
    let verdict = Verdict::new(Cause::NotPermitted, Place::all_of(from), object, format!("nothing was sent: {why}"))
        .shown_by(Evidence::new(EvidenceKind::Sender, from, why));
    Report { verdict: Verdict { advice, ..verdict }, further: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_namespace_and_the_refusal() {
        let from: NetnsName = "ns_1".parse().unwrap();
        let report = not_permitted(&from, "network namespace ns_1", "cannot open it", Some("remove it".into()));
        assert!(!report.delivered());
        let verdict = report.verdict;
        assert_eq!((verdict.cause.code(), verdict.place), ("not-permitted", Place::all_of(&from)));
        assert_eq!(verdict.summary, "nothing was sent: cannot open it");
        assert_eq!(verdict.advice.as_deref(), Some("remove it"));
        assert_eq!(verdict.fix.commands(), [""; 0]);
    }
}
