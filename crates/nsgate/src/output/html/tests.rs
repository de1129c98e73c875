//! The picture of hand-made journeys, and one whole page.

use std::time::Duration;

use nsgate_core::explain::{Cause, Evidence, EvidenceKind, Place, Report, Verdict};
use nsgate_core::model::{Limit, Namespace, NetnsName, World};
use nsgate_core::plan::{Plan, Step, simulate};
use nsgate_core::trace::{Ending, Header, Journey, Leg, Observation, Probe, ProbeKind, Sight, Way, Window};

use super::layout::{Layout, WIDTH};
use super::way::{Lane, Picture, SpaceKind};
use super::{labels, page};
use crate::inquiry::{Asked, Findings, Flows, Timing};

/// The experiment of a namespace behind a gateway, with a world behind it.
const EXPERIMENT: [&str; 21] = [
    "ip netns add ns_1",
    "ip netns add world",
    "ip netns add side",
    "ip link add veth3 type veth peer name veth2 netns ns_1",
    "ip link add eth2 type veth peer name w0 netns world",
    "ip -n world link add w1 type veth peer name s0 netns side",
    "ip -n side link add s1 type veth peer name veth9 netns ns_1",
    "ip addr add 1.1.1.3/24 dev veth3",
    "ip addr add 10.20.30.182/24 dev eth2",
    "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
    "ip -n world addr add 10.20.30.1/24 dev w0",
    "ip -n world addr add 114.114.114.114/32 dev lo",
    "ip link set veth3 up",
    "ip link set eth2 up",
    "ip -n ns_1 link set veth2 up",
    "ip -n world link set w0 up",
    "ip -n world link set lo up",
    "ip -n ns_1 route add default via 1.1.1.3 dev veth2",
    "ip route add default via 10.20.30.1 dev eth2",
    "ip rule add pref 32766 lookup main",
    "sysctl -w net.ipv4.ip_forward=0",
];

fn built(lines: &[&str]) -> World {
    let mut world = World::default();
    world.namespaces.push(Namespace::new(NetnsName::host(), 1));
    let steps: Vec<Step> = lines.iter().map(|line| line.parse().unwrap()).collect();
    simulate::apply_all(&mut world, &steps).unwrap();
    world
}

/// A sight as `LEG NETNS:LINK> SOURCE DESTINATION TTL`; `<` instead of `>` where it came in.
fn sight(world: &World, time: u64, text: &str) -> Sight {
    let words: Vec<&str> = text.split(' ').collect();
    let [leg, place, source, destination, ttl] = words[..] else { panic!("{text}") };
    let (netns, link) = place.trim_end_matches(['<', '>']).split_once(':').unwrap();
    let netns: NetnsName = netns.parse().unwrap();
    let link = world.namespace(&netns).unwrap().link_named(link).unwrap().index;
    let leg = match leg {
        "request" => Leg::Request,
        "answer" => Leg::Answer,
        "question" => Leg::Question,
        _ => Leg::Error,
    };
    let header = Header {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port: None,
        destination_port: None,
        protocol: 1,
        ttl: ttl.parse().unwrap(),
        length: 84,
        macs: None,
        reset: false,
        segment: None,
        text: format!("{source} > {destination}: ICMP echo, ttl {ttl}"),
    };
    let way = if place.ends_with('<') { Way::In } else { Way::Out };
    Sight { time, netns, link, way, leg, header, bytes: Vec::new(), ethernet: None, tunnel: None }
}

fn findings(world: World, sights: &[&str], ending: Ending, verdict: Verdict) -> Findings {
    let sights = sights.iter().enumerate().map(|(at, text)| sight(&world, at as u64, text)).collect();
    let probe = Probe {
        from: "ns_1".parse().unwrap(),
        destination: "114.114.114.114".parse().unwrap(),
        kind: ProbeKind::Icmp,
        size: 56,
        source: None,
        dont_fragment: false,
    };
    let asked = Asked::from(&probe);
    let observation = Observation {
        probe,
        identity: None,
        ending,
        journey: Journey { sights, carried: Vec::new() },
        kernel: Vec::new(),
        rules: Vec::new(),
        counted: Vec::new(),
        connections: Vec::new(),
        neighbour_changes: Vec::new(),
        watched: Vec::new(),
        tracked: Vec::new(),
        crowds: Vec::new(),
        neighbours: Vec::new(),
        routes: Vec::new(),
        attempts: 1,
        repeated: None,
        waited: 1000,
        window: Window { from: 1_800_000_000_000_000_000, until: 1_800_000_001_000_000_000 },
        limits: Vec::new(),
    };
    let report = Report { verdict, further: Vec::new() };
    let none = Duration::ZERO;
    let timing = Timing { world: none, ready: none, probe: none, gathered: none };
    Findings { asked, world, observation, report, timing, flows: Flows { tried: 1, lost: 1 } }
}

fn verdict(cause: Cause, netns: &str, link: Option<&str>, object: &str) -> Verdict {
    let place = Place { netns: netns.parse().unwrap(), link: link.map(|link| link.parse().unwrap()) };
    Verdict::new(cause, place, object, "a sentence")
}

fn picture(sights: &[&str], ending: Ending, verdict: Verdict) -> Picture {
    let findings = findings(built(&EXPERIMENT), sights, ending, verdict);
    Picture::new(&findings.world, &findings.observation, &findings.report.verdict)
}

/// Each box as its title and its interfaces, each with marks for the lanes that pass it.
fn boxes(picture: &Picture) -> Vec<String> {
    let interface = |i: &super::way::Interface| {
        let marks = [(i.down, "v"), (i.up, "^")].map(|(passed, mark)| if passed.is_some() { mark } else { "" });
        format!(" {}{}", i.name, marks.concat())
    };
    let space = |space: &super::way::Space| {
        let kind = match space.kind {
            SpaceKind::Seen => "",
            SpaceKind::Ahead => "?",
            SpaceKind::Beyond => "~",
        };
        format!("{}{kind}{}", space.title, space.interfaces.iter().map(interface).collect::<String>())
    };
    picture.spaces.iter().map(space).collect()
}

const OUT: [&str; 4] = [
    "request ns_1:veth2> 1.1.1.2 114.114.114.114 64",
    "request host:veth3< 1.1.1.2 114.114.114.114 64",
    "request host:eth2> 10.20.30.182 114.114.114.114 63",
    "request world:w0< 10.20.30.182 114.114.114.114 63",
];
const BACK: [&str; 4] = [
    "answer world:w0> 114.114.114.114 10.20.30.182 64",
    "answer host:eth2< 114.114.114.114 10.20.30.182 64",
    "answer host:veth3> 114.114.114.114 1.1.1.2 63",
    "answer ns_1:veth2< 114.114.114.114 1.1.1.2 63",
];

#[test]
fn the_answer_comes_back_through_the_same_boxes() {
    let all = [OUT, BACK].concat();
    let picture = picture(&all, Ending::Answered, verdict(Cause::Delivered, "world", None, "nothing"));
    assert_eq!(boxes(&picture), ["ns_1 veth2v^", "host veth3v^ eth2v^", "world w0v^"]);
    assert_eq!((picture.turn(), picture.loss.is_some()), (Some(2), false));
    assert!(picture.spaces[2].roles.contains(&"holds 114.114.114.114".to_owned()));
}

#[test]
fn an_answer_by_another_way_has_boxes_of_its_own_beside_the_request() {
    let back = [
        "answer world:w1> 114.114.114.114 1.1.1.2 64",
        "answer side:s0< 114.114.114.114 1.1.1.2 64",
        "answer side:s1> 114.114.114.114 1.1.1.2 63",
        "answer ns_1:veth9< 114.114.114.114 1.1.1.2 63",
    ];
    let all = [OUT, back].concat();
    let picture = picture(&all, Ending::Answered, verdict(Cause::Delivered, "world", None, "nothing"));
    assert_eq!(boxes(&picture), ["ns_1 veth2v veth9^", "host veth3v eth2v", "side s1^ s0^", "world w1^ w0v"]);
    let layout = Layout::new(&picture, &labels::Labels::new(&picture));
    let across: Vec<(i32, i32)> = layout.boxes.iter().map(|placed| placed.across).collect();
    assert_eq!(across, [(8, 352), (8, 320), (40, 352), (8, 352)], "a lane that goes by stays outside");
}

#[test]
fn what_was_not_reached_is_drawn_as_routes_would_lead() {
    let lost = verdict(Cause::ForwardingDisabled, "host", Some("veth3"), "net.ipv4.ip_forward");
    let picture = picture(&OUT[..2], Ending::Silence, lost);
    assert_eq!(boxes(&picture), ["ns_1 veth2v", "host veth3v eth2", "world? w0"]);
    let loss = picture.loss.as_ref().unwrap();
    assert_eq!((loss.lane, loss.space), (Lane::Down, 1));
    let layout = Layout::new(&picture, &labels::Labels::new(&picture));
    let (_, mark) = layout.loss.unwrap();
    let [(veth3, _), (eth2, _)] = layout.boxes[1].interfaces[..] else { panic!() };
    assert!(veth3 < mark && mark < eth2, "the mark stands between the two");
}

#[test]
fn a_packet_from_outside_begins_above_the_box_it_came_into() {
    let lost = verdict(Cause::ForwardingDisabled, "host", Some("veth3"), "net.ipv4.ip_forward");
    let picture = picture(&OUT[1..2], Ending::Silence, lost);
    assert_eq!(boxes(&picture), ["outside: 1.1.1.2~", "host veth3v eth2", "world? w0"]);
    assert!(picture.is_at_sender(Lane::Down, 0) && picture.spaces[0].roles == ["nobody watches here"]);
}

#[test]
fn a_lost_answer_is_marked_on_its_way() {
    let all = [&OUT[..], &BACK[..2]].concat();
    let lost = verdict(Cause::FilterDrop, "host", None, "a rule");
    let picture = picture(&all, Ending::Silence, lost);
    let loss = picture.loss.as_ref().unwrap();
    assert_eq!((loss.lane, loss.space, loss.cause.is_some()), (Lane::Up, 1, true));
    assert_eq!(boxes(&picture), ["ns_1 veth2v", "host veth3v eth2v^", "world w0v^"]);
}

#[test]
fn a_cause_elsewhere_is_told_in_its_own_box() {
    let lost = verdict(Cause::RouteMissing, "side", None, "a route");
    let picture = picture(&OUT, Ending::Silence, lost);
    let loss = picture.loss.as_ref().unwrap();
    assert_eq!((loss.space, loss.cause.is_none()), (2, true));
    let blamed: Vec<&str> =
        picture.spaces.iter().filter(|space| space.cause.is_some()).map(|space| space.title.as_str()).collect();
    assert_eq!(blamed, ["side"]);
}

#[test]
fn a_probe_that_never_left_and_a_question_for_a_neighbour_are_drawn() {
    let missing = || verdict(Cause::RouteMissing, "ns_1", None, "a route");
    let refused = Ending::Refused { operation: "connect", errno: 101, words: "Network is unreachable".into() };
    let none = picture(&[], refused, missing());
    assert_eq!(none.spaces[0].title, "ns_1");
    assert_eq!(none.loss.as_ref().map(|loss| loss.space), Some(0));
    let asked = picture(&["question ns_1:veth2> 1.1.1.2 1.1.1.3 0"], Ending::Silence, missing());
    assert_eq!(boxes(&asked)[0], "ns_1 veth2v");
}

#[test]
fn nothing_stands_outside_of_the_picture() {
    let long = "x".repeat(300);
    let lost = verdict(Cause::FilterDrop, "host", None, &long);
    for sights in [&OUT[..0], &OUT[..1], &OUT[..3], &[OUT, BACK].concat()[..6]] {
        let picture = picture(sights, Ending::Silence, lost.clone());
        let layout = Layout::new(&picture, &labels::Labels::new(&picture));
        let mut above = 0;
        for placed in &layout.boxes {
            assert!(placed.down.0 >= above && placed.down.1 > placed.title && placed.down.1 <= layout.height);
            assert!(placed.across.0 >= 0 && placed.across.1 <= WIDTH);
            above = placed.down.1;
        }
        let lines: Vec<i32> = layout.rows.iter().map(|(_, base)| *base).collect();
        assert!(lines.iter().all(|base| *base < layout.height), "{lines:?}");
        assert!(layout.loss.is_some());
    }
}

/// The article's loss, with foreign names in it.
fn article() -> Findings {
    let evidence = Evidence::new(EvidenceKind::Sysctl, &NetnsName::host(), "net.ipv4.ip_forward is 0");
    let lost = verdict(Cause::ForwardingDisabled, "host", Some("veth3"), "net.ipv4.ip_forward")
        .shown_by(evidence.differs("1", "0"))
        .mended_by(Plan::of("sysctl -w net.ipv4.ip_forward=1".parse().unwrap()))
        .advised("what it <b>opens</b>");
    let mut findings = findings(built(&EXPERIMENT), &OUT[..2], Ending::Silence, lost);
    let link =
        findings.world.namespaces.iter_mut().flat_map(|netns| &mut netns.links).find(|l| l.name.as_str() == "w0");
    link.unwrap().name = "<w&'\"".parse().unwrap();
    findings.report.further.push(verdict(Cause::FilterDrop, "host", None, "comment \"<script>\""));
    let limit = Limit { netns: None, what: "<img src=x>".into(), why: "a\u{202e}b".into() };
    findings.observation.limits.push(limit);
    findings
}

#[test]
fn a_page_is_whole_by_itself_and_escapes_what_is_foreign() {
    let page = page(&article(), &[]);
    for foreign in ["<b>", "<script", "<img", "<w&", "\u{202e}", "src=", "href=", "url(", "@import", "http:"] {
        let own = foreign == "<b>";
        let found = page.replace("http://www.w3.org/2000/svg", "").replace("&lt;img src=x&gt;", "");
        let found = if own { found.split("<details").next().unwrap_or_default().to_owned() } else { found };
        assert!(!found.contains(foreign), "{foreign}");
    }
    assert!(page.contains("&lt;w&amp;&#39;&quot;") && page.contains("a\\u{202e}b"));
    for element in ["html", "head", "body", "header", "main", "figure", "svg", "section", "ul", "ol", "li", "text", "g"]
    {
        let opened = page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element}");
    }
}

#[test]
fn the_page_of_the_article() {
    let page = page(&article(), &[]);
    let style = super::STYLE;
    insta::assert_snapshot!(page.replace(style, "/* page.css */\n").replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}
