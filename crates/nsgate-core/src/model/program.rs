//! BPF programs that packets meet at an interface, outside of traffic control's filters.

use serde::{Deserialize, Serialize};

use super::LinkIndex;

/// A BPF program attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
