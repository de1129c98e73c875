//! `return-route-missing` and `echo-ignored`: the request arrived, and the answer was not made or not sent.

use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::lookup::Answer;
use crate::model::{Family, Sysctl};
use crate::trace::{Leg, ProbeKind, Sight, Way};

/// The destination is set not to answer echo requests.
pub(super) fn echo_ignored(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Request || !loss.arrived() || loss.observation.probe.kind != ProbeKind::Icmp {
        return None;
    }
    let switch = Sysctl::known(match loss.family() {
        Family::V4 => "net.ipv4.icmp_echo_ignore_all",
        Family::V6 => "net.ipv6.icmp.echo_ignore_all",
    });
    let value = loss.netns.sysctls.number(switch.as_str()).filter(|v| *v != 0)?;
    let summary = format!("{} got the echo request and is set not to answer: {switch} is {value}", loss.here());
    Some(
        Verdict::new(Cause::EchoIgnored, Place::all_of(loss.here()), switch.as_str(), summary)
            .shown_by(evidence::seen(loss.world, loss.last?, ""))
            .shown_by(evidence::sysctl(loss.netns, &switch, "0", value))
            .mended_by(mend::sysctl(loss.netns, &switch, "0", value)),
    )
}

/// The destination, or a hop beyond, has no way back to the source, within the operator's own networks.
pub(super) fn route_missing(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.leg != Leg::Answer || matches!(loss.stage, Stage::Left(_)) || loss.route() != Answer::Missing {
        return None;
    }
    let to = loss.destination;
    let summary = format!("the request arrived, but {} has no route back to {to}", loss.here());
    let mut verdict = Verdict::new(
        Cause::ReturnRouteMissing,
        Place::all_of(loss.here()),
        format!("route to {to} (missing)"),
        summary,
    )
    .shown_by(
        Evidence::new(EvidenceKind::Route, loss.here(), format!("no route matches {to}"))
            .differs("a route back", "none"),
    );
    if let Some(request) = loss.observation.journey.furthest(Leg::Request) {
        verdict = verdict.shown_by(evidence::seen(loss.world, request, ""));
    }
    Some(verdict.mended_by(mend::route_back(loss)))
}

/// The answer came back by another way, and as from somebody else.
pub(super) fn astray(loss: &Loss<'_>) -> Option<Verdict> {
    let home = |s: &&Sight| s.netns == loss.observation.probe.from && s.way == Way::In;
    let came = loss.observation.journey.of(Leg::Answer).rfind(home)?;
    if came.header.source == loss.observation.probe.destination {
        return None;
    }
    let maker = turns(loss.world, &loss.observation.journey, Leg::Answer).into_iter().next()?;
    let asked = loss.observation.journey.of(Leg::Request).rfind(|s| s.netns == maker.netns.name)?;
    let link = maker.way_out().filter(|l| l.index != asked.link)?;
    let object = format!("answer by {} instead of {}", link.name, maker.netns.link(asked.link)?.name);
    let summary = format!(
        "{} answers by {}, and the answer reaches {} as from {}: it takes another way than the request and is translated there",
        maker.netns.name, link.name, loss.observation.probe.from, came.header.source
    );
    Some(
        Verdict::new(Cause::ReturnPathAsymmetric, Place::at(&maker.netns.name, &link.name), object, summary)
            .shown_by(evidence::seen(loss.world, came, ""))
            .mended_by(mend::route_to(loss, maker.netns, asked))
            .advised("The mend leads the answer back by the router that the request came by, for this one source."),
    )
}
