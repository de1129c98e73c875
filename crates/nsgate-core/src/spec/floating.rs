//! Floating addresses: `[[floating]]`, an address outside that is a member's as a whole, both ways.

use std::net::IpAddr;

use toml::de::DeTable;

use super::fields::{self, Field, Fields};
use super::translation::unusable;
use super::{At, Diagnostic};
use crate::model::LinkName;

/// One `[[floating]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floating {
    /// The address outside.
    pub address: At<IpAddr>,
    /// The member: its name, or one of its addresses.
    pub to: At<String>,
    /// The uplink that holds the address, if not the one whose subnet it is in.
    pub uplink: Option<At<LinkName>>,
}

/// Reads all floating addresses.
pub(super) fn read(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Vec<Floating> {
    let all: Vec<Floating> = field.tables(found).iter().filter_map(|table| one(table, found)).collect();
    for (number, floating) in all.iter().enumerate() {
        let at = &floating.address;
        if all[..number].iter().any(|other| other.address.value == at.value) {
            let error = Diagnostic::error(&at.span, format!("{} is another member's already", at.value));
            found.push(error.label("a second time"));
        }
    }
    all
}

fn one(table: &At<&DeTable<'_>>, found: &mut Vec<Diagnostic>) -> Option<Floating> {
    let mut fields = Fields::new("[[floating]]", table.value);
    let address = fields.take("address").map(|field| field.text(found));
    let to = fields.take("to").map(|field| field.text(found));
    let uplink = fields.take("uplink").and_then(|field| field.name(found));
    fields.finish(found);
    for (key, given) in [("address", address.is_some()), ("to", to.is_some())] {
        if !given {
            let error = Diagnostic::error(&table.span, format!("[[floating]] does not say '{key}'"));
            found.push(error.label("of this one").hint("write address = \"203.0.113.9\", to = \"web-1\""));
        }
    }
    let address: At<IpAddr> = fields::parse(&address??, "an address", "\"203.0.113.9\"", found)?;
    if unusable(address.value) {
        let message = format!("nothing from outside can be for {}", address.value);
        found.push(Diagnostic::error(&address.span, message).label("unusable"));
        return None;
    }
    let to = to??;
    Some(Floating { address, to: At { value: to.value.to_owned(), span: to.span }, uplink })
}
