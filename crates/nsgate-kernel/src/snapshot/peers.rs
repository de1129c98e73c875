//! Where the other ends of wires are.
//!
//! A namespace knows others by numbers of its own. Each namespace with peers elsewhere is asked once which number it has
//! for which of the namespaces that were read; what one end of a wire tells is used for the other end, so a gateway with
//! thousands of wires answers for all its members.

use std::collections::BTreeMap;

use nsgate_core::model::{Link, LinkIndex, LinkKind, Namespace, Peer};

use super::namespace::Hidden;
use crate::error::Error;
use crate::netlink::{Protocol, Socket};
use crate::netns::{Netns, visit};
use crate::rtnetlink;

/// For each namespace: the place, in the list of namespaces, of what it knows by a number.
type Known = Vec<BTreeMap<i32, usize>>;

/// Finds the namespaces of hidden peers. All three lists are in the same order.
pub(super) fn resolve(namespaces: &mut [Namespace], wires: &[Vec<Hidden>], open: &[Netns]) -> Result<(), Error> {
    let mut known: Known = vec![BTreeMap::new(); namespaces.len()];
    let asked = unresolved(namespaces, wires);
    let mut next = asked.iter().copied();
    let answers = visit(asked.iter().map(|place| &open[*place]), |_| {
        let Some(place) = next.next() else { return Ok(()) };
        if wires[place].iter().all(|wire| known[place].contains_key(&wire.netnsid)) {
            return Ok(());
        }
        let mut socket = Socket::open(Protocol::Route)?;
        let numbers = rtnetlink::netnsids(&mut socket, open)?;
        for (there, number) in numbers.into_iter().enumerate() {
            known[place].extend(number.map(|number| (number, there)));
        }
        infer(namespaces, wires, &mut known, place);
        Ok(())
    })?;
    // A namespace that cannot be asked keeps its peers hidden, which is what it looks like from outside.
    drop::<Vec<Result<Result<(), Error>, Error>>>(answers);
    let names: Vec<_> = namespaces.iter().map(|namespace| namespace.name.clone()).collect();
    for (place, namespace) in namespaces.iter_mut().enumerate() {
        for wire in &wires[place] {
            let Some(there) = known[place].get(&wire.netnsid) else { continue };
            if let Some(link) = namespace.links.iter_mut().find(|link| link.index == wire.link) {
                reveal(link, &names[*there]);
            }
        }
    }
    Ok(())
}

/// The namespaces with wires of which it is not known yet where they lead: whoever is known is not asked again.
fn unresolved(namespaces: &[Namespace], wires: &[Vec<Hidden>]) -> Vec<usize> {
    let leads_out_of_sight = |place: &usize| {
        let namespace = &namespaces[*place];
        let hidden = |wire: &Hidden| namespace.link(wire.link).is_some_and(|l| matches!(l.peer, Peer::Hidden(_)));
        wires[*place].iter().any(hidden)
    };
    (0..wires.len()).filter(leads_out_of_sight).collect()
}

/// Both ends of a veth pair name each other, so what the namespace at `place` knows tells its peers' numbers for it.
fn infer(namespaces: &[Namespace], wires: &[Vec<Hidden>], known: &mut Known, place: usize) {
    for wire in &wires[place] {
        let Some(&there) = known[place].get(&wire.netnsid) else { continue };
        let Some(other_end) = other_end(&namespaces[place], wire.link) else { continue };
        let back = wires[there].iter().find(|back| back.link == other_end);
        let names_us = other_end_is(&namespaces[there], other_end, wire.link);
        if let Some(back) = back.filter(|_| names_us) {
            known[there].insert(back.netnsid, place);
        }
    }
}

/// The number, over there, of the other end of a veth pair.
fn other_end(namespace: &Namespace, link: LinkIndex) -> Option<LinkIndex> {
    let link = namespace.link(link).filter(|link| link.kind == LinkKind::Veth)?;
    match link.peer {
        Peer::Hidden(index) | Peer::There(_, index) => Some(index),
        Peer::None | Peer::Here(_) => None,
    }
}

fn other_end_is(namespace: &Namespace, link: LinkIndex, expected: LinkIndex) -> bool {
    other_end(namespace, link) == Some(expected)
}

fn reveal(link: &mut Link, netns: &nsgate_core::model::NetnsName) {
    if let Peer::Hidden(index) = link.peer {
        link.peer = Peer::There(netns.clone(), index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::perform;
    use crate::sandbox::test;
    use crate::snapshot::{Reading, Seen};

    #[test]
    fn nobody_is_asked_again_where_all_is_known() {
        test(|| {
            for line in ["ip netns add a", "ip netns add b", "ip -n a link add x type veth peer name y netns b"] {
                perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
            }
            let mut reading = Reading::default();
            reading.look(&mut Seen::all(&[]).unwrap()).unwrap();
            assert_eq!(unresolved(&reading.namespaces, &reading.wires), Vec::<usize>::new());
            let x = reading.namespaces[1].links.iter_mut().find(|link| link.name.as_str() == "x").unwrap();
            let Peer::There(_, end) = x.peer else { panic!("{x:?}") };
            x.peer = Peer::Hidden(end);
            assert_eq!(unresolved(&reading.namespaces, &reading.wires), [1]);
        });
    }
}
