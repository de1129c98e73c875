//! Everything that watches one probe: the taps and counters of the namespaces on its way, and its sender.
//!
//! All are ready before the probe leaves, and all end with the [`Watch`]: their kernel objects belong to its file
//! descriptors, so a kill leaves nothing behind.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nsgate_core::model::conntrack::Entry;
use nsgate_core::model::{Limit, Neighbour, NetnsName};
use nsgate_core::trace::{Counters, Ending, Journey, Observation, Probe, Sighting, Watched, follow};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::{self, Netns};
use nsgate_kernel::{Error, conntrack, counters, rtnetlink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Filter, Refusal, Sender, Tap};

/// How many sightings are kept: far more than one probe makes, so that a storm does not fill the memory.
const MOST_SIGHTINGS: usize = 100_000;

/// One probe under observation.
#[derive(Debug)]
pub struct Watch {
    probe: Probe,
    sender: Result<Sender, Refusal>,
    posts: Vec<Post>,
    sightings: Vec<Sighting>,
    ending: Ending,
    waited: Duration,
    limits: Vec<Limit>,
}

/// What watches one namespace.
#[derive(Debug)]
struct Post {
    netns: Netns,
    tap: Option<Tap>,
    before: Counters,
}

/// What a namespace has to tell once the probe's fate is known.
struct Aftermath {
    counters: Counters,
    tracked: Vec<Entry>,
    neighbours: Vec<Neighbour>,
}

impl Watch {
    /// Makes the probe ready to be sent and sets the watchers in these namespaces.
    pub fn set(probe: &Probe, watched: &[NetnsName]) -> Result<Self, Error> {
        let home = Netns::open(&probe.from)?;
        let (cookie, sequence) = unique();
        let sender = home.run(|| Sender::open(probe, cookie, sequence))?;
        let mut limits = Vec::new();
        let mut open = Vec::new();
        for name in watched {
            match Netns::open(name) {
                Ok(netns) => open.push(netns),
                Err(error) => limits.push(limit(name, "the namespace", &error)),
            }
        }
        let filter = sender.as_ref().ok().map(|sender| Filter::of(probe.kind, sender.identity()));
        let ready = netns::visit(&open, |netns| {
            let tap = filter.as_ref().map(|filter| Tap::open(netns.name(), filter));
            (tap.transpose(), counters::read_here())
        })?;
        let mut posts = Vec::new();
        for (netns, ready) in open.into_iter().zip(ready) {
            match ready {
                Ok((tap, before)) => posts.push(Post {
                    tap: tap.unwrap_or_else(|error| none(&mut limits, &netns, "what passes its interfaces", &error)),
                    before: before.unwrap_or_else(|error| none(&mut limits, &netns, "its counters", &error)),
                    netns,
                }),
                Err(error) => limits.push(limit(netns.name(), "the namespace", &error)),
            }
        }
        let ending = Ending::Silence;
        Ok(Self { probe: probe.clone(), sender, posts, sightings: Vec::new(), ending, waited: Duration::ZERO, limits })
    }

    /// Sends the probe.
    pub fn send(&mut self) {
        let refused = match &mut self.sender {
            Ok(sender) => sender.send().err(),
            Err(refusal) => Some(refusal.clone()),
        };
        if let Some(refusal) = refused {
            self.ending = refusal.into();
        }
    }

    /// Gathers what is seen until the probe has ended for its sender, or for as long as `wait`.
    pub fn collect(&mut self, wait: Duration) {
        let start = Instant::now();
        loop {
            self.drain();
            if self.ending == Ending::Silence
                && let Ok(sender) = &mut self.sender
                && let Some(ending) = sender.ending()
            {
                self.ending = ending;
            }
            self.waited = start.elapsed();
            if self.ending != Ending::Silence || self.waited >= wait {
                break;
            }
            self.wait_for_news(wait.saturating_sub(self.waited));
        }
        // What the probe's end set off, such as the last frame's way through another tap, has been queued by now.
        self.drain();
    }

    /// Reads what the namespaces have to tell afterwards, and puts everything together.
    pub fn finish(mut self) -> Result<Observation, Error> {
        let namespaces: Vec<&Netns> = self.posts.iter().map(|post| &post.netns).collect();
        let told = netns::visit(namespaces, |_| aftermath())?;
        let mut watched = Vec::new();
        let mut tracked = Vec::new();
        let mut neighbours = Vec::new();
        for (post, told) in self.posts.iter_mut().zip(told) {
            let name = post.netns.name();
            let aftermath = match told.and_then(|told| told) {
                Ok(aftermath) => aftermath,
                Err(error) => {
                    self.limits.push(limit(name, "what it has to tell afterwards", &error));
                    continue;
                }
            };
            let lost = post.tap.as_mut().map_or(Ok(0), Tap::lost)?;
            let counters = aftermath.counters.since(&post.before);
            watched.push(Watched { netns: name.clone(), lost, counters });
            tracked.extend(aftermath.tracked.into_iter().map(|entry| (name.clone(), entry)));
            neighbours.extend(aftermath.neighbours.into_iter().map(|entry| (name.clone(), entry)));
        }
        let identity = self.sender.as_ref().ok().map(|sender| *sender.identity());
        let journey = identity.map_or_else(Journey::default, |id| follow(&id, self.probe.kind, &self.sightings));
        let ours = |entry: &Entry| {
            identity.is_some_and(|id| entry.original.destination == id.destination.ip() || touches(&journey, entry))
        };
        tracked.retain(|(_, entry)| ours(entry));
        Ok(Observation {
            probe: self.probe,
            identity,
            ending: self.ending,
            journey,
            watched,
            tracked,
            neighbours,
            routes: Vec::new(),
            waited: self.waited.as_millis() as u64,
            limits: self.limits,
        })
    }

    /// Takes over what the taps have seen.
    fn drain(&mut self) {
        for tap in self.posts.iter_mut().filter_map(|post| post.tap.as_mut()) {
            while self.sightings.len() < MOST_SIGHTINGS
                && let Some(sighting) = tap.sighting()
            {
                self.sightings.push(sighting);
            }
        }
    }

    /// Sleeps until the sender or a tap has something to tell.
    fn wait_for_news(&self, at_most: Duration) {
        let taps = self.posts.iter().filter_map(|post| post.tap.as_ref()).map(|tap| tap.as_fd());
        let sender = self.sender.iter().map(|sender| sender.as_fd());
        let events = PollFlags::IN | PollFlags::ERR;
        let mut waiting: Vec<PollFd<'_>> = taps.map(|fd| PollFd::from_borrowed_fd(fd, events)).collect();
        // A connection that stands makes its socket writable; the sender of anything else is writable all the time.
        let writable = if self.probe.kind.is_connection() { PollFlags::OUT } else { PollFlags::empty() };
        waiting.extend(sender.map(|fd| PollFd::from_borrowed_fd(fd, events | writable)));
        let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
        // An interrupted wait is a short one.
        let _ = poll(&mut waiting, Some(&timeout));
    }
}

/// Reads the counters, flows and neighbours of the namespace of the calling thread.
fn aftermath() -> Result<Aftermath, Error> {
    let counters = counters::read_here()?;
    // A kernel without connection tracking has no flows to tell of.
    let tracked = Socket::open(Protocol::Netfilter).and_then(|mut s| conntrack::entries(&mut s));
    let neighbours = rtnetlink::neighbours(&mut Socket::open(Protocol::Route)?)?.items;
    Ok(Aftermath { counters, tracked: tracked.map(|found| found.items).unwrap_or_default(), neighbours })
}

/// Whether an entry of connection tracking belongs to a flow under which the probe was seen.
fn touches(journey: &Journey, entry: &Entry) -> bool {
    journey
        .sights
        .iter()
        .any(|s| s.header.source == entry.original.source && s.header.destination == entry.original.destination)
}

/// What no other packet on the machine carries: eight bytes and a sequence number.
fn unique() -> ([u8; 8], u32) {
    let (mut cookie, mut sequence) = ([0; 8], [0; 4]);
    let random = |bytes: &mut [u8]| rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::NONBLOCK).is_ok();
    // Without entropy early at boot the clock is unique enough: nobody gains by guessing a probe.
    if !random(&mut cookie) || !random(&mut sequence) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        (cookie, sequence) =
            (now.as_nanos().to_ne_bytes()[..8].try_into().unwrap_or(cookie), now.subsec_nanos().to_ne_bytes());
    }
    (cookie, u32::from_ne_bytes(sequence))
}

fn limit(netns: &NetnsName, what: &str, error: &Error) -> Limit {
    Limit { netns: Some(netns.clone()), what: what.into(), why: error.to_string() }
}

/// Notes what could not be had, and goes on without it.
fn none<T: Default>(limits: &mut Vec<Limit>, netns: &Netns, what: &str, error: &Error) -> T {
    limits.push(limit(netns.name(), what, error));
    T::default()
}
