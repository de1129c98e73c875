//! Published ports: `[[publish]]`, a port of the gateway that leads to a member.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use toml::de::DeTable;

use super::fields::{self, Field, Fields};
use super::translation::{PortRange, nets, unusable};
use super::{At, Diagnostic};
use crate::model::Family;

/// One `[[publish]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// What is reached from outside.
    pub on: At<Entrance>,
    /// The member behind it: its name, or one of its addresses.
    pub to: At<String>,
    /// The member's ports: as many as are published, or one for all; the published ones if it does not say.
    pub to_ports: Option<PortRange>,
    /// Who may use it; empty: all.
    pub from: Vec<At<IpNet>>,
    /// The gateway, if not the member's own.
    pub gateway: Option<At<String>>,
}

/// Ports of an address, or of all that a gateway has: `203.0.113.5:8080/tcp`, `[2001:db8::5]:53/udp`, `:8080-8090/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// The address; none: any of the gateway's.
    pub address: Option<IpAddr>,
    /// The ports.
    pub ports: PortRange,
    /// The protocol.
    pub protocol: PortProtocol,
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Entrance {
    /// Whether two cannot be told apart for some packet.
    pub fn meets(&self, other: &Self) -> bool {
        let addresses = match (self.address, other.address) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        addresses && self.protocol == other.protocol && self.ports.meets(other.ports)
    }
}

impl PortRange {
    /// How many ports it has, less one.
    pub fn width(self) -> u16 {
        self.last - self.first
    }

    fn meets(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Reads all published ports.
pub(super) fn read(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Publish> {
    field.tables(found).iter().filter_map(|table| one(table, found)).collect()
}

fn one(table: &At<&DeTable<'_>>, found: &mut Vec<Diagnostic>) -> Option<Publish> {
    let mut fields = Fields::new("[[publish]]", table.value);
    let on = fields.take("on").map(|field| field.text(found));
    let to = fields.take("to").map(|field| field.text(found));
    let from = fields.take("from").map(|field| (nets(&field, found), field.span.clone()));
    let gateway = fields.take("gateway").and_then(|field| field.text(found));
    fields.finish(found);
    for (key, given) in [("on", on.is_some()), ("to", to.is_some())] {
        if !given {
            let error = Diagnostic::error(&table.span, format!("[[publish]] does not say '{key}'"));
            found.push(error.label("of this one").hint("write on = \"203.0.113.5:8080/tcp\", to = \"web-1:80\""));
        }
    }
    let on = entrance(&on??, found);
    let to = backend(&to??, found);
    let (on, (to, to_ports)) = (on?, to?);
    if to_ports.is_some_and(|ports| ports.width() != 0 && ports.width() != on.value.ports.width()) {
        let message = format!("{} ports cannot lead to {}", count(on.value.ports), count(to_ports?));
        let hint = "give as many on both sides, or one port, or none for the same ones";
        found.push(Diagnostic::error(&to.span, message).label("of another number").hint(hint));
        return None;
    }
    let from = match from {
        Some((nets, span)) if nets.is_empty() => {
            found.push(Diagnostic::error(&span, "nobody may use this port").label("an empty list"));
            return None;
        }
        Some((nets, _)) => nets,
        None => Vec::new(),
    };
    if let Some(family) = on.value.address.map(Family::of) {
        for at in from.iter().filter(|at| Family::of(at.value.addr()) != family) {
            let error = Diagnostic::error(&at.span, format!("{} can never send to an {family} address", at.value));
            found.push(error.label("of the other family"));
        }
    }
    let gateway = gateway.map(|at| At { value: at.value.to_owned(), span: at.span });
    Some(Publish { on, to, to_ports, from, gateway })
}

fn count(ports: PortRange) -> u32 {
    u32::from(ports.width()) + 1
}

fn entrance(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<At<Entrance>> {
    let example = "\"203.0.113.5:8080/tcp\" or \":8080-8090/udp\"";
    let entrance: At<Entrance> = fields::parse(text, "an address with a port", example, found)?;
    if let Some(address) = entrance.value.address.filter(|address| unusable(*address)) {
        let error = Diagnostic::error(&text.span, format!("nothing from outside can be for {address}"));
        let hint = format!("for any address of the gateway: \":{}/{}\"", entrance.value.ports, entrance.value.protocol);
        found.push(error.label("unusable").hint(hint));
        return None;
    }
    Some(entrance)
}

/// A member, and its ports.
fn backend(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<(At<String>, Option<PortRange>)> {
    let named = |name: &str| At { value: name.to_owned(), span: text.span.clone() };
    let value = text.value;
    if value.parse::<IpAddr>().is_ok() || !value.contains(':') {
        return Some((named(value), None));
    }
    let parts = value.rsplit_once(':').map(|(host, port)| (unbracketed(host), port.parse::<PortRange>()));
    if let Some((host, Ok(ports))) = parts.filter(|(host, _)| !host.is_empty()) {
        return Some((named(host), Some(ports)));
    }
    let error = Diagnostic::error(&text.span, format!("'{value}' is no member with a port")).label("not a destination");
    found.push(error.hint("write it like \"web-1:80\", \"web-1:8080-8090\", or \"web-1\" for the same port"));
    None
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl FromStr for Entrance {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (place, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => PortProtocol::Tcp,
            "udp" => PortProtocol::Udp,
            "sctp" => PortProtocol::Sctp,
            _ => return Err(()),
        };
        let (host, ports) = place.rsplit_once(':').ok_or(())?;
        let address = match host {
            "" => None,
            host => Some(unbracketed(host).parse::<IpAddr>().map_err(|_| ())?),
        };
        // Without brackets the last group of an IPv6 address would be taken for a port.
        if address.is_some_and(|address| address.is_ipv6()) && !host.starts_with('[') {
            return Err(());
        }
        Ok(Self { address, ports: ports.parse()?, protocol })
    }
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => {}
            Some(IpAddr::V4(address)) => address.fmt(f)?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        write!(f, ":{}/{}", self.ports, self.protocol)
    }
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PortProtocol::Tcp => "tcp",
            PortProtocol::Udp => "udp",
            PortProtocol::Sctp => "sctp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrances_read_back() {
        for text in ["203.0.113.5:8080/tcp", "[2001:db8::5]:53/udp", ":8080-8090/sctp", ":1-65535/tcp"] {
            assert_eq!(text.parse::<Entrance>().unwrap().to_string(), text);
        }
        assert_eq!(":80".parse::<Entrance>().unwrap().to_string(), ":80/tcp");
        for text in ["8080", "203.0.113.5", ":0/tcp", ":9-8", ":80/icmp", "2001:db8::5:80", "web:80", ":65536", ""] {
            assert!(text.parse::<Entrance>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlapping_entrances_meet() {
        let meets = |one: &str, other: &str| one.parse::<Entrance>().unwrap().meets(&other.parse().unwrap());
        assert!(meets(":80-90", "203.0.113.5:90"));
        assert!(meets("203.0.113.5:90", "203.0.113.5:90"));
        assert!(!meets("203.0.113.6:90", "203.0.113.5:90"));
        assert!(!meets(":90/udp", ":90/tcp"));
        assert!(!meets(":80-89", ":90"));
    }
}
