//! A packet's way through the packet filter of the namespace that lost it, as its rules would have it.
//!
//! The hooks are asked in the kernel's order; what one does to the packet (a translation, a mark) the next one sees.

use std::net::IpAddr;

use nsgate_packet::Transport;

use super::{Loss, Stage};
use crate::filter::{Action, Connection, Decision, Device, End, Layer, Outcome, Subject, Walk, walk};
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::ruleset::Hook;
use crate::model::{Link, LinkIndex, Namespace};
use crate::trace::{Journey, Leg, Sight};

/// The hooks that a packet passes in one namespace, and what each makes of it.
#[derive(Clone, Debug)]
pub(super) struct Passage<'a> {
    /// The hooks, in order.
    pub(super) walks: Vec<(Hook, Walk<'a>)>,
    /// What the routing tables say of the packet as the first hooks left it.
    pub(super) route: Option<Answer<'a>>,
}

impl<'a> Passage<'a> {
    /// The way of a lost packet through the namespace that lost it.
    pub(super) fn of(loss: &Loss<'a>) -> Option<Self> {
        Some(Self::run_from(loss, subject(loss)?))
    }

    /// The same as if another source had sent it.
    pub(super) fn of_another_source(loss: &Loss<'a>, source: IpAddr) -> Option<Self> {
        let mut subject = subject(loss)?;
        subject.send_from(source);
        Some(Self::run_from(loss, subject))
    }

    fn run_from(loss: &Loss<'a>, subject: Subject<'a>) -> Self {
        let mut passage = Self { walks: Vec::new(), route: None };
        passage.run(loss, subject);
        passage
    }

    /// What a namespace where a lost packet did not come to would make of it before it routes it.
    pub(super) fn of_arrival(loss: &Loss<'a>, netns: &'a Namespace, entered: &'a Link) -> Option<Self> {
        let subject = Subject {
            layer: Layer::Ip,
            netns,
            packet: loss.last.map(|s| s.bytes.clone()).or_else(|| made_here(loss))?,
            ethernet: None,
            entered: Some(Device::from(entered)),
            leaves: None,
            mark: Some(0),
            connection: Connection::new_flow(),
        };
        subject.ip()?;
        let mut passage = Self { walks: Vec::new(), route: None };
        passage.before_routing(subject);
        Some(passage)
    }

    /// The way of a request through a namespace that it passed, as the rules there would have it now.
    pub(super) fn of_request(netns: &'a Namespace, entered: &Sight, leaves: &Link) -> Option<Self> {
        let device = netns.link(entered.link).map(Device::from);
        let subject = Subject {
            layer: Layer::Ip,
            netns,
            packet: entered.bytes.clone(),
            ethernet: entered.ethernet.clone(),
            entered: device,
            leaves: None,
            mark: Some(0),
            connection: Connection::new_flow(),
        };
        subject.ip()?;
        let mut passage = Self { walks: Vec::new(), route: None };
        let mut subject = passage.before_routing(subject)?;
        subject.leaves = Some(Device::from(leaves));
        subject.take_hop();
        if let Some(subject) = passage.pass(Hook::Forward, &subject) {
            passage.pass(Hook::Postrouting, &subject);
        }
        Some(passage)
    }

    fn run(&mut self, loss: &Loss<'a>, subject: Subject<'a>) {
        let Some(subject) = self.before_routing(subject) else { return };
        let Some(mut subject) = self.routed(loss, subject) else { return };
        let local = self.route.as_ref().is_some_and(Answer::is_local);
        let hooks: &[Hook] = match (loss.stage, local) {
            (Stage::Entered(_), true) => &[Hook::Input],
            (Stage::Entered(_), false) => &[Hook::Forward, Hook::Postrouting],
            _ => &[Hook::Output, Hook::Postrouting],
        };
        for hook in hooks {
            if *hook == Hook::Forward {
                subject.take_hop();
            }
            let Some(after) = self.pass(*hook, &subject) else { return };
            subject = after;
            if *hook == Hook::Output {
                let Some(after) = self.routed(loss, subject) else { return };
                subject = after;
            }
        }
        if subject.leaves.is_some() {
            subject.layer = Layer::Device;
            self.pass(Hook::Egress, &subject);
        }
    }

    /// Whether a lost packet came in to be delivered here, its translations taken into account.
    pub(super) fn delivers(loss: &Loss<'a>) -> bool {
        let route = Self::of(loss).and_then(|passage| passage.route).unwrap_or_else(|| loss.route());
        loss.entered().is_some() && route.is_local()
    }

    /// The hooks before the packet is routed.
    fn before_routing(&mut self, mut subject: Subject<'a>) -> Option<Subject<'a>> {
        if subject.entered.is_none() {
            return Some(subject);
        }
        subject.layer = Layer::Device;
        let mut subject = self.pass(Hook::Ingress, &subject)?;
        subject.layer = Layer::Ip;
        self.pass(Hook::Prerouting, &subject)
    }

    /// Asks the routing tables, for the destination as translations of this namespace have it.
    fn routed(&mut self, loss: &Loss<'a>, mut subject: Subject<'a>) -> Option<Subject<'a>> {
        let answered = loss.leg == Leg::Answer && matches!(loss.stage, Stage::Entered(_));
        if answered && subject.connection == Connection::established() {
            subject.redirect(loss.destination);
        }
        let ip = subject.ip()?;
        let (source, destination, protocol) = (ip.source, ip.destination, ip.protocol);
        let port = Some(ip.flow().destination_port);
        let entered = subject.entered.as_ref().map(|d| LinkIndex(d.index));
        let mark = subject.mark.unwrap_or(0);
        let query = Query { entered, mark, protocol, port, ..Query::from_here(Some(source), destination) };
        let route = look_up(loss.netns, &query);
        let out = route.link().filter(|_| !route.is_local() || entered.is_none());
        subject.leaves = out.and_then(|l| loss.netns.link(l)).map(Device::from);
        let goes_on = subject.leaves.is_some() || route.is_local();
        self.route = Some(route);
        goes_on.then_some(subject)
    }

    /// Passes one hook; none if the packet does not get through, or it is not known whether it does.
    fn pass(&mut self, hook: Hook, subject: &Subject<'a>) -> Option<Subject<'a>> {
        let walk = walk(subject, hook);
        let after = matches!(walk.end, End::Passed).then(|| walk.after.clone());
        self.walks.push((hook, walk));
        after
    }

    /// Who drops the packet, and at which hook.
    pub(super) fn lost(&self) -> Option<(Hook, Decision<'a>)> {
        self.walks.iter().find_map(|(hook, walk)| match walk.end {
            End::Lost(decision) => Some((*hook, decision)),
            _ => None,
        })
    }

    /// The rule that took the packet out of connection tracking.
    pub(super) fn untracked_by(&self) -> Option<Decision<'a>> {
        let untracks = |step: &&crate::filter::Step<'a>| match &step.outcome {
            Outcome::Matched(actions) => actions.contains(&Action::Notrack),
            _ => false,
        };
        self.walks.iter().flat_map(|(_, walk)| &walk.steps).find(untracks).map(|step| step.decision)
    }

    /// The zone of connection tracking that the packet is put into before it is looked up there, and the rule that does
    /// it; zone 0 where none does.
    pub(super) fn zone(&self) -> (u16, Option<Decision<'a>>) {
        let into = |step: &crate::filter::Step<'a>| match &step.outcome {
            Outcome::Matched(actions) => actions.iter().rev().find_map(|action| match action {
                Action::Zone(zone) => Some((*zone, Some(step.decision))),
                _ => None,
            }),
            _ => None,
        };
        self.at(Hook::Prerouting).and_then(|walk| walk.steps.iter().rev().find_map(into)).unwrap_or((0, None))
    }

    /// What a hook makes of the packet.
    pub(super) fn at(&self, hook: Hook) -> Option<&Walk<'a>> {
        self.walks.iter().find(|(h, _)| *h == hook).map(|(_, walk)| walk)
    }
}

/// The lost packet as it comes to the first hook of the namespace that lost it.
fn subject<'a>(loss: &Loss<'a>) -> Option<Subject<'a>> {
    let entered = match loss.stage {
        Stage::Entered(link) => Some(Device::from(link)),
        Stage::Made => None,
        Stage::Left(_) => return None,
    };
    let subject = Subject {
        layer: Layer::Ip,
        netns: loss.netns,
        packet: loss.last.map(|s| s.bytes.clone()).or_else(|| made_here(loss))?,
        ethernet: loss.last.and_then(|s| s.ethernet.clone()),
        entered,
        leaves: None,
        mark: Some(0),
        connection: connection(loss),
    };
    subject.ip().is_some().then_some(subject)
}

/// The state in which connection tracking has the packet.
fn connection(loss: &Loss<'_>) -> Connection {
    match loss.leg {
        Leg::Answer if saw_the_request(&loss.observation.journey, loss.netns) => Connection::established(),
        Leg::Answer if loss.header().is_some_and(|h| h.protocol == 17) => Connection::new_flow(),
        Leg::Answer => Connection::invalid(),
        _ => Connection::new_flow(),
    }
}

fn saw_the_request(journey: &Journey, netns: &Namespace) -> bool {
    journey.of(Leg::Request).any(|s: &Sight| s.netns == netns.name)
}

/// The probe as its sender makes it, where no wire saw it.
fn made_here(loss: &Loss<'_>) -> Option<Vec<u8>> {
    use nsgate_packet::{Echo, Icmp, Tcp, TcpFlags, Udp, build};
    let (source, destination) = (loss.source?, loss.destination);
    let identity = loss.observation.identity?;
    let (port, reply) = (identity.source.port(), loss.leg == Leg::Answer);
    let transport = match loss.observation.probe.kind {
        crate::trace::ProbeKind::Icmp => {
            Transport::Icmp(Icmp::Echo(Echo { reply, id: port, sequence: 1, payload: &identity.cookie }))
        }
        crate::trace::ProbeKind::Tcp(to) => Transport::Tcp(Tcp {
            source_port: if reply { to } else { port },
            destination_port: if reply { port } else { to },
            sequence: identity.sequence,
            acknowledgement: 0,
            flags: TcpFlags::SYN,
            window: 0xffff,
            options: &[],
            payload: &[],
        }),
        crate::trace::ProbeKind::Udp(to) => Transport::Udp(Udp {
            source_port: if reply { to } else { port },
            destination_port: if reply { port } else { to },
            payload: &identity.cookie,
        }),
    };
    build::ip(&build::Outer::new(source, destination), &transport).ok()
}
