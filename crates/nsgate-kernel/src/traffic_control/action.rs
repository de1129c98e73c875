//! Actions: what is done to what a filter picked.

use nsgate_core::model::{ActionKind, LinkIndex, QueueCounts, TrafficAction, TrafficVerdict};

use super::numbers::action as a;
use super::qdisc::{counts, number};
use crate::netlink::Attributes;

/// The most actions that one filter may have (TCA_ACT_MAX_PRIO).
const MOST: usize = 32;

/// Reads the actions of a filter, first to last.
pub(super) fn read(actions: &Attributes<'_>) -> Vec<TrafficAction> {
    actions.clone().take(MOST).filter_map(|action| read_one(&action.nested())).collect()
}

/// Reads a policer that stands in a filter by itself, without being one of its actions.
pub(super) fn read_police(options: &Attributes<'_>) -> Option<TrafficAction> {
    let verdict = verdict(number(options.find(a::POLICE)?.value, 4)? as i32);
    let kind = action_kind("police", options)?;
    Some(TrafficAction { kind, verdict: Some(verdict), counts: QueueCounts::default() })
}

fn read_one(action: &Attributes<'_>) -> Option<TrafficAction> {
    let kind = action.find(a::KIND)?.text()?;
    let options = action.find(a::OPTIONS).map(|o| o.nested()).unwrap_or_default();
    // The verdict is the third number of the fields that every kind but `police` begins with.
    let place = if kind == "police" { (a::POLICE, 4) } else { (a::PARAMETERS, 8) };
    let number_at = |(attribute, at)| number(options.find(attribute)?.value, at);
    let known = action_kind(kind, &options);
    Some(TrafficAction {
        verdict: known.as_ref().and_then(|_| number_at(place)).map(|number| verdict(number as i32)),
        kind: known.unwrap_or_else(|| ActionKind::Other(kind.to_owned())),
        counts: counts(action.find(a::STATISTICS)),
    })
}

/// The kind with its fields; none if it is not known, or its fields cannot be read.
fn action_kind(kind: &str, options: &Attributes<'_>) -> Option<ActionKind> {
    Some(match kind {
        "gact" => ActionKind::Gact,
        "mirred" => {
            let told = options.find(a::PARAMETERS)?.value;
            // TCA_EGRESS_REDIR, TCA_EGRESS_MIRROR, TCA_INGRESS_REDIR, TCA_INGRESS_MIRROR.
            let (copy, ingress) = match number(told, 20)? {
                1 => (false, false),
                2 => (true, false),
                3 => (false, true),
                4 => (true, true),
                _ => return None,
            };
            ActionKind::Mirred { copy, ingress, link: LinkIndex(number(told, 24)?) }
        }
        "bpf" => ActionKind::Bpf {
            name: options.find(a::BPF_NAME).and_then(|n| n.text()).map(str::to_owned),
            id: options.find(a::BPF_ID).and_then(|n| n.u32()),
        },
        "police" => {
            let told = options.find(a::POLICE)?.value;
            let wide = options.find(a::POLICE_RATE_64).and_then(|n| n.u64());
            let rate = wide.or_else(|| number(told, 28).map(u64::from))?;
            ActionKind::Police { rate, burst: number(told, 12)?, mtu: number(told, 16)? }
        }
        _ => return None,
    })
}

/// The verdict of the kernel's number (TC_ACT_*).
fn verdict(number: i32) -> TrafficVerdict {
    match number {
        -1 => TrafficVerdict::Unspecified,
        0 => TrafficVerdict::Ok,
        1 => TrafficVerdict::Reclassify,
        2 => TrafficVerdict::Shot,
        3 => TrafficVerdict::Pipe,
        4 => TrafficVerdict::Stolen,
        other => TrafficVerdict::Other(other),
    }
}

#[cfg(test)]
mod hostile_bytes {
    use crate::netlink::{Attributes, hostile};

    #[test]
    fn do_no_harm() {
        hostile::try_on(|message| super::read(&Attributes::new(message.payload)));
        for kind in ["gact", "mirred", "bpf", "police", "nope"] {
            hostile::try_on(|message| super::action_kind(kind, &message.split::<4>()?.1));
        }
    }
}
