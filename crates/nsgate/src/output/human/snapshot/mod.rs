//! A snapshot for people: how the namespaces are wired, then each of them.

mod namespace;
mod obstacles;
pub(in crate::output) mod time;
mod wiring;

use std::fmt::Write;

use nsgate_core::model::Machine;
use nsgate_core::model::saved::Saved;

use super::wrap;
use crate::output::style::{FAINT, HEADING, paint};

/// The whole page.
pub(crate) fn show(saved: &Saved) -> String {
    let world = &saved.world;
    let count = match world.namespaces.len() {
        1 => "1 namespace".to_owned(),
        many => format!("{many} namespaces"),
    };
    let mut text = String::new();
    let _ = writeln!(text, "{count} on Linux {} at {}", printable(&saved.kernel), time::utc(saved.taken));
    let _ = write!(text, "\n{}\n", paint(HEADING, "wiring"));
    text += &wiring::show(world);
    for namespace in &world.namespaces {
        text += &namespace::show(namespace);
    }
    text += &machine(&world.machine);
    if !world.limits.is_empty() {
        text.push('\n');
    }
    for limit in &world.limits {
        let of = limit.netns.as_ref().map(|n| format!(" of {n}")).unwrap_or_default();
        let line = format!("not looked at: {}{of} ({})", printable(&limit.what), printable(&limit.why));
        text += &paint(FAINT, wrap(&line, 0).trim_end());
        text.push('\n');
    }
    text
}

/// What belongs to the machine, where there is something to be said of it.
fn machine(machine: &Machine) -> String {
    let programs = namespace::field("runs BPF", machine.programs.iter().map(obstacles::attached));
    let tables = namespace::field("neighbours", machine.neighbour_tables.iter().filter_map(obstacles::crowded));
    if programs.is_empty() && tables.is_empty() {
        return String::new();
    }
    format!("\n{}\n{programs}{tables}", paint(HEADING, "the machine"))
}

/// Text from a file or from the kernel, which may hold anything, as a terminal may see it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use nsgate_core::model::{Limit, Namespace, NetnsName, Peer, World};
    use nsgate_core::plan::{Step, simulate};

    use super::*;

    /// A World with these lines done to it.
    fn built(lines: &[&str]) -> World {
        let mut world = World::default();
        world.namespaces.push(Namespace::new(NetnsName::host(), 1));
        let steps: Vec<Step> = lines.iter().map(|line| line.parse().unwrap()).collect();
        simulate::apply_all(&mut world, &steps).unwrap();
        world
    }

    fn plain(world: World) -> String {
        anstream::adapter::strip_str(&show(&Saved::new(world, 1_800_000_000, "6.12.5"))).to_string()
    }

    #[test]
    fn a_page_tells_the_wiring_and_every_namespace() {
        let mut world = built(&[
            "ip netns add ns_1",
            "ip netns add web",
            "ip netns add alone",
            "ip link add br0 type bridge",
            "ip link add veth3 type veth peer name veth2 netns ns_1",
            "ip link add v1 type veth peer name eth0 netns web",
            "ip link set v1 master br0",
            "ip link set v1 up",
            "ip link add vx type vxlan id 7 remote 10.20.30.1 dstport 4789",
            "ip link set vx master br0",
            "ip link add x type veth peer name y",
            "ip link add mv link veth3 type macvlan mode bridge",
            "ip addr add 1.1.1.3/24 dev veth3",
            "ip addr add 2001:db8:1::3/64 dev veth3",
            "ip addr add 2001:db8:1:2:3:4:5:6/64 dev veth3",
            "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
            "ip link set veth3 up",
            "ip -n ns_1 link set veth2 up",
            "ip -n ns_1 link set veth2 mtu 1400",
            "ip -n ns_1 route add default via 1.1.1.3 dev veth2",
            "ip -n ns_1 route add 10.0.0.0/8 via 1.1.1.3 dev veth2 table 7",
            "ip -n ns_1 route add blackhole 10.9.0.0/16",
            "ip rule add priority 7 from 1.1.1.0/24 table 7",
            "nft add table ip nat",
            "nft add chain ip nat post '{ type nat hook postrouting priority srcnat; policy accept; }'",
            "nft add rule ip nat post ip saddr 1.1.1.0/24 oifname eth2 counter snat to 10.20.30.182 comment noted",
        ]);
        let mut mv = world.namespaces[0].links.pop().unwrap();
        mv.peer = Peer::There(NetnsName::host(), world.namespaces[0].link_named("veth3").unwrap().index);
        world.namespaces[3].links.push(mv);
        let why = "Operation not permitted\u{1b}[2J".to_owned();
        world.limits.push(Limit { netns: Some("web".parse().unwrap()), what: "routes".into(), why });
        insta::assert_snapshot!(plain(world));
    }

    #[test]
    fn rings_and_long_chains_end() {
        let mut lines = vec!["ip netns add n0".to_owned()];
        for n in 1..30 {
            lines.push(format!("ip netns add n{n}"));
            lines.push(format!("ip -n n{} link add up type veth peer name down netns n{n}", n - 1));
        }
        lines.push("ip -n n29 link add up type veth peer name down netns n0".to_owned());
        let world = built(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let text = plain(world);
        let wiring = text.split("\n\n").nth(1).unwrap();
        assert_eq!(wiring.matches(" ── ").count(), 30, "{wiring}");
        assert!((0..30).all(|n| wiring.contains(&format!("n{n}\n"))), "{wiring}");
        assert!(text.lines().all(|line| line.chars().count() <= crate::output::human::WIDTH), "{text}");
    }
}
