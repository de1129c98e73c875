use nsgate_core::model::NetnsName;

use super::*;

#[test]
fn payloads_begin_with_the_cookie_and_have_the_size() {
    let payload = |kind, size| {
        let (from, destination) = (NetnsName::host(), "127.0.0.1".parse().unwrap());
        let probe = Probe { from, destination, kind, size, source: None, dont_fragment: false };
        payload(&probe, *b"12345678")
    };
    assert_eq!(payload(ProbeKind::Icmp, 11), b"12345678abc");
    assert_eq!(payload(ProbeKind::Udp(9), 0), b"12345678");
    assert_eq!(payload(ProbeKind::Tcp(9), 3), b"123");
    assert_eq!(payload(ProbeKind::Tcp(9), 0), b"");
    assert_eq!(payload(ProbeKind::Icmp, u32::MAX).len(), LONGEST);
}

#[test]
fn an_echo_has_an_identifier() {
    assert_eq!(echo_id([0; 8]), 1);
    assert_eq!(echo_id([0, 0, 0, 0, 0, 0, 1, 2]), 0x0102);
}
