//! What differs between what is wanted and what is, as a plan.
//!
//! A plan from a World that is as wanted has no step. What bears this instance's mark and is no longer wanted is taken
//! apart piece by piece, so that each step can be taken back; what bears no mark, or another's, is never touched. The
//! order of steps: what goes; namespaces, wires, addresses and routes; the packet filter; forwarding; names that go.

mod dismantle;
mod filter;
mod floating;
mod forwarding;
mod limits;
mod routes;
mod uplinks;
mod wires;

use std::collections::BTreeSet;

use super::Plan;
use super::mark::{self, Mark};
use super::step::{Action, Step};
use crate::model::{Link, LinkName, Namespace, NetnsName, World};
use crate::spec::{Wanted, WantedGateway, WantedMember, WantedNetwork};

/// What comes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// The steps from what is to what is wanted.
    pub plan: Plan,
    /// What puts back the settings of what is not ours, once nsgate no longer needs them: to be kept for that day.
    pub restore: Vec<Step>,
    /// The settings of what is not ours that are relied on, as steps that make them so.
    pub rely: Vec<Step>,
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The World has no namespace for the gateway.
    #[error("the namespace of the gateway could not be read")]
    NoGateway,
    /// The name of the uplink cannot stand in a packet filter.
    #[error("nftables cannot name the interface '{0}'")]
    Uplink(String),
}

/// What leads from this World to what is wanted.
pub fn compile(wanted: &Wanted, world: &World) -> Result<Compiled, CompileError> {
    if world.namespace(&NetnsName::host()).is_none() {
        return Err(CompileError::NoGateway);
    }
    let absent = wanted.gateways.iter().filter(|gateway| world.namespace(&gateway.netns).is_none());
    let absent: Vec<Namespace> = absent.map(|gateway| Namespace::new(gateway.netns.clone(), 0)).collect();
    let sites = wanted.gateways.iter().filter_map(|gateway| {
        let home = world.namespace(&gateway.netns);
        Some(Site { gateway, home: home.or_else(|| absent.iter().find(|netns| netns.name == gateway.netns))? })
    });
    let sites: Vec<Site<'_>> = sites.collect();
    let mut builder = Builder { wanted, world, result: Compiled::default(), gone: BTreeSet::new() };
    builder.dismantle_strays();
    for site in sites.iter().filter(|site| !site.gateway.netns.is_host()) {
        builder.namespace(&site.gateway.netns);
    }
    for site in &sites {
        builder.uplinks(*site);
        for network in &site.gateway.networks {
            builder.network(*site, network);
        }
        builder.refusing_routes(*site);
    }
    for site in &sites {
        builder.floating(*site);
        builder.filter(*site)?;
        builder.forwarding(*site);
    }
    builder.delete_namespaces();
    Ok(builder.result)
}

/// A gateway, and its namespace as it stands: with nothing in it where it is still to be made.
#[derive(Clone, Copy)]
struct Site<'a> {
    gateway: &'a WantedGateway,
    home: &'a Namespace,
}

/// A plan in the making.
struct Builder<'a> {
    wanted: &'a Wanted,
    world: &'a World,
    result: Compiled,
    /// Interfaces that an earlier step removes.
    gone: BTreeSet<(NetnsName, LinkName)>,
}

impl<'a> Builder<'a> {
    fn push(&mut self, netns: &NetnsName, action: Action) {
        self.result.plan.steps.push(Step::new(netns, action));
    }

    fn network(&mut self, site: Site<'a>, network: &'a WantedNetwork) {
        if network.bridge.is_some() {
            self.bridge(site, network);
        }
        for member in &network.members {
            self.namespace(&member.netns);
            self.wire(site, network, member);
            let ends = routes::ends(site, network, member);
            self.stray_routes(&ends);
            self.member_addresses(site, network, member);
            self.missing_routes(&ends);
            self.limits(site, network, member);
        }
    }

    /// The namespace of a member or a gateway; one that exists is used as it is.
    fn namespace(&mut self, name: &NetnsName) {
        let there = self.world.namespace(name);
        if there.is_none() {
            self.push(&NetnsName::host(), Action::AddNetns(name.clone()));
        }
        let made = there.is_none_or(|netns| self.made(netns));
        if made {
            let mark = Mark::namespace(&self.wanted.instance);
            self.mark(name, there, &LinkName::loopback(), &mark);
            self.up(name, there.and_then(|netns| netns.link_named("lo")), &LinkName::loopback());
        }
    }

    /// Whether a namespace is this instance's own: made, or still to be made.
    fn is_own(&self, name: &NetnsName) -> bool {
        !name.is_host() && self.world.namespace(name).is_none_or(|netns| self.made(netns))
    }

    /// Whether this instance made a namespace.
    fn made(&self, netns: &Namespace) -> bool {
        mark::of_namespace(netns).is_some_and(|mark| mark.instance() == self.wanted.instance)
    }

    /// Whether this instance made an interface.
    fn ours(&self, link: &Link) -> bool {
        mark::of_link(link).is_some_and(|mark| mark.instance() == self.wanted.instance)
    }

    /// An interface that exists and that no earlier step removes.
    fn standing(&self, netns: &NetnsName, name: &LinkName) -> Option<&'a Link> {
        let link = self.world.namespace(netns)?.link_named(name.as_str())?;
        (!self.gone.contains(&(netns.clone(), name.clone()))).then_some(link)
    }
}

/// The mark of a member's wire.
fn wire_mark(wanted: &Wanted, network: &WantedNetwork, member: &WantedMember) -> Mark {
    Mark::member(&wanted.instance, &network.name, member.netns.as_str())
}

#[cfg(test)]
mod dataplane;
#[cfg(test)]
mod routers;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
