//! Kernel settings that belong to a whole namespace, by their sysctl names.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Family, LinkName, NameError};

/// The name of a sysctl, such as `net.ipv4.conf.veth3.forwarding`.
///
/// A dot within a component (interfaces may be called `eth0.10`) is written as a slash, as sysctl(8) does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl(String);

impl Sysctl {
    /// The sysctl of this name, which is known to be well-formed.
    pub fn known(name: &'static str) -> Self {
        Self(name.into())
    }

    /// `net.ipv4.conf.NAME.setting` or its IPv6 twin.
    pub fn of_link(family: Family, link: &LinkName, setting: &str) -> Self {
        Self(format!("net.{}.conf.{}.{setting}", directory(family), link.as_str().replace('.', "/")))
    }

    /// `net.ipv4.conf.all.setting` or its IPv6 twin.
    pub fn of_all(family: Family, setting: &str) -> Self {
        Self(format!("net.{}.conf.all.{setting}", directory(family)))
    }

    /// The file below `/proc/sys` that holds the value.
    pub fn path(&self) -> String {
        self.0
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn directory(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

impl FromStr for Sysctl {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        for component in name.split('.') {
            super::netns::check_component(&component.replace('/', "."), 255)?;
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The sysctls of one namespace that were read, with their values as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sysctls(BTreeMap<Sysctl, String>);

impl Sysctls {
    /// Notes a value.
    pub fn insert(&mut self, sysctl: Sysctl, value: String) {
        self.0.insert(sysctl, value);
    }

    /// The value as text; none if it was not read or does not exist here.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&Sysctl(name.into())).map(String::as_str)
    }

    /// The value as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    /// All that were read, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Sysctl, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_within_an_interface_name_survive() {
        let vlan = Sysctl::of_link(Family::V4, &"eth0.10".parse().unwrap(), "forwarding");
        assert_eq!(vlan.as_str(), "net.ipv4.conf.eth0/10.forwarding");
        assert_eq!(vlan.path(), "net/ipv4/conf/eth0.10/forwarding");
    }

    #[test]
    fn no_name_leads_out_of_proc_sys() {
        for name in ["net..ipv4", "", "net.//", "net.ipv4 .x"] {
            assert!(name.parse::<Sysctl>().is_err(), "{name}");
        }
    }
}
