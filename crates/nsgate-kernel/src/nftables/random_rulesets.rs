//! Rulesets made at random in nft's language, for the comparison with nft.
//!
//! What is made is mostly what nft accepts: each rule keeps to one network and one transport protocol. The same seed
//! makes the same rulesets.

use std::fmt::Write as _;

/// Makes rulesets.
pub(super) struct Generator {
    state: u64,
    made: usize,
}

/// What a rule may speak of.
#[derive(Clone, Copy)]
struct Scope {
    family: &'static str,
    hook: &'static str,
    /// 4, 6 or 0 for either.
    network: u8,
    transport: &'static str,
}

/// The type of a value, for what can be compared with it.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    V4,
    V6,
    Port,
    /// A number below this.
    Below(u64),
    Mark,
    Name,
    Ether,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these flags.
    Flags(&'static [&'static str]),
}

const PROTOCOLS: &[&str] = &["tcp", "udp", "icmp", "esp", "ah", "sctp", "dccp", "udplite", "gre", "99"];
const STATES: &[&str] = &["new", "established", "related", "invalid", "untracked"];
const TCP_FLAGS: &[&str] = &["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
const DSCP: &[&str] = &["cs0", "cs1", "cs7", "af11", "af43", "ef", "va", "lephb", "0x3f"];
const ICMP: &[&str] = &["echo-request", "echo-reply", "destination-unreachable", "redirect", "time-exceeded", "99"];
const ICMP6: &[&str] = &["nd-neighbor-solicit", "nd-router-advert", "packet-too-big", "echo-request", "200"];
const FIB: &[&str] = &["local", "unicast", "broadcast", "multicast", "blackhole", "unreachable", "prohibit"];
const PACKETS: &[&str] = &["host", "broadcast", "multicast", "other"];
const STATUS: &[&str] = &["expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"];
const DAYS: &[&str] = &["\"Monday\"", "\"Sunday\"", "\"Friday\""];
const OPTIONS: &[&str] = &["eol", "nop", "maxseg", "window", "sack-perm", "sack", "timestamp", "md5sig", "mptcp"];
const HEADERS: &[&str] = &["hbh", "rt", "frag", "dst", "mh"];
const CHUNKS: &[&str] = &["data", "init", "init-ack", "sack", "heartbeat", "abort", "shutdown", "asconf"];
const VERDICTS: &[&str] = &["accept", "drop", "return", "continue", "jump other", "goto other"];

/// Fields of any packet.
const ANY: &[(&str, Kind)] = &[
    ("meta mark", Kind::Mark),
    ("meta length", Kind::Below(1 << 16)),
    ("meta cpu", Kind::Below(64)),
    ("meta priority", Kind::Word(&["1:2", "none", "ffff:1"])),
    ("meta pkttype", Kind::Word(PACKETS)),
    ("meta l4proto", Kind::Word(PROTOCOLS)),
    ("meta day", Kind::Word(DAYS)),
    ("meta protocol", Kind::Word(&["ip", "ip6"])),
];

/// Fields where connections are known.
const TRACKED: &[(&str, Kind)] = &[
    ("ct state", Kind::Flags(STATES)),
    ("ct status", Kind::Flags(STATUS)),
    ("ct mark", Kind::Mark),
    ("ct direction", Kind::Word(&["original", "reply"])),
    ("ct zone", Kind::Below(1 << 16)),
    ("ct helper", Kind::Word(&["\"ftp\"", "\"sip\""])),
    ("ct original packets", Kind::Below(1 << 40)),
    ("ct reply bytes", Kind::Below(1 << 40)),
    ("ct avgpkt", Kind::Below(1 << 20)),
    ("ct expiration", Kind::Word(&["30s", "1h", "2d3h4m5s"])),
    ("ct original ip saddr", Kind::V4),
    ("ct reply ip6 daddr", Kind::V6),
    ("ct label", Kind::Word(&["1", "5", "127"])),
    ("rt classid", Kind::Below(1 << 16)),
    ("meta skuid", Kind::Below(1 << 31)),
    ("meta skgid", Kind::Below(1 << 31)),
    ("meta cgroup", Kind::Below(1 << 31)),
    ("meta rtclassid", Kind::Below(1 << 16)),
    ("meta nfproto", Kind::Word(&["ipv4", "ipv6"])),
    ("meta iifgroup", Kind::Below(1 << 16)),
    ("meta sdifname", Kind::Name),
    ("meta iifkind", Kind::Name),
];

const V4: &[(&str, Kind)] = &[
    ("ip saddr", Kind::V4),
    ("ip daddr", Kind::V4),
    ("ip ttl", Kind::Below(256)),
    ("ip id", Kind::Below(1 << 16)),
    ("ip length", Kind::Below(1 << 16)),
    ("ip dscp", Kind::Word(DSCP)),
    ("ip ecn", Kind::Word(&["not-ect", "ce", "ect0"])),
    ("ip hdrlength", Kind::Below(16)),
    ("ip version", Kind::Below(16)),
    ("ip protocol", Kind::Word(PROTOCOLS)),
    ("ip frag-off", Kind::Below(1 << 16)),
    ("ip checksum", Kind::Below(1 << 16)),
];

const V6: &[(&str, Kind)] = &[
    ("ip6 saddr", Kind::V6),
    ("ip6 daddr", Kind::V6),
    ("ip6 hoplimit", Kind::Below(256)),
    ("ip6 nexthdr", Kind::Word(PROTOCOLS)),
    ("ip6 flowlabel", Kind::Below(1 << 20)),
    ("ip6 dscp", Kind::Word(DSCP)),
    ("ip6 length", Kind::Below(1 << 16)),
    ("frag id", Kind::Below(1 << 32)),
    ("frag more-fragments", Kind::Below(2)),
    ("frag frag-off", Kind::Below(1 << 13)),
    ("rt seg-left", Kind::Below(256)),
    ("hbh nexthdr", Kind::Word(PROTOCOLS)),
    ("mh type", Kind::Word(&["binding-update", "home-test", "7"])),
];

const TCP: &[(&str, Kind)] = &[
    ("tcp sport", Kind::Port),
    ("tcp dport", Kind::Port),
    ("tcp flags", Kind::Flags(TCP_FLAGS)),
    ("tcp window", Kind::Below(1 << 16)),
    ("tcp sequence", Kind::Below(1 << 32)),
    ("tcp ackseq", Kind::Below(1 << 32)),
    ("tcp doff", Kind::Below(16)),
    ("tcp urgptr", Kind::Below(1 << 16)),
    ("tcp option maxseg size", Kind::Below(1 << 16)),
    ("tcp option window count", Kind::Below(256)),
    ("tcp option timestamp tsval", Kind::Below(1 << 32)),
    ("tcp option sack left", Kind::Below(1 << 32)),
    ("tcp option mptcp subtype", Kind::Below(16)),
];

const UDP: &[(&str, Kind)] = &[
    ("udp sport", Kind::Port),
    ("udp dport", Kind::Port),
    ("udp length", Kind::Below(1 << 16)),
    ("udp checksum", Kind::Below(1 << 16)),
];

const SCTP: &[(&str, Kind)] = &[
    ("sctp sport", Kind::Port),
    ("sctp dport", Kind::Port),
    ("sctp vtag", Kind::Below(1 << 32)),
    ("sctp chunk data tsn", Kind::Below(1 << 32)),
    ("sctp chunk init a-rwnd", Kind::Below(1 << 32)),
];

const ARP: &[(&str, Kind)] = &[
    ("arp operation", Kind::Word(&["request", "reply", "rrequest"])),
    ("arp htype", Kind::Below(1 << 16)),
    ("arp hlen", Kind::Below(256)),
    ("arp saddr ip", Kind::V4),
    ("arp daddr ip", Kind::V4),
    ("arp saddr ether", Kind::Ether),
];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, made: 0 }
    }

    /// How many rulesets were made.
    pub(super) fn made(&self) -> usize {
        self.made
    }

    /// A ruleset of one table.
    pub(super) fn ruleset(&mut self) -> String {
        self.made += 1;
        let family = self.one(&["inet", "inet", "ip", "ip6", "bridge", "netdev", "arp"]);
        let hooks: &[&str] = match family {
            "netdev" => &["ingress", "egress"],
            "arp" => &["input", "output"],
            "bridge" => &["prerouting", "input", "forward", "output", "postrouting"],
            _ => &["prerouting", "input", "forward", "output", "postrouting", "nat-prerouting", "nat-postrouting"],
        };
        let mut text = format!("table {family} t {{\n");
        if self.below(10) == 0 {
            text += "\tcomment \"made at random\"\n";
        }
        text += &self.named();
        text += "\tchain other {\n\t}\n";
        for number in 0..=self.below(2) {
            let hook = self.one(hooks);
            let (kind, place, priority) = match hook {
                "nat-prerouting" => ("nat", "prerouting", -100),
                "nat-postrouting" => ("nat", "postrouting", 100),
                place => ("filter", place, self.below(1000) as i64 - 500),
            };
            let device = if family == "netdev" { " device \"lo\"" } else { "" };
            let policy = self.one(&["accept", "drop"]);
            let _ = write!(text, "\tchain c{number} {{\n\t\ttype {kind} hook {place}{device} priority {priority}; ");
            let _ = writeln!(text, "policy {policy};");
            for _ in 0..=self.below(5) {
                let _ = writeln!(text, "\t\t{}", self.rule(family, hook));
            }
            text += "\t}\n";
        }
        text + "}\n"
    }

    /// Sets, maps and objects that rules may name; some are not named by any.
    fn named(&mut self) -> String {
        let mut text = String::new();
        let elements = |values: Vec<String>| values.join(", ");
        let v4 = elements(self.several(Kind::V4, true));
        let _ = write!(
            text,
            "\tset v4 {{\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n\t\telements = {{ {v4} }}\n\t}}\n"
        );
        let v6 = elements(self.several(Kind::V6, false));
        let _ = write!(text, "\tset v6 {{\n\t\ttype ipv6_addr\n\t\telements = {{ {v6} }}\n\t}}\n");
        let timeout = self.one(&["30s", "1h", "1d2h"]);
        let address = self.value(Kind::V4);
        let _ = write!(
            text,
            "\tset seen {{\n\t\ttype ipv4_addr\n\t\tsize {}\n\t\tflags dynamic,timeout\n",
            1 + self.below(99999)
        );
        let _ = write!(text, "\t\ttimeout {timeout}\n\t\telements = {{ {address} comment \"first\" }}\n\t}}\n");
        let mut pairs = String::new();
        for port in self.several(Kind::Port, true) {
            let _ = write!(pairs, "{port} . {} : {}, ", self.one(&["tcp", "udp"]), self.one(VERDICTS));
        }
        let _ = write!(
            text,
            "\tmap ports {{\n\t\ttype inet_service . inet_proto : verdict\n\t\tflags interval\n\t\telements = {{ {pairs}}}\n\t}}\n"
        );
        let _ = write!(text, "\tcounter traffic {{\n\t\tpackets {} bytes {}\n\t}}\n", self.below(99), self.below(9999));
        let _ = write!(text, "\tquota budget {{\n\t\tover {} kbytes\n\t}}\n", 1 + self.below(9999));
        let _ =
            write!(text, "\tlimit pace {{\n\t\trate {}/{}\n\t}}\n", 1 + self.below(999), self.one(&["second", "hour"]));
        text
    }

    fn rule(&mut self, family: &'static str, hook: &'static str) -> String {
        let network = match family {
            "ip" => 4,
            "ip6" => 6,
            "arp" => 0,
            _ => self.one(&[0, 4, 6]),
        };
        let transports: &[&str] = match (family, network) {
            ("arp", _) => &[""],
            (_, 4) => &["", "tcp", "udp", "sctp", "icmp"],
            (_, 6) => &["", "tcp", "udp", "sctp", "icmpv6"],
            _ => &["", "tcp", "udp", "sctp"],
        };
        let scope = Scope { family, hook, network, transport: self.one(transports) };
        let mut parts = Vec::new();
        for _ in 0..=self.below(2) {
            parts.push(self.question(scope));
        }
        for _ in 0..self.below(3) {
            parts.push(self.action(scope));
        }
        if let Some(end) = self.end(scope) {
            parts.push(end);
        }
        if self.below(4) == 0 {
            parts.push(format!("comment \"{}\"", self.one(&["a", "with space", "ümläut", "it's: 100%, yes"])));
        }
        parts.join(" ")
    }

    /// A field that is there in this scope.
    fn field(&mut self, scope: Scope) -> (&'static str, Kind) {
        let tracked = matches!(scope.family, "inet" | "ip" | "ip6");
        let mut tables: Vec<&[(&str, Kind)]> = vec![ANY];
        if tracked {
            tables.push(TRACKED);
        }
        match scope.network {
            4 => tables.extend([V4, V4]),
            6 => tables.extend([V6, V6]),
            _ => {}
        }
        match scope.transport {
            "tcp" => tables.extend([TCP, TCP]),
            "udp" => tables.extend([UDP, UDP]),
            "sctp" => tables.push(SCTP),
            "icmp" => tables.push(&[("icmp type", Kind::Word(ICMP)), ("icmp code", Kind::Below(256))]),
            "icmpv6" => tables.push(&[("icmpv6 type", Kind::Word(ICMP6)), ("icmpv6 code", Kind::Below(256))]),
            _ => {}
        }
        if scope.family == "arp" {
            tables.push(ARP);
        }
        if !matches!(scope.hook, "output" | "egress" | "postrouting" | "nat-postrouting") {
            tables.push(&[("iifname", Kind::Name), ("iif", Kind::Word(&["\"lo\""]))]);
        }
        if !matches!(scope.hook, "input" | "ingress" | "prerouting" | "nat-prerouting") {
            tables.push(&[("oifname", Kind::Name), ("oif", Kind::Word(&["\"lo\""]))]);
        }
        if matches!(scope.family, "bridge" | "netdev") {
            tables.push(&[("ether saddr", Kind::Ether), ("ether daddr", Kind::Ether)]);
        }
        let table = self.one(&tables);
        self.one(table)
    }

    /// Something that a packet must fulfil.
    fn question(&mut self, scope: Scope) -> String {
        match self.below(12) {
            0 => return self.concatenation(scope),
            1 => return self.special(scope),
            2 if scope.network == 4 => return format!("ip saddr{} @v4", self.one(&["", " !="])),
            3 if scope.network == 6 => return "ip6 daddr @v6".into(),
            _ => {}
        }
        let (field, kind) = self.field(scope);
        if self.below(8) == 0 && !matches!(kind, Kind::Flags(_)) {
            let mut pairs = Vec::new();
            for key in self.several(kind, false) {
                pairs.push(format!("{key} : {}", self.one(VERDICTS)));
            }
            return format!("{field} vmap {{ {} }}", pairs.join(", "));
        }
        format!("{field} {}", self.right(kind))
    }

    /// What a field is compared with.
    fn right(&mut self, kind: Kind) -> String {
        let not = self.one(&["", "", "!= "]);
        match (kind, self.below(6)) {
            (Kind::Flags(words), 0) => {
                let (mask, value) = (self.flags(words, " | "), self.one(words));
                format!("& ({mask}) {} {value}", self.one(&["==", "!="]))
            }
            (Kind::Flags(words), 1) => format!("{{ {}, {} }}", words[0], words[1]),
            (Kind::Flags(words), _) => format!("{not}{}", self.flags(words, ",")),
            (Kind::Mark, 0) => {
                format!("& {:#x} {} {:#x}", self.below(1 << 32), self.one(&["==", "!="]), self.below(256))
            }
            (Kind::Below(_) | Kind::Port | Kind::Mark, 1) => {
                format!("{} {}", self.one(&["<", ">", "<=", ">="]), self.value(kind))
            }
            (Kind::V4, 1) => format!("{not}{}/{}", self.value(kind), 1 + self.below(32)),
            (Kind::V6, 1) => format!("{not}{}/{}", self.value(kind), 1 + self.below(128)),
            (Kind::Below(_) | Kind::Port | Kind::Mark | Kind::V4 | Kind::V6, 2) => format!("{not}{}", self.range(kind)),
            (_, 3) => format!("{not}{{ {} }}", self.several(kind, false).join(", ")),
            (Kind::Below(_) | Kind::Port | Kind::Mark | Kind::V4 | Kind::V6, 4) => {
                format!("{not}{{ {} }}", self.several(kind, true).join(", "))
            }
            (Kind::Name, 4) => format!("{not}\"{}*\"", self.one(&["eth", "veth", "br-"])),
            _ => format!("{not}{}", self.value(kind)),
        }
    }

    fn concatenation(&mut self, scope: Scope) -> String {
        let mut fields: Vec<(&str, Kind)> = Vec::new();
        for _ in 0..6 {
            let (field, kind) = self.field(scope);
            let joins = matches!(kind, Kind::V4 | Kind::V6 | Kind::Port | Kind::Mark | Kind::Name | Kind::Ether);
            if joins && fields.len() < 3 && fields.iter().all(|(other, _)| *other != field) {
                fields.push((field, kind));
            }
        }
        if fields.len() < 2 {
            return self.special(scope);
        }
        let mut keys = Vec::new();
        let ranges = self.below(2) == 0;
        for number in 0..=self.below(3) {
            let parts: Vec<String> = fields
                .iter()
                .map(|(_, kind)| match kind {
                    Kind::V4 if ranges => format!("10.{number}.0.0/{}", 16 + self.below(17)),
                    Kind::Port if ranges => self.range(Kind::Port),
                    kind => self.value(*kind),
                })
                .collect();
            keys.push(parts.join(" . "));
        }
        let left = fields.iter().map(|(field, _)| *field).collect::<Vec<_>>().join(" . ");
        if self.below(3) == 0 {
            let pairs: Vec<String> = keys.iter().map(|key| format!("{key} : {}", self.one(VERDICTS))).collect();
            return format!("{left} vmap {{ {} }}", pairs.join(", "));
        }
        format!("{left} {{ {} }}", keys.join(", "))
    }

    /// Questions that are no comparison of one field.
    fn special(&mut self, scope: Scope) -> String {
        let there = self.one(&["exists", "missing"]);
        match (self.below(9), scope.transport, scope.network) {
            (0, "tcp", _) => format!("tcp option {} {there}", self.one(OPTIONS)),
            (1, "tcp", _) => format!("tcp flags {} / {}", self.one(TCP_FLAGS), self.flags(TCP_FLAGS, ",")),
            (0, "sctp", _) => format!("sctp chunk {} {there}", self.one(CHUNKS)),
            (0 | 1, "", 6) => format!("exthdr {} {there}", self.one(HEADERS)),
            (0, "", 4) => format!("ip option {} {there}", self.one(&["lsrr", "ssrr", "rr", "ra"])),
            (2, ..) if matches!(scope.family, "inet" | "ip" | "ip6") && scope.hook == "prerouting" => {
                format!("fib saddr . iif oif {there}")
            }
            (3, ..) if matches!(scope.family, "inet" | "ip" | "ip6") => {
                format!("fib daddr type {}", self.right(Kind::Word(FIB)))
            }
            (4, ..) => {
                let modulus = 2 + self.below(99);
                let mode = self.one(&["inc", "random"]);
                format!("numgen {mode} mod {modulus} offset {} < {}", self.below(9), 1 + self.below(50))
            }
            (5, _, 4) => format!("jhash ip saddr mod {} seed {:#x} {}", 2 + self.below(99), self.below(1 << 32), 1),
            (6, ..) if scope.hook == "prerouting" && matches!(scope.family, "inet" | "ip" | "ip6") => {
                self.one(&["socket transparent 1", "socket wildcard 0", "socket mark 0x5"]).into()
            }
            (7, ..) if matches!(scope.family, "inet" | "ip" | "ip6") => {
                let way = if scope.hook.contains("post") || scope.hook == "output" { "out" } else { "in" };
                format!("ipsec {way} {}", self.one(&["reqid 5", "spi 0x10", "ip saddr 1.1.1.1", "spnum 1 reqid != 3"]))
            }
            _ => {
                // Not where the next protocol stands: nft holds it against what the rule asks for later.
                let offset = self.one(&[0, 8, 16, 32, 80, 96, 104, 136, 152, 160]);
                format!("@nh,{offset},16 {:#x}", self.below(1 << 16))
            }
        }
    }

    /// What a rule does besides deciding.
    fn action(&mut self, scope: Scope) -> String {
        let tracked = matches!(scope.family, "inet" | "ip" | "ip6");
        match self.below(20) {
            0 => "counter".into(),
            1 => format!("counter packets {} bytes {}", self.below(99), self.below(9999)),
            2 => format!("log prefix \"{}\"", self.one(&["a", "b: ", "long prefix with words "])),
            3 => format!("log level {} flags {}", self.one(&["emerg", "err", "debug"]), self.one(&["all", "skuid"])),
            4 => format!("log group {} snaplen {}", self.below(65536), 1 + self.below(999)),
            5 => {
                let unit = self.one(&["second", "minute", "hour", "day", "week"]);
                let over = self.one(&["", "over "]);
                format!("limit rate {over}{}/{unit} burst {} packets", 1 + self.below(9999), 1 + self.below(99))
            }
            6 => format!("limit rate {} {}/second", 1 + self.below(9999), self.one(&["bytes", "kbytes", "mbytes"])),
            7 => {
                format!("quota {}{} {}", self.one(&["", "over "]), 1 + self.below(9999), self.one(&["bytes", "mbytes"]))
            }
            8 => format!("meta mark set {:#x}", self.below(1 << 32)),
            9 => format!("meta mark set meta mark & {:#x} | {:#x}", self.below(1 << 32), self.below(1 << 32)),
            10 if tracked => "ct mark set meta mark".into(),
            11 if tracked => format!("meta mark set ct mark >> {}", 1 + self.below(24)),
            12 if tracked => format!("ct count {}{}", self.one(&["", "over "]), 1 + self.below(99)),
            13 if scope.network == 4 => format!("ip dscp set {}", self.one(DSCP)),
            14 if scope.network == 4 => self.one(&["ip ttl set 5", "ip daddr set 1.2.3.4", "ip id set 7"]).into(),
            15 if scope.transport == "tcp" => self
                .one(&["tcp option maxseg size set rt mtu", "tcp option maxseg size set 1400", "tcp dport set 5"])
                .into(),
            16 if scope.network == 4 => format!("add @seen {{ ip saddr timeout {} }}", self.one(&["5s", "10m"])),
            17 => self.one(&["counter name \"traffic\"", "quota name \"budget\"", "limit name \"pace\""]).into(),
            18 => format!("meta priority set {:x}:{:x}", self.below(65536), self.below(65536)),
            19 if scope.network == 6 => format!("ip6 hoplimit set {}", self.below(256)),
            _ => "meta nftrace set 1".into(),
        }
    }

    /// How a rule decides, if it does.
    fn end(&mut self, scope: Scope) -> Option<String> {
        let tracked = matches!(scope.family, "inet" | "ip" | "ip6");
        let word = match scope.network {
            4 if scope.family == "inet" => " ip",
            6 if scope.family == "inet" => " ip6",
            _ => "",
        };
        let ports = matches!(scope.transport, "tcp" | "udp");
        match (scope.hook, self.below(6)) {
            ("nat-postrouting", 0) => {
                Some(format!("masquerade{}", self.one(&["", " random", " fully-random,persistent"])))
            }
            ("nat-postrouting", 1) if scope.network == 4 => Some(format!("snat{word} to {}", self.value(Kind::V4))),
            ("nat-postrouting", 2) if scope.network == 4 && ports => {
                Some(format!("snat{word} to {}:{}", self.value(Kind::V4), self.range(Kind::Port)))
            }
            ("nat-postrouting", 3) if scope.network == 6 => Some(format!("snat{word} to {}", self.value(Kind::V6))),
            ("nat-prerouting", 0) if scope.network == 4 => Some(format!("dnat{word} to {}", self.range(Kind::V4))),
            ("nat-prerouting", 1) if scope.network == 6 && ports => {
                Some(format!("dnat{word} to [{}]:{}", self.value(Kind::V6), self.value(Kind::Port)))
            }
            ("nat-prerouting", 2) if ports => Some(format!("redirect to :{}", self.value(Kind::Port))),
            ("nat-prerouting", 3) if scope.network == 4 => Some(format!(
                "dnat{word} to ip daddr map {{ 1.1.1.1 : {}, 2.2.2.2 : {} }}",
                self.value(Kind::V4),
                self.value(Kind::V4)
            )),
            ("input" | "forward" | "output", 0) if tracked => Some("reject".into()),
            ("input" | "forward" | "output", 1) if scope.family == "inet" => {
                Some(format!("reject with icmpx {}", self.one(&["no-route", "admin-prohibited"])))
            }
            ("input" | "forward", 2) if tracked && scope.transport == "tcp" => Some("reject with tcp reset".into()),
            ("input" | "forward", 3) if tracked && scope.network == 4 => Some(format!(
                "reject with icmp {}",
                self.one(&["host-unreachable", "net-prohibited", "prot-unreachable"])
            )),
            ("prerouting" | "output", 4) if tracked => Some("notrack".into()),
            (_, 5) => None,
            _ => Some(self.one(VERDICTS).into()),
        }
    }

    fn value(&mut self, kind: Kind) -> String {
        match kind {
            Kind::V4 => std::net::Ipv4Addr::from(self.below(1 << 32) as u32).to_string(),
            Kind::V6 => std::net::Ipv6Addr::from(u128::from(self.next()) << 64 | u128::from(self.next())).to_string(),
            Kind::Port => self.below(65536).to_string(),
            Kind::Below(limit) => self.below(limit).to_string(),
            Kind::Mark => format!("{:#x}", self.below(1 << 32)),
            Kind::Name => format!("\"{}\"", self.one(&["eth0", "veth1", "br-lan", "wg0.5", "tap_x"])),
            Kind::Ether => format!("02:00:{:02x}:{:02x}:00:01", self.below(256), self.below(256)),
            Kind::Word(words) | Kind::Flags(words) => self.one(words).into(),
        }
    }

    fn range(&mut self, kind: Kind) -> String {
        let limit = match kind {
            Kind::Below(limit) => limit,
            Kind::V4 | Kind::Mark => 1 << 32,
            Kind::V6 => return format!("fd00::{:x}-fd00:1::{:x}", self.below(65536), self.below(65536)),
            _ => 65536,
        };
        let (low, high) = (self.below(limit - 1), 1 + self.below(limit / 4 + 1));
        let high = (low + high).min(limit - 1);
        match kind {
            Kind::V4 => format!("{}-{}", std::net::Ipv4Addr::from(low as u32), std::net::Ipv4Addr::from(high as u32)),
            _ => format!("{low}-{high}"),
        }
    }

    /// Values that differ; ranges of them that do not touch.
    fn several(&mut self, kind: Kind, ranges: bool) -> Vec<String> {
        let count = 1 + self.below(5);
        if ranges {
            let limit = match kind {
                Kind::Below(limit) => limit,
                Kind::V4 | Kind::Mark => 1 << 32,
                _ => 65536,
            };
            let step = limit / (count + 1);
            if step < 2 {
                return self.several(kind, false);
            }
            return (0..count)
                .map(|place| {
                    let (low, high) = (place * step, place * step + self.below(step.max(2) / 2));
                    let show = |number: u64| match kind {
                        Kind::V4 => std::net::Ipv4Addr::from(number as u32).to_string(),
                        Kind::V6 => format!("fd00::{number:x}"),
                        _ => number.to_string(),
                    };
                    if low == high { show(low) } else { format!("{}-{}", show(low), show(high)) }
                })
                .collect();
        }
        let mut values: Vec<String> = (0..count).map(|_| self.value(kind)).collect();
        values.sort();
        values.dedup();
        values
    }

    fn flags(&mut self, words: &'static [&'static str], between: &str) -> String {
        let mut chosen: Vec<&str> = words.iter().copied().filter(|_| self.below(3) == 0).collect();
        if chosen.is_empty() {
            chosen.push(words[0]);
        }
        chosen.join(between)
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
