//! IPsec policies that come and go.

use std::fmt::{self, Display, Formatter};

use ipnet::IpNet;

use crate::model::{XfrmDirection, XfrmMode, XfrmPolicy, XfrmSelector, XfrmTemplate, xfrm_protocol};

/// A policy to be made or removed, for all packets between two networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// Where its packets come from.
    pub source: IpNet,
    /// Where they go; of the same family.
    pub destination: IpNet,
    /// In which direction.
    pub direction: XfrmDirection,
    /// The smaller is asked first.
    pub priority: u32,
    /// It refuses what it picks.
    pub refuses: bool,
    /// How the packets must travel; empty: in the clear. Each in transport or tunnel mode.
    pub templates: Vec<XfrmTemplate>,
}

impl NewPolicy {
    /// The policy that was read, if it is one that can be made again.
    pub fn of(policy: &XfrmPolicy) -> Option<Self> {
        let XfrmSelector { source, destination, protocol, source_port, destination_port, link } = policy.selector;
        let plain = protocol == 0 && source_port.is_none() && destination_port.is_none() && link.is_none();
        let of_all = !policy.of_socket && policy.mark.is_none() && policy.interface.is_none();
        let known = |template: &XfrmTemplate| {
            matches!(template.mode, XfrmMode::Transport | XfrmMode::Tunnel)
                && matches!(template.protocol, 50 | 51 | 108)
        };
        (plain && of_all && policy.templates.iter().all(known)).then(|| Self {
            source,
            destination,
            direction: policy.direction,
            priority: policy.priority,
            refuses: policy.refuses,
            templates: policy.templates.clone(),
        })
    }

    /// The policy as it is read.
    pub fn policy(&self) -> XfrmPolicy {
        let (source, destination) = (self.source.trunc(), self.destination.trunc());
        let selector =
            XfrmSelector { source, destination, protocol: 0, source_port: None, destination_port: None, link: None };
        XfrmPolicy {
            selector,
            direction: self.direction,
            of_socket: false,
            index: 0,
            priority: self.priority,
            refuses: self.refuses,
            mark: None,
            interface: None,
            templates: self.templates.clone(),
        }
    }

    /// As much of it as it takes to find it again.
    #[must_use]
    pub(super) fn key(&self) -> Self {
        Self { priority: 0, refuses: false, templates: Vec::new(), ..self.clone() }
    }

    /// Whether a policy is the one that this is to replace or to remove.
    pub(super) fn is_key_of(&self, policy: &XfrmPolicy) -> bool {
        Self::of(policy).is_some_and(|other| other.key() == self.key())
    }
}

impl Display for NewPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "src {} dst {} dir {}", self.source, self.destination, self.direction.name())?;
        if self.priority != 0 {
            write!(f, " priority {}", self.priority)?;
        }
        if self.refuses {
            f.write_str(" action block")?;
        }
        for template in &self.templates {
            f.write_str(" tmpl")?;
            if let Some(source) = template.source {
                write!(f, " src {source}")?;
            }
            if let Some(destination) = template.destination {
                write!(f, " dst {destination}")?;
            }
            write!(f, " proto {}", xfrm_protocol(template.protocol))?;
            if template.spi != 0 {
                write!(f, " spi {:#x}", template.spi)?;
            }
            if template.request != 0 {
                write!(f, " reqid {}", template.request)?;
            }
            write!(f, " mode {}", template.mode.name())?;
            if template.optional {
                f.write_str(" level use")?;
            }
        }
        Ok(())
    }
}
