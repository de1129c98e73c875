//! The documents of `plan`, `up`, `down` and `status`.

use std::collections::BTreeMap;

use nsgate_core::plan::{Inventory, Step};
use serde::Serialize;

/// The form of these documents.
const SCHEMA: u32 = 1;

/// What has to be done, or was done.
#[derive(Debug, Serialize)]
pub(crate) struct PlanJson {
    schema: u32,
    instance: String,
    steps: Vec<StepJson>,
}

#[derive(Debug, Serialize)]
struct StepJson {
    netns: String,
    command: String,
}

/// What stands.
#[derive(Debug, Serialize)]
pub(crate) struct StatusJson {
    schema: u32,
    instances: Vec<InstanceJson>,
}

#[derive(Debug, Serialize)]
struct InstanceJson {
    instance: String,
    /// Whether it is as the file wants it; absent where no file was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_wanted: Option<bool>,
    /// The steps that would mend it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drift: Vec<StepJson>,
    networks: Vec<NetworkJson>,
}

#[derive(Debug, Serialize)]
struct NetworkJson {
    name: String,
    bridge: Option<String>,
    members: Vec<MemberJson>,
}

#[derive(Debug, Serialize)]
struct MemberJson {
    netns: String,
    interface: String,
    gateway_interface: Option<String>,
    addresses: Vec<String>,
    up: bool,
}

impl PlanJson {
    /// The document of a list of steps.
    pub(crate) fn new(instance: &str, steps: &[Step]) -> Self {
        Self { schema: SCHEMA, instance: instance.into(), steps: steps.iter().map(StepJson::new).collect() }
    }
}

impl StepJson {
    fn new(step: &Step) -> Self {
        Self { netns: step.netns.to_string(), command: step.to_string() }
    }
}

impl StatusJson {
    /// The document of what stands; `drift` is what differs from a file, with the instance that the file describes.
    pub(crate) fn new(found: &BTreeMap<String, Inventory>, drift: Option<(&str, &[Step])>) -> Self {
        let instances = found.iter().map(|(name, inventory)| {
            let drift = drift.filter(|(instance, _)| instance == name).map(|(_, steps)| steps);
            InstanceJson {
                instance: name.clone(),
                as_wanted: drift.map(<[Step]>::is_empty),
                drift: drift.unwrap_or_default().iter().map(StepJson::new).collect(),
                networks: networks(inventory),
            }
        });
        Self { schema: SCHEMA, instances: instances.collect() }
    }
}

fn networks(inventory: &Inventory) -> Vec<NetworkJson> {
    let networks = inventory.networks.iter().map(|(name, network)| NetworkJson {
        name: name.clone(),
        bridge: network.bridge.as_ref().map(ToString::to_string),
        members: network
            .members
            .iter()
            .map(|member| MemberJson {
                netns: member.netns.to_string(),
                interface: member.interface.to_string(),
                gateway_interface: member.gateway_interface.as_ref().map(ToString::to_string),
                addresses: member.addresses.iter().map(ToString::to_string).collect(),
                up: member.up,
            })
            .collect(),
    });
    networks.collect()
}
