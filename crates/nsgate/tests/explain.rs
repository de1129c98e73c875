//! `nsgate explain`, as a user runs it.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    command.arg("explain").args(arguments).stdin(Stdio::null()).output().expect("nsgate runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_page_is_plain_where_no_terminal_reads_it() {
    let output = explain(&["forwarding-disabled"]);
    let page = text(&output.stdout);
    assert!(output.status.success());
    assert!(!page.contains('\u{1b}') && page.contains("\nConfirm by hand\n"), "{page}");
    let coloured = text(&explain(&["forwarding-disabled", "--color", "always"]).stdout);
    assert!(coloured.contains("\u{1b}[1mConfirm by hand"), "{coloured}");
}

#[test]
fn every_listed_code_has_a_page() {
    let list: Value = serde_json::from_slice(&explain(&["--json"]).stdout).expect("JSON");
    let codes = list["codes"].as_array().expect("a list of codes");
    let lines = text(&explain(&[]).stdout);
    for code in codes {
        let code = code["code"].as_str().expect("a code");
        assert!(lines.contains(code), "{code} is not in\n{lines}");
        let page: Value = serde_json::from_slice(&explain(&[code, "--json"]).stdout).expect("JSON");
        assert_eq!(page["code"], code);
    }
}

#[test]
fn an_unknown_code_is_a_usage_error_with_the_nearest_ones() {
    let output = explain(&["forward-disabled"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && said.contains("did you mean forwarding-disabled"), "{said}");
    let said = text(&explain(&["xyzzy"]).stderr);
    assert!(said.contains("nsgate explain` lists"), "{said}");
}
