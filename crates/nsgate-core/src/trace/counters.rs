//! The kernel's own counts, per namespace.

use std::collections::BTreeMap;

/// Counters by name, such as `Ip.InAddrErrors`, `TcpExt.IPReversePathFilter`, `Ip6.InNoRoutes`, `Conntrack.drop`.
///
/// The part before the dot is the kernel's group (`/proc/net/snmp`, `netstat`), with `Ip6`, `Icmp6` and `Udp6` for those
/// of `/proc/net/snmp6`. Interfaces count their losses under `link.NAME.` with the kernel's word, such as
/// `link.eth2.tx_dropped`; queueing disciplines and traffic control's actions under `qdisc.NAME.KIND.` and
/// `action.NAME.KIND.`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Notes a counter's reading.
    pub fn insert(&mut self, name: impl Into<String>, value: u64) {
        self.0.insert(name.into(), value);
    }

    /// A counter's value; 0 if it was not read.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The counters that moved since an earlier reading, and by how much.
    #[must_use]
    pub fn since(&self, before: &Counters) -> Counters {
        let moved = |(name, value): (&String, &u64)| {
            let by = value.wrapping_sub(before.get(name));
            (by != 0).then(|| (name.clone(), by))
        };
        Counters(self.0.iter().filter_map(moved).collect())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_moved_is_told() {
        let mut before = Counters::default();
        before.insert("Ip.InAddrErrors", 3);
        before.insert("Ip.InReceives", 7);
        let mut after = before.clone();
        after.insert("Ip.InAddrErrors", 4);
        let moved = after.since(&before);
        assert_eq!(moved.iter().collect::<Vec<_>>(), [("Ip.InAddrErrors", 1)]);
    }
}
