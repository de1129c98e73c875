//! `resolver-unreachable`: the name could not be turned into an address, so nothing was sent to it.

use std::fmt::Write as _;

use super::{Cause, Evidence, EvidenceKind, Place, Report, Verdict};
use crate::model::NetnsName;
use crate::resolve::{Failure, Unresolved};

/// The report on a name that no server could be asked for; `question` is that on a datagram to the first of them.
pub fn resolver_unreachable(from: &NetnsName, unresolved: &Unresolved, question: Option<Report>) -> Report {
    let Unresolved { name, file, asked } = unresolved;
    let servers: Vec<String> = asked.iter().map(|(server, _)| server.to_string()).collect();
    let object = format!("nameserver {} of {file}", servers.join(" and "));
    let mut summary = format!("{from} cannot resolve {name}: {object} is of no use");
    if let Some((_, failure)) = asked.first() {
        let _ = write!(summary, " ({failure})");
    }
    let mut verdict = Verdict::new(Cause::ResolverUnreachable, Place::all_of(from), object, summary);
    for (server, failure) in asked {
        let text = format!("asked {server} for {name}: {failure}");
        verdict = verdict.shown_by(Evidence::new(kind(failure), from, text).differs("an answer", failure.to_string()));
    }
    let mut further = Vec::new();
    if let Some(report) = question {
        // What loses the question is what to mend, where this machine can.
        if !report.delivered() {
            verdict = verdict.mended_by(report.verdict.fix.clone()).undone_by(report.verdict.undo.clone());
            further.push(report.verdict);
        }
        further.extend(report.further);
    }
    let advice =
        format!("Put a server into {} that {from} can reach, or mend the way to this one.", own_file(from, file));
    Report { verdict: verdict.advised(advice), further }
}

fn kind(failure: &Failure) -> EvidenceKind {
    match failure {
        Failure::Silent(_) => EvidenceKind::Sender,
        Failure::Refused(_) | Failure::Answered(_) => EvidenceKind::Refusal,
    }
}

/// The file to put a server into: a named namespace that shares the machine's has one of its own.
fn own_file(from: &NetnsName, file: &str) -> String {
    if from.is_plain() { format!("/etc/netns/{from}/resolv.conf") } else { file.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::resolve::Server;
    use crate::trace::{Ending, ProbeKind};

    use super::*;

    fn unresolved(failure: Failure) -> Unresolved {
        let server = Server { address: "10.20.30.53".parse().unwrap(), zone: None };
        Unresolved { name: "www.test".into(), file: "/etc/resolv.conf".into(), asked: vec![(server, failure)] }
    }

    #[test]
    fn the_server_is_named_with_the_file_that_names_it() {
        let report = resolver_unreachable(&"ns_1".parse().unwrap(), &unresolved(Failure::Silent(1000)), None);
        let verdict = report.verdict;
        assert_eq!((verdict.cause.code(), verdict.place.netns.as_str()), ("resolver-unreachable", "ns_1"));
        assert_eq!(verdict.object, "nameserver 10.20.30.53 of /etc/resolv.conf");
        assert_eq!(verdict.evidence[0].text, "asked 10.20.30.53 for www.test: no answer within 1000 ms");
        assert!(verdict.advice.unwrap().contains("/etc/netns/ns_1/resolv.conf"));
    }

    #[test]
    fn what_loses_the_question_follows_and_its_mend_mends() {
        let mut fixture = Fixture::experiment().probing(ProbeKind::Udp(53));
        fixture.sysctl("host", "net.ipv4.ip_forward", "0");
        fixture.setting("host", "veth3", crate::model::Family::V4, crate::model::Setting::Forwarding, 0);
        fixture.request_seen(&["ns_1:veth2>", "host:veth3<"]);
        fixture.counted("host", "Ip.InAddrErrors");
        let question = super::super::explain(&fixture.world, &fixture.observation);
        assert_eq!(question.verdict.cause, Cause::ForwardingDisabled);
        let mend = question.verdict.fix.commands();
        let from = "ns_1".parse().unwrap();
        let report = resolver_unreachable(&from, &unresolved(Failure::Silent(1000)), Some(question));
        assert_eq!(report.further[0].cause, Cause::ForwardingDisabled);
        assert_eq!(report.verdict.fix.commands(), mend);

        fixture.observation.ending = Ending::Answered;
        let question = super::super::explain(&fixture.world, &fixture.observation);
        let report = resolver_unreachable(&from, &unresolved(Failure::Refused("refused".into())), Some(question));
        assert!(report.further.is_empty() && !report.delivered());
    }
}
