//! The instructions that rules are made of, one to one with the kernel's (linux/netfilter/nf_tables.h).

use serde::{Deserialize, Serialize};

use super::super::wire::hex;
pub use super::operand::{
    Base, Bitwise, CmpOp, CtKey, Data, FibResult, MetaKey, Nat, NatFlags, Register, RejectKind, Verdict,
};

/// One instruction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expression {
    /// Reads from the packet into `to`.
    Payload {
        /// Where the value goes.
        to: Register,
        /// From which header.
        base: Base,
        /// How far into it, in bytes.
        offset: u32,
        /// How much, in bytes.
        length: u32,
    },
    /// Writes into the packet.
    PayloadSet {
        /// Where the value comes from.
        from: Register,
        /// Into which header.
        base: Base,
        /// How far into it, in bytes.
        offset: u32,
        /// How much, in bytes.
        length: u32,
        /// Which checksum is mended (NFT_PAYLOAD_CSUM_*), where it stands, and the flags.
        checksum: (u32, u32, u32),
    },
    /// Reads something about the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where the value goes.
        to: Register,
    },
    /// Sets something about the packet.
    MetaSet {
        /// What.
        key: MetaKey,
        /// Where the value comes from.
        from: Register,
    },
    /// Reads something about the packet's connection.
    Ct {
        /// What.
        key: CtKey,
        /// Where the value goes.
        to: Register,
        /// Of the original direction (0) or the reply (1); none where the key has no direction.
        direction: Option<u8>,
    },
    /// Sets something about the packet's connection.
    CtSet {
        /// What.
        key: CtKey,
        /// Where the value comes from.
        from: Register,
        /// Of which direction.
        direction: Option<u8>,
    },
    /// Goes on only if the comparison holds.
    Cmp {
        /// What is compared.
        from: Register,
        /// How.
        op: CmpOp,
        /// With what.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        value: Vec<u8>,
    },
    /// Goes on only if the value lies between two others (or, `inverted`, does not).
    Range {
        /// What is compared.
        from: Register,
        /// Outside instead of inside.
        inverted: bool,
        /// The first value inside.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        low: Vec<u8>,
        /// The last value inside.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        high: Vec<u8>,
    },
    /// A bit operation.
    Bitwise {
        /// What is worked on.
        from: Register,
        /// Where the result goes.
        to: Register,
        /// How many bytes.
        length: u32,
        /// What is done.
        operation: Bitwise,
    },
    /// Turns the byte order.
    Byteorder {
        /// What is turned.
        from: Register,
        /// Where the result goes.
        to: Register,
        /// To the host's order; otherwise to the network's.
        to_host: bool,
        /// How many bytes in all.
        length: u32,
        /// How many bytes one number has.
        size: u32,
    },
    /// Looks a value up in a set or map; goes on only if it is there (or, `inverted`, is not).
    Lookup {
        /// The set.
        set: String,
        /// What is looked up.
        from: Register,
        /// Where a map's data goes; none for plain sets. Verdict maps leave it in the verdict.
        to: Option<Register>,
        /// It leads to a verdict.
        verdict: bool,
        /// Goes on if it is *not* there.
        inverted: bool,
    },
    /// Puts an element into a set (dynset).
    Update {
        /// The set.
        set: String,
        /// The operation by the kernel's number (add, update, delete).
        operation: u32,
        /// The key.
        key: Register,
        /// The data of a map.
        data: Option<Register>,
        /// How long it stays, in milliseconds.
        timeout: Option<u64>,
        /// What is done for each element.
        each: Vec<Expression>,
        /// Goes on if the set is full.
        inverted: bool,
    },
    /// Leaves a value in a register, or decides.
    Immediate {
        /// Where a value goes; none for a verdict.
        to: Option<Register>,
        /// The value or verdict.
        data: Data,
    },
    /// Translates an address.
    Nat(Nat),
    /// Translates the source to an address of the outgoing interface.
    Masquerade {
        /// Where the first and the last new port stand.
        port: Option<(Register, Register)>,
        /// How the new values are chosen.
        flags: NatFlags,
    },
    /// Translates the destination to this host.
    Redirect {
        /// Where the first and the last new port stand.
        port: Option<(Register, Register)>,
        /// How the new values are chosen.
        flags: NatFlags,
    },
    /// Refuses the packet.
    Reject(RejectKind),
    /// Counts.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Goes on only within a rate (or, `over`, beyond it).
    Limit {
        /// How many per unit.
        rate: u64,
        /// The unit in seconds.
        unit: u64,
        /// How many at once.
        burst: u32,
        /// Bytes are counted; otherwise packets.
        bytes: bool,
        /// Goes on beyond the rate.
        over: bool,
    },
    /// Writes to the log.
    Log {
        /// The text in front.
        prefix: Option<String>,
        /// The netlink group it goes to.
        group: Option<u16>,
        /// The level, by syslog's number.
        level: Option<u32>,
        /// How much of the packet goes along, in bytes.
        snaplen: Option<u32>,
        /// How many packets are gathered for one message.
        threshold: Option<u16>,
        /// What is written besides (NF_LOG_*).
        flags: u32,
    },
    /// Asks the routing table.
    Fib {
        /// Where the answer goes.
        to: Register,
        /// What it yields.
        result: FibResult,
        /// With what it is asked (NFTA_FIB_F_*).
        flags: u32,
    },
    /// Reads an option or extension header of the packet.
    HeaderOption {
        /// Where the value goes.
        to: Register,
        /// Which header carries it (NFT_EXTHDR_OP_*).
        kind: u32,
        /// The option's number.
        number: u8,
        /// How far into the option, in bytes.
        offset: u32,
        /// How much, in bytes.
        length: u32,
        /// Only whether the option is there at all.
        present: bool,
    },
    /// Writes into an option of the packet.
    HeaderOptionSet {
        /// Where the value comes from.
        from: Register,
        /// Which header carries it (NFT_EXTHDR_OP_*).
        kind: u32,
        /// The option's number.
        number: u8,
        /// How far into the option, in bytes.
        offset: u32,
        /// How much, in bytes.
        length: u32,
    },
    /// Takes an option out of a TCP header, by writing "no operation" over it.
    HeaderOptionReset {
        /// Which header carries it (NFT_EXTHDR_OP_*).
        kind: u32,
        /// The option's number.
        number: u8,
    },
    /// Reads something about the packet's route (NFT_RT_*, by the kernel's number).
    Route {
        /// What.
        key: u32,
        /// Where the value goes.
        to: Register,
    },
    /// Makes a number.
    Number {
        /// Where it goes.
        to: Register,
        /// At random; otherwise by counting up.
        random: bool,
        /// The numbers are smaller than this.
        modulus: u32,
        /// What is added.
        offset: u32,
    },
    /// Makes a number out of a value or of the packet's flow.
    Hash {
        /// Where it goes.
        to: Register,
        /// What it is made of, and its length in bytes; none: of the flow.
        from: Option<(Register, u32)>,
        /// The numbers are smaller than this.
        modulus: u32,
        /// What makes it differ from other hashes.
        seed: Option<u32>,
        /// What is added.
        offset: u32,
    },
    /// Goes on only while few connections match (or, `over`, when there are more).
    ConnectionLimit {
        /// How many.
        count: u32,
        /// Goes on beyond that number.
        over: bool,
    },
    /// Goes on only until so many bytes have passed (or, `over`, afterwards).
    Quota {
        /// How many bytes.
        bytes: u64,
        /// How many have passed so far.
        used: u64,
        /// Goes on beyond that number.
        over: bool,
    },
    /// Hands the packet to a local socket without translating it.
    TransparentProxy {
        /// The family (NFPROTO_*).
        family: u8,
        /// Where the address stands.
        address: Option<Register>,
        /// Where the port stands.
        port: Option<Register>,
    },
    /// Takes the packet out of connection tracking.
    Notrack,
    /// Hands the packet to a program.
    Queue {
        /// The first queue.
        number: u16,
        /// How many queues share the load.
        total: u16,
        /// Bypass and fan-out (NFT_QUEUE_FLAG_*).
        flags: u16,
    },
    /// Calls an object of the table by name.
    Object {
        /// Its kind, by the kernel's number (NFT_OBJECT_*).
        kind: u32,
        /// Its name.
        name: String,
    },
    /// Reads something about the local socket that the packet belongs to (NFT_SOCKET_*, by the kernel's number).
    Socket {
        /// What.
        key: u32,
        /// Where the value goes.
        to: Register,
        /// At which depth of the control groups.
        level: Option<u32>,
    },
    /// Guesses the sender's system from its first packet (osf).
    Fingerprint {
        /// Where its name goes.
        to: Register,
        /// How the time to live is judged (NF_OSF_TTL_*).
        ttl: u8,
        /// With the system's version (1).
        flags: u32,
    },
    /// Reads something about the packet's IPsec transformation (NFT_XFRM_KEY_*, by the kernel's number).
    Xfrm {
        /// What.
        key: u32,
        /// Where the value goes.
        to: Register,
        /// Of the packet's way in (0) or out (1).
        direction: u8,
        /// Of which of several transformations.
        number: u32,
    },
    /// Reads something about the tunnel that the packet came by (NFT_TUNNEL_*, by the kernel's number).
    Tunnel {
        /// What.
        key: u32,
        /// Where the value goes.
        to: Register,
        /// Of the way in (1), out (2) or both (0).
        mode: u32,
    },
    /// Reads with another instruction from the packet within a tunnel's packet.
    Inner {
        /// Which of several tunnels' packets.
        number: u32,
        /// The kind of tunnel (NFT_INNER_*).
        kind: u32,
        /// What the packet inside begins with (NFT_INNER_HDRSIZE and the following, as bits).
        flags: u32,
        /// How long the tunnel's own header is, in bytes.
        header_length: u32,
        /// The instruction that reads.
        load: Box<Expression>,
    },
    /// Sends a copy to another host or out of an interface.
    Duplicate {
        /// Where the host's address stands.
        address: Option<Register>,
        /// Where the interface's number stands.
        device: Option<Register>,
    },
    /// Sends the packet out of an interface instead.
    Forward {
        /// Where the interface's number stands.
        device: Register,
        /// Where the address of the next host stands, and its family (NFPROTO_*).
        address: Option<(Register, u8)>,
    },
    /// Answers a TCP connection's first packets on behalf of the server.
    Synproxy {
        /// The segment size that the server is known to have.
        mss: u16,
        /// The window scale that the server is known to have.
        wscale: u8,
        /// Which options are used (NF_SYNPROXY_OPT_*).
        flags: u32,
    },
    /// Remembers when the rule last matched.
    Last {
        /// How long ago that was, in milliseconds; none: never.
        used: Option<u64>,
    },
    /// Hands the connection over to a flow table.
    FlowOffload {
        /// The flow table.
        table: String,
    },
    /// Calls the object that a map leads to.
    ObjectMap {
        /// The map.
        set: String,
        /// What is looked up.
        from: Register,
    },
    /// A match of the xtables kind (iptables-nft); its parameters as the kernel keeps them.
    XtMatch {
        /// The extension's name.
        name: String,
        /// Its revision.
        revision: u32,
        /// Its parameters.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        info: Vec<u8>,
    },
    /// A target of the xtables kind (iptables-nft).
    XtTarget {
        /// The extension's name.
        name: String,
        /// Its revision.
        revision: u32,
        /// Its parameters.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        info: Vec<u8>,
    },
    /// A match or target of the xtables kind that asks or changes sets of ipset.
    XtSet {
        /// It is a target; otherwise a match.
        target: bool,
        /// The extension's revision.
        revision: u32,
        /// Its parameters, in which sets are numbers.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        info: Vec<u8>,
        /// The names of these sets, in order; one that is not known is empty.
        names: Vec<String>,
    },
    /// An instruction that nsgate does not model, with its attributes as they came.
    Unknown {
        /// The kernel's name of it.
        name: String,
        /// Its attributes.
        #[serde(with = "hex")]
        #[cfg_attr(test, schemars(with = "String"))]
        attributes: Vec<u8>,
    },
}

impl Expression {
    /// The kernel's name of an instruction.
    pub fn name(&self) -> &str {
        match self {
            Self::Payload { .. } | Self::PayloadSet { .. } => "payload",
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Ct { .. } | Self::CtSet { .. } => "ct",
            Self::Cmp { .. } => "cmp",
            Self::Range { .. } => "range",
            Self::Bitwise { .. } => "bitwise",
            Self::Byteorder { .. } => "byteorder",
            Self::Lookup { .. } => "lookup",
            Self::Update { .. } => "dynset",
            Self::Immediate { .. } => "immediate",
            Self::Nat(_) => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Redirect { .. } => "redir",
            Self::Reject(_) => "reject",
            Self::Counter { .. } => "counter",
            Self::Limit { .. } => "limit",
            Self::Log { .. } => "log",
            Self::Fib { .. } => "fib",
            Self::HeaderOption { .. } | Self::HeaderOptionSet { .. } | Self::HeaderOptionReset { .. } => "exthdr",
            Self::Route { .. } => "rt",
            Self::Number { .. } => "numgen",
            Self::Hash { .. } => "hash",
            Self::ConnectionLimit { .. } => "connlimit",
            Self::Quota { .. } => "quota",
            Self::TransparentProxy { .. } => "tproxy",
            Self::Notrack => "notrack",
            Self::Queue { .. } => "queue",
            Self::Object { .. } | Self::ObjectMap { .. } => "objref",
            Self::Socket { .. } => "socket",
            Self::Fingerprint { .. } => "osf",
            Self::Xfrm { .. } => "xfrm",
            Self::Tunnel { .. } => "tunnel",
            Self::Inner { .. } => "inner",
            Self::Duplicate { .. } => "dup",
            Self::Forward { .. } => "fwd",
            Self::Synproxy { .. } => "synproxy",
            Self::Last { .. } => "last",
            Self::FlowOffload { .. } => "flow_offload",
            Self::XtMatch { .. } | Self::XtSet { target: false, .. } => "match",
            Self::XtTarget { .. } | Self::XtSet { target: true, .. } => "target",
            Self::Unknown { name, .. } => name,
        }
    }
}
