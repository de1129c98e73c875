//! IPsec as the kernel sees it (xfrm): the policies that say how a packet must travel, and the states that they send it
//! by.
//!
//! Keys are no part of it: what decides a packet's fate is whether there is a state, never what it encrypts with.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::LinkIndex;

/// The policies and states of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Xfrm {
    /// The policies, in the kernel's order: of those that fit, the one of the smallest priority counts, the earlier one
    /// of two.
    pub policies: Vec<XfrmPolicy>,
    /// The states (security associations).
    pub states: Vec<XfrmState>,
    /// The directions in which a packet that no policy picks is refused.
    pub refused_by_default: Vec<XfrmDirection>,
}

/// Which packets a policy or a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct XfrmSelector {
    /// Their sources.
    #[cfg_attr(test, schemars(with = "String"))]
    pub source: IpNet,
    /// Their destinations.
    #[cfg_attr(test, schemars(with = "String"))]
    pub destination: IpNet,
    /// The transport protocol; 0: any.
    pub protocol: u8,
    /// The source port, or the type of an ICMP message, with the bits of it that count; none: any.
    pub source_port: Option<(u16, u16)>,
    /// The destination port, or the code of an ICMP message, with the bits of it that count; none: any.
    pub destination_port: Option<(u16, u16)>,
    /// The interface.
    pub link: Option<LinkIndex>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct XfrmPolicy {
    /// Which packets it is for.
    pub selector: XfrmSelector,
    /// In which direction.
    pub direction: XfrmDirection,
    /// It belongs to one socket, not to all.
    pub of_socket: bool,
    /// Its number.
    pub index: u32,
    /// The smaller is asked first.
    pub priority: u32,
    /// It refuses what it picks.
    pub refuses: bool,
    /// The packet's mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// The xfrm interface that it is for (its `if_id`).
    pub interface: Option<u32>,
    /// How the packet must travel, inner to outer; empty: in the clear.
    pub templates: Vec<XfrmTemplate>,
}

/// One transformation that a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct XfrmTemplate {
    /// The protocol: 50 ESP, 51 AH, 108 IPComp.
    pub protocol: u8,
    /// How it wraps the packet.
    pub mode: XfrmMode,
    /// The near end of the tunnel; none: the packet's own source.
    pub source: Option<IpAddr>,
    /// The far end of the tunnel; none: the packet's own destination.
    pub destination: Option<IpAddr>,
    /// The number that its states bear; 0: any.
    pub request: u32,
    /// The security parameter index that its state bears; 0: any.
    pub spi: u32,
    /// Where there is no state for it, it is left out.
    pub optional: bool,
}

/// One state (security association).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct XfrmState {
    /// The end that sends by it.
    pub source: IpAddr,
    /// The end that it sends to.
    pub destination: IpAddr,
    /// The protocol: 50 ESP, 51 AH, 108 IPComp.
    pub protocol: u8,
    /// Its security parameter index; 0 while a key daemon is still asked for it.
    pub spi: u32,
    /// The number by which policies ask for it; 0: none.
    pub request: u32,
    /// How it wraps packets.
    pub mode: XfrmMode,
    /// Which packets it is for; none: whatever a policy gives it.
    pub selector: Option<XfrmSelector>,
    /// The packet's mark, and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// The xfrm interface that it is for (its `if_id`).
    pub interface: Option<u32>,
    /// The UDP ports that it is wrapped in (source, destination).
    pub encapsulation: Option<(u16, u16)>,
    /// The kernel's names of its algorithms.
    pub algorithms: Vec<String>,
    /// Packets that went by it.
    pub packets: u64,
    /// Packets that came twice or too late.
    pub replayed: u32,
    /// Packets that failed authentication.
    pub integrity_failed: u32,
}

/// The direction of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum XfrmDirection {
    /// What is delivered here.
    In,
    /// What leaves, made here or passed on.
    Out,
    /// What is passed on, as it came in.
    Forward,
}

/// How a transformation wraps a packet (XFRM_MODE_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum XfrmMode {
    /// What the packet carries.
    Transport,
    /// The whole packet, in another one.
    Tunnel,
    /// Any other, by the kernel's number.
    Other(u8),
}

impl XfrmDirection {
    /// All directions, in the order of the kernel's numbers.
    pub const ALL: [Self; 3] = [Self::In, Self::Out, Self::Forward];

    /// What `ip xfrm` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Forward => "fwd",
        }
    }
}

impl XfrmMode {
    /// What `ip xfrm` calls it.
    pub fn name(self) -> String {
        match self {
            Self::Transport => "transport".into(),
            Self::Tunnel => "tunnel".into(),
            Self::Other(number) => number.to_string(),
        }
    }
}

/// The name of a transformation's protocol.
pub fn xfrm_protocol(number: u8) -> String {
    match number {
        50 => "esp".into(),
        51 => "ah".into(),
        108 => "comp".into(),
        other => other.to_string(),
    }
}

impl Xfrm {
    /// The states that a template can send by.
    pub fn states_for<'a>(&'a self, template: &'a XfrmTemplate) -> impl Iterator<Item = &'a XfrmState> {
        let fits = |state: &&XfrmState| {
            state.protocol == template.protocol
                && state.mode == template.mode
                && state.spi != 0
                && (template.spi == 0 || template.spi == state.spi)
                && (template.request == 0 || template.request == state.request)
                && template.destination.is_none_or(|destination| destination == state.destination)
                && template.source.is_none_or(|source| source == state.source)
        };
        self.states.iter().filter(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_served_by_states_of_its_ends_alone() {
        let template = XfrmTemplate {
            protocol: 50,
            mode: XfrmMode::Tunnel,
            source: Some("10.20.30.182".parse().unwrap()),
            destination: Some("10.20.30.9".parse().unwrap()),
            request: 7,
            spi: 0,
            optional: false,
        };
        let state = XfrmState {
            source: "10.20.30.182".parse().unwrap(),
            destination: "10.20.30.9".parse().unwrap(),
            protocol: 50,
            spi: 0x100,
            request: 7,
            mode: XfrmMode::Tunnel,
            selector: None,
            mark: None,
            interface: None,
            encapsulation: None,
            algorithms: Vec::new(),
            packets: 0,
            replayed: 0,
            integrity_failed: 0,
        };
        let others = [
            XfrmState { destination: "10.20.30.8".parse().unwrap(), ..state.clone() },
            XfrmState { request: 8, ..state.clone() },
            XfrmState { mode: XfrmMode::Transport, ..state.clone() },
            // What a key daemon was asked for and has not made yet.
            XfrmState { spi: 0, ..state.clone() },
        ];
        let mut xfrm = Xfrm { states: others.into(), ..Xfrm::default() };
        assert_eq!(xfrm.states_for(&template).count(), 0);
        xfrm.states.push(state.clone());
        assert_eq!(xfrm.states_for(&template).collect::<Vec<_>>(), [&state]);
    }
}
