//! Who must reach whom, and who must not: what a file says of it, and what follows from the networks it describes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use toml::de::DeTable;

use super::fields::{self, Field, Fields};
use super::{At, Diagnostic, Spec, Wanted, WantedMember};
use crate::model::{Family, NetnsName};
use crate::trace::ProbeKind;

/// One `[[expect]]` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Where probes start.
    pub from: Vec<At<NetnsName>>,
    /// Whom they are for.
    pub to: Vec<At<Target>>,
    /// Whether they are to arrive; else they must not.
    pub reach: bool,
}

/// Whom a probe is for, and what it is: `10.0.0.1`, `web-1:80/tcp`, `[fd00::1]:53/udp`, `www.example.org:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// What is sent: an echo request where no port is named, a TCP connection where only a port is.
    pub kind: ProbeKind,
}

/// A host as it may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Its address.
    Address(IpAddr),
    /// Its name: a member's, or one that the sender is to resolve.
    Name(String),
}

/// One probe that is to arrive, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Where it starts.
    pub from: NetnsName,
    /// Whom it is for; a name is one that the sender is to resolve.
    pub to: Target,
    /// The member whose address that is, if a member was meant.
    pub member: Option<NetnsName>,
    /// Whether it is to arrive.
    pub reach: bool,
    /// Whether the file says so; else it follows from the networks.
    pub stated: bool,
}

/// All that is expected, what the file says first: with `derived` also that every member reaches its gateway.
pub fn expected(spec: &Spec, wanted: &Wanted, derived: bool) -> Vec<Expected> {
    let mut all: Vec<Expected> = spec.expectations.iter().flat_map(|one| stated(one, wanted)).collect();
    for network in wanted.networks().filter(|_| derived) {
        for member in &network.members {
            let near = network.gateways.iter().filter(|gateway| holds(member, Family::of(gateway.addr())));
            all.extend(near.map(|gateway| Expected {
                from: member.netns.clone(),
                to: Target { host: Host::Address(gateway.addr()), kind: ProbeKind::Icmp },
                member: None,
                reach: true,
                stated: false,
            }));
        }
    }
    all
}

/// The probes of one expectation: a member is probed at each address of a family that the sender has, too.
fn stated(expectation: &Expectation, wanted: &Wanted) -> Vec<Expected> {
    let mut all = Vec::new();
    for from in &expectation.from {
        let sender = member(wanted, from.value.as_str());
        for At { value: to, .. } in &expectation.to {
            let one = |host: Host, member: Option<&WantedMember>| Expected {
                from: from.value.clone(),
                to: Target { host, kind: to.kind },
                member: member.map(|member| member.netns.clone()),
                reach: expectation.reach,
                stated: true,
            };
            let Host::Name(name) = &to.host else {
                all.push(one(to.host.clone(), None));
                continue;
            };
            let Some(receiver) = member(wanted, name) else {
                all.push(one(to.host.clone(), None));
                continue;
            };
            // Of lists that hold the same members each is meant to be tried with the others.
            if receiver.netns == from.value && expectation.to.len() > 1 {
                continue;
            }
            let addresses = receiver.addresses.iter().map(IpNet::addr);
            let common = addresses.filter(|address| sender.is_none_or(|sender| holds(sender, Family::of(*address))));
            all.extend(common.map(|address| one(Host::Address(address), Some(receiver))));
        }
    }
    all
}

fn member<'a>(wanted: &'a Wanted, name: &str) -> Option<&'a WantedMember> {
    wanted.networks().flat_map(|network| &network.members).find(|member| member.netns.as_str() == name)
}

fn holds(member: &WantedMember, family: Family) -> bool {
    member.addresses.iter().any(|net| Family::of(net.addr()) == family)
}

/// Reads one `[[expect]]`.
pub(super) fn read(table: &At<&DeTable<'_>>, found: &mut Vec<Diagnostic>) -> Option<Expectation> {
    let mut fields = Fields::new("[[expect]]", table.value);
    let from = fields.take("from").map(|field| one_or_more(&field, found));
    let to = fields.take("to").map(|field| one_or_more(&field, found));
    let reach = fields.take("reach").and_then(|field| field.truth(found));
    fields.finish(found);
    for (key, given) in [("from", from.is_some()), ("to", to.is_some())] {
        if !given {
            let error = Diagnostic::error(&table.span, format!("[[expect]] does not say '{key}'")).label("of this one");
            found.push(error.hint("write from = \"web-1\", to = \"203.0.113.1:443/tcp\", reach = true"));
        }
    }
    let from = from?.iter().filter_map(|text| fields::name(text, found)).collect();
    let to = to?.iter().filter_map(|text| target(text, found)).collect();
    Some(Expectation { from, to, reach: reach.unwrap_or(true) })
}

fn one_or_more<'a>(field: &Field<'a>, found: &mut Vec<Diagnostic>) -> Vec<At<&'a str>> {
    if field.is_array() { field.texts(found) } else { field.text(found).into_iter().collect() }
}

fn target(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<At<Target>> {
    match text.value.parse() {
        Ok(value) => Some(At { value, span: text.span.clone() }),
        Err(reason) => {
            let error = Diagnostic::error(&text.span, reason).label("not a destination");
            found.push(error.hint("write it like \"web-1\", \"10.0.0.1:80/tcp\" or \"[fd00::1]:53/udp\""));
            None
        }
    }
}

/// A name without a dot is a member's: another is most likely mistyped.
pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let names: Vec<&str> =
        spec.networks.iter().flat_map(|network| &network.members).map(|member| member.name.value.as_str()).collect();
    for to in spec.expectations.iter().flat_map(|expectation| &expectation.to) {
        let Host::Name(name) = &to.value.host else { continue };
        if !name.contains('.') && !names.contains(&name.as_str()) {
            let error = Diagnostic::error(&to.span, format!("there is no member '{name}'")).label("unknown member");
            found.push(match fields::nearest(name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint("write a member's name, an address, or a name with a dot, which is resolved"),
            });
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, protocol) = match text.rsplit_once('/') {
            Some((place, protocol)) => (place, Some(protocol)),
            None => (text, None),
        };
        let (host, port) = split_port(place);
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(format!("'{text}' names no port from 1 to 65535")),
        };
        let kind = match (protocol, port) {
            (None | Some("icmp"), None) => ProbeKind::Icmp,
            (None | Some("tcp"), Some(port)) => ProbeKind::Tcp(port),
            (Some("udp"), Some(port)) => ProbeKind::Udp(port),
            (Some("tcp" | "udp"), None) => return Err(format!("'{text}' names no port")),
            (Some("icmp"), Some(_)) => return Err(format!("'{text}' names a port, and icmp has none")),
            (Some(other), _) => return Err(format!("'{other}' is none of icmp, tcp and udp")),
        };
        let host = match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => Host::Address(address),
            Err(_) if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "[]/:".contains(c)) => {
                return Err(format!("'{text}' names no host"));
            }
            Err(_) => Host::Name(host.to_owned()),
        };
        Ok(Self { host, kind })
    }
}

/// The host and the port behind it; an IPv6 address stands in brackets if there is one.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some(end) = text.starts_with('[').then(|| text.find(']')).flatten() {
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => (text, None),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.pad(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host {
            Host::Address(IpAddr::V6(address)) if self.kind.port().is_some() => format!("[{address}]"),
            _ => self.host.to_string(),
        };
        match self.kind {
            ProbeKind::Icmp => f.pad(&host),
            ProbeKind::Tcp(port) => f.pad(&format!("{host}:{port}/tcp")),
            ProbeKind::Udp(port) => f.pad(&format!("{host}:{port}/udp")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_come_back_as_they_were_written() {
        for text in ["10.0.0.1", "fd00::1", "web-1", "10.0.0.1:80/tcp", "[fd00::1]:53/udp", "www.example.org:443/tcp"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("web-1:80".parse::<Target>().unwrap().to_string(), "web-1:80/tcp");
        assert_eq!("web-1/icmp".parse::<Target>().unwrap().to_string(), "web-1");
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for (text, why) in [
            ("web-1:0", "no port from 1 to 65535"),
            ("web-1:x/tcp", "no port from 1 to 65535"),
            ("[fd00::1]80", "names no host"),
            ("web-1/tcp", "names no port"),
            ("web-1:80/icmp", "icmp has none"),
            ("web-1:80/sctp", "none of icmp, tcp and udp"),
            (":80", "names no host"),
            ("", "names no host"),
            ("a b", "names no host"),
        ] {
            let reason = text.parse::<Target>().unwrap_err();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }
}
