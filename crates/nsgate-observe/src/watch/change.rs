//! What is no longer as it was when the World was read: a verdict about it would mix two times.

use nsgate_core::model::{Limit, NetnsName, World};
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::{Netns, visit};
use nsgate_kernel::{Error, nftables};

use super::Watch;

/// What is doubtful where something changed.
const WHAT: &str = "all of the probe's way as it was read";

impl Watch {
    /// What of the watched namespaces is no longer as the World has it: the namespaces themselves, and their packet
    /// filters. What the watch itself put there does not count.
    pub fn changed_since(&self, world: &World) -> Vec<Limit> {
        let namespaces: Vec<&Netns> = self.posts.iter().map(|post| &post.netns).collect();
        // Who may not ask finds no change; that the packet filter cannot be read was said before.
        let generations = visit(namespaces, |_| generation()).unwrap_or_default();
        let mut changed = Vec::new();
        for (post, generation) in self.posts.iter().zip(generations) {
            let name = post.netns.name();
            let Some(known) = world.namespace(name) else { continue };
            if known.inode != post.netns.inode() || is_replaced(&post.netns) {
                changed.push(limit(name, format!("the namespace {name} was removed or replaced meanwhile")));
            }
            let ours = self.rules.tables_in(name);
            let expected = known.ruleset.generation.wrapping_add(ours);
            let read = known.ruleset.generation != 0;
            if generation.and_then(|g| g).is_ok_and(|generation| read && generation != expected) {
                changed.push(limit(name, "its packet filter was changed meanwhile".to_owned()));
            }
        }
        changed
    }
}

fn generation() -> Result<u32, Error> {
    nftables::generation(&mut Socket::open(Protocol::Netfilter)?)
}

/// Whether the name means another namespace by now, or none.
fn is_replaced(netns: &Netns) -> bool {
    Netns::open(netns.name()).map_or(true, |now| now.inode() != netns.inode())
}

fn limit(netns: &NetnsName, why: String) -> Limit {
    Limit { netns: Some(netns.clone()), what: WHAT.to_owned(), why }
}
