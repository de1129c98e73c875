//! What a packet filter can know of a packet.

use std::net::IpAddr;

use nsgate_packet::{Family, Ip};

use crate::model::ruleset::{Base, CtKey, MetaKey};
use crate::model::{Link, LinkKind, Namespace};

/// A packet at a hook, with its surroundings. What is `None` is not known.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The namespace it is in; routes are looked up there.
    pub netns: &'a Namespace,
    /// The bytes from the IP header on.
    pub packet: Vec<u8>,
    /// The Ethernet header, where the hook can see one.
    pub ethernet: Option<Vec<u8>>,
    /// The interface it came in by; none where the hook has none, as for packets made here.
    pub entered: Option<Device>,
    /// The interface it leaves by; none where the hook has none, as before it is routed.
    pub leaves: Option<Device>,
    /// Its mark.
    pub mark: Option<u32>,
    /// Its connection.
    pub connection: Connection,
}

/// An interface as a rule can ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: u32,
    /// Its hardware type (ARPHRD_*).
    pub hardware: u16,
}

/// What is known of a packet's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The state bits that `ct state` sees (NF_CT_STATE_*).
    pub state: Option<u32>,
    /// The status bits (IPS_*).
    pub status: Option<u32>,
    /// The mark.
    pub mark: Option<u32>,
    /// The source and destination of the original direction.
    pub original: Option<(IpAddr, IpAddr)>,
    /// Whether the packet goes the reply's way.
    pub reply: Option<bool>,
}

impl Connection {
    /// A packet that begins a flow.
    pub fn new_flow() -> Self {
        Self { state: Some(8), status: Some(0), mark: Some(0), original: None, reply: Some(false) }
    }

    /// A packet of a flow that went both ways.
    pub fn established() -> Self {
        Self { state: Some(2), ..Self::default() }
    }
}

impl From<&Link> for Device {
    fn from(link: &Link) -> Self {
        let hardware = if link.kind == LinkKind::Loopback { 772 } else { 1 };
        Self { index: link.index.0, name: link.name.to_string(), group: link.group, hardware }
    }
}

impl Subject<'_> {
    /// What the IP header says; none if there is none.
    pub fn ip(&self) -> Option<Ip<'_>> {
        Ip::parse(&self.packet)
    }

    /// Bytes of the packet; none if they are not there or not known.
    pub(super) fn payload(&self, base: Base, offset: usize, length: usize) -> Option<&[u8]> {
        let from = match base {
            Base::Link => return self.ethernet.as_ref()?.get(offset..offset + length),
            Base::Network => 0,
            Base::Transport => self.packet.len() - self.ip()?.payload.len(),
            Base::Inner => return None,
        };
        self.packet.get(from + offset..from + offset + length)
    }

    /// Whether the packet is one that has a transport header to look into: not a later fragment.
    pub(super) fn has_transport(&self) -> bool {
        self.ip().is_some_and(|ip| ip.fragment.is_none_or(|f| f.offset == 0))
    }

    /// Whether a key (NFT_META_*) asks about an interface that the packet does not have at this hook.
    pub(super) fn lacks_device(&self, key: MetaKey) -> bool {
        match key.0 {
            4 | 6 | 8 | 21 => self.entered.is_none(),
            5 | 7 | 9 | 22 => self.leaves.is_none(),
            _ => false,
        }
    }

    /// Something about the packet (NFT_META_*), as the kernel keeps it: numbers in the host's order.
    pub(super) fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        let native = |number: u32| Some(number.to_ne_bytes().to_vec());
        let short = |number: u16| Some(number.to_ne_bytes().to_vec());
        let entered = self.entered.as_ref();
        let leaves = self.leaves.as_ref();
        match key.0 {
            0 => native(self.packet.len() as u32),
            1 => Some(self.ethertype()?.to_be_bytes().to_vec()),
            3 => native(self.mark?),
            4 => native(entered?.index),
            5 => native(leaves?.index),
            6 => Some(padded(&entered?.name)),
            7 => Some(padded(&leaves?.name)),
            8 => short(entered?.hardware),
            9 => short(leaves?.hardware),
            15 => Some(vec![if self.ip()?.family() == Family::V4 { 2 } else { 10 }]),
            16 => Some(vec![self.ip()?.protocol]),
            21 => native(entered?.group),
            22 => native(leaves?.group),
            _ => None,
        }
    }

    /// Something about the connection (NFT_CT_*).
    pub(super) fn ct(&self, key: CtKey) -> Option<Vec<u8>> {
        let native = |number: Option<u32>| Some(number?.to_ne_bytes().to_vec());
        let original = self.connection.original;
        let octets = |address: IpAddr| match address {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        match key.0 {
            0 => native(self.connection.state),
            1 => self.connection.reply.map(|r| vec![u8::from(r)]),
            2 => native(self.connection.status),
            3 => native(self.connection.mark),
            8 | 19 | 21 => original.map(|(source, _)| octets(source)),
            9 | 20 | 22 => original.map(|(_, destination)| octets(destination)),
            10 => Some(vec![self.ip()?.protocol]),
            _ => None,
        }
    }

    fn ethertype(&self) -> Option<u16> {
        Some(if self.ip()?.family() == Family::V4 { 0x0800 } else { 0x86dd })
    }
}

/// An interface name as the kernel compares it: IFNAMSIZ bytes, zeros behind it.
fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
