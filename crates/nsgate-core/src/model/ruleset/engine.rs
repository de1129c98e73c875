//! Which program's manner a table is written in.

use std::fmt;

use super::{Ruleset, Table, TableFamily};

/// The engine that a table belongs to, by the name of the command that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// nftables.
    Nft,
    /// nftables, written by the successors of the older programs, which alone should change it.
    Translated(TableFamily),
    /// The older engine.
    Legacy(TableFamily),
}

impl Engine {
    /// The command: `nft`, `iptables-nft`, `ip6tables-legacy` and so on.
    pub fn command(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Translated(TableFamily::Ip6) => "ip6tables-nft",
            Self::Translated(TableFamily::Arp) => "arptables-nft",
            Self::Translated(TableFamily::Bridge) => "ebtables-nft",
            Self::Translated(_) => "iptables-nft",
            Self::Legacy(TableFamily::Ip6) => "ip6tables-legacy",
            Self::Legacy(TableFamily::Arp) => "arptables-legacy",
            Self::Legacy(TableFamily::Bridge) => "ebtables-legacy",
            Self::Legacy(_) => "iptables-legacy",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command())
    }
}

impl Ruleset {
    /// The engine of a table of this ruleset.
    pub fn engine(&self, table: &Table) -> Engine {
        if self.is_legacy(table) {
            Engine::Legacy(table.family)
        } else if is_translated(table) {
            Engine::Translated(table.family)
        } else {
            Engine::Nft
        }
    }
}

/// Whether a table has the name that iptables and its kin give theirs, and chains at hooks only under their names.
fn is_translated(table: &Table) -> bool {
    let names: &[&str] = match table.family {
        TableFamily::Ip | TableFamily::Ip6 => &["filter", "nat", "mangle", "raw", "security"],
        TableFamily::Bridge => &["filter", "nat", "broute"],
        TableFamily::Arp => &["filter"],
        TableFamily::Inet | TableFamily::Netdev => &[],
    };
    let theirs = |name: &str, hook: String| name == hook.to_uppercase() || name == "BROUTING";
    let mut base = table.chains.iter().filter_map(|chain| Some((chain, chain.base.as_ref()?))).peekable();
    names.contains(&table.name.as_str())
        && base.peek().is_some()
        && base.all(|(chain, base)| theirs(&chain.name, base.hook.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_iptables_are_told_by_their_chains() {
        let with = |family: &str, name: &str, chain: &str| {
            let text = format!("table {family} {name} {{ chain {chain} {{ type filter hook forward priority 0; }} }}");
            let mut ruleset = Ruleset::from_text(&text).unwrap();
            let of_nft = ruleset.engine(&ruleset.tables[0]).to_string();
            ruleset.legacy = std::mem::take(&mut ruleset.tables);
            (of_nft, ruleset.engine(&ruleset.legacy[0]).to_string())
        };
        assert_eq!(with("ip", "filter", "FORWARD"), ("iptables-nft".into(), "iptables-legacy".into()));
        assert_eq!(with("ip6", "filter", "FORWARD"), ("ip6tables-nft".into(), "ip6tables-legacy".into()));
        assert_eq!(with("bridge", "filter", "FORWARD"), ("ebtables-nft".into(), "ebtables-legacy".into()));
        assert_eq!(with("ip", "filter", "forward").0, "nft");
        assert_eq!(with("inet", "filter", "FORWARD").0, "nft");
        assert_eq!(with("ip", "mine", "FORWARD").0, "nft");
    }
}
