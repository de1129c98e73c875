//! What the rules should make of a packet by our own evaluation, and whether the kernel says the same.

use nsgate_core::filter::{Action, Device, End, Layer, Outcome, Subject, Walk, walk};
use nsgate_core::model::Namespace;
use nsgate_core::model::ruleset::{Hook, Verdict};
use nsgate_core::trace::{RuleEvent, RuleStep};

use super::packets::{Shot, Way};

/// A rule that should match, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Table, chain, and handle.
    pub(crate) rule: (String, String, u64),
    /// Its verdict; none where it is not known whether it matches.
    pub(crate) verdict: Option<Verdict>,
}

/// How a packet's way should end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It passes all that is evaluated; the kernel may tell of more if it goes on.
    Passed {
        /// It goes on to hooks that are not evaluated here.
        further: bool,
    },
    /// A rule drops it.
    ByRule,
    /// The policy of this chain drops it.
    ByPolicy(String),
    /// It is not known.
    Unknown,
}

/// What should become of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The rules that should match, in order.
    pub(crate) rules: Vec<Told>,
    /// The end.
    pub(crate) end: Ends,
    /// It was translated.
    pub(crate) translated: bool,
    /// Connection tracking knows its flow, as it was sent, and an answer as its answer.
    pub(crate) tracked: bool,
}

/// Evaluates the rules for a packet, hook by hook.
pub(crate) fn expect(netns: &Namespace, shot: &Shot) -> Expected {
    let device = |name: &str| netns.links.iter().find(|link| link.name.as_str() == name).map(Device::from);
    let subject = Subject {
        layer: Layer::Ip,
        netns,
        packet: shot.bytes.clone(),
        ethernet: None,
        entered: match shot.way {
            Way::In => device("a"),
            Way::Back => device("c"),
            Way::Made => None,
        },
        leaves: None,
        mark: Some(0),
        connection: shot.connection.clone(),
    };
    let mut expected =
        Expected { rules: Vec::new(), end: Ends::Passed { further: false }, translated: false, tracked: true };
    let is_local = |subject: &Subject<'_>| {
        let destination = subject.ip().expect("a packet").destination;
        netns.links.iter().flat_map(|link| &link.addresses).any(|address| address.net.addr() == destination)
    };
    let out = |subject: &Subject<'_>| {
        let back = subject.ip().expect("a packet").destination.to_string();
        device(if back.starts_with("10.1.") || back.starts_with("fd00:1:") { "a" } else { "c" })
    };
    let subject = if shot.way == Way::Made {
        let subject = Subject { leaves: device("c"), ..subject };
        let Some(subject) = expected.pass(&walk(&subject, Hook::Output)) else { return expected };
        if is_local(&subject) {
            // From here it goes round by the loopback interface.
            expected.end = Ends::Passed { further: true };
            return expected;
        }
        subject
    } else {
        let Some(mut subject) = expected.pass(&walk(&subject, Hook::Prerouting)) else { return expected };
        if is_local(&subject) {
            expected.pass(&walk(&subject, Hook::Input));
            return expected;
        }
        subject.leaves = out(&subject);
        subject.take_hop();
        let Some(subject) = expected.pass(&walk(&subject, Hook::Forward)) else { return expected };
        subject
    };
    expected.pass(&walk(&subject, Hook::Postrouting));
    expected
}

impl Expected {
    /// Notes what a hook does; none if the packet does not come out of it for certain.
    fn pass<'a>(&mut self, walk: &Walk<'a>) -> Option<Subject<'a>> {
        for step in &walk.steps {
            let verdict = match &step.outcome {
                Outcome::Unmatched(_) => continue,
                Outcome::Unknown(_) => None,
                Outcome::Matched(actions) => Some(verdict(actions)),
            };
            let decision = step.decision;
            let handle = decision.rule.expect("a step is a rule").handle;
            self.rules.push(Told { rule: (decision.table.name.clone(), decision.chain.name.clone(), handle), verdict });
        }
        self.translated |= walk.translated_by.is_some();
        self.end = match &walk.end {
            End::Passed => {
                let flow = |subject: &Subject<'_>| subject.ip().map(|ip| ip.flow());
                self.tracked &= walk.after.connection.is_new() && flow(&walk.before) == flow(&walk.after);
                return Some(walk.after.clone());
            }
            End::Unknown(_) => Ends::Unknown,
            End::Lost(decision) if decision.rule.is_some() => Ends::ByRule,
            End::Lost(decision) => Ends::ByPolicy(decision.chain.name.clone()),
        };
        None
    }

    /// What is wrong with it, by what the kernel told.
    pub(crate) fn differs(&self, told: &[RuleEvent]) -> Option<String> {
        let rule = |event: &&RuleEvent| matches!(event.step, RuleStep::Rule(_));
        let mut real = told.iter().filter(rule).peekable();
        for expected in &self.rules {
            let same = |event: &&RuleEvent| {
                let RuleStep::Rule(handle) = event.step else { return false };
                (event.table.name.as_str(), event.chain.as_str(), handle)
                    == (expected.rule.0.as_str(), expected.rule.1.as_str(), expected.rule.2)
            };
            let Some(verdict) = &expected.verdict else {
                real.next_if(same);
                continue;
            };
            match real.next() {
                Some(event) if same(&event) && event.verdict.as_ref() == Some(verdict) => {}
                event => return Some(format!("{:?} {verdict:?}, but the kernel {}", expected.rule, show(event))),
            }
        }
        let rest = real.next();
        let last = told.last();
        let dropped = last.is_some_and(|event| event.verdict == Some(Verdict::Drop));
        match &self.end {
            Ends::Unknown | Ends::Passed { further: true } => None,
            _ if rest.is_some() => Some(format!("nothing more, but the kernel {}", show(rest))),
            Ends::Passed { .. } if dropped => Some(format!("it passes, but the kernel {}", show(last))),
            Ends::ByPolicy(chain) => {
                let policy = last.filter(|event| event.step == RuleStep::Policy && event.chain == *chain);
                (!dropped || policy.is_none()).then(|| format!("the policy of {chain}, but the kernel {}", show(last)))
            }
            Ends::ByRule | Ends::Passed { .. } => None,
        }
    }
}

fn verdict(actions: &[Action]) -> Verdict {
    let of = |action: &Action| match action {
        Action::Verdict(verdict) => Some(verdict.clone()),
        Action::Reject(_) => Some(Verdict::Drop),
        Action::Translate { .. } => Some(Verdict::Accept),
        _ => None,
    };
    actions.iter().rev().find_map(of).unwrap_or(Verdict::Continue)
}

/// What the kernel told, in one line.
pub(crate) fn show(event: Option<&RuleEvent>) -> String {
    event.map_or_else(
        || "tells of nothing".to_owned(),
        |event| {
            let (table, chain, connection) = (&event.table, &event.chain, &event.connection);
            format!("tells of {table} {chain} {:?} {:?} {connection:?}", event.step, event.verdict)
        },
    )
}
