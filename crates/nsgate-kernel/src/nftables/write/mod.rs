//! Transactions: all commands are carried out, or none.

mod command;
mod expression;
mod set;

use nsgate_core::model::ruleset::Command;
use rustix::io::Errno;

use self::command::Writer;
use super::numbers::{GENERATION, message};
use crate::error::{Error, Kind};
use crate::netlink::{Batch, Socket};

/// How much of a command an error repeats.
const SHOWN: usize = 200;

/// Carries a transaction out in the namespace of a [`Netfilter`](crate::netlink::Protocol::Netfilter) socket.
///
/// With a generation the kernel refuses it if the ruleset has changed since that one was read. An error names the
/// first command that was refused.
pub fn commit(socket: &mut Socket, commands: &[Command], generation: Option<u32>) -> Result<(), Error> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::new();
    batch.begin(message::BATCH_BEGIN, 0, &header(0, libc::NFNL_SUBSYS_NFTABLES as u16));
    if let Some(generation) = generation {
        batch.be32(GENERATION, generation);
    }
    let mut writer = Writer::new(&mut batch);
    for (place, command) in commands.iter().enumerate() {
        writer.command(place, command);
    }
    let owners = writer.owners();
    batch.begin(message::BATCH_END, 0, &header(0, libc::NFNL_SUBSYS_NFTABLES as u16));
    let answers = socket.send_whole(&mut batch)?;
    let Some((request, refusal)) = answers.refused() else { return Ok(()) };
    // The first request opens the batch; those of the commands follow it.
    let command = request.checked_sub(1).and_then(|r| owners.get(r)).and_then(|place| commands.get(*place));
    match command {
        Some(command) => Err(refusal.clone().error("do", format!("`nft {}`", shortened(&command.to_string())))),
        None if refusal.errno == ERESTART => {
            let why = "it was changed by somebody else meanwhile";
            Err(Error::explained(Kind::Refused, "change", "the packet filter", why))
        }
        None => Err(refusal.clone().error("change", "the packet filter")),
    }
}

/// What the kernel answers if the generation is another one; it is no error number of system calls.
const ERESTART: Errno = Errno::from_raw_os_error(85);

/// `struct nfgenmsg`.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes instructions that name no anonymous sets, for a test that reads them again.
#[cfg(test)]
pub(super) fn write_expressions(batch: &mut Batch, expressions: &[nsgate_core::model::ruleset::Expression]) {
    expression::write_all(batch, expressions, &expression::SetNames::default());
}
