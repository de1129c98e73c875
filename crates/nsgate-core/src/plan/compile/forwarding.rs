//! Forwarding: switched on for the interfaces that need it, never for the whole host where the kernel can do otherwise.
//!
//! IPv4 asks the interface that a packet came in by, so a network's interfaces and the uplink (by which answers come)
//! are enough. IPv6 asks the namespace; Linux 6.17 and later ask the interface too (`force_forwarding`). Where only the
//! whole can be switched, the uplink is first told to go on taking router advertisements.

use super::Builder;
use crate::model::{Family, Link, LinkName, NetnsName, Setting, Sysctl};
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
            let setting = match family {
                Family::V4 => Setting::Forwarding,
                Family::V6 if self.on(None, family, Setting::Forwarding) => continue,
                Family::V6 if self.host.links.iter().any(|l| l.setting(family, Setting::ForceForwarding).is_some()) => {
                    Setting::ForceForwarding
                }
                Family::V6 => {
                    self.forward_all6();
                    continue;
                }
            };
            for name in interfaces {
                self.switch_on(&name, family, setting);
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
        let host = NetnsName::host();
        let there = self.standing(&host, name);
        let Some(word) = setting.name(family) else { return };
        let value =
            there.map_or(i32::from(self.on(Some("default"), family, setting)), |link| value(link, family, setting));
        if value == 0 {
            let step = Step::sysctl(&host, Sysctl::of_link(family, name, word), "1", Some("0"));
            // What is ours vanishes with its interface; what is not must be put back one day.
            if there.is_some_and(|link| !self.ours(link)) {
                self.result.restore.extend(step.inverse().map(Step::forget));
            }
            self.result.plan.steps.push(step);
        }
    }

    /// The switch of the whole namespace, for kernels that have no other.
    fn forward_all6(&mut self) {
        let host = NetnsName::host();
        let takes = |link: &&Link| value(link, Family::V6, Setting::AcceptRa) == 1;
        let takers: Vec<LinkName> = self
            .host
            .links
            .iter()
            .filter(takes)
            .filter(|l| !self.ours(l) && l.name.as_str() != "lo")
            .map(|l| l.name.clone())
            .collect();
        for name in takers {
            let sysctl = Sysctl::of_link(Family::V6, &name, "accept_ra");
            self.foreign(Step::sysctl(&host, sysctl, ACCEPT_ALWAYS.to_string(), Some("1")));
        }
        self.foreign(Step::sysctl(&host, Sysctl::of_all(Family::V6, "forwarding"), "1", Some("0")));
    }

    /// A setting that is not ours: what it was is kept.
    fn foreign(&mut self, step: Step) {
        self.result.restore.extend(step.inverse().map(Step::forget));
        self.result.plan.steps.push(step);
    }

    /// Whether a setting is on for `all`, or for another word in its place.
    fn on(&self, word: Option<&str>, family: Family, setting: Setting) -> bool {
        let Some(name) = setting.name(family) else { return false };
        let all = Sysctl::of_all(family, name);
        let name = word.map_or(all.as_str().to_owned(), |word| all.as_str().replace(".all.", &format!(".{word}.")));
        self.host.sysctls.number(&name).is_some_and(|number| number != 0)
    }
}

fn value(link: &Link, family: Family, setting: Setting) -> i32 {
    link.setting(family, setting).unwrap_or(0)
}
