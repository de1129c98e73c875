//! Does steps: one by itself, or a whole plan that stands in the end or is taken back.

mod journal;
mod records;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use nsgate_core::model::NetnsName;
use nsgate_core::plan::mark;
use nsgate_core::plan::{Action, IptablesChange, IptablesRule, State, Step};
use rustix::process::Signal;

use self::journal::Journal;
pub use self::journal::{Recovered, recover};
pub use self::records::{DIRECTORY, Records};
use crate::netlink::{Protocol, Socket};
use crate::netns::{self, Netns};
use crate::sys::Signals;
use crate::{Error, Kind, conntrack, nftables, rtnetlink, sysctl, xfrm};

/// How many namespaces are kept open from one step to the next.
const KEPT_OPEN: usize = 64;

/// A plan that could not be done, and what became of what had been done of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// How many steps had been done.
    pub done: usize,
    /// The step that was refused; none where the records could not be written.
    pub step: Option<Step>,
    /// Why.
    pub error: Error,
    /// What could not be taken back, each with the reason.
    pub left: Vec<(Step, Error)>,
}

/// Does one step, in the namespace that it belongs to.
pub fn perform(step: &Step) -> Result<(), Error> {
    Performer::default().perform(step)
}

/// Does all steps of an instance's plan, or none: after a failure everything is as before, or the failure says what is
/// not. `after` is what the instance has to remember once the plan stands.
pub fn apply(records: &Records, instance: &str, steps: &[Step], after: &State) -> Result<(), Box<Failed>> {
    let unwritten = |error| Box::new(Failed { done: 0, step: None, error, left: Vec::new() });
    if !steps.is_empty() {
        // An impatient user would leave half a network behind: signals are heard when the plan stands, or is undone.
        let signals = Signals::of(&[Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]).block();
        let ended = Journal::begin(records, instance, steps, after).map_err(unwritten).and_then(|journal| {
            perform_all(steps, &journal, || journal.complete().and_then(|()| records.keep(instance, after)))
        });
        let closed = records.end_journal(instance).map_err(unwritten);
        signals.restore();
        return ended.and(closed);
    }
    records.keep(instance, after).map_err(unwritten)
}

/// Does as many steps as can be done, in order; gives those that could not be. What is not there need not be removed.
pub fn apply_each(steps: &[Step]) -> Vec<(Step, Error)> {
    let signals = Signals::of(&[Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT]).block();
    let left = take_back(&mut Performer::default(), steps);
    signals.restore();
    left
}

/// Does all steps and then `remember`s them; after a failure of either, what was done is taken back.
fn perform_all(
    steps: &[Step],
    journal: &Journal,
    remember: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Box<Failed>> {
    let mut performer = Performer { address_protocol: mark::PROTOCOL, ..Performer::default() };
    for (before, step) in steps.iter().enumerate() {
        // A step that was done but could not be noted has to be taken back with the others.
        let (done, outcome) = match performer.perform(step) {
            Ok(()) => (before + 1, journal.done()),
            Err(error) => (before, Err(error)),
        };
        if let Err(error) = outcome {
            let left = take_all_back(&mut performer, &steps[..done]);
            return Err(Box::new(Failed { done, step: Some(step.clone()), error, left }));
        }
    }
    remember().map_err(|error| {
        let left = take_all_back(&mut performer, steps);
        Box::new(Failed { done: steps.len(), step: None, error, left })
    })
}

/// Takes back what was done, last first; gives what could not be, and what has no way back.
fn take_all_back(performer: &mut Performer, done: &[Step]) -> Vec<(Step, Error)> {
    let back: Vec<Step> = done.iter().rev().filter_map(Step::inverse).collect();
    let mut left = take_back(performer, &back);
    let lost = done.iter().filter(|step| step.inverse().is_none());
    left.extend(lost.map(|step| (step.clone(), no_way_back(step))));
    left
}

fn no_way_back(step: &Step) -> Error {
    Error::explained(Kind::Refused, "take back", format!("`{step}`"), "what was there before it is not known")
}

/// Does steps that take something back. One that finds nothing to take back has nothing to do.
fn take_back(performer: &mut Performer, steps: &[Step]) -> Vec<(Step, Error)> {
    let mut left = Vec::new();
    for step in steps {
        match performer.perform(step) {
            Err(error) if !matches!(error.kind(), Kind::NotFound | Kind::Exists) => left.push((step.clone(), error)),
            _ => {}
        }
    }
    left
}

/// Does steps one after the other, and keeps the namespaces it has been in open.
#[derive(Default)]
struct Performer {
    open: BTreeMap<NetnsName, Open>,
    /// What marks the addresses that are made (IFA_PROTO); 0 for none.
    address_protocol: u8,
}

/// A namespace with sockets into it.
struct Open {
    netns: Netns,
    routing: Socket,
    filter: Option<Socket>,
}

impl Performer {
    /// Does one step: the one place that knows which part of the kernel each kind of step is for.
    fn perform(&mut self, step: &Step) -> Result<(), Error> {
        match &step.action {
            Action::AddNetns(name) => netns::create(name).map(drop),
            Action::DeleteNetns(name) => {
                // An open namespace would outlive its name.
                self.open.remove(name);
                netns::delete(name)
            }
            Action::Sysctl { name, value, .. } => sysctl::write(&Netns::open(&step.netns)?, name, value).map(drop),
            Action::Iptables(change, rule) => self.iptables(&step.netns, *change, rule),
            Action::Nft { commands, .. } => nftables::commit(self.filter_socket(&step.netns)?, commands, None),
            Action::Policy(change, policy) => {
                let socket = Netns::open(&step.netns)?.run(|| Socket::open(Protocol::Xfrm))?;
                xfrm::change(&mut socket?, *change, policy)
            }
            Action::Forget(flow) => conntrack::forget(self.filter_socket(&step.netns)?, flow),
            Action::ForgetFrom(source) => conntrack::forget_from(self.filter_socket(&step.netns)?, *source),
            _ => {
                let address_protocol = self.address_protocol;
                rtnetlink::perform(&mut self.open(&step.netns)?.routing, step, address_protocol)
            }
        }
    }

    /// Changes a table of iptables-nft; the rule's number is a place among the rules that stand there now.
    fn iptables(&mut self, netns: &NetnsName, change: IptablesChange, rule: &IptablesRule) -> Result<(), Error> {
        let object = || format!("chain {} of {}", rule.chain, rule.program());
        if rule.legacy {
            let why = "tables of the older engine are changed by its own program";
            return Err(Error::explained(Kind::MissingFeature, "change", object(), why));
        }
        let socket = self.filter_socket(netns)?;
        let standing = nftables::ruleset(socket)?.ruleset;
        let why = "the chain is not there, or has no such rule";
        let missing = || Error::explained(Kind::NotFound, "change", object(), why);
        let commands = rule.commands(change, &standing).ok_or_else(missing)?;
        nftables::commit(socket, &commands, Some(standing.generation))
    }

    fn filter_socket(&mut self, name: &NetnsName) -> Result<&mut Socket, Error> {
        let open = self.open(name)?;
        // Closing such a socket waits for the kernel to clean up after deletions: one serves all steps.
        let filter = match open.filter.take() {
            Some(socket) => socket,
            None => open.netns.run(|| Socket::open(Protocol::Netfilter))??,
        };
        Ok(open.filter.insert(filter))
    }

    fn open(&mut self, name: &NetnsName) -> Result<&mut Open, Error> {
        if self.open.len() >= KEPT_OPEN && !self.open.contains_key(name) {
            self.open.clear();
        }
        Ok(match self.open.entry(name.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let netns = Netns::open(name)?;
                let routing = netns.run(|| Socket::open(Protocol::Route))??;
                entry.insert(Open { netns, routing, filter: None })
            }
        })
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for Failed {}

#[cfg(test)]
mod interop;
#[cfg(test)]
mod tests;
