//! The form of a lab's file, and how it is read.
//!
//! Whatever stands in the file is checked here, once: a line that is no step, an address that is none, a key that nobody
//! knows are errors with line and column. What is read is ready to run.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use nsgate_core::model::{LinkName, NetnsName, Sysctl, Transport};
use nsgate_core::plan;
use nsgate_core::trace::ProbeKind;
use serde::{Deserialize, Deserializer, de};

use super::base;

/// Inside one kernel an answer takes far less than a millisecond; this many are enough on a busy machine, too.
const LONG_ENOUGH: u64 = 200;

/// One lab.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawLab")]
pub(crate) struct Lab {
    /// What it is about, in a few words.
    pub(crate) title: String,
    /// The question it asks, in a sentence or two.
    pub(crate) summary: String,
    /// The causes that it shows.
    pub(crate) codes: Vec<String>,
    /// A kernel setting without which it cannot be shown, and what brings it.
    pub(crate) needs: Option<Needs>,
    /// A drawing of the network.
    pub(crate) picture: String,
    /// The steps up to the loss and its verdict.
    pub(crate) steps: Vec<Step>,
    /// The steps that mend it and prove it.
    pub(crate) mends: Vec<Step>,
}

/// What not every kernel has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Needs {
    /// A setting that is there if the feature is.
    #[serde(deserialize_with = "parsed")]
    pub(crate) sysctl: Sysctl,
    /// What an operator does about it.
    pub(crate) from: String,
}

/// One step: a sentence, and one thing to do.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawStep")]
pub(crate) struct Step {
    /// What is told of it.
    pub(crate) say: String,
    /// What is done.
    pub(crate) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Changes the network.
    Run(Vec<Line>),
    /// Starts a small echo service.
    Serve(Serve),
    /// Sends packets and watches for them.
    Probe(Probe),
    /// Reads a kernel setting.
    Read(Read),
    /// Lists what stands in the kernel.
    List(List),
    /// Asks the connection tracking.
    Flow(Flow),
    /// Asks nsgate for a verdict.
    Trace(Trace),
    /// Does what the last verdict says mends it.
    Fix,
}

/// A change, as it is typed and as it is done.
#[derive(Debug)]
pub(crate) struct Line {
    /// As the operator types it.
    pub(crate) text: String,
    /// What it means.
    pub(crate) step: plan::Step,
}

/// A service that sends back what it gets. One that stands where another did takes its place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Serve {
    /// Where it runs.
    #[serde(default = "NetnsName::host", deserialize_with = "parsed")]
    pub(crate) netns: NetnsName,
    /// The transport protocol.
    #[serde(deserialize_with = "transport")]
    pub(crate) protocol: Transport,
    /// The address it listens at.
    pub(crate) address: IpAddr,
    /// The port it listens at.
    pub(crate) port: u16,
    /// It hangs: it listens, and takes nothing from its queue.
    #[serde(default)]
    pub(crate) hangs: bool,
}

/// Packets to send, and what must become of them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawProbe")]
pub(crate) struct Probe {
    /// Where they start.
    pub(crate) from: NetnsName,
    /// Where they go.
    pub(crate) to: IpAddr,
    /// What they are.
    pub(crate) kind: ProbeKind,
    /// How many bytes they carry, if not the usual.
    pub(crate) size: Option<u32>,
    /// They may not be cut into fragments; so where a size is given, unless the lab says otherwise.
    pub(crate) dont_fragment: bool,
    /// How many.
    pub(crate) count: u16,
    /// How long to wait for the answers.
    pub(crate) wait_milliseconds: u64,
    /// Whether to wait until all that was set up carries packets.
    pub(crate) settled: bool,
    /// What must become of each.
    pub(crate) expect: Outcome,
    /// What interfaces must see of them.
    pub(crate) watch: Vec<Watch>,
}

/// What becomes of a probe, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The answer came.
    Answered,
    /// Nothing came.
    Lost,
    /// Somebody, or the kernel itself, refused it.
    Refused,
}

/// What an interface must see.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Watch {
    /// Which interface.
    #[serde(deserialize_with = "parsed")]
    pub(crate) at: Interface,
    /// How many of the probes pass it.
    pub(crate) packets: usize,
    /// The source address they bear there.
    pub(crate) source: Option<IpAddr>,
    /// The destination address they bear there.
    pub(crate) destination: Option<IpAddr>,
}

/// An interface by its namespace and name, written `NETNS:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// The namespace.
    pub(crate) netns: NetnsName,
    /// The interface.
    pub(crate) dev: LinkName,
}

/// A kernel setting, and the value it must have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    /// Where it is read.
    #[serde(default = "NetnsName::host", deserialize_with = "parsed")]
    pub(crate) netns: NetnsName,
    /// Its name.
    #[serde(deserialize_with = "parsed")]
    pub(crate) sysctl: Sysctl,
    /// Its value.
    pub(crate) expect: String,
}

/// What is listed, and what the list must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Where.
    #[serde(default = "NetnsName::host", deserialize_with = "parsed")]
    pub(crate) netns: NetnsName,
    /// What.
    pub(crate) what: Listed,
    /// Words that the list holds.
    pub(crate) holds: Vec<String>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listed {
    /// The packet filter.
    Nft,
}

/// A tracked flow that must be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Flow {
    /// Where it is tracked.
    #[serde(default = "NetnsName::host", deserialize_with = "parsed")]
    pub(crate) netns: NetnsName,
    /// Who began it.
    pub(crate) source: IpAddr,
    /// Whom it was for.
    pub(crate) destination: IpAddr,
    /// What its source becomes.
    pub(crate) translated_source: Option<IpAddr>,
    /// What its destination becomes.
    pub(crate) translated_destination: Option<IpAddr>,
}

/// A probe to explain, and the verdict it must get.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawTrace")]
pub(crate) struct Trace {
    /// Where it starts.
    pub(crate) from: NetnsName,
    /// Where it goes.
    pub(crate) to: IpAddr,
    /// What it is.
    pub(crate) kind: ProbeKind,
    /// How many bytes it carries, if not the usual.
    pub(crate) size: Option<u32>,
    /// It may not be cut into fragments; so where a size is given, unless the lab says otherwise.
    pub(crate) dont_fragment: bool,
    /// How long to wait for an answer.
    pub(crate) wait_milliseconds: u64,
    /// Whether to wait until all that was set up carries packets.
    pub(crate) settled: bool,
    /// The verdict.
    pub(crate) expect: Expected,
}

/// A verdict, as far as the lab says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// The cause.
    pub(crate) cause: String,
    /// The namespace of the repair.
    #[serde(default, deserialize_with = "parsed_if_given")]
    pub(crate) netns: Option<NetnsName>,
    /// The interface.
    #[serde(default, deserialize_with = "parsed_if_given")]
    pub(crate) dev: Option<LinkName>,
    /// Words that the object's text holds.
    #[serde(default)]
    pub(crate) object: String,
    /// The causes that the packet would meet next, in this order, where the lab says so.
    pub(crate) further: Option<Vec<String>>,
}

impl FromStr for Lab {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        toml::from_str(text)
    }
}

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The namespace may hold a colon (pid:7), the interface cannot.
        let (netns, dev) = text.rsplit_once(':').ok_or_else(|| format!("'{text}' is not NETNS:INTERFACE"))?;
        let netns = netns.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { netns, dev: dev.parse().map_err(|error| format!("{error}"))? })
    }
}

impl Outcome {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Lost => "lost",
            Self::Refused => "refused",
        }
    }
}

impl Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.netns, self.dev)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let step = text.parse().map_err(|error| de::Error::custom(format!("`{text}`: {error}")))?;
        Ok(Self { text, step })
    }
}

/// A lab as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLab {
    title: String,
    summary: String,
    codes: Vec<String>,
    needs: Option<Needs>,
    base: Option<String>,
    picture: Option<String>,
    #[serde(rename = "step")]
    steps: Vec<Step>,
    #[serde(rename = "mend")]
    mends: Vec<Step>,
}

impl TryFrom<RawLab> for Lab {
    type Error = String;

    /// What the lab stands on comes first; its picture holds unless the lab has one of its own.
    fn try_from(raw: RawLab) -> Result<Self, String> {
        let RawLab { title, summary, codes, needs, base, picture, steps, mends } = raw;
        let base = base.map(|name| base::find(&name)).transpose()?;
        let (base_picture, base_steps) = base.map_or((None, Vec::new()), |base| (Some(base.picture), base.steps));
        let picture = picture.or(base_picture).ok_or("a lab has a picture, or a base that has one")?;
        let steps = base_steps.into_iter().chain(steps).collect();
        Ok(Self { title, summary, codes, needs, picture, steps, mends })
    }
}

/// A step as it stands in the file: one of the actions is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    say: String,
    run: Option<Vec<Line>>,
    serve: Option<Serve>,
    probe: Option<Probe>,
    read: Option<Read>,
    list: Option<List>,
    conntrack: Option<Flow>,
    trace: Option<Trace>,
    #[serde(default)]
    fix: bool,
}

impl TryFrom<RawStep> for Step {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<Self, String> {
        let RawStep { say, run, serve, probe, read, list, conntrack, trace, fix } = raw;
        let actions = [
            run.map(Action::Run),
            serve.map(Action::Serve),
            probe.map(Action::Probe),
            read.map(Action::Read),
            list.map(Action::List),
            conntrack.map(Action::Flow),
            trace.map(Action::Trace),
            fix.then_some(Action::Fix),
        ];
        let mut given = actions.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(action), None) => Ok(Self { say, action }),
            _ => Err("a step has exactly one of run, serve, probe, read, list, conntrack, trace, fix".into()),
        }
    }
}

/// A probe as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProbe {
    #[serde(deserialize_with = "parsed")]
    from: NetnsName,
    to: IpAddr,
    protocol: Protocol,
    port: Option<u16>,
    size: Option<u32>,
    #[serde(default)]
    fragments: bool,
    #[serde(default = "one")]
    count: u16,
    wait_milliseconds: Option<u64>,
    #[serde(default = "yes")]
    settled: bool,
    expect: Outcome,
    #[serde(default)]
    watch: Vec<Watch>,
}

impl TryFrom<RawProbe> for Probe {
    type Error = String;

    fn try_from(raw: RawProbe) -> Result<Self, String> {
        let RawProbe { from, to, protocol, port, size, fragments, count, wait_milliseconds, settled, expect, watch } =
            raw;
        if !(1..=100).contains(&count) {
            return Err("count is from 1 to 100".into());
        }
        if count > 1 && expect != Outcome::Lost {
            return Err("only probes that are lost come in numbers: the first answer ends the wait".into());
        }
        let kind = protocol.kind(port)?;
        let wait_milliseconds = wait_milliseconds.unwrap_or_else(|| usual_wait(expect));
        let dont_fragment = size.is_some() && !fragments;
        Ok(Self { from, to, kind, size, dont_fragment, count, wait_milliseconds, settled, expect, watch })
    }
}

/// A trace as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawTrace {
    #[serde(deserialize_with = "parsed")]
    from: NetnsName,
    to: IpAddr,
    protocol: Protocol,
    port: Option<u16>,
    size: Option<u32>,
    #[serde(default)]
    fragments: bool,
    wait_milliseconds: Option<u64>,
    #[serde(default = "yes")]
    settled: bool,
    expect: Expected,
}

impl TryFrom<RawTrace> for Trace {
    type Error = String;

    fn try_from(raw: RawTrace) -> Result<Self, String> {
        let RawTrace { from, to, protocol, port, size, fragments, wait_milliseconds, settled, expect } = raw;
        let wait_milliseconds = wait_milliseconds.unwrap_or(LONG_ENOUGH);
        let dont_fragment = size.is_some() && !fragments;
        Ok(Self { from, to, kind: protocol.kind(port)?, size, dont_fragment, wait_milliseconds, settled, expect })
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Icmp,
    Tcp,
    Udp,
}

impl Protocol {
    fn kind(self, port: Option<u16>) -> Result<ProbeKind, String> {
        match (self, port) {
            (Self::Icmp, None) => Ok(ProbeKind::Icmp),
            (Self::Tcp, Some(port)) => Ok(ProbeKind::Tcp(port)),
            (Self::Udp, Some(port)) => Ok(ProbeKind::Udp(port)),
            (Self::Icmp, Some(_)) => Err("icmp has no port".into()),
            (Self::Tcp | Self::Udp, None) => Err("tcp and udp need a port".into()),
        }
    }
}

fn one() -> u16 {
    1
}

fn yes() -> bool {
    true
}

/// How long to wait for an answer that must come: it may itself have to wait for a neighbour, who is asked once a second.
fn usual_wait(expect: Outcome) -> u64 {
    if expect == Outcome::Answered { 2500 } else { LONG_ENOUGH }
}

/// Anything that is read from its text.
fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

fn parsed_if_given<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(d: D) -> Result<Option<T>, D::Error> {
    parsed(d).map(Some)
}

fn transport<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Transport, D::Error> {
    match Protocol::deserialize(deserializer)? {
        Protocol::Tcp => Ok(Transport::Tcp),
        Protocol::Udp => Ok(Transport::Udp),
        Protocol::Icmp => Err(de::Error::custom("a service speaks tcp or udp")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(body: &str) -> Result<Step, String> {
        let text = format!("title=\"\"\nsummary=\"\"\ncodes=[]\npicture=\"\"\nmend=[]\n[[step]]\nsay = \"x\"\n{body}");
        text.parse::<Lab>().map(|mut lab| lab.steps.remove(0)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_probe_is_read_with_what_it_leaves_out() {
        let text = "probe = { from = 'ns_1', to = '1.1.1.3', protocol = 'tcp', port = 80, expect = 'lost', \
                    watch = [{ at = 'host:eth2', packets = 0 }] }";
        let Action::Probe(probe) = step(text).unwrap().action else { panic!("not a probe") };
        assert_eq!((probe.kind, probe.count, probe.expect), (ProbeKind::Tcp(80), 1, Outcome::Lost));
        assert_eq!(probe.watch[0].at.to_string(), "host:eth2");
    }

    #[test]
    fn errors_name_the_place_and_the_fault() {
        for (body, line, fault) in [
            ("", "line 6", "exactly one of"),
            ("run = []\nread = { sysctl = 'a.b', expect = '0' }", "line 6", "exactly one of"),
            ("run = ['ip link st a up']", "line 8", "ip link st a up"),
            ("probe = { from = 'a/b', to = '::1', protocol = 'icmp', expect = 'lost' }", "line 8", "'/'"),
            ("probe = { from = 'a', to = '::1', protocol = 'tcp', expect = 'lost' }", "line 8", "need a port"),
            ("serve = { protocol = 'icmp', address = '::', port = 1 }", "line 8", "tcp or udp"),
            ("read = { sysctl = 'a.b', expect = '0', netnz = 'x' }", "line 8", "netnz"),
        ] {
            let error = step(body).unwrap_err();
            assert!(error.contains(line) && error.contains(fault), "{body}: {error}");
        }
    }
}
