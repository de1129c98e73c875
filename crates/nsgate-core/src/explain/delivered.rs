//! `delivered`: the probe and its answer both arrived.

use super::{Cause, Place, Verdict};
use super::{evidence, told};
use crate::model::{NetnsName, World};
use crate::trace::{Ending, Leg, Observation};

/// The verdict for a probe that was answered.
pub(super) fn verdict(world: &World, observation: &Observation) -> Verdict {
    let probe = &observation.probe;
    let how = match observation.ending {
        Ending::Unanswered { .. } => "arrived and was acknowledged; the service there sent nothing back",
        _ => "was answered",
    };
    let attempt = match observation.attempts {
        0 | 1 => String::new(),
        attempts => format!(", but only at attempt {attempts}: what was sent before it was lost"),
    };
    let summary = format!("{} from {} to {} {how}{attempt}", probe.kind, probe.from, probe.destination);
    let place = Place::all_of(&NetnsName::host());
    let mut verdict = Verdict::new(Cause::Delivered, place, probe.destination.to_string(), summary);
    for leg in [Leg::Request, Leg::Answer] {
        if let Some(sight) = observation.journey.furthest(leg) {
            verdict = verdict.shown_by(evidence::seen(world, sight, ""));
        }
    }
    if observation.attempts > 1 {
        verdict.evidence.extend(told::evidence(world, observation, None));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::trace::Ending;

    #[test]
    fn a_repetition_that_was_answered_is_told() {
        let mut fixture = Fixture::experiment();
        fixture.observation.ending = Ending::Answered;
        assert_eq!(fixture.explained().summary, "icmp from ns_1 to 114.114.114.114 was answered");
        fixture.observation.attempts = 2;
        let summary = fixture.explained().summary;
        assert!(
            summary.ends_with("was answered, but only at attempt 2: what was sent before it was lost"),
            "{summary}"
        );
    }
}
