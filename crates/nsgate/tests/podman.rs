//! Containers that Debian's Podman runs, as nsgate sees them: by name, from outside through a published port, outwards.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::process::{Command, Stdio};

use nsgate_kernel::apply;
use nsgate_kernel::sandbox::test;
use rustix::mount::{MountFlags, mount};
use serde_json::Value;

/// Runs a program, which must succeed; gives what it printed.
#[track_caller]
fn run(program: &str, arguments: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command.env("CONTAINERS_CONF", "/run/containers.conf").env("CONTAINERS_STORAGE_CONF", "/run/storage.conf");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs `nsgate trace` and gives its verdict's cause, where that holds, and whether it was delivered.
#[track_caller]
fn trace(arguments: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.arg("trace").args(arguments.split_whitespace()).arg("--json").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// An uplink with a world behind it, and what Podman needs to keep everything within this sandbox.
fn build() {
    for line in [
        "ip link set lo up",
        "ip netns add world",
        "ip link add eth0 type veth peer name w0 netns world",
        "ip addr add 192.0.2.2/24 dev eth0",
        "ip link set eth0 up",
        "ip -n world addr add 192.0.2.1/24 dev w0",
        "ip -n world link set w0 up",
        "ip -n world link set lo up",
        "ip -n world addr add 203.0.113.1/32 dev lo",
        "ip route add default via 192.0.2.1",
    ] {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
    mount("none", "/var/lib", "tmpfs", MountFlags::empty(), None).unwrap();
    // Nothing is put there; crun wants to see it.
    mount("none", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).unwrap();
    fs::write(
        "/run/containers.conf",
        "[network]\nnetwork_backend = \"cni\"\nnetwork_config_dir = \"/run/cni\"\n\
         [engine]\nruntime = \"crun\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n",
    )
    .unwrap();
    let storage = "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\n\
                   graphroot = \"/var/lib/containers/storage\"\n";
    fs::write("/run/storage.conf", storage).unwrap();
    // The machine's own programs, and nothing that is written there stays.
    for folder in ["/run/root", "/run/layer/upper", "/run/layer/work"] {
        fs::create_dir_all(folder).unwrap();
    }
    let layers = c"lowerdir=/,upperdir=/run/layer/upper,workdir=/run/layer/work";
    mount("none", "/run/root", "overlay", MountFlags::empty(), layers).unwrap();
}

#[test]
#[ignore = "needs root and Debian's podman and crun; run by cargo xtask interop"]
fn a_container_is_traced_by_its_name() {
    test(|| {
        build();
        let options = "--name web --cgroups=disabled -p 8080:80 --rootfs /run/root";
        run("podman", &format!("run -d {options} /bin/sleep 600"));
        let out = trace("podman:web 203.0.113.1");
        assert_eq!((&out["delivered"], &out["probe"]["from"]), (&true.into(), &"podman:web".into()), "{out:#}");
        // Nothing listens inside: the request comes all the way, through the translation.
        let published = trace("world 192.0.2.2 --tcp 8080");
        let last = published["path"].as_array().unwrap().iter().rfind(|step| step["direction"] == "request").unwrap();
        let netns = out["path"][0]["netns"].as_str().unwrap();
        assert!(netns.starts_with("netns-"), "{netns}");
        assert_eq!((&last["netns"], &last["dev"]), (&netns.into(), &"eth0".into()), "{published:#}");
        run("podman", "stop -t 0 web");
        let gone = trace("podman:web 203.0.113.1");
        assert_eq!(gone["verdict"]["cause"], "not-permitted");
        assert!(gone["verdict"]["summary"].as_str().unwrap().contains("no container of podman is running"), "{gone:#}");
    });
}

#[test]
#[ignore = "needs root and Debian's podman and crun; run by cargo xtask interop"]
fn a_snapshot_shows_containers_by_their_names() {
    test(|| {
        build();
        run("podman", "run -d --name web --cgroups=disabled --rootfs /run/root /bin/sleep 600");
        let page = run(env!("CARGO_BIN_EXE_nsgate"), "snapshot --show --color never");
        assert!(page.contains("└─ cni-podman0 (bridge)\n") && page.contains(" ── eth0 in podman:web\n"), "{page}");
        assert!(page.contains("\npodman:web, also netns-") && page.contains("processes   sleep ("), "{page}");
        assert!(!page.contains("not looked at"), "{page}");
        run("podman", "rm -f -t 0 web");
    });
}
