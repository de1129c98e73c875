//! Probes and taps on the loopback interface of a sandbox.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nsgate_core::model::NetnsName;
use nsgate_core::trace::{Ending, Leg, Probe, ProbeKind, Sighting, Way, follow};
use nsgate_kernel::sandbox;
use nsgate_observe::{Filter, Sender, Tap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const COOKIE: [u8; 8] = *b"nsgate-1";
const SEQUENCE: u32 = 0x8000_0001;
const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(5);

fn probe(destination: &str, kind: ProbeKind) -> Probe {
    Probe {
        from: NetnsName::host(),
        destination: destination.parse().unwrap(),
        kind,
        size: kind.usual_size(),
        source: None,
        dont_fragment: false,
    }
}

/// Waits for the probe's end.
fn wait(sender: &mut Sender) -> Ending {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Some(ending) = sender.ending() {
            return ending;
        }
        let events = PollFlags::IN | PollFlags::OUT;
        let step = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let _ = poll(&mut [PollFd::from_borrowed_fd(sender.as_fd(), events)], Some(&step));
    }
    Ending::Silence
}

/// Sends one probe with a tap open; what it came to, and what was seen.
fn send(probe: &Probe) -> (Sender, Ending, Vec<Sighting>) {
    let mut sender = Sender::open(probe, COOKIE, SEQUENCE).unwrap();
    let filter = Filter::of(probe.kind, sender.identity());
    let mut tap = Tap::open(&probe.from, &filter).unwrap();
    sender.send().unwrap();
    let ending = wait(&mut sender);
    let sightings = std::iter::from_fn(|| tap.sighting()).collect();
    assert_eq!(tap.lost().unwrap(), 0);
    (sender, ending, sightings)
}

/// The legs of the journey, with the way each frame went.
fn legs(sender: &Sender, kind: ProbeKind, sightings: &[Sighting]) -> Vec<(Leg, Way)> {
    follow(sender.identity(), kind, &BTreeSet::new(), sightings)
        .sights
        .iter()
        .map(|sight| (sight.leg, sight.way))
        .collect()
}

const THERE: [(Leg, Way); 2] = [(Leg::Request, Way::Out), (Leg::Request, Way::In)];
const AND_BACK: [(Leg, Way); 2] = [(Leg::Answer, Way::Out), (Leg::Answer, Way::In)];

fn there_and_back() -> Vec<(Leg, Way)> {
    [THERE, AND_BACK].concat()
}

#[test]
fn an_echo_is_answered_and_seen_four_times() {
    sandbox::test(|| {
        for destination in LOOPBACK {
            let (sender, ending, sightings) = send(&probe(destination, ProbeKind::Icmp));
            assert_eq!(ending, Ending::Answered, "{destination}");
            assert_eq!(sender.identity().source.ip(), destination.parse::<IpAddr>().unwrap());
            assert_eq!(legs(&sender, ProbeKind::Icmp, &sightings), there_and_back());
            assert!(sightings.iter().all(|s| s.packet().as_ip().unwrap().transport_checksum_right() == Some(true)));
        }
    });
}

#[test]
fn the_stamps_are_those_of_the_passing_not_of_the_reading() {
    sandbox::test(|| {
        let probe = probe("127.0.0.1", ProbeKind::Icmp);
        let mut sender = Sender::open(&probe, COOKIE, SEQUENCE).unwrap();
        let mut tap = Tap::open(&probe.from, &Filter::of(probe.kind, sender.identity())).unwrap();
        sender.send().unwrap();
        assert_eq!(wait(&mut sender), Ending::Answered);
        std::thread::sleep(Duration::from_millis(50));
        let read_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let times: Vec<u64> = std::iter::from_fn(|| tap.sighting()).map(|sighting| sighting.time).collect();
        assert_eq!(times.len(), 4);
        assert!(times.is_sorted());
        assert!(times.iter().all(|time| *time < read_at - 40_000_000), "{times:?} {read_at}");
    });
}

#[test]
fn a_connection_begins_with_the_chosen_number() {
    sandbox::test(|| {
        for destination in LOOPBACK {
            let listener = TcpListener::bind(SocketAddr::new(destination.parse().unwrap(), 0)).unwrap();
            let kind = ProbeKind::Tcp(listener.local_addr().unwrap().port());
            let (sender, ending, sightings) = send(&probe(destination, kind));
            assert_eq!(ending, Ending::Answered);
            assert_eq!(sightings[0].packet().as_ip().unwrap().tcp_sequence(), Some(SEQUENCE));
            let from = sender.identity().source;
            assert_eq!(listener.accept().unwrap().1, from);
            let legs = legs(&sender, kind, &sightings);
            assert!(legs.starts_with(&there_and_back()), "{legs:?}");
        }
    });
}

/// A service that takes one connection and does this with it.
fn serve(work: impl FnOnce(TcpStream) + Send + 'static) -> (ProbeKind, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let kind = ProbeKind::Tcp(listener.local_addr().unwrap().port());
    (kind, std::thread::spawn(move || work(listener.accept().unwrap().0)))
}

fn read_exactly(connection: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn data_goes_over_a_connection_and_comes_back() {
    sandbox::test(|| {
        for size in [1, 1000, 60_000] {
            let (kind, service) = serve(move |mut connection| {
                let bytes = read_exactly(&mut connection, size as usize);
                connection.write_all(&bytes).unwrap();
                // Until the other end closes it politely.
                assert_eq!(connection.read(&mut [0; 1]).unwrap(), 0);
            });
            let (sender, ending, sightings) = send(&Probe { size, ..probe("127.0.0.1", kind) });
            assert_eq!(ending, Ending::Answered, "{size}");
            let journey = follow(sender.identity(), kind, &BTreeSet::new(), &sightings);
            let carried = |leg| {
                let out = journey.of(leg).filter(|sight| sight.way == Way::Out);
                out.filter_map(|sight| sight.header.segment).map(|segment| segment.length).sum::<u32>()
            };
            assert_eq!((carried(Leg::Request), carried(Leg::Answer)), (size, size));
            drop(sender);
            service.join().unwrap();
        }
    });
}

#[test]
fn any_word_or_a_closed_connection_is_an_answer_too() {
    sandbox::test(|| {
        let (kind, closing) = serve(|mut connection| {
            read_exactly(&mut connection, 5000);
            connection.write_all(b"go away").unwrap();
        });
        let (sender, ending, _) = send(&Probe { size: 5000, ..probe("127.0.0.1", kind) });
        assert_eq!(ending, Ending::Answered);
        closing.join().unwrap();
        drop(sender);
    });
}

#[test]
fn data_that_is_not_answered_is_told_apart_from_silence() {
    sandbox::test(|| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (kind, silent) = serve(move |mut connection| {
            read_exactly(&mut connection, 3000);
            stopped.recv().unwrap_err();
            // What nobody waits for any more is broken off.
            let broken = connection.read(&mut [0; 1]).unwrap_err();
            assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
        });
        let mut sender = Sender::open(&Probe { size: 3000, ..probe("127.0.0.1", kind) }, COOKIE, SEQUENCE).unwrap();
        assert_eq!(sender.unfinished(), Ending::Silence);
        sender.send().unwrap();
        let all = Ending::Unanswered { acknowledged: 3000, received: 0 };
        let deadline = Instant::now() + LONG;
        while sender.unfinished() != all && Instant::now() < deadline {
            assert_eq!(sender.ending(), None);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(sender.unfinished(), all);
        assert_eq!(sender.waits_for(), PollFlags::IN);
        drop((sender, stop));
        silent.join().unwrap();
    });
}

#[test]
fn a_closed_port_refuses() {
    sandbox::test(|| {
        for (destination, icmp) in LOOPBACK.into_iter().zip([(3, 3), (1, 4)]) {
            let (sender, ending, sightings) = send(&probe(destination, ProbeKind::Tcp(9)));
            assert_eq!(ending, Ending::Reset);
            assert_eq!(legs(&sender, ProbeKind::Tcp(9), &sightings), there_and_back());

            let (sender, ending, sightings) = send(&probe(destination, ProbeKind::Udp(9)));
            let (from, (icmp_type, code)) = (destination.parse().unwrap(), icmp);
            assert_eq!(ending, Ending::IcmpError { from, icmp_type, code, mtu: None });
            let error = [(Leg::Error, Way::Out), (Leg::Error, Way::In)];
            assert_eq!(legs(&sender, ProbeKind::Udp(9), &sightings), [THERE, error].concat());
        }
    });
}

#[test]
fn a_datagram_is_answered_whatever_the_answer_says() {
    sandbox::test(|| {
        for destination in LOOPBACK {
            let service = UdpSocket::bind(SocketAddr::new(destination.parse().unwrap(), 0)).unwrap();
            let kind = ProbeKind::Udp(service.local_addr().unwrap().port());
            let answering = std::thread::spawn(move || {
                let mut bytes = [0; 100];
                let (length, from) = service.recv_from(&mut bytes).unwrap();
                service.send_to(b"who is there?", from).unwrap();
                bytes[..length].to_vec()
            });
            let (sender, ending, sightings) = send(&probe(destination, kind));
            assert_eq!(ending, Ending::Answered);
            let received = answering.join().unwrap();
            assert_eq!((received.len(), &received[..8]), (56, &COOKIE[..]));
            assert_eq!(legs(&sender, kind, &sightings), there_and_back());
        }
    });
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_call_and_the_reason() {
    sandbox::test(|| {
        let mut sender = Sender::open(&probe("192.0.2.1", ProbeKind::Icmp), COOKIE, SEQUENCE).unwrap();
        let refusal = sender.send().unwrap_err();
        assert_eq!(refusal.to_string(), "connect: Network is unreachable");
        assert!(matches!(refusal.into(), Ending::Refused { operation: "connect", errno: 101, .. }));
        let foreign = Probe { source: Some("192.0.2.7".parse().unwrap()), ..probe("127.0.0.1", ProbeKind::Udp(9)) };
        let refusal = Sender::open(&foreign, COOKIE, SEQUENCE).unwrap_err();
        assert_eq!(refusal.operation, "bind");
        let large = Probe { size: u32::MAX, dont_fragment: true, ..probe("::1", ProbeKind::Udp(9)) };
        let refusal = Sender::open(&large, COOKIE, SEQUENCE).unwrap().send().unwrap_err();
        assert_eq!(refusal.to_string(), "send: Message too long");
    });
}

#[test]
fn a_tap_keeps_only_the_journey_and_counts_what_it_loses() {
    sandbox::test(|| {
        let probe = probe("127.0.0.1", ProbeKind::Udp(9));
        let sender = Sender::open(&probe, COOKIE, SEQUENCE).unwrap();
        let mut tap = Tap::open(&probe.from, &Filter::of(probe.kind, sender.identity())).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let others = UdpSocket::bind("127.0.0.1:0").unwrap();
        others.connect(receiver.local_addr().unwrap()).unwrap();
        others.send(b"nothing of ours").unwrap();
        assert_eq!(tap.sighting(), None);
        // Each is seen twice; the ring holds 512.
        for _ in 0..300 {
            others.send(&COOKIE).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| tap.sighting()).count(), 512);
        assert_eq!((tap.lost().unwrap(), tap.lost().unwrap()), (88, 88));
        others.send(&COOKIE).unwrap();
        assert_eq!(std::iter::from_fn(|| tap.sighting()).count(), 2, "the ring goes on");
    });
}
