//! Whose rules these are, by the names and comments that well-known programs leave.
//!
//! A guess, and said as one: names can be anybody's. Where rules of several programs stand in one chain, a rule is told by
//! its comment, the chain it leads to, the sets it asks and the interfaces it names.

use crate::model::ruleset::{Chain, Data, Expression, Rule, Table, Verdict, text};

/// Where a name is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// A table's name begins so.
    Table,
    /// The name of a chain, or of one that is led to, begins so.
    Chain,
    /// A set's name begins so.
    Set,
    /// A comment holds it.
    Comment,
    /// The name of an interface begins so.
    Link,
}

use At::{Chain as C, Comment as N, Link as L, Set as S, Table as T};

/// The owners with what tells them; the first that fits is taken.
const OWNERS: [(&str, &[(At, &str)]); 45] = [
    ("nsgate", &[(T, "nsgate"), (N, "nsgate")]),
    ("Docker", &[(T, "docker-bridges"), (C, "DOCKER"), (L, "docker0"), (L, "docker_gwbridge")]),
    ("kube-router", &[(C, "KUBE-ROUTER"), (C, "KUBE-POD-FW"), (C, "KUBE-NWPLCY"), (S, "kube-router")]),
    ("kubelet", &[(C, "KUBE-KUBELET"), (C, "KUBE-FIREWALL")]),
    ("kube-proxy", &[(T, "kube-proxy"), (C, "KUBE-"), (S, "KUBE-"), (N, "kubernetes ")]),
    ("Calico", &[(T, "calico"), (C, "cali"), (S, "cali"), (N, "cali:"), (L, "cali")]),
    ("Flannel", &[(T, "flannel"), (C, "FLANNEL"), (N, "flanneld"), (L, "flannel")]),
    ("Cilium", &[(C, "CILIUM_"), (C, "OLD_CILIUM_"), (N, "cilium"), (L, "cilium"), (L, "lxc+")]),
    ("Weave Net", &[(C, "WEAVE"), (S, "weave-")]),
    ("Antrea", &[(T, "antrea"), (C, "ANTREA-"), (S, "ANTREA-")]),
    ("OVN-Kubernetes", &[(T, "ovn-kubernetes"), (C, "OVN-KUBE")]),
    ("Amazon VPC CNI", &[(C, "AWS-SNAT-CHAIN"), (C, "AWS-CONNMARK-CHAIN"), (N, "AWS, ")]),
    ("ip-masq-agent", &[(C, "IP-MASQ"), (N, "ip-masq-agent")]),
    ("Istio", &[(C, "ISTIO_")]),
    ("Linkerd", &[(C, "PROXY_INIT_"), (N, "proxy-init/")]),
    ("Podman (netavark)", &[(T, "netavark"), (C, "NETAVARK"), (L, "podman")]),
    (
        "a CNI plugin",
        &[
            (T, "cni_hostport"),
            (T, "cni_plugins"),
            (C, "CNI-"),
            (N, "CNI portfwd"),
            (N, "dnat name: "),
            (N, "name: \""),
        ],
    ),
    (
        "libvirt",
        &[
            (T, "libvirt"),
            (C, "LIBVIRT_"),
            (C, "libvirt"),
            (C, "FI-vnet"),
            (C, "FO-vnet"),
            (C, "HI-vnet"),
            (C, "I-vnet"),
            (C, "O-vnet"),
            (L, "virbr"),
            (L, "vnet"),
        ],
    ),
    ("LXD", &[(T, "lxd"), (C, "lxd_"), (N, "generated for LXD"), (L, "lxdbr")]),
    ("Incus", &[(T, "incus"), (C, "incus_"), (N, "generated for Incus"), (L, "incusbr")]),
    ("LXC", &[(T, "lxc"), (N, "managed by lxc-net"), (L, "lxcbr")]),
    ("Multipass", &[(N, "generated for Multipass"), (L, "mpqemubr")]),
    ("OpenStack Neutron", &[(C, "neutron"), (S, "NIPv4"), (S, "NIPv6"), (L, "qr-"), (L, "qg-")]),
    ("OpenStack Nova", &[(C, "nova-")]),
    (
        "firewalld",
        &[
            (T, "firewalld"),
            (C, "FORWARD_direct"),
            (C, "INPUT_direct"),
            (C, "OUTPUT_direct"),
            (C, "PREROUTING_direct"),
            (C, "POSTROUTING_direct"),
            (C, "INPUT_ZONES"),
            (C, "FORWARD_IN_ZONES"),
            (C, "FORWARD_OUT_ZONES"),
            (C, "PREROUTING_ZONES"),
            (C, "POSTROUTING_ZONES"),
            (C, "FWDI_"),
            (C, "FWDO_"),
            (C, "IN_public"),
            (C, "PRE_public"),
            (C, "POST_public"),
        ],
    ),
    ("ufw", &[(C, "ufw")]),
    ("fail2ban", &[(T, "f2b-"), (C, "f2b-"), (C, "fail2ban"), (S, "f2b-")]),
    ("CrowdSec", &[(T, "crowdsec"), (C, "CROWDSEC"), (S, "crowdsec")]),
    ("sshguard", &[(T, "sshguard"), (C, "sshguard"), (S, "sshguard")]),
    ("Tailscale", &[(C, "ts-"), (L, "tailscale")]),
    ("ZeroTier", &[(L, "zt")]),
    ("Mullvad", &[(T, "mullvad")]),
    ("wg-quick", &[(T, "wg-quick"), (N, "wg-quick(8)")]),
    ("OpenVPN Access Server", &[(C, "AS0_")]),
    ("strongSwan", &[(N, "strongSwan")]),
    (
        "OpenWrt's firewall",
        &[
            (T, "fw4"),
            (C, "zone_lan"),
            (C, "zone_wan"),
            (C, "input_rule"),
            (C, "forwarding_rule"),
            (C, "output_rule"),
            (C, "syn_flood"),
            (N, "!fw3"),
            (N, "!fw4"),
        ],
    ),
    ("miniupnpd", &[(T, "miniupnpd"), (C, "MINIUPNPD"), (C, "upnp_")]),
    ("VyOS", &[(T, "vyos_"), (C, "VYOS_"), (C, "VYATTA_")]),
    ("NixOS' firewall", &[(T, "nixos"), (C, "nixos-")]),
    ("Shorewall", &[(C, "shorewall"), (C, "fw-net"), (C, "net-fw")]),
    ("systemd-networkd", &[(T, "io.systemd")]),
    ("NetworkManager", &[(T, "nm-shared"), (C, "nm-sh-"), (N, "nm-shared")]),
    ("Waydroid", &[(T, "waydroid"), (L, "waydroid")]),
    ("passt", &[(T, "pasta"), (T, "passt")]),
    ("MicroK8s", &[(N, "generated for MicroK8s"), (L, "vxlan.calico")]),
];

/// The likely owner of a rule, or of a chain where none is given.
pub fn owner(table: &Table, chain: &Chain, rule: Option<&Rule>) -> Option<&'static str> {
    let mut marks = Vec::new();
    if let Some(rule) = rule {
        marks.extend(text::comment(rule).map(|comment| (At::Comment, comment)));
    }
    marks.push((At::Chain, chain.name.clone()));
    marks.extend(rule.iter().flat_map(|rule| names(rule)));
    marks.push((At::Table, table.name.clone()));
    if rule.is_none() {
        marks.extend(chain.comment.iter().map(|comment| (At::Comment, comment.clone())));
    }
    marks.iter().find_map(|(at, name)| of_name(*at, name)).or_else(|| of_policy(table, chain, rule))
}

/// The likely owners of a table's chains and rules, each once, in the order of the table.
pub fn owners(table: &Table) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for chain in &table.chains {
        let of_rules = chain.rules.iter().filter_map(|rule| owner(table, chain, Some(rule)));
        for owner in owner(table, chain, None).into_iter().chain(of_rules) {
            if !found.contains(&owner) {
                found.push(owner);
            }
        }
    }
    if found.is_empty() {
        found.extend(of_name(At::Table, &table.name));
    }
    found
}

fn of_name(at: At, name: &str) -> Option<&'static str> {
    let tells = |(place, sign): &(At, &str)| {
        *place == at && if at == At::Comment { name.contains(sign) } else { name.starts_with(sign) }
    };
    OWNERS.iter().find(|(_, signs)| signs.iter().any(tells)).map(|(owner, _)| *owner)
}

/// A policy is set by whoever alone leads packets of its chain elsewhere.
fn of_policy(table: &Table, chain: &Chain, rule: Option<&Rule>) -> Option<&'static str> {
    if rule.is_some() || chain.base.as_ref().is_none_or(|base| !base.policy_drop) {
        return None;
    }
    let mut owners = chain.rules.iter().filter_map(|rule| owner(table, chain, Some(rule)));
    let first = owners.next()?;
    owners.all(|owner| owner == first).then_some(first)
}

/// The names that a rule mentions.
fn names(rule: &Rule) -> Vec<(At, String)> {
    let mut names = Vec::new();
    let mut link = false;
    for expression in &rule.expressions {
        match expression {
            Expression::Immediate { data: Data::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)), .. } => {
                names.push((At::Chain, chain.clone()));
            }
            Expression::XtSet { names: sets, .. } => names.extend(sets.iter().map(|set| (At::Set, set.clone()))),
            Expression::Lookup { set, .. } => names.push((At::Set, set.clone())),
            Expression::Cmp { value, .. } if link => {
                let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
                names.push((At::Link, String::from_utf8_lossy(&value[..end]).into_owned()));
            }
            _ => {}
        }
        // NFT_META_IIFNAME and NFT_META_OIFNAME.
        link = matches!(expression, Expression::Meta { key, .. } if key.0 == 6 || key.0 == 7);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ruleset::Ruleset;

    fn table(text: &str) -> Table {
        Ruleset::from_text(text).unwrap().tables.remove(0)
    }

    /// The owners of a rule in a chain of a table.
    fn of_rule(table_name: &str, chain: &str, line: &str) -> Option<&'static str> {
        let text = format!("table ip {table_name} {{ chain DOCKER {{ }}; chain {chain} {{ {line}\n }} }}");
        let table = table(&text);
        owner(&table, table.chain(chain).unwrap(), table.chain(chain).unwrap().rules.first())
    }

    #[test]
    fn rules_are_told_by_comment_chain_target_set_and_interface() {
        assert_eq!(of_rule("filter", "FORWARD", "counter comment \"cali:6gwbT8clXdHdC1b1\""), Some("Calico"));
        assert_eq!(of_rule("nat", "KUBE-SEP-AAA", "accept"), Some("kube-proxy"));
        assert_eq!(of_rule("filter", "FORWARD", "jump DOCKER"), Some("Docker"));
        assert_eq!(of_rule("filter", "FORWARD", "oifname \"virbr0\" accept"), Some("libvirt"));
        assert_eq!(of_rule("fw4", "forward", "accept"), Some("OpenWrt's firewall"));
        assert_eq!(of_rule("mine", "forward", "ip daddr 10.0.0.1 accept"), None);
    }

    #[test]
    fn a_policy_is_whose_rules_alone_are_in_its_chain() {
        let policy = |rules: &str| {
            let chain = format!("chain FORWARD {{ type filter hook forward priority 0; policy drop; {rules}\n }}");
            let table = table(&format!("table ip filter {{ chain DOCKER {{ }}; chain ufw-x {{ }}; {chain} }}"));
            owner(&table, table.chain("FORWARD").unwrap(), None)
        };
        assert_eq!(policy("jump DOCKER"), Some("Docker"));
        assert_eq!(policy("jump DOCKER\n jump ufw-x"), None);
        assert_eq!(policy("accept"), None);
    }

    #[test]
    fn a_table_of_several_names_them_all() {
        let text =
            "table ip filter { chain DOCKER { }; chain ufw-x { }; chain FORWARD { jump ufw-x\n jump DOCKER\n } }";
        assert_eq!(owners(&table(text)), ["Docker", "ufw"]);
        assert_eq!(owners(&table("table inet firewalld { }")), ["firewalld"]);
    }

    #[test]
    fn no_owner_stands_twice() {
        for (place, (owner, signs)) in OWNERS.iter().enumerate() {
            assert!(!signs.is_empty());
            assert!(OWNERS.iter().skip(place + 1).all(|(other, _)| other != owner), "{owner}");
        }
    }
}
