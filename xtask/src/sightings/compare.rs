//! What others saw of a probe, held against what nsgate says that it saw.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::capture::Record;
use super::monitor::{Event, Step};
use super::packet::{Kind, kind};

/// What was found in one scenario, or in all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Packets of the probe that tcpdump saw while nsgate watched.
    pub(crate) records: usize,
    /// Of which nsgate saw at the very same nanosecond.
    pub(crate) same_time: usize,
    /// Packets that hosts sent unasked.
    pub(crate) unasked: usize,
    /// Events of the packet filter that nft told of while nsgate watched.
    pub(crate) events: usize,
    /// What happened at the very end, when nsgate may have seen it or not, and has not.
    pub(crate) late: usize,
    /// What nsgate misses, a line each.
    pub(crate) missing: Vec<String>,
    /// What nsgate claims and nobody else saw, a line each.
    pub(crate) invented: Vec<String>,
}

/// What one namespace's tools saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Its name.
    pub(crate) netns: String,
    /// tcpdump's records.
    pub(crate) records: Vec<Record>,
    /// nft's events.
    pub(crate) events: Vec<Event>,
}

/// How far apart two may put the same thing: who has no time of the packet itself takes that of its own work.
const GRACE: u64 = 3_000_000;

/// Compares what the tools saw with an answer of `nsgate trace --details --json`.
pub(crate) fn compare(seen: &[Seen], answer: &Value) -> Result<Found> {
    let observation = answer.get("observation").context("the answer has no observation")?;
    let moment = |name: &str| observation[name].as_u64().with_context(|| format!("the observation has no {name}"));
    let window = Window { from: moment("from")?, until: moment("until")? };
    let mut found = Found::default();
    found.frames(seen, list(observation, "sightings")?, window)?;
    found.rules(seen, list(observation, "rules")?, window)?;
    Ok(found)
}

fn list<'a>(observation: &'a Value, name: &str) -> Result<&'a [Value]> {
    let list = observation[name].as_array().with_context(|| format!("the observation has no {name}"))?;
    Ok(list)
}

/// When nsgate watched.
#[derive(Clone, Copy)]
struct Window {
    from: u64,
    until: u64,
}

impl Window {
    fn holds(self, time: u64) -> bool {
        (self.from..=self.until).contains(&time)
    }

    fn is_at_the_end(self, time: u64) -> bool {
        time + GRACE > self.until
    }
}

/// What nsgate says of one frame.
struct Sighting<'a> {
    netns: &'a str,
    interface: u64,
    outgoing: bool,
    time: u64,
    bytes: Vec<u8>,
}

impl<'a> Sighting<'a> {
    fn read(value: &'a Value) -> Result<Self> {
        let text = |name: &str| value[name].as_str().with_context(|| format!("a sighting without {name}"));
        let number = |name: &str| value[name].as_u64().with_context(|| format!("a sighting without {name}"));
        Ok(Self {
            netns: text("netns")?,
            interface: number("index")?,
            outgoing: text("hook")? == "transmit",
            time: number("time")?,
            bytes: bytes(text("bytes")?).context("bytes that are none")?,
        })
    }

    /// Whether it is the same frame at the same place; nsgate may keep fewer bytes of it.
    fn is(&self, netns: &str, record: &Record) -> bool {
        self.netns == netns
            && self.interface == u64::from(record.interface)
            && self.outgoing == record.outgoing
            && record.bytes.starts_with(&self.bytes)
            && (self.bytes.len() == record.bytes.len() || self.bytes.len() >= KEPT)
    }
}

/// So much of each packet nsgate keeps at the least.
const KEPT: usize = 700;

fn bytes(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

impl Found {
    fn frames(&mut self, seen: &[Seen], claimed: &[Value], window: Window) -> Result<()> {
        let mut claimed: Vec<Sighting<'_>> = claimed.iter().map(Sighting::read).collect::<Result<_>>()?;
        let records: Vec<(&str, &Record)> =
            seen.iter().flat_map(|seen| seen.records.iter().map(|record| (seen.netns.as_str(), record))).collect();
        // First those of the very same time: the same bytes may have come by before, or come again.
        let (exact, other): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(netns, record)| take(&mut claimed, netns, record, 0));
        for (netns, record) in exact {
            self.frame(netns, record, true, window);
            self.same_time += usize::from(is_wanted(record));
        }
        for (netns, record) in other {
            let found = take(&mut claimed, netns, record, GRACE);
            self.frame(netns, record, found, window);
        }
        claimed.retain(|sighting| !is_left_out(sighting, seen));
        self.invented.extend(claimed.iter().map(|sighting| {
            let Sighting { netns, interface, outgoing, .. } = sighting;
            format!("{netns}: a frame at interface {interface}, outgoing {outgoing}: {:02x?}", sighting.bytes)
        }));
        Ok(())
    }

    /// One of tcpdump's records, which nsgate has or has not.
    fn frame(&mut self, netns: &str, record: &Record, found: bool, window: Window) {
        let watched = window.holds(record.time);
        if !is_wanted(record) {
            self.unasked += usize::from(watched);
        } else if found {
            self.records += 1;
        } else if watched && window.is_at_the_end(record.time) {
            self.late += 1;
        } else if watched {
            self.records += 1;
            self.missing.push(describe(netns, record, window));
        }
    }

    fn rules(&mut self, seen: &[Seen], claimed: &[Value], window: Window) -> Result<()> {
        let mut ours: BTreeMap<(&str, u64), Vec<Step>> = BTreeMap::new();
        for event in claimed {
            let netns = event["netns"].as_str().context("a rule event without netns")?;
            let packet = event["packet"].as_u64().context("a rule event without packet")?;
            ours.entry((netns, packet)).or_default().push(step(event)?);
        }
        for Seen { netns, events, .. } in seen {
            let packets: BTreeSet<u32> = events.iter().map(|event| event.packet).collect();
            for packet in packets {
                let theirs: Vec<&Event> = events.iter().filter(|event| event.packet == packet).collect();
                let mine = ours.remove(&(netns.as_str(), packet.into())).unwrap_or_default();
                self.packet(netns, &theirs, &mine, window);
            }
        }
        for ((netns, packet), steps) in ours {
            self.invented.extend(steps.iter().map(|step| format!("{netns}: packet {packet:08x} at {step:?}")));
        }
        Ok(())
    }

    /// One packet's way through the packet filter of one namespace.
    fn packet(&mut self, netns: &str, theirs: &[&Event], mine: &[Step], window: Window) {
        let same = theirs.iter().zip(mine).take_while(|(event, step)| event.step == **step).count();
        self.events += same;
        for event in &theirs[same..] {
            if mine.len() == same && window.is_at_the_end(event.read) {
                self.late += 1;
            } else {
                self.events += 1;
                self.missing.push(format!("{netns}: packet {:08x} at {:?}", event.packet, event.step));
            }
        }
        self.invented.extend(mine[same..].iter().map(|step| format!("{netns}: {step:?}")));
    }

    /// As text, for the task outside.
    pub(crate) fn to_json(&self) -> Value {
        let Self { records, same_time, unasked, events, late, missing, invented } = self;
        json!({
            "records": records, "same_time": same_time, "unasked": unasked, "events": events, "late": late,
            "missing": missing, "invented": invented
        })
    }

    /// Reads what `to_json` wrote.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value[name].as_u64().map(|number| number as usize);
        let lines = |name: &str| -> Option<Vec<String>> {
            value[name].as_array()?.iter().map(|line| line.as_str().map(str::to_owned)).collect()
        };
        Some(Self {
            records: number("records")?,
            same_time: number("same_time")?,
            unasked: number("unasked")?,
            events: number("events")?,
            late: number("late")?,
            missing: lines("missing")?,
            invented: lines("invented")?,
        })
    }

    /// Adds what was found elsewhere.
    pub(crate) fn add(&mut self, other: Found) {
        self.records += other.records;
        self.same_time += other.same_time;
        self.unasked += other.unasked;
        self.events += other.events;
        self.late += other.late;
        self.missing.extend(other.missing);
        self.invented.extend(other.invented);
    }
}

/// Takes away the claim that is a record, the nearest in time; false if there is none within this distance.
fn take(claimed: &mut Vec<Sighting<'_>>, netns: &str, record: &Record, distance: u64) -> bool {
    let away = |sighting: &Sighting<'_>| sighting.time.abs_diff(record.time);
    let same = claimed.iter().enumerate().filter(|(_, s)| s.is(netns, record) && away(s) <= distance);
    let nearest = same.min_by_key(|(_, sighting)| away(sighting)).map(|(at, _)| at);
    nearest.map(|at| claimed.remove(at)).is_some()
}

/// Whether nsgate has to see a packet.
fn is_wanted(record: &Record) -> bool {
    !matches!(kind(record.protocol, &record.bytes), Kind::Unasked(_))
}

/// Whether tcpdump passes over a frame: what goes out on a loopback interface, it shows only as it comes back in.
fn is_left_out(sighting: &Sighting<'_>, seen: &[Seen]) -> bool {
    let records = seen.iter().filter(|seen| seen.netns == sighting.netns).flat_map(|seen| &seen.records);
    let mut back = records.filter(|record| record.loopback && !record.outgoing);
    back.any(|back| sighting.outgoing && sighting.is(sighting.netns, &Record { outgoing: true, ..back.clone() }))
}

/// A rule event of nsgate's in the terms of nft.
fn step(event: &Value) -> Result<Step> {
    let text = |name: &str| event[name].as_str().with_context(|| format!("a rule event without {name}"));
    let verdict = event["verdict"].as_str().unwrap_or("unknown");
    Ok(Step {
        chain: format!("{} {} {}", text("family")?, text("table")?, text("chain")?),
        handle: event["handle"].as_u64(),
        verdict: event["to"].as_str().map_or_else(|| verdict.to_owned(), |to| format!("{verdict} {to}")),
    })
}

fn describe(netns: &str, record: &Record, window: Window) -> String {
    let Record { interface, outgoing, protocol, time, .. } = record;
    let way = if *outgoing { "out" } else { "in" };
    let before_the_end = window.until.saturating_sub(*time) / 1000;
    let start = &record.bytes[..record.bytes.len().min(64)];
    format!(
        "{netns}: a frame {way} at interface {interface}, {before_the_end} us before the end: {protocol:04x} {start:02x?}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::monitor::event;
    use super::*;

    const REQUEST: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];

    fn record(time: u64, outgoing: bool) -> Record {
        Record { time, interface: 2, loopback: false, outgoing, protocol: 0x800, bytes: REQUEST.to_vec() }
    }

    fn sighting(time: u64, hook: &str) -> Value {
        let bytes = "4500001400000000401100000101010102020202";
        json!({"netns": "host", "index": 2, "hook": hook, "time": time, "bytes": bytes})
    }

    fn answer(sightings: &[Value], rules: &[Value]) -> Value {
        json!({"observation": {"from": 10, "until": 10 * GRACE, "sightings": sightings, "rules": rules}})
    }

    fn seen(records: Vec<Record>, lines: &[&str]) -> [Seen; 1] {
        let events = lines.iter().filter_map(|line| event(20, line)).collect();
        [Seen { netns: "host".into(), records, events }]
    }

    #[test]
    fn a_frame_that_is_not_there_twice_is_missed_once() {
        let tcpdump = seen(vec![record(20, true), record(20, false), record(30, true)], &[]);
        let found = compare(&tcpdump, &answer(&[sighting(20, "transmit"), sighting(21, "receive")], &[])).unwrap();
        assert_eq!((found.records, found.same_time, found.missing.len()), (3, 1, 1));
        assert!(found.missing[0].contains("out at interface 2"), "{found:?}");
        assert!(found.invented.is_empty());
    }

    #[test]
    fn the_same_bytes_at_another_time_are_another_frame() {
        let tcpdump = seen(vec![record(5, true), record(3 * GRACE, true), record(5 * GRACE, true)], &[]);
        let found = compare(&tcpdump, &answer(&[sighting(3 * GRACE, "transmit")], &[])).unwrap();
        assert_eq!((found.records, found.missing.len(), found.invented.len()), (2, 1, 0));
        assert!(found.missing[0].contains(&format!("{} us", 5 * GRACE / 1000)), "{found:?}");
    }

    #[test]
    fn what_was_before_after_or_at_the_very_end_is_not_held_against_it() {
        let tcpdump = seen(vec![record(9, true), record(10 * GRACE + 1, true), record(10 * GRACE - 1, true)], &[]);
        let found = compare(&tcpdump, &answer(&[], &[])).unwrap();
        assert_eq!((found.records, found.late, found.missing.len()), (0, 1, 0));
    }

    #[test]
    fn what_nobody_else_saw_is_told() {
        let found = compare(&seen(Vec::new(), &[]), &answer(&[sighting(20, "receive")], &[])).unwrap();
        assert_eq!(found.invented.len(), 1);
    }

    #[test]
    fn tcpdump_shows_the_loopback_interface_one_way_only() {
        let back = Record { loopback: true, ..record(20, false) };
        let both = answer(&[sighting(20, "transmit"), sighting(20, "receive")], &[]);
        let found = compare(&seen(vec![back], &[]), &both).unwrap();
        assert_eq!((found.records, found.missing.len(), found.invented.len()), (1, 0, 0));
        let found = compare(&seen(vec![record(20, false)], &[]), &both).unwrap();
        assert_eq!(found.invented.len(), 1);
    }

    #[test]
    fn a_packets_way_through_the_filter_must_be_the_same_step_by_step() {
        let rule = |handle: Option<u64>, verdict: &str| {
            json!({"netns": "host", "packet": 1, "family": "ip", "table": "t", "chain": "c", "handle": handle,
                "verdict": verdict, "to": null})
        };
        let lines = [
            "trace id 00000001 ip t c rule accept # handle 4 (verdict accept)",
            "trace id 00000001 ip t c policy drop",
        ];
        let both = answer(&[], &[rule(Some(4), "accept"), rule(None, "drop")]);
        let found = compare(&seen(Vec::new(), &lines), &both).unwrap();
        assert_eq!((found.events, found.missing.len(), found.invented.len()), (2, 0, 0), "{found:?}");
        let other = answer(&[], &[rule(Some(4), "accept"), rule(None, "accept")]);
        let found = compare(&seen(Vec::new(), &lines), &other).unwrap();
        assert_eq!((found.events, found.missing.len(), found.invented.len()), (2, 1, 1), "{found:?}");
        let found = compare(&seen(Vec::new(), &[]), &both).unwrap();
        assert_eq!((found.missing.len(), found.invented.len()), (0, 2));
    }
}
