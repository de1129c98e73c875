//! How a namespace turns names into addresses: what its resolv.conf and its hosts file say, and what came of asking.
//!
//! As glibc does it: the hosts file first, then each name that the search list makes of the one asked for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use nsgate_packet::dns::ResponseCode;

use crate::model::Family;

/// What a resolv.conf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The file, as whoever reads the verdict would open it.
    pub file: String,
    /// Whom to ask, in order.
    pub servers: Vec<Server>,
    /// How long to wait for each, in seconds.
    pub timeout: u32,
    /// How often to ask them all.
    pub attempts: u32,
    search: Vec<String>,
    dots: usize,
}

/// A name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// The interface that a link-local address belongs to.
    pub zone: Option<String>,
}

/// What came of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Its address.
    Address(IpAddr),
    /// A server answered that there is no such name, or that it has no address of the family.
    Absent {
        /// Who says so.
        server: Server,
        /// In its own words.
        code: ResponseCode,
    },
    /// No server could be asked.
    Unreachable(Unresolved),
}

/// A name that could not be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The name.
    pub name: String,
    /// The file that names the servers.
    pub file: String,
    /// Who was asked, and what came of it; in the order of asking, each once.
    pub asked: Vec<(Server, Failure)>,
}

/// Why a server was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It did not answer within so many milliseconds.
    Silent(u64),
    /// The question was refused: the kernel's words.
    Refused(String),
    /// It answered, but not what was asked.
    Answered(ResponseCode),
}

/// glibc asks no more servers than these (MAXNS).
const MOST_SERVERS: usize = 3;
/// More than anybody searches.
const MOST_SUFFIXES: usize = 16;
/// What glibc takes where the file says nothing, and the most that it takes (RES_TIMEOUT, RES_MAXRETRANS and so on).
const TIMEOUT: (u32, u32) = (5, 30);
const ATTEMPTS: (u32, u32) = (2, 5);
const DOTS: (u32, u32) = (1, 15);

impl Configuration {
    /// Reads a resolv.conf; none stands for a file that is not there. What it does not understand it passes over, as
    /// every program does.
    pub fn parse(file: impl Into<String>, text: Option<&str>) -> Self {
        let mut found = Self {
            file: file.into(),
            servers: Vec::new(),
            timeout: TIMEOUT.0,
            attempts: ATTEMPTS.0,
            search: Vec::new(),
            dots: DOTS.0 as usize,
        };
        for line in text.unwrap_or_default().lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => found.servers.extend(words.next().and_then(server)),
                // Each of these replaces what an earlier one said.
                Some("search" | "domain") => found.search = words.take(MOST_SUFFIXES).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| found.option(option)),
                _ => {}
            }
        }
        found.servers.truncate(MOST_SERVERS);
        if found.servers.is_empty() {
            found.servers.push(Server { address: Ipv4Addr::LOCALHOST.into(), zone: None });
        }
        found
    }

    /// The names to ask for, in order: with few dots, those that the search list makes come first.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let suffixed = self.search.iter().map(|suffix| format!("{name}.{}", suffix.trim_matches('.')));
        let mut candidates: Vec<String> = suffixed.collect();
        let enough_dots = name.matches('.').count() >= self.dots;
        candidates.insert(if enough_dots { 0 } else { candidates.len() }, name.to_owned());
        candidates
    }

    fn option(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "timeout" => self.timeout = value.clamp(1, TIMEOUT.1),
            "attempts" => self.attempts = value.clamp(1, ATTEMPTS.1),
            "ndots" => self.dots = value.min(DOTS.1) as usize,
            _ => {}
        }
    }
}

fn server(word: &str) -> Option<Server> {
    let (address, zone) = match word.split_once('%') {
        Some((address, zone)) => (address, Some(zone.to_owned())),
        None => (word, None),
    };
    Some(Server { address: address.parse().ok()?, zone })
}

/// The first address of a name in a hosts file, of the family if one is given.
pub fn in_hosts(text: &str, name: &str, family: Option<Family>) -> Option<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let ours =
            family.is_none_or(|family| Family::of(address) == family) && words.any(|w| w.eq_ignore_ascii_case(name));
        ours.then_some(address)
    })
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silent(milliseconds) => write!(f, "no answer within {milliseconds} ms"),
            Failure::Refused(words) => f.write_str(words),
            Failure::Answered(code) => write!(f, "it answered {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        Configuration::parse("f", Some(text)).servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_in_order_no_more_than_three() {
        let text = "# nameserver 9.9.9.9\nnameserver\t10.0.0.1 \nnameserver fe80::1%eth0\nnameserver x\nnameserver fd00::1\nnameserver 1.1.1.1\n";
        assert_eq!(servers(text), ["10.0.0.1", "fe80::1%eth0", "fd00::1"]);
        assert_eq!(servers(""), ["127.0.0.1"], "whom a program asks that is told nothing");
        assert_eq!(Configuration::parse("f", None).servers[0].to_string(), "127.0.0.1");
    }

    #[test]
    fn options_within_their_bounds() {
        let read = |text: &str| {
            let Configuration { timeout, attempts, dots, .. } = Configuration::parse("f", Some(text));
            (timeout, attempts, dots)
        };
        assert_eq!(read(""), (5, 2, 1));
        assert_eq!(read("options timeout:1 attempts:3 ndots:5 rotate use-vc\n"), (1, 3, 5));
        assert_eq!(read("options timeout:0 attempts:99 ndots:99\noptions timeout:x attempts: :\n"), (1, 5, 15));
    }

    #[test]
    fn names_that_the_search_list_makes() {
        let with = |text: &str, name: &str| Configuration::parse("f", Some(text)).candidates(name);
        assert_eq!(with("search a.test b.test.\n", "www"), ["www.a.test", "www.b.test", "www"]);
        assert_eq!(with("domain a.test\n", "www.x"), ["www.x", "www.x.a.test"]);
        assert_eq!(with("search a.test\noptions ndots:2\n", "www.x"), ["www.x.a.test", "www.x"]);
        assert_eq!(with("search a.test\n", "www."), ["www."]);
        assert_eq!(with("", "www"), ["www"]);
    }

    #[test]
    fn hosts_by_any_of_their_names() {
        let text = "127.0.0.1 localhost\n::1 localhost ip6-localhost # www\nbad www\n10.0.0.7\tdb WWW.test\n";
        let find = |name, family| in_hosts(text, name, family).map(|address| address.to_string());
        assert_eq!(find("localhost", None).as_deref(), Some("127.0.0.1"));
        assert_eq!(find("localhost", Some(Family::V6)).as_deref(), Some("::1"));
        assert_eq!(find("www.TEST.", None).as_deref(), Some("10.0.0.7"));
        assert_eq!(find("www", None), None);
    }
}
