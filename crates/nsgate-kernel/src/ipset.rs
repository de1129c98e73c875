//! Sets of ipset, as far as rules name them.
//!
//! Rules know sets by number, the kernel lists them by name, and tells the one for the other by a socket option. Only
//! sets that are asked for are read, and of each no more members than [`MOST_MEMBERS`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use ipnet::IpNet;
use nsgate_core::model::Mac;
use nsgate_core::model::ruleset::{Expression, IpSet, Member, Ruleset, Table};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::error::Error;
use crate::netlink::{Attributes, Batch, Message, Protocol, Socket};
use crate::sys;

/// How many members of one set are kept; the rest is counted.
const MOST_MEMBERS: usize = 1 << 16;
/// How many sets are read at most.
const MOST_SETS: usize = 4096;

/// `IPSET_CMD_LIST`, of the subsystem for sets.
const LIST: u16 = (libc::NFNL_SUBSYS_IPSET as u16) << 8 | 7;
/// The version of the protocol that is spoken (IPSET_PROTOCOL_MIN).
const VERSION: u8 = 6;

/// SO_IP_SET, and the question for a name by a number (IP_SET_OP_GET_BYINDEX).
const OPTION: libc::c_int = 83;
const NAME_BY_INDEX: u32 = 7;
/// The longest name of a set, with its closing zero (IPSET_MAXNAMELEN).
const NAME: usize = 32;

/// `IPSET_ATTR_*`: attributes of a message.
mod message {
    pub(super) const PROTOCOL: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const TYPE: u16 = 3;
    pub(super) const FAMILY: u16 = 5;
    pub(super) const DATA: u16 = 7;
    pub(super) const MEMBERS: u16 = 8;
}

/// `IPSET_ATTR_*`: attributes of a set's head and of its members.
mod data {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const PREFIX: u16 = 3;
    pub(super) const PORT: u16 = 4;
    pub(super) const TIMEOUT: u16 = 6;
    pub(super) const PROTOCOL: u16 = 7;
    pub(super) const FLAGS: u16 = 8;
    pub(super) const MARK: u16 = 10;
    pub(super) const MARK_MASK: u16 = 11;
    /// Of a head.
    pub(super) const SIZE: u16 = 19;
    pub(super) const NETMASK: u16 = 20;
    /// Of a member.
    pub(super) const MAC: u16 = 17;
    pub(super) const NAME: u16 = 18;
    pub(super) const SECOND: u16 = 20;
    pub(super) const SECOND_PREFIX: u16 = 21;
    pub(super) const LINK: u16 = 23;
    pub(super) const COMMENT: u16 = 26;

    /// `IPSET_FLAG_*` of a member.
    pub(super) const PHYSICAL: u32 = 2;
    pub(super) const NOMATCH: u32 = 4;
    pub(super) const WILDCARD: u32 = 0x80;
}

/// Reads the sets that the rules of a ruleset name into it, in the namespace of this thread, and puts their names into
/// the rules. What could not be read is given back with the reason.
pub fn complete(ruleset: &mut Ruleset) -> Vec<(String, Error)> {
    let numbers = numbers(ruleset);
    if numbers.is_empty() {
        return Vec::new();
    }
    let mut unread = Vec::new();
    let mut names = BTreeMap::new();
    for number in numbers.into_iter().take(MOST_SETS) {
        match name(number) {
            Ok(name) => {
                names.insert(number, name);
            }
            Err(error) => unread.push((format!("set {number} of ipset"), error)),
        }
    }
    put_names(ruleset, &names);
    match Socket::open(Protocol::Netfilter) {
        Ok(mut socket) => read_all(&mut socket, ruleset, &names, &mut unread),
        Err(error) => unread.push(("the sets of ipset".into(), error)),
    }
    unread
}

/// Reads sets, and those that are their members.
fn read_all(
    socket: &mut Socket,
    ruleset: &mut Ruleset,
    names: &BTreeMap<u16, String>,
    unread: &mut Vec<(String, Error)>,
) {
    let mut wanted: Vec<(Option<u16>, String)> =
        names.iter().map(|(number, name)| (Some(*number), name.clone())).collect();
    let mut known: BTreeSet<String> = names.values().cloned().collect();
    while let Some((index, name)) = wanted.pop().filter(|_| ruleset.ipsets.len() < MOST_SETS) {
        match read(socket, &name) {
            Ok(set) => {
                for inner in set.members.iter().filter_map(|member| member.set.clone()) {
                    if known.insert(inner.clone()) {
                        wanted.push((None, inner));
                    }
                }
                ruleset.ipsets.push(IpSet { index, ..set });
            }
            Err(error) => unread.push((format!("set {name} of ipset"), error)),
        }
    }
    ruleset.ipsets.sort_by(|a, b| a.name.cmp(&b.name));
}

/// The numbers of all sets that rules name.
fn numbers(ruleset: &Ruleset) -> BTreeSet<u16> {
    let rules = ruleset.of_both_engines().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    rules.flat_map(|rule| &rule.expressions).flat_map(Expression::set_numbers).collect()
}

fn put_names(ruleset: &mut Ruleset, names: &BTreeMap<u16, String>) {
    let tables = ruleset.tables.iter_mut().chain(&mut ruleset.legacy);
    let rules = tables.flat_map(|table: &mut Table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    for expression in rules.flat_map(|rule| &mut rule.expressions) {
        let numbers = expression.set_numbers();
        if !numbers.is_empty() {
            let of = |number: &u16| names.get(number).cloned().unwrap_or_default();
            let named = expression.clone().naming_sets(numbers.iter().map(of).collect());
            *expression = named;
        }
    }
}

/// The name of the set that has a number.
fn name(number: u16) -> Result<String, Error> {
    let failed = |errno| Error::new("read", format!("the name of set {number} of ipset"), errno);
    let socket = net::socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(net::ipproto::RAW))
        .map_err(failed)?;
    let mut request = [0; 8 + NAME];
    request[..4].copy_from_slice(&NAME_BY_INDEX.to_ne_bytes());
    request[4..8].copy_from_slice(&u32::from(VERSION).to_ne_bytes());
    request[8..10].copy_from_slice(&number.to_ne_bytes());
    sys::get_socket_option(socket.as_fd(), libc::IPPROTO_IP, OPTION, &mut request).map_err(failed)?;
    let name = &request[8..];
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    if end == 0 {
        return Err(failed(Errno::NOENT));
    }
    Ok(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// One set by its name.
fn read(socket: &mut Socket, name: &str) -> Result<IpSet, Error> {
    let mut batch = Batch::new();
    batch.begin(LIST, 0, &[0; 4]);
    batch.u8(message::PROTOCOL, VERSION);
    batch.text(message::NAME, name);
    let listing = socket.list(&mut batch, "a set of ipset", read_part)?;
    let mut set = IpSet { name: name.to_owned(), ..IpSet::default() };
    let mut unread = listing.unread as u64;
    for part in listing.items {
        if let Some(head) = part.head {
            set = IpSet { members: set.members, ..head };
        }
        unread += part.unread;
        set.members.extend(part.members);
    }
    set.more = unread + set.members.len().saturating_sub(MOST_MEMBERS) as u64;
    set.members.truncate(MOST_MEMBERS);
    Ok(set)
}

/// What one message tells of a set.
struct Part {
    /// What the set is; the first message has it.
    head: Option<IpSet>,
    members: Vec<Member>,
    /// How many members could not be understood.
    unread: u64,
}

fn read_part(message: &Message<'_>) -> Option<Part> {
    let (_, attributes) = message.split::<4>()?;
    let mut part = Part { head: head(&attributes), members: Vec::new(), unread: 0 };
    for member in attributes.find(message::MEMBERS).map(|list| list.nested()).unwrap_or_default() {
        match read_member(&member.nested()) {
            Some(member) => part.members.push(member),
            None => part.unread += 1,
        }
    }
    Some(part)
}

fn head(attributes: &Attributes<'_>) -> Option<IpSet> {
    let head = attributes.find(message::DATA).map(|data| data.nested()).unwrap_or_default();
    Some(IpSet {
        name: attributes.find(message::NAME)?.text()?.to_owned(),
        index: None,
        kind: attributes.find(message::TYPE)?.text()?.to_owned(),
        family: attributes.find(message::FAMILY)?.u8()?,
        netmask: head.find(data::NETMASK).and_then(|mask| mask.u8()),
        mark_mask: head.find(data::MARK_MASK).and_then(|mask| mask.be32()),
        timeout: head.find(data::TIMEOUT).and_then(|timeout| timeout.be32()),
        size: head.find(data::SIZE).and_then(|size| size.be32()),
        members: Vec::new(),
        more: 0,
    })
}

/// A member; none if something of it cannot be understood, so that it does not seem to hold for more than it does.
fn read_member(attributes: &Attributes<'_>) -> Option<Member> {
    let flags = attributes.find(data::FLAGS).and_then(|flags| flags.be32()).unwrap_or(0);
    let text = |kind| attributes.find(kind).and_then(|text| text.text()).map(ToOwned::to_owned);
    Some(Member {
        net: network(attributes, data::ADDRESS, data::PREFIX)?,
        second: network(attributes, data::SECOND, data::SECOND_PREFIX)?,
        protocol: attributes.find(data::PROTOCOL).and_then(|protocol| protocol.u8()),
        port: attributes.find(data::PORT).and_then(|port| port.be16()),
        mac: attributes.find(data::MAC).and_then(|mac| mac.array().map(Mac)),
        link: text(data::LINK),
        physical: flags & data::PHYSICAL != 0,
        wildcard: flags & data::WILDCARD != 0,
        mark: attributes.find(data::MARK).and_then(|mark| mark.be32()),
        set: text(data::NAME),
        nomatch: flags & data::NOMATCH != 0,
        timeout: attributes.find(data::TIMEOUT).and_then(|timeout| timeout.be32()),
        comment: text(data::COMMENT),
    })
}

/// The address of a member with the length of its prefix, where it has one; none if it cannot be understood.
#[expect(clippy::option_option, reason = "the outer one says whether it was understood, and is used with `?`")]
fn network(attributes: &Attributes<'_>, address: u16, prefix: u16) -> Option<Option<IpNet>> {
    let Some(found) = attributes.find(address) else { return Some(None) };
    // IPSET_ATTR_IPADDR_IPV4 (1) or IPSET_ATTR_IPADDR_IPV6 (2).
    let address: IpAddr = found.nested().find(1).or_else(|| found.nested().find(2))?.address()?;
    let length = match attributes.find(prefix) {
        Some(length) => length.u8()?,
        None => IpNet::from(address).prefix_len(),
    };
    Some(Some(IpNet::new(address, length).ok()?))
}

#[cfg(test)]
mod tests;
