//! Each step as the lines that an operator would type to do or see the same.

use nsgate_core::model::{NetnsName, Transport};
use nsgate_core::trace::ProbeKind;

use super::{Action, Flow, Probe, Read, Serve, Trace};

/// The lines of a step.
pub(crate) fn typed(action: &Action) -> Vec<String> {
    match action {
        Action::Run(lines) => lines.iter().map(|line| line.text.clone()).collect(),
        Action::Serve(serve) => vec![service(serve)],
        Action::Probe(probe) => probe_lines(probe),
        Action::Read(Read { netns, sysctl, .. }) => vec![inside(netns, &format!("sysctl {sysctl}"))],
        Action::List(list) => vec![inside(&list.netns, "nft list ruleset")],
        Action::Flow(flow) => vec![tracking(flow)],
        Action::Trace(trace) => vec![traced(trace)],
        // What it is, the verdict said.
        Action::Fix => Vec::new(),
    }
}

/// A command as it is typed for another namespace.
fn inside(netns: &NetnsName, command: &str) -> String {
    if netns.is_host() { command.to_owned() } else { format!("ip netns exec {netns} {command}") }
}

fn traced(Trace { from, to, kind, size, dont_fragment, .. }: &Trace) -> String {
    let whole = if *dont_fragment { " --dont-fragment" } else { "" };
    let size = size.map_or_else(String::new, |size| format!(" --size {size}{whole}"));
    format!("nsgate trace {from} {to} --{kind}{size}")
}

fn service(Serve { netns, protocol, address, port, hangs }: &Serve) -> String {
    let datagrams = if *protocol == Transport::Udp { " -u" } else { "" };
    // A program that is stopped takes nothing from its queue.
    let stopped = if *hangs { "; kill -STOP $!" } else { "" };
    inside(netns, &format!("ncat -lk{datagrams} {address} {port} -e /bin/cat &{stopped}"))
}

/// The captures first, then the probe: that is the order in which they must be typed, too.
fn probe_lines(Probe { from, to, kind, size, dont_fragment, count, watch, .. }: &Probe) -> Vec<String> {
    let filter = kind.name().replace("icmp", if to.is_ipv6() { "icmp6" } else { "icmp" });
    let captures = watch.iter().map(|watch| {
        let port = if watch.destination.is_some() { None } else { kind.port() };
        let port = port.map_or_else(String::new, |port| format!(" port {port}"));
        inside(&watch.at.netns, &format!("tcpdump -n -i {} {filter}{port} &", watch.at.dev))
    });
    let command = match (kind, size) {
        (ProbeKind::Icmp, Some(size)) => {
            format!("ping -c {count} -M {} -s {size} {to}", if *dont_fragment { "do" } else { "dont" })
        }
        (ProbeKind::Icmp, None) => format!("ping -c {count} {to}"),
        (ProbeKind::Tcp(port), _) => format!("nc -z {to} {port}"),
        (ProbeKind::Udp(port), _) => format!("nc -u -z {to} {port}"),
    };
    captures.chain([inside(from, &command)]).collect()
}

fn tracking(flow: &Flow) -> String {
    inside(&flow.netns, &format!("conntrack -L -s {} -d {}", flow.source, flow.destination))
}

#[cfg(test)]
mod tests {
    use super::super::Lab;
    use super::super::catalogue::LABS;
    use super::*;

    #[test]
    fn steps_read_as_an_operator_types_them() {
        let lab: Lab = LABS[0].1.parse().unwrap();
        let lines: Vec<String> = lab.steps.iter().chain(&lab.mends).flat_map(|step| typed(&step.action)).collect();
        for line in [
            "ip netns exec ns_1 ping -c 1 1.1.1.3",
            "nft list ruleset",
            "tcpdump -n -i eth2 icmp &",
            "sysctl net.ipv4.ip_forward",
            "nsgate trace ns_1 114.114.114.114 --icmp",
            "conntrack -L -s 1.1.1.2 -d 114.114.114.114",
        ] {
            assert!(lines.iter().any(|typed| typed == line), "{line} is not in {lines:#?}");
        }
    }
}
