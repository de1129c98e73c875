//! `nsgate trace`: follow one probe packet, and say where it is lost, why, and what mends it.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use nsgate_core::explain::{explain, not_permitted};
use nsgate_core::model::{NetnsName, World};
use nsgate_core::trace::{Observation, Probe, ProbeKind, planned_path, to_trace, to_watch};
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::{Error, Kind, snapshot};
use nsgate_observe::{Means, Watch};

use crate::exit::{Failure, FailureKind, Outcome};
use crate::output::{Output, human, json};

/// How many namespaces are watched at the most.
const MOST_WATCHED: usize = 64;

/// Follow one probe packet, and say where it is lost, why, and what mends it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  nsgate trace ns_1 114.114.114.114\n  \
                        nsgate trace host 10.0.0.11 --tcp 80 --json")]
pub(crate) struct TraceArgs {
    /// Where the probe starts: a name under /run/netns, `host`, `pid:N` or the path of a namespace
    from: NetnsName,

    /// The address it is for
    destination: IpAddr,

    #[command(flatten)]
    kind: KindArgs,

    /// How many bytes the probe carries [default: 56; a connection is only opened]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=65000))]
    size: Option<u32>,

    /// Forbid to cut the probe into fragments
    #[arg(long)]
    dont_fragment: bool,

    /// The source address; left out: the one the namespace would choose
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,

    /// How long to wait for an answer, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    wait: u64,

    /// Do not ask the kernel what it drops and why, which takes root and programs in the kernel
    #[arg(long)]
    no_bpf: bool,

    /// Show every sighting and counter
    #[arg(short, long, conflicts_with = "json")]
    details: bool,

    /// Show one line: code, place, object
    #[arg(long, conflicts_with_all = ["json", "details"])]
    brief: bool,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,
}

/// What kind of probe is sent.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KindArgs {
    /// An echo request, as ping sends it (the default)
    #[arg(long)]
    icmp: bool,

    /// Open a connection to this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    tcp: Option<u16>,

    /// Send a datagram to this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    udp: Option<u16>,
}

impl TraceArgs {
    fn probe(&self) -> Result<Probe, Failure> {
        let kind = match (self.kind.tcp, self.kind.udp) {
            (Some(port), _) => ProbeKind::Tcp(port),
            (_, Some(port)) => ProbeKind::Udp(port),
            _ => ProbeKind::Icmp,
        };
        if self.source.is_some_and(|s| s.is_ipv4() != self.destination.is_ipv4()) {
            let error = anyhow::anyhow!("the source and the destination are of different families");
            return Err(Failure::new(FailureKind::Usage, error));
        }
        Ok(Probe {
            from: self.from.clone(),
            destination: self.destination,
            kind,
            size: self.size.unwrap_or(kind.usual_size()),
            source: self.source,
            dont_fragment: self.dont_fragment,
        })
    }
}

/// Traces, and shows what was found.
pub(crate) fn run(args: &TraceArgs, output: &mut Output) -> Result<Outcome, Failure> {
    let probe = args.probe()?;
    let found = observe_with(&probe, Duration::from_millis(args.wait), !args.no_bpf);
    let (world, observation) = match found {
        Ok(found) => found,
        Err(error) => return unsent(&probe, error, args.json, output),
    };
    let report = explain(&world, &observation);
    if args.json {
        output.json(&json::trace::Trace::new(&world, &observation, &report))?;
    } else if args.brief {
        output.write(&human::trace::brief(&report))?;
    } else {
        output.write(&human::trace::show(&world, &observation, &report, args.details))?;
    }
    Ok(if report.delivered() { Outcome::Yes } else { Outcome::No })
}

/// Sends the probe and gathers what anybody may learn of it, root or not.
pub(crate) fn observe(probe: &Probe, wait: Duration) -> Result<(World, Observation), Failure> {
    Ok(observe_with(probe, wait, false)?)
}

/// Says why nothing was sent: as an error, or as a verdict to whoever asked for JSON.
fn unsent(probe: &Probe, error: Error, json: bool, output: &mut Output) -> Result<Outcome, Failure> {
    let missing = Privileges::of_caller().missing();
    let advice = (error.kind() == Kind::NotPermitted && !missing.is_empty())
        .then(|| format!("nsgate lacks {}: run it as root", missing.join(", ")));
    if json && error.kind() != Kind::Refused {
        let report = not_permitted(&probe.from, error.object(), &error.to_string(), advice);
        output.json(&json::trace::Trace::unsent(probe, &report))?;
        return Ok(Outcome::NotPermitted);
    }
    let failure = Failure::from(error);
    Err(match advice {
        Some(advice) => failure.hint(advice),
        None => failure,
    })
}

/// Sends the probe and gathers everything that is learned of it.
fn observe_with(probe: &Probe, wait: Duration, kernel: bool) -> Result<(World, Observation), Error> {
    let world = snapshot::take(std::slice::from_ref(&probe.from))?;
    let path = planned_path(&world, &probe.from, probe.source, probe.destination);
    let watched = to_watch(&world, &path, MOST_WATCHED);
    let means = Means { kernel, filters: to_trace(&world, &watched) };
    let mut watch = Watch::set_with(probe, &watched, &means)?;
    watch.send();
    watch.collect(wait);
    let observation = watch.finish()?;
    Ok((world, observation))
}
