//! nft's words for families, hooks, chain kinds and priorities.

use std::fmt;

use super::{ChainKind, Hook, TableFamily};

impl TableFamily {
    /// Every family, by the kernel's number.
    pub const ALL: [Self; 6] = [Self::Inet, Self::Ip, Self::Arp, Self::Netdev, Self::Bridge, Self::Ip6];

    /// The kernel's number (NFPROTO_*).
    pub fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }

    /// The family of this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.number() == number)
    }

    /// nft's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }

    /// The family of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ChainKind {
    /// nft's word, which is the kernel's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Filter, Self::Nat, Self::Route].into_iter().find(|k| k.name() == name)
    }
}

impl fmt::Display for ChainKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Hook {
    /// Every hook in the order of a packet's way.
    pub const ALL: [Self; 7] =
        [Self::Ingress, Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting, Self::Egress];

    /// The kernel's number of the hook, which differs between families.
    pub fn number(self, family: TableFamily) -> Option<u32> {
        let hooks: &[Self] = match family {
            TableFamily::Netdev => &[Self::Ingress, Self::Egress],
            TableFamily::Arp => &[Self::Input, Self::Output],
            TableFamily::Inet => {
                &[Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting, Self::Ingress]
            }
            TableFamily::Ip | TableFamily::Ip6 | TableFamily::Bridge => {
                &[Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting]
            }
        };
        hooks.iter().position(|h| *h == self).map(|number| number as u32)
    }

    /// The hook of this number.
    pub fn from_number(family: TableFamily, number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|h| h.number(family) == Some(number))
    }

    /// nft's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
        }
    }

    /// The hook of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|h| h.name() == name)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A priority in nft's words: `srcnat`, `filter - 10`, or the bare number where no word is near.
pub fn priority_text(family: TableFamily, hook: Hook, priority: i32) -> String {
    let near = priority_words(family, hook)
        .map(|(word, number)| (word, i64::from(priority) - i64::from(number)))
        .filter(|(_, distance)| distance.abs() <= 10)
        .min_by_key(|(_, distance)| distance.abs());
    match near {
        Some((word, 0)) => word.to_owned(),
        Some((word, distance)) if distance > 0 => format!("{word} + {distance}"),
        Some((word, distance)) => format!("{word} - {}", -distance),
        None => priority.to_string(),
    }
}

/// The number behind one of nft's words for a priority.
pub fn priority_number(family: TableFamily, hook: Hook, word: &str) -> Option<i32> {
    priority_words(family, hook).find(|(w, _)| *w == word).map(|(_, number)| number)
}

/// The words that name a priority at this hook.
fn priority_words(family: TableFamily, hook: Hook) -> impl Iterator<Item = (&'static str, i32)> {
    const IP: [(&str, i32); 6] =
        [("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];
    const BRIDGE: [(&str, i32); 4] = [("dstnat", -300), ("filter", -200), ("out", 100), ("srcnat", 300)];
    let words: &'static [(&'static str, i32)] = match family {
        TableFamily::Ip | TableFamily::Ip6 | TableFamily::Inet => &IP,
        TableFamily::Bridge => &BRIDGE,
        TableFamily::Arp | TableFamily::Netdev => &[("filter", 0)],
    };
    words.iter().copied().filter(move |(word, _)| match *word {
        "dstnat" => hook == Hook::Prerouting,
        "srcnat" => hook == Hook::Postrouting,
        "out" => hook == Hook::Output,
        "raw" | "mangle" | "security" => hook != Hook::Ingress,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for family in TableFamily::ALL {
            assert_eq!(TableFamily::from_name(family.name()), Some(family));
            assert_eq!(TableFamily::from_number(family.number()), Some(family));
            for hook in Hook::ALL {
                assert_eq!(Hook::from_name(hook.name()), Some(hook));
                if let Some(number) = hook.number(family) {
                    assert_eq!(Hook::from_number(family, number), Some(hook));
                }
            }
        }
    }

    #[test]
    fn priorities_read_as_nft_writes_them() {
        let ip = TableFamily::Ip;
        assert_eq!(priority_text(ip, Hook::Postrouting, 100), "srcnat");
        assert_eq!(priority_text(ip, Hook::Prerouting, -100), "dstnat");
        assert_eq!(priority_text(ip, Hook::Prerouting, -110), "dstnat - 10");
        assert_eq!(priority_text(ip, Hook::Forward, 5), "filter + 5");
        assert_eq!(priority_text(ip, Hook::Forward, 100), "100");
        assert_eq!(priority_text(ip, Hook::Forward, -400), "-400");
        assert_eq!(priority_text(TableFamily::Bridge, Hook::Forward, -200), "filter");
        assert_eq!(priority_text(ip, Hook::Forward, i32::MIN), "-2147483648");
        assert_eq!(priority_number(ip, Hook::Postrouting, "srcnat"), Some(100));
        assert_eq!(priority_number(ip, Hook::Forward, "srcnat"), None);
    }
}
