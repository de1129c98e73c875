//! Gateways: the namespace nsgate runs in, or routers in namespaces of their own, and what leads out of them.
//!
//! An uplink is an interface that exists, or a wire that is made: to a bridge of the namespace nsgate runs in, or to
//! another gateway. Wires between gateways must not lead in a circle.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use toml::de::DeValue;

use super::fields::{self, Field, Fields};
use super::read::{one_or_more_addresses, plain};
use super::{At, Diagnostic, SourceNat, Spec, names, route, translation};
use crate::model::{Family, LinkName, NetnsName};

/// The gateway that is the namespace nsgate runs in.
pub(super) const HOST: &str = "host";

/// The namespace that connects networks with the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// What it is called: `host` is the namespace nsgate runs in.
    pub name: At<String>,
    /// Its namespace: one of the gateway's name if the file names no other.
    pub netns: At<NetnsName>,
    /// What leads outside; for none, the interface of the default route.
    pub uplinks: Vec<Uplink>,
    /// Its routes besides those that follow from networks and uplinks.
    pub routes: Vec<route::Route>,
}

/// What leads out of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The interface in the gateway's namespace; made from the names if a wire does not say.
    pub interface: Option<At<LinkName>>,
    /// The wire that is to be made; none: the interface exists.
    pub wire: Option<Wire>,
}

/// A wire that leads out of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Where its other end is.
    pub to: At<End>,
    /// The other end's name.
    pub peer_interface: Option<At<LinkName>>,
    /// The gateway's addresses, with the prefix lengths of their subnets.
    pub addresses: Vec<At<IpNet>>,
    /// The addresses of the other end, where that is a gateway.
    pub peer_addresses: Vec<At<IpNet>>,
    /// The routers behind it, at most one of each family: the default routes go there.
    pub via: Vec<At<IpAddr>>,
    /// The metric of those routes.
    pub metric: Option<At<u32>>,
    /// Its MTU.
    pub mtu: Option<At<u32>>,
    /// How the other gateway translates what comes by this wire.
    pub source_nat: SourceNat,
}

/// Where the other end of a wire is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A port of this bridge of the namespace nsgate runs in.
    Bridge(LinkName),
    /// In the namespace of this gateway.
    Gateway(String),
}

impl Gateway {
    /// The one that is meant where a file describes none.
    pub(super) fn host() -> Self {
        Self {
            name: At { value: HOST.into(), span: 0..0 },
            netns: At { value: NetnsName::host(), span: 0..0 },
            uplinks: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// The wires among the uplinks.
    pub fn wires(&self) -> impl Iterator<Item = &Wire> {
        self.uplinks.iter().filter_map(|uplink| uplink.wire.as_ref())
    }

    /// The gateways that its wires lead to.
    pub(super) fn upstream(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.wires().filter_map(|wire| match &wire.to.value {
            End::Gateway(name) => Some((name.as_str(), &wire.to.span)),
            End::Bridge(_) => None,
        })
    }
}

/// Reads all gateways.
pub(super) fn read(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Gateway> {
    let Some(table) = field.table(found) else { return Vec::new() };
    let fields = Fields::new("[gateway]", table).take_all();
    fields.iter().filter_map(|field| gateway(field, found)).collect()
}

fn gateway(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<Gateway> {
    let name = At { value: field.key.value.to_owned(), span: field.key.span.clone() };
    if names::network(&name.value).is_err() {
        let message = format!("'{}' cannot name a gateway", name.value);
        let hint = "take at most 63 letters, digits, '_', '-' and '.'";
        found.push(Diagnostic::error(&name.span, message).label("not a name for a gateway").hint(hint));
        return None;
    }
    let mut fields = Fields::new(format!("[gateway.{}]", name.value), field.table(found)?);
    let netns = match fields.take("namespace") {
        Some(given) => netns(&name, given.name(found)?, found),
        None => fields::name(&At { value: name.value.as_str(), span: name.span.clone() }, found),
    };
    let uplinks = fields.take("uplink").map(|field| uplinks(&field, found)).unwrap_or_default();
    let routes = fields.take("routes").map(|field| route::read(&field, found)).unwrap_or_default();
    fields.finish(found);
    Some(Gateway { name, netns: netns?, uplinks, routes })
}

/// The namespace that a gateway names.
fn netns(gateway: &At<String>, given: At<NetnsName>, found: &mut Vec<Diagnostic>) -> Option<At<NetnsName>> {
    let (is_host, should) = (given.value.is_host(), gateway.value == HOST);
    if should && !is_host {
        let error = Diagnostic::error(&given.span, "'host' is the namespace nsgate runs in, and no other");
        found.push(error.label("not the host's").hint("give the gateway another name"));
        return None;
    }
    (is_host || plain(&given, "gateway", found)).then_some(given)
}

fn uplinks(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Uplink> {
    let DeValue::Array(array) = field.value else { return uplink(field, found).into_iter().collect() };
    array.iter().filter_map(|item| uplink(&Field::item(&field.key, item), found)).collect()
}

fn uplink(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<Uplink> {
    let DeValue::Table(table) = field.value else {
        return Some(Uplink { interface: Some(field.name(found)?), wire: None });
    };
    let mut fields = Fields::new("an uplink", table);
    let interface = fields.take("interface").and_then(|field| field.name(found));
    let bridge = fields.take("bridge").and_then(|field| field.name(found));
    let to = fields.take("to").and_then(|field| field.text(found));
    let to = match (bridge, to) {
        (Some(bridge), None) => Some(At { value: End::Bridge(bridge.value), span: bridge.span }),
        (None, Some(to)) => Some(At { value: End::Gateway(to.value.into()), span: to.span }),
        (Some(_), Some(to)) => {
            found.push(Diagnostic::error(&to.span, "an uplink leads to a bridge or to a gateway").label("not to both"));
            None
        }
        (None, None) if interface.is_none() => {
            let error =
                Diagnostic::error(&field.span, "this uplink does not say where it leads").label("leads nowhere");
            found.push(error.hint("say bridge = \"br-ex\" or to = \"host\", or name an interface that exists"));
            None
        }
        (None, None) => None,
    };
    let Some(to) = to else {
        // An interface that exists has all the rest already.
        let interface = interface?;
        fields.finish(found);
        return Some(Uplink { interface: Some(interface), wire: None });
    };
    let wire = Wire {
        peer_interface: fields.take("peer-interface").and_then(|field| field.name(found)),
        addresses: fields.take("addresses").map(|field| interfaces(&field, found)).unwrap_or_default(),
        peer_addresses: fields.take("peer-addresses").map(|field| interfaces(&field, found)).unwrap_or_default(),
        via: fields.take("via").map(|field| one_or_more_addresses(&field, found)).unwrap_or_default(),
        metric: fields.take("metric").and_then(|field| field.number(found)),
        mtu: fields.take("mtu").and_then(|field| field.number(found)),
        source_nat: fields.take("source-nat").and_then(|field| translation::read(&field, found)).unwrap_or_default(),
        to,
    };
    fields.finish(found);
    check_wire(&wire, found);
    Some(Uplink { interface, wire: Some(wire) })
}

/// Addresses with the prefix lengths of their subnets.
fn interfaces(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<At<IpNet>> {
    let texts = field.texts(found);
    let what = "an address with a prefix length";
    texts.iter().filter_map(|text| fields::parse(text, what, "\"203.0.113.5/24\"", found)).collect()
}

fn check_wire(wire: &Wire, found: &mut Vec<Diagnostic>) {
    if wire.addresses.is_empty() {
        let error = Diagnostic::error(&wire.to.span, "the gateway has no address on this uplink");
        found.push(error.label("addresses missing").hint("add addresses = [\"203.0.113.5/24\"]"));
    }
    if matches!(wire.to.value, End::Bridge(_)) {
        let span = wire.peer_addresses.first().map(|at| &at.span);
        if let Some(span) = span {
            let error = Diagnostic::error(span, "a port of a bridge has no address").label("belongs to no one");
            found.push(error.hint("the bridge has the addresses of its namespace; leave peer-addresses out"));
        }
        if let Some(at) = wire.source_nat.named().first() {
            found.push(Diagnostic::error(&at.span, "nobody translates behind a bridge").label("leads to no gateway"));
        }
    }
    let near = |address: IpAddr| wire.addresses.iter().any(|at| at.value.contains(&address));
    for at in &wire.peer_addresses {
        if !near(at.value.addr()) {
            let message = format!("{} is in no subnet of the gateway's own addresses", at.value.addr());
            found.push(Diagnostic::error(&at.span, message).label("outside"));
        } else if wire.addresses.iter().any(|own| own.value.addr() == at.value.addr()) {
            found.push(Diagnostic::error(&at.span, "both ends have this address").label("taken"));
        }
    }
    for (number, at) in wire.via.iter().enumerate() {
        let family = Family::of(at.value);
        if !near(at.value) {
            let message = format!("{} is in no subnet of the uplink's addresses", at.value);
            found.push(Diagnostic::error(&at.span, message).label("outside"));
        } else if wire.addresses.iter().any(|own| own.value.addr() == at.value) {
            let message = format!("{} is the gateway's own address", at.value);
            found.push(Diagnostic::error(&at.span, message).label("leads to itself"));
        } else if wire.via[..number].iter().any(|other| Family::of(other.value) == family) {
            let message = format!("a second router for {family}");
            found.push(Diagnostic::error(&at.span, message).label("second of its family"));
        }
    }
}

/// Finds gateways that are unknown, that lead in a circle, or that share a namespace.
pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let names: BTreeMap<&str, &Gateway> =
        spec.gateways.iter().map(|gateway| (gateway.name.value.as_str(), gateway)).collect();
    let referred = spec.networks.iter().filter_map(|network| network.gateway.as_ref());
    let referred = referred.map(|at| (at.value.as_str(), &at.span));
    for (name, span) in spec.gateways.iter().flat_map(Gateway::upstream).chain(referred) {
        if !names.contains_key(name) {
            let error = Diagnostic::error(span, format!("there is no gateway '{name}'")).label("unknown gateway");
            found.push(match fields::nearest(name, names.keys().copied()) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint(format!("describe it under [gateway.{name}]")),
            });
        }
    }
    // One circle is enough: each of its gateways would tell it again.
    found.extend(spec.gateways.iter().find_map(|gateway| circle(gateway, &names)));
    for gateway in &spec.gateways {
        targets(gateway, found);
    }
    if spec.gateways.len() > 1 {
        for network in spec.networks.iter().filter(|network| network.gateway.is_none()) {
            let message = format!("network '{}' does not say which gateway it is behind", network.name.value);
            let list = names.keys().copied().collect::<Vec<_>>().join("\" or \"");
            let error = Diagnostic::error(&network.name.span, message).label("gateway missing");
            found.push(error.hint(format!("add gateway = \"{list}\"")));
        }
    }
    claims(spec, found);
}

/// A gateway whose wires lead back to it is told at the wire by which they begin.
fn circle(gateway: &Gateway, names: &BTreeMap<&str, &Gateway>) -> Option<Diagnostic> {
    for (first, span) in gateway.upstream() {
        let (mut open, mut seen) = (vec![first], Vec::new());
        while let Some(name) = open.pop() {
            if name == gateway.name.value {
                let message = format!("the uplinks of '{name}' lead back to itself");
                return Some(Diagnostic::error(span, message).label("leads in a circle"));
            }
            if !seen.contains(&name) {
                seen.push(name);
                open.extend(names.get(name).into_iter().flat_map(|next| next.upstream().map(|(name, _)| name)));
            }
        }
    }
    None
}

/// Two wires to one place, and two default routes that cannot stand together.
fn targets(gateway: &Gateway, found: &mut Vec<Diagnostic>) {
    let mut defaults: Vec<(Family, u32)> = Vec::new();
    let mut ends: Vec<&End> = Vec::new();
    for wire in gateway.wires() {
        if ends.contains(&&wire.to.value) {
            let error = Diagnostic::error(&wire.to.span, "another uplink of this gateway leads there");
            found.push(error.label("a second time").hint("give that one more addresses"));
        }
        ends.push(&wire.to.value);
        for at in wire.routers() {
            let key = (Family::of(at.value), wire.metric.as_ref().map_or(0, |metric| metric.value));
            if defaults.contains(&key) {
                let error = Diagnostic::error(&at.span, format!("a second default route for {}", key.0));
                found.push(error.label("of the same metric").hint("give one of the uplinks a metric = 200"));
            }
            defaults.push(key);
        }
    }
}

impl Wire {
    /// Where the default routes go: to the routers that are named, else to the gateway at the other end.
    pub(super) fn routers(&self) -> Vec<At<IpAddr>> {
        let peers = self.peer_addresses.iter().map(|at| At { value: at.value.addr(), span: at.span.clone() });
        let all: Vec<At<IpAddr>> = if self.via.is_empty() { peers.collect() } else { self.via.clone() };
        let first = |family| all.iter().find(|at| Family::of(at.value) == family).cloned();
        Family::BOTH.into_iter().filter_map(first).collect()
    }
}

/// A namespace belongs to one gateway, and no member is a gateway.
fn claims(spec: &Spec, found: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<&NetnsName, &str> = BTreeMap::new();
    for gateway in &spec.gateways {
        if let Some(other) = owners.insert(&gateway.netns.value, &gateway.name.value) {
            let message = format!("'{}' is the namespace of gateway '{other}' already", gateway.netns.value);
            found.push(Diagnostic::error(&gateway.netns.span, message).label("claimed twice"));
        }
    }
    for member in spec.networks.iter().flat_map(|network| &network.members) {
        if let Some(gateway) = owners.get(&member.name.value) {
            let message = format!("'{}' is the namespace of gateway '{gateway}'", member.name.value);
            found.push(Diagnostic::error(&member.name.span, message).label("claimed twice"));
        }
    }
}
