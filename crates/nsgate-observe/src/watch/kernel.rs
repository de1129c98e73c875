//! What the kernel tells of a probe while it is watched, where we may ask it.
//!
//! Who may not loses nothing as long as the probe is answered: the refusal is kept, and told only with a loss.

use std::os::fd::{AsFd as _, BorrowedFd};

use nsgate_core::model::ruleset::Hook;
use nsgate_core::model::{Limit, NetnsName};
use nsgate_core::trace::{CLOSER_TAPS, Ending, Identity, KernelEvent, ProbeKind, RuleEvent, to_look_closer};
use nsgate_kernel::netns::Netns;

use crate::{FIRST_TAPS, HOOKS, Interest, KernelEvents, aside, taps_at};

/// How many events are kept: far more than one probe can cause.
const MOST_EVENTS: usize = 1 << 16;

/// The hooks that are tapped from the beginning: they tell how a packet was routed. What comes to the others, the taps of
/// the interfaces beside them tell as well, and each tap costs all packets of these namespaces.
const TELLING: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

/// The kernel's events of one probe.
#[derive(Debug, Default)]
pub(super) struct KernelWatch {
    events: Option<KernelEvents>,
    told: Vec<KernelEvent>,
    left_out: u64,
    refusal: Option<Limit>,
}

impl KernelWatch {
    /// Attaches to the kernel, for a probe that passes these namespaces.
    pub(super) fn attach(kind: ProbeKind, identity: &Identity, namespaces: &[&Netns]) -> Self {
        let interest =
            Interest { kind, identity: *identity, taps: taps_at(&TELLING, &FIRST_TAPS[..1]), passage: false };
        match KernelEvents::attach(&interest, namespaces) {
            Ok(events) => Self { events: Some(events), ..Self::default() },
            Err(refusal) => Self { refusal: Some(refusal), ..Self::default() },
        }
    }

    /// What polls as readable when there is something to take.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(KernelEvents::as_fd)
    }

    /// What was told and taken so far.
    pub(super) fn told(&self) -> &[KernelEvent] {
        &self.told
    }

    /// Takes what was told since the last time.
    pub(super) fn take(&mut self) {
        let Some(events) = &mut self.events else { return };
        let told = events.drain();
        let kept = told.len().min(MOST_EVENTS - self.told.len());
        self.left_out += (told.len() - kept) as u64;
        self.told.extend(told.into_iter().take(kept));
    }

    /// Where more taps would tell more.
    pub(super) fn to_look_closer(&self, rules: &[RuleEvent]) -> Option<NetnsName> {
        self.events.as_ref().and_then(|_| to_look_closer(&self.told, rules))
    }

    /// Sets more taps in a namespace.
    pub(super) fn tap(&mut self, netns: &Netns) {
        if let Some(events) = &mut self.events {
            let others: Vec<Hook> = HOOKS.into_iter().filter(|hook| !TELLING.contains(hook)).collect();
            let [first, last] = FIRST_TAPS;
            let everywhere = taps_at(&HOOKS, &[&CLOSER_TAPS[..], &[last]].concat());
            events.tap(&[netns], &[taps_at(&others, &[first]), everywhere].concat());
        }
    }

    /// All that was told, in the order of time, and what was not told and is missed.
    pub(super) fn finish(mut self, ending: &Ending) -> (Vec<KernelEvent>, Vec<Limit>) {
        self.take();
        let mut limits: Vec<Limit> = self.refusal.into_iter().collect();
        if let Some(events) = self.events {
            limits.extend_from_slice(events.limits());
            match events.lost().map(|lost| lost + self.left_out) {
                Ok(0) => {}
                Ok(lost) => limits.push(missed(format!("{lost} of its events were lost"))),
                Err(error) => limits.push(missed(error.to_string())),
            }
            aside::close("the kernel's events", events);
        }
        if *ending == Ending::Answered {
            limits.clear();
        }
        self.told.sort_by_key(|event| event.time);
        (self.told, limits)
    }
}

fn missed(why: String) -> Limit {
    Limit { netns: None, what: "some of what the kernel did with the probe".into(), why }
}
