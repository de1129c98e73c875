//! Floating addresses on the uplinks, so that the link answers for them: as single addresses, which bring no route.

use ipnet::IpNet;

use super::{Builder, Site};
use crate::model::{Address, LinkName};
use crate::plan::mark;
use crate::plan::step::{Action, Change, NewAddress, Step};
use crate::spec::{WantedFloating, WantedGateway};

impl Builder<'_> {
    /// The floating addresses on uplinks that are not ours: what is given there is remembered.
    pub(super) fn floating(&mut self, site: Site<'_>) {
        let netns = &site.gateway.netns;
        for uplink in site.gateway.uplinks.iter().filter(|uplink| uplink.wire.is_none()) {
            let has: &[Address] = self.standing(netns, &uplink.interface).map_or(&[], |link| &link.addresses);
            for (_, address) in floating_on(site.gateway, &uplink.interface) {
                let stands = has.iter().any(|one| one.net == address.net && one.protocol == mark::PROTOCOL);
                let step = Step::new(netns, Action::Address(Change::Add, address));
                self.result.rely.push(step.clone());
                if !stands {
                    self.result.restore.extend(step.inverse());
                    self.result.plan.steps.push(step);
                }
            }
        }
    }
}

/// The floating addresses that an uplink holds.
pub(super) fn floating_on<'g>(
    gateway: &'g WantedGateway,
    uplink: &'g LinkName,
) -> impl Iterator<Item = (&'g WantedFloating, NewAddress)> {
    let here = gateway.floating.iter().filter(move |floating| floating.uplink == *uplink);
    here.map(|one| {
        let address = NewAddress::new(one.uplink.clone(), IpNet::from(one.address)).without_dad();
        // As the longest prefix it would become the gateway's own source; IPv4 asks for one of the router's subnet.
        (one, NewAddress { deprecated: one.address.is_ipv6(), ..address })
    })
}
