//! Steps of a plan as netlink requests.
//!
//! [`write()`] appends one step to a batch and asks nothing: the numbers behind the names it needs are given to it, so a
//! whole plan can stand in one buffer. [`perform`] does one step by itself. Every request says whether it wants to make
//! something new (an error if it is there) or to replace; nothing is changed in passing.

mod link;
mod network;
mod traffic_control;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nsgate_core::model::{LinkIndex, LinkName, NetnsName};
use nsgate_core::plan::{Action, Change, LinkSetting, NewKind, NewLink, Step};

use super::link::{index_of, links};
use crate::error::{Error, Kind};
use crate::netlink::{Batch, Protocol, Socket};
use crate::netns::Netns;

/// What stands behind the names in the steps of one namespace.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// Interfaces by name. An interface that is made gets the number that stands here, or one of the kernel's choice.
    pub links: BTreeMap<LinkName, LinkIndex>,
    /// The interfaces that are made in other namespaces as the other ends of wires, in the same way.
    pub peers: BTreeMap<(NetnsName, LinkName), LinkIndex>,
    /// Open namespaces: those that the other ends of wires are born in, or interfaces are moved to.
    pub namespaces: BTreeMap<NetnsName, &'a Netns>,
    /// What marks the addresses that are made (IFA_PROTO); 0 for none.
    pub address_protocol: u8,
}

/// Whether a step is one of rtnetlink's: sysctls, packet filters and the making of namespaces are not.
pub fn is_routing(action: &Action) -> bool {
    !matches!(
        action,
        Action::AddNetns(_)
            | Action::DeleteNetns(_)
            | Action::Sysctl { .. }
            | Action::Nft { .. }
            | Action::Policy(..)
            | Action::Forget(_)
            | Action::ForgetFrom(_)
            | Action::Iptables(..)
    )
}

/// The interfaces whose numbers [`write()`] must be given for a step.
pub fn links_needed(action: &Action) -> Vec<&LinkName> {
    match action {
        Action::AddLink(new) => new.kind.parent().into_iter().collect(),
        Action::SetLink { name, setting, .. } => match setting {
            LinkSetting::Master(Some(master)) => vec![master],
            // An interface is renamed, and a bridge port is set, by number only.
            LinkSetting::Name(_)
            | LinkSetting::Isolated(_)
            | LinkSetting::Hairpin(_)
            | LinkSetting::Learning(_)
            | LinkSetting::State(_) => vec![name],
            _ => Vec::new(),
        },
        Action::Address(_, address) => vec![&address.dev],
        Action::Route(_, route) => route.hops.iter().filter_map(|hop| hop.dev.as_ref()).collect(),
        Action::Neighbour(_, neighbour) => vec![&neighbour.dev],
        Action::Forwarding(_, entry) => vec![&entry.dev],
        Action::SetQueue { dev, .. } => vec![dev],
        Action::DeleteFilter(old) => vec![&old.dev],
        _ => Vec::new(),
    }
}

/// The namespace that must stand open for a step, besides its own.
pub fn netns_needed(action: &Action) -> Option<&NetnsName> {
    match action {
        Action::AddLink(new) => match &new.kind {
            NewKind::Veth(peer) => peer.netns.as_ref(),
            _ => None,
        },
        Action::SetLink { setting: LinkSetting::Netns(netns), .. } => Some(netns),
        _ => None,
    }
}

/// Appends one step to a batch.
pub fn write(batch: &mut Batch, action: &Action, names: &Names<'_>) -> Result<(), Error> {
    match action {
        Action::AddLink(new) => link::add(batch, new, names),
        Action::DeleteLink { name, .. } => {
            link::delete(batch, name);
            Ok(())
        }
        Action::DeleteGroup(group) => {
            link::delete_group(batch, *group);
            Ok(())
        }
        Action::SetLink { name, setting, .. } => link::set(batch, name, setting, names),
        Action::Address(change, address) => network::address(batch, *change, address, names),
        Action::Route(change, route) => network::route(batch, *change, route, names),
        Action::Rule(change, rule) => {
            network::rule(batch, *change, rule);
            Ok(())
        }
        Action::Neighbour(change, neighbour) => network::neighbour(batch, *change, neighbour, names),
        Action::SetQueue { dev, queue, .. } => traffic_control::queue(batch, dev, *queue, names),
        Action::DeleteFilter(old) => traffic_control::delete_filter(batch, old, names),
        Action::Forwarding(change, entry) => network::forwarding(batch, *change, entry, names),
        Action::AddNetns(_)
        | Action::DeleteNetns(_)
        | Action::Sysctl { .. }
        | Action::Nft { .. }
        | Action::Policy(..)
        | Action::Forget(_)
        | Action::ForgetFrom(_)
        | Action::Iptables(..) => Err(Error::answer("write", "this step", "rtnetlink has no request for it")),
    }
}

/// Does one step through a socket of the namespace that it belongs to; addresses are marked with `address_protocol`.
pub fn perform(socket: &mut Socket, step: &Step, address_protocol: u8) -> Result<(), Error> {
    let other = netns_needed(&step.action).map(Netns::open).transpose()?;
    let mut names = Names { address_protocol, ..Names::default() };
    for link in links_needed(&step.action) {
        names.links.insert(link.clone(), index_of(socket, link)?);
    }
    names.namespaces.extend(other.iter().map(|netns| (netns.name().clone(), netns)));
    if let (Action::AddLink(new), Some(other)) = (&step.action, &other) {
        number_apart(socket, new, other, &mut names)?;
    }
    let mut batch = Batch::new();
    write(&mut batch, &step.action, &names)?;
    let answers = socket.send(&mut batch)?;
    match answers.refused() {
        Some((_, refusal)) => Err(refusal.clone().error("do", format!("`{step}`"))),
        None => Ok(()),
    }
}

/// Gives the two ends of a wire between namespaces different numbers.
///
/// The kernel calls an interface up at once where its own number and that of its other end differ; where they happen to
/// be the same it takes it for one that stands alone, and lets it wait its turn for up to a second.
fn number_apart(socket: &mut Socket, new: &NewLink, other: &Netns, names: &mut Names<'_>) -> Result<(), Error> {
    let NewKind::Veth(peer) = &new.kind else { return Ok(()) };
    let here = next_index(socket)?;
    let there = other.run(|| next_index(&mut Socket::open(Protocol::Route)?))??;
    let there = if there == here { LinkIndex(there.0 + 1) } else { there };
    names.links.insert(new.name.clone(), here);
    names.peers.insert((other.name().clone(), peer.name.clone()), there);
    Ok(())
}

/// A number that no interface of the socket's namespace has.
fn next_index(socket: &mut Socket) -> Result<LinkIndex, Error> {
    let highest = links(socket)?.items.iter().map(|found| found.link.index.0).max().unwrap_or(0);
    Ok(LinkIndex(highest + 1))
}

impl Names<'_> {
    /// The number of an interface that exists.
    fn link(&self, name: &LinkName) -> Result<LinkIndex, Error> {
        self.links.get(name).copied().ok_or_else(|| unknown("interface", name.as_str()))
    }

    /// The open file of a namespace. It must stay open until the batch is sent.
    fn netns(&self, name: &NetnsName) -> Result<RawFd, Error> {
        let netns = self.namespaces.get(name).ok_or_else(|| unknown("network namespace", name.as_str()))?;
        Ok(netns.as_fd().as_raw_fd())
    }
}

fn unknown(what: &'static str, name: &str) -> Error {
    Error::explained(Kind::NotFound, "find", format!("{what} {name}"), "it was not looked up before it was needed")
}

/// The flags by which a request adds or replaces.
fn flags(change: Change) -> u16 {
    let flags = match change {
        Change::Add => libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        Change::Replace => libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
        Change::Delete => 0,
    };
    flags as u16
}
