//! Watching as it is done by hand: a tcpdump on each of the gateway's two wires, and `nft monitor trace` with a rule that
//! marks the packets in question.

use std::process::Command;

use anyhow::Result;

use super::stage::Beside;
use super::world;

/// The programs that watch. They end with this.
pub(super) struct ByHand {
    programs: Vec<Beside>,
}

impl ByHand {
    /// Starts to watch for what goes to a port of UDP.
    pub(super) fn start(port: &str) -> Result<Self> {
        world::nft(&format!(
            "table inet by-hand {{\nchain prerouting {{ type filter hook prerouting priority -450;\n\
             udp dport {port} meta nftrace set 1\n}}\n}}\n"
        ))?;
        let dump = |wire| {
            let filter = format!("udp port {port} or icmp");
            Beside::start(Command::new("tcpdump").args(["-n", "-i", wire, "-w", "/dev/null", &filter]))
        };
        let monitor = Beside::start(Command::new("nft").args(["monitor", "trace"]))?;
        Ok(Self { programs: vec![dump("v1")?, dump("v2")?, monitor] })
    }

    /// Fails if one of them has ended.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        self.programs.iter_mut().try_for_each(Beside::still_runs)
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // What is left of it would spoil what is measured next, and that would be told.
        let _ = world::nft("delete table inet by-hand\n");
    }
}
