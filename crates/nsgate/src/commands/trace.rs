//! `nsgate trace`: follow one probe packet, and say where it is lost, why, and what mends it.

mod fix;
mod listen;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nsgate_core::explain::not_permitted;
use nsgate_core::model::{Family, NetnsName};
use nsgate_core::trace::{Pattern, ProbeKind};
use nsgate_kernel::privileges::Privileges;
use nsgate_kernel::{Error, Kind};

use self::fix::Manner;
pub(crate) use self::fix::Mended;
use crate::exit::{Failure, FailureKind, Outcome};
use crate::inquiry::{Asked, Destination, Findings, Question, Trouble};
use crate::output::{Output, html, human, json};

/// The options of a probe, which a packet of somebody else has not.
const NOT_OF_OTHERS: [&str; 11] =
    ["ipv4", "ipv6", "icmp", "tcp", "udp", "size", "flows", "dont_fragment", "source", "fix", "yes"];

/// Follow one probe packet, and say where it is lost, why, and what mends it.
#[derive(Debug, Args)]
#[command(
    override_usage = "nsgate trace [OPTIONS] <FROM> <DESTINATION>\n       nsgate trace [OPTIONS] --listen <FILTER> [--from <NETNS>]",
    after_help = "A filter is made of tcp, udp, icmp, ip, ip6, and [src|dst] host, net and port,\njoined by `and`.\n\n\
                  Examples:\n  nsgate trace ns_1 114.114.114.114\n  nsgate trace host 10.0.0.11 --tcp 80 --json\n  \
                  nsgate trace --listen 'tcp and dst port 8080'"
)]
pub(crate) struct TraceArgs {
    /// Where the probe starts: a name under /run/netns, `host`, `pid:N`, `podman:NAME`, `docker:NAME` or a path
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    from: Option<NetnsName>,

    /// The address it is for, or a name, which is resolved as the namespace would
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    destination: Option<Destination>,

    /// Send nothing: follow the next connection, datagram or echo request of somebody else that this filter means
    #[arg(long, value_name = "FILTER", conflicts_with_all = NOT_OF_OTHERS)]
    listen: Option<Pattern>,

    /// With --listen: the namespace in which to wait for it [default: host]
    #[arg(long = "from", value_name = "NETNS", requires = "listen")]
    at: Option<NetnsName>,

    /// Resolve the name to an IPv4 address
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Resolve the name to an IPv6 address
    #[arg(short = '6', long)]
    ipv6: bool,

    #[command(flatten)]
    kind: KindArgs,

    /// How many bytes the probe carries [default: 56; a connection is only opened]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=65000))]
    size: Option<u32>,

    /// Try so many flows, each from a source port of its own: finds what loses some of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    flows: u16,

    /// Forbid to cut the probe into fragments
    #[arg(long)]
    dont_fragment: bool,

    /// The source address; left out: the one the namespace would choose
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,

    /// How long to wait for an answer, in milliseconds; with --listen, for the packet [default: 1000; 30000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    wait: Option<u64>,

    /// Do not ask the kernel what it drops and why, which takes root and programs in the kernel
    #[arg(long)]
    no_bpf: bool,

    /// Do what the verdict says mends it, and probe again; asks before each change
    #[arg(long)]
    fix: bool,

    /// With --fix: do not ask
    #[arg(short, long, requires = "fix")]
    yes: bool,

    /// Show every sighting and counter
    #[arg(short, long)]
    details: bool,

    /// Show one line: code, place, object
    #[arg(long, conflicts_with_all = ["json", "details"])]
    brief: bool,

    /// Answer as JSON
    #[arg(short, long)]
    json: bool,

    /// Draw the answer on a page for a browser, too; a page that is there is replaced, any other file is not
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// How long an answer is waited for where nobody says otherwise, in milliseconds.
const USUAL_WAIT: u64 = 1000;

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
    /// What is asked; none where nobody said from where to where.
    fn question(&self) -> Option<Question> {
        let kind = match (self.kind.tcp, self.kind.udp) {
            (Some(port), _) => ProbeKind::Tcp(port),
            (_, Some(port)) => ProbeKind::Udp(port),
            _ => ProbeKind::Icmp,
        };
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Some(Family::V4),
            (_, true) => Some(Family::V6),
            _ => None,
        };
        Some(Question {
            from: self.from.clone()?,
            destination: self.destination.clone()?,
            family,
            kind,
            size: self.size.unwrap_or(kind.usual_size()),
            source: self.source,
            dont_fragment: self.dont_fragment,
            wait: Duration::from_millis(self.wait.unwrap_or(USUAL_WAIT)),
            kernel: !self.no_bpf,
            flows: self.flows,
        })
    }
}

/// Traces, and shows what was found.
pub(crate) fn run(args: &TraceArgs, output: &mut Output) -> Result<Outcome, Failure> {
    args.html.as_deref().map_or(Ok(()), html::may_replace)?;
    if let Some(pattern) = &args.listen {
        return listen::run(args, pattern, output);
    }
    let Some(question) = args.question() else {
        let error = anyhow::anyhow!("a trace needs to know from where to where");
        return Err(Failure::new(FailureKind::Usage, error));
    };
    let findings = match question.find_out() {
        Ok(findings) => findings,
        Err(Trouble::Kernel(error)) => return unsent(&question.asked(None), error, args.json, output),
        Err(trouble) => return Err(trouble.into()),
    };
    if args.fix {
        return mend(args, &question, findings, output);
    }
    show(args, &findings, &[], output)?;
    draw(args, &findings, &[], output)?;
    Ok(outcome(&findings))
}

/// Mends what was found, and shows how it went.
fn mend(args: &TraceArgs, question: &Question, findings: Findings, output: &mut Output) -> Result<Outcome, Failure> {
    let told = !args.json && !args.brief;
    if told {
        show(args, &findings, &[], output)?;
    }
    let manner = Manner { yes: args.yes, quiet: !told };
    let (last, done) = fix::mend(findings, manner, || Ok(question.find_out()?), output)?;
    if told {
        let mendable = !last.report.verdict.fix.steps.is_empty();
        output.write(&human::mend::end(&done, last.report.delivered(), mendable))?;
    } else {
        show(args, &last, &done, output)?;
    }
    draw(args, &last, &done, output)?;
    Ok(outcome(&last))
}

fn outcome(findings: &Findings) -> Outcome {
    if findings.report.delivered() { Outcome::Yes } else { Outcome::No }
}

/// Shows what was found in the form that was asked for, with what was mended before it.
fn show(args: &TraceArgs, findings: &Findings, mended: &[Mended], output: &mut Output) -> Result<(), Failure> {
    let Findings { asked, world, observation, report, timing, flows } = findings;
    if args.json {
        let answer = json::trace::Trace::new(asked, world, observation, report).timed(timing).of_flows(*flows);
        let answer = if args.details { answer.detailed(world, observation) } else { answer };
        output.json(&if args.fix { answer.mended(mended) } else { answer })?;
    } else if args.brief {
        output.write(&human::trace::brief(report))?;
    } else {
        output.write(&human::trace::show(asked, world, observation, report, args.details))?;
        output.write(&human::trace::share(*flows))?;
    }
    Ok(())
}

/// Draws what was found on a page, where that was asked for.
fn draw(args: &TraceArgs, findings: &Findings, mended: &[Mended], output: &mut Output) -> Result<(), Failure> {
    let Some(file) = &args.html else { return Ok(()) };
    html::write(file, findings, mended)?;
    output.note(&format!("The page is {}", file.display()));
    Ok(())
}

/// Says why nothing was sent: as an error, or as a verdict to whoever asked for JSON.
fn unsent(asked: &Asked, error: Error, json: bool, output: &mut Output) -> Result<Outcome, Failure> {
    let missing = Privileges::of_caller().missing();
    let advice = (error.kind() == Kind::NotPermitted && !missing.is_empty())
        .then(|| format!("nsgate lacks {}: run it as root", missing.join(", ")));
    if json && error.kind() != Kind::Refused {
        let report = not_permitted(&asked.from, error.object(), &error.to_string(), advice);
        output.json(&json::trace::Trace::unsent(asked, &report))?;
        return Ok(Outcome::NotPermitted);
    }
    let failure = Failure::from(error);
    Err(match advice {
        Some(advice) => failure.hint(advice),
        None => failure,
    })
}
