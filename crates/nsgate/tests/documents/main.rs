//! What nsgate says to programs, held against the schemas in `docs/reference`.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod schema;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use schema::breaches;

fn trace_schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/reference/trace.schema.json")).unwrap()
}

/// Runs a lab without its mend and gives its JSON, which holds the answer of a trace.
fn lab(name: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.args(["lab", name, "--no-fix", "--json"]).stdin(Stdio::null()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `nsgate trace` once more in the sandbox of a lab, with everything that it learns.
fn trace_in_lab(name: &str, probe: &Value, options: &str) -> Value {
    let text = |field: &str| probe[field].as_str().unwrap().to_owned();
    let port = probe["port"].as_u64().map(|port| port.to_string()).unwrap_or_default();
    let words = format!("{} {} --{} {port}", text("from"), text("destination"), text("protocol"));
    in_lab(name, &format!("trace {words} --json --details {options}"))
}

/// Runs nsgate in the sandbox of a lab and gives its JSON.
fn in_lab(name: &str, words: &str) -> Value {
    in_lab_after(name, "", words)
}

/// The same after a line of the shell, which knows nsgate as `$NSGATE`.
fn in_lab_after(name: &str, before: &str, words: &str) -> Value {
    const MARK: &str = "the answer of nsgate:";
    let nsgate = env!("CARGO_BIN_EXE_nsgate");
    let script = format!("NSGATE={nsgate}; {before} echo '{MARK}'; {nsgate} {words}; true\n");
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(script.as_bytes()).unwrap();
    drop(write);
    let output = Command::new(nsgate).args(["lab", name, "--no-fix", "--shell"]).stdin(read).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = text.split(MARK).nth(1).unwrap_or_else(|| panic!("{name}: no shell: {text}"));
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{name}: {error}: {answer}"))
}

#[track_caller]
fn assert_valid(schema: &Value, document: &Value, of: &str) {
    let found = breaches(schema, document);
    assert!(found.is_empty(), "{of}: {}\n{document:#}", found.join("\n"));
}

#[test]
fn traces_are_as_their_schema_says() {
    let schema = trace_schema();
    for name in
        ["article", "ipv6", "service-closed-udp", "filter-drop", "neighbour-failed", "mtu-exceeded", "delivered"]
    {
        let lab = lab(name);
        let steps = lab["steps"].as_array().unwrap();
        let traces: Vec<&Value> =
            steps.iter().map(|step| &step["observed"]["trace"]).filter(|t| !t.is_null()).collect();
        assert!(!traces.is_empty(), "{name}: no trace");
        for trace in &traces {
            assert_valid(&schema, trace, name);
        }
        let detailed = trace_in_lab(name, &traces[0]["probe"], "");
        assert_valid(&schema, &detailed, name);
        let observation = &detailed["observation"];
        let length = |list: &Value| list.as_array().unwrap().len();
        assert!(length(&observation["sightings"]) > 0, "{name}: {detailed:#}");
        // What a repetition of a lost probe shows again is left out of the path alone.
        let mut sightings = observation["sightings"].as_array().unwrap().iter();
        for step in detailed["path"].as_array().unwrap() {
            let place = ["netns", "dev", "hook", "direction"];
            let is_it = |sighting: &Value| place.iter().all(|key| sighting[key] == step[key]);
            assert!(sightings.any(is_it), "{name}: {step:#}");
        }
        assert!(detailed["delivered"] == false || sightings.next().is_none(), "{name}: {detailed:#}");
        assert!(name != "filter-drop" || length(&observation["rules"]) > 0, "{detailed:#}");
    }
}

/// What is heard of somebody else's packet, by one who waits for it, is held to the same schema; and so is silence.
#[test]
fn what_is_heard_is_as_the_schema_of_traces_says() {
    let schema = trace_schema();
    // The first connection may be made before anybody listens for it.
    let heard = in_lab_after(
        "service-closed",
        "nsgate_knocks() { for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
           $NSGATE trace ns_1 114.114.114.114 --tcp 81 --no-bpf --brief >/dev/null 2>&1; done; }; nsgate_knocks & ",
        "trace --listen 'tcp and dst port 81' --from ns_1 --json --details --wait 20000 2>/dev/null",
    );
    assert_valid(&schema, &heard, "a packet that was heard");
    assert_eq!(heard["verdict"]["cause"], "service-closed", "{heard:#}");
    assert!(heard["observation"]["sightings"].as_array().is_some_and(|seen| !seen.is_empty()), "{heard:#}");
    let silence = in_lab("service-closed", "trace --listen 'tcp and dst port 82' --json --wait 50 2>/dev/null");
    assert_valid(&schema, &silence, "nothing heard");
}

#[test]
fn snapshots_are_as_their_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../../../docs/reference/snapshot.schema.json")).unwrap();
    for name in ["article", "router", "bridge-filtered", "dnat", "rule-policy", "tunnel-unresolved", "neighbour-wrong"]
    {
        let snapshot = in_lab(name, "snapshot");
        assert_valid(&schema, &snapshot, name);
        let processes = snapshot["world"]["namespaces"][0]["processes"].as_array().map(Vec::len);
        assert!(processes > Some(0), "{name}: {snapshot:#}");
        let mut other = snapshot.clone();
        other["world"]["namespaces"][0]["links"][0]["colour"] = "blue".into();
        assert_eq!(breaches(&schema, &other).len(), 1);
        other = snapshot;
        other["world"]["namespaces"][0].as_object_mut().unwrap().remove("ruleset");
        other["world"]["namespaces"][0]["links"][0]["peer"] = "everywhere".into();
        assert_eq!(breaches(&schema, &other).len(), 2);
    }
}

#[test]
fn a_trace_that_mended_is_as_its_schema_says() {
    let probe = json!({"from": "ns_1", "destination": "114.114.114.114", "protocol": "icmp", "port": null});
    let answer = trace_in_lab("article", &probe, "--fix --yes");
    assert_valid(&trace_schema(), &answer, "mended");
    assert_eq!(answer["mended"][0]["helped"], true, "{answer:#}");
}

#[test]
fn a_trace_that_could_not_be_sent_is_as_its_schema_says() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nsgate"));
    let output = command.args(["trace", "nobody-has-this-name", "127.0.0.1", "--json"]).output().unwrap();
    assert_valid(&trace_schema(), &serde_json::from_slice(&output.stdout).unwrap(), "unsent");
}

#[test]
fn a_schema_refuses_what_it_does_not_say() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": {
            "a": { "$ref": "#/$defs/number" },
            "b": { "type": "array", "items": { "enum": ["x", null] } },
            "c": { "type": ["string", "null"], "pattern": "^([0-9a-f]{2})*$" },
            "d": { "anyOf": [{ "$ref": "#/$defs/number" }, { "type": "null" }] },
            "e": { "oneOf": [{ "const": "x" }, { "type": "string" }] },
            "f": { "type": "array", "minItems": 1, "maxItems": 2, "prefixItems": [{ "const": 1 }] }
        },
        "$defs": { "number": { "type": "integer", "minimum": 1, "maximum": 3 } }
    });
    let good = [
        json!({"a": 1}),
        json!({"a": 3, "b": ["x", null], "c": "0aff"}),
        json!({"a": 2, "c": null, "d": null, "e": "y", "f": [1, "y"]}),
    ];
    for good in good {
        assert_eq!(breaches(&schema, &good), [""; 0], "{good}");
    }
    let wrong = [
        json!(1),
        json!({}),
        json!({"a": 0}),
        json!({"a": 4}),
        json!({"a": -2}),
        json!({"a": "1"}),
        json!({"a": 1.5}),
        json!({"a": 1, "b": ["y"]}),
        json!({"a": 1, "b": {}}),
        json!({"a": 1, "c": "0af"}),
        json!({"a": 1, "d": "x"}),
        json!({"a": 1, "d": 4}),
        json!({"a": 1, "e": "x"}),
        json!({"a": 1, "e": 1}),
        json!({"a": 1, "f": []}),
        json!({"a": 1, "f": [2]}),
        json!({"a": 1, "f": [1, 2, 3]}),
        json!({"a": 1, "g": 1}),
    ];
    for wrong in wrong {
        assert_eq!(breaches(&schema, &wrong).len(), 1, "{wrong}");
    }
}
