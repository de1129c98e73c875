//! Does the fix that nsgate names mend? Tried inside the scenario, by a judge that is not nsgate.
//!
//! Inside the isolated root this program runs nsgate, then the commands that nsgate calls the fix, then the scenario's own
//! probe, and adds what came of it to nsgate's answer. Outside, the verdict is judged first, the mend after it.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::expectation::Expectation;
use super::judge::{Outcome, judge};

/// The hidden task that runs inside.
pub(crate) const INSIDE: &str = "scenario-inside";

/// The scenario's own probe; `SCENARIO_DIR` is what the scenarios' `run` exports, `CASE` and `CASES` what that of `cases`
/// does.
const PROBE: &str = r#"
if [ -n "${CASE:-}" ]; then
    . "$CASES/words.sh"; folder=$CASE; actor=$CASES/actor.py
else
    . "$SCENARIO_DIR/../lib.sh"; folder=$SCENARIO_DIR; actor=$SCENARIOS/helper.py
fi
set +e
read -r from rest <"$folder/probe"
on "$from" "$PYTHON" -S "$actor" probe $rest
"#;

/// Inside: `NSGATE trace FROM DEST ...`; prints nsgate's answer with `mend` added.
#[expect(clippy::print_stdout, reason = "the answer goes to the task outside")]
pub(crate) fn inside(words: &[String]) -> Result<bool> {
    let (nsgate, arguments) = words.split_first().context("nsgate's path is missing")?;
    let output = Command::new(nsgate).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(!output.stdout.is_empty(), "nsgate said nothing");
    let mut answer: Value = serde_json::from_slice(&output.stdout)?;
    let mended = mend(&answer);
    answer["mend"] = mended;
    println!("{answer}");
    Ok(true)
}

/// Outside: a right verdict must also mend. Where nothing is broken, or the scenario accepts another cause, nothing is asked.
pub(crate) fn judge_mended(answer: &Value, expected: &Expectation) -> Outcome {
    let outcome = judge(answer, expected);
    let cause = answer["verdict"]["cause"].as_str().unwrap_or_default();
    if outcome != Outcome::Passed || cause != expected.cause || cause == "delivered" {
        return outcome;
    }
    match answer["mend"]["failed"].as_str() {
        None => Outcome::Passed,
        Some(why) => Outcome::NotMended(why.to_owned()),
    }
}

/// Runs the fix and probes again; `failed` says why it did not mend.
fn mend(answer: &Value) -> Value {
    let commands = answer["verdict"]["fix"]["commands"].as_array().map(Vec::as_slice).unwrap_or_default();
    if commands.is_empty() {
        return json!({"failed": "no fix was named"});
    }
    for command in commands.iter().filter_map(Value::as_str) {
        if let Err(why) = shell(command) {
            return json!({"failed": format!("`{command}`: {why}")});
        }
    }
    let first = shell(PROBE);
    let last = first.or_else(|_| {
        // A neighbour that failed a moment ago may need one more question.
        thread::sleep(Duration::from_millis(500));
        shell(PROBE)
    });
    match last {
        Ok(()) => json!({"failed": null}),
        Err(why) => json!({"failed": format!("the fix ran, the probe is still lost: {why}")}),
    }
}

/// Runs a line as an operator would, in a shell; the error is its last words.
fn shell(line: &str) -> std::result::Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-c", line])
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    Err(said.lines().next_back().map_or_else(|| output.status.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_verdict_must_also_mend() {
        let expected = Expectation {
            cause: "x".into(),
            netns: "host".into(),
            object_match: vec!["o".into()],
            ..Default::default()
        };
        let answer = |cause: &str, failed: Value| {
            let verdict = json!({"cause": cause, "where": {"netns": "host", "dev": null}, "object": "o"});
            json!({"verdict": verdict, "mend": {"failed": failed}})
        };
        assert_eq!(judge_mended(&answer("x", Value::Null), &expected), Outcome::Passed);
        assert_eq!(judge_mended(&answer("x", json!("why")), &expected), Outcome::NotMended("why".into()));
        assert!(matches!(judge_mended(&answer("y", json!("why")), &expected), Outcome::WrongCause(_)));
    }

    #[test]
    fn a_verdict_without_a_fix_does_not_mend() {
        assert_eq!(mend(&json!({"verdict": {"fix": {"commands": []}}}))["failed"], "no fix was named");
        assert_eq!(
            mend(&json!({"verdict": {"fix": {"commands": ["echo no >&2; false"]}}}))["failed"],
            "`echo no >&2; false`: no"
        );
    }
}
