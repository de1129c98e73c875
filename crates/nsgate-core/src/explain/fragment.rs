//! `fragment-lost`: a packet was cut, and one of its pieces is lost, so that the whole is.
//!
//! Only the first piece bears ports and the type of a message: what a rule lets pass of it, it may drop of the others.
//! Who puts the pieces together waits half a minute for the missing one, long after the probe has been given up; so the
//! counters of pieces that came and of packets that were made of them are what shows it.

use super::passage::Passage;
use super::turn::turns;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, filter, let_pass, mend};
use crate::filter::{Connection, Decision, Device, End, Layer, Subject, walk};
use crate::model::ruleset::Hook;
use crate::model::{Family, LinkName, Namespace, Sysctl};
use crate::trace::Sight;
use nsgate_packet::Ip;

/// A piece of the packet is dropped, or some of them wait in vain for the others.
pub(super) fn lost(loss: &Loss<'_>) -> Option<Verdict> {
    let pieces: Vec<&Sight> = loss.observation.journey.of(loss.leg).filter(|s| place_of(s).is_some()).collect();
    if pieces.is_empty() {
        return None;
    }
    if let Some(culprit) = dropped_here(loss, &pieces).or_else(|| dropped_on_its_way_out(loss, &pieces)) {
        return Some(by_rule(loss, &culprit));
    }
    waiting(loss, &pieces)
}

/// Where a piece begins in its packet, in bytes; none for a packet that was not cut.
fn place_of(sight: &Sight) -> Option<u16> {
    Ip::parse(&sight.bytes)?.fragment.map(|fragment| fragment.offset)
}

/// Who drops a piece.
struct Culprit<'a> {
    netns: &'a Namespace,
    link: Option<LinkName>,
    hook: Hook,
    decision: Decision<'a>,
    /// The piece as it comes to the rule.
    piece: Subject<'a>,
}

/// A rule of the namespace that lost a later piece, which lets the first one pass.
fn dropped_here<'a>(loss: &Loss<'a>, pieces: &[&'a Sight]) -> Option<Culprit<'a>> {
    let entered = loss.entered()?;
    let at = |sight: &&&'a Sight| sight.netns == *loss.here() && sight.link == entered.index;
    let of = |sight: &'a Sight| Passage::of(&Loss { last: Some(sight), ..loss.clone() });
    let later = pieces.iter().filter(at).find(|s| place_of(s).is_some_and(|place| place > 0))?;
    let passage = of(later)?;
    let (hook, decision) = passage.lost()?;
    let first = pieces.iter().filter(at).find(|s| place_of(s) == Some(0))?;
    // One that drops the first piece, too, drops the packet, cut or not.
    if of(first)?.lost().is_some() {
        return None;
    }
    let piece = passage.at(hook)?.after.clone();
    let link = (hook == Hook::Ingress).then(|| entered.name.clone());
    Some(Culprit { netns: loss.netns, link, hook, decision, piece })
}

/// A rule behind the last hook of the packet filter, where what was put together is cut again before it leaves.
fn dropped_on_its_way_out<'a>(loss: &Loss<'a>, pieces: &[&'a Sight]) -> Option<Culprit<'a>> {
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    turns.into_iter().rev().find_map(|turn| {
        let link = turn.way_out()?;
        let out = |sight: &&&'a Sight| sight.netns == turn.netns.name && sight.link == link.index;
        let first = pieces.iter().filter(out).find(|s| place_of(s) == Some(0))?;
        let subject = |packet| Subject {
            layer: Layer::Device,
            netns: turn.netns,
            packet,
            ethernet: first.ethernet.clone(),
            entered: None,
            leaves: Some(Device::from(link)),
            mark: Some(0),
            connection: Connection::default(),
        };
        let end = |packet| walk(&subject(packet), Hook::Egress).end;
        let later = later_piece(&first.bytes)?;
        let End::Lost(decision) = end(later.clone()) else { return None };
        matches!(end(first.bytes.clone()), End::Passed).then(|| Culprit {
            netns: turn.netns,
            link: Some(link.name.clone()),
            hook: Hook::Egress,
            decision,
            piece: subject(later),
        })
    })
}

/// The piece that follows this first one (IPv4).
fn later_piece(first: &[u8]) -> Option<Vec<u8>> {
    let ip = Ip::parse(first)?;
    let header = usize::from(first.first()? & 15) * 4;
    let place =
        u16::try_from(usize::from(u16::from_be_bytes([*first.get(2)?, *first.get(3)?])).checked_sub(header)? / 8);
    let mut later = first.to_vec();
    later.get_mut(6..8)?.copy_from_slice(&place.ok()?.to_be_bytes());
    ip.source.is_ipv4().then_some(later)
}

fn by_rule(loss: &Loss<'_>, culprit: &Culprit<'_>) -> Verdict {
    let object = filter::object(&culprit.decision);
    let summary = format!(
        "{} was cut, and '{object}' of {} drops its later pieces, though not the first",
        evidence::leg_name(loss.leg),
        culprit.netns.name
    );
    let place = Place { netns: culprit.netns.name.clone(), link: culprit.link.clone() };
    let mut verdict = Verdict::new(Cause::FragmentLost, place, object, summary)
        .shown_by(filter::of_rule(culprit.netns, &culprit.decision));
    if let Some(last) = loss.last {
        verdict = verdict.shown_by(evidence::seen(loss.world, last, " and was not seen again"));
    }
    verdict = verdict.shown_by_all(counted(loss));
    let mend = let_pass::let_pass(culprit.netns, culprit.hook, &culprit.decision, &culprit.piece);
    verdict.mended_by(mend.plan).undone_by(mend.undo).advised(
        "This lets all packets between these two pass at this place: a later piece bears no ports. Packets that need \
         not be cut are the cleaner way.",
    )
}

/// Pieces came to where they are put together, and no packet came of them.
fn waiting(loss: &Loss<'_>, pieces: &[&Sight]) -> Option<Verdict> {
    let (came, made) = reassembly(loss)?;
    let entered = loss.entered()?;
    let of_one = |sight: &&&Sight| sight.netns == *loss.here() && sight.link == entered.index;
    let seen = pieces.iter().filter(of_one).count();
    if came == 0 || made > 0 {
        return None;
    }
    if let Some(verdict) = no_room(loss) {
        return Some(verdict);
    }
    let header = loss.header()?;
    let object = format!("fragments of {} > {} at {}", header.source, header.destination, entered.name);
    let summary = format!(
        "{seen} fragments of {} were seen to come in at {} of {}, and no packet was made of them",
        evidence::leg_name(loss.leg),
        entered.name,
        loss.here()
    );
    Some(
        Verdict::new(Cause::FragmentLost, Place::at(loss.here(), &entered.name), object, summary)
            .shown_by(evidence::seen(loss.world, loss.last?, ""))
            .shown_by_all(counted(loss))
            .advised(
                "Compare what left the sender with what came in here (tcpdump 'ip[6:2] & 0x3fff != 0'): whoever stands \
                 between drops pieces. Smaller packets need none.",
            ),
    )
}

/// There is no room to put a packet of this size together (linux net/ipv4/inet_fragment.c).
fn no_room(loss: &Loss<'_>) -> Option<Verdict> {
    let limit = Sysctl::known(match loss.family() {
        Family::V4 => "net.ipv4.ipfrag_high_thresh",
        Family::V6 => "net.ipv6.ip6frag_high_thresh",
    });
    let room = loss.netns.sysctls.number(limit.as_str())?;
    // What is kept of a packet takes more room than its bytes.
    let needed = i64::from(loss.observation.probe.size);
    if room > needed {
        return None;
    }
    let summary = format!(
        "{} has no room to put fragments together, which it must do to track connections or to deliver: {limit} is {room}",
        loss.here()
    );
    let usual = 4 << 20;
    Some(
        Verdict::new(Cause::FragmentLost, Place::all_of(loss.here()), limit.as_str(), summary)
            .shown_by(evidence::seen(loss.world, loss.last?, ""))
            .shown_by(evidence::sysctl(loss.netns, &limit, &format!("more than {needed}"), room))
            .shown_by_all(counted(loss))
            .mended_by(mend::sysctl(loss.netns, &limit, &usual.to_string(), room))
            .advised("This is the kernel's own default. Packets that need not be cut are the cleaner way."),
    )
}

/// How many pieces came in to be put together meanwhile, and how many packets were made of them.
fn reassembly(loss: &Loss<'_>) -> Option<(u64, u64)> {
    if matches!(loss.stage, Stage::Made | Stage::Left(_)) {
        return None;
    }
    let [came, made] = names(loss.family()).map(|counter| loss.moved(counter));
    Some((came, made))
}

fn counted(loss: &Loss<'_>) -> Vec<Evidence> {
    let Some((came, made)) = reassembly(loss).filter(|(came, _)| *came > 0) else { return Vec::new() };
    let [name_of_came, name_of_made] = names(loss.family());
    let text = format!("{name_of_came} rose by {came} meanwhile, {name_of_made} by {made}");
    vec![Evidence::new(EvidenceKind::Counter, loss.here(), text)]
}

/// The counters of pieces and of packets that were made of them.
fn names(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["Ip.ReasmReqds", "Ip.ReasmOKs"],
        Family::V6 => ["Ip6.ReasmReqds", "Ip6.ReasmOKs"],
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::trace::Leg;

    /// An echo request in two pieces that came as far as this.
    fn cut(places: &[&str]) -> Fixture {
        let mut fixture = Fixture::experiment();
        for (offset, flags) in [(0u16, 0x20u8), (185, 0)] {
            let before = fixture.observation.journey.sights.len();
            fixture.request_seen(places);
            for sight in &mut fixture.observation.journey.sights[before..] {
                let mut bytes = vec![
                    0x45, 0, 5, 0xdc, 0, 9, 0, 0, 63, 1, 0, 0, 1, 1, 1, 2, 114, 114, 114, 114, 8, 0, 0, 0, 0, 7, 0, 1,
                ];
                bytes[6] = flags | (offset >> 8) as u8;
                bytes[7] = offset as u8;
                sight.bytes = bytes;
            }
        }
        fixture
    }

    fn filtered(fixture: &mut Fixture, netns: &str, text: &str) {
        fixture.netns(netns).ruleset = Ruleset::from_text(text).unwrap();
    }

    #[test]
    fn a_rule_that_drops_what_bears_no_header() {
        let mut fixture = cut(&["ns_1:veth2>", "host:veth3<"]);
        let rule = |condition: &str| {
            format!(
                "table netdev f {{ chain in {{ type filter hook ingress device \"veth3\" priority 0; policy accept;
                {condition} drop; }} }}"
            )
        };
        filtered(&mut fixture, "host", &rule("ip frag-off & 8191 != 0"));
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("fragment-lost", "host/veth3"));
        assert!(object.starts_with("netdev f in: ip frag-off"), "{object}");
        let mend = fixture.explained().fix.commands().concat();
        assert!(mend.contains("ip saddr 1.1.1.2 ip daddr 114.114.114.114 accept"), "{mend}");
        filtered(&mut fixture, "host", &rule("ip saddr 1.1.1.2"));
        assert_eq!(fixture.verdict().0, "filter-drop", "it drops what is not cut, too");
    }

    #[test]
    fn a_rule_behind_the_last_hook() {
        let mut fixture = cut(&["ns_1:veth2>", "host:veth3<"]);
        let all = cut(&["host:eth2>", "world:w0<"]).observation.journey.sights;
        fixture.observation.journey.sights.extend(all.into_iter().take(2));
        assert_ne!(fixture.verdict().0, "fragment-lost", "nobody is shown to drop one, or to wait for one");
        let text = "table netdev f { chain out { type filter hook egress device \"eth2\" priority 0; policy accept;
            ip frag-off & 8191 != 0 drop; } }";
        filtered(&mut fixture, "host", text);
        let (cause, place, _) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("fragment-lost", "host/eth2"));
    }

    #[test]
    fn pieces_that_nothing_is_made_of() {
        let mut fixture = cut(&["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"]);
        assert_ne!(fixture.verdict().0, "fragment-lost");
        fixture.counted("world", "Ip.ReasmReqds");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("fragment-lost", "world/w0"));
        assert_eq!(object, "fragments of 1.1.1.2 > 114.114.114.114 at w0");
        fixture.counted("world", "Ip.ReasmOKs");
        assert_ne!(fixture.verdict().0, "fragment-lost");
        // What was never cut lacks no piece.
        let mut whole = Fixture::experiment();
        whole.seen(
            Leg::Request,
            "1.1.1.2",
            "114.114.114.114",
            &["ns_1:veth2>", "host:veth3<", "host:eth2>", "world:w0<"],
        );
        whole.counted("world", "Ip.ReasmReqds");
        assert_ne!(whole.verdict().0, "fragment-lost");
    }

    #[test]
    fn there_is_no_room_to_put_pieces_together() {
        let mut fixture = cut(&["ns_1:veth2>", "host:veth3<"]);
        fixture.observation.probe.size = 4000;
        fixture.counted("host", "Ip.ReasmReqds");
        assert!(fixture.verdict().2.starts_with("fragments of"), "{:?}", fixture.verdict());
        fixture.sysctl("host", "net.ipv4.ipfrag_high_thresh", "4194304");
        assert!(fixture.verdict().2.starts_with("fragments of"));
        fixture.sysctl("host", "net.ipv4.ipfrag_high_thresh", "0");
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("fragment-lost", "host"));
        assert_eq!(object, "net.ipv4.ipfrag_high_thresh");
        assert_eq!(fixture.explained().fix.commands(), ["sysctl -w net.ipv4.ipfrag_high_thresh=4194304"]);
    }
}
