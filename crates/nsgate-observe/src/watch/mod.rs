//! One probe, watched: everything is in place before it leaves, and everything is read again when it has ended.
//!
//! The order is that of the methods: [`Watch::set`], [`Watch::send`], [`Watch::collect`], [`Watch::finish`]. What cannot
//! be watched is a limit of the observation, not a failure; only the namespace that the probe starts in must be.

mod afterwards;
mod change;
mod kernel;
mod lookout;
mod rules;

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nsgate_core::model::ruleset::Table;
use nsgate_core::model::{Limit, NetnsName, World};
use nsgate_core::trace::{
    ConnectionEvent, Counters, Ending, Filtered, Identity, KernelEvent, NeighbourEvent, Observation, Probe, ProbeKind,
    Sighting, Underway, Watched, Window, counted, follow, neighbours_on_the_way, over_at, translated_flows,
};
use nsgate_kernel::netns::{Netns, visit};
use nsgate_kernel::{Error, counters, legacy};
use nsgate_packet::Flow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::afterwards::{Afterwards, Questions};
use self::kernel::KernelWatch;
pub use self::lookout::Lookout;
use self::rules::RuleWatch;
use crate::changes::ChangeWatch;
use crate::rule_trace::RuleTrace;
use crate::{Filter, Refusal, Sender, Tap, aside, random};

/// One probe and the taps that watch for it.
#[derive(Debug)]
pub struct Watch {
    probe: Probe,
    sender: Option<Sender>,
    /// By what a packet of somebody else is known.
    overheard: Option<Identity>,
    /// How it ended; none while it has not.
    ending: Option<Ending>,
    sent: Option<Instant>,
    /// When it was repeated, in nanoseconds of the kernel's real-time clock.
    repeated: Option<u64>,
    waited: Duration,
    window: Window,
    posts: Vec<Post>,
    sightings: Vec<Sighting>,
    kernel: KernelWatch,
    rules: RuleWatch,
    news: News,
    limits: Vec<Limit>,
}

/// What changed meanwhile in the namespaces that are watched.
#[derive(Debug, Default)]
struct News {
    connections: Vec<ConnectionEvent>,
    neighbours: Vec<NeighbourEvent>,
    /// The flows that the request was translated to, as far as the taps look for them.
    flows: BTreeSet<Flow>,
}

/// What watches besides the taps on the interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// Programs in the kernel (BPF) that tell what it drops and why. They take the power over the whole machine, and
    /// tens of milliseconds to attach.
    pub kernel: bool,
    /// The traces of these namespaces' packet filters.
    pub filters: Vec<Filtered>,
}

/// A namespace that is watched.
#[derive(Debug)]
struct Post {
    netns: Netns,
    /// None after the watch has ended.
    tap: Option<Tap>,
    changes: Option<ChangeWatch>,
    /// The counters before it was sent, where they could be read.
    before: Option<Counters>,
    /// The tables of the older engine before it was sent.
    legacy: Vec<Table>,
    /// Frames that were seen, but not kept.
    left_out: u64,
    /// Those, and the frames that the kernel could not keep.
    lost: u64,
}

/// What setting a tap gives: it, who listens for changes, and what was counted before the probe is sent.
#[derive(Debug)]
struct Look {
    tap: Tap,
    changes: Option<ChangeWatch>,
    counters: Result<Counters, Error>,
    legacy: Vec<Table>,
}

/// A counter that is there wherever connection tracking runs.
const TRACKED: &str = "Conntrack.entries";
/// How long it takes until what becomes of a probe is looked at: most are answered before.
const LULL: Duration = Duration::from_millis(10);
/// In less time, a busy machine may not come to look twice.
const LONG_ENOUGH_FOR_TWO: Duration = Duration::from_millis(500);
/// How many frames are kept in all: far more than one probe can cause.
const MOST_SIGHTINGS: usize = 1 << 16;

impl Watch {
    /// Makes a probe ready and sets a tap in each of these namespaces, and in the one that it starts in.
    pub fn set(probe: &Probe, namespaces: &[NetnsName]) -> Result<Self, Error> {
        Self::set_with(probe, namespaces, &Means::default())
    }

    /// The same, with more that watches.
    pub fn set_with(probe: &Probe, namespaces: &[NetnsName], means: &Means) -> Result<Self, Error> {
        let from = Netns::open(&probe.from)?;
        let (cookie, sequence) = chosen()?;
        let (sender, ending) = match from.run(|| Sender::open(probe, cookie, sequence))? {
            Ok(sender) => (Some(sender), None),
            Err(refusal) if refusal.is_for_want_of_power() => return Err(refusal.into_error(probe)),
            Err(refusal) => (None, Some(refusal.into())),
        };
        let mut watch = Self { sender, ending, ..Self::idle(probe) };
        watch.set_taps(from, namespaces, means, Vec::new())?;
        watch.window = Window { from: now(), until: now() };
        Ok(watch)
    }

    /// With nothing in place yet.
    fn idle(probe: &Probe) -> Self {
        Self {
            probe: probe.clone(),
            sender: None,
            overheard: None,
            ending: None,
            sent: None,
            repeated: None,
            waited: Duration::ZERO,
            window: Window::default(),
            posts: Vec::new(),
            sightings: Vec::new(),
            kernel: KernelWatch::default(),
            rules: RuleWatch::default(),
            news: News::default(),
            limits: Vec::new(),
        }
    }

    /// By what the probe is known; none if it could not be made ready.
    pub fn identity(&self) -> Option<&Identity> {
        self.overheard.as_ref().or_else(|| self.sender.as_ref().map(Sender::identity))
    }

    /// Sends the probe, or one more like it.
    pub fn send(&mut self) {
        self.sent.get_or_insert_with(Instant::now);
        let Some(sender) = &mut self.sender else { return };
        match sender.send() {
            // What ended well goes on with the next one.
            Ok(()) => self.ending = self.ending.take().filter(|ending| *ending != Ending::Answered),
            Err(refusal) => self.ending = Some(refusal.into()),
        }
    }

    /// Waits until all probes are answered or one has failed, at the most so long; what was seen meanwhile is kept.
    pub fn collect(&mut self, wait: Duration) {
        let deadline = Instant::now() + wait;
        while let Some(left) = self.go_on(deadline) {
            self.sleep(left);
        }
        self.settle_ending();
    }

    /// The same, but no longer than it is worth waiting in this World. With half a second or more to wait, a probe that
    /// was not answered is repeated once: when it seems to be lost, or when half of the time is over.
    pub fn collect_patiently(&mut self, wait: Duration, world: &World) {
        let start = Instant::now();
        let mut asked = start;
        while let Some(left) = self.go_on(start + wait) {
            // What may become of it is not worth asking at every frame.
            let until_asked = LULL.saturating_sub(asked.elapsed());
            if !until_asked.is_zero() {
                self.sleep(left.min(until_asked));
                continue;
            }
            asked = Instant::now();
            let twice = wait >= LONG_ENOUGH_FOR_TWO && !self.probe.kind.is_connection();
            let hope = self.over_at(world, twice).map(|over| Duration::from_nanos(over.saturating_sub(now())));
            let due = (wait / 2).saturating_sub(start.elapsed());
            let may_repeat = twice && self.repeated.is_none() && self.sender.as_ref().is_some_and(Sender::can_repeat);
            let lost = hope.is_some_and(|hope| hope.is_zero());
            if may_repeat && (lost || due.is_zero()) {
                self.repeat();
            } else if lost {
                break;
            } else {
                let next = if may_repeat { left.min(due) } else { left };
                self.sleep(hope.map_or(next, |hope| next.min(hope)).max(Duration::from_millis(1)));
            }
        }
        self.settle_ending();
    }

    /// What has been seen so far.
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// Reads what is to be read afterwards, and puts it all together. The probe's socket is closed.
    pub fn finish(mut self) -> Result<Observation, Error> {
        let identity = self.identity().copied();
        let sent = identity.filter(|_| self.sent.is_some());
        let kind = self.probe.kind;
        let flows = sent.map(|i| translated_flows([i.flow(kind)], &self.news.connections)).unwrap_or_default();
        let journey = sent.map_or_else(Default::default, |i| follow(&i, kind, &flows, &self.sightings));
        let mut questions = Questions::of(&self.probe, sent.as_ref(), &journey, &self.sightings, flows);
        let legacy = self.posts.iter().filter(|post| !post.legacy.is_empty());
        questions.legacy = legacy.map(|post| post.netns.name().clone()).collect();
        let ended = self.end_watch()?;
        let found = self.read_again(&questions)?;
        let ending = self.ending.unwrap_or(Ending::Silence);
        let seen = self.overheard.map_or(0, |_| 1 + u16::from(self.repeated.is_some()));
        let attempts = self.sender.as_ref().map_or(seen, Sender::attempts);
        let (kernel, mut missed) = self.kernel.finish(&ending);
        let (rules, untold) = self.rules.finish();
        missed.extend(untold);
        let mut observation = Observation {
            probe: self.probe,
            identity,
            ending,
            kernel,
            rules,
            counted: Vec::new(),
            connections: questions.ours(self.news.connections),
            neighbour_changes: neighbours_on_the_way(self.news.neighbours, &journey),
            journey,
            watched: Vec::new(),
            tracked: Vec::new(),
            crowds: Vec::new(),
            neighbours: Vec::new(),
            routes: Vec::new(),
            attempts,
            repeated: self.repeated,
            waited: u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX),
            window: self.window,
            limits: self.limits,
        };
        observation.limits.extend(missed);
        for ((post, limits), found) in self.posts.into_iter().zip(ended).zip(found) {
            let netns = post.netns.name().clone();
            observation.limits.extend(limits);
            let counters = post.before.as_ref().map(|before| found.counters.since(before)).unwrap_or_default();
            observation.counted.extend(counted(&netns, &post.legacy, &found.legacy));
            observation.crowds.extend(found.crowd(&netns));
            observation.tracked.extend(found.tracked.into_iter().map(|entry| (netns.clone(), entry)));
            observation.neighbours.extend(found.neighbours.into_iter().map(|neighbour| (netns.clone(), neighbour)));
            observation.routes.extend(found.routes);
            observation.limits.extend(found.limits);
            observation.watched.push(Watched { netns, lost: post.lost, counters, routers_heard: found.routers_heard });
        }
        Ok(observation)
    }

    /// Closes the taps; what each of them missed. The kernel takes its time to close them, and others read meanwhile.
    fn end_watch(&mut self) -> Result<Vec<Vec<Limit>>, Error> {
        let mut missed = Vec::new();
        for post in &mut self.posts {
            let Some(mut tap) = post.tap.take() else { continue };
            post.lost = tap.lost()? + post.left_out;
            let mut limits = post.changes.as_mut().map(ChangeWatch::limits).unwrap_or_default();
            if post.lost > 0 {
                let why = format!("{} frames came too fast to be kept", post.lost);
                let what = "some of the frames that passed".to_owned();
                limits.push(Limit { netns: Some(post.netns.name().clone()), what, why });
            }
            aside::close("a tap", (tap, post.changes.take()));
            missed.push(limits);
        }
        Ok(missed)
    }

    /// Sets everything in place; taps that are there already go on with the filter for this probe.
    fn set_taps(&mut self, from: Netns, namespaces: &[NetnsName], means: &Means, there: Vec<Tap>) -> Result<(), Error> {
        let there = Mutex::new(there);
        let chosen = self.choose(from, namespaces);
        let (kind, identity) = (self.probe.kind, self.identity().copied());
        // Where there is no sender there will be no journey: any identity will do.
        let filter = identity.map_or_else(Filter::of_nothing, |identity| Filter::of(kind, &identity));
        let filtered: Vec<_> = identity
            .iter()
            .flat_map(|identity| means.filters.iter().filter(|f| f.nftables).map(move |filtered| (identity, filtered)))
            .filter_map(|(identity, filtered)| {
                let netns = chosen.iter().find(|netns| *netns.name() == filtered.netns)?;
                Some((netns, filtered, identity))
            })
            .collect();
        let look = |netns: &Netns| {
            let counters = counters::read_here();
            let tracks = counters.as_ref().is_ok_and(|counters| counters.iter().any(|(name, _)| name == TRACKED));
            let changes = identity.map(|identity| ChangeWatch::start(netns.name(), kind, &identity, tracks));
            let has_legacy = means.filters.iter().any(|filtered| filtered.legacy && filtered.netns == *netns.name());
            let legacy = if has_legacy { legacy::tables(true).tables } else { Vec::new() };
            Ok(Look { tap: tap(&there, netns.name(), &filter)?, changes, counters, legacy })
        };
        // Each tap waits until the kernel's readers have taken note of it; together they wait only once.
        let (set, kernel, traces) = thread::scope(|scope| {
            let kernel = identity.filter(|_| means.kernel).map(|identity| {
                let namespaces: Vec<&Netns> = chosen.iter().collect();
                scope.spawn(move || KernelWatch::attach(kind, &identity, &namespaces))
            });
            let traces: Vec<_> = filtered
                .iter()
                .map(|(netns, filtered, identity)| {
                    let start = || RuleTrace::start(filtered, kind, identity);
                    scope.spawn(move || netns.run(start).flatten())
                })
                .collect();
            let looks: Vec<_> = chosen.iter().map(|netns| scope.spawn(|| netns.run(|| look(netns))?)).collect();
            let set: Vec<Result<_, Error>> = looks.into_iter().map(joined).collect();
            (set, kernel.map(joined), traces.into_iter().map(joined).collect::<Vec<_>>())
        });
        self.kernel = kernel.unwrap_or_default();
        for ((netns, ..), started) in filtered.iter().zip(traces) {
            self.rules.add(netns.name(), started);
        }
        self.man(chosen, set)
    }

    /// The namespaces to watch, each once. The probe's own is the first.
    fn choose(&mut self, from: Netns, namespaces: &[NetnsName]) -> Vec<Netns> {
        let mut chosen = vec![from];
        for name in namespaces.iter().filter(|name| **name != self.probe.from) {
            match Netns::open(name) {
                // One namespace may have several names.
                Ok(netns) if chosen.iter().any(|other| other.inode() == netns.inode()) => {}
                Ok(netns) => chosen.push(netns),
                Err(error) => self.limits.push(unwatched(name, &error)),
            }
        }
        chosen
    }

    /// Puts up the posts where the taps could be set.
    fn man(&mut self, chosen: Vec<Netns>, set: Vec<Result<Look, Error>>) -> Result<(), Error> {
        for (netns, done) in chosen.into_iter().zip(set) {
            let look = match done {
                Ok(done) => done,
                Err(error) if *netns.name() == self.probe.from => return Err(error),
                Err(error) => {
                    self.limits.push(unwatched(netns.name(), &error));
                    continue;
                }
            };
            if let Err(error) = &look.counters {
                self.limits.push(limit(netns.name(), "counters", error));
            }
            let Look { tap, changes, counters, legacy } = look;
            let (tap, before) = (Some(tap), counters.ok());
            self.posts.push(Post { netns, tap, changes, before, legacy, left_out: 0, lost: 0 });
        }
        Ok(())
    }

    fn take_sightings(&mut self) {
        self.kernel.take();
        self.rules.take();
        for post in &mut self.posts {
            if let Some(changes) = &mut post.changes {
                changes.take(&mut self.news.connections, &mut self.news.neighbours);
            }
            while let Some(sighting) = post.tap.as_mut().and_then(Tap::sighting) {
                if self.sightings.len() < MOST_SIGHTINGS {
                    self.sightings.push(sighting);
                } else {
                    post.left_out += 1;
                }
            }
        }
        self.learn_translations();
    }

    /// Has the taps look for what the request was translated to meanwhile, which nothing but its ends may show.
    fn learn_translations(&mut self) {
        let Some(identity) = self.identity().copied() else { return };
        let kind = self.probe.kind;
        if kind == ProbeKind::Icmp || self.news.connections.is_empty() {
            return;
        }
        let flows = translated_flows([identity.flow(kind)], &self.news.connections);
        if flows.len() == self.news.flows.len().max(1) {
            return;
        }
        let filter = Filter::of_flows(kind, &identity, &flows.iter().copied().collect::<Vec<_>>());
        for post in &self.posts {
            if let Some(Err(error)) = post.tap.as_ref().map(|tap| tap.refilter(&filter)) {
                self.limits.push(limit(post.netns.name(), "frames of the translated probe", &error));
            }
        }
        self.news.flows = flows;
    }

    /// Takes what was seen, and gives how long is left to wait; none if the probe has ended or the time is over.
    fn go_on(&mut self, deadline: Instant) -> Option<Duration> {
        self.take_sightings();
        if self.ending.is_none() {
            self.ending = self.sender.as_mut().and_then(Sender::ending);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        (self.ending.is_none() && !left.is_zero()).then_some(left)
    }

    /// Notes how it ended, and takes what the last sightings before the end have caused.
    fn settle_ending(&mut self) {
        self.window.until = now();
        self.take_sightings();
        self.ending = self.ending.take().or_else(|| self.sender.as_ref().map(Sender::unfinished));
        self.waited = self.sent.map_or(Duration::ZERO, |sent| sent.elapsed());
        if self.ending != Some(Ending::Answered) {
            self.look_closer();
        }
    }

    /// Where the packet filter threw the probe away and nothing tells by what, sets more taps there and sends another.
    /// How the probe ended stays as it was.
    fn look_closer(&mut self) {
        let Some(netns) = self.kernel.to_look_closer(self.rules.told()) else { return };
        let Some(post) = self.posts.iter().find(|post| *post.netns.name() == netns) else { return };
        self.kernel.tap(&post.netns);
        let known = self.kernel.told().len();
        if let Some(sender) = &mut self.sender {
            // What became of the one before may be told here instead.
            let _ = sender.send().or_else(|_| sender.send());
        }
        let deadline = Instant::now() + self.probe.kind.repeats_after();
        loop {
            self.take_sightings();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.kernel.told()[known..].iter().any(KernelEvent::is_loss) {
                break;
            }
            self.sleep(left.min(LULL));
        }
        self.window.until = now();
    }

    /// When nothing can come any more, in nanoseconds of the kernel's real-time clock; none: something always can.
    fn over_at(&self, world: &World, twice: bool) -> Option<u64> {
        let (identity, kind) = (self.identity()?, self.probe.kind);
        let flows = translated_flows([identity.flow(kind)], &self.news.connections);
        let journey = follow(identity, kind, &flows, &self.sightings);
        let watched: Vec<NetnsName> = self.posts.iter().map(|post| post.netns.name().clone()).collect();
        let sent = self.repeated.unwrap_or_else(|| {
            let ago = self.sent.map_or(Duration::ZERO, |sent| sent.elapsed());
            now().saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))
        });
        let (kernel, rules) = (self.kernel.told(), self.rules.told());
        let (probe, journey, watched, neighbours) = (&self.probe, &journey, &watched[..], &self.news.neighbours[..]);
        over_at(world, &Underway { probe, sent, journey, kernel, rules, neighbours, twice, watched })
    }

    fn repeat(&mut self) {
        self.repeated = Some(now());
        if let Some(sender) = &mut self.sender {
            sender.repeat();
        }
    }

    /// Sleeps until something was seen or came back.
    fn sleep(&self, left: Duration) {
        let sender = self.sender.iter().map(|sender| PollFd::from_borrowed_fd(sender.as_fd(), sender.waits_for()));
        let taps = self.posts.iter().filter_map(|post| post.tap.as_ref());
        let taps = taps.map(|tap| PollFd::from_borrowed_fd(tap.as_fd(), PollFlags::IN));
        let kernel = self.kernel.file().map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN));
        let rules = self.rules.files().map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN));
        let changes = self.posts.iter().filter_map(|post| post.changes.as_ref()).flat_map(ChangeWatch::files);
        let changes = changes.map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN));
        let mut files: Vec<PollFd<'_>> = sender.chain(taps).chain(kernel).chain(rules).chain(changes).collect();
        let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
        // An interruption is as good as an event: the caller looks again.
        let _ = poll(&mut files, Some(&left));
    }

    /// What is read in each namespace afterwards.
    fn read_again(&self, questions: &Questions) -> Result<Vec<Afterwards>, Error> {
        let namespaces: Vec<&Netns> = self.posts.iter().map(|post| &post.netns).collect();
        let read = visit(namespaces, |netns| questions.ask_here(netns.name()))?;
        let missed = |netns: &NetnsName, error: &Error| {
            let limits = vec![limit(netns, "what it remembers of the probe", error)];
            Afterwards { limits, ..Afterwards::default() }
        };
        let each = read.into_iter().zip(&self.posts);
        Ok(each.map(|(found, post)| found.unwrap_or_else(|error| missed(post.netns.name(), &error))).collect())
    }
}

impl Refusal {
    /// Whether nothing about the network is wrong, but we may not look.
    fn is_for_want_of_power(&self) -> bool {
        matches!(self.operation, "socket" | "setsockopt") && matches!(self.errno, Errno::PERM | Errno::ACCESS)
    }

    fn into_error(self, probe: &Probe) -> Error {
        Error::new("make ready", format!("a probe in {} ({})", probe.from, self.operation), self.errno)
    }
}

/// The tap of a namespace: the one that is there, or a new one.
fn tap(there: &Mutex<Vec<Tap>>, netns: &NetnsName, filter: &Filter) -> Result<Tap, Error> {
    let mut taps = there.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(place) = taps.iter().position(|tap| tap.netns() == netns) else {
        drop(taps);
        return Tap::open(netns, filter);
    };
    let tap = taps.swap_remove(place);
    tap.refilter(filter)?;
    Ok(tap)
}

/// The kernel's real-time clock, in nanoseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What a thread gave.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// A cookie and a sequence number that no other probe has.
fn chosen() -> Result<([u8; 8], u32), Error> {
    let [a, b, c, d, cookie @ ..] = random::bytes::<12>()?;
    // A sequence number of 0 would have the kernel choose another.
    Ok((cookie, u32::from_ne_bytes([a, b, c, d]).max(1)))
}

fn unwatched(netns: &NetnsName, error: &Error) -> Limit {
    limit(netns, "frames, and so whether the probe came by", error)
}

fn limit(netns: &NetnsName, what: &str, error: &Error) -> Limit {
    Limit { netns: Some(netns.clone()), what: what.into(), why: error.to_string() }
}
