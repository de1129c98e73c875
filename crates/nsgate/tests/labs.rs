//! The labs, as a user runs them: each in a sandbox of its own, judged by its exit code and its JSON.

use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn nsgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nsgate")).args(arguments).stdin(Stdio::null()).output().expect("nsgate runs")
}

/// Runs a lab to its end; gives its JSON.
fn lab(arguments: &[&str]) -> Value {
    let output = nsgate(&[&["lab", "--json"], arguments].concat());
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    serde_json::from_str(&stdout).expect("JSON")
}

/// The JSON without what differs from run to run.
fn masked(mut value: Value) -> String {
    mask(&mut value);
    serde_json::to_string_pretty(&value).expect("JSON")
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name.ends_with("milliseconds") && field.is_number() {
                    *field = "(time)".into();
                }
                mask(field);
            }
        }
        Value::Array(items) => {
            // Who still remembers whose link-layer address depends on the time.
            items.retain(|item| !item["direction"].as_str().is_some_and(|leg| leg.starts_with("neighbour")));
            items.iter_mut().for_each(mask);
        }
        Value::String(text) => *text = mask_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Hides the numbers that the kernel makes up: echo identifiers, sequence numbers, ports from which a connection is made.
fn mask_text(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let bare = word.trim_end_matches([',', ':', ';']);
        let numbered = matches!(words.last().map(String::as_str), Some("id" | "seq" | "ack" | "win"));
        let masked = if numbered && bare.parse::<u64>().is_ok() {
            "N".to_owned()
        } else {
            // A port stands behind its address, after a colon or, as tcpdump has it, after a dot.
            let port = bare.rsplit_once([':', '.']).and_then(|(_, port)| port.parse::<u16>().ok());
            match port.filter(|port| *port >= 32768) {
                Some(port) => bare.replace(&port.to_string(), "PORT"),
                None => bare.to_owned(),
            }
        };
        words.push(word.replacen(bare, &masked, 1));
    }
    words.join(" ")
}

#[test]
fn article() {
    insta::assert_snapshot!(masked(lab(&["article"])));
}

#[test]
fn dnat() {
    insta::assert_snapshot!(masked(lab(&["dnat"])));
}

#[test]
fn router() {
    insta::assert_snapshot!(masked(lab(&["router"])));
}

#[test]
fn ipv6() {
    insta::assert_snapshot!(masked(lab(&["ipv6"])));
}

#[test]
fn without_the_mend_every_lab_ends_with_its_cause() {
    for (name, netns, dev, object) in [
        ("article", "host", "veth3", "net.ipv4.ip_forward"),
        ("dnat", "host", "eth2", "net.ipv4.ip_forward"),
        ("router", "qrouter-7", "qr-7", "net.ipv4.ip_forward"),
        ("ipv6", "host", "veth3", "net.ipv6.conf.all.forwarding"),
    ] {
        let verdict = &lab(&[name, "--no-fix"])["verdict"];
        assert_eq!(verdict["cause"], "forwarding-disabled", "{name}: {verdict}");
        assert_eq!(verdict["where"]["netns"], netns, "{name}: {verdict}");
        assert_eq!(verdict["where"]["dev"], dev, "{name}: {verdict}");
        assert_eq!(verdict["object"], object, "{name}: {verdict}");
    }
}

#[test]
fn the_default_lab_is_told_within_80_columns() {
    let output = nsgate(&["lab"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.contains("forwarding-disabled"), "{text}");
}

/// What the README shows is what happens, but for the times and for what it leaves out.
#[test]
fn the_transcript_in_the_readme_is_true() {
    let readme = include_str!("../../../README.md");
    let transcript = readme.split("```text\n$ nsgate lab\n").nth(1).and_then(|rest| rest.split("```").next());
    let output = String::from_utf8(nsgate(&["lab"]).stdout).unwrap();
    let real: Vec<String> = output.lines().map(without_times).collect();
    let mut from = 0;
    for part in transcript.unwrap().split("[...]\n") {
        let told: Vec<String> = part.trim_matches('\n').lines().map(without_times).collect();
        let found = real[from..].windows(told.len()).position(|window| window == told);
        from += found.unwrap_or_else(|| panic!("the README tells what did not happen:\n{part}\n\nbut:\n{output}"));
    }
}

fn without_times(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_time = |at: usize| matches!(words.get(at + 1), Some(&("ms" | "s:"))) && words[at].parse::<f64>().is_ok();
    (0..words.len()).map(|at| if is_time(at) { "T" } else { words[at] }).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_lab_is_listed() {
    let text = String::from_utf8(nsgate(&["lab", "--list"]).stdout).unwrap();
    let listed: Value = serde_json::from_slice(&nsgate(&["lab", "--list", "--json"]).stdout).unwrap();
    for lab in listed.as_array().unwrap() {
        assert!(text.contains(lab["title"].as_str().unwrap()), "{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_shell_opens_in_the_sandbox_after_the_last_step() {
    let (script, mut write) = std::io::pipe().unwrap();
    write.write_all(b"ls /run/netns\n").unwrap();
    drop(write);
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.args(["lab", "ipv6", "--no-fix", "--shell"]).stdin(script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let after = text.split("every step showed what it should").nth(1);
    assert!(output.status.success(), "{text}");
    assert_eq!(after.map(|after| after.split_whitespace().collect()), Some(vec!["ns_1", "world"]), "{text}");
}

#[test]
fn an_unknown_lab_is_a_usage_error_that_names_the_nearest() {
    let output = nsgate(&["lab", "artikle"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("artikle") && stderr.contains("did you mean article?"), "{stderr}");
}

/// Every process of a lab holds the writing end of its output: when that closes, all of them are gone, and with the last
/// process the namespaces and everything in them.
#[test]
fn a_killed_lab_leaves_nothing_behind() {
    for wait in [5, 20, 60, 150, 400] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nsgate"))
            .arg("lab")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        let killed = Instant::now();
        child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
        assert!(killed.elapsed() < Duration::from_millis(500), "something lived on for {:?}", killed.elapsed());
        child.wait().unwrap();
    }
}
