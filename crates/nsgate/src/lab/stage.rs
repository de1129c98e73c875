//! A lab under way: the network it has built so far, the services it has started, and the steps it performs.

use std::time::{Duration, Instant};

use anyhow::Result;
use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::{NetnsName, Sysctl, Transport};
use nsgate_core::plan::Plan;
use nsgate_kernel::server::Server;

use super::{Action, Interface, Outcome, Step, build, diagnose, look, probe};
use crate::inquiry::Findings;

/// The running lab. Its services end with it.
#[derive(Default)]
pub(crate) struct Stage {
    services: Vec<Service>,
    /// What the last verdict says mends it.
    fix: Plan,
}

/// A service, and where it listens.
struct Service {
    at: (NetnsName, Transport, u16),
    /// Nothing is asked of it but to run.
    _server: Server,
}

/// A step that was performed.
pub(crate) struct Done {
    /// What was observed; nothing where the attempt itself failed.
    pub(crate) observed: Option<Observed>,
    /// What is not as the lab says it must be; none: all is.
    pub(crate) problem: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// What a step showed.
pub(crate) enum Observed {
    /// So many changes were made.
    Changed(usize),
    /// The service listens.
    Listening,
    /// What became of the probes.
    Probed(Probed),
    /// A setting and its value.
    Setting(Sysctl, String),
    /// A list, as text.
    Listing(String),
    /// Tracked flows.
    Flows(Vec<Entry>),
    /// What nsgate says of a probe.
    Verdict(Box<Findings>),
    /// What was done to mend it, as it is typed.
    Mended(Vec<String>),
}

/// What became of some probes.
pub(crate) struct Probed {
    /// How many were sent.
    pub(crate) sent: u16,
    /// How they ended: those that are sent together are lost together, or the first answer ends the wait.
    pub(crate) outcome: Outcome,
    /// The time from the first probe to its answer.
    pub(crate) round_trip: Option<Duration>,
    /// Why it was refused.
    pub(crate) refusal: Option<String>,
    /// What the watched interfaces saw of them.
    pub(crate) seen: Vec<Seen>,
    /// How long was spent waiting for an answer that did not come.
    pub(crate) waited: Duration,
}

/// What one interface saw of some probes.
pub(crate) struct Seen {
    /// Which interface.
    pub(crate) at: Interface,
    /// How many of the probes.
    pub(crate) packets: usize,
    /// The first of them, in one line.
    pub(crate) packet: Option<String>,
}

impl Stage {
    /// Performs one step and compares what it showed with what the lab says.
    pub(crate) fn perform(&mut self, step: &Step) -> Done {
        let start = Instant::now();
        let (observed, problem) = match self.act(&step.action) {
            Ok((observed, problem)) => (Some(observed), problem),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        Done { observed, problem, took: start.elapsed() }
    }

    /// One function for each kind of step; each gives what was observed, and what is wrong with it.
    fn act(&mut self, action: &Action) -> Result<(Observed, Option<String>)> {
        match action {
            Action::Run(lines) => build::run(lines),
            Action::Serve(serve) => {
                let at = (serve.netns.clone(), serve.protocol, serve.port);
                self.services.retain(|service| service.at != at);
                self.services.push(Service { at, _server: build::serve(serve)? });
                Ok((Observed::Listening, None))
            }
            Action::Probe(probe) => {
                if probe.settled {
                    build::settle()?;
                }
                probe::send(probe)
            }
            Action::Read(read) => look::setting(read),
            Action::List(list) => look::list(list),
            Action::Flow(flow) => look::flows(flow),
            Action::Trace(trace) => {
                if trace.settled {
                    build::settle()?;
                }
                let (findings, problem) = diagnose::trace(trace)?;
                self.fix = findings.report.verdict.fix.clone();
                Ok((Observed::Verdict(Box::new(findings)), problem))
            }
            Action::Fix => build::fix(&self.fix),
        }
    }
}
