//! Who keeps an ICMP error from the sender whose packets are too big: the filter that drops it on its way back.
//!
//! The error is made where the packet was too large, and goes back the way that the packet came. It is run through the
//! packet filter of every namespace on that way, as connection tracking would have it: related to the packet's flow.

use nsgate_packet::{Icmp, IcmpError, Transport, build};

use super::turn::{Turn, turns};
use super::{Loss, Stage, filter, let_pass};
use crate::filter::{Connection, Decision, Device, End, Layer, Subject, walk};
use crate::model::ruleset::Hook;
use crate::model::{Link, Namespace};

/// The filter that drops the error.
pub(super) struct Eaten<'a> {
    /// Where.
    pub(super) netns: &'a Namespace,
    /// The rule or policy.
    pub(super) decision: Decision<'a>,
    /// What lets the error pass.
    pub(super) mend: let_pass::LetPass,
}

impl Eaten<'_> {
    /// The filter as an object at fault.
    pub(super) fn object(&self) -> String {
        filter::object(&self.decision)
    }
}

/// Who drops the error that says how much `link` takes.
pub(super) fn eaten<'a>(loss: &Loss<'a>, link: &Link) -> Option<Eaten<'a>> {
    let entered = match loss.stage {
        Stage::Entered(entered) => entered,
        Stage::Made | Stage::Left(_) => return None,
    };
    let error = error(loss, entered, link.mtu)?;
    let here = Subject { leaves: Some(Device::from(entered)), ..subject(loss.netns, &error) };
    let made = [Hook::Output, Hook::Postrouting].into_iter().find_map(|hook| dropped(&here, hook));
    made.or_else(|| {
        let before = turns(loss.world, &loss.observation.journey, loss.leg);
        let back = before.iter().rev().skip_while(|turn| turn.netns.name == loss.netns.name);
        back.take(LONGEST).find_map(|turn| dropped_on_the_way(turn, &error))
    })
}

/// How many namespaces the error is followed through.
const LONGEST: usize = 32;

/// The error as it is made here.
fn error(loss: &Loss<'_>, entered: &Link, mtu: u32) -> Option<Vec<u8>> {
    /// What an IPv4 error quotes of the packet, header and all, fits in the least that everybody takes.
    const QUOTED: usize = 548;
    let last = loss.last?;
    let (to, family) = (last.header.source, nsgate_packet::Family::of(last.header.source));
    let same_family = |address: &std::net::IpAddr| address.is_ipv4() == to.is_ipv4();
    let from = entered.addresses.iter().map(|address| address.net.addr()).find(same_family)?;
    let (icmp_type, code) = if to.is_ipv4() { (3, 4) } else { (2, 0) };
    let quoted = last.bytes.get(..last.bytes.len().min(QUOTED))?;
    let error = IcmpError { family, icmp_type, code, mtu: Some(mtu), quoted };
    build::ip(&build::Outer::new(from, to), &Transport::Icmp(Icmp::Error(error))).ok()
}

/// Whether a namespace on the way back drops the error: as it passes, or as it arrives.
fn dropped_on_the_way<'a>(turn: &Turn<'a>, error: &[u8]) -> Option<Eaten<'a>> {
    let entered = turn.way_out().map(Device::from);
    let leaves = turn.way_in().map(Device::from);
    let hooks: &[Hook] = match leaves {
        Some(_) => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        None => &[Hook::Prerouting, Hook::Input],
    };
    hooks.iter().find_map(|hook| {
        let came = entered.clone().filter(|_| *hook != Hook::Postrouting);
        let goes = leaves.clone().filter(|_| *hook != Hook::Prerouting);
        dropped(&Subject { entered: came, leaves: goes, ..subject(turn.netns, error) }, *hook)
    })
}

fn subject<'a>(netns: &'a Namespace, error: &[u8]) -> Subject<'a> {
    Subject {
        layer: Layer::Ip,
        netns,
        packet: error.to_vec(),
        ethernet: None,
        entered: None,
        leaves: None,
        mark: Some(0),
        connection: Connection::related(),
    }
}

fn dropped<'a>(subject: &Subject<'a>, hook: Hook) -> Option<Eaten<'a>> {
    match walk(subject, hook) {
        crate::filter::Walk { end: End::Lost(decision), after, .. } => {
            let mend = let_pass::let_pass(subject.netns, hook, &decision, &after);
            Some(Eaten { netns: subject.netns, decision, mend })
        }
        _ => None,
    }
}
