//! The help of every command, as a user reads it.

use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_nsgate")).args(arguments).arg("--help").output().expect("nsgate runs");
    assert!(output.status.success(), "{arguments:?}");
    let text = String::from_utf8(output.stdout).expect("help is text");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
    }
    // What clap leaves behind a paragraph is not seen.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The commands that the help lists.
fn commands(help: &str) -> Vec<&str> {
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    list.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_help_of_every_command() {
    let overview = help(&[]);
    let mut all = format!("$ nsgate --help\n{overview}\n");
    let commands: Vec<&str> = commands(&overview).into_iter().filter(|command| *command != "help").collect();
    assert!(commands.contains(&"lab") && commands.contains(&"trace"), "{commands:?}");
    for command in commands {
        all.extend(["\n$ nsgate ", command, " --help\n", &help(&[command]), "\n"]);
    }
    insta::assert_snapshot!(all);
}
