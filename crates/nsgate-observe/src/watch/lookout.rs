//! Waiting for a packet that somebody else sends, to follow it as if it were a probe of ours.
//!
//! Nothing is sent, and until the packet comes nothing is set but taps. They keep whatever may begin something of the kind
//! that is waited for, in all namespaces: by the time the packet is recognised it has passed most of its way already.
//! What tells more than taps is set then; it sees what the sender sends once more.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::{Limit, NetnsName, World};
use nsgate_core::trace::{
    Change, ConnectionEvent, Ending, Journey, Overheard, Pattern, ProbeKind, Sighting, Window, answer_home,
    ending_seen, follow, repeated, translated_flows,
};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::{Netns, visit};
use nsgate_kernel::{Error, conntrack};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{LULL, MOST_SIGHTINGS, Means, Watch, now, unwatched};
use crate::{Filter, Tap};

/// Taps that wait for a packet of somebody else.
#[derive(Debug)]
pub struct Lookout {
    pattern: Pattern,
    at: NetnsName,
    taps: Vec<Tap>,
    sightings: Vec<Sighting>,
    passed: u64,
    elsewhere: Option<NetnsName>,
    limits: Vec<Limit>,
    /// When all taps were in place, in nanoseconds of the kernel's real-time clock.
    since: u64,
}

/// For how long what was seen is kept while nothing is recognised, in nanoseconds.
const KEPT_FOR: u64 = 1_000_000_000;
/// How long a sender may take until it sends once more what was not answered: a connection is opened again after a second.
const UNTIL_AGAIN: Duration = Duration::from_millis(1300);
/// How long what was sent once more may take.
const AFTER_AGAIN: u64 = 300_000_000;

impl Lookout {
    /// Sets a tap in the namespace where the packet is waited for, which must be there, and in each of these.
    pub fn set(pattern: &Pattern, at: &NetnsName, namespaces: &[NetnsName]) -> Result<Self, Error> {
        let filter = Filter::of_openings(pattern.protocol());
        let mut chosen = vec![Netns::open(at)?];
        let mut limits = Vec::new();
        for name in namespaces.iter().filter(|name| *name != at) {
            match Netns::open(name) {
                Ok(netns) if chosen.iter().any(|other| other.inode() == netns.inode()) => {}
                Ok(netns) => chosen.push(netns),
                Err(error) => limits.push(unwatched(name, &error)),
            }
        }
        let opened = visit(chosen.iter().collect::<Vec<_>>(), |netns| Tap::open(netns.name(), &filter))?;
        let mut taps = Vec::new();
        for (netns, tap) in chosen.iter().zip(opened) {
            match tap.and_then(|tap| tap) {
                Ok(tap) => taps.push(tap),
                Err(error) if netns.name() == at => return Err(error),
                Err(error) => limits.push(unwatched(netns.name(), &error)),
            }
        }
        let (pattern, at) = (pattern.clone(), at.clone());
        Ok(Self { pattern, at, taps, sightings: Vec::new(), passed: 0, elsewhere: None, limits, since: now() })
    }

    /// Waits until a packet comes that is meant, at the most so long.
    pub fn wait(&mut self, wait: Duration) -> Option<Overheard> {
        let deadline = Instant::now() + wait;
        loop {
            self.take();
            if Overheard::find(&self.pattern, &self.at, &self.sightings).is_some() {
                // Where it came by before, it may have been noted a moment later.
                self.take();
                return Overheard::find(&self.pattern, &self.at, &self.sightings);
            }
            self.forget();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let mut files: Vec<PollFd<'_>> =
                self.taps.iter().map(|tap| PollFd::from_borrowed_fd(tap.as_fd(), PollFlags::IN)).collect();
            let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
            // An interruption is as good as an event: we look again.
            let _ = poll(&mut files, Some(&left));
        }
    }

    /// How many frames of that kind came by where the packet was waited for.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Where else a packet that is meant came by, if one did.
    pub fn elsewhere(&self) -> Option<&NetnsName> {
        self.elsewhere.as_ref()
    }

    /// The namespaces that are watched.
    pub fn watched(&self) -> impl Iterator<Item = &NetnsName> {
        self.taps.iter().map(Tap::netns)
    }

    /// Goes on with the packet that came.
    pub fn follow(mut self, overheard: &Overheard, means: &Means) -> Result<Watch, Error> {
        let namespaces: Vec<NetnsName> = self.watched().cloned().collect();
        let mut watch =
            Watch { overheard: Some(overheard.identity), sent: Some(Instant::now()), ..Watch::idle(&overheard.probe) };
        let from = Netns::open(&overheard.probe.from)?;
        self.take();
        watch.sightings = std::mem::take(&mut self.sightings);
        watch.limits = self.limits;
        watch.set_taps(from, &namespaces, means, self.taps)?;
        watch.window = Window { from: self.since, until: now() };
        if matches!(overheard.probe.kind, ProbeKind::Udp(_)) {
            watch.ask_for_translations();
        }
        Ok(watch)
    }

    fn take(&mut self) {
        for tap in &mut self.taps {
            while let Some(sighting) = tap.sighting() {
                let is_here = *tap.netns() == self.at;
                // What came while not all taps were set would seem to be lost where the last of them is.
                if is_here && sighting.time < self.since {
                    continue;
                }
                self.passed += u64::from(is_here);
                if !is_here && self.elsewhere.is_none() {
                    let meant = sighting.packet().as_ip().is_some_and(|ip| self.pattern.matches(&ip));
                    self.elsewhere = meant.then(|| tap.netns().clone());
                }
                self.sightings.push(sighting);
            }
        }
    }

    /// Lets go what is too old to belong to what comes next.
    fn forget(&mut self) {
        let oldest = now().saturating_sub(KEPT_FOR);
        self.sightings.retain(|sighting| sighting.time >= oldest);
        let too_many = self.sightings.len().saturating_sub(MOST_SIGHTINGS);
        self.sightings.drain(..too_many);
    }
}

impl Watch {
    /// Collects what becomes of a packet of somebody else, until that is known or nothing can come any more.
    pub fn collect_overheard(&mut self, world: &World) {
        let start = Instant::now();
        let mut ended = None;
        while ended.is_none() {
            self.take_sightings();
            let Some(journey) = self.journey_so_far() else { break };
            let kind = self.probe.kind;
            self.repeated = repeated(&journey);
            ended = ending_seen(&journey, kind);
            let long = start.elapsed() >= UNTIL_AGAIN;
            match self.repeated {
                _ if ended.is_some() => break,
                // Nobody sends again what he knows to be answered.
                None if long => {
                    ended = answer_home(&journey).map(|time| (Ending::Answered, time));
                    break;
                }
                None if !kind.is_connection() && self.is_over(world) => break,
                Some(again) if now() > again.saturating_add(AFTER_AGAIN) => break,
                _ => self.sleep(LULL),
            }
        }
        self.window.until = now();
        self.take_sightings();
        self.waited = start.elapsed();
        if let Some((ending, time)) = ended {
            self.ending = Some(ending.clone());
            if ending == Ending::Answered {
                // What follows is no part of the question any more.
                self.sightings.retain(|sighting| sighting.time <= time);
            }
        }
        self.ending.get_or_insert(Ending::Silence);
    }

    /// Asks connection tracking what it made of the packet before anybody listened to its news: a short datagram bears
    /// nothing that shows it behind a translation.
    fn ask_for_translations(&mut self) {
        let Some(own) = self.identity().map(|identity| identity.flow(self.probe.kind)) else { return };
        let mut flows = BTreeSet::from([own]);
        loop {
            let known = |entry: &Entry| {
                let there = [entry.original, entry.reply.reversed()];
                there.iter().any(|flow| flows.contains(flow))
            };
            let ask = |_: &Netns| conntrack::entries(&mut Socket::open(Protocol::Netfilter)?, known);
            // Who is not told keeps what the datagram itself shows.
            let told = visit(self.posts.iter().map(|post| &post.netns).collect::<Vec<_>>(), ask).unwrap_or_default();
            let mut translated = Vec::new();
            for (post, entries) in self.posts.iter().zip(told) {
                let Ok(entries) = entries.and_then(|entries| entries) else { continue };
                let netns = post.netns.name();
                let event = |entry| ConnectionEvent { netns: netns.clone(), change: Change::New, id: 0, entry };
                translated.extend(entries.items.into_iter().map(event));
            }
            let more = translated_flows([own], &translated);
            if more.len() <= flows.len() {
                self.news.connections.extend(translated);
                break;
            }
            flows = more;
        }
        self.learn_translations();
    }

    fn journey_so_far(&self) -> Option<Journey> {
        let (identity, kind) = (self.identity()?, self.probe.kind);
        let flows = translated_flows([identity.flow(kind)], &self.news.connections);
        Some(follow(identity, kind, &flows, &self.sightings))
    }

    fn is_over(&self, world: &World) -> bool {
        self.over_at(world, false).is_some_and(|over| now() >= over)
    }
}
