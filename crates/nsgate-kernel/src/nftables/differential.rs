//! nsgate's text of a packet filter against Debian's nft, which nobody here wrote.
//!
//! A ruleset is loaded by `nft -f`, read and written as text by nsgate, and that text is loaded by `nft -f` again: the
//! kernel must then tell the same, attribute by attribute. Numbers that the kernel gives out itself are left out.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nsgate_core::model::ruleset::{Ruleset, Table};

use super::numbers::{chain, element, flow_table, object, rule, set, table};
use super::random_rulesets::Generator;
use super::read::hostile::{self, Asked};
use super::ruleset;
use crate::netlink::{Attributes, Protocol, Socket};
use crate::sandbox::test;

/// How many rulesets are made at random where the environment does not say; a sandbox has time for few more.
const RANDOM_RULESETS: usize = 500;

/// How a ruleset came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// nft would not have it in the first place.
    Refused,
    /// The kernel told the same, to the byte.
    Same,
    /// The kernel told what it also tells after nft's own text was loaded: nft does not come back either.
    AsByNft,
    /// nft refuses nsgate's text, and its own.
    OwnRefused,
}

/// Runs nft in the namespace of this test; what it complains of if it fails.
fn nft(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new("nft");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = command.spawn().expect("nft runs");
    nft.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = nft.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn load(text: &str) -> Result<(), String> {
    nft(&["-f", "-"], &format!("flush ruleset\n{text}")).map(|_| ())
}

/// Loads a ruleset, and what nsgate makes of it. Fails where both differ.
fn round_trip(socket: &mut Socket, name: &str, text: &str) -> Result<Outcome, String> {
    if load(text).is_err() {
        return Ok(Outcome::Refused);
    }
    let reading = ruleset(socket).unwrap();
    let ours = reading.ruleset.to_string();
    if (reading.unread, reading.consistent) != (0, true) {
        return Err(format!("{name}: {} objects were not read", reading.unread));
    }
    if ours.contains("[ ") {
        return Err(format!("{name}: not understood:\n{ours}"));
    }
    let told = everything(socket);
    let by_nft = nft(&["list", "ruleset"], "").unwrap_or_default();
    if let Err(complaint) = load(&ours) {
        if load(&by_nft).is_err() {
            return Ok(Outcome::OwnRefused);
        }
        return Err(format!("{name}: nft refuses nsgate's text: {complaint}\n{text}\n{ours}"));
    }
    let again = everything(socket);
    if told == again {
        return Ok(Outcome::Same);
    }
    if load(&by_nft).is_ok() && everything(socket) == again {
        return Ok(Outcome::AsByNft);
    }
    let difference = told.iter().zip(&again).find(|(a, b)| a != b);
    Err(format!("{name}: {difference:#?}\n{} and {} objects\n{text}\n{ours}", told.len(), again.len()))
}

/// The rulesets whose text nsgate does not read back, and what it does not know there.
const NOT_READ_BACK: [(&str, &str); 6] = [
    ("bridges", "sets of fields narrower than a byte"),
    ("connections", "calculations in what a mark is set to"),
    ("load-balancer", "a map that leads to an address, a protocol and a port"),
    ("options-and-headers", "headers of fragments in concatenations"),
    ("proxies", "questions about the local socket"),
    ("sets-of-all-kinds", "fingerprints of systems"),
];

/// What nsgate, reading its own text, does not write again as it stood; none where it does, or where there is something
/// that it does not read from text: named objects, flow tables, chains without a name, offloaded chains.
fn read_back_otherwise(ruleset: &Ruleset) -> Option<String> {
    let ours = &ruleset.to_string();
    let unread = |table: &Table| {
        let odd = table.chains.iter().any(|chain| chain.anonymous || chain.offload);
        odd || table.persistent || !table.objects.is_empty() || !table.flow_tables.is_empty()
    };
    if ruleset.tables.iter().any(unread) || ours.contains("xt ") {
        return None;
    }
    let again = match Ruleset::from_text(ours) {
        Ok(again) => again.to_string(),
        Err(error) => return Some(format!("nsgate does not read its own text: {error}\n{ours}")),
    };
    let (before, after) = ours.lines().zip(again.lines()).find(|(before, after)| before != after)?;
    Some(format!("nsgate reads back '{after}' from '{before}'"))
}

/// All that the kernel tells, one line for each object, without the numbers that it gives out.
fn everything(socket: &mut Socket) -> Vec<String> {
    let mut lines = Vec::new();
    for asked in Asked::ALL {
        let left_out: &[u16] = match asked {
            Asked::Tables => &[table::HANDLE, TABLE_USE, table::OWNER],
            Asked::Chains => &[chain::HANDLE, CHAIN_USE],
            Asked::Sets => &[set::HANDLE],
            Asked::Rules => &[rule::HANDLE, rule::POSITION],
            Asked::Elements => &[],
            Asked::Objects => &[object::HANDLE, OBJECT_USE],
            Asked::FlowTables => &[flow_table::HANDLE, FLOW_TABLE_USE],
        };
        let mut of_kind: Vec<String> = hostile::payloads(socket, asked)
            .iter()
            .flat_map(|payload| {
                let attributes = Attributes::new(&payload[4..]);
                match asked {
                    Asked::Elements => elements(&attributes),
                    _ => vec![format!("{asked:?} {} {}", payload[0], shown(attributes, left_out))],
                }
            })
            .collect();
        // The order of a set's elements is the kernel's own.
        if matches!(asked, Asked::Elements) {
            of_kind.sort();
        }
        lines.extend(of_kind);
    }
    renamed(&lines.join("\n")).lines().map(ToOwned::to_owned).collect()
}

/// How often something is used (`NFTA_TABLE_USE` and its kin).
const TABLE_USE: u16 = 3;
const CHAIN_USE: u16 = 6;
const OBJECT_USE: u16 = 5;
const FLOW_TABLE_USE: u16 = 4;

fn elements(attributes: &Attributes<'_>) -> Vec<String> {
    let set = attributes.find(element::SET).and_then(|a| a.text()).unwrap_or_default();
    let list = attributes.find(element::ELEMENTS).map(|a| a.nested()).unwrap_or_default();
    list.map(|e| format!("Element {set} {}", shown(e.nested(), &[element::EXPIRATION]))).collect()
}

/// Attributes as text, without those of these kinds.
fn shown(attributes: Attributes<'_>, left_out: &[u16]) -> String {
    let kept = attributes.filter(|a| !left_out.contains(&a.kind));
    let mut parts: Vec<(u16, String)> = kept.map(|a| (a.kind, value(a.value))).collect();
    // The kernel turns lists of devices round.
    if parts.iter().all(|(kind, text)| *kind == 1 && text.starts_with('"')) {
        parts.sort();
    }
    parts.iter().map(|(kind, text)| format!("{kind}={text}")).collect::<Vec<_>>().join(" ")
}

/// A value as nested attributes, as text or as bytes, whichever it looks like.
fn value(bytes: &[u8]) -> String {
    let mut length = 0;
    let whole = Attributes::new(bytes).all(|a| {
        length += (4 + a.value.len()).next_multiple_of(4);
        (1..64).contains(&a.kind)
    });
    if whole && length > 0 && length == bytes.len().next_multiple_of(4) {
        return format!("({})", shown(Attributes::new(bytes), &[]));
    }
    match bytes.split_last() {
        Some((0, text)) if !text.is_empty() && text.iter().all(u8::is_ascii_graphic) => {
            format!("\"{}\"", String::from_utf8_lossy(text))
        }
        _ => format!("{bytes:02x?}"),
    }
}

/// Sets and chains without a name of their own, numbered in the order in which they are met.
fn renamed(text: &str) -> String {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut parts = text.split("\"__");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let end = part.find('"').unwrap_or(part.len());
        let count = names.len();
        let number = *names.entry(part[..end].to_owned()).or_insert(count);
        format!("{all}\"__{number}{}", &part[end..])
    })
}

fn open() -> Socket {
    Socket::open(Protocol::Netfilter).unwrap()
}

#[test]
#[ignore = "needs Debian's nft; run by cargo xtask interop"]
fn rulesets_of_the_wild_come_back_as_they_were() {
    test(|| {
        let mut socket = open();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rulesets");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "nft"));
        files.sort();
        assert!(files.len() >= 30, "only {} rulesets", files.len());
        let mut failures = Vec::new();
        for file in &files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(file).unwrap();
            let outcome = round_trip(&mut socket, &name, &text);
            // It holds what was loaded last: nsgate's text of it, or nft's.
            let read = ruleset(&mut socket).unwrap().ruleset;
            match (read_back_otherwise(&read), NOT_READ_BACK.iter().any(|(other, _)| *other == name)) {
                (Some(difference), false) => failures.push(format!("{name}: {difference}")),
                (None, true) => failures.push(format!("{name}: it is read back by now")),
                _ => {}
            }
            match outcome {
                Ok(Outcome::Same | Outcome::AsByNft) => {}
                Ok(Outcome::OwnRefused) => failures.push(format!("{name}: nft refuses its own text")),
                Ok(Outcome::Refused) => failures.push(format!("{name}: {:?}", load(&text))),
                Err(failure) => failures.push(failure),
            }
        }
        assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), files.len(), failures.join("\n\n"));
    });
}

#[test]
#[ignore = "needs Debian's nft; run by cargo xtask interop"]
fn rulesets_made_at_random_come_back_as_they_were() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let wanted = number("NSGATE_RANDOM_RULESETS", RANDOM_RULESETS);
    let seed = number("NSGATE_RANDOM_SEED", 1);
    test(|| {
        let mut socket = open();
        let mut generator = Generator::new(seed as u64);
        let (mut same, mut as_by_nft, mut own_refused, mut refused) = (0, 0, 0, 0);
        let mut failures = Vec::new();
        while same + as_by_nft + own_refused + failures.len() < wanted && failures.len() < 20 {
            let made = generator.ruleset();
            match round_trip(&mut socket, &format!("seed {seed}, ruleset {}", generator.made()), &made) {
                Ok(Outcome::Same) => same += 1,
                Ok(Outcome::AsByNft) => as_by_nft += 1,
                Ok(Outcome::OwnRefused) => own_refused += 1,
                Ok(Outcome::Refused) => refused += 1,
                Err(failure) => failures.push(failure),
            }
            assert!(refused <= 100 + same, "nft refuses most of what is made");
        }
        let counts = format!(
            "{same} the same, {as_by_nft} as by nft's own text, {own_refused} whose own text nft refuses, {refused} refused"
        );
        assert!(failures.is_empty(), "{} failures, {counts}:\n{}", failures.len(), failures.join("\n\n"));
        std::io::stderr().write_all(format!("{counts}\n").as_bytes()).unwrap();
    });
}
