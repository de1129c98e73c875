//! `upstream-silent`: the packet left this machine as it should, and nothing came back.

use std::net::IpAddr;

use nsgate_packet::error_words;

use super::readdress::is_link_local;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence};
use crate::model::Link;
use crate::model::segment::Segment;
use crate::trace::{Ending, Leg, ProbeKind};

/// The packet left by an interface behind which this machine sees nothing, and no answer came.
pub(super) fn silent(loss: &Loss<'_>) -> Option<Verdict> {
    let Stage::Left(link) = loss.stage else { return None };
    let segment = Segment::of(loss.world, loss.netns, link);
    if loss.leg != Leg::Request || !segment.open {
        return None;
    }
    let router = loss.route().gateway();
    if segment.holders(router.unwrap_or(loss.destination)).next().is_some() {
        return None;
    }
    let last = loss.last?;
    let source = last.header.source;
    let (kind, what) = came_of_it(loss, link);
    let summary = format!(
        "the request left {} by {} as from {source}, and {what}: the cause lies beyond this machine",
        loss.here(),
        link.name
    );
    let object = format!("{} beyond {}", loss.destination, link.name);
    Some(
        Verdict::new(Cause::UpstreamSilent, Place::at(loss.here(), &link.name), object, summary)
            .shown_by(evidence::seen(loss.world, last, ""))
            .shown_by_all(loss.route().route().map(|route| evidence::route(loss.netns, route)))
            .shown_by_all(next_hop(loss, link, router.unwrap_or(loss.destination)))
            .shown_by_all(held(loss, source))
            .shown_by(Evidence::new(kind, loss.here(), what))
            .advised(whom_to_ask(loss, link, router, source)),
    )
}

/// How it ended, and how that is known.
fn came_of_it(loss: &Loss<'_>, link: &Link) -> (EvidenceKind, String) {
    match &loss.observation.ending {
        Ending::IcmpError { from, icmp_type, code, .. } => {
            (EvidenceKind::Refusal, format!("{from} answered '{}'", error_words(family(*from), *icmp_type, *code)))
        }
        Ending::Reset => (EvidenceKind::Refusal, "a TCP reset came back".to_owned()),
        _ => (
            EvidenceKind::Sighting,
            format!("nothing came back at {} within {} ms", link.name, loss.observation.waited),
        ),
    }
}

fn family(address: IpAddr) -> nsgate_packet::Family {
    if address.is_ipv4() { nsgate_packet::Family::V4 } else { nsgate_packet::Family::V6 }
}

/// The next hop is there, as far as its link-layer address tells.
fn next_hop(loss: &Loss<'_>, link: &Link, address: IpAddr) -> Option<Evidence> {
    let here = |(netns, entry): &&(_, crate::model::Neighbour)| {
        *netns == *loss.here() && entry.link == link.index && entry.address == address && !entry.proxy
    };
    let (_, entry) = loss.observation.neighbours.iter().find(here)?;
    let mac = entry.mac.filter(|_| entry.state.valid())?;
    let text = format!("the next hop {address} is there, at {mac} on {}", link.name);
    Some(Evidence::new(EvidenceKind::Neighbour, loss.here(), text))
}

/// The source is this machine's own, so that it would take an answer.
fn held(loss: &Loss<'_>, source: IpAddr) -> Option<Evidence> {
    let holder = loss.netns.holder(source)?;
    let text = format!("{} holds {source}, to which answers have to come", holder.name);
    Some(Evidence::new(EvidenceKind::Link, loss.here(), text))
}

/// Whom to ask, and what for.
fn whom_to_ask(loss: &Loss<'_>, link: &Link, router: Option<IpAddr>, source: IpAddr) -> String {
    let destination = loss.destination;
    let packet = match loss.observation.probe.kind {
        ProbeKind::Icmp => "an echo request".to_owned(),
        kind => format!("{} to port {}", kind.name().to_uppercase(), kind.port().unwrap_or_default()),
    };
    let question = match (&loss.observation.ending, router) {
        (Ending::IcmpError { from, .. }, _) => format!(
            "Ask whoever runs {from}, which is not on this machine, why it refuses {packet} from {source} to {destination}."
        ),
        (Ending::Reset, _) => format!(
            "Ask whoever runs {destination} whether its service listens, and for {source} too; a firewall on the way may \
             refuse in its name."
        ),
        (_, Some(router)) => format!(
            "Ask whoever runs {router}, the router behind {}, whether {packet} from {source} to {destination} arrives \
             there and is passed on, and whether an answer to {source} comes back.",
            link.name
        ),
        (_, None) => format!(
            "Ask whoever runs {destination} whether {packet} from {source} arrives there, and what becomes of the answer."
        ),
    };
    let private = (is_private(source) && !is_private(destination)).then(|| {
        format!(" {source} is a private address: somebody there has to translate it, or no answer finds its way back.")
    });
    let silence = matches!(loss.observation.ending, Ending::Silence).then_some(
        " Trace another destination behind it first: it tells whether all is silent there, or this one alone.",
    );
    question + &private.unwrap_or_default() + silence.unwrap_or_default()
}

/// Whether an address means nothing outside of the network it is in.
fn is_private(address: IpAddr) -> bool {
    is_link_local(address)
        || match address {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{LinkKind, Neighbour, NeighbourState, Peer};
    use crate::trace::{Ending, Leg};

    #[test]
    fn the_packet_left_this_machine_as_it_should() {
        let fixture = beyond();
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("upstream-silent", "host/eth2"));
        assert_eq!(object, "114.114.114.114 beyond eth2");
    }

    fn beyond() -> Fixture {
        let mut fixture = Fixture::experiment();
        let uplink = fixture.link("host", "eth2");
        (uplink.kind, uplink.peer) = (LinkKind::Physical, Peer::None);
        fixture.world.namespaces.truncate(2);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        fixture
    }

    #[test]
    fn it_says_whom_to_ask_for_what() {
        let mut fixture = beyond();
        let advice = fixture.explained().advice.unwrap();
        assert!(
            advice.starts_with("Ask whoever runs 10.20.30.1, the router behind eth2, whether an echo request"),
            "{advice}"
        );
        assert!(advice.contains("10.20.30.182 is a private address"), "{advice}");
        let from = "192.0.2.1".parse().unwrap();
        fixture.observation.ending = Ending::IcmpError { from, icmp_type: 3, code: 13, mtu: None };
        let verdict = fixture.explained();
        assert!(verdict.summary.contains("192.0.2.1 answered 'communication administratively prohibited'"));
        assert!(verdict.advice.unwrap().starts_with("Ask whoever runs 192.0.2.1, which is not on this machine, why"));
    }

    #[test]
    fn what_was_right_here_is_told() {
        let mut fixture = beyond();
        let link = fixture.link("host", "eth2").index;
        let address = "10.20.30.1".parse().unwrap();
        let mac = Some(nsgate_packet::Mac([2, 0, 0, 0, 0, 9]));
        let entry = Neighbour { link, address, mac, state: NeighbourState::Reachable, proxy: false };
        fixture.observation.neighbours.push(("host".parse().unwrap(), entry));
        let told: Vec<String> = fixture.explained().evidence.into_iter().map(|e| e.text).collect();
        for text in [
            "default via 10.20.30.1 dev eth2",
            "the next hop 10.20.30.1 is there, at 02:00:00:00:00:09 on eth2",
            "eth2 holds 10.20.30.182, to which answers have to come",
            "nothing came back at eth2 within 1000 ms",
        ] {
            assert!(told.iter().any(|t| t == text), "{text}: {told:?}");
        }
    }

    #[test]
    fn what_is_lost_between_two_visible_ends_is_not_upstreams() {
        let mut fixture = Fixture::experiment();
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.seen(Leg::Request, "10.20.30.182", "114.114.114.114", &["host:eth2>"]);
        assert_eq!(fixture.verdict().0, "uncertain");
    }
}
