//! Whole rulesets, loaded by Debian's iptables into either engine: what is read of them is held against what its own
//! iptables-save says, rule by rule, and one engine against the other; and
//! whose rules they are is told.

use std::io::Write as _;
use std::process::{Command, Stdio};

use nsgate_core::explain::owners;
use nsgate_core::model::ruleset::{Ruleset, Table, TableFamily, iptables_line, text};

use super::tables;
use crate::netlink::{Protocol, Socket};
use crate::sandbox::test;
use crate::{ipset, nftables};

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}\n{input}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The tables as they stand, of both engines.
fn read() -> Ruleset {
    let mut ruleset = nftables::ruleset(&mut Socket::open(Protocol::Netfilter).unwrap()).unwrap().ruleset;
    let legacy = tables(false);
    assert_eq!(legacy.unread, []);
    ruleset.legacy = legacy.tables;
    assert_eq!(ipset::complete(&mut ruleset).len(), 0);
    ruleset
}

/// The chains with policies and the rules of a table, as iptables-save has them.
fn lines(table: &Table) -> Vec<String> {
    let policies = table.chains.iter().map(|chain| match &chain.base {
        Some(base) => format!(":{} {}", chain.name, if base.policy_drop { "DROP" } else { "ACCEPT" }),
        None => format!(":{} -", chain.name),
    });
    let rules = table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let rules = rules.map(|(chain, rule)| {
        let line = iptables_line(table.family, &chain.name, rule);
        line.unwrap_or_else(|| format!("-A {} {}", chain.name, text::rule(table.family, &table.sets, rule)))
    });
    let mut lines: Vec<String> = policies.chain(rules).collect();
    // Chains are listed in the order of their names by one engine, of their making by the other.
    lines.sort_by_key(|line| (!line.starts_with(':'), line.split(' ').take(2).collect::<Vec<_>>().join(" ")));
    lines
}

/// The same of what iptables-save printed, for one table.
fn saved(save: &str, table: &str) -> Vec<String> {
    let printed = run(save, &["-t", table], "");
    let kept = printed.lines().filter(|line| line.starts_with(':') || line.starts_with("-A"));
    let counted = |line: &str| line.starts_with(':').then(|| line.rfind(" [")).flatten().unwrap_or(line.len());
    let mut lines: Vec<String> = kept.map(|line| line[..counted(line)].to_owned()).collect();
    lines.sort_by_key(|line| (!line.starts_with(':'), line.split(' ').take(2).collect::<Vec<_>>().join(" ")));
    lines
}

/// The rules of a table in nft's language, without what differs by engine: handles, and what names sets.
fn in_nft(table: &Table) -> Vec<String> {
    let rules = table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let mut all: Vec<String> =
        rules.map(|(chain, rule)| format!("{}: {}", chain.name, text::rule(table.family, &table.sets, rule))).collect();
    all.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    all
}

/// Loads a ruleset into both engines, and compares; how many rules there were.
fn compare(name: &str, family: TableFamily, rules: &str) -> usize {
    let prefix = if family == TableFamily::Ip6 { "ip6tables" } else { "iptables" };
    let mut count = 0;
    let mut of_engines = Vec::new();
    for engine in ["nft", "legacy"] {
        run(&format!("{prefix}-{engine}-restore"), &[], rules);
        let ruleset = read();
        let tables = if engine == "nft" { &ruleset.tables } else { &ruleset.legacy };
        let mut texts = Vec::new();
        for table in tables.iter().filter(|table| table.family == family) {
            let (ours, theirs) = (lines(table), saved(&format!("{prefix}-{engine}-save"), &table.name));
            let differing: Vec<_> = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).collect();
            assert!(differing.is_empty(), "{name}, {engine}, table {}: ours, theirs {differing:#?}", table.name);
            assert_eq!(ours.len(), theirs.len(), "{name}, {engine}, table {}", table.name);
            count += ours.iter().filter(|line| line.starts_with("-A")).count();
            texts.push((table.name.clone(), in_nft(table)));
        }
        texts.sort();
        of_engines.push(texts);
    }
    let [newer, older] = &of_engines[..] else { panic!("two engines") };
    for ((table, newer), (_, older)) in newer.iter().zip(older) {
        let differing: Vec<_> = newer.iter().zip(older).filter(|(newer, older)| newer != older).collect();
        assert!(differing.is_empty(), "{name}, table {table}: iptables-nft, iptables-legacy {differing:#?}");
    }
    assert_eq!(newer.len(), older.len(), "{name}");
    count
}

/// What some rulesets need: sets of ipset, and an interface.
fn prepare(rules: &str) {
    for line in rules.lines().filter_map(|line| line.strip_prefix("# needs: ")) {
        let (program, arguments) = line.split_once(' ').unwrap();
        run(program, &arguments.split(' ').collect::<Vec<_>>(), "");
    }
}

macro_rules! rulesets {
    ($($name:ident: $file:literal by $owner:expr),+ $(,)?) => {$(
        #[test]
        #[ignore = "needs Debian's iptables and ipset; run by cargo xtask interop"]
        fn $name() {
            test(|| {
                let rules = include_str!(concat!("../../tests/rulesets/", $file));
                prepare(rules);
                let family = if $file.ends_with(".ip6tables") { TableFamily::Ip6 } else { TableFamily::Ip };
                let count = compare($file, family, rules);
                assert!(count > 0);
                let ruleset = read();
                let owned: &[&str] = &$owner;
                for owner in owned {
                    let holds = |tables: &[Table]| tables.iter().any(|table| owners(table).contains(owner));
                    assert!(holds(&ruleset.tables) && holds(&ruleset.legacy), "{owner} is not seen in {}", $file);
                }
            });
        }
    )+};
}

rulesets! {
    extensions: "extensions.iptables" by [],
    extensions_of_ipv6: "extensions.ip6tables" by [],
    calico: "calico.iptables" by ["Calico"],
    cni_portmap: "cni-portmap.iptables" by ["a CNI plugin"],
    docker: "docker.iptables" by ["Docker"],
    docker_28: "docker-28.iptables" by ["Docker"],
    docker_of_ipv6: "docker.ip6tables" by ["Docker"],
    fail2ban: "fail2ban.iptables" by ["fail2ban"],
    firewalld: "firewalld.iptables" by ["firewalld"],
    flannel: "flannel.iptables" by ["Flannel"],
    host: "host.iptables" by [],
    kube_ipvs: "kube-ipvs.iptables" by ["kube-proxy"],
    kube_proxy: "kube-proxy.iptables" by ["kube-proxy", "kubelet"],
    libvirt: "libvirt.iptables" by ["libvirt"],
    lxd: "lxd.iptables" by ["LXD"],
    neutron_hybrid: "neutron-hybrid.iptables" by ["OpenStack Neutron"],
    neutron_l3: "neutron-l3.iptables" by ["OpenStack Neutron"],
    openwrt: "openwrt.iptables" by ["OpenWrt's firewall"],
    podman: "podman.iptables" by ["Podman (netavark)"],
    tailscale: "tailscale.iptables" by ["Tailscale"],
    tailscale_of_ipv6: "tailscale.ip6tables" by ["Tailscale"],
    ufw: "ufw.iptables" by ["ufw"],
    ufw_of_ipv6: "ufw.ip6tables" by ["ufw"],
}
