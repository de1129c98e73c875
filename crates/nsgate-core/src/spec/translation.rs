//! How sources are translated towards the outside: of a network, of one member, of the other end of a wire.
//!
//! One word or one address for both families, a list of addresses, a pool with its ports, or each family by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::fields::{self, Field, Fields};
use super::{At, Diagnostic, Network};
use crate::model::Family;

/// How sources are translated towards the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceNat {
    /// Not at all: the outside knows the way back.
    #[default]
    None,
    /// To whichever address the uplink has.
    Masquerade,
    /// To these addresses, at most one of each family.
    Fixed(Vec<At<IpAddr>>),
    /// To any of several addresses, at most one range of each family.
    Pool(Pool),
    /// IPv4 and IPv6, each in its own way.
    Each(Box<[SourceNat; 2]>),
}

/// Addresses to translate to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The first and the last address of each range.
    pub addresses: Vec<At<AddressRange>>,
    /// The source ports that are taken; none: as the kernel chooses.
    pub ports: Option<At<PortRange>>,
}

/// Addresses from the first to the last, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    /// The first.
    pub first: IpAddr,
    /// The last: not smaller.
    pub last: IpAddr,
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The first: not 0.
    pub first: u16,
    /// The last: not smaller.
    pub last: u16,
}

/// What becomes of the sources of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Translation {
    /// They stay.
    None,
    /// The uplink's address.
    Masquerade,
    /// This address.
    Fixed(IpAddr),
    /// Any address of a range, with any port of another.
    Pool(AddressRange, Option<PortRange>),
}

impl SourceNat {
    /// What becomes of one family.
    pub fn family(&self, family: Family) -> Translation {
        match self {
            SourceNat::None => Translation::None,
            SourceNat::Masquerade => Translation::Masquerade,
            SourceNat::Fixed(addresses) => {
                let meant = addresses.iter().find(|at| Family::of(at.value) == family);
                meant.map_or(Translation::None, |at| Translation::Fixed(at.value))
            }
            SourceNat::Pool(pool) => {
                let meant = pool.addresses.iter().find(|at| Family::of(at.value.first) == family);
                let ports = pool.ports.as_ref().map(|at| at.value);
                meant.map_or(Translation::None, |at| Translation::Pool(at.value, ports))
            }
            SourceNat::Each(each) => match family {
                Family::V4 => each[0].family(family),
                Family::V6 => each[1].family(family),
            },
        }
    }

    /// The addresses it names, each with its place: of a pool the first and the last.
    pub fn named(&self) -> Vec<At<IpAddr>> {
        match self {
            SourceNat::None | SourceNat::Masquerade => Vec::new(),
            SourceNat::Fixed(addresses) => addresses.clone(),
            SourceNat::Pool(pool) => {
                let ends =
                    |at: &At<AddressRange>| [at.value.first, at.value.last].map(|value| (value, at.span.clone()));
                let mut all: Vec<(IpAddr, _)> = pool.addresses.iter().flat_map(ends).collect();
                all.dedup_by_key(|(address, _)| *address);
                all.into_iter().map(|(value, span)| At { value, span }).collect()
            }
            SourceNat::Each(each) => each.iter().flat_map(SourceNat::named).collect(),
        }
    }
}

impl FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| ());
        let range = Self { first: parse(first)?, last: parse(last)? };
        let fits = Family::of(range.first) == Family::of(range.last) && range.first <= range.last;
        if fits { Ok(range) } else { Err(()) }
    }
}

impl FromStr for PortRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(());
        let range = Self { first: parse(first)?, last: parse(last)? };
        if range.first <= range.last { Ok(range) } else { Err(()) }
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Reads how sources are translated.
pub(super) fn read(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<SourceNat> {
    let texts = match field.value {
        DeValue::Table(table) => return detailed(field, table, found),
        DeValue::Array(_) => field.texts(found),
        _ => vec![field.text(found)?],
    };
    match texts.as_slice() {
        [text] if text.value == "none" => Some(SourceNat::None),
        [text] if text.value == "masquerade" => Some(SourceNat::Masquerade),
        texts => Some(SourceNat::Fixed(texts.iter().filter_map(|text| address(text, found)).collect())),
    }
}

/// A table: a pool, or each family by itself.
fn detailed(field: &Field<'_>, table: &DeTable<'_>, found: &mut Vec<Diagnostic>) -> Option<SourceNat> {
    let mut fields = Fields::new("source-nat", table);
    let mut family = |key| fields.take(key).and_then(|field| read(&field, found));
    let (four, six) = (family("ipv4"), family("ipv6"));
    if four.is_some() || six.is_some() {
        fields.finish(found);
        return Some(SourceNat::Each(Box::new([four.unwrap_or_default(), six.unwrap_or_default()])));
    }
    let pool = fields
        .take("pool")
        .map(|field| if field.is_array() { field.texts(found) } else { field.text(found).into_iter().collect() });
    let ports = fields
        .take("ports")
        .and_then(|field| fields::parse(&field.text(found)?, "a range of ports", "\"1024-65535\"", found));
    fields.finish(found);
    let Some(pool) = pool else {
        let error = Diagnostic::error(&field.span, "this translation does not say to what").label("says nothing");
        found.push(error.hint("write { pool = [\"203.0.113.10-203.0.113.20\"] } or { ipv4 = \"masquerade\" }"));
        return None;
    };
    let range = |text: &At<&str>, found: &mut Vec<Diagnostic>| {
        fields::parse(text, "a range of addresses", "\"203.0.113.10-203.0.113.20\"", found)
    };
    Some(SourceNat::Pool(Pool { addresses: pool.iter().filter_map(|text| range(text, found)).collect(), ports }))
}

fn address(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<At<IpAddr>> {
    let Ok(value) = text.value.parse() else {
        let error = Diagnostic::error(&text.span, format!("'{}' is no way to translate sources", text.value));
        let hint = match fields::nearest(text.value, ["masquerade", "none"].into_iter()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write an address, \"masquerade\" or \"none\"".into(),
        };
        found.push(error.label("unknown translation").hint(hint));
        return None;
    };
    Some(At { value, span: text.span.clone() })
}

/// Finds translations that cannot be, of a network and of its members.
pub(super) fn check(network: &Network, found: &mut Vec<Diagnostic>) {
    fits(&network.source_nat, network, found);
    for nat in network.members.iter().filter_map(|member| member.source_nat.as_ref()) {
        fits(nat, network, found);
    }
    for At { value: net, span } in &network.no_nat {
        if !has(network, Family::of(net.addr())) {
            let message = format!("network '{}' has no {} subnet", network.name.value, Family::of(net.addr()));
            found.push(Diagnostic::error(span, message).label("of the other family"));
        }
    }
}

fn fits(nat: &SourceNat, network: &Network, found: &mut Vec<Diagnostic>) {
    match nat {
        SourceNat::None | SourceNat::Masquerade => {}
        SourceNat::Fixed(addresses) => {
            for (number, at) in addresses.iter().enumerate() {
                let earlier = addresses[..number].iter().map(|other| other.value);
                usable(at.value, &at.span, earlier, network, found);
            }
        }
        SourceNat::Pool(pool) => {
            for (number, at) in pool.addresses.iter().enumerate() {
                let earlier = pool.addresses[..number].iter().map(|other| other.value.first);
                usable(at.value.first, &at.span, earlier, network, found);
            }
        }
        SourceNat::Each(each) => {
            for (family, nat) in Family::BOTH.into_iter().zip(each.iter()) {
                for at in nat.named().iter().filter(|at| Family::of(at.value) != family) {
                    let error = Diagnostic::error(&at.span, format!("{} is not {family}", at.value));
                    found.push(error.label("of the other family"));
                }
                fits(nat, network, found);
            }
        }
    }
}

fn usable(
    address: IpAddr,
    span: &std::ops::Range<usize>,
    mut earlier: impl Iterator<Item = IpAddr>,
    network: &Network,
    found: &mut Vec<Diagnostic>,
) {
    let family = Family::of(address);
    if earlier.any(|other| Family::of(other) == family) {
        let error = Diagnostic::error(span, format!("a second {family} address to translate to"));
        let hint = "write several as one range: { pool = [\"203.0.113.10-203.0.113.20\"] }";
        found.push(error.label("second of its family").hint(hint));
    } else if !has(network, family) {
        let message = format!("network '{}' has no {family} subnet to translate", network.name.value);
        found.push(Diagnostic::error(span, message).label("of the other family"));
    } else if unusable(address) {
        found.push(Diagnostic::error(span, format!("no answer can come to {address}")).label("unusable"));
    }
}

/// Whether no packet from outside can be for an address.
pub(super) fn unusable(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::BROADCAST)
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_loopback()
}

fn has(network: &Network, family: Family) -> bool {
    network.subnets.iter().any(|net| Family::of(net.value.addr()) == family)
}

/// Reads ranges of addresses, given as one or as a list.
pub(super) fn nets(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<At<IpNet>> {
    let texts = if field.is_array() { field.texts(found) } else { field.text(found).into_iter().collect() };
    let one = |text: &At<&str>, found: &mut Vec<Diagnostic>| {
        if let Ok(address) = text.value.parse::<IpAddr>() {
            return Some(At { value: IpNet::from(address), span: text.span.clone() });
        }
        let net: At<IpNet> = fields::parse(text, "a range of addresses", "\"10.0.0.0/8\" or \"fd00::/8\"", found)?;
        if net.value != net.value.trunc() {
            let error = Diagnostic::error(&net.span, format!("{} has bits behind its prefix length", net.value));
            found.push(error.label("not a range").hint(format!("write \"{}\"", net.value.trunc())));
            return None;
        }
        Some(net)
    };
    texts.iter().filter_map(|text| one(text, found)).collect()
}
