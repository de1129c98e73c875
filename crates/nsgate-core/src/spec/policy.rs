//! Who may talk to whom, and how fast: what a network and its members are allowed.

use std::str::FromStr;

use ipnet::IpNet;

use super::fields::{self, Field, Fields};
use super::{At, Diagnostic, Spec, translation};
use crate::model::Family;

/// What a network is allowed besides its own members and the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The networks that its members may open connections to.
    pub talks_to: Vec<At<String>>,
    /// Places that its members may open connections to: if given, no others outside.
    pub allow: Option<Vec<At<IpNet>>>,
    /// Places that its members may not open connections to.
    pub deny: Vec<At<IpNet>>,
    /// Members of its bridge do not reach one another.
    pub isolate_members: Option<At<bool>>,
    /// A member can send only with its own addresses.
    pub anti_spoof: bool,
}

/// A rate in bits a second: `100mbit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub u64);

/// The units of rates, as `tc` has them.
const UNITS: [(&str, u64); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
/// The slowest rate: below it, one packet takes seconds.
const SLOWEST: u64 = 8_000;

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = UNITS.iter().find_map(|(word, unit)| Some((text.strip_suffix(word)?, *unit))).ok_or(())?;
        let number: u64 = number.trim().parse().map_err(|_| ())?;
        number.checked_mul(unit).map(Self).ok_or(())
    }
}

/// Reads what a network is allowed.
pub(super) fn read(fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>) -> Policy {
    let named = |text: At<&str>| At { value: text.value.to_owned(), span: text.span };
    let talks_to = fields.take("talks-to").map(|field| one_or_more(&field, found)).unwrap_or_default();
    let isolate_members = fields.take("isolate-members").and_then(|field| {
        let value = field.truth(found)?;
        Some(At { value, span: field.key.span.clone() })
    });
    Policy {
        talks_to: talks_to.into_iter().map(named).collect(),
        allow: fields.take("allow").map(|field| translation::nets(&field, found)),
        deny: fields.take("deny").map(|field| translation::nets(&field, found)).unwrap_or_default(),
        isolate_members,
        anti_spoof: fields.take("anti-spoof").and_then(|field| field.truth(found)).unwrap_or(false),
    }
}

fn one_or_more<'a>(field: &Field<'a>, found: &mut Vec<Diagnostic>) -> Vec<At<&'a str>> {
    if field.is_array() { field.texts(found) } else { field.text(found).into_iter().collect() }
}

/// Reads a rate.
pub(super) fn rate(field: &Field<'_>, found: &mut Vec<Diagnostic>) -> Option<At<Rate>> {
    let rate: At<Rate> = fields::parse(&field.text(found)?, "a rate", "\"100mbit\"", found)?;
    if rate.value.0 < SLOWEST {
        let error = Diagnostic::error(&rate.span, "nothing passes at such a rate").label("too slow");
        found.push(error.hint("at least 8kbit; leave it out for no limit"));
        return None;
    }
    Some(rate)
}

/// Finds what cannot be allowed.
pub(super) fn check(spec: &Spec, found: &mut Vec<Diagnostic>) {
    for network in &spec.networks {
        let policy = &network.policy;
        for at in &policy.talks_to {
            if !spec.networks.iter().any(|other| other.name.value == at.value) {
                let error = Diagnostic::error(&at.span, format!("there is no network '{}'", at.value));
                let error = error.label("unknown network");
                let names = spec.networks.iter().map(|other| other.name.value.as_str());
                found.push(match fields::nearest(&at.value, names) {
                    Some(near) => error.hint(format!("did you mean '{near}'?")),
                    None => error,
                });
            }
        }
        for at in policy.allow.iter().flatten().chain(&policy.deny) {
            let family = Family::of(at.value.addr());
            if !network.subnets.iter().any(|net| Family::of(net.value.addr()) == family) {
                let message = format!("network '{}' has no {family} subnet", network.name.value);
                found.push(Diagnostic::error(&at.span, message).label("of the other family"));
            }
        }
        if let Some(at) = policy.isolate_members.as_ref().filter(|at| at.value && network.kind == super::Kind::Routed) {
            let message = format!("the members of '{}' are on no bridge", network.name.value);
            let hint = "write kind = \"bridge\"; in a routed network, deny its own subnet";
            found.push(Diagnostic::error(&at.span, message).label("nothing to isolate").hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_tc_writes_them() {
        for (text, bits) in [("100mbit", 100_000_000), ("1gbit", 1_000_000_000), ("64kbit", 64_000), ("9000bit", 9_000)]
        {
            assert_eq!(text.parse::<Rate>(), Ok(Rate(bits)));
        }
        for text in ["100", "mbit", "-1mbit", "1.5mbit", "99999999999gbit", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
