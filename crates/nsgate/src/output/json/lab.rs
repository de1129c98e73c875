//! The JSON of `nsgate lab`, schema 1.

use std::time::Duration;

use nsgate_core::model::conntrack::Entry;
use nsgate_core::trace::Ending;
use serde::Serialize;

use super::trace::{Trace, VerdictJson};
use crate::lab::{Done, Lab, Observed, Probed, Seen, Step, typed};

/// The version of this shape.
const SCHEMA: u32 = 1;

/// A lab from its first step to its last verdict.
#[derive(Serialize)]
pub(crate) struct LabJson {
    schema: u32,
    lab: String,
    title: String,
    ok: bool,
    milliseconds: f64,
    /// Of which spent waiting for answers that did not come.
    waited_milliseconds: f64,
    steps: Vec<StepJson>,
    /// What the last trace said.
    verdict: Option<VerdictJson>,
}

#[derive(Serialize)]
struct StepJson {
    number: usize,
    say: String,
    commands: Vec<String>,
    observed: Option<ObservedJson>,
    ok: bool,
    problem: Option<String>,
    milliseconds: f64,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum ObservedJson {
    Changed { changes: usize },
    Listening,
    Probes(ProbesJson),
    Setting { name: String, value: String },
    List { text: String },
    Flows { flows: Vec<FlowJson> },
    Trace { trace: Box<Trace> },
}

#[derive(Serialize)]
struct ProbesJson {
    sent: u16,
    outcome: &'static str,
    round_trip_milliseconds: Option<f64>,
    refusal: Option<String>,
    seen: Vec<SeenJson>,
}

#[derive(Serialize)]
struct SeenJson {
    netns: String,
    dev: String,
    packets: usize,
    first: Option<String>,
}

#[derive(Serialize)]
struct FlowJson {
    source: String,
    destination: String,
    answer_source: String,
    answer_destination: String,
}

/// One lab of the list.
#[derive(Serialize)]
pub(crate) struct ListedJson<'a> {
    name: &'a str,
    title: &'a str,
    summary: &'a str,
    codes: &'a [String],
}

impl LabJson {
    /// A lab that has not begun.
    pub(crate) fn new(name: &str, lab: &Lab) -> Self {
        Self {
            schema: SCHEMA,
            lab: name.to_owned(),
            title: lab.title.clone(),
            ok: true,
            milliseconds: 0.0,
            waited_milliseconds: 0.0,
            steps: Vec::new(),
            verdict: None,
        }
    }

    /// Adds a step that was performed.
    pub(crate) fn add(&mut self, step: &Step, done: &Done) {
        let took = milliseconds(done.took);
        self.ok &= done.problem.is_none();
        self.milliseconds += took;
        self.waited_milliseconds += done.observed.as_ref().map(waited).map_or(0.0, milliseconds);
        if let Some(Observed::Verdict(found)) = &done.observed {
            self.verdict = Some(VerdictJson::from(&found.report.verdict));
        }
        self.steps.push(StepJson {
            number: self.steps.len() + 1,
            say: step.say.clone(),
            commands: match &done.observed {
                Some(Observed::Mended(lines)) => lines.clone(),
                _ => typed(&step.action),
            },
            observed: done.observed.as_ref().map(ObservedJson::from),
            ok: done.problem.is_none(),
            problem: done.problem.clone(),
            milliseconds: took,
        });
    }
}

impl<'a> ListedJson<'a> {
    /// One lab of the list.
    pub(crate) fn new(name: &'a str, lab: &'a Lab) -> Self {
        Self { name, title: &lab.title, summary: &lab.summary, codes: &lab.codes }
    }
}

impl From<&Observed> for ObservedJson {
    fn from(observed: &Observed) -> Self {
        match observed {
            Observed::Changed(changes) => Self::Changed { changes: *changes },
            Observed::Mended(lines) => Self::Changed { changes: lines.len() },
            Observed::Listening => Self::Listening,
            Observed::Probed(probed) => Self::Probes(ProbesJson::from(probed)),
            Observed::Setting(name, value) => Self::Setting { name: name.to_string(), value: value.clone() },
            Observed::Listing(text) => Self::List { text: text.clone() },
            Observed::Flows(entries) => {
                let flow = |entry: &Entry| FlowJson {
                    source: entry.original.source.to_string(),
                    destination: entry.original.destination.to_string(),
                    answer_source: entry.reply.source.to_string(),
                    answer_destination: entry.reply.destination.to_string(),
                };
                Self::Flows { flows: entries.iter().map(flow).collect() }
            }
            Observed::Verdict(found) => Self::Trace {
                trace: Box::new(Trace::new(&found.asked, &found.world, &found.observation, &found.report)),
            },
        }
    }
}

impl From<&Probed> for ProbesJson {
    fn from(probed: &Probed) -> Self {
        Self {
            sent: probed.sent,
            outcome: probed.outcome.word(),
            round_trip_milliseconds: probed.round_trip.map(milliseconds),
            refusal: probed.refusal.clone(),
            seen: probed.seen.iter().map(SeenJson::from).collect(),
        }
    }
}

impl From<&Seen> for SeenJson {
    fn from(seen: &Seen) -> Self {
        let (netns, dev) = (seen.at.netns.to_string(), seen.at.dev.to_string());
        Self { netns, dev, packets: seen.packets, first: seen.packet.clone() }
    }
}

/// How long a step waited for what did not come.
fn waited(observed: &Observed) -> Duration {
    match observed {
        Observed::Probed(probed) => probed.waited,
        Observed::Verdict(found) if found.observation.ending == Ending::Silence => {
            Duration::from_millis(found.observation.waited)
        }
        _ => Duration::ZERO,
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
