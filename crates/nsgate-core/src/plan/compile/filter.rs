//! The packet filter: one table of ours at each gateway, with static rules, and sets and maps keyed by address or port.
//!
//! However many networks, members and ports there are, a packet meets the same few rules, and each of them concerns only
//! what is ours; what changes with a network, a member or a port is an element, which says in its comment whose it is.
//! What no file asks for has no rule. Everything that differs goes in one transaction.

mod difference;
mod entrances;
mod guard;
mod policy;
mod skeleton;
mod translation;

use super::{Builder, CompileError, Site};
use crate::model::Family;
use crate::model::ruleset::{Command, Ruleset, Table, TableId};
use crate::plan::mark;
use crate::plan::step::Action;
use crate::spec::WantedGateway;
use skeleton::Skeleton;

impl Builder<'_> {
    /// The table of one gateway, as far as it differs.
    pub(super) fn filter(&mut self, site: Site<'_>) -> Result<(), CompileError> {
        let mut routing = Skeleton::default();
        translation::outward(site.gateway, &mut routing);
        entrances::inward(site.gateway, &mut routing);
        policy::policy(self.wanted, site.gateway, &mut routing);
        guard::routed(&self.wanted.instance, site.gateway, &mut routing);
        let mut bridging = Skeleton::default();
        guard::bridged(&self.wanted.instance, site.gateway, &mut bridging);
        let instance = &self.wanted.instance;
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        for (id, skeleton) in [(mark::table(instance), routing), (mark::bridge_table(instance), bridging)] {
            let there = site.home.ruleset.table(id.family, &id.name);
            let wanted = made(site.gateway, &id, skeleton)?;
            if let Some((commands, undo)) = difference::difference(&id, there, wanted.as_ref()) {
                forth.extend(commands);
                back.extend(undo);
            }
        }
        if !forth.is_empty() {
            self.push(&site.gateway.netns, Action::Nft { commands: forth, undo: Some(back) });
        }
        Ok(())
    }
}

/// The wanted table: how it is made, and what it then is; none if it would be empty.
fn made(
    gateway: &WantedGateway,
    id: &TableId,
    skeleton: Skeleton,
) -> Result<Option<(Vec<Command>, Table)>, CompileError> {
    let Some(text) = skeleton.text(id) else { return Ok(None) };
    // Every other name in it was checked when the file was read.
    let unfit = || CompileError::Uplink(names_of(gateway));
    let commands = difference::commands(&text).ok_or_else(unfit)?;
    let mut ruleset = Ruleset::default();
    ruleset.apply(&commands).map_err(|_| unfit())?;
    let table = ruleset.tables.pop().ok_or_else(unfit)?;
    Ok(Some((commands, table)))
}

/// The interfaces whose names stand in the table.
fn names_of(gateway: &WantedGateway) -> String {
    let names: Vec<&str> = gateway.uplinks.iter().map(|uplink| uplink.interface.as_str()).collect();
    names.join(", ")
}

/// The family's number in names, its address type, and its word for headers.
fn words(family: Family) -> (&'static str, &'static str, &'static str) {
    match family {
        Family::V4 => ("4", "ipv4_addr", "ip"),
        Family::V6 => ("6", "ipv6_addr", "ip6"),
    }
}
