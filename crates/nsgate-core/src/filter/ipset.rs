//! Whether a packet is in a set of ipset.
//!
//! Follows linux net/netfilter/ipset: the parts that the set's type asks for are taken from the packet, and looked for
//! among the members, the narrowest network first.

use std::net::IpAddr;

use ipnet::IpNet;
use nsgate_packet::{Family, Mac, Transport};

use super::Subject;
use crate::model::ruleset::{Expression, IpSet, Member, SetQuestion};

/// How deep sets may lie in one another; those of the kernel never do more than once.
const DEEPEST: usize = 2;

/// The member of a set that a packet is found by, for a match that asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    /// The set; one that lies in another, where that was asked for.
    pub set: &'a IpSet,
    /// The member; none: the packet is not in the set.
    pub member: Option<&'a Member>,
}

/// Whether a packet is in the set that a match asks for, and by which member; none if this is no such match, or it is
/// not known.
pub fn membership<'a>(subject: &Subject<'a>, expression: &Expression) -> Option<Membership<'a>> {
    let Expression::XtSet { target: false, revision, info, .. } = expression else { return None };
    let question = SetQuestion::of_match(*revision, info)?;
    let set = subject.netns.ruleset.ipset(question.index)?;
    Some(match test(subject, set, &question, DEEPEST)? {
        Found::No => Membership { set, member: None },
        Found::By(set, member) => Membership { set, member: Some(member) },
    })
}

/// Whether the question holds; none if it is not known.
pub(super) fn holds(subject: &Subject<'_>, question: &SetQuestion) -> Option<bool> {
    let set = subject.netns.ruleset.ipset(question.index)?;
    let inside = match test(subject, set, question, DEEPEST)? {
        Found::No => false,
        Found::By(_, member) => member.nomatch == question.only_exceptions,
    };
    // Counters of members are not kept.
    if inside && question.counters {
        return None;
    }
    Some(inside != question.inverted)
}

/// How a search ended.
#[derive(Clone, Copy)]
enum Found<'a> {
    No,
    /// By this member, which may be one that excepts what lies in it.
    By(&'a IpSet, &'a Member),
}

/// What a packet has where a set's type asks for something.
struct Key {
    /// The parts in the order of the type.
    parts: Vec<Part>,
}

enum Part {
    Address(IpAddr),
    Net(IpAddr),
    /// The port, with the protocol where it counts.
    Port(Option<u8>, u16),
    Mac(Mac),
    Link(String),
    Mark(u32),
}

/// What became of taking a part from the packet.
enum Taken {
    Is(Part),
    /// The packet has none: it is not in the set.
    Lacking,
    Unknown,
}

fn test<'a>(subject: &Subject<'a>, set: &'a IpSet, question: &SetQuestion, depth: usize) -> Option<Found<'a>> {
    let (method, words) = set.kind.split_once(':')?;
    let words: Vec<&str> = words.split(',').collect();
    let family = match subject.ip()?.family() {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    if usize::from(question.parts) < words.len() || (set.family != 0 && set.family != family) {
        return Some(Found::No);
    }
    if words == ["set"] {
        return in_list(subject, set, question, depth.checked_sub(1)?);
    }
    let mut key = Key { parts: Vec::new() };
    for (place, word) in words.iter().enumerate() {
        match taken(subject, set, method, word, *question.source.get(place)?) {
            Taken::Is(part) => key.parts.push(part),
            Taken::Lacking => return Some(Found::No),
            Taken::Unknown => return None,
        }
    }
    key.look_up(set)
}

/// The first of several sets that the packet is in decides.
fn in_list<'a>(subject: &Subject<'a>, list: &IpSet, question: &SetQuestion, depth: usize) -> Option<Found<'a>> {
    for name in list.members.iter().filter_map(|member| member.set.as_deref()) {
        let set = subject.netns.ruleset.ipsets.iter().find(|set| set.name == name)?;
        match test(subject, set, question, depth)? {
            found @ Found::By(_, member) if !member.nomatch => return Some(found),
            _ => {}
        }
    }
    (list.more == 0).then_some(Found::No)
}

/// Takes one part from the packet.
fn taken(subject: &Subject<'_>, set: &IpSet, method: &str, word: &str, source: bool) -> Taken {
    let Some(ip) = subject.ip() else { return Taken::Unknown };
    let address = if source { ip.source } else { ip.destination };
    match word {
        "ip" if method == "hash" && address.is_unspecified() => Taken::Lacking,
        "ip" => Taken::Is(Part::Address(set.netmask.map_or(address, |bits| cut(address, bits)))),
        "net" => Taken::Is(Part::Net(address)),
        "port" => port(subject, method == "bitmap", source),
        "mac" => {
            let Some(header) = &subject.ethernet else { return Taken::Unknown };
            let at = if source { 6 } else { 0 };
            let octets = header.get(at..at + 6).and_then(|octets| <[u8; 6]>::try_from(octets).ok());
            octets.map_or(Taken::Unknown, |octets| Taken::Is(Part::Mac(Mac(octets))))
        }
        "iface" => {
            let device = if source { &subject.entered } else { &subject.leaves };
            device.as_ref().map_or(Taken::Lacking, |device| Taken::Is(Part::Link(device.name.clone())))
        }
        "mark" => {
            let mask = set.mark_mask.unwrap_or(u32::MAX);
            subject.mark.map_or(Taken::Unknown, |mark| Taken::Is(Part::Mark(mark & mask)))
        }
        _ => Taken::Unknown,
    }
}

/// The port of either end; a message of ICMP has its type and code there.
fn port(subject: &Subject<'_>, of_any_protocol: bool, source: bool) -> Taken {
    let Some(ip) = subject.ip() else { return Taken::Unknown };
    let chosen = |from: u16, to: u16| if source { from } else { to };
    let number = match ip.transport() {
        Transport::Tcp(tcp) => chosen(tcp.source_port, tcp.destination_port),
        Transport::Udp(udp) => chosen(udp.source_port, udp.destination_port),
        _ if of_any_protocol || !subject.has_transport() => return Taken::Lacking,
        Transport::Icmp(_) => match ip.payload {
            [kind, code, ..] => u16::from_be_bytes([*kind, *code]),
            _ => return Taken::Lacking,
        },
        // Ports of other protocols are not read here; those that have none count as 0.
        _ if matches!(ip.protocol, 132 | 136) => return Taken::Unknown,
        _ => 0,
    };
    Taken::Is(Part::Port((!of_any_protocol).then_some(ip.protocol), number))
}

impl Key {
    /// The member that is nearest: of those that fit, the one with the narrowest networks.
    fn look_up<'a>(&self, set: &'a IpSet) -> Option<Found<'a>> {
        let width = |net: &Option<IpNet>| net.map_or(0, |net| net.prefix_len());
        let fitting = set.members.iter().filter(|member| self.fits(member));
        let nearest = fitting.max_by_key(|member| (width(&member.net), width(&member.second)));
        match nearest {
            // Which of a bridge's ports is meant is not known here.
            Some(member) if member.physical => None,
            Some(_) if set.more > 0 && self.parts.iter().any(|part| matches!(part, Part::Net(_))) => None,
            Some(member) => Some(Found::By(set, member)),
            None => (set.more == 0).then_some(Found::No),
        }
    }

    fn fits(&self, member: &Member) -> bool {
        let mut nets = [member.net, member.second].into_iter();
        self.parts.iter().all(|part| match part {
            Part::Address(address) => nets.next().flatten().is_some_and(|net| net.addr() == *address),
            Part::Net(address) => nets.next().flatten().is_some_and(|net| net.contains(address)),
            Part::Port(protocol, port) => {
                member.port == Some(*port) && protocol.is_none_or(|p| member.protocol.is_none_or(|m| m == p))
            }
            // A member may leave the address open, which then is learned.
            Part::Mac(mac) => member.mac.is_none_or(|asked| asked == *mac),
            Part::Link(name) => member
                .link
                .as_ref()
                .is_some_and(|link| if member.wildcard { name.starts_with(link.as_str()) } else { name == link }),
            Part::Mark(mark) => member.mark == Some(*mark),
        })
    }
}

/// An address of which only the first bits are kept.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    IpNet::new(address, bits).map_or(address, |net| net.network())
}

#[cfg(test)]
mod tests {
    use nsgate_packet::{Tcp, TcpFlags, build};

    use super::*;
    use crate::filter::{Connection, Device, Layer};
    use crate::model::{Namespace, NetnsName};

    /// A SYN from 1.1.1.2:4000 to 9.9.9.9:80, coming in at veth3.
    fn syn(netns: &Namespace) -> Subject<'_> {
        let tcp = Transport::Tcp(Tcp {
            source_port: 4000,
            destination_port: 80,
            sequence: 1,
            acknowledgement: 0,
            flags: TcpFlags::SYN,
            window: 100,
            options: &[],
            payload: &[],
        });
        let outer = build::Outer::new(IpAddr::from([1, 1, 1, 2]), IpAddr::from([9, 9, 9, 9]));
        Subject {
            layer: Layer::Ip,
            netns,
            packet: build::ip(&outer, &tcp).unwrap(),
            ethernet: None,
            entered: Some(Device { index: 2, name: "veth3".into(), group: 0, hardware: 1 }),
            leaves: None,
            mark: Some(0x17),
            connection: Connection::new_flow(),
        }
    }

    fn asked(set: IpSet, directions: u8) -> Option<bool> {
        let mut netns = Namespace::new(NetnsName::host(), 1);
        netns.ruleset.ipsets.push(IpSet { index: Some(0), ..set });
        let parts = netns.ruleset.ipsets[0].kind.split(',').count() as u8;
        let question = SetQuestion::of_match(1, &[0, 0, parts, directions]).unwrap();
        holds(&syn(&netns), &question)
    }

    fn set(kind: &str, members: Vec<Member>) -> IpSet {
        IpSet { name: "s".into(), kind: kind.into(), members, ..IpSet::default() }
    }

    fn net(text: &str) -> Member {
        Member { net: Some(text.parse().unwrap()), ..Member::default() }
    }

    const SOURCE: u8 = 2;
    const DESTINATION: u8 = 0;

    #[test]
    fn the_narrowest_network_decides() {
        let except = |text| Member { nomatch: true, ..net(text) };
        assert_eq!(asked(set("hash:net", vec![net("1.0.0.0/8"), except("1.1.1.0/24")]), SOURCE), Some(false));
        assert_eq!(asked(set("hash:net", vec![except("1.0.0.0/8"), net("1.1.1.0/24")]), SOURCE), Some(true));
        assert_eq!(asked(set("hash:net", vec![net("1.0.0.0/8")]), DESTINATION), Some(false));
        assert_eq!(asked(set("hash:net", vec![net("1.0.0.0/8")]), SOURCE | 1), Some(false));
    }

    #[test]
    fn marks_links_and_families_are_parts_too() {
        let marked = Member { mark: Some(7), ..net("1.1.1.2/32") };
        let masked = IpSet { mark_mask: Some(0xf), ..set("hash:ip,mark", vec![marked]) };
        assert_eq!(asked(masked.clone(), SOURCE), Some(true));
        assert_eq!(asked(IpSet { mark_mask: None, ..masked }, SOURCE), Some(false));
        let behind = Member { link: Some("veth".into()), wildcard: true, ..net("1.1.1.0/24") };
        assert_eq!(asked(set("hash:net,iface", vec![behind.clone()]), 0b110), Some(true));
        assert_eq!(asked(set("hash:net,iface", vec![behind]), SOURCE), Some(false));
        assert_eq!(asked(IpSet { family: 10, ..set("hash:ip", vec![net("1.1.1.2/32")]) }, SOURCE), Some(false));
    }

    #[test]
    fn what_is_not_known_is_neither() {
        let many = IpSet { more: 3, ..set("hash:ip", vec![net("1.1.1.3/32")]) };
        assert_eq!(asked(many, SOURCE), None);
        assert_eq!(asked(set("hash:mac", Vec::new()), SOURCE), None);
        assert_eq!(asked(set("hash:ip,newer", vec![net("1.1.1.2/32")]), SOURCE), None);
        assert_eq!(
            asked(set("list:set", vec![Member { set: Some("gone".into()), ..Member::default() }]), SOURCE),
            None
        );
        let itself = Member { set: Some("s".into()), ..Member::default() };
        assert_eq!(asked(set("list:set", vec![itself]), SOURCE), None);
    }
}
