//! The packet filters' own traces of a probe, in all watched namespaces that have a packet filter.

use std::os::fd::{AsFd as _, BorrowedFd};

use nsgate_core::model::{Limit, NetnsName};
use nsgate_core::trace::RuleEvent;
use nsgate_kernel::Error;

use crate::rule_trace::RuleTrace;

/// How many events are kept: far more than one probe can cause.
const MOST_EVENTS: usize = 1 << 16;
/// What is not known without them.
const WHAT: &str = "what each rule of the packet filter makes of the probe";

/// The traces of one probe.
#[derive(Debug, Default)]
pub(super) struct RuleWatch {
    traces: Vec<RuleTrace>,
    told: Vec<RuleEvent>,
    limits: Vec<Limit>,
}

impl RuleWatch {
    /// With the trace of one more namespace.
    pub(super) fn add(&mut self, netns: &NetnsName, started: Result<RuleTrace, Error>) {
        match started {
            Ok(trace) => self.traces.push(trace),
            Err(error) => self.limits.push(super::limit(netns, WHAT, &error)),
        }
    }

    /// What polls as readable when there is something to take.
    pub(super) fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.traces.iter().map(RuleTrace::as_fd)
    }

    /// How many times the packet filter of a namespace was changed to have it traced.
    pub(super) fn tables_in(&self, netns: &NetnsName) -> u32 {
        self.traces.iter().map(|trace| u32::from(trace.netns() == netns)).sum()
    }

    /// What was told and taken so far.
    pub(super) fn told(&self) -> &[RuleEvent] {
        &self.told
    }

    /// Takes what was told since the last time.
    pub(super) fn take(&mut self) {
        for trace in &mut self.traces {
            let told = trace.drain();
            self.told.extend(told.into_iter().take(MOST_EVENTS - self.told.len()));
        }
    }

    /// All that was told, and what was not told and is missed. The traces end.
    pub(super) fn finish(mut self) -> (Vec<RuleEvent>, Vec<Limit>) {
        self.take();
        let mut limits = self.limits;
        for trace in self.traces {
            if trace.has_lost() || self.told.len() == MOST_EVENTS {
                let netns = Some(trace.netns().clone());
                limits.push(Limit { netns, what: WHAT.into(), why: "some of its events were lost".into() });
            }
            trace.stop();
        }
        (self.told, limits)
    }
}
