//! Which sights of a probe tell a reader something new: what its sender repeats, a connection's many segments and
//! questions for neighbours that were answered are left out.

use std::net::IpAddr;

use nsgate_core::trace::{Header, Leg, Observation, Sight};

/// The sights that tell something new. Of a connection whose data was lost these are its opening and what was lost.
pub(super) fn telling(observation: &Observation) -> Vec<Sight> {
    let all = &observation.journey.sights;
    let opening = all.iter().take_while(|sight| !carries(sight)).cloned();
    let sights: Vec<Sight> = match observation.of_lost_data() {
        Some(lost) => opening.chain(lost.journey.sights.into_iter().filter(|s| s.header.segment.is_some())).collect(),
        None => all.clone(),
    };
    let mut sights: Vec<Sight> = sights.into_iter().chain(observation.journey.carried.iter().cloned()).collect();
    sights.sort_by_key(|sight| sight.time);
    let mut telling: Vec<Sight> = Vec::new();
    for sight in sights {
        let again = telling.iter().any(|before| is_repeated(before, &sight));
        if !again && (!is_resolution(&sight) || unanswered(observation)) {
            telling.push(sight);
        }
    }
    telling
}

/// Whether it is a segment with data.
pub(super) fn carries(sight: &Sight) -> bool {
    sight.header.segment.is_some_and(|segment| segment.length > 0)
}

/// Whether a packet passed here once more: repeated by its sender, or one more of a connection's many segments.
fn is_repeated(before: &Sight, sight: &Sight) -> bool {
    let place = |s: &Sight| (s.netns.clone(), s.link, s.way, s.leg, ends(&s.header), s.tunnel.is_some());
    let another_question = matches!(sight.leg, Leg::Question | Leg::Reply | Leg::Error | Leg::Redirect);
    let reset = before.header.reset == sight.header.reset;
    !another_question && reset && place(before) == place(sight) && carries(before) == carries(sight)
}

fn ends(header: &Header) -> [(IpAddr, Option<u16>); 2] {
    [(header.source, header.source_port), (header.destination, header.destination_port)]
}

pub(super) fn is_resolution(sight: &Sight) -> bool {
    matches!(sight.leg, Leg::Question | Leg::Reply)
}

/// Whether nothing but questions for a neighbour was seen, so that they are what there is to show.
fn unanswered(observation: &Observation) -> bool {
    observation.journey.of(Leg::Request).next().is_none()
}
