//! What a packet filter can know of a packet.

use std::net::IpAddr;

use nsgate_packet::{Family, Flow, Ip};

use crate::model::ruleset::{Base, CtKey, Hook, MetaKey, TableFamily};
use crate::model::{Link, LinkKind, Namespace};

/// A packet at a hook, with its surroundings. What is `None` is not known.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What the hook sees of it.
    pub layer: Layer,
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

/// As what a packet comes to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// As an IP packet.
    Ip,
    /// As an ARP frame; the packet's bytes begin with the ARP header.
    Arp,
    /// As a frame that crosses a bridge.
    Bridged,
    /// As a frame at a device.
    Device,
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
    /// The flow in the original direction, as its first packet came in.
    pub original: Option<Flow>,
    /// Whether the packet goes the reply's way.
    pub reply: Option<bool>,
}

/// NF_CT_STATE_INVALID_BIT.
const STATE_INVALID: u32 = 1;
/// NF_CT_STATE_BIT(IP_CT_ESTABLISHED).
const STATE_ESTABLISHED: u32 = 2;
/// NF_CT_STATE_BIT(IP_CT_RELATED).
const STATE_RELATED: u32 = 4;
/// NF_CT_STATE_BIT(IP_CT_NEW).
const STATE_NEW: u32 = 8;
/// NF_CT_STATE_UNTRACKED_BIT.
const STATE_UNTRACKED: u32 = 64;
/// IPS_SRC_NAT.
const STATUS_SOURCE_TRANSLATED: u32 = 16;
/// IPS_DST_NAT.
const STATUS_DESTINATION_TRANSLATED: u32 = 32;

impl Connection {
    /// A packet that begins a flow.
    pub fn new_flow() -> Self {
        Self { state: Some(STATE_NEW), status: Some(0), mark: Some(0), original: None, reply: Some(false) }
    }

    /// Whether the packet is the first of its flow, so that it can be translated.
    pub fn is_new(&self) -> bool {
        self.state == Some(STATE_NEW)
    }

    /// A packet that connection tracking can make nothing of.
    pub fn invalid() -> Self {
        Self { state: Some(STATE_INVALID), ..Self::default() }
    }

    /// A packet that connection tracking has not looked at yet; rules cannot tell it from an invalid one.
    pub fn unseen() -> Self {
        Self::invalid()
    }

    /// Whether connection tracking has not looked at it, or can make nothing of it.
    pub(super) fn is_unseen(&self) -> bool {
        self.state == Some(STATE_INVALID)
    }

    /// Whether it belongs to no connection, so that there is nothing to ask about one.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.state, Some(STATE_INVALID | STATE_UNTRACKED))
    }

    /// Notes that its source or destination was translated.
    fn translated(&mut self, source: bool) {
        let bit = if source { STATUS_SOURCE_TRANSLATED } else { STATUS_DESTINATION_TRANSLATED };
        self.status = self.status.map(|status| status | bit);
    }

    /// Takes it out of connection tracking.
    pub fn untrack(&mut self) {
        *self = Self { state: Some(STATE_UNTRACKED), ..Self::default() };
    }

    /// An ICMP error about a packet of a known flow.
    pub fn related() -> Self {
        Self { state: Some(STATE_RELATED), ..Self::default() }
    }

    /// A packet of a flow that went both ways.
    pub fn established() -> Self {
        Self { state: Some(STATE_ESTABLISHED), ..Self::default() }
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

    /// Whether a table's chains see it.
    pub(super) fn seen_by(&self, table: TableFamily) -> bool {
        let family = self.ip().map(|ip| ip.family());
        match table {
            TableFamily::Inet => matches!(self.layer, Layer::Ip | Layer::Device) && family.is_some(),
            TableFamily::Ip => self.layer == Layer::Ip && family == Some(Family::V4),
            TableFamily::Ip6 => self.layer == Layer::Ip && family == Some(Family::V6),
            TableFamily::Arp => self.layer == Layer::Arp,
            TableFamily::Bridge => self.layer == Layer::Bridged,
            TableFamily::Netdev => self.layer == Layer::Device,
        }
    }

    /// Notes between whom a new flow is, at one of the hooks where packets begin, before anything is translated.
    pub(super) fn begin_flow(&mut self, hook: Hook) {
        let begins = matches!(hook, Hook::Prerouting | Hook::Output);
        if begins && self.connection.is_new() && self.connection.original.is_none() {
            self.connection.original = self.ip().map(|ip| ip.flow());
        }
    }

    /// Takes a hop from it, as who passes it on does before asking the rules for that.
    pub fn take_hop(&mut self) {
        let at = self.ip().map(|ip| if ip.family() == Family::V4 { 8 } else { 7 });
        if let Some(hops) = at.and_then(|at| self.packet.get_mut(at)) {
            *hops = hops.saturating_sub(1);
        }
    }

    /// Puts a new destination into the packet.
    pub fn redirect(&mut self, destination: IpAddr) {
        self.rewrite(false, Some(destination), None);
    }

    /// Puts another source into the packet.
    pub fn send_from(&mut self, source: IpAddr) {
        self.rewrite(true, Some(source), None);
    }

    /// The packet that answers this one, on its way back over the same interfaces.
    #[must_use]
    pub fn answered(&self) -> Self {
        let mut back = self.clone();
        (back.entered, back.leaves) = (self.leaves.clone(), self.entered.clone());
        back.connection = Connection::established();
        let Some(flow) = self.ip().map(|ip| ip.flow()) else { return back };
        let ports = matches!(flow.protocol, 6 | 17);
        back.rewrite(true, Some(flow.destination), ports.then_some(flow.destination_port));
        back.rewrite(false, Some(flow.source), ports.then_some(flow.source_port));
        back
    }

    /// Translates the source or destination. What connection tracking took for the packet's own, it puts back where no new
    /// value is given, whatever rules have written there since.
    pub(super) fn translate(&mut self, source: bool, address: Option<IpAddr>, port: Option<u16>) {
        let own = self.connection.original.or_else(|| self.ip().map(|ip| ip.flow()));
        let Some(own) = own.filter(|_| address.is_some() || port.is_some()) else {
            self.connection.status = None;
            return;
        };
        let (own_address, own_port) =
            if source { (own.source, own.source_port) } else { (own.destination, own.destination_port) };
        let ports = own.has_ports();
        let (address, port) = (address.unwrap_or(own_address), port.filter(|_| ports).unwrap_or(own_port));
        if (address, port) != (own_address, own_port) {
            self.rewrite(source, Some(address), ports.then_some(port));
            self.connection.translated(source);
        }
    }

    /// Puts new addresses and ports into the packet, as a translation does; checksums are left as they are.
    pub(super) fn rewrite(&mut self, source: bool, address: Option<IpAddr>, port: Option<u16>) {
        let Some(ip) = self.ip() else { return };
        let (v4, transport) = (ip.source.is_ipv4(), self.packet.len() - ip.payload.len());
        let at = match (v4, source) {
            (true, true) => 12,
            (true, false) => 16,
            (false, true) => 8,
            (false, false) => 24,
        };
        let octets = match address {
            Some(IpAddr::V4(ip)) if v4 => ip.octets().to_vec(),
            Some(IpAddr::V6(ip)) if !v4 => ip.octets().to_vec(),
            _ => Vec::new(),
        };
        if let Some(field) = self.packet.get_mut(at..at + octets.len()) {
            field.copy_from_slice(&octets);
        }
        let at = transport + if source { 0 } else { 2 };
        if let (Some(port), Some(field)) = (port, self.packet.get_mut(at..at + 2)) {
            field.copy_from_slice(&port.to_be_bytes());
        }
    }

    /// Bytes of the packet; none if they are not there or not known.
    pub(super) fn payload(&self, base: Base, offset: usize, length: usize) -> Option<&[u8]> {
        let from = match base {
            Base::Link => return self.ethernet.as_ref()?.get(offset..offset + length),
            Base::Network => 0,
            Base::Transport => self.packet.len().checked_sub(self.ip()?.payload.len())?,
            Base::Inner => return None,
        };
        self.packet.get(from + offset..from + offset + length)
    }

    /// Writes into the packet; false if that part is not there.
    pub(super) fn write(&mut self, base: Base, offset: usize, bytes: &[u8]) -> bool {
        let from = match base {
            Base::Network => Some(0),
            Base::Transport => self.ip().and_then(|ip| self.packet.len().checked_sub(ip.payload.len())),
            Base::Link | Base::Inner => None,
        };
        let field = from.and_then(|from| self.packet.get_mut(from + offset..from + offset + bytes.len()));
        field.map(|field| field.copy_from_slice(bytes)).is_some()
    }

    /// Whether only the beginning of the packet was kept.
    pub(super) fn is_cut(&self) -> bool {
        self.ip().is_some_and(|ip| ip.truncated)
    }

    /// Whether it is of a family (NFPROTO_IPV4 2, NFPROTO_IPV6 10); NFPROTO_INET 1 stands for both.
    pub(super) fn is_of(&self, family: u8) -> bool {
        let own = self.ip().map(|ip| if ip.family() == Family::V4 { 2 } else { 10 });
        family == 1 || own == Some(family)
    }

    /// Whether the packet is one that has a transport header to look into: not a later fragment.
    pub(super) fn has_transport(&self) -> bool {
        self.ip().is_some_and(|ip| ip.fragment.is_none_or(|f| f.offset == 0))
    }

    /// Whether a key (NFT_META_*) asks for a property of an interface that the packet does not have at this hook. Its
    /// number is 0 there, and its name empty.
    pub(super) fn lacks_device(&self, key: MetaKey) -> bool {
        match key.0 {
            21 => self.entered.is_none(),
            9 | 22 => self.leaves.is_none(),
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
            0 => native(self.ip().map_or(self.packet.len(), |ip| ip.length) as u32),
            1 => Some(self.ethertype()?.to_be_bytes().to_vec()),
            3 => native(self.mark?),
            4 => native(entered.map_or(0, |device| device.index)),
            5 => native(leaves.map_or(0, |device| device.index)),
            6 => Some(padded(entered.map_or("", |device| &device.name))),
            7 => Some(padded(leaves.map_or("", |device| &device.name))),
            // Which of its interfaces is asked about differs between kernels.
            8 => short(entered?.hardware)
                .filter(|_| leaves.is_none_or(|l| entered.is_some_and(|e| e.hardware == l.hardware))),
            9 => short(leaves?.hardware),
            15 => Some(vec![if self.ip()?.family() == Family::V4 { 2 } else { 10 }]),
            16 => Some(vec![self.ip()?.protocol]),
            21 => native(entered?.group),
            22 => native(leaves?.group),
            _ => None,
        }
    }

    /// Whether a key (NFT_CT_*) asks for an address of the other family.
    pub(super) fn lacks_address(&self, key: CtKey) -> bool {
        let v4 = self.ip().is_some_and(|ip| ip.source.is_ipv4());
        matches!(key.0, 19 | 20) && !v4 || matches!(key.0, 21 | 22) && v4
    }

    /// Something about the connection (NFT_CT_*), of the reply's direction where that is asked.
    pub(super) fn ct(&self, key: CtKey, reply: bool) -> Option<Vec<u8>> {
        let native = |number: Option<u32>| Some(number?.to_ne_bytes().to_vec());
        // How the answer will look is for translations to say that may still come.
        let original = self.connection.original.filter(|_| !reply);
        let ports = original.filter(Flow::has_ports);
        let octets = |address: IpAddr| match address {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        match key.0 {
            0 => native(self.connection.state),
            1 => self.connection.reply.map(|r| vec![u8::from(r)]),
            2 => native(self.connection.status),
            3 => native(self.connection.mark),
            8 | 19 | 21 => original.map(|flow| octets(flow.source)),
            9 | 20 | 22 => original.map(|flow| octets(flow.destination)),
            11 => ports.map(|flow| flow.source_port.to_be_bytes().to_vec()),
            12 => ports.map(|flow| flow.destination_port.to_be_bytes().to_vec()),
            10 => Some(vec![self.ip()?.protocol]),
            _ => None,
        }
    }

    fn ethertype(&self) -> Option<u16> {
        if self.layer == Layer::Arp {
            return Some(0x0806);
        }
        if let Some(header) = &self.ethernet {
            return header.get(12..14)?.try_into().ok().map(u16::from_be_bytes);
        }
        Some(if self.ip()?.family() == Family::V4 { 0x0800 } else { 0x86dd })
    }
}

/// An interface name as the kernel compares it: IFNAMSIZ bytes, zeros behind it.
fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
