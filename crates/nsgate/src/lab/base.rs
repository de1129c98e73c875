//! What many labs stand on: a network in which everything is right, until the lab spoils one thing.

use serde::Deserialize;

use super::Step;

/// The bases that are compiled in.
const BASES: [(&str, &str); 3] = [
    ("gateway", include_str!("../../labs/base/gateway.toml")),
    ("gateway-v6", include_str!("../../labs/base/gateway-v6.toml")),
    ("lan", include_str!("../../labs/base/lan.toml")),
];

/// The beginning of a lab.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    /// A drawing of the network.
    pub(super) picture: String,
    /// The steps that build it.
    #[serde(rename = "step")]
    pub(super) steps: Vec<Step>,
}

/// The base of this name.
pub(super) fn find(wanted: &str) -> Result<Base, String> {
    let known = || BASES.map(|(name, _)| name).join(", ");
    let found = BASES.into_iter().find(|(name, _)| *name == wanted);
    let (name, text) = found.ok_or_else(|| format!("there is no base '{wanted}'; the bases are {}", known()))?;
    toml::from_str(text).map_err(|error| format!("the base {name}: {error}"))
}
