//! `checksum-bad`: the packet arrives, and is thrown away because a checksum does not fit its bytes.
//!
//! The kernel counts each such packet by the header whose sum is wrong, in the namespace that refuses it, or gives the
//! reason for the drop. The bytes alone prove nothing: between virtual interfaces sums are left unfinished on purpose.

use super::passage::Passage;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Verdict, evidence, filter, mend, told};
use crate::filter::{Decision, Outcome};
use crate::model::ruleset::{Base, Expression};
use crate::model::{Family, Namespace};
use crate::trace::ProbeKind;

/// Why the kernel drops such a packet.
const DROPPED: &[&str] = &["IP_CSUM", "TCP_CSUM", "UDP_CSUM", "ICMP_CSUM"];

/// The place of each checksum in its header, in bytes: IPv4, ICMP, UDP, TCP.
const OF_IP: u32 = 10;
const OF_ICMP: u32 = 2;
const OF_UDP: u32 = 6;
const OF_TCP: u32 = 16;

/// The packet came in, and its checksum was refused.
pub(super) fn bad(loss: &Loss<'_>) -> Option<Verdict> {
    let entered = loss.entered()?;
    let shown = counted(loss).or_else(|| told::dropped_for(loss, DROPPED))?;
    let what = if loss.moved("IpExt.InCsumErrors") > 0 { "IP" } else { name(loss.observation.probe.kind) };
    let spoiled = spoiled_by(loss);
    let object = match &spoiled {
        Some((_, rule)) => filter::object(rule),
        None => format!("{what} checksum of what comes in at {}", entered.name),
    };
    let by = match &spoiled {
        Some((netns, rule)) => format!(": '{}' of {} writes bytes and not the sum", filter::object(rule), netns.name),
        None => String::new(),
    };
    let leg = evidence::leg_name(loss.leg);
    let summary = format!("{} refuses {leg} at {}: its {what} checksum is wrong{by}", loss.here(), entered.name);
    // The mend is made where the bytes are spoiled.
    let place = match &spoiled {
        Some((netns, _)) if netns.name != *loss.here() => Place::all_of(&netns.name),
        _ => Place::at(loss.here(), &entered.name),
    };
    let mut verdict = Verdict::new(Cause::ChecksumBad, place, object, summary).shown_by(shown);
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not taken"));
    }
    Some(match spoiled {
        Some((netns, rule)) => {
            let written = Evidence::new(EvidenceKind::Ruleset, &netns.name, filter::object(&rule));
            verdict.shown_by(written).mended_by(mend::delete_rule(netns, &rule))
        }
        None => verdict.advised(offload(loss)),
    })
}

/// What left the sum unfinished, as far as it can be told: the interface that the packet left by last.
fn offload(loss: &Loss<'_>) -> String {
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    let sender = turns.iter().rev().find_map(|turn| Some((turn.netns, turn.way_out()?)));
    let try_it = sender.map_or_else(String::new, |(netns, link)| {
        let enter = if netns.name.is_host() { String::new() } else { format!("ip netns exec {} ", netns.name) };
        format!(" Try without it on the way out: {enter}ethtool -K {} tx off (back: tx on).", link.name)
    });
    format!("An offload leaves the sum to hardware that is not there, or something on the way rewrites bytes.{try_it}")
}

/// The counter of the header whose sum is wrong.
fn counted(loss: &Loss<'_>) -> Option<Evidence> {
    let six = loss.family() == Family::V6;
    let of_transport = match loss.observation.probe.kind {
        ProbeKind::Icmp if six => "Icmp6.InCsumErrors",
        ProbeKind::Icmp => "Icmp.InCsumErrors",
        ProbeKind::Udp(_) if six => "Udp6.InCsumErrors",
        ProbeKind::Udp(_) => "Udp.InCsumErrors",
        // One counter for both families.
        ProbeKind::Tcp(_) => "Tcp.InCsumErrors",
    };
    // Who passes a packet on asks for the sum of the IP header alone.
    let arrived = loss.arrived();
    let moved = |counter: &&&str| loss.moved(counter) > 0 && (arrived || **counter == "IpExt.InCsumErrors");
    ["IpExt.InCsumErrors", of_transport].iter().find(moved).map(|counter| evidence::counted(loss, counter))
}

/// The rule that spoils the packet: one that it met on its way, and that writes into it without mending the sum.
fn spoiled_by<'a>(loss: &Loss<'a>) -> Option<(&'a Namespace, Decision<'a>)> {
    let here = Passage::of(loss).map(|passage| (loss.netns, passage));
    let before = turns(loss.world, &loss.observation.journey, loss.leg).into_iter().rev().filter_map(|turn| {
        let (entered, out) = (turn.entered?, turn.way_out()?);
        Some((turn.netns, Passage::of_request(turn.netns, entered, out)?))
    });
    here.into_iter().chain(before).find_map(|(netns, passage)| {
        let steps = passage.walks.iter().flat_map(|(_, walk)| &walk.steps);
        let ran = steps.filter(|step| matches!(step.outcome, Outcome::Matched(_)));
        let mut rules = ran.map(|step| step.decision);
        rules
            .find(|decision| decision.rule.is_some_and(|rule| rule.expressions.iter().any(spoils)))
            .map(|rule| (netns, rule))
    })
}

/// Whether an instruction writes bytes that a sum covers, or the sum itself, and leaves the sum as it is.
fn spoils(expression: &Expression) -> bool {
    let Expression::PayloadSet { base, offset, length, checksum: (kind, ..), .. } = expression else { return false };
    let sums: &[u32] = match base {
        Base::Network => &[OF_IP],
        Base::Transport => &[OF_ICMP, OF_UDP, OF_TCP],
        _ => return false,
    };
    let writes_sum = sums.iter().any(|at| *offset <= *at && at + 2 <= offset + length);
    *kind == 0 || writes_sum
}

fn name(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Icmp => "ICMP",
        ProbeKind::Tcp(_) => "TCP",
        ProbeKind::Udp(_) => "UDP",
    }
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Echo, Icmp, Transport, build};

    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::trace::Leg;

    fn refused(mut fixture: Fixture, counter: &str) -> Fixture {
        let destination = fixture.observation.probe.destination.to_string();
        let (own, public) =
            if destination.contains(':') { ("2001:db8:1::2", "2001:db8:20::182") } else { ("1.1.1.2", "10.20.30.182") };
        fixture.seen(Leg::Request, own, &destination, &["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, public, &destination, &["host:eth2>", "world:w0<"]);
        let echo = Icmp::Echo(Echo { reply: false, id: 7, sequence: 1, payload: &[] });
        for sight in &mut fixture.observation.journey.sights {
            let outer = build::Outer::new(sight.header.source, sight.header.destination);
            sight.bytes = build::ip(&outer, &Transport::Icmp(echo)).unwrap();
        }
        fixture.counted("world", counter);
        fixture
    }

    #[test]
    fn the_receiver_counts_a_wrong_sum() {
        for (fixture, counter) in
            [(Fixture::experiment(), "Icmp.InCsumErrors"), (Fixture::experiment6(), "Icmp6.InCsumErrors")]
        {
            let fixture = refused(fixture, counter);
            let (cause, place, object) = fixture.verdict();
            assert_eq!((cause.as_str(), place.as_str()), ("checksum-bad", "world/w0"));
            assert_eq!(object, "ICMP checksum of what comes in at w0");
            let advice = fixture.explained().advice.unwrap();
            assert!(advice.contains("ethtool -K eth2 tx off"), "{advice}");
        }
        assert_ne!(refused(Fixture::experiment(), "Tcp.InCsumErrors").verdict().0, "checksum-bad");
    }

    #[test]
    fn the_rule_that_spoils_it_is_named_and_taken_away() {
        let mut fixture = refused(Fixture::experiment(), "Icmp.InCsumErrors");
        let text = "table netdev spoil { chain in { type filter hook ingress device \"w0\" priority 0; policy accept;
            icmp checksum set 0xbeef; } }";
        fixture.netns("world").ruleset = Ruleset::from_text(text).unwrap();
        let (cause, _, object) = fixture.verdict();
        assert_eq!(cause, "checksum-bad");
        assert!(object.starts_with("netdev spoil in: icmp checksum set"), "{object}");
        assert!(fixture.explained().fix.commands().concat().contains("delete rule netdev spoil in"));
    }
}
