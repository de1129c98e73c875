//! One trace for people: the verdict, the way, the evidence, the mend.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nsgate_core::explain::{Cause, Evidence, Report, Verdict};
use nsgate_core::model::{NetnsName, World};
use nsgate_core::trace::{Header, Leg, Observation, Pattern, Sight, Way};

use super::{PROSE, hanging, wrap, wrap_to};
use crate::inquiry::{Asked, Flows};
use crate::output::style::{BAD, FAINT, GOOD, HEADING, TYPED, paint};
use crate::output::telling::{carries, is_resolution, telling};
use crate::output::told;

/// The whole answer.
pub(crate) fn show(asked: &Asked, world: &World, observation: &Observation, report: &Report, details: bool) -> String {
    let mut text = headline(asked, world, &report.verdict);
    let repeated = report.delivered() && observation.attempts > 1;
    if repeated {
        text += &wrap(&report.verdict.summary, 2);
    }
    text += &path(world, observation, &report.verdict, details);
    let verdict = &report.verdict;
    if !verdict.evidence.is_empty() && (details || repeated || !report.delivered()) {
        text += &heading("evidence");
        for evidence in &verdict.evidence {
            text += &item(&titled(world, &evidence_line(evidence)));
        }
    }
    if details {
        text += &told_of(world, observation);
    }
    text += &mend(verdict);
    for further in &report.further {
        text += &heading("then it would meet");
        let what = format!("{} at {}: {}", further.cause, further.place, further.summary);
        text += &item(&titled(world, &what));
    }
    text + &limits(world, observation)
}

/// What could not be looked at.
fn limits(world: &World, observation: &Observation) -> String {
    let mut text = String::new();
    for limit in world.limits.iter().chain(&observation.limits) {
        let of = limit.netns.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
        let what = format!("not looked at: {}{of} ({})", limit.what, limit.why);
        if text.is_empty() {
            text.push('\n');
        }
        text += &paint(FAINT, hanging(&titled(world, &what), 0).trim_end());
        text.push('\n');
    }
    text
}

/// One of several that stand below each other.
fn item(text: &str) -> String {
    hanging(text, 2)
}

/// What is said while a packet of somebody else is waited for.
pub(crate) fn waiting(pattern: &Pattern, at: &NetnsName, wait: Duration, watched: usize) -> String {
    let seconds = wait.as_secs_f32();
    let namespaces = if watched == 1 { "1 namespace is".to_owned() } else { format!("{watched} namespaces are") };
    let text = format!("waiting in {at} for the next packet that is '{pattern}', at the most {seconds} s;");
    wrap(&format!("{text} {namespaces} watched, Ctrl-C ends it"), 0).trim_end().to_owned()
}

/// What is said where none came.
pub(crate) fn nothing_heard(report: &Report) -> String {
    let verdict = &report.verdict;
    let mut text = format!("{} {}\n", paint(BAD, "✗ nothing came:"), verdict.object);
    text += &wrap(&verdict.summary, 2);
    text += &heading("evidence");
    for evidence in &verdict.evidence {
        text += &item(&evidence_line(evidence));
    }
    text + &mend(verdict)
}

/// How many of several flows were lost.
pub(crate) fn share(Flows { tried, lost }: Flows) -> String {
    match (tried, lost) {
        (1, _) => String::new(),
        (_, 0) => format!("\nAll {tried} flows are answered; what is shown is the last of them.\n"),
        _ if tried == lost => format!("\nAll {tried} flows are lost; what is shown is the first of them.\n"),
        _ => format!("\n{lost} of {tried} flows are lost; what is shown is the first of them.\n"),
    }
}

/// One stable line: the code, the place, the object.
pub(crate) fn brief(report: &Report) -> String {
    let verdict = &report.verdict;
    format!("{}\t{}\t{}\n", verdict.cause, verdict.place, verdict.object)
}

fn headline(what: &Asked, world: &World, verdict: &Verdict) -> String {
    let mut text = String::new();
    if verdict.cause == Cause::Delivered {
        let _ = writeln!(text, "{} {what}", paint(GOOD, "✓ delivered:"));
        return text;
    }
    let _ = writeln!(text, "{} {what}", paint(BAD, "✗ lost:"));
    let _ = writeln!(text, "  {} at {}", paint(BAD, verdict.cause.code()), titled(world, &verdict.place.to_string()));
    text + &wrap(&titled(world, &verdict.summary), 2)
}

/// A text with each namespace called as people call it. Commands are left alone: they take the names that tools know.
pub(in crate::output) fn titled(world: &World, text: &str) -> String {
    let mut text = text.to_owned();
    for netns in world.namespaces.iter().filter(|netns| netns.title() != &netns.name) {
        let (name, title) = (netns.name.as_str(), netns.title().as_str());
        let mut done = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(name) {
            let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
            // `pid:7` is not meant where `pid:71` is written.
            let within = behind.starts_with(|c: char| c.is_ascii_alphanumeric());
            done += before;
            done += if within { name } else { title };
            rest = behind;
        }
        done += rest;
        text = done;
    }
    text
}

fn heading(title: &str) -> String {
    format!("\n{}\n", paint(HEADING, title))
}

/// The way, one row a sight; the last row says where it ended.
fn path(world: &World, observation: &Observation, verdict: &Verdict, details: bool) -> String {
    let rows = if details {
        observation.journey.everything().into_iter().cloned().collect()
    } else {
        telling(&observation.without_repetition())
    };
    let name = |s: &Sight| {
        let link = world.namespace(&s.netns).and_then(|n| n.link(s.link));
        link.map_or_else(|| s.link.0.to_string(), |l| l.name.to_string())
    };
    let ends = (verdict.cause != Cause::Delivered).then_some(&verdict.place.netns);
    let shown = rows.iter().map(|sight| &sight.netns).chain(ends);
    let netns_width = shown.map(|netns| world.title(netns).as_str().len()).max().unwrap_or(0);
    let link_width = rows.iter().map(|s| name(s).len()).max().unwrap_or(0);
    let mut text = heading("path");
    for (row, sight) in rows.iter().enumerate() {
        let before =
            rows[..row].iter().rev().find(|s| s.leg == sight.leg && s.tunnel.is_none() && carries(s) == carries(sight));
        let mark = if matches!(sight.leg, Leg::Error | Leg::Redirect | Leg::Question) { " " } else { "✓" };
        let _ = write!(
            text,
            "  {} {:netns_width$}  {:link_width$}  {}  ",
            paint(GOOD, mark),
            world.title(&sight.netns),
            name(sight),
            way(sight.way),
        );
        let said = if details { sight.header.text.clone() } else { packet(sight, before) };
        text += &within(&said, 4 + netns_width + 2 + link_width + 7);
    }
    if verdict.cause != Cause::Delivered {
        let link = verdict.place.link.as_ref().map(ToString::to_string).unwrap_or_default();
        let netns = world.title(&verdict.place.netns);
        let _ = write!(text, "  {} {netns:netns_width$}  {link:link_width$}       ", paint(BAD, "✗"));
        let column = 4 + netns_width + 2 + link_width + 7;
        text += wrap_to(PROSE.max(column + 20), &verdict.object, column).trim_start();
    }
    text
}

/// What stands from this column on, in more than one line only where it must: what was rewritten has a line of its own.
fn within(text: &str, column: usize) -> String {
    if column + text.chars().count() <= PROSE {
        return format!("{text}\n");
    }
    let parts = text.split("  ").map(|part| wrap_to(PROSE.max(column + 20), part, column));
    parts.collect::<String>().trim_start().to_owned()
}

/// What was told besides the sightings, and which counters moved.
fn told_of(world: &World, observation: &Observation) -> String {
    let mut text = String::new();
    let mut before = "";
    for event in told::all(world, observation) {
        if event.kind != before {
            text += &heading(match event.kind {
                "connection" => "connection tracking",
                "neighbour" => "neighbours",
                "rule" => "packet filter",
                _ => "kernel",
            });
            before = event.kind;
        }
        let netns = event.netns.map_or("nowhere", NetnsName::as_str);
        text += &item(&format!("{netns}: {}", event.text));
    }
    let moved = observation.watched.iter().filter(|watched| watched.counters.iter().next().is_some());
    for (row, watched) in moved.enumerate() {
        if row == 0 {
            text += &heading("counters");
        }
        let counters: Vec<String> =
            watched.counters.iter().map(|(name, by)| format!("{name} {:+}", by.cast_signed())).collect();
        text += &item(&format!("{}: {}", watched.netns, counters.join(", ")));
    }
    text
}

fn way(way: Way) -> &'static str {
    match way {
        Way::In => "in ",
        Way::Out => "out",
    }
}

/// A packet in few words: who to whom, and what was rewritten since it was seen `before`.
fn packet(sight: &Sight, before: Option<&Sight>) -> String {
    let header = &sight.header;
    if is_resolution(sight) || matches!(sight.leg, Leg::Error | Leg::Redirect) || sight.tunnel.is_some() {
        return header.text.clone();
    }
    let end = |address: IpAddr, port: Option<u16>| {
        port.map_or(address.to_string(), |p| SocketAddr::new(address, p).to_string())
    };
    let source = end(header.source, header.source_port);
    let destination = end(header.destination, header.destination_port);
    let changed =
        |field: fn(&Header) -> (IpAddr, Option<u16>)| before.is_some_and(|b| field(&b.header) != field(header));
    let rewritten = match (changed(|h| (h.source, h.source_port)), changed(|h| (h.destination, h.destination_port))) {
        (true, true) => "  both rewritten",
        (true, false) => "  source rewritten",
        (false, true) => "  destination rewritten",
        (false, false) => "",
    };
    let word = match (sight.leg, header.reset, carries(sight)) {
        (_, true, _) => "reset ",
        (Leg::Answer, _, true) => "answer's data ",
        (Leg::Answer, ..) => "answer ",
        (_, _, true) => "data ",
        _ => "",
    };
    format!("{word}{source} > {destination} ttl {}{rewritten}", header.ttl)
}

fn evidence_line(evidence: &Evidence) -> String {
    let differs = match (&evidence.expected, &evidence.found) {
        (Some(expected), Some(_)) => format!(" (expected: {expected})"),
        _ => String::new(),
    };
    format!("{} in {}: {}{differs}", evidence.kind.name(), evidence.netns, evidence.text)
}

fn mend(verdict: &Verdict) -> String {
    let mut text = String::new();
    let commands = verdict.fix.commands();
    if !commands.is_empty() {
        text += &heading("mend");
        for command in commands {
            let _ = writeln!(text, "  {}", paint(TYPED, &command));
        }
        text += &heading("undo");
        for command in verdict.undo_lines() {
            let _ = writeln!(text, "  {}", paint(TYPED, &command));
        }
    }
    if !verdict.lasting.is_empty() {
        text += &heading("to keep it across a reboot");
    }
    for lasting in &verdict.lasting {
        let colon = if lasting.lines.is_empty() { "" } else { ":" };
        text += &item(&format!("{}{colon}", lasting.place));
        for line in &lasting.lines {
            let _ = writeln!(text, "    {}", paint(TYPED, line));
        }
    }
    if let Some(advice) = &verdict.advice {
        text.push('\n');
        text += &wrap(advice, 0);
    }
    text
}

#[cfg(test)]
mod tests {
    use nsgate_core::model::Namespace;

    use super::*;

    #[test]
    fn a_row_breaks_only_where_it_must() {
        let row = "answer 114.114.114.114:80 > 10.20.30.182:40000 ttl 64  source rewritten";
        assert_eq!(within(row, 3), format!("{row}\n"));
        let broken = within(row, 20);
        let lines: Vec<&str> = broken.lines().collect();
        assert_eq!(lines.len(), 2, "{broken}");
        assert_eq!(lines, [&row[..row.len() - 18], &format!("{:20}source rewritten", "")], "{broken}");
    }

    #[test]
    fn texts_call_containers_by_their_names() {
        let mut world = World::default();
        let mut container = Namespace::new("pid:7".parse().unwrap(), 1);
        container.aliases = vec!["docker:web".parse().unwrap()];
        world.namespaces = vec![container, Namespace::new("pid:71".parse().unwrap(), 2)];
        let text = "a packet left pid:7 for pid:71 and came back to pid:7";
        assert_eq!(titled(&world, text), "a packet left docker:web for pid:71 and came back to docker:web");
    }
}
