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

/// The answer is looked up in another zone of connection tracking than the one that has its flow.
pub(super) fn answer_in_another_zone(loss: &Loss<'_>) -> Option<Verdict> {
    let entered = loss.entered().filter(|_| loss.leg == Leg::Answer)?;
    let (request, left) = loss.observation.journey.through(Leg::Request, loss.here())?;
    let translated =
        request.header.source != left.header.source || request.header.destination != left.header.destination;
    let (there, by) = Passage::of_request(loss.netns, request, loss.netns.link(left.link)?)?.zone();
    let (here, by_too) = Passage::of(loss)?.zone();
    let rule = by_too.or(by)?;
    if here == there || !translated {
        return None;
    }
    let object = filter::object(&rule);
    let summary = format!(
        "{} tracks the request in zone {there} and looks for the answer, which comes in by {}, in zone {here}: it is not \
         translated back",
        loss.here(),
        entered.name
    );
    Some(
        Verdict::new(Cause::ConntrackInvalid, Place::all_of(loss.here()), object, summary)
            .shown_by(evidence::came_no_further(loss, entered))
            .shown_by(filter::of_rule(loss.netns, &rule))
            .advised(format!(
                "Put what comes in by {} into zone {there} too, by a rule beside that one, or leave both in zone 0.",
                entered.name
            )),
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

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::trace::Leg;

    /// The request left translated, and its answer came back to the gateway and no further.
    fn answered(raw: &str) -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>", "world:w0<"]);
        fixture.seen(Leg::Answer, "114.114.114.114", "10.20.30.182", &["world:w0>", "host:eth2<"]);
        for sight in &mut fixture.observation.journey.sights {
            let echo = Icmp::Echo(Echo { reply: sight.leg == Leg::Answer, id: 7, sequence: 1, payload: &[] });
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        let chain = format!("chain p {{ type filter hook prerouting priority -300; {raw}\n }}");
        fixture.netns("host").ruleset = Ruleset::from_text(&format!("table ip raw {{ {chain} }}")).unwrap();
        fixture
    }

    #[test]
    fn only_one_direction_is_put_into_a_zone() {
        let (cause, place, object) = answered("iifname \"veth3\" ct zone set 5").verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("conntrack-invalid", "host"));
        assert!(object.contains("iifname \"veth3\" ct zone set 5"), "{object}");
        let (cause, _, object) = answered("iifname \"eth2\" ct zone set 6").verdict();
        assert_eq!(cause, "conntrack-invalid");
        assert!(object.contains("ct zone set 6"), "{object}");
        for both in
            ["ct zone set 5", "iifname \"veth9\" ct zone set 5", "iifname { \"veth3\", \"eth2\" } ct zone set 5"]
        {
            assert_ne!(answered(both).verdict().0, "conntrack-invalid", "{both}");
        }
    }
}
