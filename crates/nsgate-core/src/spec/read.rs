//! Text to [`Spec`]: types, names and keys; what belongs together is checked in [`super::check`].

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeTable;

use super::fields::{self, Field, Fields};
use super::{
    At, Diagnostic, Expectation, Gateway, Kind, Member, Network, Severity, Spec, check, expect, floating, gateway,
    names, policy, publish, translation,
};
use crate::model::NetnsName;

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 1 << 20;

/// Reads a specification; the diagnostics are in the order of the text. Without a specification one of them is an error.
pub fn read(text: &str) -> (Option<Spec>, Vec<Diagnostic>) {
    if text.len() > LARGEST {
        let message = format!("the file has {} bytes; {LARGEST} are the most that are read", text.len());
        return (None, vec![Diagnostic::error(&(0..0), message).hint("split it into several files")]);
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut found: Vec<Diagnostic> = errors.iter().map(|error| syntax(error, text)).collect();
    if !found.is_empty() {
        return (None, found);
    }
    let spec = spec(document.get_ref(), &mut found);
    check::check(&spec, &mut found);
    found.sort_by_key(|diagnostic| diagnostic.span.start);
    let usable = found.iter().all(|diagnostic| diagnostic.severity == Severity::Warning);
    (usable.then_some(spec), found)
}

fn syntax(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(text.len()..text.len());
    Diagnostic::error(&span, format!("this is not TOML: {}", error.message())).label("not TOML")
}

fn spec(document: &DeTable<'_>, found: &mut Vec<Diagnostic>) -> Spec {
    let mut fields = Fields::new("the file", document);
    let name = fields.take("name").and_then(|field| instance(&field, found));
    let mut gateways = fields.take("gateway").map(|field| gateway::read(&field, found)).unwrap_or_default();
    let networks: Vec<Network> = fields.take("network").map(|field| networks(&field, found)).unwrap_or_default();
    let expectations = fields.take("expect").map(|field| expectations(&field, found)).unwrap_or_default();
    let published = fields.take("publish").map(|field| publish::read(&field, found)).unwrap_or_default();
    let floating = fields.take("floating").map(|field| floating::read(&field, found)).unwrap_or_default();
    fields.finish(found);
    if needs_host(&gateways, &networks) {
        gateways.push(Gateway::host());
    }
    Spec { name, gateways, networks, published, floating, expectations }
}

/// Whether the namespace nsgate runs in is a gateway although the file does not describe it.
fn needs_host(gateways: &[Gateway], networks: &[Network]) -> bool {
    let mut upstream = gateways.iter().flat_map(Gateway::upstream);
    let mut named = networks.iter().filter_map(|network| network.gateway.as_ref());
    let meant = upstream.any(|(name, _)| name == gateway::HOST) || named.any(|at| at.value == gateway::HOST);
    gateways.is_empty() || (meant && !gateways.iter().any(|gateway| gateway.name.value == gateway::HOST))
}

fn instance(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<At<String>> {
    let text = field.text(found)?;
    if let Err(reason) = names::instance(text.value) {
        found.push(Diagnostic::error(&text.span, reason).label("not a name for the whole"));
        return None;
    }
    Some(At { value: text.value.into(), span: text.span })
}

fn expectations(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Expectation> {
    field.tables(found).into_iter().filter_map(|table| expect::read(&table, found)).collect()
}

fn networks(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Network> {
    let Some(table) = field.table(found) else { return Vec::new() };
    let fields = Fields::new("[network]", table).take_all();
    fields.iter().filter_map(|field| network(field, found)).collect()
}

fn network(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<Network> {
    let name = At { value: field.key.value.to_owned(), span: field.key.span.clone() };
    if let Err(reason) = names::network(&name.value) {
        found.push(Diagnostic::error(&name.span, reason).label("not a name for a network"));
    }
    let mut fields = Fields::new(format!("[network.{}]", name.value), field.table(found)?);
    let network = Network {
        gateway: fields.take("gateway").and_then(|field| {
            let text = field.text(found)?;
            Some(At { value: text.value.into(), span: text.span })
        }),
        kind: fields.take("kind").and_then(|field| kind(&field, found)).unwrap_or_default(),
        subnets: fields.take("subnets").map(|field| subnets(&field, found)).unwrap_or_default(),
        gateway_addresses: fields.take("gateway-addresses").map(|field| addresses(&field, found)).unwrap_or_default(),
        source_nat: fields.take("source-nat").and_then(|field| translation::read(&field, found)).unwrap_or_default(),
        no_nat: fields.take("no-nat").map(|field| translation::nets(&field, found)).unwrap_or_default(),
        policy: policy::read(&mut fields, found),
        mtu: fields.take("mtu").and_then(|field| field.number(found)),
        members: fields.take("member").map(|field| members(&field, &name.value, found)).unwrap_or_default(),
        name,
    };
    fields.not_yet(&["routes", "dns"], found);
    fields.finish(found);
    Some(network)
}

fn kind(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<Kind> {
    let text = field.text(found)?;
    match text.value {
        "routed" => Some(Kind::Routed),
        "bridge" => Some(Kind::Bridge),
        other => {
            let error = Diagnostic::error(&text.span, format!("there is no kind of network called '{other}'"));
            found.push(error.label("unknown kind").hint("write \"routed\" or \"bridge\""));
            None
        }
    }
}

fn subnets(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<At<IpNet>> {
    let texts = field.texts(found);
    texts
        .iter()
        .filter_map(|text| fields::parse(text, "a subnet", "\"10.0.0.0/24\" or \"fd00:7::/64\"", found))
        .collect()
}

fn addresses(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<At<IpAddr>> {
    let texts = field.texts(found);
    texts.iter().filter_map(|text| address(text, found)).collect()
}

/// An address, or a list of them.
pub(super) fn one_or_more_addresses(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<At<IpAddr>> {
    if field.is_array() {
        return addresses(field, found);
    }
    field.text(found).and_then(|text| address(&text, found)).into_iter().collect()
}

fn address(text: &At<&str>, found: &mut Vec<Diagnostic>) -> Option<At<IpAddr>> {
    if text.value.parse::<IpNet>().is_ok() {
        let plain = text.value.split('/').next().unwrap_or_default();
        let error = Diagnostic::error(&text.span, "an address is written without a prefix length here");
        found.push(error.label("prefix length").hint(format!("write \"{plain}\": the subnet says how long it is")));
        return None;
    }
    fields::parse(text, "an address", "\"10.0.0.1\" or \"fd00:7::1\"", found)
}

fn members(field: &Field<'_>, network: &str, found: &mut Vec<Diagnostic>) -> Vec<Member> {
    let Some(table) = field.table(found) else { return Vec::new() };
    let fields = Fields::new(format!("[network.{network}.member]"), table).take_all();
    fields.iter().filter_map(|field| member(field, network, found)).collect()
}

fn member(field: &Field<'_>, network: &str, found: &mut Vec<Diagnostic>) -> Option<Member> {
    let title = format!("[network.{network}.member.{}]", field.key.value);
    let name = fields::name::<NetnsName>(&field.key, found).filter(|name| plain(name, "member", found));
    let mut fields = Fields::new(title, field.table(found)?);
    let addresses = fields.take("addresses").map(|field| addresses(&field, found)).unwrap_or_default();
    let interface = fields.take("interface").and_then(|field| field.name(found));
    let gateway_interface = fields.take("gateway-interface").and_then(|field| field.name(found));
    let source_nat = fields.take("source-nat").and_then(|field| translation::read(&field, found));
    let rate = fields.take("rate").and_then(|field| policy::rate(&field, found));
    fields.not_yet(&["mac", "namespace"], found);
    fields.finish(found);
    Some(Member { name: name?, addresses, interface, gateway_interface, source_nat, rate })
}

/// A namespace is made under `/run/netns`, so its name must be one that can be made there.
pub(super) fn plain(name: &At<NetnsName>, whose: &str, found: &mut Vec<Diagnostic>) -> bool {
    let fits = name.value.is_plain() && names::member(name.value.as_str());
    if !fits {
        let message = format!("'{}' cannot be the name of a namespace that is made", name.value);
        let hint = "take at most 128 bytes, without white space; 'host' is the namespace nsgate runs in";
        found.push(Diagnostic::error(&name.span, message).label(format!("not a name for a {whose}")).hint(hint));
    }
    fits
}
