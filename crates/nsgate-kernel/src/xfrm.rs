//! IPsec policies and states of a namespace, read through the kernel's xfrm netlink.
//!
//! The kernel tells them, keys included, to those alone who may change them. Keys are passed over: nothing here keeps or
//! shows one.

mod change;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nsgate_core::model::{LinkIndex, XfrmDirection, XfrmMode, XfrmPolicy, XfrmSelector, XfrmState, XfrmTemplate};

pub use self::change::change;
use crate::error::Error;
use crate::netlink::{Attributes, Batch, Listing, Message, Socket};

/// `XFRM_MSG_*`: requests.
const GET_STATE: u16 = 0x12;
const GET_POLICY: u16 = 0x15;
const GET_DEFAULT: u16 = 0x28;

/// `XFRMA_*`: attributes of policies and states.
mod attribute {
    /// Algorithms: authentication, encryption, compression, both in one, authentication cut short. Each is a name of 64
    /// bytes, and a key behind it.
    pub(super) const ALGORITHMS: [u16; 5] = [1, 2, 3, 18, 20];
    pub(super) const ENCAPSULATION: u16 = 4;
    pub(super) const TEMPLATES: u16 = 5;
    pub(super) const MARK: u16 = 21;
    pub(super) const INTERFACE: u16 = 31;
}

/// The sizes of `struct xfrm_userpolicy_id`, `struct xfrm_userpolicy_info`, `struct xfrm_usersa_id`,
/// `struct xfrm_usersa_info`, `struct xfrm_user_tmpl` and of an algorithm's name.
const POLICY_ID: usize = 64;
const POLICY: usize = 168;
const STATE_ID: usize = 24;
const STATE: usize = 224;
const TEMPLATE: usize = 64;
const ALGORITHM_NAME: usize = 64;
/// `struct xfrm_userpolicy_default`: a byte for each direction.
const DEFAULT: usize = 3;
/// `XFRM_USERPOLICY_BLOCK`.
const BLOCK: u8 = 1;
/// `XFRM_POLICY_BLOCK`.
const REFUSES: u8 = 1;
/// The most templates of one policy (XFRM_MAX_DEPTH).
const MOST_TEMPLATES: usize = 6;

/// The policies of the namespace of an [`Xfrm`](crate::netlink::Protocol::Xfrm) socket.
pub fn policies(socket: &mut Socket) -> Result<Listing<XfrmPolicy>, Error> {
    let mut batch = Batch::new();
    batch.begin(GET_POLICY, 0, &[0; POLICY_ID]);
    socket.list(&mut batch, "IPsec policies", read_policy)
}

/// The states of the namespace of an [`Xfrm`](crate::netlink::Protocol::Xfrm) socket.
pub fn states(socket: &mut Socket) -> Result<Listing<XfrmState>, Error> {
    let mut batch = Batch::new();
    batch.begin(GET_STATE, 0, &[0; STATE_ID]);
    socket.list(&mut batch, "IPsec states", read_state)
}

/// In which directions a packet is refused that no policy picks. Kernels before 5.15 let all pass and know no question.
pub fn refused_by_default(socket: &mut Socket) -> Result<Vec<XfrmDirection>, Error> {
    let mut batch = Batch::new();
    batch.begin(GET_DEFAULT, 0, &[0; DEFAULT]);
    let answers = socket.send(&mut batch)?;
    Ok(answers.replies.first().map(|reply| read_defaults(&reply.message())).unwrap_or_default())
}

/// Reads any message as each of the objects; for fuzzing.
#[cfg(feature = "testing")]
pub fn read_any(message: &Message<'_>) {
    let _ = (read_policy(message), read_state(message), read_defaults(message));
}

fn read_defaults(message: &Message<'_>) -> Vec<XfrmDirection> {
    let Some((told, _)) = message.split::<DEFAULT>() else { return Vec::new() };
    // The kernel's order here is in, forward, out.
    let [input, forward, output] = *told;
    let told = [(XfrmDirection::In, input), (XfrmDirection::Forward, forward), (XfrmDirection::Out, output)];
    told.into_iter().filter(|(_, verdict)| *verdict == BLOCK).map(|(direction, _)| direction).collect()
}

/// Reads one policy.
fn read_policy(message: &Message<'_>) -> Option<XfrmPolicy> {
    let (told, attributes) = message.split::<POLICY>()?;
    // Policies of sockets count on behind those of all.
    let direction = usize::from(told[160]);
    let templates = attributes.find(attribute::TEMPLATES).map(|a| a.value).unwrap_or_default();
    Some(XfrmPolicy {
        selector: selector(told, family(told)?)?,
        direction: *XfrmDirection::ALL.get(direction % XfrmDirection::ALL.len())?,
        of_socket: direction >= XfrmDirection::ALL.len(),
        index: number(told, 156)?,
        priority: number(told, 152)?,
        refuses: told[161] == REFUSES,
        mark: mark(&attributes),
        interface: interface(&attributes),
        templates: templates.chunks_exact(TEMPLATE).take(MOST_TEMPLATES).map(template).collect::<Option<_>>()?,
    })
}

/// `struct xfrm_user_tmpl`.
fn template(told: &[u8]) -> Option<XfrmTemplate> {
    let family = u16::from_ne_bytes([told[24], told[25]]);
    let end = |at| Some(address(told, at, family)?).filter(|end: &IpAddr| !end.is_unspecified());
    Some(XfrmTemplate {
        protocol: told[20],
        mode: mode(told[48]),
        source: end(28),
        destination: end(0),
        request: number(told, 44)?,
        spi: u32::from_be(number(told, 16)?),
        optional: told[50] != 0,
    })
}

/// Reads one state.
fn read_state(message: &Message<'_>) -> Option<XfrmState> {
    let (told, attributes) = message.split::<STATE>()?;
    let of_state = u16::from_ne_bytes([told[212], told[213]]);
    let encapsulation = attributes
        .find(attribute::ENCAPSULATION)
        .and_then(|a| a.value.get(2..6))
        .map(|ports| (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])));
    let algorithms = attributes.clone().filter(|a| attribute::ALGORITHMS.contains(&a.kind)).filter_map(|a| {
        let name = a.value.get(..ALGORITHM_NAME)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Some(std::str::from_utf8(&name[..end]).ok()?.to_owned())
    });
    let packets = told.get(168..176)?.try_into().ok()?;
    Some(XfrmState {
        source: address(told, 80, of_state)?,
        destination: address(told, 56, of_state)?,
        protocol: told[76],
        spi: u32::from_be(number(told, 72)?),
        request: number(told, 208)?,
        mode: mode(told[214]),
        selector: family(told).and_then(|family| selector(told, family)),
        mark: mark(&attributes),
        interface: interface(&attributes),
        encapsulation,
        algorithms: algorithms.take(attribute::ALGORITHMS.len()).collect(),
        packets: u64::from_ne_bytes(packets),
        replayed: number(told, 196)?,
        integrity_failed: number(told, 200)?,
    })
}

/// The family of the `struct xfrm_selector` at the start; none where it picks everything.
fn family(told: &[u8]) -> Option<u16> {
    let family = u16::from_ne_bytes(told.get(40..42)?.try_into().ok()?);
    (family != 0).then_some(family)
}

/// The `struct xfrm_selector` at the start.
fn selector(told: &[u8], family: u16) -> Option<XfrmSelector> {
    let net = |at, length: usize| IpNet::new(address(told, at, family)?, *told.get(length)?).ok();
    let port = |at: usize| {
        let pair: [u8; 4] = told.get(at..at + 4)?.try_into().ok()?;
        let (port, mask) = (u16::from_be_bytes([pair[0], pair[1]]), u16::from_be_bytes([pair[2], pair[3]]));
        (mask != 0).then_some((port, mask))
    };
    Some(XfrmSelector {
        destination: net(0, 42)?,
        source: net(16, 43)?,
        destination_port: port(32),
        source_port: port(36),
        protocol: *told.get(44)?,
        link: number(told, 48).filter(|index| *index != 0).map(LinkIndex),
    })
}

fn address(told: &[u8], at: usize, family: u16) -> Option<IpAddr> {
    let bytes: [u8; 16] = told.get(at..at + 16)?.try_into().ok()?;
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

fn mode(number: u8) -> XfrmMode {
    match number {
        0 => XfrmMode::Transport,
        1 => XfrmMode::Tunnel,
        other => XfrmMode::Other(other),
    }
}

/// `struct xfrm_mark`; none where no bit counts.
fn mark(attributes: &Attributes<'_>) -> Option<(u32, u32)> {
    let told = attributes.find(attribute::MARK)?.value;
    Some((number(told, 0)?, number(told, 4)?)).filter(|(_, mask)| *mask != 0)
}

fn interface(attributes: &Attributes<'_>) -> Option<u32> {
    attributes.find(attribute::INTERFACE)?.u32().filter(|interface| *interface != 0)
}

fn number(told: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(told.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{Messages, Protocol, hostile};
    use crate::sandbox::test;

    /// `XFRM_MSG_NEWPOLICY`, `XFRM_MSG_ALLOCSPI`, `XFRM_MSG_SETDEFAULT`.
    const NEW_POLICY: u16 = 0x13;
    const RESERVE_INDEX: u16 = 0x16;
    const SET_DEFAULT: u16 = 0x27;

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read_policy);
        hostile::try_on(read_state);
        hostile::try_on(read_defaults);
        hostile::try_on(|message| message.payload.chunks_exact(TEMPLATE).map(template).count());
    }

    /// Puts an address and the length of its prefix where `struct xfrm_selector` has them.
    fn select(told: &mut [u8], source: &str, destination: &str) {
        for (net, at, length) in [(destination, 0, 42), (source, 16, 43)] {
            let net: IpNet = net.parse().unwrap();
            place(told, at, net.addr());
            told[length] = net.prefix_len();
            let family = if net.addr().is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            told[40..42].copy_from_slice(&(family as u16).to_ne_bytes());
        }
    }

    fn place(told: &mut [u8], at: usize, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => told[at..at + 4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => told[at..at + 16].copy_from_slice(&v6.octets()),
        }
    }

    fn accepted(socket: &mut Socket, batch: &mut Batch) {
        assert_eq!(socket.send(batch).unwrap().refused(), None);
    }

    /// No end to its life: not by bytes, not by packets.
    fn live_for_ever(told: &mut [u8], lifetime: usize) {
        told[lifetime..lifetime + 32].fill(0xff);
    }

    fn policy(socket: &mut Socket, template: &[u8]) {
        let mut told = [0; POLICY];
        select(&mut told, "1.1.1.0/24", "114.114.114.0/24");
        live_for_ever(&mut told, 56);
        told[152..156].copy_from_slice(&5u32.to_ne_bytes());
        told[160] = 1;
        told[32..34].copy_from_slice(&443u16.to_be_bytes());
        told[34..36].fill(0xff);
        told[44] = 6;
        let mut batch = Batch::new();
        batch.begin(NEW_POLICY, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16, &told);
        batch.bytes(attribute::TEMPLATES, template);
        batch.bytes(attribute::MARK, &[7u32, 0xff].map(u32::to_ne_bytes).concat());
        accepted(socket, &mut batch);
    }

    fn tunnel_to_the_other_end() -> [u8; TEMPLATE] {
        let mut told = [0; TEMPLATE];
        place(&mut told, 0, "10.20.30.9".parse().unwrap());
        place(&mut told, 28, "10.20.30.182".parse().unwrap());
        told[24..26].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        (told[20], told[48]) = (50, 1);
        told[44..48].copy_from_slice(&3u32.to_ne_bytes());
        told[52..].fill(0xff);
        told
    }

    fn state() -> [u8; STATE] {
        let mut told = [0; STATE];
        place(&mut told, 56, "fd00::9".parse().unwrap());
        place(&mut told, 80, "fd00::1".parse().unwrap());
        told[76] = 51;
        told[208..212].copy_from_slice(&3u32.to_ne_bytes());
        told[212..214].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        told
    }

    /// Has the kernel make a state with an index between these two. A whole state takes a kernel that can encrypt.
    fn reserve(socket: &mut Socket, index: u32) {
        let mut batch = Batch::new();
        batch.begin(RESERVE_INDEX, 0, &[&state()[..], &index.to_ne_bytes(), &index.to_ne_bytes()].concat());
        accepted(socket, &mut batch);
    }

    #[test]
    fn algorithms_are_named_and_keys_passed_over() {
        let mut algorithm = [0x5a; ALGORITHM_NAME + 4 + 20];
        algorithm[..ALGORITHM_NAME].fill(0);
        algorithm[..10].copy_from_slice(b"hmac(sha1)");
        let mut batch = Batch::new();
        batch.begin(RESERVE_INDEX, 0, &state());
        batch.bytes(attribute::ALGORITHMS[0], &algorithm);
        let bytes = batch.part(0, 1).to_vec();
        let read = read_state(&Messages::new(&bytes).next().unwrap()).unwrap();
        assert_eq!(read.algorithms, ["hmac(sha1)"]);
        assert!(!format!("{read:?}").contains("ZZ") && !format!("{read:?}").contains("90, 90"));
    }

    #[test]
    fn policies_and_states_read_back() {
        test(|| {
            let mut socket = Socket::open(Protocol::Xfrm).unwrap();
            assert_eq!(policies(&mut socket).unwrap().items, []);
            assert_eq!(refused_by_default(&mut socket).unwrap(), []);
            policy(&mut socket, &tunnel_to_the_other_end());
            reserve(&mut socket, 0x1234);
            let mut batch = Batch::new();
            // In, forward, out; 2: let pass.
            batch.begin(SET_DEFAULT, 0, &[2, BLOCK, 2]);
            accepted(&mut socket, &mut batch);
            assert_eq!(refused_by_default(&mut socket).unwrap(), [XfrmDirection::Forward]);
            let found = policies(&mut socket).unwrap();
            let [policy] = &found.items[..] else { panic!("{found:?}") };
            assert_eq!(policy.selector.source.to_string(), "1.1.1.0/24");
            assert_eq!(policy.selector.destination.to_string(), "114.114.114.0/24");
            assert_eq!((policy.selector.protocol, policy.selector.destination_port), (6, Some((443, 0xffff))));
            assert_eq!((policy.direction, policy.of_socket, policy.refuses), (XfrmDirection::Out, false, false));
            assert_eq!((policy.priority, policy.mark, policy.interface), (5, Some((7, 0xff)), None));
            let [template] = policy.templates[..] else { panic!("{policy:?}") };
            let ends = (template.source.unwrap().to_string(), template.destination.unwrap().to_string());
            assert_eq!(ends, ("10.20.30.182".into(), "10.20.30.9".into()));
            assert_eq!((template.protocol, template.mode, template.request), (50, XfrmMode::Tunnel, 3));
            let found = states(&mut socket).unwrap();
            let [state] = &found.items[..] else { panic!("{found:?}") };
            assert_eq!((state.source.to_string(), state.destination.to_string()), ("fd00::1".into(), "fd00::9".into()));
            assert_eq!((state.spi, state.protocol, state.mode), (0x1234, 51, XfrmMode::Transport));
            assert_eq!((state.request, state.packets), (3, 0));
        });
    }
}
