//! `conntrack-full`, `conntrack-invalid`: connection tracking has no room for the packet's flow, or does not see it.

use super::passage::Passage;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, filter, mend};
use crate::filter::Decision;
use crate::model::{Namespace, Sysctl, World};
use crate::plan::Plan;
use crate::trace::{Crowd, Leg};

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
    let crowd = loss.observation.crowds.iter().find(|crowd| crowd.netns == *loss.here());
    let told = crowd.map(|crowd| {
        let text = format!("{} opened {} % of the connections that are tracked", crowd.source, crowd.percent);
        Evidence::new(EvidenceKind::Conntrack, loss.here(), text)
    });
    let (fix, advice) = more_room(loss.world, most).or_else(|| without(loss, crowd?)).unwrap_or_else(|| {
        let advice = "Find out who opens so many connections (conntrack -L), shorten the timeouts, or have \
                      net.netfilter.nf_conntrack_max raised in the machine's first namespace, where alone it can be set. \
                      conntrack -F empties the table, and with it cuts every connection that is translated.";
        (Plan::default(), advice.to_owned())
    });
    Some(
        Verdict::new(Cause::ConntrackFull, Place::all_of(loss.here()), object, summary)
            .shown_by(evidence::counted(loss, "Conntrack.drop"))
            .shown_by(evidence::sysctl(loss.netns, &limit, &format!("more than {count}"), most))
            .shown_by_all(told)
            .mended_by(fix)
            .advised(advice),
    )
}

/// What an entry takes in the kernel, in bytes, with its extensions (linux include/net/netfilter/nf_conntrack.h).
const SIZE_OF_ENTRY: i64 = 320;

/// Twice the room, where the machine's first namespace is in sight: the limit is one for all, and set there alone.
fn more_room(world: &World, most: i64) -> Option<(Plan, String)> {
    let first = world.namespaces.iter().find(|netns| netns.sysctls.number(OF_THE_MACHINE).is_some())?;
    let limit = Sysctl::known("net.netfilter.nf_conntrack_max");
    let set = first.sysctls.number(limit.as_str()).filter(|set| *set >= most)?;
    let twice = set.checked_mul(2).filter(|twice| *twice > 0)?;
    let memory = twice.saturating_mul(SIZE_OF_ENTRY) / 1_000_000;
    let advice = format!(
        "The table may take up to {memory} MB of memory then. Find out besides who opens so many connections \
         (conntrack -L): what never ends fills any table."
    );
    Some((mend::sysctl(first, &limit, &twice.to_string(), set), advice))
}

/// A setting that only the machine's first namespace shows.
const OF_THE_MACHINE: &str = "net.core.netdev_budget";

/// Room by forgetting the connections of whoever opened most of them.
fn without(loss: &Loss<'_>, crowd: &Crowd) -> Option<(Plan, String)> {
    let most_of_all = crowd.percent > 50 && Some(crowd.source) != loss.source;
    let advice = format!(
        "This cuts the connections that {} has now, and frees their entries; stop it from opening so many, or they come \
         back. The limit itself can only be raised in the machine's first namespace, which is not in sight from here.",
        crowd.source
    );
    most_of_all.then(|| (mend::forget_connections(loss.netns, crowd.source), advice))
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
            .mended_by(if here == 0 { mend::into_zone(loss.netns, entered, there) } else { Plan::default() })
            .advised(format!(
                "Put what comes in by {} into zone {there} too, by a rule beside that one, or leave both in zone 0.",
                entered.name
            )),
    )
}

/// The request is taken out of connection tracking by this rule, so that no other translates it.
pub(super) fn request_untracked(gateway: &Namespace, rule: &Decision<'_>) -> Verdict {
    let object = filter::object(rule);
    let summary =
        format!("the packet is taken out of connection tracking by '{object}', so that no rule translates it");
    Verdict::new(Cause::ConntrackInvalid, Place::all_of(&gateway.name), object, summary)
        .shown_by(filter::of_rule(gateway, rule))
        .mended_by(mend::delete_rule(gateway, rule))
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
    use crate::trace::{Crowd, Leg};

    /// The gateway's table is full.
    fn full() -> Fixture {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        for name in ["net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"] {
            fixture.sysctl("host", name, "65536");
        }
        fixture.counted("host", "Conntrack.drop");
        fixture
    }

    fn opened(source: &str, percent: u8) -> Crowd {
        Crowd { netns: "host".parse().unwrap(), source: source.parse().unwrap(), percent }
    }

    #[test]
    fn there_is_more_room_where_the_limit_can_be_set() {
        let mut fixture = full();
        fixture.observation.crowds.push(opened("192.0.2.77", 90));
        fixture.sysctl("host", "net.core.netdev_budget", "300");
        assert_eq!(fixture.verdict().0, "conntrack-full");
        assert_eq!(fixture.explained().fix.commands(), ["sysctl -w net.netfilter.nf_conntrack_max=131072"]);
    }

    #[test]
    fn elsewhere_whoever_opened_most_is_forgotten() {
        let mut fixture = full();
        assert!(fixture.explained().fix.is_empty(), "it is not known who");
        fixture.observation.crowds = vec![opened("192.0.2.77", 40)];
        assert!(fixture.explained().fix.is_empty(), "nobody has most");
        fixture.observation.crowds = vec![opened("1.1.1.2", 90)];
        assert!(fixture.explained().fix.is_empty(), "it is the sender itself");
        fixture.observation.crowds = vec![opened("192.0.2.77", 90)];
        let verdict = fixture.explained();
        assert_eq!(verdict.fix.commands(), ["conntrack -D --orig-src 192.0.2.77"]);
        assert!(verdict.undo_lines().is_empty());
        assert!(verdict.evidence.iter().any(|e| e.text.contains("192.0.2.77 opened 90 %")));
    }

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
        let mend = answered("iifname \"veth3\" ct zone set 5").explained().fix.commands().concat();
        assert!(mend.contains("priority raw") && mend.contains("iifname \"eth2\" ct zone set 5"), "{mend}");
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
