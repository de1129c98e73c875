//! `cargo xtask interop`: nsgate compared with Debian's own tools.
//!
//! The comparing tests are marked `#[ignore]`, because the others need nothing but a Rust toolchain. Here the tools are
//! installed where that is allowed (root, apt), and then exactly those tests run.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::repository;

/// The Debian package of each program that the comparing tests run.
const PROGRAMS: [(&str, &str); 12] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("arptables-legacy", "arptables"),
    ("ebtables-legacy", "ebtables"),
    ("ipset", "ipset"),
    ("tcpdump", "tcpdump"),
    ("conntrack", "conntrack"),
    ("ping", "iputils-ping"),
    ("sysctl", "procps"),
    ("podman", "podman"),
    ("crun", "crun"),
];

/// Installs what is missing and runs the comparing tests; with a number of rulesets only that comparison, at such length.
pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    let (mut install_allowed, mut rulesets) = (true, None);
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--no-install" => install_allowed = false,
            "--rulesets" => rulesets = Some(arguments.next().context("--rulesets needs a number")?),
            _ => bail!("takes --no-install and --rulesets NUMBER only"),
        }
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        ensure!(install_allowed, "not installed: {}", missing.join(", "));
        install(&missing)?;
    }
    if let Some(number) = rulesets {
        return random_rulesets(number.parse().context("--rulesets needs a number")?);
    }
    let mut tests = Command::new(env!("CARGO"));
    tests.current_dir(repository::root()).args(["test", "--workspace", "--", "--ignored"]);
    Ok(tests.env("PATH", search_path()).status()?.success() && random_rulesets(RULESETS)?)
}

/// How many rulesets are made at random where no number is given, and how many in one sandbox, whose time is short.
const RULESETS: usize = 500;
const AT_ONCE: usize = 500;

/// Compares so many rulesets made at random with nft, each round from a seed of its own.
fn random_rulesets(number: usize) -> Result<bool> {
    for round in 0..number.div_ceil(AT_ONCE) {
        let count = (number - round * AT_ONCE).min(AT_ONCE);
        let mut test = Command::new(env!("CARGO"));
        test.current_dir(repository::root())
            .args(["test", "-q", "-p", "nsgate-kernel", "--lib", "--", "--ignored", "--nocapture"])
            .arg("rulesets_made_at_random")
            .env("NSGATE_RANDOM_RULESETS", count.to_string())
            .env("NSGATE_RANDOM_SEED", (round + 2).to_string());
        if !test.env("PATH", search_path()).status()?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The search path with the folders where Debian puts an administrator's programs.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())
}

fn is_there(program: &str) -> bool {
    search_path().split(':').any(|folder| Path::new(folder).join(program).is_file())
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| -> Result<bool> {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments).stdin(Stdio::null());
        Ok(command.status()?.success())
    };
    ensure!(is_there("apt-get"), "not installed, and there is no apt-get here: {}", packages.join(", "));
    let line = [&["install", "-y", "--no-install-recommends"], packages].concat();
    ensure!(apt(&["update"])? && apt(&line)?, "apt-get could not install {}", packages.join(", "));
    Ok(())
}
