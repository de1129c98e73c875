//! The page of `nsgate trace --html`, as a file among others.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod command;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use nsgate_kernel::sandbox::test;

use self::command::{build, trace};

#[test]
fn a_page_is_written_for_its_owner_and_replaces_nothing_but_a_page() {
    test(|| {
        build(&["ip netns add ns_1", "ip -n ns_1 link set lo up"]);
        let (shown, note) = trace(0, "ns_1 127.0.0.1 --html /run/page.html");
        assert!(shown.contains("✓ delivered") && note.contains("/run/page.html"), "{shown}{note}");
        assert_eq!(fs::metadata("/run/page.html").unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string("/run/page.html").unwrap().contains("icmp from ns_1 to 127.0.0.1"));
        trace(1, "ns_1 127.0.0.1 --tcp 9 --brief --html /run/page.html");
        assert!(fs::read_to_string("/run/page.html").unwrap().contains("service-closed"));

        fs::write("/run/work", "<!doctype html>\nsomebody's work").unwrap();
        symlink("/run/page.html", "/run/link").unwrap();
        for (file, why) in
            [("work", "not a page of nsgate"), ("link", "not a plain file"), ("absent/page.html", "cannot write")]
        {
            let code = if file.starts_with("absent") { 3 } else { 2 };
            let (_, error) = trace(code, &format!("ns_1 127.0.0.1 --json --html /run/{file}"));
            assert!(error.contains(why), "{file}: {error}");
        }
        assert!(fs::read_to_string("/run/work").unwrap().ends_with("somebody's work"));
        let left: Vec<_> = fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("page.html.")), "{left:?}");
    });
}

/// The file is where the caller means it, although a lab has a `/run` of its own.
#[test]
fn a_lab_writes_the_page_of_its_trace() {
    test(|| {
        fs::create_dir("/run/pages").unwrap();
        let lab = |file: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
            command.current_dir("/run/pages").args(["lab", "service-closed", "--no-fix", "--html", file]);
            command.output().unwrap()
        };
        for (file, path) in [("/run/pages/a.html", "/run/pages/a.html"), ("b.html", "/run/pages/b.html")] {
            let output = lab(file);
            let note = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && note.contains(&format!("The page is {file}")), "{note}");
            let page = fs::read_to_string(path).unwrap();
            assert!(page.contains("<code>service-closed</code>") && page.ends_with("</html>\n"), "{page}");
        }
        fs::write("/run/pages/work", "somebody's work").unwrap();
        for (file, code, why) in
            [("work", 2, "not a page of nsgate"), ("absent/a.html", 3, "cannot write absent/a.html")]
        {
            let output = lab(file);
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{error}");
            assert!(error.contains(why) && output.stdout.is_empty(), "{error}");
        }
        let mut left: Vec<_> = fs::read_dir("/run/pages").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.html", "b.html", "work"]);
    });
}
