//! The labs once more, with Debian's tools in the place of nsgate: they must build the same network, and see the same.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nsgate_core::model::{NetnsName, Transport};
use nsgate_kernel::netns::{self, Netns};
use nsgate_kernel::server::Server;
use nsgate_kernel::{apply, sandbox, settle};
use toml::{Table, Value};

/// Runs a line as an operator would; gives what it printed, or what went wrong.
fn shell(line: &str) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash").args(["-c", line]).env("PATH", path).output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(printed) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn inside(netns: &str, line: &str) -> String {
    if netns == "host" { line.to_owned() } else { format!("ip netns exec {netns} {line}") }
}

fn text<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or("host")
}

/// Every line that a lab runs, in order.
fn lines(lab: &Table) -> Vec<&str> {
    let run = |step: &'static str| lab[step].as_array().into_iter().flatten().filter_map(|step| step.get("run"));
    run("step").filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect()
}

/// Everything that the tools show of a network, without what is made up anew each time.
fn shown(lab: &Table) -> String {
    let added = |line: &&str| line.strip_prefix("ip netns add ").map(str::to_owned);
    let namespaces: BTreeSet<String> = lines(lab).iter().filter_map(added).chain(["host".to_owned()]).collect();
    let mut all = String::new();
    for netns in &namespaces {
        for command in [
            "ip -br -4 addr",
            "ip -br -6 addr show scope global",
            "ip -4 route show table all",
            "ip -6 route show table main",
            "ip rule",
            "bridge link",
            "nft list ruleset",
            "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
        ] {
            let printed = shell(&inside(netns, command)).unwrap_or_else(|error| panic!("{netns}: {command}: {error}"));
            // Numbers of interfaces depend on what was there before; link-local addresses on chance.
            let kept = printed.lines().filter(|line| !line.contains("fe80")).map(|line| {
                let words = line.split_whitespace().map(|word| word.split('@').next().unwrap_or(word));
                words.filter(|word| !word.ends_with(':')).collect::<Vec<_>>().join(" ")
            });
            all.extend([netns, "# ", command, "\n", &kept.collect::<Vec<_>>().join("\n"), "\n"]);
        }
    }
    all
}

/// Waits until everything that was set up carries packets.
fn settle() {
    let names = netns::list().expect("names can be listed");
    let mut namespaces = vec![Netns::host().expect("the sandbox has a namespace")];
    namespaces.extend(names.iter().map(|listed| Netns::open(&listed.name).expect("a listed namespace can be opened")));
    let unsettled = settle::settle(&namespaces, Duration::from_secs(5)).expect("interfaces can be listed");
    assert_eq!(unsettled, []);
}

/// Builds a lab's network with Debian's tools and with ours, and compares what the tools show of each.
fn compare(lab: &Table) {
    for line in lines(lab) {
        shell(line).unwrap_or_else(|error| panic!("Debian's tools refuse `{line}`: {error}"));
    }
    settle();
    let theirs = shown(lab);
    shell("ip -all netns delete; nft flush ruleset; for b in $(ls /sys/class/net); do ip link del $b; done; true")
        .expect("true succeeds");
    while shell("ip -o link").expect("ip runs").lines().count() > 1 {
        sleep(Duration::from_millis(10));
    }
    for line in lines(lab) {
        apply::perform(&line.parse().expect("a step")).unwrap_or_else(|error| panic!("{error}"));
    }
    settle();
    let ours = shown(lab);
    let differences: Vec<_> = theirs.lines().zip(ours.lines()).filter(|(theirs, ours)| theirs != ours).collect();
    assert!(theirs == ours, "Debian's tools first, then ours: {differences:#?}");
}

/// Goes through a lab, mend included, with Debian's tools alone: they must see what the lab says.
fn replay(lab: &Table) {
    let mut services = Vec::new();
    for step in ["step", "mend"].iter().flat_map(|part| lab[*part].as_array().expect("steps")) {
        let table = |key: &str| step.get(key).and_then(Value::as_table);
        for line in step.get("run").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            shell(line).unwrap_or_else(|error| panic!("`{line}`: {error}"));
        }
        if let Some(serve) = table("serve") {
            let netns: NetnsName = text(serve, "netns").parse().expect("a name");
            let address =
                SocketAddr::new(text(serve, "address").parse().expect("an address"), port(serve).expect("a port"));
            let netns = Netns::open(&netns).expect("the lab made it");
            services.push(Server::start(&netns, Transport::Tcp, address).expect("the port is free"));
        }
        if let Some(probe) = table("probe") {
            settle();
            let to = text(probe, "to");
            let command = match port(probe) {
                None => format!("ping -c 1 -W 1 {to}"),
                Some(port) => format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{to}/{port}'"),
            };
            let answered = shell(&inside(text(probe, "from"), &command)).is_ok();
            assert_eq!(answered, text(probe, "expect") == "answered", "{command}");
        }
        if let Some(read) = table("read") {
            let value =
                shell(&inside(text(read, "netns"), &format!("sysctl -n {}", text(read, "sysctl")))).expect("it exists");
            assert_eq!(value.trim(), text(read, "expect"));
        }
        if let Some(list) = table("list") {
            let listed = shell(&inside(text(list, "netns"), "nft list ruleset")).expect("nft lists");
            for words in list["holds"].as_array().into_iter().flatten() {
                assert!(listed.contains(words.as_str().expect("words")), "{words} is not in\n{listed}");
            }
        }
        if let Some(flow) = table("conntrack") {
            let command = format!("conntrack -L -s {} -d {}", text(flow, "source"), text(flow, "destination"));
            let listed = shell(&inside(text(flow, "netns"), &command)).expect("conntrack lists");
            let translated = flow.iter().find(|(key, _)| key.starts_with("translated"));
            let translated = translated.and_then(|(_, address)| address.as_str()).expect("a translation");
            assert!(listed.contains(&format!("={translated} ")), "{translated} is not in\n{listed}");
        }
    }
}

fn port(table: &Table) -> Option<u16> {
    table.get("port").and_then(Value::as_integer).and_then(|port| u16::try_from(port).ok())
}

/// Two tests for each lab: each needs a sandbox of its own.
macro_rules! labs {
    ($($name:ident: $file:literal),+) => {$(
        mod $name {
            #[test]
            #[ignore = "needs Debian's ip, nft and sysctl; run by `cargo xtask interop`"]
            fn is_built_as_debians_tools_build_it() {
                super::sandbox::test(|| super::compare(&include_str!($file).parse().unwrap()));
            }

            #[test]
            #[ignore = "needs Debian's ip, nft, ping and conntrack; run by `cargo xtask interop`"]
            fn shows_debians_tools_the_same() {
                super::sandbox::test(|| super::replay(&include_str!($file).parse().unwrap()));
            }
        }
    )+};
}

labs! {
    article: "../labs/article.toml",
    dnat: "../labs/dnat.toml",
    router: "../labs/router.toml",
    ipv6: "../labs/ipv6.toml"
}
