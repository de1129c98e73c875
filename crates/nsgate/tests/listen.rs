//! `nsgate trace --listen` as a user runs it: somebody else sends, and nsgate says what becomes of it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod command;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nsgate_core::model::Transport;
use nsgate_core::trace::{Probe, ProbeKind};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::server::Server;
use nsgate_kernel::settle::settle;
use nsgate_observe::Sender;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use self::command::{build, trace};

/// A world, a gateway that publishes port 8080 of both families, and the namespace of the service behind it.
const NETWORK: [&str; 34] = [
    "ip netns add ns_1",
    "ip netns add world",
    "ip link add veth3 type veth peer name veth2 netns ns_1",
    "ip link add eth2 type veth peer name w0 netns world",
    "ip addr add 1.1.1.3/24 dev veth3",
    "ip addr add 2001:db8:1::3/64 dev veth3 nodad",
    "ip addr add 10.20.30.182/24 dev eth2",
    "ip addr add 2001:db8:20::182/64 dev eth2 nodad",
    "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
    "ip -n ns_1 addr add 2001:db8:1::2/64 dev veth2 nodad",
    "ip -n world addr add 10.20.30.1/24 dev w0",
    "ip -n world addr add 2001:db8:20::1/64 dev w0 nodad",
    "ip link set lo up",
    "ip link set veth3 up",
    "ip link set eth2 up",
    "ip -n ns_1 link set lo up",
    "ip -n ns_1 link set veth2 up",
    "ip -n world link set lo up",
    "ip -n world link set w0 up",
    "ip -n ns_1 route add default via 1.1.1.3",
    "ip -n ns_1 route add default via 2001:db8:1::3",
    "sysctl -w net.ipv4.ip_forward=1",
    "sysctl -w net.ipv6.conf.all.forwarding=1",
    "nft 'add table ip nat'",
    "nft 'add chain ip nat pre { type nat hook prerouting priority dstnat; policy accept; }'",
    "nft 'add rule ip nat pre iifname eth2 tcp dport 8080 dnat to 1.1.1.2:80'",
    "nft 'add rule ip nat pre iifname eth2 udp dport 8080 dnat to 1.1.1.2:80'",
    "nft 'add table ip6 nat'",
    "nft 'add chain ip6 nat pre { type nat hook prerouting priority dstnat; policy accept; }'",
    "nft 'add rule ip6 nat pre iifname eth2 tcp dport 8080 dnat to [2001:db8:1::2]:80'",
    "nft 'add table inet filter'",
    "nft 'add chain inet filter forward { type filter hook forward priority filter; policy accept; }'",
    "nft 'add rule inet filter forward ct state established accept'",
    "nft 'add rule inet filter forward iifname lo accept'",
];

const DROP: &str = "nft 'add rule inet filter forward oifname veth3 counter drop'";

fn network() -> [Server; 2] {
    build(&NETWORK);
    let [host, ns_1, world] = ["host", "ns_1", "world"].map(|name| Netns::open(&name.parse().unwrap()).unwrap());
    let serve = |transport, address: &str| Server::start(&ns_1, transport, address.parse().unwrap()).unwrap();
    let servers = [serve(Transport::Tcp, "[::]:80"), serve(Transport::Udp, "0.0.0.0:80")];
    let left = settle(&[host, ns_1, world], Duration::from_secs(20)).unwrap();
    assert!(left.is_empty(), "{left:?}");
    servers
}

/// Starts nsgate; it waits for the packet when this returns.
fn listening(filter: &str, more: &str) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    command.args(["trace", "--listen", filter]).args(more.split_whitespace());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        assert!(notes.read_line(&mut said).unwrap() > 0, "{said}");
    }
    assert!(said.starts_with("waiting in "), "{said}");
    (child, notes)
}

/// What nsgate says, in JSON, of what is sent while it waits; it must end with this code.
#[track_caller]
fn heard(code: i32, filter: &str, more: &str, send: impl FnOnce()) -> Value {
    let (child, _notes) = listening(filter, &format!("--json {more}"));
    send();
    let output = child.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{answer:#}");
    answer
}

/// Opens a connection in a namespace, and says a word over it if it stands.
fn connect(netns: &Netns, to: &str) {
    let to: SocketAddr = to.parse().unwrap();
    let open = move || {
        if let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(2500)) {
            stream.write_all(b"word").unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
        }
    };
    netns.run(open).unwrap();
}

fn world() -> Netns {
    Netns::open(&"world".parse().unwrap()).unwrap()
}

#[test]
fn a_connection_to_a_published_port_is_followed_to_the_service_and_back() {
    test(|| {
        let _servers = network();
        for (to, address) in [("10.20.30.182:8080", "10.20.30.182"), ("[2001:db8:20::182]:8080", "2001:db8:20::182")] {
            let answer = heard(0, "tcp and dst port 8080", "", || connect(&world(), to));
            assert_eq!(answer["verdict"]["cause"], "delivered", "{answer:#}");
            let probe = &answer["probe"];
            assert_eq!((&probe["from"], &probe["destination"]), (&"world".into(), &address.into()));
            let sent_by: SocketAddr = probe["sent_by"].as_str().unwrap().parse().unwrap();
            assert!(["10.20.30.1", "2001:db8:20::1"].contains(&sent_by.ip().to_string().as_str()), "{probe}");
            let path: Vec<String> =
                answer["path"].as_array().unwrap().iter().filter(|step| is_packet(step)).map(place).collect();
            let way = "world w0 transmit, host eth2 receive, host veth3 transmit, ns_1 veth2 receive, \
                       ns_1 veth2 transmit, host veth3 receive, host eth2 transmit, world w0 receive";
            assert_eq!(path.join(", "), way, "the opening and its answer, and nothing that follows");
        }
    });
}

/// Whether it is no question for a neighbour.
fn is_packet(step: &Value) -> bool {
    ["request", "answer"].contains(&step["direction"].as_str().unwrap())
}

fn place(step: &Value) -> String {
    ["netns", "dev", "hook"].map(|key| step[key].as_str().unwrap_or("?").to_owned()).join(" ")
}

#[test]
fn what_loses_a_connection_of_somebody_else_is_named() {
    test(|| {
        let _servers = network();
        build(&[DROP]);
        for to in ["10.20.30.182:8080", "[2001:db8:20::182]:8080"] {
            let answer = heard(1, "tcp and dst port 8080", "", || connect(&world(), to));
            let verdict = &answer["verdict"];
            assert_eq!((&verdict["cause"], &verdict["where"]["netns"]), (&"filter-drop".into(), &"host".into()));
            assert!(verdict["object"].as_str().unwrap().contains("oifname \"veth3\""), "{verdict:#}");
            assert!(!verdict["fix"]["commands"].as_array().unwrap().is_empty(), "{verdict:#}");
        }
        // Nothing translates this one, and nothing listens.
        for to in ["10.20.30.182:9999", "[2001:db8:20::182]:9999"] {
            let answer = heard(1, "tcp and port 9999", "", || connect(&world(), to));
            let cause = answer["verdict"]["cause"].as_str().unwrap();
            assert!(["service-closed", "dnat-missing", "dnat-mismatch"].contains(&cause), "{answer:#}");
            assert_eq!(answer["verdict"]["where"]["netns"], "host");
        }
    });
}

#[test]
fn datagrams_and_echoes_are_followed_too() {
    test(|| {
        let _servers = network();
        let datagram = || {
            let send = || {
                let socket = UdpSocket::bind("10.20.30.1:0").unwrap();
                socket.send_to(b"w", "10.20.30.182:8080").unwrap();
            };
            world().run(send).unwrap();
        };
        let answer = heard(0, "udp and dst port 8080", "", datagram);
        assert_eq!(answer["verdict"]["cause"], "delivered", "{answer:#}");
        assert!(
            answer["path"].to_string().contains("1.1.1.2:80"),
            "translated, with one byte to be known by: {answer:#}"
        );
        for to in ["10.20.30.182", "2001:db8:20::182"] {
            let echo = || {
                let probe = Probe {
                    from: "world".parse().unwrap(),
                    destination: to.parse().unwrap(),
                    kind: ProbeKind::Icmp,
                    size: 56,
                    source: None,
                    dont_fragment: false,
                };
                let send = move || Sender::open(&probe, *b"somebody", 1).unwrap().send().unwrap();
                world().run(send).unwrap();
            };
            let filter = format!("icmp and dst host {to}");
            let answer = heard(0, &filter, "", echo);
            assert_eq!((&answer["probe"]["protocol"], &answer["probe"]["port"]), (&"icmp".into(), &Value::Null));
        }
    });
}

#[test]
fn a_sender_whom_nobody_sees_is_outside() {
    test(|| {
        let _servers = network();
        let world = world();
        // It lives on as long as somebody holds it, but no name and no process leads there.
        build(&["ip netns del world", DROP]);
        let answer = heard(1, "tcp and dst port 8080", "--html /run/page.html", || {
            connect(&world, "10.20.30.182:8080");
        });
        assert_eq!(answer["verdict"]["cause"], "filter-drop", "{answer:#}");
        assert_eq!(answer["probe"]["from"], "host");
        let page = std::fs::read_to_string("/run/page.html").unwrap();
        assert!(page.contains("lost:</span> tcp 8080 from 10.20.30.1:"), "{page}");
        build(&["nft 'insert rule inet filter forward accept'"]);
        let answer = heard(0, "tcp and dst port 8080", "", || connect(&world, "10.20.30.182:8080"));
        assert_eq!(answer["verdict"]["cause"], "delivered", "{answer:#}");
    });
}

#[test]
fn where_nothing_comes_that_is_said_and_where_it_came_by_instead() {
    test(|| {
        let _servers = network();
        let answer = heard(1, "tcp and dst port 8080", "--wait 300", || ());
        let verdict = &answer["verdict"];
        assert_eq!((&verdict["cause"], &verdict["object"]), (&"uncertain".into(), &"tcp and dst port 8080".into()));
        assert_eq!(answer["delivered"], false);
        let answer = heard(1, "tcp and dst port 8080", "--from ns_1 --wait 1500", || {
            connect(&world(), "10.20.30.182:8080");
        });
        let told = answer["verdict"].to_string();
        assert!(told.contains("came by here, and not in ns_1") && told.contains("--from"), "{told}");
        let (shown, _) = trace(1, "--listen udp --wait 50");
        assert!(shown.starts_with("✗ nothing came: udp\n"), "{shown}");
    });
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    test(|| {
        let _servers = network();
        let tables = || std::fs::read_to_string("/proc/net/packet").unwrap().lines().count();
        let before = tables();
        let (mut child, _notes) = listening("tcp", "");
        assert!(tables() > before, "the taps are there");
        // Not SIGINT: what a shell runs in its background is deaf to that, and so is all that is started there.
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it ends by the signal");
        assert_eq!(tables(), before);
    });
}

#[test]
fn what_makes_no_sense_with_it_is_a_usage_error() {
    let refused = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nsgate")).arg("trace").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for arguments in [
        &["--listen", "tcp", "ns_1", "1.1.1.1"][..],
        &["--listen", "tcp", "--fix"],
        &["--listen", "tcp", "--udp", "5"],
        &["--from", "ns_1"],
        &["ns_1"],
    ] {
        refused(arguments);
    }
    let error = refused(&["--listen", "tcp and prot 80"]);
    assert!(error.contains("at character 9 of 'tcp and prot 80'"), "{error}");
}
