//! Watching as it is done by hand: a tcpdump on each of the gateway's two wires, and `nft monitor trace` with a rule that
//! marks the packets in question.

use std::process::Command;

use anyhow::Result;

use super::stage::Beside;
use super::world;

/// Watches for one echo request, as somebody would who knows what he does: everything is ready before it is sent, and
/// each program is ended as soon as its output is there.
const SCRIPT: &str = r"
set -e
folder=$(mktemp -d)
nft 'table inet by-hand { chain prerouting { type filter hook prerouting priority -450; icmp type { echo-request, echo-reply } meta nftrace set 1; }; }'
nft monitor trace > $folder/rules & rules=$!
tcpdump -l -n -i v1 icmp > $folder/v1 2> $folder/v1.ready & v1=$!
tcpdump -l -n -i v2 icmp > $folder/v2 2> $folder/v2.ready & v2=$!
until grep -q listening $folder/v1.ready && grep -q listening $folder/v2.ready; do sleep 0.01; done
ip netns exec n1 ping -n -c 1 -W 1 $1
until grep -q 'echo reply' $folder/v1; do sleep 0.01; done
kill $v1 $v2 $rules
wait
nft delete table inet by-hand
cat $folder/v1 $folder/v2 $folder/rules
rm -r $folder
";

/// The script that traces an echo request from the first member to this address.
pub(super) fn script(destination: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", SCRIPT, "by-hand", destination]).stderr(std::process::Stdio::null());
    command
}

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
