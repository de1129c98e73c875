//! `ip link …`, `bridge link set …` and `bridge fdb …`.

use super::cursor::{Cursor, ParseError};
use crate::model::{LinkName, Mac, PortState};
use crate::plan::link::{LinkSetting, MacvlanMode, NewKind, NewLink, VethPeer, Vxlan, XdpMode};
use crate::plan::step::{Action, NewForwarding};

/// What follows `ip link`.
pub(super) fn link(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    match words.take("add, set or del")? {
        "add" | "a" => Ok(Action::AddLink(new_link(words)?)),
        "set" | "s" => {
            words.eat("dev");
            let name = words.link_name()?;
            let setting = setting(words)?;
            Ok(Action::SetLink { name, setting, before: None })
        }
        "del" | "delete" | "d" => {
            if words.eat("group") {
                return Ok(Action::DeleteGroup(words.number("a group number")?));
            }
            words.eat("dev");
            Ok(Action::DeleteLink { name: words.link_name()?, was: None })
        }
        _ => Err(words.unexpected("add, set or del")),
    }
}

/// What follows `bridge link set`.
pub(super) fn bridge_port(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    words.expect("dev")?;
    let name = words.link_name()?;
    let setting = port_setting(words)?;
    Ok(Action::SetLink { name, setting, before: None })
}

/// What follows `bridge fdb add`.
pub(super) fn forwarding(words: &mut Cursor<'_>) -> Result<NewForwarding, ParseError> {
    let mac = words.parsed("a link-layer address")?;
    let (mut dev, mut remote, mut vlan, mut of_bridge) = (None, None, None, false);
    while let Some(word) = words.next() {
        match word {
            "dev" => dev = Some(words.link_name()?),
            "dst" => remote = Some(words.address("the remote end's address")?),
            "vlan" => vlan = Some(vlan_number(words)?),
            "master" => of_bridge = true,
            "static" if of_bridge => {}
            _ => return Err(words.unexpected("dev, dst, vlan or master static")),
        }
    }
    let dev = words.required(dev, "dev INTERFACE")?;
    if of_bridge == remote.is_some() {
        return Err(words.unexpected("either dst ADDRESS or master static"));
    }
    Ok(NewForwarding { dev, mac, remote, vlan })
}

fn port_setting(words: &mut Cursor<'_>) -> Result<LinkSetting, ParseError> {
    let expected = "isolated, hairpin, learning or state";
    Ok(match words.take(expected)? {
        "isolated" => LinkSetting::Isolated(words.on_off()?),
        "hairpin" => LinkSetting::Hairpin(words.on_off()?),
        "learning" => LinkSetting::Learning(words.on_off()?),
        "state" => LinkSetting::State(port_state(words)?),
        _ => return Err(words.unexpected(expected)),
    })
}

fn port_state(words: &mut Cursor<'_>) -> Result<PortState, ParseError> {
    let expected = "disabled, listening, learning, forwarding or blocking";
    let word = words.take(expected)?;
    PortState::ALL
        .into_iter()
        .find(|state| state.name() == word || state.number().to_string() == word)
        .ok_or_else(|| words.unexpected(expected))
}

fn setting(words: &mut Cursor<'_>) -> Result<LinkSetting, ParseError> {
    let expected =
        "up, down, master, nomaster, mtu, address, alias, arp, promisc, group, name, netns, addrgenmode, xdp or type";
    Ok(match words.take(expected)? {
        "up" => LinkSetting::Up(true),
        "down" => LinkSetting::Up(false),
        "master" => LinkSetting::Master(Some(words.link_name()?)),
        "nomaster" => LinkSetting::Master(None),
        "mtu" => LinkSetting::Mtu(words.number("an MTU in bytes")?),
        "address" => LinkSetting::Mac(words.parsed("a link-layer address")?),
        "alias" => LinkSetting::Alias(Some(alias(words)?).filter(|text| !text.is_empty())),
        "arp" => LinkSetting::Arp(words.on_off()?),
        "promisc" => LinkSetting::Promiscuous(words.on_off()?),
        "group" => LinkSetting::Group(words.number("a group number")?),
        "name" => LinkSetting::Name(words.link_name()?),
        "netns" => LinkSetting::Netns(words.netns_argument()?),
        "addrgenmode" => match words.take("none or eui64")? {
            "none" => LinkSetting::LinkLocalAddress(false),
            "eui64" => LinkSetting::LinkLocalAddress(true),
            _ => return Err(words.unexpected("none or eui64")),
        },
        "xdpdrv" => no_xdp(words, XdpMode::Driver)?,
        "xdpgeneric" => no_xdp(words, XdpMode::Generic)?,
        "xdpoffload" => no_xdp(words, XdpMode::Hardware)?,
        "type" => match words.take("bridge or bridge_slave")? {
            "bridge" => match words.take("vlan_filtering or stp_state")? {
                "vlan_filtering" => LinkSetting::VlanFiltering(zero_one(words)?),
                "stp_state" => LinkSetting::SpanningTree(zero_one(words)?),
                _ => return Err(words.unexpected("vlan_filtering or stp_state")),
            },
            "bridge_slave" => port_setting(words)?,
            _ => return Err(words.unexpected("bridge or bridge_slave")),
        },
        _ => return Err(words.unexpected(expected)),
    })
}

fn no_xdp(words: &mut Cursor<'_>, mode: XdpMode) -> Result<LinkSetting, ParseError> {
    words.expect("off")?;
    Ok(LinkSetting::NoXdp(mode))
}

/// The kernel keeps at most 255 bytes of an alias.
fn alias(words: &mut Cursor<'_>) -> Result<String, ParseError> {
    let expected = "a text of at most 255 bytes in one line";
    let text = words.take(expected)?;
    if text.len() > 255 || text.contains(char::is_control) {
        return Err(words.unexpected(expected));
    }
    Ok(text.into())
}

fn zero_one(words: &mut Cursor<'_>) -> Result<bool, ParseError> {
    match words.take("0 or 1")? {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(words.unexpected("0 or 1")),
    }
}

/// What both ends of a wire and every other interface can be given when they are made.
#[derive(Default)]
struct Birth {
    name: Option<LinkName>,
    parent: Option<LinkName>,
    mtu: Option<u32>,
    mac: Option<Mac>,
    group: u32,
    queues: (Option<u32>, Option<u32>),
}

impl Birth {
    /// Takes one option that may stand before `type` or after `peer`; false if the word is none of them.
    fn option(&mut self, words: &mut Cursor<'_>, word: &str) -> Result<bool, ParseError> {
        match word {
            "name" | "dev" => self.name = Some(words.link_name()?),
            "mtu" => self.mtu = Some(words.number("an MTU in bytes")?),
            "address" => self.mac = Some(words.parsed("a link-layer address")?),
            "group" => self.group = words.number("a group number")?,
            "numtxqueues" => self.queues.0 = Some(words.number("a number of queues")?),
            "numrxqueues" => self.queues.1 = Some(words.number("a number of queues")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn queues(&self, words: &Cursor<'_>) -> Result<Option<u32>, ParseError> {
        match self.queues {
            (tx, rx) if tx == rx => Ok(tx),
            _ => Err(words.unexpected("numtxqueues and numrxqueues with the same number")),
        }
    }
}

fn new_link(words: &mut Cursor<'_>) -> Result<NewLink, ParseError> {
    let mut birth = Birth::default();
    loop {
        let word = words.take("type")?;
        if word == "type" {
            break;
        }
        if word == "link" {
            birth.parent = Some(words.link_name()?);
        } else if !birth.option(words, word)? {
            if birth.name.is_some() {
                return Err(words.unexpected("mtu, address, group, numtxqueues, numrxqueues or type"));
            }
            birth.name = Some(word.parse().map_err(|error| words.refused(&error))?);
        }
    }
    let kind = kind(words, birth.parent.take())?;
    let queues = birth.queues(words)?;
    let name = words.required(birth.name, "the name of the interface")?;
    Ok(NewLink { name, kind, mtu: birth.mtu, mac: birth.mac, group: birth.group, queues })
}

fn kind(words: &mut Cursor<'_>, parent: Option<LinkName>) -> Result<NewKind, ParseError> {
    let expected = "veth, bridge, macvlan, vlan, vxlan, vrf, dummy or ifb";
    let word = words.take(expected)?;
    let parent = match word {
        "macvlan" | "vlan" => Some(words.required(parent, "link INTERFACE before type")?),
        _ if parent.is_some() => return Err(words.unexpected("macvlan or vlan after link")),
        _ => None,
    };
    Ok(match (word, parent) {
        ("veth", _) => NewKind::Veth(peer(words)?),
        ("bridge", _) => bridge(words)?,
        ("macvlan", Some(parent)) => NewKind::Macvlan { parent, mode: macvlan_mode(words)? },
        ("vlan", Some(parent)) => NewKind::Vlan { parent, id: vlan_id(words)? },
        ("vxlan", _) => NewKind::Vxlan(vxlan(words)?),
        ("vrf", _) => {
            words.expect("table")?;
            NewKind::Vrf { table: words.number("a table number")? }
        }
        ("dummy", _) => NewKind::Dummy,
        ("ifb", _) => NewKind::Ifb,
        _ => return Err(words.unexpected(expected)),
    })
}

fn peer(words: &mut Cursor<'_>) -> Result<VethPeer, ParseError> {
    words.expect("peer")?;
    let mut birth = Birth::default();
    let mut netns = None;
    while let Some(word) = words.next() {
        if word == "netns" {
            netns = Some(words.netns_argument()?);
        } else if !birth.option(words, word)? {
            return Err(words.unexpected("name, mtu, address, group, numtxqueues, numrxqueues or netns"));
        }
    }
    let queues = birth.queues(words)?;
    let name = words.required(birth.name, "name INTERFACE")?;
    Ok(VethPeer { name, netns, mtu: birth.mtu, mac: birth.mac, group: birth.group, queues })
}

fn bridge(words: &mut Cursor<'_>) -> Result<NewKind, ParseError> {
    let (mut vlan_filtering, mut spanning_tree) = (false, false);
    while let Some(word) = words.next() {
        match word {
            "vlan_filtering" => vlan_filtering = zero_one(words)?,
            "stp_state" => spanning_tree = zero_one(words)?,
            _ => return Err(words.unexpected("vlan_filtering or stp_state")),
        }
    }
    Ok(NewKind::Bridge { vlan_filtering, spanning_tree })
}

fn macvlan_mode(words: &mut Cursor<'_>) -> Result<MacvlanMode, ParseError> {
    words.expect("mode")?;
    let expected = "bridge, private, vepa or passthru";
    let word = words.take(expected)?;
    MacvlanMode::ALL.into_iter().find(|mode| mode.name() == word).ok_or_else(|| words.unexpected(expected))
}

fn vlan_id(words: &mut Cursor<'_>) -> Result<u16, ParseError> {
    words.expect("id")?;
    vlan_number(words)
}

fn vlan_number(words: &mut Cursor<'_>) -> Result<u16, ParseError> {
    let id = words.number("a VLAN identifier")?;
    if (1..=4094).contains(&id) { Ok(id) } else { Err(words.unexpected("a VLAN identifier from 1 to 4094")) }
}

fn vxlan(words: &mut Cursor<'_>) -> Result<Vxlan, ParseError> {
    let (mut id, mut remote, mut local, mut dev, mut port, mut learning) = (None, None, None, None, None, true);
    while let Some(word) = words.next() {
        match word {
            "id" | "vni" => id = Some(words.number::<u32>("a network identifier")?),
            "remote" | "group" => remote = Some(words.address("an address")?),
            "local" => local = Some(words.address("an address")?),
            "dev" => dev = Some(words.link_name()?),
            "dstport" => port = Some(words.number("a port")?),
            "learning" => learning = true,
            "nolearning" => learning = false,
            _ => return Err(words.unexpected("id, remote, group, local, dev, dstport, learning or nolearning")),
        }
    }
    let id = words.required(id.filter(|id| *id < 1 << 24), "id NUMBER below 16777216")?;
    let port = words.required(port, "dstport PORT")?;
    Ok(Vxlan { id, remote, local, dev, port, learning })
}
