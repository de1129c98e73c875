//! Everything of one instance removed, by its marks alone: no specification is needed, nothing unmarked is touched.

use std::collections::BTreeSet;

use super::mark;
use super::step::{Action, Change, Step};
use crate::model::ruleset::Command;
use crate::model::{Address, Link, LinkIndex, LinkKind, Namespace, NetnsName, World};

/// The instances whose marks are in a World.
pub fn instances(world: &World) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for netns in &world.namespaces {
        found.extend(mark::of_namespace(netns).map(|mark| mark.instance().to_owned()));
        found.extend(netns.links.iter().filter_map(mark::of_link).map(|mark| mark.instance().to_owned()));
        found.extend(netns.ruleset.tables.iter().filter_map(mark::instance_of_table).map(str::to_owned));
    }
    found
}

/// The steps that remove an instance. `restore` puts back the settings that its making changed.
pub fn remove(instance: &str, world: &World, restore: &[Step]) -> Vec<Step> {
    let mut steps: Vec<Step> = restore.iter().rev().filter(|step| differs(world, step)).cloned().collect();
    steps.extend(tables(instance, world));
    steps.extend(links(instance, world));
    let made = |netns: &&Namespace| {
        netns.name.is_plain() && mark::of_namespace(netns).is_some_and(|mark| mark.instance() == instance)
    };
    let spaces = world.namespaces.iter().filter(made);
    steps.extend(spaces.map(|netns| Step::host(Action::DeleteNetns(netns.name.clone()))));
    steps
}

/// Whether something is not what the step makes it; a setting that the World does not know is set.
pub(super) fn differs(world: &World, step: &Step) -> bool {
    let Some(netns) = world.namespace(&step.netns) else { return false };
    match &step.action {
        Action::Sysctl { name, value, .. } => super::simulate::value(netns, name).is_none_or(|there| there != *value),
        Action::Address(Change::Delete, gone) => {
            let link = netns.link_named(gone.dev.as_str());
            let ours = |address: &Address| address.net == gone.net && address.protocol == mark::PROTOCOL;
            link.is_some_and(|link| link.addresses.iter().any(ours))
        }
        _ => true,
    }
}

fn tables(instance: &str, world: &World) -> Vec<Step> {
    let ids = [mark::table(instance), mark::bridge_table(instance)];
    let one = |netns: &Namespace| {
        let there = ids.iter().filter(|id| netns.ruleset.table(id.family, &id.name).is_some());
        let commands: Vec<Command> = there.map(|id| Command::DeleteTable { table: id.clone() }).collect();
        let step = |commands| Step::new(&netns.name, Action::Nft { commands, undo: None });
        (!commands.is_empty()).then_some(commands).map(step)
    };
    world.namespaces.iter().filter_map(one).collect()
}

/// Whether several links are in our group, and all of them are this instance's.
fn is_whole_group(instance: &str, netns: &Namespace) -> bool {
    let ours = |link: &Link| mark::of_link(link).is_some_and(|mark| mark.instance() == instance);
    let group: Vec<&Link> = netns.links.iter().filter(|link| link.group == mark::GROUP).collect();
    group.len() > 1 && group.into_iter().all(ours)
}

/// Every link that bears the mark; of a wire one end, the host's if it is there.
fn links(instance: &str, world: &World) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut gone: BTreeSet<(&NetnsName, LinkIndex)> = BTreeSet::new();
    let mut spaces: Vec<_> = world.namespaces.iter().collect();
    spaces.sort_by_key(|netns| !netns.name.is_host());
    for netns in spaces {
        if is_whole_group(instance, netns) {
            // One by one, each would wait for the kernel to forget the one before.
            steps.push(Step::new(&netns.name, Action::DeleteGroup(mark::GROUP)));
            let ours = netns.links.iter().filter(|link| link.group == mark::GROUP);
            let ends = ours.clone().filter_map(|link| world.peer(netns, link));
            gone.extend(ends.map(|(there, end)| (&there.name, end.index)));
            gone.extend(ours.map(|link| (&netns.name, link.index)));
        }
        for link in &netns.links {
            let ours = mark::of_link(link).is_some_and(|mark| mark.instance() == instance);
            if !ours || !gone.insert((&netns.name, link.index)) {
                continue;
            }
            if let Some((there, end)) = world.peer(netns, link).filter(|_| link.kind == LinkKind::Veth) {
                gone.insert((&there.name, end.index));
            }
            steps.push(Step::new(&netns.name, Action::DeleteLink { name: link.name.clone(), was: None }));
        }
    }
    steps
}
