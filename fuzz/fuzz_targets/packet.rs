//! Any bytes, read as a frame and as a packet: nothing may panic, views stay inside the bytes, and what can be written
//! again reads as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nsgate_packet::build::{self, Outer};
use nsgate_packet::dns::Question;
use nsgate_packet::{Family, Ip, Packet, Transport};

fuzz_target!(|bytes: &[u8]| {
    for family in [Family::V4, Family::V6] {
        let question = Question::new(0x6161, "a", family).expect("a name");
        let _ = question.answer(bytes);
    }
    for packet in [Packet::ethernet(bytes), Packet::ip(bytes)] {
        assert!(!packet.to_string().is_empty());
        if let Some(ip) = packet.as_ip() {
            assert!(ip.header.len() + ip.payload.len() <= bytes.len());
            let _ = (ip.tcp_sequence(), ip.header_checksum_right(), ip.transport_checksum_right());
            assert_eq!(ip.flow().reversed().reversed(), ip.flow());
            reads_back(&ip);
        }
    }
});

/// Writes the segment into a packet of its own and reads it back.
fn reads_back(ip: &Ip<'_>) {
    let transport = ip.transport();
    let Ok(bytes) = build::ip(&Outer::new(ip.source, ip.destination), &transport) else { return };
    let written = Ip::parse(&bytes).expect("what was written is a packet");
    assert_eq!(written.transport_checksum_right(), Some(true));
    if !matches!(transport, Transport::Icmp(_)) {
        assert_eq!(written.transport(), transport);
    }
}
