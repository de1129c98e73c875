//! Namespaces without a name under `/run/netns`: those that processes are in, and those that are mounted elsewhere, as
//! Docker does it; whose they are; and which process is at the other end of a TAP device.
//!
//! A machine may have thousands of processes. They are gone through only where everything was asked for, or where a wire
//! leads out of sight and neither engines nor mounts tell where to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;

use nsgate_core::model::{Limit, LinkKind, NetnsName, Peer};

use super::namespace::Hidden;
use super::{Reach, Reading, Seen};
use crate::containers::Container;
use crate::error::{Error, Kind};
use crate::netlink::{Protocol, Socket};
use crate::netns::{Netns, visit};
use crate::processes::{self, Processes, inode_of_link};
use crate::{containers, rtnetlink};

/// The longest list of mounts that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Why something of a process stays unknown.
const NEEDS_PTRACE: &str = "CAP_SYS_PTRACE is needed for it; run as root";

/// The namespace of a process, under that name.
pub(super) fn of_process(pid: u32) -> Result<Netns, Error> {
    Netns::open(&name_of_process(pid).ok_or_else(|| Error::answer("find", "process 0", "there is none"))?)
}

/// Reads what else there is as far as `reach`, and notes the processes where everything was asked for.
pub(super) fn read(reading: &mut Reading, seen: &mut Seen, reach: Reach) -> Result<(), Error> {
    if reach == Reach::Named {
        return Ok(());
    }
    if reach == Reach::Wired {
        // What engines and mounts tell is little to read and often enough. It also tells containers' names.
        follow_wires(reading, seen, &Processes::default())?;
        if !leads_out_of_sight(reading) {
            return Ok(());
        }
    }
    let processes = Processes::look();
    if reach == Reach::All {
        let unread = candidates(reading, &processes, seen);
        seen.open.extend(unread);
        reading.look(seen)?;
        for namespace in &mut reading.namespaces {
            namespace.processes = processes.within(namespace.inode);
        }
        note_holders(reading, seen);
        note_loose_ends(reading, seen);
        seen.limits.extend(containers::limits());
    } else {
        follow_wires(reading, seen, &processes)?;
    }
    if processes.hidden() > 0 && (reach == Reach::All || leads_out_of_sight(reading)) {
        let what = format!("the namespaces of {} processes of others", processes.hidden());
        seen.limits.push(Limit { netns: None, what, why: NEEDS_PTRACE.into() });
    }
    Ok(())
}

/// Reads the namespaces that a wire leads to, and those that a wire leads to from there.
fn follow_wires(reading: &mut Reading, seen: &mut Seen, processes: &Processes) -> Result<(), Error> {
    let mut unread = candidates(reading, processes, seen);
    loop {
        let wanted = wired(reading, &mut unread)?;
        if wanted.is_empty() {
            return Ok(());
        }
        seen.open.extend(wanted);
        reading.look(seen)?;
    }
}

/// Whether some wire ends in a namespace that has not been read.
fn leads_out_of_sight(reading: &Reading) -> bool {
    reading.namespaces.iter().flat_map(|namespace| &namespace.links).any(|link| matches!(link.peer, Peer::Hidden(_)))
}

/// The namespaces that have not been read, open; all names but one become aliases.
fn candidates(reading: &Reading, processes: &Processes, seen: &mut Seen) -> Vec<Netns> {
    let running = containers::running();
    let mut names: BTreeMap<u64, Vec<NetnsName>> = BTreeMap::new();
    let of_processes = processes.namespaces().filter_map(|(inode, pid)| Some((inode, name_of_process(pid)?)));
    // What a namespace is called first is what commands call it.
    for (inode, name) in of_processes.chain(running.iter().flat_map(names_of)).chain(mounted()) {
        let names = names.entry(inode).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let known: BTreeSet<u64> = reading.open.iter().map(Netns::inode).collect();
    let mut open = Vec::new();
    for (inode, names) in names {
        // What is read already keeps its name; of the others only those of containers tell something new.
        for name in names.iter().filter(|name| !known.contains(&inode) || name.container().is_some()) {
            seen.alias(inode, name.clone());
        }
        if known.contains(&inode) {
            continue;
        }
        let tried: Vec<Result<Netns, Error>> = names.iter().map(Netns::open).collect();
        // A process that has ended meanwhile takes its namespace with it.
        let refused = tried.iter().filter_map(|opened| opened.as_ref().err()).find(|e| e.kind() != Kind::NotFound);
        let refused = refused.map(ToString::to_string);
        match (tried.into_iter().flatten().find(|netns| netns.inode() == inode), refused, names.first()) {
            (Some(netns), ..) => open.push(netns),
            (None, Some(why), Some(name)) => seen.limit(name, &why),
            (None, ..) => {}
        }
    }
    open
}

/// The names of a container's namespace: that of its process first.
fn names_of(container: &Container) -> Vec<(u64, NetnsName)> {
    let Some(inode) = processes::namespace_of(container.pid) else { return Vec::new() };
    name_of_process(container.pid).into_iter().chain([container.name.clone()]).map(|name| (inode, name)).collect()
}

/// Takes out of those that have not been read those that a wire leads to.
fn wired(reading: &Reading, unread: &mut Vec<Netns>) -> Result<Vec<Netns>, Error> {
    let hidden = |place: usize| {
        let namespace = &reading.namespaces[place];
        let out_of_sight =
            move |wire: &&Hidden| namespace.link(wire.link).is_some_and(|link| matches!(link.peer, Peer::Hidden(_)));
        reading.wires[place].iter().filter(out_of_sight).map(|wire| wire.netnsid).collect::<BTreeSet<i32>>()
    };
    let asked: Vec<usize> = (0..reading.open.len()).filter(|place| !hidden(*place).is_empty()).collect();
    if asked.is_empty() || unread.is_empty() {
        return Ok(Vec::new());
    }
    let answers = visit(asked.iter().map(|place| &reading.open[*place]), |_| {
        rtnetlink::netnsids(&mut Socket::open(Protocol::Route)?, unread)
    })?;
    let mut wanted = BTreeSet::new();
    for (place, answer) in asked.into_iter().zip(answers) {
        // A namespace that cannot be asked keeps its peers hidden, which is what it looks like from outside.
        let Ok(Ok(numbers)) = answer else { continue };
        let hidden = hidden(place);
        let led_to = |(at, number): (usize, Option<i32>)| number.filter(|n| hidden.contains(n)).map(|_| at);
        wanted.extend(numbers.into_iter().enumerate().filter_map(led_to));
    }
    let (taken, left): (Vec<_>, Vec<_>) =
        std::mem::take(unread).into_iter().enumerate().partition(|(at, _)| wanted.contains(at));
    *unread = left.into_iter().map(|(_, netns)| netns).collect();
    Ok(taken.into_iter().map(|(_, netns)| netns).collect())
}

/// The namespaces that are mounted somewhere, by the kernel's list of mounts.
fn mounted() -> Vec<(u64, NetnsName)> {
    let mut mounts = Vec::new();
    let read = File::open("/proc/self/mountinfo").and_then(|file| file.take(LONGEST).read_to_end(&mut mounts));
    if read.is_err() {
        return Vec::new();
    }
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        Some((inode_of_link(root)?, place.parse().ok()?))
    };
    String::from_utf8_lossy(&mounts).lines().filter_map(mount).collect()
}

/// Notes the processes that hold TUN and TAP devices.
fn note_holders(reading: &mut Reading, seen: &mut Seen) {
    let taps = || reading.namespaces.iter().flat_map(|n| &n.links).filter(|link| link.kind == LinkKind::Tun);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for tap in taps() {
        *count.entry(tap.name.as_str()).or_default() += 1;
    }
    let limit = |what: String, why: String| Limit { netns: None, what, why };
    for (name, count) in count.iter().filter(|(_, count)| **count > 1) {
        let why = format!("{count} namespaces have a device of that name, and the kernel does not tell them apart");
        seen.limits.push(limit(format!("which process holds {name}"), why));
    }
    let names: BTreeSet<&str> = count.iter().filter(|(_, count)| **count == 1).map(|(name, _)| *name).collect();
    let holders = processes::holding_devices(&names);
    let unknown: Vec<&str> = names.into_iter().filter(|name| !holders.found.contains_key(*name)).collect();
    if holders.hidden > 0 && !unknown.is_empty() {
        seen.limits.push(limit(format!("which processes hold {}", unknown.join(", ")), NEEDS_PTRACE.into()));
    }
    for link in reading.namespaces.iter_mut().flat_map(|namespace| &mut namespace.links) {
        if link.kind == LinkKind::Tun {
            link.process = holders.found.get(link.name.as_str()).cloned();
        }
    }
}

/// Says which wires still lead out of sight, though everything was looked at that can be found.
fn note_loose_ends(reading: &Reading, seen: &mut Seen) {
    for namespace in &reading.namespaces {
        for link in namespace.links.iter().filter(|link| matches!(link.peer, Peer::Hidden(_))) {
            let (netns, what) = (Some(namespace.name.clone()), format!("where {} leads to", link.name));
            let why = "that namespace has neither a name nor a process here".into();
            seen.limits.push(Limit { netns, what, why });
        }
    }
}

fn name_of_process(pid: u32) -> Option<NetnsName> {
    format!("pid:{pid}").parse().ok()
}
