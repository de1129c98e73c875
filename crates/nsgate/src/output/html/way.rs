//! The picture's content: the namespaces that a probe came to, in the order it came to them, the interfaces it passed
//! there, and where it was lost. Nothing here knows how large anything is drawn.
//!
//! The request goes down the page. What came back goes up it, through the same boxes as far as it took the same way; what
//! it passed besides gets boxes of its own between them.

use std::net::IpAddr;

use nsgate_core::explain::{Cause, Verdict};
use nsgate_core::model::{Family, Link, LinkIndex, NetnsName, World};
use nsgate_core::trace::{Ending, Leg, Observation, Sight, Stop, Way, planned_path};

use crate::output::telling::telling;

/// How many sights of one lane are drawn: a page is no place for more.
const MOST_SIGHTS: usize = 64;

/// How many namespaces are drawn that the probe did not come to.
const MOST_AHEAD: usize = 6;

/// The whole picture.
pub(super) struct Picture {
    /// The boxes, from top to bottom.
    pub(super) spaces: Vec<Space>,
    /// The request, in the order of time.
    pub(super) down: Vec<Sight>,
    /// What came back.
    pub(super) up: Vec<Sight>,
    /// Where it was lost, if it was.
    pub(super) loss: Option<Loss>,
    /// How many sights are not drawn.
    pub(super) left_out: usize,
}

/// One box.
pub(super) struct Space {
    /// What it is called.
    pub(super) title: String,
    /// What it is to the probe, one line each.
    pub(super) roles: Vec<String>,
    /// What is known of it.
    pub(super) kind: SpaceKind,
    /// Its interfaces, from top to bottom.
    pub(super) interfaces: Vec<Interface>,
    /// What is said of it besides: the cause, where the probe was lost elsewhere.
    pub(super) cause: Option<[String; 2]>,
    netns: Option<NetnsName>,
}

/// What is known of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpaceKind {
    /// The probe, or what came back, was seen in it.
    Seen,
    /// The probe was not seen in it: where routes would lead it next, or where the cause is.
    Ahead,
    /// Whatever lies where nobody can look.
    Beyond,
}

/// One interface of a box.
pub(super) struct Interface {
    /// Its name.
    pub(super) name: String,
    /// Its first address of the probe's family.
    pub(super) address: Option<String>,
    /// Whether it leads into the box for whoever goes down the page, or out of it.
    pub(super) is_entry: bool,
    /// Which sight of the request it is, if it was seen here.
    pub(super) down: Option<usize>,
    /// Which sight of what came back.
    pub(super) up: Option<usize>,
    link: LinkIndex,
}

/// Which way something goes on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// The request.
    Down,
    /// What came back.
    Up,
}

/// Where the probe, or its answer, was lost.
pub(super) struct Loss {
    /// Which of the two was lost.
    pub(super) lane: Lane,
    /// In which box, where it was seen at no interface of the lane.
    pub(super) space: usize,
    /// The code and the object; nothing where the cause is in another box.
    pub(super) cause: Option<[String; 2]>,
}

impl Picture {
    /// The picture of one trace.
    pub(super) fn new(world: &World, observation: &Observation, verdict: &Verdict) -> Self {
        let shown = observation.without_repetition();
        let lost_data = shown.of_lost_data();
        let sights = telling(lost_data.as_ref().unwrap_or(&shown));
        let (mut down, mut up) = lanes(&sights);
        let left_out = down.len().saturating_sub(MOST_SIGHTS) + up.len().saturating_sub(MOST_SIGHTS);
        down.truncate(MOST_SIGHTS);
        up.truncate(MOST_SIGHTS);
        let mut picture = Self { spaces: Vec::new(), down, up, loss: None, left_out };
        let mut draft = Draft { world, observation, picture: &mut picture };
        draft.go_down();
        draft.come_up();
        if verdict.cause != Cause::Delivered {
            draft.lose(verdict);
        }
        draft.name_roles();
        picture
    }

    /// The first box in which something was seen: the sender's own, or the one that a packet came into from outside.
    fn first_seen(&self) -> usize {
        self.spaces.iter().position(|space| space.kind == SpaceKind::Seen).unwrap_or(0)
    }

    /// Whether a sight is at the sender, or as near to him as anybody looks.
    pub(super) fn is_at_sender(&self, lane: Lane, sight: usize) -> bool {
        self.place(lane, sight).is_some_and(|(space, _)| space <= self.first_seen())
    }

    /// Where a sight of a lane is drawn: the box, and the interface in it.
    pub(super) fn place(&self, lane: Lane, sight: usize) -> Option<(usize, usize)> {
        let is_it = |interface: &Interface| interface.of(lane) == Some(sight);
        let mut spaces = self.spaces.iter().enumerate();
        spaces.find_map(|(at, space)| Some((at, space.interfaces.iter().position(is_it)?)))
    }

    /// The sights of a lane.
    pub(super) fn lane(&self, lane: Lane) -> &[Sight] {
        match lane {
            Lane::Down => &self.down,
            Lane::Up => &self.up,
        }
    }

    /// The box in which what came back begins, if the request came to it.
    pub(super) fn turn(&self) -> Option<usize> {
        let last = self.down.len().checked_sub(1)?;
        let (came, _) = self.place(Lane::Down, last)?;
        let (begins, _) = self.place(Lane::Up, 0)?;
        let is_beyond = self.spaces.get(came + 1).is_some_and(|space| space.kind == SpaceKind::Beyond);
        (came == begins).then_some(came + usize::from(is_beyond))
    }
}

impl Interface {
    /// Which sight of a lane it is.
    pub(super) fn of(&self, lane: Lane) -> Option<usize> {
        match lane {
            Lane::Down => self.down,
            Lane::Up => self.up,
        }
    }
}

impl Space {
    fn new(world: &World, netns: &NetnsName, kind: SpaceKind) -> Self {
        let title = world.title(netns).to_string();
        let netns = Some(world.namespace(netns).map_or(netns, |found| &found.name).clone());
        Self { title, roles: Vec::new(), kind, interfaces: Vec::new(), cause: None, netns }
    }

    fn beyond(address: IpAddr) -> Self {
        let roles = vec!["nobody watches here".to_owned()];
        let title = format!("outside: {address}");
        Self { title, roles, kind: SpaceKind::Beyond, interfaces: Vec::new(), cause: None, netns: None }
    }

    /// Whether the first interface is drawn on the upper edge.
    pub(super) fn has_entry(&self) -> bool {
        self.interfaces.first().is_some_and(|interface| interface.is_entry)
    }

    /// Whether the last interface is drawn on the lower edge.
    pub(super) fn has_exit(&self) -> bool {
        self.interfaces.last().is_some_and(|interface| !interface.is_entry)
    }

    /// Whether a lane passes an interface of it.
    pub(super) fn is_on(&self, lane: Lane) -> bool {
        self.interfaces.iter().any(|interface| interface.of(lane).is_some())
    }
}

/// What goes down the page, and what up: the request and what answered it or, where there is none, the search for the
/// neighbour.
fn lanes(sights: &[Sight]) -> (Vec<Sight>, Vec<Sight>) {
    let of = |leg: Leg| sights.iter().filter(|sight| sight.leg == leg).cloned().collect::<Vec<_>>();
    let first = |legs: [Leg; 2]| legs.map(of).into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    match of(Leg::Request) {
        none if none.is_empty() => (of(Leg::Question), of(Leg::Reply)),
        request => (request, first([Leg::Answer, Leg::Error])),
    }
}

/// A picture that is being made.
struct Draft<'a> {
    world: &'a World,
    observation: &'a Observation,
    picture: &'a mut Picture,
}

impl Draft<'_> {
    /// The boxes of the request, one below the other; the first is the sender's.
    fn go_down(&mut self) {
        match self.picture.down.first().filter(|first| first.leg == Leg::Request && first.way == Way::In) {
            Some(first) => self.picture.spaces.push(Space::beyond(first.header.source)),
            None => self.picture.spaces.push(Space::new(self.world, &self.observation.probe.from, SpaceKind::Seen)),
        }
        for at in 0..self.picture.down.len() {
            let sight = self.picture.down[at].clone();
            let netns = self.own_name(&sight.netns);
            if self.picture.spaces.last().is_none_or(|space| space.netns.as_ref() != Some(&netns)) {
                self.picture.spaces.push(Space::new(self.world, &netns, SpaceKind::Seen));
            }
            let interface = self.interface(&netns, sight.link, sight.way == Way::In);
            if let Some(space) = self.picture.spaces.last_mut() {
                space.interfaces.push(Interface { down: Some(at), ..interface });
            }
        }
        if let Some(last) = self.picture.down.last().filter(|last| last.way == Way::Out && self.leaves(last)) {
            self.picture.spaces.push(Space::beyond(last.header.destination));
        }
    }

    /// What came back, from the lowest box up.
    fn come_up(&mut self) {
        let mut lowest = self.picture.spaces.len();
        let mut below = usize::MAX;
        for at in 0..self.picture.up.len() {
            let sight = self.picture.up[at].clone();
            let netns = self.own_name(&sight.netns);
            let known = |space: &Space| space.netns.as_ref() == Some(&netns);
            let reach = (lowest + 1).min(self.picture.spaces.len());
            let Some(space) = self.picture.spaces[..reach].iter().rposition(known) else {
                let mut space = Space::new(self.world, &netns, SpaceKind::Seen);
                let interface = self.interface(&netns, sight.link, sight.way == Way::Out);
                space.interfaces.push(Interface { up: Some(at), ..interface });
                lowest = lowest.min(self.picture.spaces.len());
                self.picture.spaces.insert(lowest, space);
                below = 0;
                continue;
            };
            if space != lowest {
                (lowest, below) = (space, usize::MAX);
            }
            below = self.come_by(space, below, at, &sight);
        }
    }

    /// Notes a sight of what came back in a box, above the interface `below`; gives which interface it is.
    fn come_by(&mut self, space: usize, below: usize, at: usize, sight: &Sight) -> usize {
        let is_entry = sight.way == Way::Out;
        let netns = self.own_name(&sight.netns);
        let new = self.interface(&netns, sight.link, is_entry);
        let interfaces = &mut self.picture.spaces[space].interfaces;
        let reach = below.min(interfaces.len());
        let is_it = |i: &Interface| i.link == sight.link && i.is_entry == is_entry && i.up.is_none();
        if let Some(found) = interfaces[..reach].iter().rposition(is_it) {
            interfaces[found].up = Some(at);
            return found;
        }
        // What comes in from below stands below what it leaves by.
        let place = if is_entry { 0 } else { reach };
        interfaces.insert(place, Interface { up: Some(at), ..new });
        place
    }

    /// Marks where it was lost, and draws what lies ahead of there.
    fn lose(&mut self, verdict: &Verdict) {
        let heard = !matches!(self.observation.ending, Ending::Silence | Ending::Unanswered { .. });
        let lane = if self.picture.up.is_empty() || heard { Lane::Down } else { Lane::Up };
        let last = self.picture.lane(lane).len().checked_sub(1);
        let space = last.and_then(|last| self.picture.place(lane, last)).map_or(0, |(space, _)| space);
        if lane == Lane::Down && self.picture.up.is_empty() {
            self.look_ahead(space);
        }
        let cause = [verdict.cause.code().to_owned(), verdict.object.clone()];
        let to_blame = self.own_name(&verdict.place.netns);
        let is_here = self.picture.spaces[space].netns.as_ref() == Some(&to_blame);
        if !is_here {
            let known = |space: &Space| space.netns.as_ref() == Some(&to_blame);
            let found = self.picture.spaces.iter().position(known).unwrap_or_else(|| {
                self.picture.spaces.push(Space::new(self.world, &to_blame, SpaceKind::Ahead));
                self.picture.spaces.len() - 1
            });
            self.picture.spaces[found].cause = Some(cause.clone());
        }
        self.picture.loss = Some(Loss { lane, space, cause: is_here.then_some(cause) });
    }

    /// The boxes that routes would lead the request to from where it was lost.
    fn look_ahead(&mut self, space: usize) {
        let last = self.picture.down.last().cloned();
        let probe = &self.observation.probe;
        let (netns, source, destination) = match &last {
            Some(last) if last.leg == Leg::Request => (&last.netns, Some(last.header.source), last.header.destination),
            _ => (&probe.from, probe.source, probe.destination),
        };
        let stops = planned_path(self.world, netns, source, destination);
        let Some((here, ahead)) = stops.split_first() else { return };
        let is_out = last.as_ref().is_some_and(|last| last.way == Way::Out);
        if is_out && (here.left != last.as_ref().map(|last| last.link) || ahead.is_empty()) {
            return;
        }
        if let Some(left) = here.left.filter(|_| !is_out) {
            let interface = self.interface(&here.netns, left, false);
            self.picture.spaces[space].interfaces.push(interface);
        }
        for stop in ahead.iter().take(MOST_AHEAD) {
            let space = self.ahead(stop);
            self.picture.spaces.push(space);
        }
    }

    fn ahead(&self, stop: &Stop) -> Space {
        let mut space = Space::new(self.world, &stop.netns, SpaceKind::Ahead);
        space.roles.push("not reached".to_owned());
        for (link, is_entry) in [(stop.entered, true), (stop.left, false)] {
            space.interfaces.extend(link.map(|link| self.interface(&stop.netns, link, is_entry)));
        }
        space
    }

    /// Says of the boxes what they are to the probe.
    fn name_roles(&mut self) {
        let probe = &self.observation.probe;
        let last = self.picture.down.iter().rfind(|sight| sight.leg == Leg::Request);
        let destination = last.map_or(probe.destination, |sight| sight.header.destination);
        for (at, space) in self.picture.spaces.iter_mut().enumerate() {
            if at == 0 && space.kind == SpaceKind::Seen {
                space.roles.insert(0, "it starts here".to_owned());
            }
            let found = space.netns.as_ref().and_then(|netns| self.world.namespace(netns));
            if found.is_some_and(|netns| netns.holder(destination).is_some()) {
                space.roles.push(format!("holds {destination}"));
            }
        }
    }

    /// Whether what leaves here goes where the World does not reach.
    fn leaves(&self, sight: &Sight) -> bool {
        let Some(netns) = self.world.namespace(&sight.netns) else { return true };
        netns.link(sight.link).is_none_or(|link| self.world.peer(netns, link).is_none() && link.master.is_none())
    }

    fn interface(&self, netns: &NetnsName, link: LinkIndex, is_entry: bool) -> Interface {
        let found = self.world.namespace(netns).and_then(|netns| netns.link(link));
        let name = found.map_or_else(|| format!("interface {}", link.0), |link| link.name.to_string());
        let family = Family::of(self.observation.probe.destination);
        let address = found.and_then(|link| address(link, family));
        Interface { name, address, is_entry, down: None, up: None, link }
    }

    /// The name by which the World knows a namespace.
    fn own_name(&self, netns: &NetnsName) -> NetnsName {
        self.world.namespace(netns).map_or(netns, |found| &found.name).clone()
    }
}

/// The first address of this family that is for more than the link, else any of it.
fn address(link: &Link, family: Family) -> Option<String> {
    let of_family = || link.addresses.iter().map(|held| held.net).filter(|net| Family::of(net.addr()) == family);
    let is_of_link = |address: IpAddr| matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let found = of_family().find(|net| !is_of_link(net.addr())).or_else(|| of_family().next());
    found.map(|net| net.to_string())
}
