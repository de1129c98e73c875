use std::net::SocketAddr;

use nsgate_core::model::NetnsName;
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::sandbox;

use super::*;

/// Every kind of probe in both families.
fn interests() -> Vec<Wanted> {
    let kinds = [ProbeKind::Icmp, ProbeKind::Udp(9), ProbeKind::Tcp(9)];
    let families = [("1.1.1.2:7", "9.9.9.9:9", "10.0.0.1"), ("[fd01::2]:7", "[fd30::1]:9", "fd30::182")];
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let each = |kind| {
        families.map(|(source, destination, other)| Wanted {
            kind,
            identity: Identity {
                cookie: *b"nsgate-1",
                sequence: 77,
                source: address(source),
                destination: address(destination),
            },
            addresses: vec![address(source).ip(), address(destination).ip(), other.parse().unwrap()],
            namespaces: (1..=64).collect(),
        })
    };
    kinds.into_iter().flat_map(each).collect()
}

/// Has the kernel's verifier judge every program, as this kernel would have it and as an older one would.
#[test]
fn the_verifier_accepts_every_program() {
    sandbox::test(|| {
        let ring = match Ring::make() {
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
                (layout.cast, layout.atomic_time) = (None, false);
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
fn the_probes_own_addresses_are_wanted_once() {
    let Wanted { kind, identity, .. } = interests().remove(0);
    let addresses = vec!["1.1.1.2".parse().unwrap(), "0.0.0.0".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    let wanted = wanted(&Interest { kind, identity, addresses, passage: true }, &[]);
    assert_eq!(
        wanted.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["1.1.1.2", "9.9.9.9", "10.0.0.1"]
    );
}

#[test]
fn a_refusal_says_what_it_costs_and_what_would_help() {
    let limit = refused(&Error::new("make", "a ring", Errno::PERM));
    assert_eq!((limit.what.as_str(), limit.netns), ("what the kernel drops, and why", None::<NetnsName>));
    assert!(limit.why.ends_with("so run as root"));
    assert!(!refused(&lacking("types")).why.contains("root"));
}
