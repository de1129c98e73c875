use std::net::SocketAddr;

use nsgate_core::model::NetnsName;
use nsgate_core::trace::Probe;
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::{apply, sandbox};

use super::*;
use crate::Sender;

/// Every kind of probe in both families.
fn interests() -> Vec<Wanted> {
    let kinds = [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)];
    let families = [("1.1.1.2:7", "9.9.9.9:9"), ("[fd01::2]:7", "[fd30::1]:9")];
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let each = |kind| {
        families.map(|(source, destination)| Wanted {
            kind,
            identity: Identity {
                cookie: *b"nsgate-1",
                sequence: 77,
                span: 2,
                source: address(source),
                destination: address(destination),
            },
            namespaces: (1..=64).collect(),
        })
    };
    kinds.into_iter().flat_map(each).collect()
}

/// What kernels of before 6.2 and 5.13 can not do.
fn make_older(layout: &mut Layout) {
    (layout.cast, layout.atomic_time, layout.prints) = (None, false, false);
}

/// What the kernel tells of one packet on the loopback interface.
fn told(kind: ProbeKind, destination: &str, change: impl FnOnce(&mut Layout)) -> Vec<KernelEvent> {
    let from = NetnsName::host();
    let destination = destination.parse().unwrap();
    let probe = Probe { from, destination, kind, size: kind.usual_size(), source: None, dont_fragment: false };
    let mut sender = Sender::open(&probe, *b"nsgate-1", 77).unwrap();
    let interest = Interest { kind, identity: *sender.identity(), taps: taps_at(&HOOKS, &FIRST_TAPS), passage: true };
    let host = Netns::host().unwrap();
    let mut events = KernelEvents::attach_to(&interest, &[&host], change).unwrap();
    sender.send().unwrap();
    let told = events.drain();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    assert!(told.iter().all(|event| now.abs_diff(event.time) < 10_000_000_000), "{now} {told:?}");
    told
}

/// Kernels that cannot read headers in place, or name functions, tell the same as those that can.
#[test]
fn older_kernels_tell_the_same() {
    sandbox::test(|| {
        if !Privileges::of_caller().can_trace_kernel() {
            assert_eq!(Ring::make([0; program::KNOWN_ENDS]).unwrap_err().kind(), Kind::NotPermitted);
            return;
        }
        "ip link set lo up".parse().map(|step| apply::perform(&step).unwrap()).unwrap();
        for destination in ["127.0.0.1", "::1"] {
            for kind in [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)] {
                let gist = |told: Vec<KernelEvent>| {
                    told.into_iter().map(|e| (e.kind, e.netns, e.link, e.ethertype, e.length)).collect::<Vec<_>>()
                };
                let new = gist(told(kind, destination, |_| ()));
                assert!(new.len() > 12, "{new:#?}");
                assert_eq!(new, gist(told(kind, destination, make_older)), "{kind} {destination}");
            }
        }
    });
}

/// Two traces at once do not warn of each other.
#[test]
fn our_own_programs_are_not_taken_for_somebody_elses() {
    sandbox::test(|| {
        if !Privileges::of_caller().can_trace_kernel() {
            assert_eq!(Ring::make([0; program::KNOWN_ENDS]).unwrap_err().kind(), Kind::NotPermitted);
            return;
        }
        let ring = Ring::make([0; program::KNOWN_ENDS]).unwrap();
        let layout = Kernel::of(&read_types().unwrap()).layout().unwrap();
        let program = program::write(&layout, &interests()[0], ring.maps(), Source::Tap(-399)).unwrap();
        let tap = load::tap(-399, &program).unwrap();
        let limits = nsgate_kernel::snapshot::take(&[]).unwrap().limits;
        assert!(limits.iter().all(|limit| !limit.what.contains("hooks of the packet filter")), "{limits:?}");
        drop(tap);
    });
}

/// Has the kernel's verifier judge every program, as this kernel would have it and as an older one would.
#[test]
fn the_verifier_accepts_every_program() {
    sandbox::test(|| {
        let ring = match Ring::make([0; program::KNOWN_ENDS]) {
            Ok(ring) => ring,
            Err(error) => {
                assert!(!Privileges::of_caller().can_trace_kernel(), "{error}");
                assert_eq!(error.kind(), Kind::NotPermitted);
                return;
            }
        };
        let btf = read_types().unwrap();
        let kernel = Kernel::of(&btf);
        let tracepoints: Vec<Tracepoint> = kernel.tracepoints().into_iter().map(Result::unwrap).collect();
        for older in [false, true] {
            let mut layout = kernel.layout().unwrap();
            if older {
                make_older(&mut layout);
            }
            for wanted in interests() {
                for tracepoint in &tracepoints {
                    let source = Source::Tracepoint(tracepoint);
                    let program = program::write(&layout, &wanted, ring.maps(), source).unwrap();
                    load::hang_on_tracepoint(tracepoint, &program).unwrap();
                }
                let program = program::write(&layout, &wanted, ring.maps(), Source::Tap(-399)).unwrap();
                load::tap(-399, &program).unwrap();
            }
        }
    });
}

#[test]
fn a_refusal_says_what_it_costs_and_what_would_help() {
    let limit = refused(&Error::new("make", "a ring", Errno::PERM));
    assert_eq!((limit.what.as_str(), limit.netns), ("what the kernel drops, and why", None::<NetnsName>));
    assert!(limit.why.ends_with("so run as root"));
    assert!(!refused(&lacking("types")).why.contains("root"));
}
