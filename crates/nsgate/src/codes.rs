//! The explain pages, compiled in: one file of `docs/codes` for every cause code, in the groups of the catalogue.
//!
//! A page is plain Markdown of one shape: the code, its meaning in one short sentence, and always the same sections. The
//! tests below hold every page to that shape; nothing here knows what a page says.

use nsgate_core::explain::Cause;

/// Causes that are met in the same kind of place.
pub(crate) struct Group {
    /// Where they are met.
    pub(crate) title: &'static str,
    /// Their pages.
    pub(crate) pages: &'static [Page],
}

/// What is to be known of one cause.
pub(crate) struct Page {
    /// The cause.
    pub(crate) cause: Cause,
    text: &'static str,
}

/// One section of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its heading.
    pub(crate) title: &'static str,
    /// What stands below it, without blank lines around it.
    pub(crate) text: &'static str,
}

/// The page of a cause, by the name of its file.
macro_rules! page {
    ($cause:ident, $file:literal) => {
        Page { cause: Cause::$cause, text: include_str!(concat!("../../../docs/codes/", $file, ".md")) }
    };
}

/// Every page, in the order of the catalogue.
pub(crate) static GROUPS: [Group; 5] = [
    Group {
        title: "At any hop: the sender, a gateway, the destination",
        pages: &[
            page!(LinkDown, "link-down"),
            page!(NoCarrier, "no-carrier"),
            page!(AddressMissing, "address-missing"),
            page!(AddressDuplicate, "address-duplicate"),
            page!(AddressTentative, "address-tentative"),
            page!(Ipv6Disabled, "ipv6-disabled"),
            page!(PrefixWrong, "prefix-wrong"),
            page!(RouteMissing, "route-missing"),
            page!(RouteWrong, "route-wrong"),
            page!(RouteBlocking, "route-blocking"),
            page!(RulePolicy, "rule-policy"),
            page!(NeighbourFailed, "neighbour-failed"),
            page!(NeighbourWrong, "neighbour-wrong"),
            page!(NeighbourTableFull, "neighbour-table-full"),
            page!(FilterDrop, "filter-drop"),
            page!(BpfDrop, "bpf-drop"),
            page!(QdiscDrop, "qdisc-drop"),
            page!(SecurityDrop, "security-drop"),
            page!(XfrmDrop, "xfrm-drop"),
            page!(MtuExceeded, "mtu-exceeded"),
            page!(FragmentLost, "fragment-lost"),
            page!(ChecksumBad, "checksum-bad"),
            page!(TtlExpired, "ttl-expired"),
            page!(SourceMartian, "source-martian"),
            page!(MacMismatch, "mac-mismatch"),
            page!(BridgePortBlocked, "bridge-port-blocked"),
            page!(TunnelUnresolved, "tunnel-unresolved"),
            page!(ServiceOverloaded, "service-overloaded"),
        ],
    },
    Group {
        title: "At a namespace that forwards",
        pages: &[
            page!(ForwardingDisabled, "forwarding-disabled"),
            page!(RpFilter, "rp-filter"),
            page!(RouterAdvertisementLost, "router-advertisement-lost"),
            page!(LocalnetUnrouted, "localnet-unrouted"),
            page!(BridgeFiltered, "bridge-filtered"),
        ],
    },
    Group {
        title: "Network address translation",
        pages: &[
            page!(SnatMissing, "snat-missing"),
            page!(SnatMismatch, "snat-mismatch"),
            page!(SnatAddressWrong, "snat-address-wrong"),
            page!(SnatExhausted, "snat-exhausted"),
            page!(SnatUnwanted, "snat-unwanted"),
            page!(MasqueradeNoAddress, "masquerade-no-address"),
            page!(DnatMissing, "dnat-missing"),
            page!(DnatMismatch, "dnat-mismatch"),
            page!(DnatTargetWrong, "dnat-target-wrong"),
            page!(HairpinMissing, "hairpin-missing"),
            page!(ConntrackFull, "conntrack-full"),
            page!(ConntrackStale, "conntrack-stale"),
            page!(ConntrackInvalid, "conntrack-invalid"),
        ],
    },
    Group {
        title: "At the destination and beyond",
        pages: &[
            page!(ServiceClosed, "service-closed"),
            page!(EchoIgnored, "echo-ignored"),
            page!(ReturnRouteMissing, "return-route-missing"),
            page!(ReturnPathAsymmetric, "return-path-asymmetric"),
            page!(UpstreamSilent, "upstream-silent"),
            page!(ResolverUnreachable, "resolver-unreachable"),
        ],
    },
    Group {
        title: "No fault",
        pages: &[page!(Delivered, "delivered"), page!(NotPermitted, "not-permitted"), page!(Uncertain, "uncertain")],
    },
];

impl Page {
    /// What the code means, in one short sentence.
    pub(crate) fn meaning(&self) -> &'static str {
        self.text.lines().nth(2).unwrap_or_default()
    }

    /// The sections, in order.
    pub(crate) fn sections(&self) -> impl Iterator<Item = Section> {
        self.text.split("\n## ").skip(1).map(|section| {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            Section { title, text: text.trim_matches('\n') }
        })
    }
}

/// The page of this code and the group it stands in.
pub(crate) fn find(code: &str) -> Option<(&'static Group, &'static Page)> {
    GROUPS.iter().find_map(|group| group.pages.iter().find(|page| page.cause.code() == code).map(|page| (group, page)))
}

/// The codes most like a word that is none, the most alike first.
pub(crate) fn like(word: &str) -> Vec<&'static str> {
    /// What differs more than this is no slip of the finger.
    const ALIKE: f64 = 0.8;
    let codes = Cause::ALL.iter().map(|cause| cause.code());
    let mut scored: Vec<_> = codes.map(|code| (likeness(word, code), code)).filter(|(l, _)| *l >= ALIKE).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, code)| code).collect()
}

/// How much a word is like a code: as a whole, or like the sysctl or word that the code is made of.
fn likeness(word: &str, code: &str) -> f64 {
    strsim::jaro_winkler(&word.to_lowercase().replace(['_', ' ', '.'], "-"), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sections of every page, in their order.
    const SECTIONS: [&str; 5] = ["What happens", "Picture", "Confirm by hand", "Mend", "Look-alikes"];

    fn pages() -> impl Iterator<Item = &'static Page> {
        GROUPS.iter().flat_map(|group| group.pages)
    }

    /// The text outside of the blocks that are indented by four.
    fn prose(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter(|line| !line.starts_with("    "))
    }

    #[test]
    fn every_cause_has_one_page_and_every_file_belongs_to_one() {
        let mut named: Vec<&str> = pages().map(|page| page.cause.code()).collect();
        assert_eq!(named, Cause::ALL.map(Cause::code), "the table stands in the order of the catalogue");
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/codes");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.map(|name| name.trim_end_matches(".md").to_owned()).collect();
        files.sort();
        named.sort_unstable();
        assert_eq!(files, named);
    }

    #[test]
    fn every_page_is_named_as_its_cause_and_says_it_in_one_short_sentence() {
        for page in pages() {
            let code = page.cause.code();
            let mut lines = page.text.lines();
            assert_eq!(lines.next(), Some(format!("# {code}").as_str()));
            assert_eq!((lines.next(), lines.nth(1)), (Some(""), Some("")), "{code}: the meaning is one line");
            let meaning = page.meaning();
            assert!(meaning.ends_with('.') && meaning.len() <= 52, "{code}: {} columns: {meaning}", meaning.len());
        }
    }

    #[test]
    fn every_page_has_every_section_with_something_in_it() {
        for page in pages() {
            let code = page.cause.code();
            let titles: Vec<&str> = page.sections().map(|section| section.title).collect();
            assert_eq!(titles, SECTIONS, "{code}");
            for Section { title, text } in page.sections() {
                assert!(text.len() > 20, "{code}: {title} is empty");
            }
            let section = |wanted| page.sections().find(|s| s.title == wanted).map_or("", |s| s.text);
            let lost = !matches!(page.cause, Cause::Delivered);
            assert_eq!(section("Picture").contains('✗'), lost, "{code}: the picture marks the place of the loss");
            let commands = section("Confirm by hand").lines().filter(|line| line.starts_with("    # ")).count();
            assert!(commands > 0, "{code}: nothing to confirm it by");
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_takes() {
        for page in pages() {
            let code = page.cause.code();
            for line in page.text.lines() {
                assert!(line.chars().count() <= 78 && !line.contains('\t'), "{code}: {line}");
                assert!(!line.ends_with(' '), "{code}: {line}");
            }
            for line in prose(page.text) {
                assert!(line.matches('`').count() % 2 == 0, "{code}: a code word goes over the line's end: {line}");
                assert!(!line.contains("**") && !line.starts_with('|'), "{code}: plain text and lists only: {line}");
            }
            assert!(page.text.ends_with('\n') && !page.text.contains("\n\n\n"), "{code}");
        }
    }

    #[test]
    fn look_alikes_are_codes() {
        for page in pages() {
            let text = page.sections().last().map_or("", |section| section.text);
            let named = prose(text).filter_map(|line| line.strip_prefix("- `")?.split('`').next());
            let mut count = 0;
            for name in named {
                assert!(name.parse::<Cause>().is_ok_and(|cause| cause != page.cause), "{}: {name}", page.cause);
                count += 1;
            }
            assert!(count > 0, "{}: no look-alike", page.cause);
        }
    }

    #[test]
    fn a_slip_of_the_finger_finds_the_code() {
        assert_eq!(like("forwarding-disable").first(), Some(&"forwarding-disabled"));
        assert_eq!(like("rp_filter").first(), Some(&"rp-filter"));
        assert!(like("xyzzy").is_empty());
    }
}
