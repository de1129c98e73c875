use std::fs;
use std::path::Path;

use nsgate_core::model::{Machine, World};

use super::*;
use crate::sandbox::test;
use crate::snapshot;

/// The article's wire, a bridge, and forwarding.
const LINES: [&str; 15] = [
    "ip netns add ns_1",
    "ip -n ns_1 link set lo up",
    "ip link add veth3 group 28275 type veth peer name veth2 netns ns_1",
    "ip link set veth3 alias nsgate:lab:blue:ns_1",
    "ip link set veth3 up",
    "ip -n ns_1 link set veth2 up",
    "ip addr add 1.1.1.3/24 dev veth3",
    "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
    "ip -n ns_1 addr add fd00:7::2/64 dev veth2 nodad",
    "ip -n ns_1 route add default via 1.1.1.3 dev veth2 proto 215",
    "ip rule add from 1.1.1.0/24 priority 100 lookup main",
    "ip link add br0 type bridge",
    "ip link set veth3 master br0",
    "ip neigh add 1.1.1.9 lladdr 02:00:00:00:00:09 dev br0 nud permanent",
    "sysctl -w net.ipv4.conf.veth3.forwarding=1",
];

/// The steps, each knowing what was before.
fn steps() -> Vec<Step> {
    let steps = LINES.iter().map(|line| {
        let mut step: Step = line.parse().unwrap();
        match &mut step.action {
            Action::SetLink { setting, before, .. } => {
                *before = Some(match setting {
                    nsgate_core::plan::LinkSetting::Up(_) => nsgate_core::plan::LinkSetting::Up(false),
                    nsgate_core::plan::LinkSetting::Alias(_) => nsgate_core::plan::LinkSetting::Alias(None),
                    _ => nsgate_core::plan::LinkSetting::Master(None),
                });
            }
            Action::Sysctl { before, .. } => *before = Some("0".into()),
            _ => {}
        }
        step
    });
    steps.collect()
}

/// What is, apart from what moves by itself, and from what is known of the machine around the sandbox.
fn world() -> World {
    let mut world = snapshot::take(&[]).unwrap();
    world.limits.retain(|limit| limit.netns.is_some());
    world.machine = Machine::default();
    for netns in &mut world.namespaces {
        netns.conntrack = None;
        netns.neighbours.retain(|neighbour| neighbour.state != nsgate_core::model::NeighbourState::NoArp);
    }
    world
}

fn state() -> State {
    "rely sysctl -w net.ipv4.conf.eth2.forwarding=1\n".parse().unwrap()
}

#[test]
fn steps_of_every_part_are_done_where_they_belong() {
    test(|| {
        for line in [
            "ip netns add ns_1",
            "ip link add veth3 type veth peer name veth2 netns ns_1",
            "ip -n ns_1 addr add 1.1.1.2/24 dev veth2",
            "ip -n ns_1 link set veth2 up",
            "ip link set veth3 up",
            "ip -n ns_1 route add default via 1.1.1.3",
            "ip netns exec ns_1 sysctl -w net.ipv4.ip_forward=1",
            "ip netns del ns_1",
        ] {
            perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(Netns::open(&"ns_1".parse().unwrap()).unwrap_err().kind(), Kind::NotFound);
        let again = perform(&"ip netns del ns_1".parse().unwrap()).unwrap_err();
        assert_eq!(again.kind(), Kind::NotFound, "{again}");
    });
}

#[test]
fn a_plan_stands_and_is_remembered() {
    test(|| {
        let before = world();
        let records = Records::lock().unwrap();
        apply(&records, "lab", &steps(), &state()).unwrap();
        assert_ne!(world(), before);
        assert_eq!(records.state("lab").unwrap(), state());
        assert_eq!(records.instances().unwrap(), ["lab"]);
        assert!(!Path::new("/run/nsgate/lab/journal").exists());
        let made = world();
        let link = made.namespaces[0].link_named("veth3").unwrap();
        assert_eq!(link.addresses[0].protocol, mark::PROTOCOL);
        let back: Vec<Step> = steps().iter().rev().map(|step| step.inverse().unwrap()).collect();
        assert_eq!(apply_each(&back), []);
        records.keep("lab", &State::default()).unwrap();
        drop(records);
        assert_eq!(world(), before);
        assert!(!Path::new(DIRECTORY).exists(), "nothing is left to remember");
    });
}

#[test]
fn what_was_done_before_a_refusal_is_taken_back() {
    test(|| {
        let before = world();
        let mut steps = steps();
        steps.push("ip route add 10.0.0.0/8 via 9.9.9.9".parse().unwrap());
        let records = Records::lock().unwrap();
        let failed = apply(&records, "lab", &steps, &state()).unwrap_err();
        assert_eq!(failed.done, LINES.len());
        assert_eq!(failed.left, []);
        let words = failed.to_string();
        assert!(words.contains("`ip route add 10.0.0.0/8 via 9.9.9.9`") && words.contains("gateway"), "{words}");
        assert_eq!(world(), before);
        assert_eq!(records.state("lab").unwrap(), State::default());
        drop(records);
        assert!(!Path::new(DIRECTORY).exists());
    });
}

#[test]
fn what_cannot_be_taken_back_is_said() {
    test(|| {
        let mut steps = steps();
        steps.push("ip -n ns_1 route replace default dev veth2".parse().unwrap());
        steps.push("ip route add 10.0.0.0/8 via 9.9.9.9".parse().unwrap());
        let failed = apply(&Records::lock().unwrap(), "lab", &steps, &state()).unwrap_err();
        assert_eq!(failed.done, LINES.len() + 1);
        let left: Vec<String> = failed.left.iter().map(|(_, why)| why.to_string()).collect();
        let line = "ip -n ns_1 route replace default dev veth2";
        assert_eq!(left, [format!("cannot take back `{line}`: what was there before it is not known")]);
    });
}

#[test]
fn a_change_cut_short_anywhere_is_taken_back_by_the_next_command() {
    test(|| {
        let before = world();
        let steps = steps();
        for cut in 0..=steps.len() {
            for noted in [true, false] {
                let records = Records::lock().unwrap();
                let journal = Journal::begin(&records, "lab", &steps, &state()).unwrap();
                let mut performer = Performer::default();
                for (number, step) in steps[..cut].iter().enumerate() {
                    performer.perform(step).unwrap_or_else(|error| panic!("{error}"));
                    // The process may be killed between a step and the note of it.
                    if noted || number + 1 < cut {
                        journal.done().unwrap();
                    }
                }
                drop((journal, performer, records));
                let records = Records::lock().unwrap();
                let recovered = recover(&records, "lab").unwrap().unwrap();
                assert_eq!(recovered.left, [], "cut after {cut}");
                assert_eq!(world(), before, "cut after {cut}");
                assert_eq!(recover(&records, "lab").unwrap(), None);
            }
        }
    });
}

#[test]
fn a_change_that_was_only_not_closed_is_kept() {
    test(|| {
        let records = Records::lock().unwrap();
        let journal = Journal::begin(&records, "lab", &steps()[..1], &state()).unwrap();
        perform(&steps()[0]).unwrap();
        journal.done().unwrap();
        journal.complete().unwrap();
        drop(journal);
        assert!(recover(&records, "lab").unwrap().unwrap().finished);
        assert_eq!(records.state("lab").unwrap(), state());
        assert!(Netns::open(&"ns_1".parse().unwrap()).is_ok());
    });
}

#[test]
fn two_commands_are_kept_apart_and_lookers_are_not() {
    test(|| {
        assert_eq!(Records::look().unwrap().instances().unwrap(), [""; 0]);
        assert!(!Path::new(DIRECTORY).exists(), "looking makes nothing");
        let records = Records::lock().unwrap();
        records.keep("lab", &state()).unwrap();
        let other = std::thread::spawn(Records::lock);
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!other.is_finished());
        assert_eq!(Records::look().unwrap().state("lab").unwrap(), state());
        records.keep("lab", &State::default()).unwrap();
        drop(records);
        let second = other.join().unwrap().unwrap();
        second.keep("lab", &state()).unwrap();
        assert_eq!(Records::look().unwrap().instances().unwrap(), ["lab"]);
    });
}

#[test]
fn records_of_strangers_are_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    test(|| {
        fs::create_dir(DIRECTORY).unwrap();
        fs::set_permissions(DIRECTORY, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Records::lock().unwrap_err().to_string().contains("others can write there"));
        fs::remove_dir(DIRECTORY).unwrap();
        std::os::unix::fs::symlink("/tmp", DIRECTORY).unwrap();
        assert!(Records::lock().is_err(), "a link is not followed");
        fs::remove_file(DIRECTORY).unwrap();
        let records = Records::lock().unwrap();
        assert!(records.state("../x").is_err());
    });
}
