//! Processes, as far as they tell whose a namespace or an interface is.

use serde::{Deserialize, Serialize};

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Its number, as the process sees it that made the snapshot.
    pub pid: u32,
    /// What it is called (`/proc/PID/comm`).
    pub name: String,
}
