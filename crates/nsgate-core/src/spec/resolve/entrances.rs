//! Published ports and floating addresses: which gateway, which member, and what is in their way.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Resolver;
use crate::model::{Address, Family, Link, LinkName, Listener, Transport};
use crate::plan::mark;
use crate::spec::{
    At, Diagnostic, Entrance, Floating, PortProtocol, Publish, Wanted, WantedFloating, WantedGateway, WantedMember,
    WantedPublish, fields,
};

impl Resolver<'_> {
    /// Published ports and floating addresses, each at its gateway.
    pub(super) fn entrances(&mut self, wanted: &mut Wanted) {
        let spec = self.spec;
        for publish in &spec.published {
            let Some((own, _)) = self.behind(wanted, &publish.to) else { continue };
            let Some(at) = self.entrance_gateway(wanted, publish, own) else { continue };
            let ports = self.published(wanted, publish);
            let gateway = &mut wanted.gateways[at];
            let meets = |other: &&WantedPublish| ports.iter().any(|port| port.meets(other));
            if let Some(other) = gateway.published.iter().find(meets) {
                let entrance = Entrance { address: other.address, ports: other.ports, protocol: other.protocol };
                let message = format!("{} is published already, as {entrance}", publish.on.value);
                self.found.push(Diagnostic::error(&publish.on.span, message).label("a second time"));
                continue;
            }
            self.listening(gateway, publish, &ports);
            gateway.published.extend(ports);
        }
        for floating in &spec.floating {
            if let Some((gateway, one)) = self.floating(wanted, floating) {
                wanted.gateways[gateway].floating.push(one);
            }
        }
        for publish in &spec.published {
            self.unheld(wanted, publish);
        }
    }

    /// The gateway of a member, by its number, and the member's addresses: all, or the one that is named.
    fn behind(&mut self, wanted: &Wanted, to: &At<String>) -> Option<(usize, Vec<IpAddr>)> {
        let named = to.value.parse::<IpAddr>().ok();
        let meant = |member: &&WantedMember| match named {
            Some(address) => member.addresses.iter().any(|net| net.addr() == address),
            None => member.netns.as_str() == to.value,
        };
        let mut first = None;
        let mut addresses = Vec::new();
        for (number, gateway) in wanted.gateways.iter().enumerate() {
            for member in gateway.networks.iter().flat_map(|network| &network.members).filter(meant) {
                if *first.get_or_insert(number) == number {
                    let own = member.addresses.iter().map(IpNet::addr);
                    addresses.extend(own.filter(|address| named.is_none_or(|named| named == *address)));
                }
            }
        }
        if first.is_none() {
            let error =
                Diagnostic::error(&to.span, format!("there is no member '{}'", to.value)).label("unknown member");
            let names = wanted.networks().flat_map(|network| &network.members).map(|member| member.netns.as_str());
            self.found.push(match fields::nearest(&to.value, names) {
                Some(near) => error.hint(format!("did you mean '{near}'?")),
                None => error.hint("name a member of one of the networks, or its address"),
            });
        }
        Some((first?, addresses))
    }

    fn entrance_gateway(&mut self, wanted: &Wanted, publish: &Publish, own: usize) -> Option<usize> {
        let Some(at) = &publish.gateway else { return Some(own) };
        let there = wanted.gateways.iter().position(|gateway| gateway.name == at.value);
        if there.is_none() {
            let error = Diagnostic::error(&at.span, format!("there is no gateway '{}'", at.value));
            self.found.push(error.label("unknown gateway"));
        }
        there
    }

    /// What one `[[publish]]` comes to: one for each family that it is for and the member has.
    fn published(&mut self, wanted: &Wanted, publish: &Publish) -> Vec<WantedPublish> {
        let Some((own, addresses)) = self.behind(wanted, &publish.to) else { return Vec::new() };
        let members = wanted.gateways[own].networks.iter().flat_map(|network| &network.members);
        let holder =
            |address: IpAddr| members.clone().find(|member| member.addresses.iter().any(|net| net.addr() == address));
        let on = publish.on.value;
        let mut all = Vec::new();
        for family in Family::BOTH {
            let from: Vec<IpNet> =
                publish.from.iter().map(|at| at.value).filter(|net| Family::of(net.addr()) == family).collect();
            let wanted_family = on.address.is_none_or(|address| Family::of(address) == family);
            let nobody = from.is_empty() && !publish.from.is_empty();
            if !wanted_family || nobody {
                continue;
            }
            let Some(to) = addresses.iter().copied().find(|address| Family::of(*address) == family) else {
                if on.address.is_some() {
                    let message = format!("'{}' has no {family} address", publish.to.value);
                    self.found.push(Diagnostic::error(&publish.to.span, message).label("of the other family"));
                }
                continue;
            };
            let Some(member) = holder(to) else { continue };
            all.push(WantedPublish {
                address: on.address,
                protocol: on.protocol,
                ports: on.ports,
                from: IpNet::aggregate(&from),
                member: member.netns.clone(),
                to,
                to_ports: publish.to_ports.unwrap_or(on.ports),
            });
        }
        all
    }

    /// A process that listens where a port is to be published would no longer be reached.
    fn listening(&mut self, gateway: &WantedGateway, publish: &Publish, ports: &[WantedPublish]) {
        let Some(there) = self.world.namespace(&gateway.netns) else { return };
        let transport = match publish.on.value.protocol {
            PortProtocol::Tcp => Transport::Tcp,
            PortProtocol::Udp => Transport::Udp,
            PortProtocol::Sctp => return,
        };
        let range = publish.on.value.ports;
        let hidden = |listener: &&Listener| {
            let families = ports.iter().any(|port| {
                let reached = |family| Family::of(port.to) == family;
                let any = listener.address.is_unspecified();
                let both = any && listener.address.is_ipv6() && !listener.only_v6;
                match port.address {
                    Some(address) if !any => listener.address == address,
                    _ => both || reached(Family::of(listener.address)),
                }
            });
            let port = (range.first..=range.last).contains(&listener.port);
            listener.transport == transport && port && families && !listener.address.is_loopback()
        };
        let Some(listener) = there.listeners.iter().find(hidden) else { return };
        let message = format!(
            "a process of {} listens on {}, and nobody would reach it any longer",
            gateway.netns,
            place(listener)
        );
        // What stands already is not refused: the process came later.
        let id = mark::table(self.instance);
        let table = there.ruleset.table(id.family, &id.name);
        let stands = table.is_some_and(|table| table.sets.iter().any(|set| set.name.starts_with("publish")));
        let diagnostic = if stands {
            Diagnostic::warning(&publish.on.span, message)
        } else {
            Diagnostic::error(&publish.on.span, message)
        };
        let hint = "publish another port, or end that process";
        self.found.push(diagnostic.label("in use").hint(hint));
    }

    /// A floating address: on the uplink whose subnet it is in, or on the one that is named.
    fn floating(&mut self, wanted: &Wanted, floating: &Floating) -> Option<(usize, WantedFloating)> {
        let (gateway, addresses) = self.behind(wanted, &floating.to)?;
        let at = &floating.address;
        let family = Family::of(at.value);
        let Some(to) = addresses.into_iter().find(|address| Family::of(*address) == family) else {
            let message = format!("'{}' has no {family} address", floating.to.value);
            self.found.push(Diagnostic::error(&floating.to.span, message).label("of the other family"));
            return None;
        };
        let one = &wanted.gateways[gateway];
        if one.floating.iter().any(|other| other.to == to) {
            let message = format!("'{}' has a floating address already: only one can be its source", floating.to.value);
            self.found.push(Diagnostic::error(&floating.to.span, message).label("a second one"));
            return None;
        }
        let uplink = self.floating_uplink(one, floating)?;
        if let Some(link) = self.own_holder(one, at.value) {
            let message = format!("{} is an address of {link} itself", at.value);
            let hint = "take another address, or publish single ports of this one";
            self.found.push(Diagnostic::error(&at.span, message).label("in use").hint(hint));
            return None;
        }
        let holds = |member: &&WantedMember| member.addresses.iter().any(|net| net.addr() == to);
        let member = one.networks.iter().flat_map(|network| &network.members).find(holds)?.netns.clone();
        Some((gateway, WantedFloating { address: at.value, uplink, member, to }))
    }

    /// The uplink that is to hold a floating address.
    fn floating_uplink(&mut self, gateway: &WantedGateway, floating: &Floating) -> Option<LinkName> {
        let At { value: address, span } = &floating.address;
        let mut uplinks = gateway.uplinks.iter();
        let found = match &floating.uplink {
            Some(named) => uplinks.find(|uplink| uplink.interface == named.value),
            None => uplinks.find(|uplink| self.subnets(gateway, uplink).any(|net| net.contains(address))),
        };
        if let Some(uplink) = found {
            return Some(uplink.interface.clone());
        }
        self.found.push(if let Some(named) = &floating.uplink {
            let message = format!("gateway '{}' has no uplink '{}'", gateway.name, named.value);
            Diagnostic::error(&named.span, message).label("unknown uplink")
        } else {
            let message = format!("{address} is in no subnet of an uplink of gateway '{}'", gateway.name);
            let hint = "if it is routed here all the same, name the uplink: uplink = \"eth0\"";
            Diagnostic::error(span, message).label("outside").hint(hint)
        });
        None
    }

    /// The interface that holds an address, unless it does so because it is floating.
    fn own_holder(&self, gateway: &WantedGateway, address: IpAddr) -> Option<LinkName> {
        let floats = |one: &Address| one.protocol == mark::PROTOCOL && one.net.prefix_len() == one.net.max_prefix_len();
        let holds = |link: &&Link| link.addresses.iter().any(|one| one.net.addr() == address && !floats(one));
        self.world.namespace(&gateway.netns)?.links.iter().find(holds).map(|link| link.name.clone())
    }

    /// The subnets that an uplink is in.
    fn subnets(
        &self,
        gateway: &WantedGateway,
        uplink: &crate::spec::WantedUplink,
    ) -> impl Iterator<Item = IpNet> + use<> {
        let made = uplink.wire.iter().flat_map(|wire| wire.addresses.iter().copied());
        let there = self.world.namespace(&gateway.netns).and_then(|netns| netns.link_named(uplink.interface.as_str()));
        let standing = there.into_iter().flat_map(|link| link.addresses.iter().map(|address| address.net));
        let wide = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
        made.chain(standing).filter(wide).collect::<Vec<_>>().into_iter()
    }

    /// An address that nobody holds gets nothing from outside, unless it is routed here.
    fn unheld(&mut self, wanted: &Wanted, publish: &Publish) {
        let Some(address) = publish.on.value.address else { return };
        let own = |gateway: &WantedGateway| {
            let wires = gateway.uplinks.iter().filter_map(|uplink| uplink.wire.as_ref());
            let floating = gateway.floating.iter().any(|floating| floating.address == address);
            let networks = gateway.networks.iter().flat_map(|network| &network.gateways);
            let there = self.world.namespace(&gateway.netns).and_then(|netns| netns.holder(address));
            floating
                || there.is_some()
                || wires.flat_map(|wire| &wire.addresses).chain(networks).any(|net| net.addr() == address)
        };
        if !wanted.gateways.iter().any(own) {
            let message = format!("no gateway holds {address}, so the port is reached only if it is routed here");
            self.found.push(Diagnostic::warning(&publish.on.span, message).label("held by nobody here"));
        }
    }
}

impl WantedPublish {
    /// Whether some packet could be meant for two.
    fn meets(&self, other: &Self) -> bool {
        let entrance = |one: &Self| Entrance { address: one.address, ports: one.ports, protocol: one.protocol };
        Family::of(self.to) == Family::of(other.to) && entrance(self).meets(&entrance(other))
    }
}

fn place(listener: &Listener) -> String {
    match (listener.address, listener.transport) {
        (IpAddr::V6(address), transport) => format!("[{address}]:{}/{}", listener.port, word(transport)),
        (address, transport) => format!("{address}:{}/{}", listener.port, word(transport)),
    }
}

fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}
