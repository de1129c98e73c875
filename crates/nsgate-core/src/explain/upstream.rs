//! `upstream-silent`: the packet left this machine as it should, and nothing came back.

use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence};
use crate::model::segment::Segment;
use crate::trace::{Ending, Leg};

/// The packet left by an interface behind which this machine sees nothing, and no answer came.
pub(super) fn silent(loss: &Loss<'_>) -> Option<Verdict> {
    let Stage::Left(link) = loss.stage else { return None };
    let segment = Segment::of(loss.world, loss.netns, link);
    if loss.leg != Leg::Request || !segment.open {
        return None;
    }
    let next = loss.route().gateway().unwrap_or(loss.destination);
    if segment.holders(next).next().is_some() {
        return None;
    }
    let what = match &loss.observation.ending {
        Ending::IcmpError { from, icmp_type, code, .. } => {
            format!("{from} answered with ICMP type {icmp_type} code {code}")
        }
        Ending::Reset => "a TCP reset came back".to_string(),
        _ => format!("nothing came back within {} ms", loss.observation.waited),
    };
    let last = loss.last?;
    let summary = format!(
        "the request left {} by {} as {} and {what}: the cause lies beyond this machine",
        loss.here(),
        link.name,
        last.header.text
    );
    let object = format!("{} beyond {}", loss.destination, link.name);
    Some(
        Verdict::new(Cause::UpstreamSilent, Place::at(loss.here(), &link.name), object, summary)
            .shown_by(evidence::seen(loss.world, last, ""))
            .shown_by(Evidence::new(EvidenceKind::Refusal, loss.here(), what))
            .advised(format!(
                "Ask whoever runs the network behind {} whether packets from {} to {} arrive there, and whether the \
                 answer is sent back to {}.",
                link.name, last.header.source, last.header.destination, last.header.source
            )),
    )
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{LinkKind, Peer};
    use crate::trace::Leg;

    #[test]
    fn the_packet_left_this_machine_as_it_should() {
        let mut fixture = Fixture::experiment();
        let uplink = fixture.link("host", "eth2");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        fixture.world.namespaces.truncate(2);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("upstream-silent", "host/eth2"));
        assert_eq!(object, "114.114.114.114 beyond eth2");
    }

    #[test]
    fn what_is_lost_between_two_visible_ends_is_not_upstreams() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        assert_eq!(fixture.verdict().0, "uncertain");
    }
}
