//! `conntrack-stale`: an old connection-tracking entry keeps a translation that the rules do not make any more.
//!
//! The rules are asked for the first packet of a flow alone; its entry answers for all others. So the entry that the probe
//! met is held against what the rules would make of it as the first of its flow.

use std::net::{IpAddr, SocketAddr};

use nsgate_packet::Flow;

use super::passage::Passage;
use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, filter, mend};
use crate::filter::End;
use crate::model::Namespace;
use crate::model::conntrack::Entry;
use crate::model::ruleset::Hook;
use crate::trace::{Leg, Sight};

/// A namespace on the way has an entry for the flow that translates otherwise than its rules would.
pub(super) fn entry(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Request {
        return None;
    }
    turns(loss.world, &loss.observation.journey, Leg::Request).iter().find_map(|turn| {
        let entered = turn.entered?;
        let flow = flow(entered)?;
        let of_flow = |(netns, entry): &&(_, Entry)| *netns == turn.netns.name && entry.original == flow;
        let (_, entry) = loss.observation.tracked.iter().find(of_flow)?;
        leads_elsewhere(loss, turn, entered, entry).or_else(|| keeps_its_source(loss, turn, entered, entry))
    })
}

/// The flow of a sight that has ports: an echo has a new identifier each time.
fn flow(sight: &Sight) -> Option<Flow> {
    let header = &sight.header;
    Some(Flow {
        protocol: header.protocol,
        source: header.source,
        destination: header.destination,
        source_port: header.source_port?,
        destination_port: header.destination_port?,
    })
}

/// The entry leads to another destination than the rules do.
fn leads_elsewhere(loss: &Loss<'_>, turn: &Turn<'_>, entered: &Sight, entry: &Entry) -> Option<Verdict> {
    let link = turn.netns.link(entered.link)?;
    let passage = Passage::of_request(turn.netns, entered, link)?;
    let walk = passage.at(Hook::Prerouting).filter(|walk| matches!(walk.end, End::Passed))?;
    let (rule, would) = (walk.translated_by?, walk.after.ip()?.flow());
    let leads = (entry.reply.source, entry.reply.source_port);
    let should = (would.destination, would.destination_port);
    if leads == should || walk.after.connection.state.is_none() {
        return None;
    }
    let to = SocketAddr::new(leads.0, leads.1);
    let object = format!("conntrack entry of {}, which leads to {to}", words(&entry.original));
    let summary = format!(
        "an old connection-tracking entry of {} leads to {to}; the rules now lead to {}: '{}'",
        turn.netns.name,
        SocketAddr::new(should.0, should.1),
        filter::object(&rule)
    );
    Some(verdict(loss, turn.netns, entry, object, summary).shown_by(filter::of_rule(turn.netns, &rule)))
}

/// The entry leaves the source as it is, and the rules translate it.
fn keeps_its_source(loss: &Loss<'_>, turn: &Turn<'_>, entered: &Sight, entry: &Entry) -> Option<Verdict> {
    let (left, link) = (turn.left?, turn.way_out()?);
    let own = entered.header.source;
    if entry.source_translated() || left.header.source != own || entry.reply.destination != own {
        return None;
    }
    let passage = Passage::of_request(turn.netns, entered, link)?;
    let rule = passage.at(Hook::Postrouting)?.translated_by?;
    let object = format!("conntrack entry of {}", words(&entry.original));
    let summary = format!(
        "an old connection-tracking entry of {} keeps {own} untranslated, made before the rule '{}'",
        turn.netns.name,
        filter::object(&rule)
    );
    Some(verdict(loss, turn.netns, entry, object, summary).shown_by(filter::of_rule(turn.netns, &rule)))
}

fn verdict(loss: &Loss<'_>, netns: &Namespace, entry: &Entry, object: String, summary: String) -> Verdict {
    let found = format!("{} answered by {}", words(&entry.original), words(&entry.reply));
    let verdict = Verdict::new(Cause::ConntrackStale, Place::all_of(&netns.name), object, summary)
        .shown_by(Evidence::new(EvidenceKind::Conntrack, &netns.name, found));
    let seen = loss.last.map(|last| evidence::seen(loss.world, last, " and was not seen again"));
    verdict
        .shown_by_all(seen)
        .mended_by(mend::forget_connection(netns, entry.original))
        .advised("The next packet of the flow asks the rules. Other flows may have such entries, too: conntrack -L.")
}

fn words(flow: &Flow) -> String {
    let end = |address: IpAddr, port| SocketAddr::new(address, port);
    format!("{} > {}", end(flow.source, flow.source_port), end(flow.destination, flow.destination_port))
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Flow, Transport, Udp, build};

    use crate::explain::fixture::{Fixture, name};
    use crate::model::conntrack::Entry;
    use crate::model::ruleset::Ruleset;
    use crate::trace::{Leg, ProbeKind};

    fn flow(source: (&str, u16), destination: (&str, u16)) -> Flow {
        Flow {
            protocol: 17,
            source: source.0.parse().unwrap(),
            destination: destination.0.parse().unwrap(),
            source_port: source.1,
            destination_port: destination.1,
        }
    }

    fn with_datagrams(fixture: &mut Fixture) {
        for sight in &mut fixture.observation.journey.sights {
            sight.header.protocol = 17;
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            let (source_port, destination_port) =
                (sight.header.source_port.unwrap(), sight.header.destination_port.unwrap());
            let udp = Udp { source_port, destination_port, payload: &[] };
            sight.bytes = build::ip(&outer, &Transport::Udp(udp)).unwrap();
        }
    }

    /// The world asks for a published port; the gateway remembers this flow as answered by that one.
    fn published(reply: Flow) -> Fixture {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Udp(5060));
        fixture.observation.probe.from = name("world");
        fixture.observation.probe.destination = "10.20.30.182".parse().unwrap();
        let text = "table ip nat { chain p { type nat hook prerouting priority dstnat; policy accept;
            udp dport 5060 dnat to 1.1.1.2; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
        fixture.seen(Leg::Request, "10.20.30.1", "10.20.30.182", &["world:w0>", "host:eth2<"]);
        with_datagrams(&mut fixture);
        let original = flow(("10.20.30.1", 40000), ("10.20.30.182", 5060));
        let entry = Entry { original, reply, status: 0, mark: 0, zone: 0, timeout: 20, tcp_state: None };
        fixture.observation.tracked = vec![(name("host"), entry)];
        fixture
    }

    #[test]
    fn an_entry_that_leads_where_the_rules_led_once() {
        let fixture = published(flow(("1.1.1.9", 5060), ("10.20.30.1", 40000)));
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("conntrack-stale", "host"));
        assert_eq!(object, "conntrack entry of 10.20.30.1:40000 > 10.20.30.182:5060, which leads to 1.1.1.9:5060");
        let right = published(flow(("1.1.1.2", 5060), ("10.20.30.1", 40000)));
        assert_ne!(right.verdict().0, "conntrack-stale");
    }

    #[test]
    fn an_entry_that_is_older_than_the_translation() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Udp(5060));
        let text = "table ip nat { chain p { type nat hook postrouting priority srcnat; policy accept;
            oifname \"eth2\" snat to 10.20.30.182; } }";
        fixture.netns("host").ruleset = Ruleset::from_text(text).unwrap();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"]);
        with_datagrams(&mut fixture);
        let original = flow(("1.1.1.2", 40000), ("114.114.114.114", 5060));
        let reply = flow(("114.114.114.114", 5060), ("1.1.1.2", 40000));
        let entry = Entry { original, reply, status: 0, mark: 0, zone: 0, timeout: 20, tcp_state: None };
        fixture.observation.tracked = vec![(name("host"), entry)];
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("conntrack-stale", "host"));
        let typed = "conntrack -D -p udp --orig-src 1.1.1.2 --orig-dst 114.114.114.114 --sport 40000 --dport 5060";
        assert_eq!(fixture.explained().fix.commands(), [typed]);
    }
}
