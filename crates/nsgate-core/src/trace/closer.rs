//! Looking closer at a packet that was thrown away between two hooks' ends: a second probe passes more taps, which tell
//! between which priorities of which hook it died. What stands there is at fault.
//!
//! Rules of nftables need none of this, for their trace names them. It serves for everything else that sits at hooks:
//! tables of the older engine, connection tracking, translation, other programs.

use super::{KernelEvent, KernelEventKind, RuleEvent, life};
use crate::model::NetnsName;
use crate::model::ruleset::Hook;

/// Where taps are set to look closer: on both sides of connection tracking (-200), of the translations (-100 and 100)
/// and of the filter (0). The raw tables (-300) lie before the first, the mangling ones (-150) behind it.
pub const CLOSER_TAPS: [i32; 7] = [-301, -250, -110, -90, 10, 90, 110];

/// The namespace where more taps would tell more: the packet filter threw a packet away there, and no trace names a rule.
pub fn to_look_closer(kernel: &[KernelEvent], rules: &[RuleEvent]) -> Option<NetnsName> {
    let unexplained = kernel.iter().rev().find(|event| by_packet_filter(event))?;
    let netns = unexplained.netns.as_ref().or_else(|| {
        let place = kernel.iter().position(|event| std::ptr::eq(event, unexplained))?;
        life(kernel, place).into_iter().rev().find_map(|event| event.netns.as_ref())
    })?;
    let explained = rules.iter().any(|event| event.is_loss() && event.netns == *netns);
    (!explained).then(|| netns.clone())
}

/// Whether the packet filter threw a packet away: by a verdict, or because nobody took it from a queue.
fn by_packet_filter(event: &KernelEvent) -> bool {
    let KernelEventKind::Dropped { reason, symbol } = &event.kind else { return false };
    reason.is("NETFILTER_DROP") || symbol.as_deref() == Some("nf_queue")
}

/// A stretch of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The hook.
    pub hook: Hook,
    /// The last place in it that was passed.
    pub from: i32,
    /// The first place in it that was not.
    pub until: i32,
}

/// Between which places a packet died whose life this is; none where it was not looked at closely.
///
/// A tap whose place was taken stands up to a few places beside it.
pub fn stretch(life: &[&KernelEvent]) -> Option<Stretch> {
    const BESIDE: u32 = 4;
    let end = life.last().filter(|event| by_packet_filter(event))?;
    let taps = || life.iter().filter(|event| event.netns == end.netns || end.netns.is_none());
    let passed = taps().rev().find_map(|event| match event.kind {
        KernelEventKind::Tap { hook, priority, .. } => Some((hook, priority)),
        _ => None,
    });
    let (hook, from) = passed?;
    let closely = taps().any(|event| match event.kind {
        KernelEventKind::Tap { priority, .. } => CLOSER_TAPS.iter().any(|place| place.abs_diff(priority) <= BESIDE),
        _ => false,
    });
    let until = CLOSER_TAPS.into_iter().find(|place| *place > from && place.abs_diff(from) > BESIDE);
    closely.then(|| Stretch { hook, from, until: until.unwrap_or(i32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family;
    use crate::model::ruleset::{TableFamily, TableId, Verdict};
    use crate::trace::{Addressee, DropReason, RuleStep};

    fn event(netns: Option<&str>, kind: KernelEventKind) -> KernelEvent {
        KernelEvent {
            time: 0,
            netns: netns.map(|name| name.parse().unwrap()),
            link: None,
            kind,
            buffer: 1,
            mark: 0,
            addressee: Addressee::Host,
            ethertype: 0x0800,
            bytes: Vec::new(),
            length: 0,
        }
    }

    fn tap(hook: Hook, priority: i32) -> KernelEventKind {
        KernelEventKind::Tap { hook, priority, family: Family::V4 }
    }

    fn dropped(reason: &str) -> KernelEventKind {
        let symbol = Some("nf_hook_slow".to_owned());
        KernelEventKind::Dropped { reason: DropReason::Named(reason.into()), symbol }
    }

    #[test]
    fn only_what_no_trace_explains_is_looked_at_closer() {
        let events = [event(Some("host"), tap(Hook::Forward, -399)), event(None, dropped("NETFILTER_DROP"))];
        assert_eq!(to_look_closer(&events, &[]), Some("host".parse().unwrap()));
        let rule = RuleEvent {
            netns: "host".parse().unwrap(),
            packet: 1,
            table: TableId::new(TableFamily::Inet, "t"),
            chain: "c".into(),
            step: RuleStep::Policy,
            verdict: Some(Verdict::Drop),
            entered: None,
            left: None,
            mark: 0,
            bytes: Vec::new(),
            connection: None,
        };
        assert_eq!(to_look_closer(&events, &[rule]), None);
        assert_eq!(to_look_closer(&[event(Some("host"), dropped("IP_RPFILTER"))], &[]), None);
        assert_eq!(to_look_closer(&[], &[]), None);
    }

    #[test]
    fn a_packet_died_behind_the_last_tap_and_before_the_next() {
        let host = Some("host");
        let found = |taps: &[(Hook, i32)]| {
            let taps = taps.iter().map(|(hook, priority)| event(host, tap(*hook, *priority)));
            let life: Vec<_> = taps.chain([event(host, dropped("NETFILTER_DROP"))]).collect();
            stretch(&life.iter().collect::<Vec<_>>()).map(|s| (s.hook, s.from, s.until))
        };
        let (early, hook) = (Hook::Prerouting, Hook::Forward);
        assert_eq!(found(&[(early, 110), (hook, -399), (hook, -89)]), Some((hook, -89, 10)));
        assert_eq!(found(&[(early, -399), (early, -250)]), Some((early, -250, -110)));
        assert_eq!(found(&[(early, 110), (hook, i32::MAX - 7)]), Some((hook, i32::MAX - 7, i32::MAX)));
        assert_eq!(found(&[(early, -399), (early, i32::MAX - 7), (hook, -399)]), None, "not looked at closely");
        assert_eq!(found(&[]), None);
    }
}
