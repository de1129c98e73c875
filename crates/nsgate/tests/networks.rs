//! `plan`, `up`, `down`, `status` and `exec`, as a user runs them, each test in a sandbox of its own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nsgate_core::model::NeighbourState;
use nsgate_kernel::netns::Netns;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::settle::settle;
use nsgate_kernel::{apply, snapshot};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::Value;

/// Three networks: the article's, a bridge of both families, and one without translation.
const THREE: &str = r#"
[gateway.host]
uplink = "eth2"

[network.blue]
subnets = ["1.1.1.0/24"]
gateway-addresses = ["1.1.1.3"]
source-nat = "10.20.30.182"
[network.blue.member.ns_1]
addresses = ["1.1.1.2"]
interface = "veth2"
gateway-interface = "veth3"

[network.red]
kind = "bridge"
subnets = ["10.0.0.0/24", "fd00:7::/64"]
source-nat = "masquerade"
member.web-1 = { addresses = ["10.0.0.11", "fd00:7::11"] }
member.web-2 = { addresses = ["10.0.0.12"] }

[network.plain]
subnets = ["10.9.0.0/24", "fd00:9::/64"]
mtu = 1400
talks-to = ["red"]
member.p1 = {}
member.p2 = {}
"#;

fn nsgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    command.args(arguments).stdin(Stdio::null()).output().expect("nsgate runs")
}

/// Runs nsgate, which must end with this code; gives what it printed on both streams.
#[track_caller]
fn ends(code: i32, arguments: &[&str]) -> (String, String) {
    let output = nsgate(arguments);
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

#[track_caller]
fn json(code: i32, arguments: &[&str]) -> Value {
    serde_json::from_str(&ends(code, arguments).0).expect("JSON")
}

fn build(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// An uplink with the article's address, behind it a world that holds the article's destination.
fn uplink() {
    build(&[
        "ip netns add world",
        "ip link add eth2 type veth peer name w0 netns world",
        // Its own link-local addresses would change by themselves while they are looked for.
        "ip link set eth2 addrgenmode none",
        "ip -n world link set w0 addrgenmode none",
        "ip addr add 10.20.30.182/24 dev eth2",
        "ip -n world addr add 10.20.30.1/24 dev w0",
        "ip -n world addr add 114.114.114.114/32 dev lo",
        "ip -n world link set lo up",
        "ip -n world link set w0 up",
        "ip link set eth2 up",
        "ip route add default via 10.20.30.1 dev eth2",
    ]);
    let names = ["host", "world"].map(|name| Netns::open(&name.parse().unwrap()).unwrap());
    assert_eq!(settle(&names, Duration::from_secs(3)).unwrap(), []);
}

/// The file of a specification.
fn file(name: &str, text: &str) -> String {
    let path = format!("/run/{name}.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Everything that must be as before, one object a line: what nsgate sees, every setting, every file below /run.
fn everything() -> BTreeSet<String> {
    settled();
    let mut lines = BTreeSet::new();
    for netns in snapshot::take(&[]).unwrap().namespaces {
        let name = &netns.name;
        lines.extend(netns.links.iter().map(|link| format!("{name}: {link:?}")));
        lines.extend(netns.routes.iter().map(|route| format!("{name}: {route:?}")));
        lines.extend(netns.rules.iter().map(|rule| format!("{name}: {rule:?}")));
        lines.extend(netns.ruleset.tables.iter().map(|table| format!("{name}: {table:?}")));
        // Other neighbours come and go by themselves.
        let kept = netns.neighbours.iter().filter(|neighbour| neighbour.state == NeighbourState::Permanent);
        lines.extend(kept.map(|neighbour| format!("{name}: {neighbour:?}")));
    }
    settings(Path::new("/proc/sys/net"), &mut lines);
    list(Path::new("/run"), &mut lines);
    lines
}

/// Waits until the kernel has done what it does a moment after a link came up: addresses, routes, carriers.
fn settled() {
    let names = snapshot::take(&[]).unwrap().namespaces.into_iter().map(|netns| netns.name);
    let opened: Vec<Netns> = names.filter_map(|name| Netns::open(&name).ok()).collect();
    assert_eq!(settle(&opened, Duration::from_secs(20)).unwrap(), []);
}

fn settings(folder: &Path, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            settings(&path, lines);
        } else if !path.ends_with("nf_conntrack_count") {
            lines.insert(format!("{} = {}", path.display(), fs::read_to_string(&path).unwrap_or_default().trim()));
        }
    }
}

fn list(folder: &Path, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        lines.insert(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), lines);
        }
    }
}

/// Everything must be as before; what is not is named.
#[track_caller]
fn as_before(before: &BTreeSet<String>) {
    let now = everything();
    let (gone, new): (Vec<_>, Vec<_>) = (before.difference(&now).collect(), now.difference(before).collect());
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}

/// Whether an echo request from a namespace is answered.
#[track_caller]
fn reaches(from: &str, destination: &str) {
    let trace = json(0, &["trace", from, destination, "--json"]);
    assert_eq!(trace["verdict"]["cause"], "delivered", "{trace:#}");
}

#[test]
fn up_then_down_leaves_everything_as_it_was() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        let (_, errors) = ends(0, &["up", &three]);
        assert_eq!(errors, "");
        assert_ne!(everything(), before);
        reaches("ns_1", "114.114.114.114");
        reaches("web-2", "114.114.114.114");
        reaches("p1", "10.9.0.3");
        reaches("p2", "fd00:7::11");
        assert!(!Path::new("/run/nsgate/three/journal").exists());
        let (words, _) = ends(0, &["down"]);
        assert_eq!(words, "three is gone (9 steps).\n");
        as_before(&before);
        assert_eq!(ends(0, &["down"]).0, "Nothing stands.\n");
    });
}

#[test]
fn applying_twice_changes_nothing() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let planned = json(0, &["plan", &three, "--json"]);
        let done = json(0, &["up", &three, "--json"]);
        assert_eq!(planned, done, "what was planned is what was done");
        let stands = everything();
        assert_eq!(json(0, &["up", &three, "--json"])["steps"], Value::Array(vec![]));
        assert_eq!(json(0, &["plan", &three, "--json"])["steps"], Value::Array(vec![]));
        assert_eq!(ends(0, &["plan", &three]).0, "three stands as it is wanted: nothing to do.\n");
        as_before(&stands);
    });
}

#[test]
fn looking_changes_nothing() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        ends(0, &["plan", &three]);
        ends(1, &["status", &three]);
        ends(0, &["status"]);
        as_before(&before);
    });
}

#[test]
fn drift_is_shown_and_mended() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        ends(0, &["up", &three]);
        assert_eq!(json(0, &["status", &three, "--json"])["instances"][0]["as_wanted"], true);
        build(&["ip -n ns_1 route del default", "ip link del red-web-1", "sysctl -w net.ipv4.conf.eth2.forwarding=0"]);
        let status = json(1, &["status", &three, "--json"]);
        assert_eq!(status["instances"][0]["as_wanted"], false);
        let (words, _) = ends(1, &["status", &three]);
        assert!(words.contains("ip -n ns_1 route add default via 1.1.1.3 dev veth2 proto 215"), "{words}");
        ends(0, &["up", &three]);
        ends(0, &["status", &three]);
        reaches("web-1", "114.114.114.114");
    });
}

#[test]
fn what_a_file_no_longer_wants_goes() {
    test(|| {
        uplink();
        let before = everything();
        let three = file("three", THREE);
        ends(0, &["up", &three]);
        let (head, _) = THREE.split_once("[network.red]").unwrap();
        file("three", head);
        ends(0, &["up", &three]);
        let status = json(0, &["status", &three, "--json"]);
        assert_eq!(status["instances"][0]["networks"].as_array().unwrap().len(), 1);
        reaches("ns_1", "114.114.114.114");
        let v6 = "/proc/sys/net/ipv6/conf/eth2/force_forwarding";
        assert_eq!(
            fs::read_to_string(v6).map_or("0".into(), |v| v.trim().to_owned()),
            "0",
            "nobody needs it any longer"
        );
        // It goes without its file too, by name.
        fs::remove_file(&three).unwrap();
        ends(0, &["down", "three"]);
        as_before(&before);
    });
}

#[test]
fn a_refusal_in_the_middle_leaves_everything_as_it_was() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        // A name left over from a crash, on which nothing is mounted.
        fs::write("/run/netns/p2", "").unwrap();
        let before = everything();
        let (_, errors) = ends(3, &["up", &three]);
        assert!(errors.contains("p2") && errors.contains("nothing is mounted there"), "{errors}");
        as_before(&before);
        fs::remove_file("/run/netns/p2").unwrap();
    });
}

#[test]
fn a_changed_file_leads_to_the_change_or_leaves_what_stood() {
    test(|| {
        uplink();
        let before = everything();
        let three = file("three", THREE);
        ends(0, &["up", &three]);
        let other = THREE
            .replace("kind = \"bridge\"", "kind = \"routed\"")
            .replace("subnets = [\"10.9.0.0/24\"", "kind = \"bridge\"\nsubnets = [\"10.9.0.0/24\"")
            .replace("gateway-addresses = [\"1.1.1.3\"]", "gateway-addresses = [\"1.1.1.254\"]")
            .replace("member.p2 = {}", "member.p3 = {}");
        // The name of the new member is one left over from a crash: the kernel's refusal comes in the middle.
        fs::write("/run/netns/p3", "").unwrap();
        let changed = file("changed", &format!("name = \"three\"\n{other}"));
        let (_, errors) = ends(3, &["up", &changed]);
        assert!(errors.contains("p3"), "{errors}");
        fs::remove_file("/run/netns/p3").unwrap();
        ends(0, &["status", &three]);
        reaches("p2", "fd00:7::11");
        ends(0, &["up", &changed]);
        ends(0, &["status", &changed]);
        reaches("ns_1", "114.114.114.114");
        reaches("web-1", "10.0.0.12");
        reaches("p3", "fd00:7::11");
        ends(0, &["up", &three]);
        ends(0, &["status", &three]);
        ends(0, &["down", "three"]);
        fs::remove_file(&changed).unwrap();
        fs::remove_file(&three).unwrap();
        as_before(&before);
    });
}

#[test]
fn a_killed_up_is_taken_back_by_the_next_command() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        for milliseconds in [0, 1, 2, 4, 6, 8, 10, 12, 15, 20, 25, 30, 40] {
            let mut up = Command::new(env!("CARGO_BIN_EXE_nsgate"));
            let mut child = up.args(["up", &three]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            child.kill().unwrap();
            child.wait().unwrap();
            if milliseconds % 2 == 0 {
                ends(0, &["up", &three]);
                ends(0, &["status", &three]);
                reaches("ns_1", "114.114.114.114");
            }
            ends(0, &["down", "three"]);
            as_before(&before);
        }
    });
}

/// Runs `nsgate up` where no file may grow beyond `bytes`; the kernel ends the process, or refuses what it writes, at the
/// first byte too many. The journal grows by one note a step, so every step has its bound.
fn bounded_up(file: &str, bytes: u64, refused: bool) -> Output {
    let bound = |resource, current| {
        let maximum = getrlimit(resource).maximum;
        setrlimit(resource, Rlimit { current, maximum }).unwrap();
    };
    // The end would leave a core behind.
    bound(Resource::Core, Some(0));
    let before = getrlimit(Resource::Fsize).current;
    bound(Resource::Fsize, Some(bytes));
    let ignoring = if refused { "trap '' XFSZ; exec \"$0\" \"$@\"" } else { "exec \"$0\" \"$@\"" };
    let mut command = Command::new("sh");
    let output = command.args(["-c", ignoring, env!("CARGO_BIN_EXE_nsgate"), "up", file]).stdin(Stdio::null()).output();
    bound(Resource::Fsize, before);
    output.unwrap()
}

/// How large the journal of this file's plan is before the first note, in bytes.
fn journal_size(file: &str) -> u64 {
    let (mut small, mut enough) = (0, 1 << 20);
    while enough - small > 1 {
        let middle = u64::midpoint(small, enough);
        bounded_up(file, middle, false);
        let begun = Path::new("/run/nsgate/three/journal").exists() || Path::new("/run/nsgate/three/state").exists();
        *(if begun { &mut enough } else { &mut small }) = middle;
        ends(0, &["down", "three"]);
    }
    enough
}

/// What a plan's steps leave of a journal: a note each.
const NOTE: u64 = "done\n".len() as u64;

#[test]
fn an_up_that_ends_at_any_step_is_taken_back_or_done_again() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        let steps = json(0, &["up", &three, "--json"])["steps"].as_array().unwrap().len() as u64;
        ends(0, &["down", "three"]);
        let begun = journal_size(&three);
        as_before(&before);
        for done in 0..=steps {
            let bound = begun + NOTE * done;
            let ended = bounded_up(&three, bound, false);
            assert_eq!(ended.status.signal(), Some(Signal::XFSZ.as_raw()), "at {done} of {steps}: {ended:?}");
            assert_eq!(fs::metadata("/run/nsgate/three/journal").unwrap().len(), bound, "at {done} of {steps}");
            if done % 2 == 0 {
                ends(0, &["up", &three]);
                ends(0, &["status", &three]);
                let again = json(0, &["up", &three, "--json"]);
                assert_eq!(again["steps"], Value::Array(vec![]), "at {done} of {steps}");
            }
            ends(0, &["down", "three"]);
            as_before(&before);
        }
        let whole = bounded_up(&three, begun + NOTE * steps + "complete\n".len() as u64, false);
        assert!(whole.status.success(), "{whole:?}");
    });
}

#[test]
fn an_up_that_cannot_note_a_step_takes_all_back() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        let steps = json(0, &["up", &three, "--json"])["steps"].as_array().unwrap().len() as u64;
        ends(0, &["down", "three"]);
        let begun = journal_size(&three);
        for done in 0..=steps {
            let refused = bounded_up(&three, begun + NOTE * done, true);
            assert_eq!(refused.status.code(), Some(4), "at {done} of {steps}: {refused:?}");
            as_before(&before);
            assert!(!Path::new("/run/nsgate").exists(), "at {done} of {steps}");
        }
    });
}

#[test]
fn two_instances_share_an_uplink() {
    test(|| {
        uplink();
        let before = everything();
        let one =
            file("one", "[network.a]\nsubnets = [\"10.1.0.0/24\"]\nsource-nat = \"masquerade\"\nmember.a1 = {}\n");
        let two =
            file("two", "[network.b]\nsubnets = [\"10.2.0.0/24\"]\nsource-nat = \"masquerade\"\nmember.b1 = {}\n");
        ends(0, &["up", &one]);
        ends(0, &["up", &two]);
        let (_, errors) = ends(2, &["down"]);
        assert!(errors.contains("one, two"), "{errors}");
        // The first one switched forwarding on; the second one still needs it.
        ends(0, &["down", &one]);
        reaches("b1", "114.114.114.114");
        ends(0, &["down", &two]);
        fs::remove_file(&one).unwrap();
        fs::remove_file(&two).unwrap();
        as_before(&before);
    });
}

#[test]
fn what_nsgate_did_not_make_stays() {
    test(|| {
        uplink();
        build(&[
            "ip netns add ns_1",
            "ip -n ns_1 link add own type bridge",
            "ip link add br-own type bridge",
            "ip rule add from 9.9.9.0/24 priority 100 lookup main",
            "nft 'add table inet filter; add chain inet filter forward { type filter hook forward priority 0; }'",
        ]);
        let three = file("three", THREE);
        let before = everything();
        ends(0, &["up", &three]);
        reaches("ns_1", "114.114.114.114");
        ends(0, &["down", &three]);
        as_before(&before);
    });
}

#[test]
fn routers_of_their_own_lead_out_by_a_bridge_and_by_one_another() {
    test(|| {
        uplink();
        build(&[
            "ip link add br-ex type bridge",
            "ip link set br-ex addrgenmode none",
            "ip link add ex1 type veth peer name w1 netns world",
            "ip link set ex1 addrgenmode none",
            "ip -n world link set w1 addrgenmode none",
            "ip -n world addr add 203.0.113.1/24 dev w1",
            "ip -n world addr add 2001:db8:113::1/64 dev w1 nodad",
            "ip link set ex1 up",
            "ip -n world link set w1 up",
            "ip link set ex1 master br-ex",
            "ip link set br-ex up",
        ]);
        let router = file("router", include_str!("../../../examples/router.toml"));
        // A bridge's state is unknown until a port of its own first loses its carrier: whoever's that port is.
        let up = |lines: BTreeSet<String>| -> BTreeSet<String> {
            let known = |line: String| if line.contains("br-ex") { line.replace("Unknown", "Up") } else { line };
            lines.into_iter().map(known).collect()
        };
        let before = up(everything());
        let (_, errors) = ends(0, &["up", &router]);
        assert_eq!(errors, "");
        for (from, destination) in [
            ("ns_1", "114.114.114.114"),
            ("web-1", "114.114.114.114"),
            ("web-1", "2001:db8:113::1"),
            ("app-1", "114.114.114.114"),
            ("app-1", "10.8.0.3"),
            ("app-1", "10.0.0.11"),
            ("web-1", "10.8.0.2"),
            ("qrouter-8", "203.0.113.1"),
        ] {
            reaches(from, destination);
        }
        ends(0, &["check", &router]);
        let stands = everything();
        assert_eq!(json(0, &["up", &router, "--json"])["steps"], Value::Array(vec![]));
        ends(0, &["status", &router]);
        as_before(&stands);
        // What drifts is mended: a whole router that went, and a wire.
        build(&["ip netns del qrouter-8", "ip link del qrouter-7-br-ex"]);
        ends(1, &["status", &router]);
        ends(0, &["up", &router]);
        reaches("app-1", "114.114.114.114");
        reaches("web-1", "2001:db8:113::1");
        ends(0, &["status", &router]);
        ends(0, &["down", &router]);
        assert_eq!(up(everything()), before);
    });
}

#[test]
fn bad_input_is_refused_before_anything_is_touched() {
    test(|| {
        uplink();
        build(&["ip link add br-own type bridge", "ip addr add 10.7.0.1/16 dev br-own", "ip link set br-own up"]);
        let before = everything();
        for (name, text, place, words) in [
            (
                "long",
                "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.x = { interface = \"sixteen-bytes-xx\" }\n",
                ":3:26",
                "15 is the longest",
            ),
            ("slash", "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.\"a/b\" = {}\n", ":3:8", "holds '/'"),
            (
                "overlap",
                "[network.a]\nsubnets = [\"10.0.0.0/24\"]\n[network.b]\nsubnets = [\"10.0.0.0/25\"]\n",
                ":4:12",
                "overlaps",
            ),
            ("taken", "[network.a]\nsubnets = [\"10.7.7.0/24\"]\n", ":2:12", "in use on br-own"),
            (
                "outside",
                "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.x = { addresses = [\"10.1.0.1\"] }\n",
                ":3:27",
                "in no subnet",
            ),
            ("uplink", "[gateway.host]\nuplink = \"eth9\"\n", ":2:10", "no interface 'eth9'"),
            ("toml", "[network.a\n", ":1:", "not TOML"),
            ("port", "[[publish]]\non = \"10.20.30.182:80/tcp\"\n", ":1:1", "does not say 'to'"),
        ] {
            let path = file(name, text);
            for verb in ["plan", "up"] {
                let (_, errors) = ends(2, &[verb, &path]);
                assert!(errors.contains(&format!("{path}{place}")), "{name}: {errors}");
                assert!(errors.contains(words), "{name}: {errors}");
            }
            fs::remove_file(path).unwrap();
        }
        let large = file("large", &"# much too much\n".repeat(10 << 16));
        assert!(ends(2, &["up", &large]).1.contains("larger than 1048576 bytes"));
        fs::remove_file(large).unwrap();
        fs::write("/run/binary.toml", [0xff, 0xfe]).unwrap();
        assert!(ends(2, &["up", "/run/binary.toml"]).1.contains("not text"));
        fs::remove_file("/run/binary.toml").unwrap();
        assert!(ends(2, &["up", "/run/none.toml"]).1.contains("No such file"));
        assert!(ends(2, &["up", "/run"]).1.contains("cannot read /run"));
        as_before(&before);
    });
}

#[test]
fn a_command_runs_inside() {
    test(|| {
        uplink();
        ends(0, &["up", &file("three", THREE)]);
        let (inside, _) = ends(0, &["exec", "ns_1", "--", "ls", "/sys/class/net"]);
        assert_eq!(inside, "lo\nveth2\n");
        ends(7, &["exec", "ns_1", "--", "sh", "-c", "exit 7"]);
        let (_, errors) = ends(3, &["exec", "ns_2", "--", "true"]);
        assert!(errors.contains("ns_1"), "the nearest name is offered: {errors}");
    });
}

#[test]
#[ignore = "needs Debian's iproute2, procps and nft; run by cargo xtask interop"]
fn the_lines_of_a_plan_do_by_hand_what_up_does() {
    test(|| {
        uplink();
        let three = file("three", THREE);
        let before = everything();
        let plan = json(0, &["plan", &three, "--json"]);
        for step in plan["steps"].as_array().unwrap() {
            let line = step["command"].as_str().unwrap();
            let shell = Command::new("sh").args(["-c", line]).output().unwrap();
            assert!(shell.status.success(), "{line}: {}", String::from_utf8_lossy(&shell.stderr));
        }
        ends(0, &["status", &three]);
        reaches("ns_1", "114.114.114.114");
        ends(0, &["down", "three"]);
        // Whoever does it by hand has to remember what was there before.
        for line in plan["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str()) {
            if let Some(setting) = line.strip_suffix("=1").filter(|line| line.contains(".eth2.")) {
                assert!(Command::new("sh").args(["-c", &format!("{setting}=0")]).status().unwrap().success());
            }
        }
        as_before(&before);
    });
}

/// Two networks of both families behind a gateway, and what is expected of them.
const EXPECTING: &str = r#"
[gateway.host]
uplink = "eth2"
[network.red]
kind = "bridge"
subnets = ["10.7.0.0/24", "fd00:7::/64"]
source-nat = "masquerade"
member.web-1 = {}
member.web-2 = {}
[[expect]]
from = ["web-1", "web-2"]
to = ["114.114.114.114", "web-1:80"]
[[expect]]
from = "web-2"
to = "web-1:81/udp"
reach = false
"#;

#[test]
fn who_reaches_whom_is_tried_and_compared() {
    test(|| {
        uplink();
        let red = file("red", EXPECTING);
        let untried = json(1, &["check", &red, "--json"]);
        assert_eq!(untried["expectations"][0]["result"], "untried", "nothing stands yet: {untried}");

        ends(0, &["up", &red]);
        settled();
        let before = everything();
        let found = json(1, &["check", &red, "--json", "--junit", "/run/red.xml"]);
        fs::remove_file("/run/red.xml").unwrap();
        as_before(&before);
        let lines: Vec<String> = found["expectations"].as_array().unwrap().iter().map(|one| format!("{one}")).collect();
        let told = |from: &str, to: &str| {
            let one =
                found["expectations"].as_array().unwrap().iter().find(|one| one["from"] == from && one["to"] == to);
            let one = one.unwrap_or_else(|| panic!("{from} {to}: {lines:#?}"));
            (one["as_expected"].as_bool().unwrap(), one["result"].as_str().unwrap(), one["cause"]["code"].as_str())
        };
        for from in ["web-1", "web-2"] {
            assert_eq!(told(from, "114.114.114.114"), (true, "answered", None));
            // What the file does not say: its gateway, in both families.
            assert_eq!(told(from, "10.7.0.1"), (true, "answered", None));
            assert_eq!(told(from, "fd00:7::1"), (true, "answered", None));
        }
        // Nobody listens: the host was reached, and did not answer.
        assert_eq!(told("web-2", "[fd00:7::2]:80/tcp"), (false, "arrived", Some("service-closed")));
        assert_eq!(told("web-2", "10.7.0.2:81/udp"), (false, "arrived", Some("service-closed")));
        assert_eq!(lines.len(), 2 + 2 + 2 + 4);
    });
}

#[test]
fn what_must_not_be_reached_is_not_once_a_rule_says_so() {
    test(|| {
        uplink();
        let red = file("red", EXPECTING);
        ends(0, &["up", &red]);
        settled();
        build(&[
            "ip netns exec web-1 nft 'add table inet t'",
            "ip netns exec web-1 nft 'add chain inet t c { type filter hook input priority 0; policy accept; }'",
            "ip netns exec web-1 nft 'add rule inet t c udp dport 81 drop'",
        ]);
        let (told, _) = ends(1, &["check", &red, "--stated", "--junit", "/run/red.xml", "--wait", "300"]);
        assert!(told.contains("✓ web-2 → web-1 10.7.0.2:81/udp"), "{told}");
        assert!(told.contains("not reached: filter-drop"), "{told}");
        assert!(told.contains("✗ web-2 → web-1 10.7.0.2:80/tcp"), "{told}");
        assert!(told.contains("    nsgate trace web-2 10.7.0.2 --tcp 80\n"), "{told}");
        assert!(told.ends_with("2 of 6 otherwise than expected\n"), "{told}");
        for line in told.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let report = fs::read_to_string("/run/red.xml").unwrap();
        assert!(report.contains("tests=\"6\" failures=\"2\" errors=\"0\""), "{report}");
        assert!(
            report.contains("<testcase classname=\"web-2\" name=\"web-2 does not reach 10.7.0.2:81/udp\"/>"),
            "{report}"
        );
    });
}
