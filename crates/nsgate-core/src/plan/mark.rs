//! The marks that tell what nsgate made from what it did not.
//!
//! A link bears `nsgate:INSTANCE:NETWORK` or `nsgate:INSTANCE:NETWORK:MEMBER` as its alias and a group,
//! the wire out of a gateway `nsgate:INSTANCE:@GATEWAY:WHERE`; a namespace that
//! was made bears `nsgate:INSTANCE` on its loopback interface; routes and rules bear a protocol number, addresses too;
//! an nftables table is called `nsgate-INSTANCE`. Only what bears a mark is ever removed.

use std::fmt;

use crate::model::ruleset::{Table, TableFamily, TableId};
use crate::model::{Link, LinkKind, Namespace};

/// The protocol number of our addresses, routes and rules (RTPROT_*, IFA_PROTO).
pub const PROTOCOL: u8 = 0xd7;
/// The group of our links: "ns" in ASCII.
pub const GROUP: u32 = 0x6e73;

/// What every mark begins with.
const WORD: &str = "nsgate";
/// What a gateway's name begins with where else a network's would stand: no network is called so.
const GATEWAY: char = '@';

/// Who a link belongs to, as its alias says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    instance: String,
    network: Option<String>,
    member: Option<String>,
}

impl Mark {
    /// The mark on the loopback interface of a namespace that was made.
    pub fn namespace(instance: &str) -> Self {
        Self { instance: instance.into(), network: None, member: None }
    }

    /// The mark of a network's bridge.
    pub fn network(instance: &str, network: &str) -> Self {
        Self { network: Some(network.into()), ..Self::namespace(instance) }
    }

    /// The mark of both ends of a member's wire.
    pub fn member(instance: &str, network: &str, member: &str) -> Self {
        Self { member: Some(member.into()), ..Self::network(instance, network) }
    }

    /// The mark of both ends of a wire that leads out of a gateway, to a bridge or to another gateway.
    pub fn uplink(instance: &str, gateway: &str, to: &str) -> Self {
        Self::member(instance, &format!("{GATEWAY}{gateway}"), to)
    }

    /// What the whole is called.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The network, if the mark is of one.
    pub fn network_name(&self) -> Option<&str> {
        self.network.as_deref().filter(|name| !name.starts_with(GATEWAY))
    }

    /// The gateway, if the mark is of a wire that leads out of one.
    pub fn gateway_name(&self) -> Option<&str> {
        self.network.as_deref()?.strip_prefix(GATEWAY)
    }

    /// The member, if the mark is of one.
    pub fn member_name(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The mark that an alias is, if it is one.
    pub fn read(alias: &str) -> Option<Self> {
        let mut parts = alias.split(':');
        if parts.next() != Some(WORD) {
            return None;
        }
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (instance, network, member) = (next()?, next(), next());
        parts.next().is_none().then_some(Self { instance, network, member })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD}:{}", self.instance)?;
        for part in [&self.network, &self.member].into_iter().flatten() {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

/// The mark of a link that was made.
pub fn of_link(link: &Link) -> Option<Mark> {
    Mark::read(link.alias.as_deref()?).filter(|_| link.kind != LinkKind::Loopback)
}

/// The instance that made a namespace.
pub fn of_namespace(netns: &Namespace) -> Option<Mark> {
    let loopback = netns.links.iter().find(|link| link.kind == LinkKind::Loopback)?;
    Mark::read(loopback.alias.as_deref()?)
}

/// The nftables table of an instance.
pub fn table(instance: &str) -> TableId {
    TableId::new(TableFamily::Inet, format!("{WORD}-{instance}"))
}

/// The nftables table of an instance for what its bridges carry.
pub fn bridge_table(instance: &str) -> TableId {
    TableId::new(TableFamily::Bridge, format!("{WORD}-{instance}"))
}

/// The instance that an nftables table belongs to.
pub fn instance_of_table(table: &Table) -> Option<&str> {
    let name = matches!(table.family, TableFamily::Inet | TableFamily::Bridge).then_some(&table.name)?;
    name.strip_prefix(WORD)?.strip_prefix('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back() {
        for mark in [
            Mark::namespace("lab"),
            Mark::network("lab", "blue"),
            Mark::member("lab", "blue", "ns_1"),
            Mark::uplink("lab", "r7", "br-ex"),
        ] {
            assert_eq!(Mark::read(&mark.to_string()), Some(mark));
        }
        for foreign in ["", "uplink", "nsgate", "nsgate:", "nsgate:a:b:c:d", "nsgatex:a"] {
            assert_eq!(Mark::read(foreign), None, "{foreign}");
        }
    }
}
