//! `nsgate snapshot`, as a user runs it, each test in a sandbox of its own.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use nsgate_core::model::saved::{SCHEMA, Saved};
use nsgate_kernel::apply;
use nsgate_kernel::sandbox::test;
use nsgate_kernel::snapshot::{self, Reach};

/// Runs nsgate, which must end with this code; gives what it printed on both streams.
#[track_caller]
fn ends(code: i32, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("nsgate runs");
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

fn build() {
    for line in [
        "ip netns add ns_1",
        "ip link add veth3 type veth peer name veth2 netns ns_1",
        "ip addr add 1.1.1.3/24 dev veth3",
        "nft add table ip nsgate_test",
    ] {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_snapshot_is_saved_read_and_shown() {
    test(|| {
        build();
        let saved = Saved::read(ends(0, &["snapshot"]).0.as_bytes()).unwrap();
        assert_eq!((saved.schema, saved.kernel), (SCHEMA, snapshot::kernel_release()));
        // The process that takes the snapshot is in it, and is another one.
        let mut now = snapshot::take_as_far_as(Reach::All, &[]).unwrap();
        now.namespaces[0].processes.clone_from(&saved.world.namespaces[0].processes);
        // What the whole machine shares moves by itself.
        now.machine = saved.world.machine.clone();
        now.limits.clone_from(&saved.world.limits);
        assert_eq!(saved.world, now);
        let file = "/run/world.json";
        assert_eq!(ends(0, &["snapshot", "-o", file]), (String::new(), String::new()));
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(Saved::read(&fs::read(file).unwrap()).unwrap().world.namespaces[1], saved.world.namespaces[1]);
        let shown = ends(0, &["snapshot", "--show", file]).0;
        assert!(shown.contains("veth3 ── veth2 in ns_1") && shown.contains("1.1.1.3/24"), "{shown}");
        let below_the_first_line = |text: &str| text.split_once('\n').unwrap().1.to_owned();
        assert_eq!(below_the_first_line(&ends(0, &["snapshot", "--show"]).0), below_the_first_line(&shown));
    });
}

#[test]
fn only_a_plain_file_is_written_over_and_nothing_is_left_beside_it() {
    test(|| {
        build();
        fs::write("/run/old.json", "old").unwrap();
        fs::set_permissions("/run/old.json", fs::Permissions::from_mode(0o644)).unwrap();
        symlink("old.json", "/run/link.json").unwrap();
        for (file, why) in [
            ("/run/link.json", "not a plain file"),
            ("/dev/null", "not a plain file"),
            ("/run", "not a plain file"),
            ("/run/none/x.json", "No such file"),
        ] {
            let stderr = ends(if why.starts_with("not") { 2 } else { 3 }, &["snapshot", "-o", file]).1;
            assert!(stderr.contains(file) && stderr.contains(why), "{stderr}");
        }
        assert_eq!(fs::read("/run/old.json").unwrap(), b"old");
        ends(0, &["snapshot", "-o", "/run/old.json"]);
        assert_eq!(fs::metadata("/run/old.json").unwrap().permissions().mode() & 0o7777, 0o600);
        let names: Vec<_> = fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("old.json.")), "{names:?}");
    });
}

#[test]
fn what_is_no_snapshot_is_refused_with_its_name() {
    test(|| {
        fs::write("/run/a.json", "{\"schema\": 1}").unwrap();
        fs::write("/run/b.json", "{\"schema\": 99}").unwrap();
        for (file, why) in [
            ("/run/a.json", "not a snapshot: missing field `taken`"),
            ("/run/b.json", "has schema 99"),
            ("/run/c.json", "No such file"),
        ] {
            let stderr = ends(2, &["snapshot", "--show", file]).1;
            assert!(stderr.contains(file) && stderr.contains(why), "{stderr}");
        }
        assert!(ends(3, &["snapshot", "-n", "nowhere"]).1.contains("nowhere"));
    });
}
