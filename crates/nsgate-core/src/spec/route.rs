//! Routes that a file gives a gateway or a member, besides those that follow from its networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::{self, Field, Fields};
use super::{At, Diagnostic};
use crate::model::{Family, RouteKind};

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it is for.
    pub to: At<IpNet>,
    /// The router; none for a route that refuses.
    pub via: Option<At<IpAddr>>,
    /// What it does with a packet.
    pub kind: RouteKind,
    /// The metric: the smaller is taken; 0 leaves it to the kernel.
    pub metric: u32,
}

/// Reads `routes`.
pub(super) fn read(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Route> {
    field.tables(found).iter().filter_map(|table| route(table, found)).collect()
}

fn route(table: &At<&toml::de::DeTable<'_>>, found: &mut Vec<Diagnostic>) -> Option<Route> {
    let mut fields = Fields::new("a route", table.value);
    let to = fields.take("to").and_then(|field| destination(&field, found));
    let via = fields.take("via").and_then(|field| {
        let text = field.text(found)?;
        fields::parse::<IpAddr>(&text, "an address", "\"10.0.0.1\" or \"fd00:7::1\"", found)
    });
    let mut truth = |key| fields.take(key).and_then(|field| field.truth(found)).unwrap_or(false);
    let (blackhole, unreachable) = (truth("blackhole"), truth("unreachable"));
    let metric = fields.take("metric").and_then(|field| field.number(found)).map_or(0, |at| at.value);
    fields.finish(found);
    let kind = match (&via, blackhole, unreachable) {
        (Some(_), false, false) => RouteKind::Unicast,
        (None, true, false) => RouteKind::Blackhole,
        (None, false, true) => RouteKind::Unreachable,
        _ => {
            let error = Diagnostic::error(&table.span, "a route has one of via, blackhole and unreachable");
            let error = error.label("leads to none, or to several");
            found.push(error.hint("write it like { to = \"10.9.0.0/16\", via = \"10.0.0.9\" }"));
            return None;
        }
    };
    let to = to?;
    if let Some(at) = via.as_ref().filter(|at| Family::of(at.value) != Family::of(to.value.addr())) {
        let message = format!("{} is no router for {}", at.value, to.value);
        found.push(Diagnostic::error(&at.span, message).label("of the other family"));
        return None;
    }
    Some(Route { to, via, kind, metric })
}

fn destination(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<At<IpNet>> {
    let text = field.text(found)?;
    let net: At<IpNet> = match text.value.parse::<IpAddr>() {
        Ok(address) => At { value: IpNet::from(address), span: text.span },
        Err(_) => fields::parse(&text, "a destination", "\"10.9.0.0/16\" or \"10.9.0.1\"", found)?,
    };
    if net.value.addr() != net.value.network() {
        let error = Diagnostic::error(&net.span, format!("{} is an address, not a subnet", net.value));
        found.push(
            error.label("has bits behind its prefix length").hint(format!("the subnet is \"{}\"", net.value.trunc())),
        );
        return None;
    }
    Some(net)
}
