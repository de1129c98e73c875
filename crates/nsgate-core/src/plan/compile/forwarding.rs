//! Forwarding: switched on for the interfaces that need it, never for the whole host where the kernel can do otherwise.
//!
//! IPv4 asks the interface that a packet came in by, so a network's interfaces and the uplink (by which answers come)
//! are enough. A namespace that nsgate made is switched as a whole. IPv6 asks the namespace; Linux 6.17 and later ask the interface too (`force_forwarding`). Where only the
//! whole can be switched, the uplink is first told to go on taking router advertisements.

use super::{Builder, Site};
use crate::model::{Family, Link, LinkKind, LinkName, Setting, Sysctl};
use crate::plan::step::Step;
use crate::spec::{WantedGateway, WantedNetwork, WantedTransit};

/// The value of `accept_ra` that holds in spite of forwarding.
const ACCEPT_ALWAYS: i32 = 2;

impl Builder<'_> {
    /// Forwarding of both families in the namespace of a gateway.
    pub(super) fn forwarding(&mut self, site: Site<'_>) {
        for family in Family::BOTH {
            let interfaces = interfaces(site.gateway, family);
            if interfaces.is_empty() {
                continue;
            }
            if self.is_own(&site.gateway.netns) {
                self.forward_all(site, family);
                continue;
            }
            let known = |setting| site.home.links.iter().any(|link| link.setting(family, setting).is_some());
            let each = match family {
                Family::V4 => Setting::Forwarding,
                Family::V6 => Setting::ForceForwarding,
            };
            let one_by_one = family == Family::V4 || (known(each) && !on(site, None, family, Setting::Forwarding));
            if one_by_one {
                for name in &interfaces {
                    self.switch_on(site, name, family, each);
                }
            } else {
                self.forward_all6(site);
            }
        }
    }

    fn switch_on(&mut self, site: Site<'_>, name: &LinkName, family: Family, setting: Setting) {
        let Some(word) = setting.name(family) else { return };
        let there = self.standing(&site.gateway.netns, name);
        let before = there.map_or(i32::from(on(site, Some("default"), family, setting)), |link| {
            link.setting(family, setting).unwrap_or(0)
        });
        // What is ours vanishes with its interface; what is not must be put back one day.
        let foreign = there.is_some_and(|link| !self.ours(link));
        self.set(site, Sysctl::of_link(family, name, word), before, 1, foreign);
    }

    /// The switch of a whole namespace that is ours.
    fn forward_all(&mut self, site: Site<'_>, family: Family) {
        let name = match family {
            Family::V4 => Sysctl::known("net.ipv4.ip_forward"),
            Family::V6 => Sysctl::of_all(Family::V6, "forwarding"),
        };
        // A namespace that is still to be made may come with either value.
        let before = site.home.sysctls.number(name.as_str()).unwrap_or(0);
        self.set(site, name, i32::from(before != 0), 1, false);
    }

    /// The switch of the whole namespace, for kernels that have no other.
    fn forward_all6(&mut self, site: Site<'_>) {
        let takes = |link: &&Link| {
            let accepts = link.setting(Family::V6, Setting::AcceptRa).unwrap_or(0);
            (accepts == 1 || accepts == ACCEPT_ALWAYS) && !self.ours(link) && link.kind != LinkKind::Loopback
        };
        let takers: Vec<(LinkName, i32)> = site
            .home
            .links
            .iter()
            .filter(takes)
            .map(|link| (link.name.clone(), link.setting(Family::V6, Setting::AcceptRa).unwrap_or(0)))
            .collect();
        for (name, before) in takers {
            self.set(site, Sysctl::of_link(Family::V6, &name, "accept_ra"), before, ACCEPT_ALWAYS, true);
        }
        let before = i32::from(on(site, None, Family::V6, Setting::Forwarding));
        self.set(site, Sysctl::of_all(Family::V6, "forwarding"), before, 1, true);
    }

    /// Sets a value unless it is so. What is not ours is remembered: what it was, and that it is relied on.
    fn set(&mut self, site: Site<'_>, name: Sysctl, before: i32, value: i32, foreign: bool) {
        let step = Step::sysctl(&site.gateway.netns, name, value.to_string(), Some(&before.to_string()));
        if foreign {
            self.result.rely.push(step.clone().forget());
        }
        if before != value {
            if foreign {
                self.result.restore.extend(step.inverse().map(Step::forget));
            }
            self.result.plan.steps.push(step);
        }
    }
}

/// The interfaces that packets of a family come in by: those towards members, and the uplinks.
fn interfaces(gateway: &WantedGateway, family: Family) -> Vec<LinkName> {
    let carries = |network: &&WantedNetwork| network.subnets.iter().any(|net| Family::of(net.addr()) == family);
    let mut names = Vec::new();
    for network in gateway.networks.iter().filter(carries) {
        match &network.bridge {
            Some(bridge) => names.push(bridge.clone()),
            None => names.extend(network.members.iter().map(|member| member.gateway_interface.clone())),
        }
    }
    let carries = |transit: &&WantedTransit| transit.subnets.iter().any(|net| Family::of(net.addr()) == family);
    names.extend(gateway.transits.iter().filter(carries).map(|transit| transit.interface.clone()));
    if !names.is_empty() {
        names.extend(gateway.uplinks.iter().map(|uplink| uplink.interface.clone()));
    }
    names
}

/// Whether a setting of the gateway's namespace is on for `all`, or for another word in its place.
fn on(site: Site<'_>, word: Option<&str>, family: Family, setting: Setting) -> bool {
    let Some(name) = setting.name(family) else { return false };
    let all = Sysctl::of_all(family, name);
    let name = word.map_or(all.as_str().to_owned(), |word| all.as_str().replace(".all.", &format!(".{word}.")));
    site.home.sysctls.number(&name).is_some_and(|number| number != 0)
}
