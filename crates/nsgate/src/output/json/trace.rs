//! The JSON of `nsgate trace`, schema 1.

use nsgate_core::explain::{Evidence, Lasting, Place, Report, Verdict};
use nsgate_core::model::{Limit, LinkName, NetnsName, World};
use nsgate_core::trace::{Leg, Observation, Sight, Way};
use serde::Serialize;

use super::observation::ObservationJson;
use crate::commands::trace::Mended;
use crate::inquiry::{Asked, Flows, Timing};

/// The version of this shape.
const SCHEMA: u32 = 1;

/// The whole answer of one trace.
#[derive(Serialize)]
pub(crate) struct Trace {
    schema: u32,
    probe: ProbeJson,
    delivered: bool,
    pub(crate) verdict: VerdictJson,
    further: Vec<VerdictJson>,
    path: Vec<PathJson>,
    limits: Vec<LimitJson>,
    /// Everything that was learned, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    observation: Option<Box<ObservationJson>>,
    /// Which attempt was answered, if not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flows: Option<FlowsJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mended: Option<Vec<MendedJson>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<TimingJson>,
}

/// How long it took, in microseconds: reading what is, making the watchers ready, waiting for the end of the probe,
/// reading what it left.
#[derive(Serialize)]
struct TimingJson {
    world: u64,
    ready: u64,
    probe: u64,
    gathered: u64,
}

/// What became of several flows.
#[derive(Serialize)]
struct FlowsJson {
    tried: u16,
    lost: u16,
}

/// One mend that was tried before this trace.
#[derive(Serialize)]
struct MendedJson {
    cause: &'static str,
    r#where: PlaceJson,
    object: String,
    commands: Vec<String>,
    undo: Vec<String>,
    helped: bool,
}

#[derive(Serialize)]
struct ProbeJson {
    from: String,
    protocol: &'static str,
    destination: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    port: Option<u16>,
    size: u32,
    /// Who sent it, where that was not nsgate.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_by: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct VerdictJson {
    cause: &'static str,
    r#where: PlaceJson,
    object: String,
    summary: String,
    evidence: Vec<EvidenceJson>,
    fix: FixJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct PlaceJson {
    netns: NameJson,
    dev: Option<NameJson>,
}

/// A name as JSON has it.
#[derive(Serialize)]
#[serde(transparent)]
struct NameJson(String);

#[derive(Serialize)]
struct EvidenceJson {
    kind: &'static str,
    netns: NameJson,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

#[derive(Serialize)]
struct FixJson {
    commands: Vec<String>,
    undo: Vec<String>,
    persistent: Vec<LastingJson>,
}

/// One place where a mend is kept across a reboot.
#[derive(Serialize)]
struct LastingJson {
    place: String,
    lines: Vec<String>,
}

#[derive(Serialize)]
struct PathJson {
    netns: NameJson,
    dev: Option<NameJson>,
    hook: &'static str,
    direction: &'static str,
    packet: String,
}

#[derive(Serialize)]
struct LimitJson {
    netns: Option<NameJson>,
    what: String,
    why: String,
}

impl Trace {
    /// The JSON of a trace whose probe could not be sent.
    pub(crate) fn unsent(asked: &Asked, report: &Report) -> Self {
        Self {
            schema: SCHEMA,
            probe: ProbeJson::from(asked),
            delivered: false,
            verdict: VerdictJson::from(&report.verdict),
            further: report.further.iter().map(VerdictJson::from).collect(),
            path: Vec::new(),
            limits: Vec::new(),
            observation: None,
            attempts: None,
            flows: None,
            mended: None,
            timing: None,
        }
    }

    /// The JSON of one trace.
    pub(crate) fn new(asked: &Asked, world: &World, observation: &Observation, report: &Report) -> Self {
        Self {
            delivered: report.delivered(),
            path: observation
                .without_repetition()
                .journey
                .everything()
                .into_iter()
                .map(|s| PathJson::new(world, s))
                .collect(),
            limits: world.limits.iter().chain(&observation.limits).map(LimitJson::from).collect(),
            attempts: Some(observation.attempts).filter(|attempts| report.delivered() && *attempts > 1),
            ..Self::unsent(asked, report)
        }
    }

    /// With everything that was learned of the probe.
    #[must_use]
    pub(crate) fn detailed(self, world: &World, observation: &Observation) -> Self {
        Self { observation: Some(Box::new(ObservationJson::new(world, observation))), ..self }
    }

    /// With how long it took.
    #[must_use]
    pub(crate) fn timed(self, timing: &Timing) -> Self {
        Self { timing: Some(TimingJson::from(timing)), ..self }
    }

    /// With what became of all flows, where there was more than one.
    #[must_use]
    pub(crate) fn of_flows(self, Flows { tried, lost }: Flows) -> Self {
        Self { flows: (tried > 1).then_some(FlowsJson { tried, lost }), ..self }
    }

    /// With what was done before this trace to mend what it met.
    #[must_use]
    pub(crate) fn mended(self, done: &[Mended]) -> Self {
        Self { mended: Some(done.iter().map(MendedJson::from).collect()), ..self }
    }
}

impl From<&Timing> for TimingJson {
    fn from(timing: &Timing) -> Self {
        let [world, ready, probe, gathered] = [timing.world, timing.ready, timing.probe, timing.gathered]
            .map(|part| u64::try_from(part.as_micros()).unwrap_or(u64::MAX));
        Self { world, ready, probe, gathered }
    }
}

impl From<&Asked> for ProbeJson {
    fn from(asked: &Asked) -> Self {
        Self {
            from: asked.from.to_string(),
            protocol: asked.kind.name(),
            destination: asked.destination.clone(),
            name: asked.name.clone(),
            port: asked.kind.port().filter(|port| *port != 0),
            size: asked.size,
            sent_by: asked.sender.as_ref().map(|sender| sender.source.clone()),
        }
    }
}

impl From<&NetnsName> for NameJson {
    fn from(name: &NetnsName) -> Self {
        Self(name.to_string())
    }
}

impl From<&LinkName> for NameJson {
    fn from(name: &LinkName) -> Self {
        Self(name.to_string())
    }
}

impl From<&Verdict> for VerdictJson {
    fn from(verdict: &Verdict) -> Self {
        Self {
            cause: verdict.cause.code(),
            r#where: PlaceJson::from(&verdict.place),
            object: verdict.object.clone(),
            summary: verdict.summary.clone(),
            evidence: verdict.evidence.iter().map(EvidenceJson::from).collect(),
            fix: FixJson {
                commands: verdict.fix.commands(),
                undo: verdict.undo_lines(),
                persistent: verdict.lasting.iter().map(LastingJson::from).collect(),
            },
            advice: verdict.advice.clone(),
        }
    }
}

impl From<&Lasting> for LastingJson {
    fn from(lasting: &Lasting) -> Self {
        Self { place: lasting.place.clone(), lines: lasting.lines.clone() }
    }
}

impl From<&Place> for PlaceJson {
    fn from(place: &Place) -> Self {
        Self { netns: (&place.netns).into(), dev: place.link.as_ref().map(NameJson::from) }
    }
}

impl From<&Mended> for MendedJson {
    fn from(mended: &Mended) -> Self {
        let verdict = &mended.verdict;
        Self {
            cause: verdict.cause.code(),
            r#where: PlaceJson::from(&verdict.place),
            object: verdict.object.clone(),
            commands: verdict.fix.commands(),
            undo: mended.undo.commands(),
            helped: mended.helped,
        }
    }
}

impl From<&Evidence> for EvidenceJson {
    fn from(evidence: &Evidence) -> Self {
        Self {
            kind: evidence.kind.name(),
            netns: (&evidence.netns).into(),
            text: evidence.text.clone(),
            expected: evidence.expected.clone(),
            found: evidence.found.clone(),
        }
    }
}

impl PathJson {
    fn new(world: &World, sight: &Sight) -> Self {
        let link = world.namespace(&sight.netns).and_then(|n| n.link(sight.link));
        Self {
            netns: (&sight.netns).into(),
            dev: link.map(|l| NameJson::from(&l.name)),
            hook: hook(sight.way),
            direction: direction(sight.leg),
            packet: sight.header.text.clone(),
        }
    }
}

/// Where on the packet's way an interface's tap stands.
pub(super) fn hook(way: Way) -> &'static str {
    match way {
        Way::In => "receive",
        Way::Out => "transmit",
    }
}

/// What of the journey a sight is.
pub(super) fn direction(leg: Leg) -> &'static str {
    match leg {
        Leg::Request => "request",
        Leg::Answer => "answer",
        Leg::Error => "error",
        Leg::Redirect => "redirect",
        Leg::Question => "neighbour-question",
        Leg::Reply => "neighbour-reply",
    }
}

impl From<&Limit> for LimitJson {
    fn from(limit: &Limit) -> Self {
        Self { netns: limit.netns.as_ref().map(NameJson::from), what: limit.what.clone(), why: limit.why.clone() }
    }
}
