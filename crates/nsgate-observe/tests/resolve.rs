//! Names resolved in a sandbox, by servers of the test's own.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use nsgate_core::model::{Family, NetnsName};
use nsgate_core::resolve::{Failure, Resolution};
use nsgate_kernel::netns::{Netns, create};
use nsgate_kernel::{apply, sandbox};
use nsgate_observe::resolve::resolve;
use nsgate_packet::dns::ResponseCode;

/// Makes a namespace whose programs see no file of the machine's, with this for a resolv.conf.
fn namespace(resolver: &str) -> Netns {
    rustix::mount::mount("none", "/etc", "tmpfs", rustix::mount::MountFlags::empty(), None).unwrap();
    let netns = create(&"blue".parse().unwrap()).unwrap();
    apply::perform(&"ip -n blue link set lo up".parse().unwrap()).unwrap();
    fs::create_dir_all("/etc/netns/blue").unwrap();
    fs::write("/etc/netns/blue/resolv.conf", resolver).unwrap();
    netns
}

/// A name server in the namespace: `www.a.test` has an address of each family, `four.test` one of IPv4; of `broken.test`
/// it cannot say anything, and to `silent.test` it says nothing.
fn serve(netns: &Netns, address: &'static str) {
    let socket = netns.run(|| UdpSocket::bind((address.parse::<IpAddr>().unwrap(), 53)).unwrap()).unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes) {
            let question = &bytes[..length];
            // Somebody else's answer comes first.
            let mut forged = answer(question).unwrap_or_default();
            if let Some(id) = forged.first_mut() {
                *id ^= 1;
            }
            for message in [Some(forged), answer(question)].into_iter().flatten() {
                socket.send_to(&message, from).unwrap();
            }
        }
    });
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let v6 = question[end + 1] == 28;
    let (code, address): (u8, Option<&[u8]>) = match (&question[12..end], v6) {
        (b"\x03www\x01a\x04test\0" | b"\x04four\x04test\0", false) => (0, Some(&[10, 0, 0, 7])),
        (b"\x03www\x01a\x04test\0", true) => (0, Some(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7])),
        (b"\x03six\x04test\0", true) => (0, Some(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6])),
        (b"\x04four\x04test\0", true) | (b"\x03six\x04test\0", false) => (0, None),
        (b"\x06broken\x04test\0", _) => (2, None),
        (b"\x06silent\x04test\0", _) => return None,
        _ => (3, None),
    };
    let mut message = question.to_vec();
    (message[2], message[3], message[7]) = (0x81, 0x80 | code, u8::from(address.is_some()));
    if let Some(address) = address {
        let kind = if v6 { 28 } else { 1 };
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, address.len() as u8]);
        message.extend(address);
    }
    Some(message)
}

const WAIT: Duration = Duration::from_millis(200);

fn resolved(name: &str, family: Option<Family>) -> Resolution {
    let from: NetnsName = "blue".parse().unwrap();
    resolve(&from, name, family, WAIT).unwrap()
}

/// The address, or the server's refusal.
fn address(name: &str, family: Option<Family>) -> String {
    match resolved(name, family) {
        Resolution::Address(address) => address.to_string(),
        Resolution::Absent { server, code } => format!("{server} {code}"),
        Resolution::Unreachable(unresolved) => panic!("{unresolved:?}"),
    }
}

/// What came of each server.
fn failures(name: &str) -> Vec<(String, Failure)> {
    match resolved(name, None) {
        Resolution::Unreachable(unresolved) => {
            assert_eq!((unresolved.name.as_str(), unresolved.file.as_str()), (name, "/etc/netns/blue/resolv.conf"));
            unresolved.asked.into_iter().map(|(server, failure)| (server.to_string(), failure)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn addresses_of_both_families_by_the_search_list_and_the_hosts_file() {
    sandbox::test(|| {
        let netns = namespace("nameserver 127.0.0.1\nsearch b.test a.test\noptions ndots:2\n");
        serve(&netns, "127.0.0.1");
        assert_eq!(address("www", None), "10.0.0.7");
        assert_eq!(address("www", Some(Family::V6)), "fd00::7");
        assert_eq!(address("six.test", None), "fd00::6", "where there is no IPv4 address");
        assert_eq!(address("six.test", Some(Family::V4)), "127.0.0.1 NXDOMAIN");
        assert_eq!(address("four.test.", Some(Family::V6)), "127.0.0.1 NOERROR");
        fs::write("/etc/netns/blue/hosts", "10.9.9.9 www\n").unwrap();
        assert_eq!(address("www", None), "10.9.9.9");
        assert_eq!(address("www", Some(Family::V6)), "fd00::7");
    });
}

#[test]
fn the_next_server_is_asked_where_one_is_of_no_use() {
    sandbox::test(|| {
        let netns = namespace("nameserver 127.0.0.9\nnameserver 10.9.9.9\nnameserver ::1\n");
        serve(&netns, "::1");
        let before = Instant::now();
        let found = resolve(netns.name(), "www.a.test", None, Duration::from_mins(1)).unwrap();
        assert_eq!(found, Resolution::Address("10.0.0.7".parse().unwrap()));
        assert!(before.elapsed() < Duration::from_secs(5), "a refusal is not waited for");
    });
}

#[test]
fn why_every_server_is_of_no_use() {
    sandbox::test(|| {
        let netns = namespace("nameserver 127.0.0.9\nnameserver 10.9.9.9\nnameserver ::1\noptions attempts:1\n");
        serve(&netns, "::1");
        let refused = |words: &str| Failure::Refused(words.into());
        let server = |text: &str| text.to_owned();
        assert_eq!(
            failures("broken.test"),
            [
                (server("127.0.0.9"), refused("Connection refused")),
                (server("10.9.9.9"), refused("Network is unreachable")),
                (server("::1"), Failure::Answered(ResponseCode::Failed)),
            ]
        );
        assert_eq!(failures("silent.test")[2], (server("::1"), Failure::Silent(200)));
        fs::write("/etc/netns/blue/resolv.conf", "nameserver fe80::1%gone\n").unwrap();
        assert_eq!(failures("www.a.test"), [(server("fe80::1%gone"), refused("there is no such interface"))]);
        fs::remove_file("/etc/netns/blue/resolv.conf").unwrap();
        fs::write("/etc/resolv.conf", "").unwrap();
        let Resolution::Unreachable(unresolved) = resolved("www.a.test", None) else { panic!() };
        assert_eq!((unresolved.file.as_str(), unresolved.asked.len()), ("/etc/resolv.conf", 1));
    });
}
