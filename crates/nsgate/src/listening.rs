//! Following a packet that somebody else sends: from waiting for it to why it was lost.

use std::time::{Duration, Instant};

use nsgate_core::explain::{Report, explain, nothing_heard};
use nsgate_core::model::{NetnsName, World};
use nsgate_core::trace::{Overheard, Pattern, Stop, can_meet, to_trace, to_watch};
use nsgate_kernel::Error;
use nsgate_kernel::snapshot::Survey;
use nsgate_observe::{Lookout, Means};

use crate::inquiry::{Asked, Findings, Flows, MOST_WATCHED, Sender, Timing};

/// What is waited for.
pub(crate) struct Listening {
    /// What the packet must be.
    pub(crate) pattern: Pattern,
    /// Where it is waited for.
    pub(crate) at: NetnsName,
    /// For how long.
    pub(crate) wait: Duration,
    /// Whether to ask the kernel what it drops.
    pub(crate) kernel: bool,
}

/// What came of it.
pub(crate) enum Heard {
    /// A packet came.
    Packet(Box<Findings>),
    /// None came, and what is to be said of that.
    Nothing(Box<Report>),
}

/// The taps, in place.
pub(crate) struct Waiting<'a> {
    listening: &'a Listening,
    at: NetnsName,
    lookout: Lookout,
}

impl Listening {
    /// Sets the taps, in every namespace that wires lead to.
    pub(crate) fn begin(&self) -> Result<Waiting<'_>, Error> {
        let world = whole_world(&self.at)?;
        let at = world.namespace(&self.at).map_or(&self.at, |netns| &netns.name).clone();
        let here = Stop { netns: at.clone(), entered: None, left: None };
        let watched = to_watch(&world, &[here], MOST_WATCHED, |_| true);
        let lookout = Lookout::set(&self.pattern, &at, &watched)?;
        Ok(Waiting { listening: self, at, lookout })
    }
}

impl Waiting<'_> {
    /// How many namespaces are watched.
    pub(crate) fn watched(&self) -> usize {
        self.lookout.watched().count()
    }

    /// Waits, and finds out what becomes of the packet.
    pub(crate) fn find_out(mut self) -> Result<Heard, Error> {
        let Listening { pattern, wait, kernel, .. } = self.listening;
        let Some(overheard) = self.lookout.wait(*wait) else {
            let waited = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let (passed, elsewhere) = (self.lookout.passed(), self.lookout.elsewhere());
            let report = nothing_heard(pattern, &self.at, waited, passed, elsewhere);
            return Ok(Heard::Nothing(Box::new(report)));
        };
        let start = Instant::now();
        // What is there may have changed while we waited.
        let world = whole_world(&self.at)?;
        let read = Instant::now();
        let watched: Vec<NetnsName> = self.lookout.watched().cloned().collect();
        let met = can_meet(&world, &overheard.probe);
        let traced: Vec<NetnsName> = watched.into_iter().filter(|netns| met.contains(netns)).collect();
        let means = Means { kernel: *kernel, filters: to_trace(&world, &traced) };
        let mut watch = self.lookout.follow(&overheard, &means)?;
        let ready = Instant::now();
        watch.collect_overheard(&world);
        let ended = Instant::now();
        let changed = watch.changed_since(&world);
        let mut observation = watch.finish()?;
        observation.limits.extend(changed);
        let report = explain(&world, &observation);
        let timing =
            Timing { world: read - start, ready: ready - read, probe: ended - ready, gathered: ended.elapsed() };
        let flows = Flows { tried: 1, lost: u16::from(!report.delivered()) };
        let asked = asked(&overheard);
        Ok(Heard::Packet(Box::new(Findings { asked, world, observation, report, timing, flows })))
    }
}

/// What was waited for, where there is no packet yet.
pub(crate) fn not_heard(pattern: &Pattern, at: &NetnsName) -> Asked {
    Asked {
        from: at.clone(),
        kind: pattern.protocol().to(pattern.port().unwrap_or(0)),
        size: 0,
        destination: pattern.to_string(),
        name: None,
        sender: None,
    }
}

/// Everything that wires lead to from a namespace, read whole.
fn whole_world(at: &NetnsName) -> Result<World, Error> {
    let mut survey = Survey::begin(std::slice::from_ref(at))?;
    survey.complete_all()?;
    Ok(survey.into_world())
}

/// The packet in words.
fn asked(Overheard { probe, identity, from_outside }: &Overheard) -> Asked {
    let source = match probe.kind.port() {
        Some(_) => identity.source.to_string(),
        None => identity.source.ip().to_string(),
    };
    Asked { sender: Some(Sender { source, is_outside: *from_outside }), ..Asked::from(probe) }
}
