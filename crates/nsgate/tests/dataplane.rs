//! What a file asks of a gateway besides routing, with real packets through it, each test in a sandbox of its own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use nsgate_kernel::apply;
use nsgate_kernel::netns::Netns;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::settle::settle;

/// How long an answer may take: without load it is there at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing must come, where nothing may come.
const SILENCE: Duration = Duration::from_millis(300);

/// Every kind of translation, on the way out and on the way in.
const TRANSLATION: &str = r#"
[gateway.host]
uplink = "eth2"

[network.blue]
subnets = ["10.7.0.0/24", "fd00:7::/64"]
source-nat = "masquerade"
no-nat = ["203.0.113.0/25", "2001:db8:ffff::/48"]
member.web-1 = { addresses = ["10.7.0.2", "fd00:7::2"] }
member.web-2 = { addresses = ["10.7.0.3", "fd00:7::3"], source-nat = ["198.51.100.3", "2001:db8::3"] }
member.web-3 = { addresses = ["10.7.0.4", "fd00:7::4"], source-nat = "none" }
member.web-4 = { addresses = ["10.7.0.5", "fd00:7::5"] }

[network.pool]
kind = "bridge"
talks-to = ["blue"]
subnets = ["10.8.0.0/24", "fd00:8::/64"]
source-nat = { pool = ["198.51.100.20-198.51.100.29", "2001:db8::20-2001:db8::29"], ports = "20000-20099" }
member.p1 = { addresses = ["10.8.0.2", "fd00:8::2"] }
member.p2 = { addresses = ["10.8.0.3", "fd00:8::3"], source-nat = { ipv4 = "masquerade" } }

[[publish]]
on = "198.51.100.1:8080/tcp"
to = "web-1:80"

[[publish]]
on = "198.51.100.1:8090"
to = "p1:80"

[[publish]]
on = "[2001:db8::1]:8080"
to = "web-1:80"

[[publish]]
on = ":9000-9010/udp"
to = "p1"
from = ["198.51.100.99/32", "2001:db8::/64"]

[[publish]]
on = ":7000-7002/tcp"
to = "web-1:8000-8002"

[[publish]]
on = "198.51.100.4:25/tcp"
to = "web-1:2525"

[[floating]]
address = "198.51.100.4"
to = "web-4"

[[floating]]
address = "2001:db8::4"
to = "web-4"
"#;

/// The outside: an uplink with an address of each family, and behind it a world that knows the way to the networks.
fn outside() {
    build(&[
        "ip netns add world",
        "ip link add eth2 type veth peer name w0 netns world",
        "ip link set eth2 up",
        "ip -n world link set w0 up",
        "ip -n world link set lo up",
        "ip link set lo up",
        "ip addr add 198.51.100.1/24 dev eth2",
        "ip -n world addr add 198.51.100.99/24 dev w0",
        "ip -n world addr add 198.51.100.98/24 dev w0",
        "ip -n world addr add 203.0.113.9/32 dev lo",
        "ip route add default via 198.51.100.99 dev eth2",
        "ip -6 addr add 2001:db8::1/64 dev eth2 nodad",
        "ip -n world -6 addr add 2001:db8::99/64 dev w0 nodad",
        "ip -n world -6 addr add 2001:db8:ffff::9/128 dev lo nodad",
        "ip -6 route add default via 2001:db8::99 dev eth2",
        // Addresses of pools and fixed ones nobody holds: they are routed to the gateway.
        "ip -n world route add 198.51.100.3/32 via 198.51.100.1 dev w0",
        "ip -n world route add 198.51.100.16/28 via 198.51.100.1 dev w0",
        "ip -n world -6 route add 2001:db8::3/128 via 2001:db8::1 dev w0",
        "ip -n world -6 route add 2001:db8::20/124 via 2001:db8::1 dev w0",
        "ip -n world route add 10.0.0.0/8 via 198.51.100.1 dev w0",
        "ip -n world -6 route add fd00::/16 via 2001:db8::1 dev w0",
    ]);
    let names = ["host", "world"].map(netns);
    assert_eq!(settle(&names, PATIENCE).unwrap(), []);
}

fn build(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

fn netns(name: &str) -> Netns {
    Netns::open(&name.parse().unwrap()).unwrap()
}

/// Runs nsgate, which must end with this code; gives what it printed on both streams.
#[track_caller]
fn ends(code: i32, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

/// Makes what a specification wants.
#[track_caller]
fn up(text: &str) {
    fs::write("/run/lab.toml", text).unwrap();
    ends(0, &["up", "/run/lab.toml"]);
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn listener(place: &str, address: &str, port: u16) -> TcpListener {
    netns(place).run(|| TcpListener::bind(at(address, port))).unwrap().unwrap()
}

fn connect(place: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    netns(place).run(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap()
}

/// A connection to a listener, as the listener sees it: who it comes from.
#[track_caller]
fn seen(listener: &TcpListener, from: &str, to: (&str, u16)) -> SocketAddr {
    let _stream = connect(from, at(to.0, to.1)).unwrap_or_else(|error| panic!("{from} to {to:?}: {error}"));
    listener.accept().unwrap().1
}

fn bound(place: &str, address: &str, port: u16) -> UdpSocket {
    let socket = netns(place).run(|| UdpSocket::bind(at(address, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A datagram and its answer.
fn asked(server: &UdpSocket, client: &UdpSocket, to: SocketAddr) -> SocketAddr {
    client.send_to(b"?", to).unwrap();
    let mut buffer = [0; 1];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"!", from).unwrap();
    let (_, answered) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(answered, to, "the answer comes from whom was asked");
    from
}

#[test]
fn sources_become_what_the_file_says() {
    test(|| {
        outside();
        up(TRANSLATION);
        let world4 = listener("world", "198.51.100.99", 80);
        let world6 = listener("world", "2001:db8::99", 80);
        let far4 = listener("world", "203.0.113.9", 80);
        let far6 = listener("world", "2001:db8:ffff::9", 80);
        let to4 = ("198.51.100.99", 80);
        let to6 = ("2001:db8::99", 80);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(seen(&world4, "web-1", to4).ip(), ip("198.51.100.1"), "masquerade");
        assert_eq!(seen(&world6, "web-1", to6).ip(), ip("2001:db8::1"), "masquerade");
        assert_eq!(seen(&far4, "web-1", ("203.0.113.9", 80)).ip(), ip("10.7.0.2"), "no-nat");
        assert_eq!(seen(&far6, "web-1", ("2001:db8:ffff::9", 80)).ip(), ip("fd00:7::2"), "no-nat");
        assert_eq!(seen(&world4, "web-2", to4).ip(), ip("198.51.100.3"), "the member's own");
        assert_eq!(seen(&world6, "web-2", to6).ip(), ip("2001:db8::3"), "the member's own");
        assert_eq!(seen(&world4, "web-3", to4).ip(), ip("10.7.0.4"), "none");
        assert_eq!(seen(&world4, "web-4", to4).ip(), ip("198.51.100.4"), "floating");
        assert_eq!(seen(&world6, "web-4", to6).ip(), ip("2001:db8::4"), "floating");
        assert_eq!(seen(&world4, "p2", to4).ip(), ip("198.51.100.1"), "one family masqueraded");
        assert_eq!(seen(&world6, "p2", to6).ip(), ip("fd00:8::3"), "the other not");
        for (world, to, first, last) in
            [(&world4, to4, "198.51.100.20", "198.51.100.29"), (&world6, to6, "2001:db8::20", "2001:db8::29")]
        {
            let source = seen(world, "p1", to);
            assert!(ip(first) <= source.ip() && source.ip() <= ip(last), "{source}");
            assert!((20000..=20099).contains(&source.port()), "{source}");
        }
        ends(0, &["status", "/run/lab.toml"]);
    });
}

#[test]
fn published_ports_lead_to_members_from_everywhere() {
    test(|| {
        outside();
        up(TRANSLATION);
        let web = listener("web-1", "::", 80);
        for (from, to) in [
            ("world", "198.51.100.1"),
            ("world", "2001:db8::1"),
            ("host", "198.51.100.1"),
            ("host", "2001:db8::1"),
            ("web-2", "198.51.100.1"),
            ("web-2", "2001:db8::1"),
            // Its own public port.
            ("web-1", "198.51.100.1"),
            ("web-1", "2001:db8::1"),
            ("p1", "198.51.100.1"),
        ] {
            seen(&web, from, (to, 8080));
        }
        // Who comes from outside is seen as who he is.
        assert_eq!(seen(&web, "world", ("198.51.100.1", 8080)).ip(), "::ffff:198.51.100.99".parse::<IpAddr>().unwrap());
        // On a bridge, a member reaches itself and its neighbours by its public port, too.
        let bridged = listener("p1", "::", 80);
        for from in ["world", "p2", "p1"] {
            seen(&bridged, from, ("198.51.100.1", 8090));
        }
        let moved = listener("web-1", "::", 8002);
        seen(&moved, "world", ("198.51.100.1", 7002));
        seen(&moved, "world", ("2001:db8::1", 7002));
        let mail = listener("web-1", "::", 2525);
        seen(&mail, "world", ("198.51.100.4", 25));
        let rest = listener("web-4", "::", 26);
        seen(&rest, "world", ("198.51.100.4", 26));
        seen(&rest, "world", ("2001:db8::4", 26));
        seen(&rest, "host", ("198.51.100.4", 26));
        seen(&rest, "web-4", ("198.51.100.4", 26));
        assert_eq!(
            connect("world", at("198.51.100.1", 8081)).unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "what is not published is the gateway's"
        );
    });
}

#[test]
fn ranges_of_datagrams_are_for_those_who_may() {
    test(|| {
        outside();
        up(TRANSLATION);
        for (own, to, other) in
            [("10.8.0.2", "198.51.100.1", "198.51.100.99"), ("fd00:8::2", "2001:db8::1", "2001:db8::99")]
        {
            let server = bound("p1", own, 9007);
            let client = bound("world", other, 5000);
            assert_eq!(asked(&server, &client, at(to, 9007)).ip(), other.parse::<IpAddr>().unwrap());
        }
        let server = bound("p1", "10.8.0.2", 9001);
        let stranger = bound("world", "198.51.100.98", 5001);
        stranger.send_to(b"?", at("198.51.100.1", 9001)).unwrap();
        server.set_read_timeout(Some(SILENCE)).unwrap();
        assert_eq!(server.recv_from(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn every_protocol_reaches_a_floating_address() {
    test(|| {
        outside();
        up(TRANSLATION);
        for address in ["198.51.100.4", "2001:db8::4"] {
            ends(0, &["trace", "world", address]);
        }
        assert!(netns("host").run(|| UdpSocket::bind("198.51.100.4:0")).unwrap().is_ok(), "the uplink holds it");
        ends(0, &["down", "lab"]);
        assert!(netns("host").run(|| UdpSocket::bind("198.51.100.4:0")).unwrap().is_err(), "and gives it back");
    });
}

/// Networks that talk to some, members that reach none, and some that are slow.
const POLICY: &str = r#"
[gateway.host]
uplink = "eth2"

[network.red]
subnets = ["10.1.0.0/24", "fd00:1::/64"]
source-nat = "masquerade"
talks-to = ["green"]
anti-spoof = true
member.r1 = { addresses = ["10.1.0.2", "fd00:1::2"], rate = "64kbit" }
member.r2 = { addresses = ["10.1.0.3", "fd00:1::3"] }

[network.green]
kind = "bridge"
subnets = ["10.2.0.0/24", "fd00:2::/64"]
source-nat = "masquerade"
isolate-members = true
anti-spoof = true
deny = ["203.0.113.9"]
member.g1 = { addresses = ["10.2.0.2", "fd00:2::2"] }
member.g2 = { addresses = ["10.2.0.3", "fd00:2::3"] }

[network.only]
subnets = ["10.3.0.0/24"]
source-nat = "masquerade"
allow = ["203.0.113.0/24"]
member.o1 = { addresses = ["10.3.0.2"] }

[[publish]]
on = "198.51.100.1:8080"
to = "g1:80"
"#;

/// Whether a datagram arrives.
fn arrives(from: (&str, &str), to: (&str, &str)) -> bool {
    let server = bound(to.0, to.1, 7);
    let client = bound(from.0, from.1, 0);
    client.send_to(b"?", at(to.1, 7)).unwrap();
    server.set_read_timeout(Some(SILENCE)).unwrap();
    server.recv_from(&mut [0; 1]).is_ok()
}

#[test]
fn networks_reach_whom_they_may() {
    test(|| {
        outside();
        up(POLICY);
        for (from, to, expected) in [
            (("r1", "10.1.0.2"), ("r2", "10.1.0.3"), true),
            (("r1", "fd00:1::2"), ("r2", "fd00:1::3"), true),
            (("r1", "10.1.0.2"), ("g1", "10.2.0.2"), true),
            (("r1", "fd00:1::2"), ("g1", "fd00:2::2"), true),
            (("g1", "10.2.0.2"), ("r1", "10.1.0.2"), false),
            (("g1", "fd00:2::2"), ("r1", "fd00:1::2"), false),
            (("r1", "10.1.0.2"), ("o1", "10.3.0.2"), false),
            // Members of one bridge that are kept apart.
            (("g1", "10.2.0.2"), ("g2", "10.2.0.3"), false),
            (("g1", "fd00:2::2"), ("g2", "fd00:2::3"), false),
            (("g1", "10.2.0.2"), ("world", "198.51.100.99"), true),
            (("g1", "10.2.0.2"), ("world", "203.0.113.9"), false),
            (("o1", "10.3.0.2"), ("world", "203.0.113.9"), true),
            (("o1", "10.3.0.2"), ("world", "198.51.100.99"), false),
        ] {
            assert_eq!(arrives(from, to), expected, "{from:?} to {to:?}");
        }
        // Who may not be reached is reached all the same by what is published.
        let web = listener("g1", "10.2.0.2", 80);
        seen(&web, "o1", ("198.51.100.1", 8080));
        let lost = ends(1, &["trace", "g1", "10.1.0.2", "--color", "never"]).0;
        assert!(lost.contains("filter-drop") && lost.contains("@networks4 counter drop"), "{lost}");
        ends(0, &["status", "/run/lab.toml"]);
        ends(0, &["up", "/run/lab.toml"]);
    });
}

#[test]
fn nobody_sends_with_an_address_that_is_not_his() {
    test(|| {
        outside();
        up(POLICY);
        build(&[
            "ip -n r2 addr add 10.1.0.77/32 dev eth0",
            "ip -n r2 -6 addr add fd00:1::77/128 dev eth0 nodad",
            "ip -n g2 addr add 10.2.0.2/32 dev eth0",
        ]);
        for (from, to, expected) in [
            (("r2", "10.1.0.3"), ("host", "198.51.100.1"), true),
            (("r2", "10.1.0.77"), ("host", "198.51.100.1"), false),
            (("r2", "fd00:1::77"), ("host", "2001:db8::1"), false),
            (("g2", "10.2.0.3"), ("host", "198.51.100.1"), true),
            (("g2", "10.2.0.2"), ("host", "198.51.100.1"), false),
        ] {
            assert_eq!(arrives(from, to), expected, "{from:?} to {to:?}");
        }
    });
}

#[test]
fn a_slow_member_is_slow_both_ways() {
    test(|| {
        outside();
        up(POLICY);
        // 64 kbit/s have a bucket of 15000 bytes, and 30000 that wait: of a hundred packets at once most are lost.
        for (slow, other) in [(("r1", "10.1.0.2"), ("r2", "10.1.0.3")), (("r2", "10.1.0.3"), ("r1", "10.1.0.2"))] {
            let (client, server) = (bound(slow.0, slow.1, 0), bound(other.0, other.1, 9));
            for _ in 0..100 {
                let _ = client.send_to(&[0; 1400], at(other.1, 9));
            }
            server.set_read_timeout(Some(SILENCE)).unwrap();
            let mut buffer = [0; 1400];
            let mut arrived = 0;
            while arrived < 100 && server.recv_from(&mut buffer).is_ok() {
                arrived += 1;
            }
            assert!((5..60).contains(&arrived), "{slow:?}: {arrived}");
        }
        let again = ends(0, &["plan", "/run/lab.toml"]).0;
        assert!(again.contains("nothing to do"), "{again}");
    });
}

#[test]
fn the_large_example_stands_and_holds() {
    test(|| {
        outside();
        build(&[
            "ip link add br-ex type bridge",
            "ip link add ex1 type veth peer name w1 netns world",
            "ip link set ex1 master br-ex",
            "ip link set ex1 up",
            "ip link set br-ex up",
            "ip -n world link set w1 up",
            "ip -n world addr add 203.0.113.1/24 dev w1",
            "ip -n world -6 addr add 2001:db8:113::1/64 dev w1 nodad",
            "ip -n world addr add 192.0.2.9/32 dev lo",
            "ip -n world -6 addr add 2001:db8:9::9/128 dev lo nodad",
        ]);
        let names = ["host", "world"].map(netns);
        assert_eq!(settle(&names, PATIENCE).unwrap(), []);
        up(include_str!("../../../examples/large.toml"));
        let _answering =
            [("web-1", 80), ("web-3", 22), ("red-1", 8443)].map(|(place, port)| listener(place, "::", port));
        let (rows, _) = ends(0, &["check", "/run/lab.toml"]);
        assert!(rows.lines().count() > 100, "{rows}");
        ends(0, &["status", "/run/lab.toml"]);
        let again = ends(0, &["plan", "/run/lab.toml"]).0;
        assert!(again.contains("nothing to do"), "{again}");
        ends(0, &["down", "lab"]);
    });
}
