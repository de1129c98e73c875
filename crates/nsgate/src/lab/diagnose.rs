//! Steps that ask nsgate itself for the cause.

use std::time::Duration;

use anyhow::Result;
use nsgate_core::explain::{Report, explain};
use nsgate_core::trace::Probe;

use super::Trace;
use crate::inquiry::{Asked, Findings, Flows, observe};

/// Traces, and compares the verdict with the one that the lab says.
pub(super) fn trace(trace: &Trace) -> Result<(Findings, Option<String>)> {
    let probe = Probe {
        from: trace.from.clone(),
        destination: trace.to,
        kind: trace.kind,
        size: trace.size.unwrap_or(trace.kind.usual_size()),
        source: None,
        dont_fragment: trace.dont_fragment,
    };
    let (world, observation, timing) = observe(&probe, Duration::from_millis(trace.wait_milliseconds), false)?;
    let report = explain(&world, &observation);
    let problem = wrong_verdict(trace, &report);
    let flows = Flows { tried: 1, lost: u16::from(!report.delivered()) };
    Ok((Findings { asked: Asked::from(&probe), world, observation, report, timing, flows }, problem))
}

fn wrong_verdict(trace: &Trace, report: &Report) -> Option<String> {
    let (expected, verdict) = (&trace.expect, &report.verdict);
    if verdict.cause.code() != expected.cause {
        return Some(format!("the verdict is {}, it should be {}", verdict.cause, expected.cause));
    }
    if expected.netns.as_ref().is_some_and(|netns| *netns != verdict.place.netns)
        || (expected.dev.is_some() && expected.dev != verdict.place.link)
    {
        return Some("the verdict names another place than it should".into());
    }
    let further: Vec<&str> = report.further.iter().map(|verdict| verdict.cause.code()).collect();
    if let Some(wanted) = expected.further.as_ref().filter(|wanted| **wanted != further) {
        return Some(format!("the packet would meet {further:?} next, it should meet {wanted:?}"));
    }
    let names_object = verdict.object.contains(&expected.object);
    (!names_object).then(|| format!("the verdict blames {}, it should blame {}", verdict.object, expected.object))
}
