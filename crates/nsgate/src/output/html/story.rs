//! The picture in sentences, for whoever does not see it.

use nsgate_core::explain::{Cause, Verdict};
use nsgate_core::trace::{Sight, Way};

use super::labels::word;
use super::way::{Lane, Picture};

/// The way there, the way back, and where it was lost.
pub(super) fn tell(picture: &Picture, verdict: &Verdict) -> String {
    let mut sentences = Vec::new();
    for lane in [Lane::Down, Lane::Up] {
        if let Some(first) = picture.lane(lane).first() {
            let passages: Vec<String> =
                (0..picture.lane(lane).len()).filter_map(|at| passage(picture, lane, at)).collect();
            sentences.push(format!("The {} {}.", word(first), passages.join(", ")));
        }
    }
    if verdict.cause != Cause::Delivered {
        let place = match &verdict.place.link {
            Some(link) => format!("{link} of {}", verdict.place.netns),
            None => verdict.place.netns.to_string(),
        };
        sentences.push(format!("It is lost: {} at {place}, {}.", verdict.cause, verdict.object));
    }
    sentences.join(" ")
}

fn passage(picture: &Picture, lane: Lane, at: usize) -> Option<String> {
    let (space, interface) = picture.place(lane, at)?;
    let sight: &Sight = picture.lane(lane).get(at)?;
    let space = picture.spaces.get(space)?;
    let does = match sight.way {
        Way::In => "comes into",
        Way::Out => "leaves",
    };
    Some(format!("{does} {} by {}", space.title, space.interfaces.get(interface)?.name))
}
