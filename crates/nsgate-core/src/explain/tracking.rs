//! `conntrack-full`, `conntrack-invalid`: connection tracking has no room for the packet's flow, or does not see it.

use super::passage::Passage;
use super::{Cause, Loss, Place, Stage, Verdict, evidence, filter, mend};
use crate::model::Sysctl;
use crate::trace::Leg;

/// The table is full.
pub(super) fn full(loss: &Loss<'_>) -> Option<Verdict> {
    let count = loss.netns.sysctls.number("net.netfilter.nf_conntrack_count")?;
    let most = loss.netns.sysctls.number("net.netfilter.nf_conntrack_max")?;
    if matches!(loss.stage, Stage::Left(_)) || loss.moved("Conntrack.drop") == 0 || count < most {
        return None;
    }
    let limit = Sysctl::known("net.netfilter.nf_conntrack_max");
    let object = format!("nf_conntrack_count {count} of nf_conntrack_max {most}");
    let summary = format!("{} tracks {count} connections and has room for {most}: new ones are dropped", loss.here());
    Some(
        Verdict::new(Cause::ConntrackFull, Place::all_of(loss.here()), object, summary)
            .shown_by(evidence::counted(loss, "Conntrack.drop"))
            .shown_by(evidence::sysctl(loss.netns, &limit, &format!("more than {count}"), most))
            .advised(
                "Raise net.netfilter.nf_conntrack_max in the machine's first namespace, shorten the timeouts, or find out \
                 who opens so many connections (conntrack -L). The table can be emptied with conntrack -F.",
            ),
    )
}

/// The answer is taken out of connection tracking, so that it is not translated back.
pub(super) fn answer_untracked(loss: &Loss<'_>) -> Option<Verdict> {
    let entered = loss.entered().filter(|_| loss.leg == Leg::Answer)?;
    let rule = Passage::of(loss)?.untracked_by()?;
    let translated = loss.last.is_some_and(|s| s.header.destination != loss.destination);
    if !translated {
        return None;
    }
    let object = filter::object(&rule);
    let summary =
        format!("'{object}' of {} exempts the answer from connection tracking: it is not translated back", loss.here());
    Some(
        Verdict::new(Cause::ConntrackInvalid, Place::all_of(loss.here()), object, summary)
            .shown_by(evidence::came_no_further(loss, entered))
            .shown_by(filter::of_rule(loss.netns, &rule))
            .mended_by(mend::delete_rule(loss.netns, &rule)),
    )
}
