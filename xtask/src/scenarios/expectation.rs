//! The verdict that a scenario should get: its `expect.json`, and its `probe` as arguments of `nsgate trace`.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What `expect.json` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expectation {
    /// The cause.
    pub(crate) cause: String,
    /// Causes that are defensible as well.
    pub(crate) also_accept: Vec<String>,
    /// The namespace of the repair.
    pub(crate) netns: String,
    /// The interface; none: any is right.
    pub(crate) dev: Option<String>,
    /// A right object's text contains one of these.
    pub(crate) object_match: Vec<String>,
}

impl Expectation {
    /// Reads `expect.json`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let word = |value: &Value, what: &str| value.as_str().map(str::to_owned).with_context(|| format!("no {what}"));
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(Self {
            cause: word(&value["cause"], "cause")?,
            also_accept: words(&value["also_accept"]),
            netns: word(&value["where"]["netns"], "where.netns")?,
            dev: value["where"]["dev"].as_str().map(str::to_owned),
            object_match: words(&value["object_match"]),
        })
    }
}

/// `FROM PROTO DEST [PORT] [size=N]` as the words after `nsgate trace`.
pub(crate) fn trace_arguments(probe: &str) -> Result<Vec<String>> {
    let mut words = probe.split_whitespace();
    let (Some(from), Some(protocol), Some(destination)) = (words.next(), words.next(), words.next()) else {
        bail!("a probe is FROM PROTO DEST [PORT] [size=N], not {probe:?}");
    };
    let (mut port, mut size) = (None, None);
    for word in words {
        match word.strip_prefix("size=") {
            Some(number) => size = Some(number),
            None => port = Some(word),
        }
    }
    ensure!(matches!(protocol, "icmp" | "tcp" | "udp"), "unknown protocol {protocol}");
    ensure!((protocol == "icmp") == port.is_none(), "tcp and udp have a port, icmp has none: {probe:?}");
    let mut arguments = vec!["trace".to_owned(), from.to_owned(), destination.to_owned(), format!("--{protocol}")];
    arguments.extend(port.map(str::to_owned));
    if let Some(size) = size {
        arguments.extend(["--size".to_owned(), size.to_owned()]);
    }
    arguments.push("--json".to_owned());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_read() {
        let text =
            r#"{"cause": "a", "also_accept": ["b"], "where": {"netns": "host", "dev": null}, "object_match": ["x"]}"#;
        let expected = Expectation {
            cause: "a".into(),
            also_accept: vec!["b".into()],
            netns: "host".into(),
            dev: None,
            object_match: vec!["x".into()],
        };
        assert_eq!(Expectation::parse(text).unwrap(), expected);
        assert!(Expectation::parse("{}").is_err());
    }

    #[test]
    fn a_probe_becomes_a_trace() {
        let trace = |probe| trace_arguments(probe).unwrap().join(" ");
        assert_eq!(trace("ns_1 icmp 1.1.1.3\n"), "trace ns_1 1.1.1.3 --icmp --json");
        assert_eq!(trace("host tcp ::1 80 size=8000"), "trace host ::1 --tcp 80 --size 8000 --json");
        assert!(trace_arguments("ns_1 tcp 1.1.1.3").is_err());
        assert!(trace_arguments("ns_1 icmp").is_err());
    }
}
