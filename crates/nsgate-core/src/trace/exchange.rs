//! A connection that stood, and whose data was not answered: which byte was lost, and what was seen of it.
//!
//! The opening of a connection tells nothing of the loss: its segments are small and arrived. What counts is the first
//! byte of data that was not acknowledged or, where all were, the first byte of the answer that did not come.

use super::{Ending, Journey, Leg, Observation, Sight};

/// The first byte that was lost, counted in the data of the end that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// A byte of the probe's data, or its acknowledgement.
    Data(u32),
    /// A byte of the answer; and the last one of the probe's data, which arrived.
    Answer(u32, u32),
}

impl Observation {
    /// Whether the probe arrived, and its answer too.
    ///
    /// Where all data of a connection is acknowledged and the other end was not seen to send any back, the packets
    /// arrived; that its service had nothing to say is no loss.
    pub fn delivered(&self) -> bool {
        match (&self.ending, self.lost_byte()) {
            (Ending::Answered, _) => true,
            (_, Some(lost @ Lost::Answer(..))) => !self.journey.of(Leg::Answer).any(|sight| lost.concerns(sight)),
            _ => false,
        }
    }

    /// The observation of the first byte that was lost, as of a packet of its own that nothing came back of; none where
    /// the connection did not stand.
    pub fn of_lost_data(&self) -> Option<Observation> {
        let lost = self.lost_byte()?;
        let sights = self.journey.sights.iter().filter(|sight| lost.concerns(sight)).cloned().collect();
        Some(Observation { journey: Journey { sights, carried: Vec::new() }, ending: Ending::Silence, ..self.clone() })
    }

    fn lost_byte(&self) -> Option<Lost> {
        let Ending::Unanswered { acknowledged, received } = self.ending else { return None };
        Some(if acknowledged < self.probe.size {
            Lost::Data(acknowledged)
        } else {
            Lost::Answer(received, self.probe.size.saturating_sub(1))
        })
    }
}

impl Lost {
    /// Whether a sight tells of the lost byte.
    fn concerns(self, sight: &Sight) -> bool {
        let Some(segment) = sight.header.segment else {
            return matches!(sight.leg, Leg::Error | Leg::Redirect | Leg::Question | Leg::Reply);
        };
        match (sight.leg, self) {
            (Leg::Request, Lost::Data(byte) | Lost::Answer(_, byte)) | (Leg::Answer, Lost::Answer(byte, _)) => {
                segment.carries(byte)
            }
            (Leg::Answer, Lost::Data(byte)) => segment.acknowledged > byte,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::trace::{Ending, Leg, Observation, ProbeKind, Segment};

    /// A connection that stood, of whose 3000 bytes and answer these segments were seen.
    fn observation(acknowledged: u32, received: u32, seen: &[(Leg, u32, u32, u32)]) -> Observation {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Tcp(80));
        for (leg, ..) in seen {
            fixture.seen(*leg, "1.1.1.2", "114.114.114.114", &["host:veth3<"]);
        }
        let mut observation = fixture.observation;
        for (sight, (_, offset, length, acknowledged)) in observation.journey.sights.iter_mut().zip(seen) {
            let (offset, length, acknowledged) = (*offset, *length, *acknowledged);
            sight.header.segment = Some(Segment { offset, length, acknowledged });
        }
        observation.probe.size = 3000;
        observation.ending = Ending::Unanswered { acknowledged, received };
        observation
    }

    /// The places in the journey of what concerns the lost byte.
    fn of_lost_data(observation: &Observation) -> Vec<u64> {
        observation.of_lost_data().unwrap().journey.sights.iter().map(|sight| sight.time).collect()
    }

    const OPENING: [(Leg, u32, u32, u32); 2] = [(Leg::Request, 0, 0, 0), (Leg::Answer, 0, 0, 0)];

    #[test]
    fn the_first_byte_that_is_not_acknowledged_counts_not_what_came_after_it() {
        let data = [(Leg::Request, 0, 1400, 0), (Leg::Request, 1400, 1400, 0), (Leg::Request, 2800, 200, 0)];
        let acknowledgement = [(Leg::Answer, 0, 0, 1400)];
        let seen = [&OPENING[..], &data, &acknowledgement].concat();
        assert_eq!(of_lost_data(&observation(1400, 0, &seen)), [3]);
        assert_eq!(of_lost_data(&observation(0, 0, &seen)), [2, 5], "the acknowledgement was lost on its way back");
        assert!(!observation(1400, 0, &seen).delivered());
    }

    #[test]
    fn an_answer_that_does_not_come_is_lost_only_if_it_was_seen() {
        let mut seen = [&OPENING[..], &[(Leg::Request, 0, 3000, 0), (Leg::Answer, 0, 0, 3000)]].concat();
        assert!(observation(3000, 0, &seen).delivered(), "a service that has nothing to say");
        seen.push((Leg::Answer, 0, 1400, 3000));
        let lost = observation(3000, 0, &seen);
        assert!(!lost.delivered());
        assert_eq!(of_lost_data(&lost), [2, 4]);
        assert!(observation(3000, 1400, &seen).delivered(), "what was seen was received");
    }

    #[test]
    fn other_endings_are_taken_as_they_are() {
        let mut silent = observation(0, 0, &OPENING);
        silent.ending = Ending::Silence;
        assert_eq!((silent.of_lost_data(), silent.delivered()), (None, false));
    }
}
