//! The networks of a stage: members behind the gateway that the stage itself is, and rules that concern none of them.
//!
//! Member N is the namespace `nN`, wired by `eth0` to `vN` of the gateway, with 10.A.B.2 behind 10.A.B.1.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A fresh wire passes nothing until the kernel has noticed that it is up.
const SETTLING: Duration = Duration::from_millis(1500);

/// Prepares the gateway: an own place for names, and forwarding.
pub(super) fn prepare() -> Result<()> {
    run(Command::new("mount").args(["-t", "tmpfs", "none", "/run"]), "")?;
    fs::create_dir("/run/netns")?;
    ip("link set lo up\n")?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(())
}

/// Adds the members from `first` to `last`.
pub(super) fn add_members(first: usize, last: usize) -> Result<()> {
    let (mut names, mut wires) = (String::new(), String::new());
    for member in first..=last {
        let net = net(member);
        writeln!(names, "netns add n{member}")?;
        writeln!(wires, "link add v{member} type veth peer name eth0 netns n{member}")?;
        writeln!(wires, "addr add {net}.1/24 dev v{member}\nlink set v{member} up")?;
    }
    ip(&names)?;
    ip(&wires)?;
    for member in first..=last {
        let net = net(member);
        let lines = format!(
            "link set lo up\naddr add {net}.2/24 dev eth0\nlink set eth0 up\nroute add default via {net}.1 dev eth0\n"
        );
        run(Command::new("ip").args(["-n", &format!("n{member}"), "-batch", "-"]), &lines)?;
    }
    thread::sleep(SETTLING);
    Ok(())
}

/// Adds so many rules to the gateway's packet filter, which match nothing that is ever sent here.
pub(super) fn add_foreign_rules(rules: usize) -> Result<()> {
    let mut text =
        "table inet foreign {\nchain forward { type filter hook forward priority 0; policy accept;\n".to_owned();
    for rule in 0..rules {
        let address = format!("172.{}.{}.{}", 16 + rule / 65536, rule / 256 % 256, rule % 256);
        writeln!(text, "ip saddr {address} tcp dport {} counter accept", 1 + rule % 60000)?;
    }
    text.push_str("}\n}\n");
    nft(&text)
}

/// Translates what the first member sends.
pub(super) fn translate() -> Result<()> {
    nft("table ip nat {\nchain postrouting { type nat hook postrouting priority 100;\n\
         ip saddr 10.0.1.0/24 oifname \"v2\" snat to 10.0.2.1\n}\n}\n")
}

/// Feeds lines to `nft -f`.
pub(super) fn nft(text: &str) -> Result<()> {
    run(Command::new("nft").args(["-f", "-"]), text)
}

/// Feeds lines to `ip -batch`.
fn ip(lines: &str) -> Result<()> {
    run(Command::new("ip").args(["-batch", "-"]), lines)
}

/// The first three numbers of a member's addresses.
fn net(member: usize) -> String {
    format!("10.{}.{}", member / 250, member % 250)
}

/// Runs a command that must succeed, with that for its standard input.
fn run(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).spawn().with_context(|| format!("{command:?}"))?;
    child.stdin.take().context("a pipe was asked for")?.write_all(input.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
