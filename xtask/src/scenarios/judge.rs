//! Is a verdict right? The rules of the scenarios' README, and nothing else.

use serde_json::Value;

use super::expectation::Expectation;

/// What became of one scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Cause, place and object are right.
    Passed,
    /// Another cause, which the scenario does not accept.
    WrongCause(String),
    /// The right cause in the wrong namespace or at the wrong interface.
    WrongPlace(String),
    /// The right cause and place, another object.
    WrongObject(String),
    /// The verdict is right, but what it calls the fix does not mend.
    NotMended(String),
    /// No verdict could be read.
    NoVerdict(String),
    /// It cannot be built here.
    Skipped(String),
}

impl Outcome {
    /// Whether it counts against the tool.
    pub(crate) fn failed(&self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped(_))
    }

    /// What to say of it.
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::WrongCause(detail)
            | Self::WrongPlace(detail)
            | Self::WrongObject(detail)
            | Self::NotMended(detail)
            | Self::NoVerdict(detail)
            | Self::Skipped(detail) => detail,
        }
    }
}

/// Compares what nsgate said with what it should say.
pub(crate) fn judge(answer: &Value, expected: &Expectation) -> Outcome {
    let verdict = &answer["verdict"];
    let Some(cause) = verdict["cause"].as_str() else {
        return Outcome::NoVerdict("the answer has no verdict.cause".to_owned());
    };
    let object = verdict["object"].as_str().unwrap_or_default();
    let netns = verdict["where"]["netns"].as_str().unwrap_or("nowhere");
    let dev = verdict["where"]["dev"].as_str();
    let said = format!("{cause} at {}, {object}", place(netns, dev));
    if cause != expected.cause {
        let accepted = expected.also_accept.iter().any(|other| other == cause);
        return if accepted { Outcome::Passed } else { Outcome::WrongCause(format!("said {said}")) };
    }
    if cause == "delivered" {
        return Outcome::Passed;
    }
    if netns != expected.netns || (expected.dev.is_some() && dev != expected.dev.as_deref()) {
        let right = place(&expected.netns, expected.dev.as_deref());
        return Outcome::WrongPlace(format!("said {said}; it is at {right}"));
    }
    if !expected.object_match.iter().any(|part| object.contains(part.as_str())) {
        return Outcome::WrongObject(format!("said {said}; it is one of {}", expected.object_match.join(", ")));
    }
    Outcome::Passed
}

fn place(netns: &str, dev: Option<&str>) -> String {
    dev.map_or_else(|| netns.to_owned(), |dev| format!("{netns}:{dev}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(cause: &str, netns: &str, dev: Option<&str>, object: &str) -> Outcome {
        let expected = Expectation {
            cause: "rp-filter".into(),
            also_accept: vec!["route-wrong".into()],
            netns: "host".into(),
            dev: Some("veth3".into()),
            object_match: vec!["rp_filter".into(), "all".into()],
        };
        let answer = json!({"verdict": {"cause": cause, "where": {"netns": netns, "dev": dev}, "object": object}});
        judge(&answer, &expected)
    }

    #[test]
    fn cause_place_and_object_all_count() {
        assert_eq!(verdict("rp-filter", "host", Some("veth3"), "net.ipv4.conf.veth3.rp_filter"), Outcome::Passed);
        assert!(matches!(verdict("snat-missing", "host", Some("veth3"), "rp_filter"), Outcome::WrongCause(_)));
        assert!(matches!(verdict("rp-filter", "ns_1", Some("veth3"), "rp_filter"), Outcome::WrongPlace(_)));
        assert!(matches!(verdict("rp-filter", "host", None, "rp_filter"), Outcome::WrongPlace(_)));
        assert!(matches!(verdict("rp-filter", "host", Some("veth3"), "ip_forward"), Outcome::WrongObject(_)));
    }

    #[test]
    fn of_a_defensible_cause_nothing_else_is_compared() {
        assert_eq!(verdict("route-wrong", "nowhere", None, ""), Outcome::Passed);
    }

    #[test]
    fn any_interface_is_right_where_none_is_named_and_delivered_needs_neither() {
        let mut expected = Expectation {
            cause: "x".into(),
            netns: "host".into(),
            object_match: vec![String::new()],
            ..Default::default()
        };
        let answer = json!({"verdict": {"cause": "x", "where": {"netns": "host", "dev": "eth2"}}});
        assert_eq!(judge(&answer, &expected), Outcome::Passed);
        expected.cause = "delivered".into();
        assert_eq!(judge(&json!({"verdict": {"cause": "delivered"}}), &expected), Outcome::Passed);
        assert!(matches!(judge(&json!({}), &expected), Outcome::NoVerdict(_)));
    }
}
