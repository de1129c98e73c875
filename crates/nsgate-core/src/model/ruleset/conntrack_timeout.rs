//! The states of connections that times can be set for, by protocol (CTA_TIMEOUT_TCP_*, CTA_TIMEOUT_UDP_*).

/// The protocols that have such states: by IP's number, the words by the kernel's number of the state less one.
const STATES: [(u8, &[&str]); 2] = [
    (
        6,
        &[
            "syn_sent",
            "syn_recv",
            "established",
            "fin_wait",
            "close_wait",
            "last_ack",
            "time_wait",
            "close",
            "syn_sent2",
            "retrans",
            "unack",
        ],
    ),
    (17, &["unreplied", "replied"]),
];

/// nft's word for a state.
pub(super) fn state(protocol: u8, number: u16) -> Option<&'static str> {
    let words = STATES.iter().find(|(known, _)| *known == protocol)?.1;
    words.get(usize::from(number).checked_sub(1)?).copied()
}
