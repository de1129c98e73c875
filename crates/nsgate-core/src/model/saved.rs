//! A World as text: what `nsgate snapshot` writes, and any machine can read again.
//!
//! The text is JSON, versioned as a whole. The model's types derive how they are written, so a new field cannot be
//! forgotten; a text of another schema, or with fields that the model does not have, is refused rather than half
//! understood. Reading takes bytes from anywhere: it never panics and takes memory in proportion to the text.

use serde::{Deserialize, Serialize};

use super::World;

/// The number of this shape. It changes whenever a field is added, goes, or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The longest text that is read, in bytes.
pub const LONGEST: usize = 64 << 20;

/// A World, and when and where it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The number of the shape: [`SCHEMA`].
    pub schema: u32,
    /// When the World was read, in seconds since 1970.
    pub taken: u64,
    /// The release of the kernel that it was read from.
    pub kernel: String,
    /// What was.
    pub world: World,
}

/// Why a text is no saved World.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is longer than any World.
    #[error("{0} bytes are more than a saved snapshot may have ({LONGEST})")]
    TooLong(usize),
    /// It has another shape.
    #[error("this snapshot has schema {0}; this nsgate reads schema {SCHEMA}")]
    Schema(u32),
    /// It is not what a snapshot looks like.
    #[error("not a snapshot: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Saved {
    /// The World as it was at a time, in seconds since 1970, on a kernel of this release.
    pub fn new(world: World, taken: u64, kernel: impl Into<String>) -> Self {
        Self { schema: SCHEMA, taken, kernel: kernel.into(), world }
    }

    /// The text, one line without a line break at its end.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads the text again.
    pub fn read(text: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Numbered {
            schema: u32,
        }
        if text.len() > LONGEST {
            return Err(Unreadable::TooLong(text.len()));
        }
        match serde_json::from_slice::<Numbered>(text)?.schema {
            SCHEMA => Ok(serde_json::from_slice(text)?),
            other => Err(Unreadable::Schema(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::explain::fixture::Fixture;
    use crate::model::ruleset::Ruleset;
    use crate::model::{Family, Limit, Listener, Neighbour, NeighbourState, Rule, RuleAction, Sysctl, Transport};

    const TABLE: &str = "\
table ip nsgate {
\tmap published {
\t\ttype ipv4_addr . inet_service : ipv4_addr . inet_service
\t\telements = { 10.20.30.182 . 80 : 1.1.1.2 . 8080 }
\t}
\tchain post {
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\tip saddr 1.1.1.0/24 oifname \"eth2\" counter packets 5 bytes 420 snat to 10.20.30.182
\t\tct state vmap { invalid : drop, established : accept } comment \"known\"
\t\tupdate @seen { ip saddr timeout 30s limit rate 5/second }
\t}
\tset seen {
\t\ttype ipv4_addr
\t\tflags dynamic,timeout
\t}
}
";

    /// A World with something of everything.
    fn saved() -> Saved {
        let mut fixture = Fixture::experiment();
        fixture.sysctl("host", "net.ipv4.ip_forward", "0");
        let host = fixture.netns("host");
        host.sysctls.insert(Sysctl::of_link(Family::V4, &"eth0.10".parse().unwrap(), "forwarding"), "1".into());
        host.aliases.push("/run/netns/a b".parse().unwrap());
        host.ruleset = Ruleset::from_text(TABLE).unwrap();
        host.links[0].mac = Some("02:00:5e:00:01:ff".parse().unwrap());
        let link = host.links[0].index;
        let address = "fe80::1".parse().unwrap();
        let mac = host.links[0].mac;
        host.neighbours.push(Neighbour { link, address, mac, state: NeighbourState::NoArp, proxy: false });
        let listener = Listener {
            transport: Transport::Udp,
            address: "::".parse().unwrap(),
            port: 53,
            only_v6: true,
            link: None,
            control_group: None,
            queued: 0,
            queue_limit: 212_992,
        };
        host.listeners.push(listener);
        host.rules.push(Rule {
            family: Family::V6,
            priority: 7,
            inverted: true,
            from: Some("2001:db8::/32".parse().unwrap()),
            to: None,
            iif: Some("lo".parse().unwrap()),
            oif: None,
            mark: Some((1, 0xff)),
            tos: 0,
            protocol: Some(6),
            source_ports: None,
            destination_ports: Some((80, 443)),
            users: None,
            vrf: false,
            suppress_prefix_length: Some(0),
            action: RuleAction::Goto(9),
            made_by: 3,
        });
        let limit = Limit { netns: Some("pid:7".parse().unwrap()), what: "routes".into(), why: "gone".into() };
        fixture.world.limits.push(limit);
        Saved::new(fixture.world, 1_800_000_000, "6.18.0")
    }

    /// The places of all values in a document, outermost first.
    fn places(value: &Value, place: &str, found: &mut Vec<String>) {
        found.push(place.to_owned());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{place}/{index}"), found));
            }
            Value::Object(fields) => {
                let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
                fields.iter().for_each(|(name, item)| places(item, &format!("{place}/{}", escaped(name)), found));
            }
            _ => {}
        }
    }

    fn document() -> Value {
        serde_json::from_str(&saved().write().unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let saved = saved();
        let text = saved.write().unwrap();
        assert_eq!(Saved::read(text.as_bytes()).unwrap(), saved, "{text}");
    }

    /// What `docs/reference` says of the text is made from the types: their fields, and the words that stand on them.
    /// After a change of the types `INSTA_UPDATE=always cargo test -p nsgate-core saved` writes it anew.
    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/snapshot.schema.json");
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let mut schema = settings.into_generator().into_root_schema_for::<Saved>().to_value();
        schema["title"] = format!("What nsgate snapshot writes, schema {SCHEMA}").into();
        schema["properties"]["schema"] = serde_json::json!({ "const": SCHEMA });
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(path, &text).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        let first = published.lines().zip(text.lines()).find(|(published, made)| published != made);
        assert!(published == text, "the schema is not that of the types; first difference: {first:?}");
    }

    #[test]
    fn values_are_written_as_operators_know_them() {
        let document = document();
        let host = &document["world"]["namespaces"][0];
        assert_eq!(host["name"], "host");
        assert_eq!(host["links"][0]["mac"], "02:00:5e:00:01:ff");
        assert_eq!(host["rules"][host["rules"].as_array().unwrap().len() - 1]["family"], "ipv6");
        assert_eq!(host["neighbours"][0]["state"], "no-arp");
        assert_eq!(host["sysctls"]["net.ipv4.conf.eth0/10.forwarding"], "1");
        let expressions = host["ruleset"]["tables"][0]["chains"][0]["rules"][0]["expressions"].to_string();
        assert!(expressions.contains(r#"{"cmp":{"from":0,"op":"eq","value":"010101"}}"#), "{expressions}");
    }

    #[test]
    fn what_is_not_understood_whole_is_refused() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut document = document();
            change(&mut document);
            Saved::read(document.to_string().as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(&|d| d["schema"] = 2.into()).starts_with("this snapshot has schema 2"));
        assert!(refused(&|d| d["world"]["colour"] = "blue".into()).contains("unknown field `colour`"));
        assert!(refused(&|d| d["world"]["namespaces"][0]["links"][0]["up"] = "yes".into()).contains("line 1"));
        assert!(refused(&|d| d["world"]["namespaces"][0]["name"] = "..".into()).contains("reserved"));
        assert!(refused(&|d| d["world"]["namespaces"][0]["links"][0]["mac"] = "2:0".into()).contains("hexadecimal"));
        assert!(matches!(Saved::read(b"\xff"), Err(Unreadable::Malformed(_))));
        assert!(matches!(Saved::read(&vec![b' '; LONGEST + 1]), Err(Unreadable::TooLong(_))));
    }

    proptest! {
        #[test]
        fn no_change_of_a_text_makes_reading_panic(
            place in any::<prop::sample::Index>(),
            value in prop_oneof![
                Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
                any::<u64>().prop_map(Value::from), "\\PC{0,20}".prop_map(Value::from), Just(Value::Array(Vec::new())),
            ],
        ) {
            let mut document = document();
            let mut all = Vec::new();
            places(&document, "", &mut all);
            *document.pointer_mut(place.get::<String>(&all)).unwrap() = value;
            if let Ok(read) = Saved::read(document.to_string().as_bytes()) {
                prop_assert_eq!(Saved::read(read.write().unwrap().as_bytes()).unwrap(), read.clone());
                for namespace in &read.world.namespaces {
                    let _ = namespace.ruleset.to_string();
                }
            }
        }

        #[test]
        fn no_bytes_make_reading_panic(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut text = saved().write().unwrap().into_bytes();
            let place = at.index(text.len());
            text[place] = byte;
            let _ = Saved::read(&text);
            let _ = Saved::read(&text[..cut.index(text.len())]);
        }
    }
}
