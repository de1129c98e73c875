//! Whether a packet that tcpdump saw can have to do with a probe, judged without any of nsgate's own code.
//!
//! The scenarios are quiet: whatever is not one of the few things that hosts send by themselves belongs to the probe.

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The probe's own, its answer's, or an error about them.
    Probe,
    /// Somebody asks for, or tells, the link-layer address of a neighbour.
    Resolution,
    /// What hosts send without being asked; the word says what.
    Unasked(&'static str),
}

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IGMP: u8 = 2;
/// The ports of VXLAN: the assigned one, and the one that Linux took before.
const TUNNELS: [u16; 2] = [4789, 8472];
const ICMPV6: u8 = 58;
/// Hop-by-hop, routing, destination options: headers before the transport's, with a length in units of eight.
const EXTENSIONS: [u8; 3] = [0, 43, 60];

/// What a packet is, by its ethertype and its bytes from the network header on.
pub(crate) fn kind(protocol: u16, bytes: &[u8]) -> Kind {
    match protocol {
        ARP if bytes.get(14..18) == Some(&[0; 4]) => Kind::Unasked("a question whether an address is taken"),
        ARP => Kind::Resolution,
        IPV4 if bytes.get(9) == Some(&IGMP) => Kind::Unasked("a report of groups"),
        IPV4 => of_datagram(bytes).unwrap_or(Kind::Probe),
        IPV6 => ipv6(bytes),
        _ => Kind::Unasked("another protocol"),
    }
}

fn ipv6(bytes: &[u8]) -> Kind {
    let from_nobody = bytes.get(8..24) == Some(&[0; 16]);
    match icmpv6_type(bytes) {
        Some(130..=132 | 143) => Kind::Unasked("a report of groups"),
        Some(133 | 134) => Kind::Unasked("the search for a router"),
        Some(135) if from_nobody => Kind::Unasked("a question whether an address is taken"),
        Some(135 | 136) => Kind::Resolution,
        _ => Kind::Probe,
    }
}

/// What an IPv4 datagram of VXLAN carries; none if it is no such datagram.
fn of_datagram(bytes: &[u8]) -> Option<Kind> {
    const UDP: u8 = 17;
    let header = usize::from(bytes.first()? & 0x0f) * 4;
    let port = u16::from_be_bytes(*bytes.get(header + 2..)?.first_chunk()?);
    if bytes.get(9) != Some(&UDP) || !TUNNELS.contains(&port) {
        return None;
    }
    let frame = bytes.get(header + 8 + 8..)?;
    let protocol = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    Some(kind(protocol, &frame[14..]))
}

/// The type of an ICMPv6 message.
fn icmpv6_type(bytes: &[u8]) -> Option<u8> {
    let (mut next, mut at) = (*bytes.get(6)?, 40);
    while EXTENSIONS.contains(&next) {
        let header = bytes.get(at..)?;
        (next, at) = (*header.first()?, at + 8 + 8 * usize::from(*header.get(1)?));
    }
    (next == ICMPV6).then(|| bytes.get(at).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hosts_send_by_themselves_is_told_from_the_probe() {
        let mut arp = [0; 28];
        assert!(matches!(kind(ARP, &arp), Kind::Unasked(_)));
        arp[17] = 1;
        assert_eq!(kind(ARP, &arp), Kind::Resolution);

        let mut ipv4 = [0; 20];
        ipv4[9] = 17;
        assert_eq!(kind(IPV4, &ipv4), Kind::Probe);
        ipv4[9] = IGMP;
        assert!(matches!(kind(IPV4, &ipv4), Kind::Unasked(_)));
        let tunnelled = |protocol: u16| {
            let outer = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17][..], &[0; 10], &[1, 2, 0x12, 0xb5, 0, 0, 0, 0], &[8; 8]];
            kind(IPV4, &[&outer.concat()[..], &[2; 12], &protocol.to_be_bytes(), &ipv4].concat())
        };
        assert!(matches!(tunnelled(IPV4), Kind::Unasked(_)));
        assert_eq!(tunnelled(IPV6), Kind::Probe);

        let mut discovery = [0; 64];
        (discovery[6], discovery[40]) = (ICMPV6, 135);
        assert!(matches!(kind(IPV6, &discovery), Kind::Unasked(_)));
        discovery[8] = 0xfe;
        assert_eq!(kind(IPV6, &discovery), Kind::Resolution);
        // A report of groups behind a hop-by-hop header.
        (discovery[6], discovery[40], discovery[48]) = (0, ICMPV6, 143);
        assert!(matches!(kind(IPV6, &discovery), Kind::Unasked(_)));
        discovery[48] = 128;
        assert_eq!(kind(IPV6, &discovery), Kind::Probe);
        assert_eq!(kind(IPV6, &[]), Kind::Probe, "what cannot be read is not passed over");
        assert!(matches!(kind(0x88cc, &[]), Kind::Unasked(_)));
    }
}
