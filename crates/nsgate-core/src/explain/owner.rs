//! Whose rules these are, by the names that well-known programs give their tables and chains.

use crate::model::ruleset::{Chain, Table};

/// Names by which a program's chains begin, and the program.
const CHAINS: [(&str, &str); 17] = [
    ("DOCKER", "Docker"),
    ("KUBE-", "kube-proxy"),
    ("cali-", "Calico"),
    ("CNI-", "a CNI plugin"),
    ("NETAVARK", "Podman (netavark)"),
    ("LIBVIRT_", "libvirt"),
    ("ufw", "ufw"),
    ("f2b-", "fail2ban"),
    ("FLANNEL", "Flannel"),
    ("CILIUM_", "Cilium"),
    ("WEAVE", "Weave"),
    ("ts-", "Tailscale"),
    ("neutron-", "OpenStack Neutron"),
    ("nova-", "OpenStack Nova"),
    ("lxd", "LXD"),
    ("incus", "Incus"),
    ("sw-", "strongSwan"),
];

/// Names of a program's tables, and the program.
const TABLES: [(&str, &str); 9] = [
    ("firewalld", "firewalld"),
    ("fw4", "OpenWrt's firewall"),
    ("libvirt_network", "libvirt"),
    ("netavark", "Podman (netavark)"),
    ("lxd", "LXD"),
    ("incus", "Incus"),
    ("io.systemd.nat", "systemd-networkd"),
    ("kube-proxy", "kube-proxy"),
    ("nsgate", "nsgate"),
];

/// The likely owner of a chain.
pub(super) fn of(table: &Table, chain: &Chain) -> Option<&'static str> {
    let begins = |name: &str, list: &[(&str, &'static str)]| {
        list.iter().find(|(start, _)| name.starts_with(start)).map(|(_, owner)| *owner)
    };
    begins(&chain.name, &CHAINS).or_else(|| begins(&table.name, &TABLES))
}
