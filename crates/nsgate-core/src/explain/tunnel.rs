//! `tunnel-unresolved`: an overlay does not know behind which remote end somebody is, or knows it wrongly.

use std::net::IpAddr;

use super::resolution::Unresolved;
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::{ForwardingEntry, Link, LinkKind, Mac, Namespace};
use crate::trace::{Carrier, Sight};

/// The address under which a VXLAN device keeps the remote ends for whatever has no entry of its own.
const EVERYBODY_ELSE: Mac = Mac([0; 6]);

/// What was sent into a VXLAN device has no remote end to go to, or goes to the wrong one.
pub(super) fn unresolved(loss: &Loss<'_>) -> Option<Verdict> {
    let entrance = Entrance::of(loss)?;
    let far = entrance.far_end(loss);
    let verdict = match entrance.entry() {
        // A device that was made with a remote end has an entry for it; if none was read, reading failed.
        None => entrance.missing(far.as_ref())?,
        Some(entry) => entrance.wrong(entry, far.as_ref()?)?,
    };
    Some(match entrance.sight {
        Some(sight) => verdict.shown_by(evidence::seen(loss.world, sight, " and nothing came back")),
        None => verdict,
    })
}

/// The tunnel that a lost packet was sent into by an interface, and where its own packets go, as far as that can be told
/// without having seen one: from this namespace, which holds the tunnel's own address.
pub(super) fn entrance<'a>(loss: &Loss<'a>, out: &'a Link) -> Option<(&'a Link, Option<Carrier>)> {
    let link = tunnel_behind(loss.netns, out)?;
    let entrance = Entrance::of(loss)?;
    let Tunnel { local, remote, port, .. } = entrance.tunnel;
    let entry = entrance.entry();
    let destination = entry.and_then(|entry| entry.remote).or(remote).filter(|remote| !remote.is_multicast());
    let here = local.is_some_and(|local| loss.netns.holder(local).is_some());
    let carrier = destination.filter(|_| here).map(|destination| Carrier {
        source: local,
        destination,
        port: entry.and_then(|entry| entry.port).unwrap_or(port),
    });
    Some((link, carrier))
}

/// Where a frame went into a tunnel.
struct Entrance<'a> {
    netns: &'a Namespace,
    link: &'a Link,
    tunnel: Tunnel,
    /// Whom the frame was for; none: everybody.
    destination: Option<Mac>,
    /// Who was looked for behind the tunnel.
    wanted: IpAddr,
    sight: Option<&'a Sight>,
}

/// What a VXLAN device is set to.
#[derive(Clone, Copy)]
struct Tunnel {
    vni: u32,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    port: u16,
}

/// The other end of a tunnel, where this machine has it.
struct FarEnd<'a> {
    netns: &'a Namespace,
    link: &'a Link,
    tunnel: Tunnel,
}

impl Tunnel {
    fn of(link: &Link) -> Option<Self> {
        match link.kind {
            LinkKind::Vxlan { vni, remote, local, port } => Some(Self { vni, local, remote, port }),
            _ => None,
        }
    }
}

impl<'a> Entrance<'a> {
    fn of(loss: &Loss<'a>) -> Option<Self> {
        let netns = loss.netns;
        if let Some(unresolved) = Unresolved::of(loss) {
            let link = tunnel_behind(netns, unresolved.link)?;
            let (tunnel, sight) = (Tunnel::of(link)?, unresolved.question);
            let destination = sight.and_then(|s| s.header.macs).map(|(_, to)| to).filter(|to| !to.is_group());
            return Some(Self { netns, link, tunnel, destination, wanted: unresolved.asked, sight });
        }
        let Stage::Left(out) = loss.stage else { return None };
        let link = tunnel_behind(netns, out)?;
        let wanted = loss.route().gateway().unwrap_or(loss.destination);
        let destination = loss.header()?.macs.map(|(_, to)| to).filter(|to| !to.is_group());
        Some(Self { netns, link, tunnel: Tunnel::of(link)?, destination, wanted, sight: loss.last })
    }

    /// The entry that the device goes by: the one for the address, or the one for everybody else.
    fn entry(&self) -> Option<&'a ForwardingEntry> {
        let of = |mac| {
            self.netns.forwarding.iter().find(move |e| e.link == self.link.index && e.bridge.is_none() && e.mac == mac)
        };
        self.destination.and_then(of).or_else(|| of(EVERYBODY_ELSE))
    }

    /// The end of the tunnel that should be reached: the one that whoever is looked for has.
    fn far_end(&self, loss: &Loss<'a>) -> Option<FarEnd<'a>> {
        let elsewhere = |n: &&Namespace| n.name != self.netns.name;
        loss.world.namespaces.iter().filter(elsewhere).find_map(|netns| {
            let link = tunnel_behind(netns, netns.holder(self.wanted)?)?;
            Some(FarEnd { netns, link, tunnel: Tunnel::of(link)? })
        })
    }

    fn missing(&self, far: Option<&FarEnd<'_>>) -> Option<Verdict> {
        let (netns, name) = (self.netns, &self.link.name);
        let mac = self.destination.unwrap_or(EVERYBODY_ELSE);
        let whom = self.destination.map_or_else(|| "everybody".to_string(), |mac| mac.to_string());
        let object = format!("fdb entry {mac} of {name} (missing)");
        let summary =
            format!("{name} of {} has no remote end for {whom}: what is sent into it goes nowhere", netns.name);
        let text = format!("{name} (vni {}) has no remote and no forwarding entry for {mac}", self.tunnel.vni);
        let expected = far.and_then(FarEnd::address).map_or_else(|| "a remote end".to_string(), |a| a.to_string());
        let verdict = Verdict::new(Cause::TunnelUnresolved, Place::at(&netns.name, name), object, summary)
            .shown_by(Evidence::new(EvidenceKind::Neighbour, &netns.name, text).differs(expected, "none"))
            .mended_by(match far.and_then(FarEnd::address) {
                Some(address) => mend::add_forwarding(netns, self.link, mac, Some(address)),
                None => crate::plan::Plan::default(),
            })
            .advised(
                "Whatever fills the forwarding database (a control plane, learning, or `remote` when the device is \
                 made) has not told this device where the other end is.",
            );
        self.tunnel.remote.is_none().then_some(verdict)
    }

    /// The entry leads to an end that is not the one that is looked for, or one that speaks another network or port.
    fn wrong(&self, entry: &ForwardingEntry, far: &FarEnd<'_>) -> Option<Verdict> {
        let (vni, port) = (entry.vni.unwrap_or(self.tunnel.vni), entry.port.unwrap_or(self.tunnel.port));
        if vni != far.tunnel.vni || port != far.tunnel.port {
            return Some(self.set_otherwise((vni, port), far));
        }
        let leads_to = entry.remote.filter(|remote| !remote.is_multicast() && far.netns.holder(*remote).is_none())?;
        let (netns, name) = (self.netns, &self.link.name);
        let object = format!("fdb entry {} of {name}, remote {leads_to}", entry.mac);
        let address = far.address();
        let at = address.map_or_else(|| far.netns.name.to_string(), |a| format!("{a} ({})", far.netns.name));
        let summary = format!("{name} of {} sends to {leads_to}, but {} is behind {at}", netns.name, self.wanted);
        let text = format!("{name} (vni {vni}) has {} behind {leads_to}", entry.mac);
        let mut fix = mend::delete_forwarding(netns, self.link, entry);
        if let Some(address) = address {
            fix.steps.extend(mend::add_forwarding(netns, self.link, entry.mac, Some(address)).steps);
        }
        Some(
            Verdict::new(Cause::TunnelUnresolved, Place::at(&netns.name, name), object, summary)
                .shown_by(Evidence::new(EvidenceKind::Neighbour, &netns.name, text).differs(at, leads_to.to_string()))
                .mended_by(fix),
        )
    }

    fn set_otherwise(&self, (vni, port): (u32, u16), far: &FarEnd<'_>) -> Verdict {
        let (netns, name) = (self.netns, &self.link.name);
        let (here, there) =
            (format!("vni {vni}, port {port}"), format!("vni {}, port {}", far.tunnel.vni, far.tunnel.port));
        let object = format!("{name}: {here}; {} of {}: {there}", far.link.name, far.netns.name);
        let summary =
            format!("the two ends of the tunnel to {} do not speak of the same network: {object}", self.wanted);
        let text = format!("{} of {} has {there}", far.link.name, far.netns.name);
        Verdict::new(Cause::TunnelUnresolved, Place::at(&netns.name, name), object, summary)
            .shown_by(Evidence::new(EvidenceKind::Link, &netns.name, text).differs(there, here))
            .advised("Make one of the two again with the network identifier and port of the other.")
    }
}

impl FarEnd<'_> {
    /// The address by which this end is reached.
    fn address(&self) -> Option<IpAddr> {
        let own = || self.netns.links.iter().filter(|l| l.up && l.index != self.link.index).flat_map(|l| &l.addresses);
        let mut own = own().map(|a| a.net.addr()).filter(|a| !a.is_loopback());
        // A device without an address of its own takes what comes to any; only one leaves no doubt which.
        self.tunnel.local.or_else(|| own.next().filter(|_| own.next().is_none()))
    }
}

/// The VXLAN device that an interface is, or that is the only one plugged into the bridge that it is.
fn tunnel_behind<'a>(netns: &'a Namespace, link: &'a Link) -> Option<&'a Link> {
    if Tunnel::of(link).is_some() {
        return Some(link);
    }
    let bridge = Some(link).filter(|l| matches!(l.kind, LinkKind::Bridge(_)))?;
    let mut tunnels = netns.links.iter().filter(|l| l.master == Some(bridge.index) && Tunnel::of(l).is_some());
    let only = tunnels.next()?;
    tunnels.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use crate::explain::fixture::Fixture;
    use crate::model::{ForwardingEntry, ForwardingOrigin, LinkIndex, LinkKind, Mac};
    use crate::trace::Leg;

    /// A tunnel between `ns_1` (10.200.0.2) and `host` (10.200.0.1) that does not know its other end.
    fn overlay() -> Fixture {
        let mut fixture = Fixture::overlay();
        fixture.seen(Leg::Question, "10.200.0.2", "10.200.0.1", &["ns_1:vxlan10>"]);
        fixture
    }

    fn entry(mac: [u8; 6], remote: &str) -> ForwardingEntry {
        ForwardingEntry {
            link: LinkIndex(9),
            mac: Mac(mac),
            bridge: None,
            vlan: None,
            remote: Some(remote.parse().unwrap()),
            port: None,
            vni: None,
            via: None,
            nexthop_object: None,
            origin: ForwardingOrigin::Permanent,
        }
    }

    #[test]
    fn nobody_said_where_the_other_end_is() {
        let fixture = overlay();
        let (cause, place, object) = fixture.verdict();
        assert_eq!((cause.as_str(), place.as_str()), ("tunnel-unresolved", "ns_1/vxlan10"));
        assert_eq!(object, "fdb entry 00:00:00:00:00:00 of vxlan10 (missing)");
        let commands = fixture.explained().fix.commands();
        assert_eq!(commands, ["bridge -n ns_1 fdb add 00:00:00:00:00:00 dev vxlan10 dst 1.1.1.3"]);
    }

    #[test]
    fn the_neighbour_is_known_and_its_place_is_not() {
        let mut fixture = Fixture::overlay();
        fixture.seen(Leg::Request, "10.200.0.2", "10.200.0.1", &["ns_1:vxlan10>"]);
        fixture.framed(("ns_1", "vxlan10"), Some(("host", "vxlan10")));
        let commands = fixture.explained().fix.commands();
        assert_eq!(commands, ["bridge -n ns_1 fdb add 02:00:00:00:0a:01 dev vxlan10 dst 1.1.1.3"]);
        fixture.netns("ns_1").forwarding.push(entry([2, 0, 0, 0, 0xa, 1], "1.1.1.3"));
        assert_ne!(fixture.verdict().0, "tunnel-unresolved");
    }

    #[test]
    fn the_entry_leads_to_another_end() {
        let mut fixture = overlay();
        fixture.netns("ns_1").forwarding.push(entry([0; 6], "1.1.1.9"));
        assert_eq!(fixture.verdict().2, "fdb entry 00:00:00:00:00:00 of vxlan10, remote 1.1.1.9");
        assert_eq!(fixture.explained().fix.commands().len(), 2);
    }

    #[test]
    fn the_two_ends_are_of_different_networks() {
        let mut fixture = overlay();
        fixture.netns("ns_1").forwarding.push(entry([0; 6], "1.1.1.3"));
        assert_ne!(fixture.verdict().0, "tunnel-unresolved");
        let LinkKind::Vxlan { vni, .. } = &mut fixture.link("host", "vxlan10").kind else { panic!() };
        *vni = 11;
        assert_eq!(fixture.verdict().2, "vxlan10: vni 10, port 4789; vxlan10 of host: vni 11, port 4789");
    }
}
