//! What `nft -a monitor trace` prints, read without any of nsgate's own code.

/// One thing that the packet filter did with a traced packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When the line was read, in nanoseconds of the real-time clock: it happened before.
    pub(crate) read: u64,
    /// The kernel's number of the packet.
    pub(crate) packet: u32,
    /// What was done.
    pub(crate) step: Step,
}

/// Where something was done, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The family, table and chain, with spaces between them.
    pub(crate) chain: String,
    /// The rule's handle; none for the end of a chain.
    pub(crate) handle: Option<u64>,
    /// `accept`, `jump there`.
    pub(crate) verdict: String,
}

/// Tables whose names begin so are nsgate's own, which it leaves out.
const OWN: &str = "nsgate-trace-";

/// Reads a line; lines that only describe a packet, and those of nsgate's own tables, are none.
pub(crate) fn event(read: u64, line: &str) -> Option<Event> {
    let mut words = line.strip_prefix("trace id ")?.split_whitespace();
    let packet = u32::from_str_radix(words.next()?, 16).ok()?;
    let (family, table, chain) = (words.next()?, words.next()?, words.next()?);
    if table.starts_with(OWN) {
        return None;
    }
    let rest: Vec<&str> = words.collect();
    let (handle, verdict) = match rest.split_first()? {
        (&"rule" | &"unknown", rest) => {
            let verdict = between(line, "(verdict ", ")")?;
            (Some(rest.windows(2).rev().find(|two| two[0] == "handle")?[1].parse().ok()?), verdict)
        }
        (&"verdict" | &"policy", rest) => {
            let end = rest.iter().position(|word| *word == "meta").unwrap_or(rest.len());
            (None, rest[..end].join(" "))
        }
        _ => return None,
    };
    Some(Event { read, packet, step: Step { chain: format!("{family} {table} {chain}"), handle, verdict } })
}

/// What stands between the last occurrence of a beginning, and the end behind it.
fn between(line: &str, begin: &str, end: &str) -> Option<String> {
    let rest = &line[line.rfind(begin)? + begin.len()..];
    Some(rest[..rest.find(end)?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: &str) -> Option<(u32, Step)> {
        event(0, line).map(|event| (event.packet, event.step))
    }

    fn expected(packet: u32, chain: &str, handle: Option<u64>, verdict: &str) -> (u32, Step) {
        (packet, Step { chain: chain.into(), handle, verdict: verdict.into() })
    }

    #[test]
    fn rules_ends_of_chains_and_policies_are_read() {
        let rule = "trace id 093ec459 inet filter forward rule ip daddr 1.1.1.0/24 counter packets 0 bytes 0 drop \
                    comment \"a (verdict joke) # handle 9\" # handle 3 (verdict drop)";
        assert_eq!(step(rule).unwrap(), expected(0x93e_c459, "inet filter forward", Some(3), "drop"));
        let unknown = "trace id 00000001 ip nat post unknown rule handle 2 (verdict jump there)";
        assert_eq!(step(unknown).unwrap(), expected(1, "ip nat post", Some(2), "jump there"));
        let policy = "trace id 00000001 ip nat post policy accept meta mark 0x00000007 ";
        assert_eq!(step(policy).unwrap(), expected(1, "ip nat post", None, "accept"));
        let end = "trace id 00000001 ip nat mine verdict continue ";
        assert_eq!(step(end).unwrap(), expected(1, "ip nat mine", None, "continue"));
    }

    #[test]
    fn descriptions_and_our_own_tables_are_nothing() {
        assert_eq!(step("trace id 00000001 ip nat post packet: oif \"eth2\" ip saddr 1.1.1.2"), None);
        assert_eq!(step("trace id 00000001 inet nsgate-trace-95b35c40 prerouting policy accept "), None);
        assert_eq!(step("nonsense"), None);
    }
}
