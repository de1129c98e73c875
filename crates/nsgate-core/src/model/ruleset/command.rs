//! Changes to a packet filter, each the typed form of one `nft` command.
//!
//! A transaction is a list of them: the kernel makes all of them or none. Every command shows itself as the line that an
//! operator would give to `nft`, and [`parse`](super::parse) reads those lines back. Elements travel inside a [`Set`]
//! that holds only them, since neither text nor kernel message can be made without the set's type.

use std::fmt;

use super::{BaseChain, Rule, Set, TableFamily, text};

/// Names a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// Its family.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
}

/// Where a rule goes within its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind all others.
    End,
    /// Before all others.
    Start,
    /// Before the rule of this handle.
    Before(u64),
    /// Behind the rule of this handle.
    After(u64),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Makes a table; one that exists is left as it is.
    AddTable {
        /// The table.
        table: TableId,
        /// Its chains see no packet yet.
        dormant: bool,
        /// Only the socket that makes it may change it, and it vanishes with that socket.
        owned: bool,
        /// A note kept in the kernel beside it.
        comment: Option<String>,
    },
    /// Removes a table with all that is in it.
    DeleteTable {
        /// The table.
        table: TableId,
    },
    /// Makes a chain; one that exists gets the policy given here.
    AddChain {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: String,
        /// Where packets enter it; none: only by jump.
        base: Option<BaseChain>,
        /// A note kept in the kernel beside it.
        comment: Option<String>,
    },
    /// Removes an empty chain that nothing jumps to.
    DeleteChain {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: String,
    },
    /// Removes all rules of a chain.
    FlushChain {
        /// The table it belongs to.
        table: TableId,
        /// Its name.
        name: String,
    },
    /// Makes a set or map and puts its elements in.
    AddSet {
        /// The table it belongs to.
        table: TableId,
        /// The set; its handle means nothing here.
        set: Set,
    },
    /// Removes a set or map that no rule uses.
    DeleteSet {
        /// The table it belongs to.
        table: TableId,
        /// The name.
        name: String,
        /// It is a map (nft's text tells them apart, the kernel does not).
        map: bool,
    },
    /// Removes all elements of a set or map.
    FlushSet {
        /// The table it belongs to.
        table: TableId,
        /// The name.
        name: String,
        /// It is a map.
        map: bool,
    },
    /// Puts elements into a set or map that exists.
    AddElements {
        /// The table it belongs to.
        table: TableId,
        /// The set as it was made, holding only the elements to add.
        set: Set,
    },
    /// Takes elements out of a set or map.
    DeleteElements {
        /// The table it belongs to.
        table: TableId,
        /// The set as it was made, holding only the elements to remove.
        set: Set,
    },
    /// Adds a rule.
    AddRule {
        /// The table it belongs to.
        table: TableId,
        /// The chain it belongs to.
        chain: String,
        /// Where in the chain.
        place: Place,
        /// The rule; its handle means nothing here.
        rule: Rule,
        /// The anonymous sets that its look-ups name.
        sets: Vec<Set>,
    },
    /// Puts another rule in a rule's place.
    ReplaceRule {
        /// The table it belongs to.
        table: TableId,
        /// The chain it belongs to.
        chain: String,
        /// The handle of the rule that goes.
        handle: u64,
        /// The rule that comes.
        rule: Rule,
        /// The anonymous sets that its look-ups name.
        sets: Vec<Set>,
    },
    /// Removes a rule.
    DeleteRule {
        /// The table it belongs to.
        table: TableId,
        /// The chain it belongs to.
        chain: String,
        /// Its handle.
        handle: u64,
    },
}

impl TableId {
    /// The table of this family and name.
    pub fn new(family: TableFamily, name: impl Into<String>) -> Self {
        Self { family, name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

impl Command {
    /// The table that it changes.
    pub fn table(&self) -> &TableId {
        match self {
            Self::AddTable { table, .. }
            | Self::DeleteTable { table }
            | Self::AddChain { table, .. }
            | Self::DeleteChain { table, .. }
            | Self::FlushChain { table, .. }
            | Self::AddSet { table, .. }
            | Self::DeleteSet { table, .. }
            | Self::FlushSet { table, .. }
            | Self::AddElements { table, .. }
            | Self::DeleteElements { table, .. }
            | Self::AddRule { table, .. }
            | Self::ReplaceRule { table, .. }
            | Self::DeleteRule { table, .. } => table,
        }
    }
}

/// The lines for `nft` of a transaction. A look-up in a set that the same transaction makes is written by its type.
pub fn lines(commands: &[Command]) -> Vec<String> {
    let made = |set: &Command| match set {
        Command::AddSet { table, set } => Some((table.clone(), Set { elements: Vec::new(), ..set.clone() })),
        _ => None,
    };
    let made: Vec<(TableId, Set)> = commands.iter().filter_map(made).collect();
    let line = |command: &Command| {
        let (Command::AddRule { table, .. } | Command::ReplaceRule { table, .. }) = command else {
            return command.to_string();
        };
        let table = table.clone();
        let mut command = command.clone();
        if let Command::AddRule { sets, .. } | Command::ReplaceRule { sets, .. } = &mut command {
            sets.extend(made.iter().filter(|(other, _)| *other == table).map(|(_, set)| set.clone()));
        }
        command.to_string()
    };
    commands.iter().map(line).collect()
}

impl fmt::Display for Command {
    /// The line for `nft` (on a command line it wants quoting: it may hold `{`, `;` and `"`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddTable { table, dormant, owned, comment } => {
                write!(f, "add table {table}{}", text::table_block(*dormant, *owned, comment.as_deref()))
            }
            Self::DeleteTable { table } => write!(f, "delete table {table}"),
            Self::AddChain { table, name, base, comment } => {
                let block = text::chain_block(table.family, base.as_ref(), comment.as_deref());
                write!(f, "add chain {table} {name}{block}")
            }
            Self::DeleteChain { table, name } => write!(f, "delete chain {table} {name}"),
            Self::FlushChain { table, name } => write!(f, "flush chain {table} {name}"),
            Self::AddSet { table, set } => {
                write!(f, "add {} {table} {} {}", text::set_word(set.data.is_some()), set.name, text::set_block(set))
            }
            Self::DeleteSet { table, name, map } => write!(f, "delete {} {table} {name}", text::set_word(*map)),
            Self::FlushSet { table, name, map } => write!(f, "flush {} {table} {name}", text::set_word(*map)),
            Self::AddElements { table, set } => {
                write!(f, "add element {table} {} {}", set.name, text::elements(set))
            }
            Self::DeleteElements { table, set } => {
                write!(f, "delete element {table} {} {}", set.name, text::elements(set))
            }
            Self::AddRule { table, chain, place, rule, sets } => {
                let text = text::rule(table.family, sets, rule);
                match place {
                    Place::End => write!(f, "add rule {table} {chain} {text}"),
                    Place::Start => write!(f, "insert rule {table} {chain} {text}"),
                    Place::Before(handle) => write!(f, "insert rule {table} {chain} handle {handle} {text}"),
                    Place::After(handle) => write!(f, "add rule {table} {chain} handle {handle} {text}"),
                }
            }
            Self::ReplaceRule { table, chain, handle, rule, sets } => {
                let text = text::rule(table.family, sets, rule);
                write!(f, "replace rule {table} {chain} handle {handle} {text}")
            }
            Self::DeleteRule { table, chain, handle } => write!(f, "delete rule {table} {chain} handle {handle}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChainKind, Hook};
    use super::*;

    fn table() -> TableId {
        TableId::new(TableFamily::Ip, "nsgate")
    }

    #[track_caller]
    fn shows(command: &Command, expected: &str) {
        assert_eq!(command.to_string(), expected);
    }

    #[test]
    fn tables_and_chains_read_as_nft_commands() {
        shows(
            &Command::AddTable { table: table(), dormant: false, owned: false, comment: None },
            "add table ip nsgate",
        );
        shows(
            &Command::AddTable { table: table(), dormant: true, owned: false, comment: Some("made by nsgate".into()) },
            "add table ip nsgate { flags dormant; comment \"made by nsgate\"; }",
        );
        let base = BaseChain {
            kind: ChainKind::Nat,
            hook: Hook::Postrouting,
            priority: 100,
            policy_drop: false,
            devices: vec![],
        };
        shows(
            &Command::AddChain { table: table(), name: "post".into(), base: Some(base), comment: None },
            "add chain ip nsgate post { type nat hook postrouting priority srcnat; policy accept; }",
        );
        shows(
            &Command::AddChain { table: table(), name: "blue".into(), base: None, comment: None },
            "add chain ip nsgate blue",
        );
        shows(
            &Command::DeleteRule { table: table(), chain: "post".into(), handle: 7 },
            "delete rule ip nsgate post handle 7",
        );
        shows(&Command::DeleteSet { table: table(), name: "m".into(), map: true }, "delete map ip nsgate m");
    }
}
