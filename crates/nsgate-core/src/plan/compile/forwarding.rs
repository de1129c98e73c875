//! Forwarding: switched on for the interfaces that need it, never for the whole host where the kernel can do otherwise.
//!
//! IPv4 asks the interface that a packet came in by, so a network's interfaces and the uplink (by which answers come)
//! are enough. IPv6 asks the namespace; Linux 6.17 and later ask the interface too (`force_forwarding`). Where only the
//! whole can be switched, the uplink is first told to go on taking router advertisements.

use super::Builder;
use crate::model::{Family, Link, LinkKind, LinkName, NetnsName, Setting, Sysctl};
use crate::plan::step::Step;
use crate::spec::WantedNetwork;

/// The value of `accept_ra` that holds in spite of forwarding.
const ACCEPT_ALWAYS: i32 = 2;

impl Builder<'_> {
    /// Forwarding of both families.
    pub(super) fn forwarding(&mut self) {
        for family in Family::BOTH {
            let interfaces = self.interfaces(family);
            if interfaces.is_empty() {
                continue;
            }
            let known = |setting| self.host.links.iter().any(|link| link.setting(family, setting).is_some());
            let each = match family {
                Family::V4 => Setting::Forwarding,
                Family::V6 => Setting::ForceForwarding,
            };
            let one_by_one = family == Family::V4 || (known(each) && !self.on(None, family, Setting::Forwarding));
            if one_by_one {
                for name in &interfaces {
                    self.switch_on(name, family, each);
                }
            } else {
                self.forward_all6();
            }
        }
    }

    /// The interfaces that packets of a family come in by: those towards members, and the uplink.
    fn interfaces(&self, family: Family) -> Vec<LinkName> {
        let carries = |network: &&WantedNetwork| network.subnets.iter().any(|net| Family::of(net.addr()) == family);
        let mut names = Vec::new();
        for network in self.wanted.networks.iter().filter(carries) {
            match &network.bridge {
                Some(bridge) => names.push(bridge.clone()),
                None => names.extend(network.members.iter().map(|member| member.gateway_interface.clone())),
            }
        }
        if !names.is_empty() {
            names.extend(self.wanted.uplink.clone());
        }
        names
    }

    fn switch_on(&mut self, name: &LinkName, family: Family, setting: Setting) {
        let Some(word) = setting.name(family) else { return };
        let there = self.standing(&NetnsName::host(), name);
        let before = there.map_or(i32::from(self.on(Some("default"), family, setting)), |link| {
            link.setting(family, setting).unwrap_or(0)
        });
        // What is ours vanishes with its interface; what is not must be put back one day.
        let foreign = there.is_some_and(|link| !self.ours(link));
        self.set(Sysctl::of_link(family, name, word), before, 1, foreign);
    }

    /// The switch of the whole namespace, for kernels that have no other.
    fn forward_all6(&mut self) {
        let takes = |link: &&Link| {
            let accepts = link.setting(Family::V6, Setting::AcceptRa).unwrap_or(0);
            (accepts == 1 || accepts == ACCEPT_ALWAYS) && !self.ours(link) && link.kind != LinkKind::Loopback
        };
        let takers: Vec<(LinkName, i32)> = self
            .host
            .links
            .iter()
            .filter(takes)
            .map(|link| (link.name.clone(), link.setting(Family::V6, Setting::AcceptRa).unwrap_or(0)))
            .collect();
        for (name, before) in takers {
            self.set(Sysctl::of_link(Family::V6, &name, "accept_ra"), before, ACCEPT_ALWAYS, true);
        }
        let before = i32::from(self.on(None, Family::V6, Setting::Forwarding));
        self.set(Sysctl::of_all(Family::V6, "forwarding"), before, 1, true);
    }

    /// Sets a value unless it is so. What is not ours is remembered: what it was, and that it is relied on.
    fn set(&mut self, name: Sysctl, before: i32, value: i32, foreign: bool) {
        let host = NetnsName::host();
        let step = Step::sysctl(&host, name, value.to_string(), Some(&before.to_string()));
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

    /// Whether a setting is on for `all`, or for another word in its place.
    fn on(&self, word: Option<&str>, family: Family, setting: Setting) -> bool {
        let Some(name) = setting.name(family) else { return false };
        let all = Sysctl::of_all(family, name);
        let name = word.map_or(all.as_str().to_owned(), |word| all.as_str().replace(".all.", &format!(".{word}.")));
        self.host.sysctls.number(&name).is_some_and(|number| number != 0)
    }
}
