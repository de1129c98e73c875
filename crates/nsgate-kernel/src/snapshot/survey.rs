//! A World of which only some namespaces are read whole, and of the others the interfaces and addresses.
//!
//! A machine may have a thousand namespaces of which a probe can meet three. Where there are few, all are read at once:
//! to choose would take as long.

use std::collections::BTreeSet;

use nsgate_core::model::{Link, Namespace, NetnsName, Peer, World};

use super::namespace::{self, Depth, Look};
use super::{Reach, Reading, Seen, read_as_far_as};
use crate::error::Error;
use crate::netns::{self, Netns};

/// So many namespaces are read whole without asking which of them matter.
const FEW: usize = 16;

/// A World in the making.
#[derive(Debug)]
pub struct Survey {
    world: World,
    /// The namespaces of the World, in its order.
    open: Vec<Netns>,
    /// Of which everything has been read, by their places.
    whole: BTreeSet<usize>,
}

impl Survey {
    /// Looks at the namespace nsgate runs in, all that have names, those given besides, and those that a wire leads to.
    pub fn begin(besides: &[NetnsName]) -> Result<Self, Error> {
        let mut seen = Seen::all(besides)?;
        let depth = if seen.open.len() > FEW { Depth::Outline } else { Depth::Whole };
        let mut reading = Reading { depth, ..Reading::default() };
        let world = read_as_far_as(&mut reading, &mut seen, Reach::Wired)?;
        let open = reading.open;
        let whole = if depth == Depth::Whole { (0..open.len()).collect() } else { BTreeSet::new() };
        Ok(Self { world, open, whole })
    }

    /// What is known so far.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Whether everything of a namespace is known.
    pub fn is_whole(&self, netns: &NetnsName) -> bool {
        self.place(netns).is_some_and(|place| self.whole.contains(&place))
    }

    /// Reads these whole; false if nothing new was among them.
    pub fn complete<'a>(&mut self, names: impl IntoIterator<Item = &'a NetnsName>) -> Result<bool, Error> {
        let places: BTreeSet<usize> = names.into_iter().filter_map(|name| self.place(name)).collect();
        self.read(&places - &self.whole)
    }

    /// The World with everything in it.
    pub fn complete_all(&mut self) -> Result<bool, Error> {
        let all: BTreeSet<usize> = (0..self.open.len()).collect();
        self.read(&all - &self.whole)
    }

    /// What is known at the end.
    pub fn into_world(self) -> World {
        self.world
    }

    fn place(&self, netns: &NetnsName) -> Option<usize> {
        self.world.namespaces.iter().position(|n| n.name == *netns || n.aliases.contains(netns))
    }

    fn read(&mut self, places: BTreeSet<usize>) -> Result<bool, Error> {
        let open: Vec<&Netns> = places.iter().map(|place| &self.open[*place]).collect();
        let looks = netns::visit_at_once(&open, |netns, settings| namespace::look(netns, Depth::Whole, settings))?;
        for (place, look) in places.iter().zip(looks) {
            // What could not be entered again keeps its outline, and is said.
            let name = self.world.namespaces[*place].name.clone();
            match look {
                Ok(look) => self.fill(*place, look),
                Err(error) => self.world.limits.push(super::limit(&name, &error)),
            }
        }
        let read = !places.is_empty();
        self.whole.extend(places);
        Ok(read)
    }

    /// Puts a whole namespace in the place of its outline.
    fn fill(&mut self, place: usize, look: Look) {
        let outline = &mut self.world.namespaces[place];
        // Whatever the outline lacked is lacking again, and told again.
        self.world.limits.retain(|limit| limit.netns.as_ref() != Some(&outline.name));
        self.world.limits.extend(look.limits);
        let mut whole = look.namespace;
        whole.links.iter_mut().for_each(|link| reveal(link, &outline.links));
        let Namespace { aliases, processes, .. } = std::mem::replace(outline, whole);
        outline.aliases = aliases;
        outline.processes = processes;
    }
}

/// Where a wire leads is known from the outline.
fn reveal(link: &mut Link, outline: &[Link]) {
    let Peer::Hidden(end) = link.peer else { return };
    let known = outline.iter().find(|known| known.index == link.index).map(|known| &known.peer);
    if let Some(Peer::There(netns, known_end)) = known
        && *known_end == end
    {
        link.peer = Peer::There(netns.clone(), end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::perform;
    use crate::sandbox::test;
    use crate::snapshot::take_as_far_as;

    fn name(text: &str) -> NetnsName {
        text.parse().unwrap()
    }

    fn build(line: &str) {
        perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn of_many_only_some_are_read_whole() {
        test(|| {
            for n in 0..FEW {
                build(&format!("ip netns add n{n}"));
                build(&format!("ip link add v{n} type veth peer name eth0 netns n{n}"));
                build(&format!("ip -n n{n} addr add 10.0.{n}.2/24 dev eth0"));
                build(&format!("ip -n n{n} link set eth0 up"));
            }
            let mut survey = Survey::begin(&[]).unwrap();
            let at = |survey: &Survey, netns: &str| survey.world().namespace(&name(netns)).unwrap().clone();
            let outline = at(&survey, "n3");
            let eth0 = outline.link_named("eth0").unwrap();
            assert!(eth0.holds("10.0.3.2".parse().unwrap()) && outline.routes.is_empty());
            assert!(matches!(&eth0.peer, Peer::There(host, _) if host.is_host()), "{:?}", eth0.peer);
            assert!(!survey.is_whole(&name("n3")));

            assert!(survey.complete([&name("n3"), &name("host")]).unwrap());
            assert!(!survey.complete([&name("n3"), &name("nowhere")]).unwrap());
            assert!(survey.is_whole(&name("n3")) && !survey.is_whole(&name("n4")));
            let same = take_as_far_as(Reach::Wired, &[]).unwrap();
            for netns in ["n3", "host"] {
                assert!(&at(&survey, netns) == same.namespace(&name(netns)).unwrap());
            }
            assert!(survey.complete_all().unwrap());
            assert!(survey.into_world().namespaces == same.namespaces);
        });
    }

    #[test]
    fn few_are_read_whole_at_once() {
        test(|| {
            build("ip netns add blue");
            let survey = Survey::begin(&[]).unwrap();
            assert!(survey.is_whole(&name("blue")) && survey.is_whole(&name("host")));
            assert!(survey.into_world().namespaces == take_as_far_as(Reach::Wired, &[]).unwrap().namespaces);
        });
    }
}
