//! What the kernel tells of a probe while it is watched, where we may ask it.
//!
//! Who may not loses nothing as long as the probe is answered: the refusal is kept, and told only with a loss.

use std::os::fd::{AsFd as _, BorrowedFd};

use nsgate_core::model::{Limit, NetnsName};
use nsgate_core::trace::{CLOSER_TAPS, Ending, Identity, KernelEvent, ProbeKind, RuleEvent, to_look_closer};
use nsgate_kernel::netns::Netns;

use crate::{FIRST_TAPS, Interest, KernelEvents, aside};

/// How many events are kept: far more than one probe can cause.
const MOST_EVENTS: usize = 1 << 16;

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
        let interest = Interest {
            kind,
            identity: *identity,
            // Each costs all packets of these namespaces; the first tells which hooks the probe came to.
            taps: FIRST_TAPS[..1].to_vec(),
            passage: false,
        };
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
            let last = FIRST_TAPS[FIRST_TAPS.len() - 1];
            events.tap(&[netns], &[&CLOSER_TAPS[..], &[last]].concat());
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
