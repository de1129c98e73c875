//! Every lab that bears the name of a cause, as a user runs it: the loss, its verdict, the mend and the proof.

use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nsgate_core::explain::Cause;
use serde_json::Value;

/// How many labs run at once: most of a lab's time is spent waiting.
const AT_ONCE: usize = 4;

fn nsgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nsgate")).args(arguments).stdin(Stdio::null()).output().expect("nsgate runs")
}

/// The labs of the list whose names begin with a cause that they show.
fn labs_of_causes() -> Vec<String> {
    let list: Value = serde_json::from_slice(&nsgate(&["lab", "--list", "--json"]).stdout).expect("JSON");
    let shows_its_name = |lab: &&Value| {
        let name = lab["name"].as_str().expect("a name");
        lab["codes"].as_array().expect("codes").iter().any(|code| name.starts_with(code.as_str().expect("a code")))
    };
    let names = list.as_array().expect("a list").iter().filter(shows_its_name);
    names.map(|lab| lab["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn every_cause_is_shown_explained_and_mended() {
    let labs = labs_of_causes();
    assert!(labs.len() > 40, "{labs:?}");
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = labs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let output = nsgate(&["lab", name]);
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    if said.contains("this kernel cannot show it") {
                        eprintln!("not run: {name}: {said}");
                    } else if !output.status.success() {
                        let told = String::from_utf8_lossy(&output.stdout);
                        failures.lock().unwrap().push(format!("{name}:\n{told}{said}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} labs fail:\n{}", failures.len(), labs.len(), failures.join("\n"));
}

/// The causes that a lab's traces say the packet would meet next.
fn further(lab: &str) -> Vec<String> {
    let output = nsgate(&["lab", lab, "--no-fix", "--json"]);
    let lab: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let traces = lab["steps"].as_array().expect("steps").iter().map(|step| &step["observed"]["trace"]);
    let further = traces.filter_map(|trace| trace["further"].as_array()).flatten();
    further.map(|verdict| verdict["cause"].as_str().expect("a cause").to_owned()).collect()
}

#[test]
fn what_the_packet_would_meet_next_is_told_in_its_order() {
    assert_eq!(further("three-faults"), ["route-blocking", "echo-ignored"]);
    // Where the first is mended, the packet arrives.
    assert_eq!(further("dnat-target-wrong"), Vec::<String>::new());
}

/// The files that say why packets are lost, each with its tests apart.
fn explaining() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../nsgate-core/src/explain");
    let files = std::fs::read_dir(folder).expect("the causes").map(|file| file.expect("a file").path());
    let sources = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let apart = sources.map(|path| {
        let text = std::fs::read_to_string(&path).expect("text");
        match path.file_name().and_then(|name| name.to_str()) {
            Some("cause.rs") => (String::new(), String::new()),
            Some("tests.rs") => (String::new(), text),
            _ => {
                let (does, tests) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
                (does.to_owned(), tests.to_owned())
            }
        }
    });
    apart.collect()
}

/// The name of a cause in the sources: `RouteMissing` of `route-missing`.
fn in_sources(code: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    code.split('-').map(word).collect()
}

#[test]
fn every_cause_has_a_function_a_fixture_and_a_page() {
    let sources = explaining();
    for cause in Cause::ALL {
        let (code, name) = (cause.code(), format!("Cause::{}", in_sources(cause.code())));
        let named = |text: &str| text.split(&name).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric));
        assert!(sources.iter().any(|(does, _)| named(does)), "nothing names {name}");
        let quoted = |tests: &str| tests.contains(&format!("\"{code}\"")) || named(tests);
        assert!(sources.iter().any(|(_, tests)| quoted(tests)), "no fixture shows {code}");
        assert!(nsgate(&["explain", code]).status.success(), "{code} has no page");
    }
}
