//! The network that the tests probe, and a probe with the kernel watched.

use std::time::{Duration, Instant};

use nsgate_core::model::NetnsName;
use nsgate_core::trace::{Identity, KernelEvent, KernelEventKind, Probe, ProbeKind, life};
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::sandbox;
use nsgate_observe::{FIRST_TAPS, HOOKS, Interest, KernelEvents, Sender, taps_at};
use nsgate_packet::{Icmp, Transport};

use super::network::namespaces;

/// Runs a test where the kernel may be traced; elsewhere the refusal is the test.
pub(crate) fn test(body: impl FnOnce()) {
    sandbox::test(|| {
        if Privileges::of_caller().can_trace_kernel() {
            body();
            return;
        }
        let limit = KernelEvents::attach(&interest(ProbeKind::Icmp, identity()), &[]).unwrap_err();
        assert_eq!(limit.what, "what the kernel drops, and why");
        assert!(limit.why.contains("Operation not permitted"), "{limit:?}");
        assert!(limit.why.ends_with("so run as root"), "{limit:?}");
    });
}

fn identity() -> Identity {
    let [source, destination] = ["1.1.1.2:7", "1.1.1.3:0"].map(|address| address.parse().unwrap());
    Identity { cookie: *b"nsgate-1", sequence: 77, span: 2, source, destination }
}

fn interest(kind: ProbeKind, identity: Identity) -> Interest {
    Interest { kind, identity, taps: taps_at(&HOOKS, &FIRST_TAPS), passage: false }
}

/// A probe with the kernel watched.
pub(crate) struct Watched {
    pub(crate) sender: Sender,
    pub(crate) events: KernelEvents,
    pub(crate) told: Vec<KernelEvent>,
}

impl Watched {
    pub(crate) fn new(destination: &str, kind: ProbeKind) -> Self {
        Self::sized(destination, kind, 56)
    }

    /// A probe that carries so many bytes. It must not be cut, unless it is longer than an Ethernet frame.
    pub(crate) fn sized(destination: &str, kind: ProbeKind, size: u32) -> Self {
        let namespaces = namespaces();
        let namespaces = namespaces.each_ref();
        let from: NetnsName = "ns_1".parse().unwrap();
        let destination = destination.parse().unwrap();
        let probe = Probe { from, destination, kind, size, source: None, dont_fragment: (57..1500).contains(&size) };
        let sender = namespaces[0].run(|| Sender::open(&probe, *b"nsgate-1", 77)).unwrap().unwrap();
        let events = KernelEvents::attach(&interest(kind, *sender.identity()), &namespaces).unwrap();
        assert_eq!(events.limits(), []);
        Self { sender, events, told: Vec::new() }
    }

    /// Sends the probe and gathers what the kernel tells until one of the events reads like this.
    pub(crate) fn send_until(mut self, last: &str) -> Self {
        // What is dropped on its way out is refused too.
        let _ = self.sender.send();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.position(last).is_none() {
            assert!(Instant::now() < deadline, "no '{last}' in {:#?}", self.words());
            std::thread::sleep(Duration::from_millis(10));
            self.told.extend(self.events.drain());
        }
        assert_eq!(self.events.lost().unwrap(), 0);
        self
    }

    /// What was told of the packet that came to this end, in words.
    pub(crate) fn way_to(&self, end: &str) -> Vec<String> {
        life(&self.told, self.position(end).unwrap()).into_iter().map(in_words).collect()
    }

    /// The first event of these words that is not about the search for a neighbour.
    fn position(&self, words: &str) -> Option<usize> {
        let search = |event: &KernelEvent| {
            let transport = event.packet().as_ip().map(|ip| ip.transport());
            matches!(transport, Some(Transport::Icmp(Icmp::Neighbour(_))))
        };
        self.told.iter().position(|event| in_words(event) == words && !search(event))
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.told.iter().map(in_words).collect()
    }
}

/// An event in short.
pub(crate) fn in_words(event: &KernelEvent) -> String {
    let netns = event.netns.as_ref().map_or("nowhere", |netns| netns.as_str());
    match &event.kind {
        KernelEventKind::Dropped { reason, symbol } => {
            format!("{netns}: dropped for {reason} in {}", symbol.as_deref().unwrap_or("?"))
        }
        KernelEventKind::Consumed { symbol } => format!("{netns}: consumed in {}", symbol.as_deref().unwrap_or("?")),
        KernelEventKind::Tap { hook, priority, .. } if *priority == FIRST_TAPS[0] => format!("{netns}: {hook:?} first"),
        KernelEventKind::Tap { hook, priority, .. } if *priority == FIRST_TAPS[1] => format!("{netns}: {hook:?} last"),
        KernelEventKind::Tap { hook, priority, .. } => format!("{netns}: {hook:?} at {priority}"),
        KernelEventKind::IcmpSent { icmp_type, code } => format!("{netns}: sends ICMP {icmp_type}/{code}"),
        KernelEventKind::Neighbour { address, after, .. } => format!("{netns}: {address} becomes {after:#x}"),
        other => format!("{netns}: {other:?}"),
    }
}

/// The destination beyond the gateway, by family.
pub(crate) const BEYOND: [&str; 2] = ["114.114.114.114", "fd30::1"];
