//! `conntrack-full`: the connection-tracking table has no room for the packet's flow.

use super::{Cause, Loss, Place, Stage, Verdict, evidence};
use crate::model::Sysctl;

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
