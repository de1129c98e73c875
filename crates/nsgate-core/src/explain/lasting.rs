//! What keeps a mend across a reboot: for each kind of step the file that it belongs in, and the lines to write there.
//!
//! A step changes the running kernel alone. Where what it changes is made by a program, that program makes it as before
//! when it starts again, so its own configuration is named; where no such program is known, the files that every
//! distribution reads at boot.

use super::networkd;
use super::owner::owner;
use crate::model::ruleset::{Command, TableId, text};
use crate::model::{LinkName, Namespace, Route, Sysctl, World};
use crate::plan::{Action, Change, IptablesRule, Plan, Step, mark};

/// One place where a mend is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// The file, the option, or whoever makes what was mended, in words.
    pub place: String,
    /// What is to be written there; nothing where the place says it all.
    pub lines: Vec<String>,
}

impl Lasting {
    /// Words that say it all.
    pub(super) fn words(place: impl Into<String>) -> Self {
        Self { place: place.into(), lines: Vec::new() }
    }

    /// Lines of a file.
    pub(super) fn lines(place: impl Into<String>, lines: Vec<String>) -> Self {
        Self { place: place.into(), lines }
    }
}

/// How a file for one interface begins.
pub(super) const MATCH: &str = "[Match]";

/// What keeps the steps of a plan, each place once; nothing for what comes by itself.
pub(super) fn lasting(world: &World, plan: &Plan) -> Vec<Lasting> {
    let mut kept: Vec<Lasting> = Vec::new();
    for found in plan.steps.iter().flat_map(|step| of_step(world, step)) {
        match kept.iter_mut().find(|known| known.place == found.place) {
            Some(known) if known.lines.ends_with(&found.lines) => {}
            Some(known) => {
                // The head of a file stands in it once.
                let head = if known.lines.starts_with(&[MATCH.to_owned()]) { 2 } else { 0 };
                known.lines.extend(found.lines.into_iter().skip(head));
            }
            None => kept.push(found),
        }
    }
    kept
}

fn of_step(world: &World, step: &Step) -> Vec<Lasting> {
    let Some(netns) = world.namespace(&step.netns) else { return Vec::new() };
    if comes_by_itself(step) {
        return Vec::new();
    }
    if !netns.name.is_host() {
        return vec![of_another_namespace(netns, step)];
    }
    match &step.action {
        Action::Sysctl { name, value, .. } => of_sysctl(name, value),
        Action::Nft { commands, .. } => {
            commands.iter().filter_map(|command| of_command(netns, command, commands)).collect()
        }
        Action::Iptables(_, rule) => vec![of_iptables(netns, rule, step)],
        Action::Route(Change::Delete, route) => {
            let same = |there: &&Route| there.destination == route.destination && there.table == route.table;
            let made_by = netns.routes.iter().find(same).map_or(route.protocol, |there| there.protocol);
            vec![Lasting::words(format!("take the route away where it is made: {}", maker(made_by)))]
        }
        Action::Policy(..) => {
            vec![Lasting::words(
                "the configuration of the IKE daemon (swanctl.conf, ipsec.conf) that makes the policies",
            )]
        }
        action => networkd::of_link(netns, action).into_iter().collect(),
    }
}

/// What is learned, or only remembered for a while.
fn comes_by_itself(step: &Step) -> bool {
    match &step.action {
        Action::Forget(_) | Action::ForgetFrom(_) | Action::Forwarding(Change::Delete, _) => true,
        Action::Neighbour(Change::Delete, entry) => !entry.proxy && !is_static(entry.state),
        _ => false,
    }
}

fn is_static(state: Option<crate::model::NeighbourState>) -> bool {
    use crate::model::NeighbourState::{NoArp, Permanent};
    matches!(state, Some(Permanent | NoArp))
}

/// A namespace is gone with the reboot, and made again by whoever made it.
fn of_another_namespace(netns: &Namespace, step: &Step) -> Lasting {
    if let Some((engine, container)) = netns.title().container() {
        if let Action::Sysctl { name, value, .. } = &step.action {
            let place = format!("the options that {} starts {container} with", engine.name());
            return Lasting::lines(place, vec![format!("--sysctl {name}={value}")]);
        }
        let what = "what a container has is made anew with it";
        return Lasting::words(format!("the {} network of {container}: {what}", engine.name()));
    }
    let place = match mark::of_namespace(netns) {
        Some(mark) => format!("the nsgate.toml of the instance {}, which made {}", mark.instance(), netns.title()),
        None => format!("whatever makes the namespace {}", netns.title()),
    };
    Lasting::lines(place, vec![step.to_string()])
}

/// sysctl.d(5); what a module brings can be set only once it is there.
fn of_sysctl(name: &Sysctl, value: &str) -> Vec<Lasting> {
    let modules = [("net.netfilter.nf_conntrack", "nf_conntrack"), ("net.bridge.bridge-nf", "br_netfilter")];
    let module = modules
        .iter()
        .find(|(prefix, _)| name.as_str().starts_with(prefix))
        .map(|(_, module)| Lasting::lines("/etc/modules-load.d/nsgate-mend.conf", vec![(*module).to_owned()]));
    let setting = Lasting::lines("/etc/sysctl.d/90-nsgate-mend.conf", vec![format!("{name} = {value}")]);
    [setting].into_iter().chain(module).collect()
}

/// A change to the packet filter; a table of the mend's own as a whole.
fn of_command(netns: &Namespace, command: &Command, all: &[Command]) -> Option<Lasting> {
    const FILE: &str = "/etc/nftables.conf";
    let makes = |wanted: &TableId| all.iter().any(|c| matches!(c, Command::AddTable { table, .. } if table == wanted));
    let (table, chain) = match command {
        Command::AddTable { .. } => return Some(Lasting::lines(FILE, vec![command.to_string()])),
        Command::AddChain { table, name, .. } => (table, name),
        Command::AddRule { table, chain, .. } | Command::DeleteRule { table, chain, .. } => (table, chain),
        _ => return None,
    };
    if makes(table) {
        return Some(Lasting::lines(FILE, vec![command.to_string()]));
    }
    let there = netns.ruleset.table(table.family, &table.name)?;
    let stands = there.chain(chain)?;
    let by = |handle: u64| stands.rules.iter().find(|rule| rule.handle == handle);
    match command {
        Command::AddRule { rule, sets, .. } => {
            let line = text::rule_without_counts(table.family, sets, rule);
            let place = match owner(there, stands, None) {
                Some(owner) => kept_by(owner),
                None => format!("{FILE}, in chain {chain} of table {} {}", table.family.name(), table.name),
            };
            Some(Lasting::lines(place, vec![line]))
        }
        Command::DeleteRule { handle, .. } => {
            let by = owner(there, stands, by(*handle));
            let place = by.map_or_else(|| FILE.to_owned(), |owner| format!("the configuration of {owner}"));
            Some(Lasting::words(format!("take the rule away where it is made: {place}")))
        }
        _ => None,
    }
}

/// Where the programs that write rules anew leave room for those of others.
fn kept_by(owner: &str) -> String {
    match owner {
        "Docker" => "/etc/docker/daemon.json: \"bridge-accept-fwmark\": \"1\" (Docker 29), and a table of your own in \
                     /etc/nftables.conf that sets this mark on"
            .into(),
        "firewalld" => "firewalld, by a policy or rich rule (firewall-cmd --permanent) for".into(),
        "ufw" => "ufw, by `ufw route allow` or in /etc/ufw/before.rules".into(),
        "libvirt" => "a hook of libvirt (/etc/libvirt/hooks/network), run when the network starts".into(),
        "OpenWrt's firewall" => "/etc/nftables.d/ of OpenWrt, in the chain of this name".into(),
        "nsgate" => "the nsgate.toml of the instance that the table is called by".into(),
        other => format!("{other}, which writes its rules anew: its own configuration has to allow"),
    }
}

fn of_iptables(netns: &Namespace, rule: &IptablesRule, step: &Step) -> Lasting {
    let line = vec![step.to_string()];
    if rule.chain == "DOCKER-USER" {
        // Docker leaves the chain alone, and nobody fills it again after a reboot.
        return Lasting::lines("a unit with After=docker.service, as its ExecStart=", line);
    }
    let family = match rule.family {
        crate::model::Family::V4 => crate::model::ruleset::TableFamily::Ip,
        crate::model::Family::V6 => crate::model::ruleset::TableFamily::Ip6,
    };
    let mut tables = netns.ruleset.of_both_engines();
    let table = tables.find(|table| table.family == family && table.name == rule.table);
    let owner = table.and_then(|table| owner(table, table.chain(&rule.chain)?, None));
    match owner {
        Some(owner @ ("firewalld" | "ufw" | "libvirt")) => Lasting::lines(kept_by(owner), line),
        _ => Lasting::words(format!(
            "`netfilter-persistent save` (package iptables-persistent) keeps what {} holds now",
            rule.program()
        )),
    }
}

/// Who makes routes of a protocol number (RTPROT_*, iproute2's etc/iproute2/rt_protos).
fn maker(protocol: u8) -> &'static str {
    match protocol {
        2 => "it comes with an address of the interface",
        4 => "a network manager's configuration",
        9 => "a router advertises it (accept_ra, UseAutonomousPrefix= and UseGateway= of systemd-networkd)",
        11 => "FRR or Zebra",
        12 => "BIRD",
        16 => "a DHCP server hands it out",
        42 => "babeld",
        186..=192 => "a routing daemon (BGP, IS-IS, OSPF, RIP, EIGRP)",
        mark::PROTOCOL => "nsgate.toml",
        _ => "a script, /etc/network/interfaces, or a program that sets up this network",
    }
}

/// A file of systemd-networkd for one interface.
pub(super) fn file_of(link: &LinkName) -> String {
    format!("/etc/systemd/network/90-{link}.network (systemd-networkd)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::fixture::{Fixture, name, route};
    use crate::model::ruleset::{Ruleset, parse};
    use crate::model::{Bridge, LinkKind, RouteKind, TABLE_MAIN};

    /// What keeps these lines, which are of steps in the gateway unless they say otherwise.
    fn kept(fixture: &Fixture, lines: &[&str]) -> Vec<(String, Vec<String>)> {
        let steps = lines.iter().map(|line| line.parse().unwrap()).collect();
        let told = |kept: Lasting| (kept.place, kept.lines);
        lasting(&fixture.world, &Plan { steps }).into_iter().map(told).collect()
    }

    #[track_caller]
    fn is(found: &[(String, Vec<String>)], place: &str, lines: &[&str]) {
        let [(at, written)] = found else { panic!("{found:?}") };
        assert!(at.contains(place), "{at}");
        assert_eq!(written, lines);
    }

    #[test]
    fn settings_go_into_a_file_of_sysctl() {
        let fixture = Fixture::experiment();
        let lines = ["sysctl -w net.ipv4.conf.veth3.rp_filter=2", "sysctl -w net.ipv4.conf.all.rp_filter=2"];
        let written = ["net.ipv4.conf.veth3.rp_filter = 2", "net.ipv4.conf.all.rp_filter = 2"];
        is(&kept(&fixture, &lines), "/etc/sysctl.d/90-nsgate-mend.conf", &written);
        let found = kept(&fixture, &["sysctl -w net.netfilter.nf_conntrack_max=131072"]);
        assert_eq!(found.len(), 2, "the module must be there before");
        assert_eq!(found[1], ("/etc/modules-load.d/nsgate-mend.conf".into(), vec!["nf_conntrack".into()]));
    }

    #[test]
    fn what_is_in_another_namespace_is_kept_by_whoever_makes_it() {
        let mut fixture = Fixture::experiment();
        let setting = "ip netns exec ns_1 sysctl -w net.ipv4.ip_default_ttl=64";
        is(&kept(&fixture, &[setting]), "whatever makes the namespace ns_1", &[setting]);
        fixture.link("ns_1", "lo").alias = Some("nsgate:lan".into());
        is(&kept(&fixture, &[setting]), "the nsgate.toml of the instance lan", &[setting]);
        // A container is told by what its engine calls it.
        fixture.netns("ns_1").name = name("pid:7");
        fixture.netns("pid:7").aliases = vec![name("docker:web")];
        let setting = "nsenter -t 7 -n sysctl -w net.ipv4.ip_default_ttl=64";
        is(&kept(&fixture, &[setting]), "docker starts web with", &["--sysctl net.ipv4.ip_default_ttl=64"]);
        is(&kept(&fixture, &["nsenter -t 7 -n ip link set veth2 up"]), "the docker network of web", &[]);
    }

    fn nft(fixture: &Fixture, text: &str) -> Vec<(String, Vec<String>)> {
        let host = fixture.world.namespace(&name("host")).unwrap();
        let commands = parse::commands(text, &host.ruleset).unwrap();
        let plan = Plan::of(Step::host(Action::Nft { commands, undo: None }));
        lasting(&fixture.world, &plan).into_iter().map(|kept| (kept.place, kept.lines)).collect()
    }

    #[test]
    fn a_table_of_its_own_goes_into_the_file_of_nft_whole() {
        let made = [
            "add table ip nsgate-mend",
            "add chain ip nsgate-mend postrouting { type nat hook postrouting priority srcnat; policy accept; }",
            "add rule ip nsgate-mend postrouting ip saddr 1.1.1.0/24 oifname \"eth2\" masquerade",
        ];
        let found = nft(&Fixture::experiment(), &(made.join("\n") + "\n"));
        is(&found, "/etc/nftables.conf", &made);
        parse::commands(&(found[0].1.join("\n") + "\n"), &Ruleset::default()).unwrap();
    }

    #[test]
    fn a_rule_beside_others_goes_where_those_are_kept() {
        let mut fixture = Fixture::experiment();
        let add = |table: &str| format!("insert rule {table} forward tcp dport 80 accept comment \"nsgate-mend\"\n");
        let chain = "chain forward { type filter hook forward priority 0; policy drop;";
        let text = format!("table inet mine {{ {chain}\n }} }}\ntable inet firewalld {{ {chain}\n }} }}");
        fixture.netns("host").ruleset = Ruleset::from_text(&text).unwrap();
        let line = "tcp dport 80 accept comment \"nsgate-mend\"";
        is(&nft(&fixture, &add("inet mine")), "/etc/nftables.conf, in chain forward of table inet mine", &[line]);
        is(&nft(&fixture, &add("inet firewalld")), "firewall-cmd --permanent", &[line]);
    }

    #[test]
    fn a_rule_of_iptables_is_kept_by_who_fills_its_chain() {
        let fixture = Fixture::experiment();
        let rule = |chain| {
            format!("iptables-nft -I {chain} -s 1.1.1.2 -p tcp --dport 80 -m comment --comment nsgate-mend -j ACCEPT")
        };
        let (docker, other) = (rule("DOCKER-USER"), rule("FORWARD"));
        is(&kept(&fixture, &[&docker]), "After=docker.service", &[&docker]);
        is(&kept(&fixture, &[&other]), "netfilter-persistent save", &[]);
    }

    #[test]
    fn what_concerns_an_interface_is_a_file_of_networkd() {
        let fixture = Fixture::experiment();
        let lines = ["ip addr add 10.20.30.9/24 dev eth2", "ip route add 7.7.7.0/24 via 10.20.30.1 dev eth2"];
        let written = [
            "[Match]",
            "Name=eth2",
            "[Address]",
            "Address=10.20.30.9/24",
            "[Route]",
            "Destination=7.7.7.0/24",
            "Gateway=10.20.30.1",
        ];
        is(&kept(&fixture, &lines), "/etc/systemd/network/90-eth2.network", &written);
        let up = ["[Match]", "Name=veth3", "[Link]", "ActivationPolicy=up"];
        is(&kept(&fixture, &["ip link set veth3 up"]), "90-veth3.network", &up);
    }

    #[test]
    fn what_docker_and_libvirt_make_is_set_in_their_own_configuration() {
        let mut fixture = Fixture::lan();
        let mut of_bridge = |bridge: &str| {
            let link = fixture.world.namespaces[0]
                .links
                .iter_mut()
                .find(|link| link.kind == LinkKind::Bridge(Bridge::default()));
            link.unwrap().name = bridge.parse().unwrap();
            kept(&fixture, &["ip link set veth3 mtu 1400"])
        };
        is(&of_bridge("docker0"), "/etc/docker/daemon.json", &["\"mtu\": 1400"]);
        is(&of_bridge("br-0123456789ab"), "Docker network", &["com.docker.network.driver.mtu: 1400"]);
        is(&of_bridge("virbr0"), "virsh net-edit", &["<mtu size='1400'/>"]);
        is(&of_bridge("br0"), "90-veth3.network", &["[Match]", "Name=veth3", "[Link]", "MTUBytes=1400"]);
    }

    #[test]
    fn a_route_is_taken_away_at_its_maker() {
        let mut fixture = Fixture::experiment();
        let blackhole = route(TABLE_MAIN, "7.7.7.0/24", RouteKind::Blackhole, None, None);
        fixture.netns("host").routes.push(Route { protocol: 12, ..blackhole });
        is(&kept(&fixture, &["ip route del blackhole 7.7.7.0/24"]), "made: BIRD", &[]);
    }

    #[test]
    fn what_is_learned_needs_no_keeping() {
        let fixture = Fixture::experiment();
        assert!(kept(&fixture, &["conntrack -D --orig-src 1.1.1.2"]).is_empty());
        assert!(kept(&fixture, &["ip neigh del 10.20.30.1 dev eth2 nud stale"]).is_empty());
        is(&kept(&fixture, &["ip neigh del 10.20.30.1 dev eth2 nud permanent"]), "/etc/ethers", &[]);
    }
}
