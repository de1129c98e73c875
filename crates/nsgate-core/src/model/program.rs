//! BPF programs that packets meet outside of traffic control's filters: at an interface, or at something of the machine.

use serde::{Deserialize, Serialize};

use super::wire::family;
use super::{Family, LinkIndex};

/// A BPF program attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The interface.
    pub link: LinkIndex,
    /// Where on it.
    pub place: ProgramPlace,
    /// The kernel's number of the program.
    pub id: u32,
    /// Its name, where the kernel tells it to us.
    pub name: Option<String>,
}

/// Where on an interface a BPF program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ProgramPlace {
    /// In the driver, before the kernel makes a packet of what came in.
    XdpDriver,
    /// Before anything else is done with a packet that came in.
    XdpGeneric,
    /// In the hardware.
    XdpHardware,
    /// On what comes in, before traffic control's filters.
    TcxIngress,
    /// On what goes out, before traffic control's filters.
    TcxEgress,
    /// On what the interface itself sends (netkit).
    NetkitPrimary,
    /// On what the interface's other end sends (netkit).
    NetkitPeer,
}

/// A BPF program that may decide about packets, attached to something of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttachedProgram {
    /// To what.
    pub place: MachinePlace,
    /// The kernel's number of the program.
    pub id: u32,
    /// Its name, where it has one.
    pub name: Option<String>,
}

/// To what of the machine a BPF program is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum MachinePlace {
    /// A control group: it sees what the processes in it and below it do.
    ControlGroup {
        /// The path below the root of the unified hierarchy: `/system.slice/web.service`.
        path: String,
        /// The number of the control group.
        number: u64,
        /// What of it the program sees, as bpftool calls it: `cgroup_inet_egress`.
        hook: String,
    },
    /// A hook of the packet filter, in a namespace that the kernel does not name.
    PacketFilter {
        /// Of which family.
        #[serde(with = "family")]
        #[cfg_attr(test, schemars(with = "super::wire::family::Word"))]
        family: Family,
        /// The hook: `prerouting`, `input`, `forward`, `output` or `postrouting`.
        hook: String,
        /// Its place among what else is there: the smaller is asked first.
        priority: i32,
    },
}

impl AttachedProgram {
    /// Whether it sees what a process in this control group does.
    pub fn sees(&self, group: &str) -> bool {
        match &self.place {
            MachinePlace::ControlGroup { path, .. } => {
                let rest = group.strip_prefix(path.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            MachinePlace::PacketFilter { .. } => false,
        }
    }
}

impl ProgramPlace {
    /// Whether the program sees what goes out, rather than what comes in.
    pub fn on_egress(self) -> bool {
        matches!(self, Self::TcxEgress | Self::NetkitPrimary | Self::NetkitPeer)
    }

    /// Whether it is one of the places of XDP, which no capture comes before.
    pub fn is_xdp(self) -> bool {
        matches!(self, Self::XdpDriver | Self::XdpGeneric | Self::XdpHardware)
    }

    /// What operators call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::XdpDriver => "XDP (driver)",
            Self::XdpGeneric => "XDP (generic)",
            Self::XdpHardware => "XDP (hardware)",
            Self::TcxIngress => "tcx ingress",
            Self::TcxEgress => "tcx egress",
            Self::NetkitPrimary => "netkit primary",
            Self::NetkitPeer => "netkit peer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_a_control_group_sees_those_below_it() {
        let of = |path: &str| AttachedProgram {
            place: MachinePlace::ControlGroup { path: path.into(), number: 1, hook: "cgroup_inet_egress".into() },
            id: 1,
            name: None,
        };
        assert!(of("/").sees("/system.slice/web.service"));
        assert!(of("/system.slice").sees("/system.slice/web.service") && of("/system.slice").sees("/system.slice"));
        assert!(!of("/system.slice/web.service").sees("/system.slice"));
        assert!(!of("/system.slice/web").sees("/system.slice/web.service"));
    }
}
