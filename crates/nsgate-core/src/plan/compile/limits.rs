//! How fast members may be, and which ports of a bridge reach one another: settings of the two ends of a wire.
//!
//! What leaves the gateway's end is what the member is sent, what leaves its own end is what it sends: a token bucket at
//! each end limits both ways.

use super::{Builder, Site};
use crate::model::{Handle, Link, LinkName, Namespace, NetnsName};
use crate::plan::link::LinkSetting;
use crate::plan::step::Action;
use crate::plan::traffic_control::RootQueue;
use crate::spec::{Rate, WantedMember, WantedNetwork};

/// What a bucket holds at least, in bytes: several of the largest usual packets.
const SMALLEST_BUCKET: u64 = 15_000;
/// What part of a second's bytes a bucket holds.
const BUCKET: u64 = 100;
/// What part of a second's bytes may wait.
const WAITING: u64 = 20;

impl<'a> Builder<'a> {
    /// The limits of a member, and whether its port reaches other members.
    pub(super) fn limits(&mut self, site: Site<'a>, network: &WantedNetwork, member: &WantedMember) {
        let netns = &site.gateway.netns;
        let near = self.standing(netns, &member.gateway_interface);
        let far = self.standing(&member.netns, &member.interface);
        if network.bridge.is_some() {
            let isolated = network.policy.isolate_members.as_ref().is_some_and(|at| at.value);
            // Who is reached from outside reaches himself so too: where bridges ask the packet filter, that frame goes
            // back out of the port that it came in by.
            let entered = site.gateway.published.iter().map(|one| &one.member);
            let hairpin =
                entered.chain(site.gateway.floating.iter().map(|one| &one.member)).any(|to| *to == member.netns);
            // A port that changes its bridge begins anew.
            let stays = |link: &&Link| {
                let master = link.master.and_then(|index| site.home.link(index));
                master.is_some_and(|master| {
                    Some(&master.name) == network.bridge.as_ref() && self.standing(netns, &master.name).is_some()
                })
            };
            let port = near.filter(stays).and_then(|link| link.port.as_ref());
            let was = [port.is_some_and(|port| port.isolated), port.is_some_and(|port| port.hairpin)];
            let flags: [fn(bool) -> LinkSetting; 2] = [LinkSetting::Isolated, LinkSetting::Hairpin];
            for ((flag, before), wanted) in flags.into_iter().zip(was).zip([isolated, hairpin]) {
                if wanted != before {
                    let (setting, before) = (flag(wanted), Some(flag(before)));
                    self.push(netns, Action::SetLink { name: member.gateway_interface.clone(), setting, before });
                }
            }
        }
        self.queue(netns, near, &member.gateway_interface, member.rate);
        self.queue(&member.netns, far, &member.interface, member.rate);
    }

    fn queue(&mut self, netns: &NetnsName, there: Option<&Link>, name: &LinkName, rate: Option<Rate>) {
        let standing = there.and_then(|link| standing_queue(self.world.namespace(netns)?, link));
        let wanted = rate.map(bucket);
        let same = match (standing, wanted) {
            // The kernel keeps a bucket's size in ticks of its clock: it does not come back as it was given.
            (
                Some(RootQueue::Tbf { rate, limit, .. }),
                Some(RootQueue::Tbf { rate: other, limit: other_limit, .. }),
            ) => rate == other && limit == other_limit,
            // What is no bucket nsgate did not put there.
            (standing, None) => !matches!(standing, Some(RootQueue::Tbf { .. })),
            (_, Some(_)) => false,
        };
        if !same {
            let (queue, before) = (wanted.unwrap_or(RootQueue::Usual), Some(standing.unwrap_or(RootQueue::Usual)));
            self.push(netns, Action::SetQueue { dev: name.clone(), queue, before });
        }
    }
}

/// What is set at a port and goes with its place on the bridge: how it is switched off, and back on.
pub(super) fn port_flags(link: Option<&Link>) -> Vec<(LinkSetting, LinkSetting)> {
    let Some(port) = link.and_then(|link| link.port.as_ref()) else { return Vec::new() };
    let both = [
        (port.isolated, LinkSetting::Isolated(false), LinkSetting::Isolated(true)),
        (port.hairpin, LinkSetting::Hairpin(false), LinkSetting::Hairpin(true)),
    ];
    both.into_iter().filter(|(is_set, ..)| *is_set).map(|(_, off, on)| (off, on)).collect()
}

/// The queue at an interface's root that somebody put there, if it can be made again.
pub(super) fn standing_queue(netns: &Namespace, link: &Link) -> Option<RootQueue> {
    let mut roots = netns.qdiscs.iter().filter(|qdisc| qdisc.link == link.index && qdisc.parent == Handle::ROOT);
    roots.find(|qdisc| qdisc.handle != Handle(0)).and_then(|qdisc| RootQueue::of(&qdisc.kind))
}

/// The bucket of a rate: it fills in ten milliseconds, and what waits longer than fifty is dropped.
fn bucket(rate: Rate) -> RootQueue {
    let bytes = rate.0 / 8;
    let burst = (bytes / BUCKET).max(SMALLEST_BUCKET);
    let limit = (bytes / WAITING).max(2 * burst);
    let fits = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    RootQueue::Tbf { rate: bytes, burst: fits(burst), limit: fits(limit) }
}
