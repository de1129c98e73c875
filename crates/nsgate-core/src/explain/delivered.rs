//! `delivered`: the probe and its answer both arrived.

use super::evidence;
use super::{Cause, Place, Verdict};
use crate::model::{NetnsName, World};
use crate::trace::{Ending, Leg, Observation};

/// The verdict for a probe that was answered.
pub(super) fn verdict(world: &World, observation: &Observation) -> Verdict {
    let probe = &observation.probe;
    let how = match observation.ending {
        Ending::Unanswered { .. } => "arrived and was acknowledged; the service there sent nothing back",
        _ => "was answered",
    };
    let summary = format!("{} from {} to {} {how}", probe.kind, probe.from, probe.destination);
    let place = Place::all_of(&NetnsName::host());
    let mut verdict = Verdict::new(Cause::Delivered, place, probe.destination.to_string(), summary);
    for leg in [Leg::Request, Leg::Answer] {
        if let Some(sight) = observation.journey.furthest(leg) {
            verdict = verdict.shown_by(evidence::seen(world, sight, ""));
        }
    }
    verdict
}
