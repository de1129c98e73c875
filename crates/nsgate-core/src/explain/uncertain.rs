//! `uncertain`: no cause is shown. What was seen is said instead, and what to try.

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Report, Stage, Verdict, evidence};
use crate::model::{Limit, NetnsName, World};
use crate::trace::{Ending, Observation, Pattern};

/// The verdict where the trail ends and no cause explains it.
pub(super) fn at(loss: &Loss<'_>) -> Verdict {
    let leg = evidence::leg_name(loss.leg);
    let (place, summary) = match loss.stage {
        Stage::Made => (
            Place { netns: loss.here().clone(), link: loss.way_out().map(|l| l.name.clone()) },
            format!("{leg} was made in {} and left by no interface", loss.here()),
        ),
        Stage::Entered(link) if loss.arrived() => (
            Place::at(loss.here(), &link.name),
            format!("{leg} arrived in {} by {} and nothing was sent back", loss.here(), link.name),
        ),
        Stage::Entered(link) => (
            Place::at(loss.here(), &link.name),
            format!("{leg} came into {} by {} and did not leave it", loss.here(), link.name),
        ),
        Stage::Left(link) => (
            Place::at(loss.here(), &link.name),
            format!("{leg} left {} by {} and was not seen again", loss.here(), link.name),
        ),
    };
    let mut verdict = Verdict::new(Cause::Uncertain, place, "no cause that nsgate knows is shown", summary);
    verdict.evidence = clues(loss);
    let again = "Run the trace again with -d to see every sighting and counter.";
    verdict
        .advised(unread_filter(loss.world, loss.here()).map_or_else(|| again.to_owned(), |of| format!("{of} {again}")))
}

/// The verdict where not even the probe's own namespace could be looked at.
pub(super) fn nowhere(observation: &Observation) -> Verdict {
    let summary = format!("{} could not be looked at", observation.probe.from);
    Verdict::new(Cause::Uncertain, Place::all_of(&NetnsName::host()), "nothing was observed", summary)
}

/// The report where nobody sent the packet that was waited for, `waited` milliseconds long; `passed` frames of that kind
/// came by, and one that is meant came by `elsewhere`.
pub fn nothing_heard(
    pattern: &Pattern,
    at: &NetnsName,
    waited: u64,
    passed: u64,
    elsewhere: Option<&NetnsName>,
) -> Report {
    let summary = format!("no packet that is '{pattern}' came by in {at} within {} s", waited.div_ceil(1000));
    let kind = pattern.protocol().name();
    let others = match passed {
        0 => format!("no frame of {kind} came by at all"),
        1 => format!("1 other frame of {kind}, or an error or a question for a neighbour, came by"),
        many => format!("{many} other frames of {kind}, errors and questions for neighbours came by"),
    };
    let mut verdict = Verdict::new(Cause::Uncertain, Place::all_of(at), pattern.to_string(), summary)
        .shown_by(Evidence::new(EvidenceKind::Sighting, at, others));
    let advice = match elsewhere {
        Some(netns) => {
            let text = format!("a packet that is '{pattern}' came by here, and not in {at}");
            verdict = verdict.shown_by(Evidence::new(EvidenceKind::Sighting, netns, text));
            format!("Wait for it where it was seen: --from {netns}.")
        }
        None => {
            "Whoever should send it may not have sent it, or it was lost before it came to this machine.".to_owned()
        }
    };
    Report { verdict: verdict.advised(advice), further: Vec::new() }
}

/// What a packet filter that could not be read may do, unseen.
pub(super) fn unread_filter(world: &World, netns: &NetnsName) -> Option<String> {
    let of_filter = |limit: &&Limit| {
        limit.netns.as_ref() == Some(netns)
            && ["iptables-legacy", "ip6tables-legacy"].iter().any(|of| limit.what.contains(of))
    };
    world.limits.iter().find(of_filter)?;
    Some(format!(
        "The rules of iptables-legacy in {netns} could not be read, and may drop or translate it: look with \
         iptables-legacy-save, or run nsgate as root."
    ))
}

/// What was learned, without a cause to hang it on.
fn clues(loss: &Loss<'_>) -> Vec<Evidence> {
    let observation = loss.observation;
    let mut clues: Vec<Evidence> =
        loss.last.map(|s| evidence::seen(loss.world, s, " and was not seen again")).into_iter().collect();
    if let Some(question) = Unresolved::of(loss).and_then(|u| u.question) {
        clues.push(evidence::seen(loss.world, question, " without a reply"));
    }
    match &observation.ending {
        Ending::Refused { operation, words, .. } => clues.push(Evidence::new(
            EvidenceKind::Sender,
            &observation.probe.from,
            format!("{operation} was refused: {words}"),
        )),
        Ending::IcmpError { from, icmp_type, code, .. } => clues.push(Evidence::new(
            EvidenceKind::Refusal,
            &observation.probe.from,
            format!("ICMP type {icmp_type} code {code} came back from {from}"),
        )),
        Ending::Reset => {
            clues.push(Evidence::new(EvidenceKind::Refusal, &observation.probe.from, "a TCP reset came back"));
        }
        Ending::Answered | Ending::Silence | Ending::Unanswered { .. } => {}
    }
    let here = observation.watched.iter().find(|w| w.netns == *loss.here());
    for (counter, moved) in here.into_iter().flat_map(|w| w.counters.iter()).filter(|(name, _)| tells_of_a_loss(name)) {
        clues.push(Evidence::new(EvidenceKind::Counter, loss.here(), format!("{counter} rose by {moved} meanwhile")));
    }
    clues
}

/// Whether a counter counts something other than ordinary traffic.
fn tells_of_a_loss(counter: &str) -> bool {
    const WORDS: [&str; 9] = ["Err", "Discard", "NoRoute", "Drop", "drop", "Fail", "fail", "invalid", "ReversePath"];
    WORDS.iter().any(|word| counter.contains(word)) || counter.ends_with("NoPorts")
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::{Fixture, name};
    use crate::model::Limit;

    #[test]
    fn a_filter_that_nobody_could_read_is_told() {
        let mut fixture = Fixture::lost_at_the_gateway();
        let advice = |fixture: &Fixture| fixture.explained().advice.unwrap();
        assert!(!advice(&fixture).contains("legacy"));
        fixture.world.limits.push(Limit {
            netns: Some(name("host")),
            what: "the tables of iptables-legacy".into(),
            why: "Permission denied".into(),
        });
        assert_eq!(fixture.verdict().0, "uncertain");
        assert!(advice(&fixture).starts_with("The rules of iptables-legacy in host could not be read"));
    }
}
