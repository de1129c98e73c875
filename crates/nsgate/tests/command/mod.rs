//! The built command, run as a user runs it, and the set-ups it runs in.

use std::process::{Command, Stdio};

use nsgate_kernel::apply;

pub(crate) fn build(lines: &[&str]) {
    for line in lines {
        apply::perform(&line.parse().unwrap()).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

/// Runs `nsgate trace`, which must end with this code; gives what it printed on both streams.
#[track_caller]
pub(crate) fn trace(code: i32, arguments: &str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    command.arg("trace").args(arguments.split_whitespace()).stdin(Stdio::null());
    let output = command.output().expect("nsgate runs");
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{stdout}\n{stderr}");
    (stdout, stderr)
}
