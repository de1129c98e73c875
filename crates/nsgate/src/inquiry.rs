//! One question about the network, from what was asked to what is found: the name is resolved, the World read, the
//! probe sent and watched, and what was seen is explained.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nsgate_core::explain::{Report, explain, resolver_unreachable};
use nsgate_core::model::lookup::{Query, look_up};
use nsgate_core::model::{Family, Limit, NetnsName, RouteKind, World};
use nsgate_core::resolve::{Resolution, Unresolved};
use nsgate_core::trace::{Ending, Observation, Probe, ProbeKind, can_meet, planned_path, to_trace, to_watch};
use nsgate_kernel::Error;
use nsgate_kernel::snapshot::Survey;
use nsgate_observe::{Means, Watch, resolve};

use crate::exit::{Failure, FailureKind};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Where the probe starts.
    pub(crate) from: NetnsName,
    /// Whom it is for.
    pub(crate) destination: Destination,
    /// The family that a name is resolved in; none: IPv4 if it has such an address.
    pub(crate) family: Option<Family>,
    /// What is sent.
    pub(crate) kind: ProbeKind,
    /// How many bytes it carries.
    pub(crate) size: u32,
    /// Its source address, if not the one the namespace would choose.
    pub(crate) source: Option<IpAddr>,
    /// It must not be cut into fragments.
    pub(crate) dont_fragment: bool,
    /// How long to wait for an answer.
    pub(crate) wait: Duration,
    /// Whether to ask the kernel what it drops.
    pub(crate) kernel: bool,
    /// How many flows are tried, each with a source port or identifier of its own; at least one.
    pub(crate) flows: u16,
}

/// Whom a probe is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// An address.
    Address(IpAddr),
    /// A name that the namespace is to resolve.
    Name(String),
}

/// What was found.
pub(crate) struct Findings {
    /// What was asked, in words.
    pub(crate) asked: Asked,
    /// What is, and what was seen.
    pub(crate) world: World,
    pub(crate) observation: Observation,
    /// Why.
    pub(crate) report: Report,
    /// How long it took.
    pub(crate) timing: Timing,
    /// What became of all flows that were tried.
    pub(crate) flows: Flows,
}

/// What became of several flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flows {
    /// How many were tried.
    pub(crate) tried: u16,
    /// How many of them were lost.
    pub(crate) lost: u16,
}

/// How long the parts of finding out took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Reading the World.
    pub(crate) world: Duration,
    /// Making the probe and all that watches for it ready.
    pub(crate) ready: Duration,
    /// From sending the probe to its end.
    pub(crate) probe: Duration,
    /// Reading what the probe left, and putting it together.
    pub(crate) gathered: Duration,
}

/// What was asked, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) from: NetnsName,
    pub(crate) kind: ProbeKind,
    pub(crate) size: u32,
    /// The address; the name where it has none.
    pub(crate) destination: String,
    /// The name that the address was found for.
    pub(crate) name: Option<String>,
    /// Who sent it, where that was not nsgate.
    pub(crate) sender: Option<Sender>,
}

/// Somebody else who sent a packet.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The packet's source, with its port where it has one.
    pub(crate) source: String,
    /// Whether he is where nobody can look.
    pub(crate) is_outside: bool,
}

/// Why nothing was found.
pub(crate) enum Trouble {
    /// The kernel, or who may ask it.
    Kernel(Error),
    /// What was asked makes no sense.
    Usage(anyhow::Error),
}

impl Question {
    /// Finds out, with as many flows as are wanted: what is found is of the first that is lost, if one is.
    pub(crate) fn find_out(&self) -> Result<Findings, Trouble> {
        let mut found = self.find_out_once()?;
        for _ in 1..self.flows {
            let next = self.find_out_once()?;
            let (tried, lost) = (found.flows.tried + 1, found.flows.lost + next.flows.lost);
            if found.flows.lost == 0 {
                found = next;
            }
            found.flows = Flows { tried, lost };
        }
        Ok(found)
    }

    /// Finds out what becomes of one flow.
    fn find_out_once(&self) -> Result<Findings, Trouble> {
        let address = match &self.destination {
            Destination::Address(address) => *address,
            Destination::Name(name) => match self.resolve(name)? {
                Resolution::Address(address) => address,
                Resolution::Absent { server, code } => {
                    let error = anyhow::anyhow!("there is no address of {name}: {server} answers {code}");
                    return Err(Trouble::Usage(error));
                }
                Resolution::Unreachable(unresolved) => return self.trace_resolution(&unresolved),
            },
        };
        let probe = self.probe(address)?;
        let (world, observation, timing) = self.observe(&probe)?;
        if let Some(senseless) = senseless(&world, &observation) {
            return Err(Trouble::Usage(anyhow::anyhow!(senseless)));
        }
        let report = explain(&world, &observation);
        let flows = Flows { tried: 1, lost: u16::from(!report.delivered()) };
        Ok(Findings { asked: self.asked(Some(address)), world, observation, report, timing, flows })
    }

    /// Sends the probe. What was forgone is said where it is missed.
    fn observe(&self, probe: &Probe) -> Result<Observed, Error> {
        let (world, mut observation, timing) = observe(probe, self.wait, self.kernel)?;
        if !self.kernel && observation.ending != Ending::Answered {
            let (what, why) = ("what the kernel drops, and why".into(), "--no-bpf forgoes it".into());
            observation.limits.push(Limit { netns: None, what, why });
        }
        Ok((world, observation, timing))
    }

    /// What was asked, in words; `address` is that of the destination, where it is known.
    pub(crate) fn asked(&self, address: Option<IpAddr>) -> Asked {
        let (name, text) = match &self.destination {
            Destination::Address(address) => (None, address.to_string()),
            Destination::Name(name) => (Some(name.clone()), name.clone()),
        };
        let destination = address.map_or(text, |address| address.to_string());
        Asked { from: self.from.clone(), kind: self.kind, size: self.size, destination, name, sender: None }
    }

    fn probe(&self, destination: IpAddr) -> Result<Probe, Trouble> {
        if self.source.is_some_and(|source| source.is_ipv4() != destination.is_ipv4()) {
            let error = anyhow::anyhow!("the source and the destination are of different families");
            return Err(Trouble::Usage(error));
        }
        Ok(Probe {
            from: self.from.clone(),
            destination,
            kind: self.kind,
            size: self.size,
            source: self.source,
            dont_fragment: self.dont_fragment,
        })
    }

    fn resolve(&self, name: &str) -> Result<Resolution, Trouble> {
        let by_source = self.source.map(Family::of);
        Ok(resolve::resolve(&self.from, name, self.family.or(by_source), self.wait)?)
    }

    /// Follows a question to the first name server, which is where the loss is.
    fn trace_resolution(&self, unresolved: &Unresolved) -> Result<Findings, Trouble> {
        let Some((server, _)) = unresolved.asked.first() else {
            return Err(Trouble::Usage(anyhow::anyhow!("{} names no server", unresolved.file)));
        };
        let kind = ProbeKind::Udp(resolve::PORT);
        let probe = Probe {
            from: self.from.clone(),
            destination: server.address,
            kind,
            size: kind.usual_size(),
            source: None,
            dont_fragment: false,
        };
        let (world, observation, timing) = self.observe(&probe)?;
        let report = resolver_unreachable(&self.from, unresolved, Some(explain(&world, &observation)));
        let flows = Flows { tried: 1, lost: u16::from(!report.delivered()) };
        Ok(Findings { asked: self.asked(None), world, observation, report, timing, flows })
    }
}

/// What was there, what was seen, and how long it took.
type Observed = (World, Observation, Timing);

/// How many namespaces are watched at the most.
pub(crate) const MOST_WATCHED: usize = 64;

/// Sends the probe and gathers everything that is learned of it; `kernel`: also what the kernel drops, which takes root.
///
/// Where what is there changes meanwhile, all of it is done once more; where it goes on changing, that is said.
pub(crate) fn observe(probe: &Probe, wait: Duration, kernel: bool) -> Result<Observed, Error> {
    let (found, changed) = observe_once(probe, wait, kernel)?;
    if changed.is_empty() {
        return Ok(found);
    }
    let ((world, mut observation, timing), changed) = observe_once(probe, wait, kernel)?;
    observation.limits.extend(changed);
    Ok((world, observation, timing))
}

/// The same once, and what changed meanwhile.
fn observe_once(probe: &Probe, wait: Duration, kernel: bool) -> Result<(Observed, Vec<Limit>), Error> {
    let start = Instant::now();
    let mut survey = Survey::begin(std::slice::from_ref(&probe.from))?;
    // It may have been asked for by another of its names, such as that of a container.
    let from = survey.world().namespace(&probe.from).map_or(&probe.from, |netns| &netns.name).clone();
    let probe = &Probe { from, ..probe.clone() };
    // What is read tells where else the probe may come to.
    while survey.complete(&can_meet(survey.world(), probe))? {}
    let read = Instant::now();
    let world = survey.world();
    let path = planned_path(world, &probe.from, probe.source, probe.destination);
    let watched = to_watch(world, &path, MOST_WATCHED, |netns| survey.is_whole(netns));
    let means = Means { kernel, filters: to_trace(world, &watched) };
    let mut watch = Watch::set_with(probe, &watched, &means)?;
    let ready = Instant::now();
    watch.send();
    watch.collect_patiently(wait, world);
    let ended = Instant::now();
    let changed = watch.changed_since(world);
    let observation = watch.finish()?;
    if observation.ending != Ending::Answered {
        // The cause may lie where the probe should have come to, but could not.
        survey.complete_all()?;
    }
    let timing = Timing { world: read - start, ready: ready - read, probe: ended - ready, gathered: ended.elapsed() };
    let world = survey.into_world();
    Ok(((world, observation, timing), changed))
}

/// Why what was asked makes no sense in this World, where the kernel refused it for that.
fn senseless(world: &World, observation: &Observation) -> Option<String> {
    let Ending::Refused { operation, .. } = &observation.ending else { return None };
    let probe = &observation.probe;
    let netns = world.namespace(&probe.from)?;
    let to = probe.destination;
    match probe.source {
        Some(source) if *operation == "bind" && netns.holder(source).is_none() => {
            let own = |address: &IpAddr| address.is_ipv4() == to.is_ipv4() && !address.is_loopback();
            let held =
                netns.links.iter().flat_map(|link| &link.addresses).map(|address| address.net.addr()).filter(own);
            let held: Vec<String> = held.map(|address| address.to_string()).collect();
            let held = if held.is_empty() { "no address of that family".to_owned() } else { held.join(", ") };
            Some(format!("{} does not hold the source {source}; it holds {held}", probe.from))
        }
        _ => {
            let is_broadcast = |kind| kind == RouteKind::Broadcast;
            let route = look_up(netns, &Query::from_here(probe.source, to)).route().map(|route| route.kind);
            route.is_some_and(is_broadcast).then(|| format!("{to} is the broadcast address of a link, not one host's"))
        }
    }
}

/// Refuses what is no one host's address, or not one that says which link is meant.
fn of_one_host(address: IpAddr) -> Result<Destination, String> {
    let everybody = IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() || address.is_multicast() || address == everybody {
        return Err(format!("{address} is not the address of one host"));
    }
    match address {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Err(format!("{address} may be on any link: give an address that is on one only"))
        }
        _ => Ok(Destination::Address(address)),
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return of_one_host(address);
        }
        // Nothing but numbers and dots is an address that somebody has mistyped.
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        if text.rsplit('.').next().is_some_and(is_number) {
            return Err(format!("'{text}' is not an address"));
        }
        resolve::check(text).map_err(|error| error.to_string())?;
        Ok(Self::Name(text.to_owned()))
    }
}

impl From<&Probe> for Asked {
    fn from(probe: &Probe) -> Self {
        let (from, destination) = (probe.from.clone(), probe.destination.to_string());
        Self { from, kind: probe.kind, size: probe.size, destination, name: None, sender: None }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, kind, destination, .. } = self;
        match &self.sender {
            Some(Sender { source, is_outside: true }) => return write!(f, "{kind} from {source} to {destination}"),
            Some(Sender { source, .. }) => return write!(f, "{kind} from {from} ({source}) to {destination}"),
            None => {}
        }
        match &self.name {
            Some(name) if name != destination => write!(f, "{kind} from {from} to {name} ({destination})"),
            _ => write!(f, "{kind} from {from} to {destination}"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Kernel(error) => error.into(),
            Trouble::Usage(error) => Failure::new(FailureKind::Usage, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let read = |text: &str| text.parse::<Destination>();
        assert_eq!(read("fd00::1"), Ok(Destination::Address("fd00::1".parse().unwrap())));
        assert_eq!(read("www.example.test"), Ok(Destination::Name("www.example.test".into())));
        assert_eq!(read("10.0.0.256"), Err("'10.0.0.256' is not an address".into()));
        assert_eq!(read("10.0.0"), Err("'10.0.0' is not an address".into()));
        for nobody in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"] {
            assert_eq!(read(nobody), Err(format!("{nobody} is not the address of one host")));
        }
        assert!(read("fe80::1").unwrap_err().contains("any link"));
        for wrong in ["", "a b", "-", "fd00::g", "a..b", "http://x"] {
            let refused = read(wrong);
            assert!(wrong == "-" || refused.is_err(), "{wrong}");
        }
    }
}
