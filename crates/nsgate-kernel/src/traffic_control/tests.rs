//! What the kernel was given reads back.

use std::net::UdpSocket;
use std::time::Duration;

use nsgate_core::model::{ActionKind, FilterKind, Handle, QdiscKind, TrafficVerdict};

use super::*;
use crate::netlink::{Batch, Protocol};
use crate::netns::Netns;
use crate::rtnetlink::index_of;
use crate::sandbox::test;
use crate::settle::settle;
use crate::{apply, counters};

/// `RTM_NEWQDISC`, `RTM_NEWTCLASS`, `RTM_NEWTFILTER`.
const NEW_QDISC: u16 = 36;
const NEW_CLASS: u16 = 40;
const NEW_FILTER: u16 = 44;

/// Two wires whose near ends are up, and a socket.
fn wires() -> Socket {
    for line in [
        "ip link add eth2 type veth peer name w0",
        "ip link add veth3 type veth peer name veth2",
        "ip link set eth2 up",
        "ip link set veth3 up",
    ] {
        apply::perform(&line.parse().unwrap()).unwrap();
    }
    Socket::open(Protocol::Route).unwrap()
}

fn make(
    socket: &mut Socket,
    message: u16,
    link: &str,
    (handle, parent, information): (u32, Handle, u32),
    kind: &str,
    options: impl FnOnce(&mut Batch),
) {
    let mut header = qdisc::header(index_of(socket, &link.parse().unwrap()).unwrap().0, parent.0);
    header[8..12].copy_from_slice(&handle.to_ne_bytes());
    header[16..20].copy_from_slice(&information.to_ne_bytes());
    let mut batch = Batch::new();
    batch.begin(message, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &header);
    batch.text(libc::TCA_KIND, kind);
    options(&mut batch);
    let answers = socket.send(&mut batch).unwrap();
    assert_eq!(answers.refused(), None, "{kind}");
}

/// `struct tc_ratespec` of an Ethernet device.
fn rate(bytes: u32) -> [u8; 12] {
    let mut rate = [0; 12];
    rate[1] = 1;
    rate[8..].copy_from_slice(&bytes.to_ne_bytes());
    rate
}

/// Everything of an ethertype, at the first place.
fn about(protocol: u16) -> u32 {
    1 << 16 | u32::from(protocol.to_be())
}

/// Sends packets out by another interface.
fn redirect(batch: &mut Batch, link: u32) {
    batch.nest(numbers::filter::U32_ACTIONS, |b| {
        b.nest(1, |b| {
            b.text(numbers::action::KIND, "mirred");
            let told = [0u32, 0, 4, 0, 0, 1, link].map(u32::to_ne_bytes).concat();
            b.nest(numbers::action::OPTIONS, |b| b.bytes(numbers::action::PARAMETERS, &told));
        });
    });
}

/// A u32 filter that picks everything, and does so.
fn redirect_everything(batch: &mut Batch, link: u32) {
    let mut selector = [0; 32];
    (selector[0], selector[2]) = (1, 1);
    batch.bytes(numbers::filter::U32_SELECTOR, &selector);
    redirect(batch, link);
}

#[test]
fn queues_and_classes_read_back() {
    test(|| {
        let mut socket = wires();
        assert_eq!(qdiscs(&mut socket).unwrap().items, []);
        make(&mut socket, NEW_QDISC, "eth2", (0x10_0000, Handle::ROOT, 0), "tbf", |b| {
            b.nest(libc::TCA_OPTIONS, |b| {
                let numbers = [100_000u32, 0, 0].map(u32::to_ne_bytes).concat();
                b.bytes(numbers::queue::TBF_PARAMETERS, &[&rate(1_250_000)[..], &rate(0), &numbers].concat());
                b.u32(6, 600);
            });
        });
        make(&mut socket, NEW_QDISC, "veth3", (0x20_0000, Handle::ROOT, 0), "htb", |b| {
            let init = [3u32, 10, 0x30, 0, 0].map(u32::to_ne_bytes).concat();
            b.nest(libc::TCA_OPTIONS, |b| b.bytes(numbers::queue::HTB_INIT, &init));
        });
        make(&mut socket, NEW_CLASS, "veth3", (0x20_0030, Handle(0x20_0000), 0), "htb", |b| {
            let rest = [1000u32, 1000, 0, 0, 0].map(u32::to_ne_bytes).concat();
            let told = [&rate(125_000)[..], &rate(250_000), &rest].concat();
            b.nest(libc::TCA_OPTIONS, |b| b.bytes(numbers::queue::HTB_PARAMETERS, &told));
        });
        make(&mut socket, NEW_QDISC, "veth3", (0x30_0000, Handle(0x20_0030), 0), "bfifo", |b| {
            b.bytes(libc::TCA_OPTIONS, &64u32.to_ne_bytes());
        });
        let found = qdiscs(&mut socket).unwrap();
        assert_eq!(found.unread, 0);
        let kinds: Vec<_> = found.items.iter().map(|q| (q.handle.to_string(), q.parent.to_string(), &q.kind)).collect();
        let expected = [
            ("10:", "root", QdiscKind::Tbf { rate: 1_250_000, burst: 600, limit: 100_000 }),
            ("20:", "root", QdiscKind::Htb { default: 0x30 }),
            ("30:", "20:30", QdiscKind::Bfifo { limit: 64 }),
        ];
        for (handle, parent, kind) in &expected {
            assert!(kinds.contains(&(handle.to_string(), parent.to_string(), kind)), "{kinds:?}");
        }
        let classes = classes(&mut socket, &found.items).unwrap();
        let class = classes.items.iter().find(|c| c.handle == Handle(0x20_0030)).unwrap();
        assert_eq!((class.rate, class.ceil, class.kind.as_str()), (Some(125_000), Some(250_000), "htb"));
    });
}

#[test]
fn filters_and_their_actions_read_back() {
    test(|| {
        let mut socket = wires();
        let w0 = index_of(&mut socket, &"w0".parse().unwrap()).unwrap();
        make(&mut socket, NEW_QDISC, "veth3", (0xffff_0000, Handle::INGRESS, 0), "clsact", |_| {});
        make(&mut socket, NEW_FILTER, "veth3", (0, Handle::CLSACT_INGRESS, about(0x0800)), "bpf", |b| {
            b.nest(libc::TCA_OPTIONS, |b| {
                // A classic program of one instruction: the answer is 2, drop.
                b.u16(4, 1);
                b.bytes(5, &[6, 0, 0, 0, 2, 0, 0, 0]);
                b.u32(numbers::filter::BPF_FLAGS, numbers::filter::BPF_DIRECT);
            });
        });
        make(&mut socket, NEW_FILTER, "veth3", (0, Handle::CLSACT_EGRESS, about(3)), "u32", |b| {
            b.nest(libc::TCA_OPTIONS, |b| {
                // To 10.0.0.0/8: the destination stands 16 bytes into the header.
                let mut selector = [0; 32];
                (selector[0], selector[2]) = (1, 1);
                selector[16] = 255;
                selector[20] = 10;
                selector[24] = 16;
                b.bytes(numbers::filter::U32_SELECTOR, &selector);
                redirect(b, w0.0);
            });
        });
        let places = qdiscs(&mut socket).unwrap().items;
        assert_eq!(places.iter().map(|q| &q.kind).collect::<Vec<_>>(), [&QdiscKind::Clsact]);
        let found = filters(&mut socket, &places).unwrap();
        assert_eq!((found.unread, found.items.len()), (0, 2), "{found:?}");
        let [program, redirect] = found.items.as_slice() else { panic!() };
        assert_eq!(program.kind, FilterKind::Bpf { name: None, id: None, direct: true });
        assert_eq!((program.protocol, program.priority, program.on_egress()), (0x0800, 1, false));
        assert!(redirect.on_egress());
        let FilterKind::U32 { keys } = &redirect.kind else { panic!("{redirect:?}") };
        assert_eq!((keys[0].offset, keys[0].mask, keys[0].value), (16, 0xff00_0000, 0x0a00_0000));
        let [action] = redirect.actions.as_slice() else { panic!("{redirect:?}") };
        assert_eq!(action.kind, ActionKind::Mirred { copy: false, ingress: false, link: w0 });
        assert_eq!(action.verdict, Some(TrafficVerdict::Stolen));
    });
}

#[test]
fn what_a_queue_drops_is_counted() {
    test(|| {
        let mut socket = wires();
        for line in [
            "ip link set w0 up",
            "ip addr add 1.1.1.3/24 dev eth2",
            "ip neigh add 1.1.1.2 lladdr 02:00:00:00:00:02 dev eth2",
        ] {
            apply::perform(&line.parse().unwrap()).unwrap();
        }
        make(&mut socket, NEW_QDISC, "eth2", (0x10_0000, Handle::ROOT, 0), "bfifo", |b| {
            b.bytes(libc::TCA_OPTIONS, &64u32.to_ne_bytes());
        });
        settle(&[Netns::host().unwrap()], Duration::from_secs(10)).unwrap();
        let before = counters::read_here().unwrap();
        // The queue takes 64 bytes. What it drops, the sender is told as "no buffer space" at most.
        let _ = UdpSocket::bind("1.1.1.3:0").unwrap().send_to(&[0; 100], "1.1.1.2:9");
        let moved = counters::read_here().unwrap().since(&before);
        assert_eq!(moved.get("qdisc.eth2.bfifo.drops"), 1, "{moved:?}");
    });
}

#[test]
fn queues_are_replaced_and_filters_removed() {
    test(|| {
        let mut socket = wires();
        let root = |socket: &mut Socket| qdiscs(socket).unwrap().items.into_iter().map(|q| q.kind).next();
        for (line, expected) in [
            ("tc qdisc replace dev eth2 root bfifo limit 64", Some(QdiscKind::Bfifo { limit: 64 })),
            ("tc qdisc replace dev eth2 root pfifo limit 7", Some(QdiscKind::Pfifo { limit: 7 })),
            (
                "tc qdisc replace dev eth2 root tbf rate 10mbit burst 15000 limit 100000",
                Some(QdiscKind::Tbf { rate: 1_250_000, burst: 15_000, limit: 100_000 }),
            ),
            ("tc qdisc del dev eth2 root", None),
        ] {
            apply::perform(&line.parse().unwrap()).unwrap();
            assert_eq!(root(&mut socket), expected, "{line}");
        }
        let w0 = index_of(&mut socket, &"w0".parse().unwrap()).unwrap();
        make(&mut socket, NEW_QDISC, "veth3", (0xffff_0000, Handle::INGRESS, 0), "clsact", |_| {});
        for priority in [1u32, 2] {
            let information = priority << 16 | about(3) & 0xffff;
            make(&mut socket, NEW_FILTER, "veth3", (0, Handle::CLSACT_INGRESS, information), "u32", |b| {
                b.nest(libc::TCA_OPTIONS, |b| redirect_everything(b, w0.0));
            });
        }
        let left = |socket: &mut Socket| {
            let places = qdiscs(socket).unwrap().items;
            filters(socket, &places).unwrap().items.iter().map(|f| f.priority).collect::<Vec<_>>()
        };
        assert_eq!(left(&mut socket), [1, 2]);
        apply::perform(&"tc filter del dev veth3 ingress pref 1".parse().unwrap()).unwrap();
        assert_eq!(left(&mut socket), [2]);
        apply::perform(&"tc filter del dev veth3 ingress".parse().unwrap()).unwrap();
        assert_eq!(left(&mut socket), [0; 0]);
        assert!(apply::perform(&"tc qdisc del dev eth2 root".parse().unwrap()).is_err());
        // Where no program is, there is none to be taken away.
        apply::perform(&"ip link set veth3 xdpgeneric off".parse().unwrap()).unwrap();
    });
}
