//! What is said about a probe: the cause, where it holds, the object, the evidence and the mend.

use std::fmt;

use super::{Cause, Lasting};
use crate::model::{LinkName, NetnsName};
use crate::plan::Plan;

/// One finding, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The root cause.
    pub cause: Cause,
    /// Where the mend is made.
    pub place: Place,
    /// The object at fault, as an operator would name it: a sysctl, a route, a rule, a neighbour.
    pub object: String,
    /// One sentence that says it all.
    pub summary: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// What mends it; empty where this machine cannot.
    pub fix: Plan,
    /// The lines that take the mend back, where the plan itself does not know them.
    pub undo: Vec<String>,
    /// What keeps the mend across a reboot.
    pub lasting: Vec<Lasting>,
    /// What the mend opens or costs, or whom to ask where this machine cannot mend it.
    pub advice: Option<String>,
}

/// Where a cause holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The namespace.
    pub netns: NetnsName,
    /// The interface that the faulty object belongs to; none where it belongs to the namespace as a whole.
    pub link: Option<LinkName>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.link {
            Some(link) => write!(f, "{}/{link}", self.netns),
            None => self.netns.fmt(f),
        }
    }
}

/// One thing that shows a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How it was learned.
    pub kind: EvidenceKind,
    /// Where.
    pub netns: NetnsName,
    /// What was learned, in words.
    pub text: String,
    /// What a healthy set-up would show.
    pub expected: Option<String>,
    /// What was found.
    pub found: Option<String>,
}

/// How something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvidenceKind {
    /// A frame was seen, or was not seen, at a watched interface.
    Sighting,
    /// A kernel setting was read.
    Sysctl,
    /// A counter moved.
    Counter,
    /// A route, or the lack of one.
    Route,
    /// A policy rule.
    Rule,
    /// The state of an interface.
    Link,
    /// A neighbour entry.
    Neighbour,
    /// An entry of connection tracking.
    Conntrack,
    /// A rule or chain of the packet filter.
    Ruleset,
    /// A socket.
    Socket,
    /// What the sender's own system call returned.
    Sender,
    /// An ICMP error or a reset that came back.
    Refusal,
    /// The kernel itself told of it while it happened.
    Kernel,
}

impl EvidenceKind {
    /// The word for it in output.
    pub fn name(self) -> &'static str {
        match self {
            EvidenceKind::Sighting => "sighting",
            EvidenceKind::Sysctl => "sysctl",
            EvidenceKind::Counter => "counter",
            EvidenceKind::Route => "route",
            EvidenceKind::Rule => "rule",
            EvidenceKind::Link => "link",
            EvidenceKind::Neighbour => "neighbour",
            EvidenceKind::Conntrack => "conntrack",
            EvidenceKind::Ruleset => "ruleset",
            EvidenceKind::Socket => "socket",
            EvidenceKind::Sender => "sender",
            EvidenceKind::Refusal => "refusal",
            EvidenceKind::Kernel => "kernel",
        }
    }
}

impl Verdict {
    /// A verdict without evidence or mend yet.
    pub fn new(cause: Cause, place: Place, object: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            cause,
            place,
            object: object.into(),
            summary: summary.into(),
            evidence: Vec::new(),
            fix: Plan::default(),
            undo: Vec::new(),
            lasting: Vec::new(),
            advice: None,
        }
    }

    /// With one more piece of evidence.
    #[must_use]
    pub fn shown_by(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// With more evidence.
    #[must_use]
    pub fn shown_by_all(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// With this mend.
    #[must_use]
    pub fn mended_by(mut self, fix: Plan) -> Self {
        self.fix = fix;
        self
    }

    /// With the lines that take the mend back.
    #[must_use]
    pub fn undone_by(mut self, undo: Vec<String>) -> Self {
        self.undo = undo;
        self
    }

    /// The lines that take the mend back.
    pub fn undo_lines(&self) -> Vec<String> {
        if self.undo.is_empty() { self.fix.inverse().commands() } else { self.undo.clone() }
    }

    /// With a word to whoever mends it.
    #[must_use]
    pub fn advised(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl Place {
    /// An interface of a namespace.
    pub fn at(netns: &NetnsName, link: &LinkName) -> Self {
        Self { netns: netns.clone(), link: Some(link.clone()) }
    }

    /// A namespace as a whole.
    pub fn all_of(netns: &NetnsName) -> Self {
        Self { netns: netns.clone(), link: None }
    }
}

impl Evidence {
    /// Something learned, in words.
    pub fn new(kind: EvidenceKind, netns: &NetnsName, text: impl Into<String>) -> Self {
        Self { kind, netns: netns.clone(), text: text.into(), expected: None, found: None }
    }

    /// With what a healthy set-up would show and what was found instead.
    #[must_use]
    pub fn differs(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.found = Some(found.into());
        self
    }
}
