//! Which tables of ebtables-legacy there are.
//!
//! Since Linux 5.15 a table is made in a namespace when it is first asked for; before, loading its module made it in all.
//! What the hooks of bridges hold tells it, where the kernel can list that (nfnetlink_hook).

use std::collections::BTreeSet;

use rustix::io::Errno;

use crate::error::Error;
use crate::netlink::{Batch, Message, Protocol, Socket};

/// Its tables, with the hook number and priority that only they have (NF_BR_*, NF_BR_PRI_*).
const TABLES: [(&str, u32, i32); 3] = [("filter", 2, -200), ("nat", 0, -300), ("broute", 0, i32::MIN)];

/// `NFNL_MSG_HOOK_GET` of NFNL_SUBSYS_HOOK, for bridges (NFPROTO_BRIDGE).
const GET: u16 = 12 << 8;
const BRIDGE: u8 = 7;
/// `NFNLA_HOOK_*`.
const NUMBER: u16 = 1;
const PRIORITY: u16 = 2;
const FUNCTION: u16 = 4;
/// How many hooks of bridges there are.
const HOOKS: u32 = 5;

/// The first release whose tables are made by asking.
const LAZY: (u32, u32) = (5, 15);

/// The tables that there are in the namespace of this thread.
pub(super) fn tables() -> Result<Vec<&'static str>, Error> {
    let loaded: Vec<_> = TABLES.into_iter().filter(|(name, ..)| is_in_kernel(&format!("ebtable_{name}"))).collect();
    if loaded.is_empty() {
        return Ok(Vec::new());
    }
    let hooks = match hooks() {
        Ok(hooks) => hooks,
        Err(_) if release().is_some_and(|release| release < LAZY) => {
            return Ok(loaded.into_iter().map(|(name, ..)| name).collect());
        }
        Err(error) => return Err(error),
    };
    Ok(loaded
        .into_iter()
        .filter(|(_, hook, priority)| hooks.contains(&(*hook, *priority)))
        .map(|(name, ..)| name)
        .collect())
}

/// The hooks at which ebtables stands, with the priorities.
fn hooks() -> Result<BTreeSet<(u32, i32)>, Error> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let mut found = BTreeSet::new();
    for number in 0..HOOKS {
        let mut batch = Batch::new();
        batch.begin(GET, 0, &[BRIDGE, 0, 0, 0]);
        batch.be32(NUMBER, number);
        match socket.list(&mut batch, "the hooks of bridges", read) {
            Ok(listing) => found.extend(listing.items.into_iter().flatten().map(|priority| (number, priority))),
            // Nothing stands there.
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The priority of one that stands at a hook, if it is ebtables.
#[expect(clippy::option_option, reason = "the outer one says whether the message was understood")]
fn read(message: &Message<'_>) -> Option<Option<i32>> {
    let (_, attributes) = message.split::<4>()?;
    let priority = attributes.find(PRIORITY)?.be32()? as i32;
    let function = attributes.find(FUNCTION).and_then(|name| name.text()).unwrap_or_default();
    Some(function.starts_with("ebt_").then_some(priority))
}

/// Whether a module is loaded, or a part of the kernel itself.
fn is_in_kernel(module: &str) -> bool {
    let loaded = std::fs::read_to_string("/proc/modules").unwrap_or_default();
    if loaded.lines().any(|line| line.split(' ').next() == Some(module)) {
        return true;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let list = std::fs::read_to_string(format!("/lib/modules/{release}/modules.builtin")).unwrap_or_default();
    list.lines().any(|path| path.ends_with(&format!("/{module}.ko")))
}

/// The first two numbers of the kernel's release.
fn release() -> Option<(u32, u32)> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::hostile;

    #[test]
    fn ebtables_is_told_from_others_at_the_hooks() {
        let tell = |function: &str| {
            let priority = [&[8, 0, PRIORITY as u8, 0][..], &(-200_i32).to_be_bytes()].concat();
            let name = [&[4 + function.len() as u8, 0, FUNCTION as u8, 0], function.as_bytes()].concat();
            let payload = [&[BRIDGE, 0, 0, 0][..], &priority, &name].concat();
            read(&Message { kind: GET, flags: 0, sequence: 1, payload: &payload })
        };
        assert_eq!(tell("ebt_do_table"), Some(Some(-200)));
        assert_eq!(tell("nft_do_chain_bridge"), Some(None));
    }

    #[test]
    fn no_bytes_do_harm() {
        hostile::try_on(read);
    }

    #[test]
    fn the_release_is_understood() {
        assert!(release().is_some_and(|release| release > (2, 0)));
    }
}
