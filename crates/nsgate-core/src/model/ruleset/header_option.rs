//! The options and extension headers that have names: of IPv6, TCP and IPv4, and the chunks of SCTP.
//!
//! Offsets and lengths are in bits from the option's first byte; the protocols' documents say them (RFC 8200, 9293, 791,
//! 9260, 8754).

use super::value_type::ValueType;

/// IPv6's extension headers (NFT_EXTHDR_OP_IPV6).
pub(super) const IPV6: u32 = 0;
/// TCP's options (NFT_EXTHDR_OP_TCPOPT).
pub(super) const TCP: u32 = 1;
/// IPv4's options (NFT_EXTHDR_OP_IPV4).
pub(super) const IPV4: u32 = 2;
/// SCTP's chunks (NFT_EXTHDR_OP_SCTP).
pub(super) const SCTP: u32 = 3;
/// DCCP's options (NFT_EXTHDR_OP_DCCP).
pub(super) const DCCP: u32 = 4;

/// One field of an option.
#[derive(Debug)]
pub(super) struct OptionField {
    /// Which header carries the option.
    pub(super) kind: u32,
    /// The option's number.
    pub(super) number: u8,
    /// nft's word for the option.
    pub(super) option: &'static str,
    /// nft's word for the field.
    pub(super) name: &'static str,
    /// How far into the option, in bits.
    pub(super) offset: u32,
    /// How many bits.
    pub(super) bits: u32,
    /// The type of its values.
    pub(super) value_type: ValueType,
}

/// The field at this place of an option.
pub(super) fn field_at(kind: u32, number: u8, offset: u32, bits: u32) -> Option<&'static OptionField> {
    FIELDS.iter().find(|f| (f.kind, f.number, f.offset, f.bits) == (kind, number, offset, bits))
}

/// The field of this name.
pub(super) fn field_named(kind: u32, option: &str, name: &str) -> Option<&'static OptionField> {
    FIELDS.iter().find(|f| f.kind == kind && f.option == option && f.name == name)
}

/// nft's word for an option.
pub(super) fn option_word(kind: u32, number: u8) -> Option<&'static str> {
    OPTIONS.iter().find(|o| (o.0, o.1) == (kind, number)).map(|o| o.2)
}

/// The number of the option of this word.
pub(super) fn option_number(kind: u32, word: &str) -> Option<u8> {
    OPTIONS.iter().find(|o| (o.0, o.2) == (kind, word)).map(|o| o.1)
}

/// What stands before an option's word where the whole option is meant, and where a field of it is.
pub(super) fn words_before(kind: u32) -> (&'static str, &'static str) {
    match kind {
        IPV6 => ("exthdr ", ""),
        TCP => ("tcp option ", "tcp option "),
        IPV4 => ("ip option ", "ip option "),
        SCTP => ("sctp chunk ", "sctp chunk "),
        DCCP => ("dccp option ", "dccp option "),
        _ => ("option ", "option "),
    }
}

/// Header, number and word of the options that have one.
const OPTIONS: &[(u32, u8, &str)] = &[
    (IPV6, 0, "hbh"),
    (IPV6, 43, "rt"),
    (IPV6, 44, "frag"),
    (IPV6, 60, "dst"),
    (IPV6, 135, "mh"),
    (TCP, 0, "eol"),
    (TCP, 1, "nop"),
    (TCP, 2, "maxseg"),
    (TCP, 3, "window"),
    (TCP, 4, "sack-perm"),
    (TCP, 5, "sack"),
    (TCP, 8, "timestamp"),
    (TCP, 19, "md5sig"),
    (TCP, 30, "mptcp"),
    (TCP, 34, "fastopen"),
    (IPV4, 7, "rr"),
    (IPV4, 131, "lsrr"),
    (IPV4, 137, "ssrr"),
    (IPV4, 148, "ra"),
    (SCTP, 0, "data"),
    (SCTP, 1, "init"),
    (SCTP, 2, "init-ack"),
    (SCTP, 3, "sack"),
    (SCTP, 4, "heartbeat"),
    (SCTP, 5, "heartbeat-ack"),
    (SCTP, 6, "abort"),
    (SCTP, 7, "shutdown"),
    (SCTP, 8, "shutdown-ack"),
    (SCTP, 9, "error"),
    (SCTP, 10, "cookie-echo"),
    (SCTP, 11, "cookie-ack"),
    (SCTP, 12, "ecne"),
    (SCTP, 13, "cwr"),
    (SCTP, 14, "shutdown-complete"),
    (SCTP, 0x80, "asconf-ack"),
    (SCTP, 0xc0, "forward-tsn"),
    (SCTP, 0xc1, "asconf"),
];

const fn field(
    (kind, number, option): (u32, u8, &'static str),
    name: &'static str,
    offset: u32,
    bits: u32,
) -> OptionField {
    OptionField { kind, number, option, name, offset, bits, value_type: ValueType::Integer }
}

const fn typed(
    (kind, number, option): (u32, u8, &'static str),
    name: &'static str,
    offset: u32,
    bits: u32,
    value_type: ValueType,
) -> OptionField {
    OptionField { kind, number, option, name, offset, bits, value_type }
}

const HBH: (u32, u8, &str) = (IPV6, 0, "hbh");
const RT: (u32, u8, &str) = (IPV6, 43, "rt");
const RT0: (u32, u8, &str) = (IPV6, 43, "rt0");
const SRH: (u32, u8, &str) = (IPV6, 43, "srh");
const FRAG: (u32, u8, &str) = (IPV6, 44, "frag");
const DST: (u32, u8, &str) = (IPV6, 60, "dst");
const MH: (u32, u8, &str) = (IPV6, 135, "mh");
const MAXSEG: (u32, u8, &str) = (TCP, 2, "maxseg");
const WINDOW: (u32, u8, &str) = (TCP, 3, "window");
const SACK_PERM: (u32, u8, &str) = (TCP, 4, "sack-perm");
const SACK: (u32, u8, &str) = (TCP, 5, "sack");
const TIMESTAMP: (u32, u8, &str) = (TCP, 8, "timestamp");
const MD5SIG: (u32, u8, &str) = (TCP, 19, "md5sig");
const MPTCP: (u32, u8, &str) = (TCP, 30, "mptcp");
const FASTOPEN: (u32, u8, &str) = (TCP, 34, "fastopen");
const RR: (u32, u8, &str) = (IPV4, 7, "rr");
const LSRR: (u32, u8, &str) = (IPV4, 131, "lsrr");
const SSRR: (u32, u8, &str) = (IPV4, 137, "ssrr");
const RA: (u32, u8, &str) = (IPV4, 148, "ra");

/// Every field that has a name. Where two have the same place the first is what it is called.
const FIELDS: &[OptionField] = &[
    typed(HBH, "nexthdr", 0, 8, ValueType::InetProtocol),
    field(HBH, "hdrlength", 8, 8),
    typed(RT, "nexthdr", 0, 8, ValueType::InetProtocol),
    field(RT, "hdrlength", 8, 8),
    field(RT, "type", 16, 8),
    field(RT, "seg-left", 24, 8),
    field(RT0, "reserved", 32, 32),
    typed(RT0, "addr[1]", 64, 128, ValueType::Ipv6Address),
    field(SRH, "last-entry", 32, 8),
    field(SRH, "flags", 40, 8),
    field(SRH, "tag", 48, 16),
    typed(SRH, "sid[1]", 64, 128, ValueType::Ipv6Address),
    typed(SRH, "sid[2]", 192, 128, ValueType::Ipv6Address),
    typed(FRAG, "nexthdr", 0, 8, ValueType::InetProtocol),
    field(FRAG, "reserved", 8, 8),
    field(FRAG, "frag-off", 16, 13),
    field(FRAG, "reserved2", 29, 2),
    field(FRAG, "more-fragments", 31, 1),
    field(FRAG, "id", 32, 32),
    typed(DST, "nexthdr", 0, 8, ValueType::InetProtocol),
    field(DST, "hdrlength", 8, 8),
    typed(MH, "nexthdr", 0, 8, ValueType::InetProtocol),
    field(MH, "hdrlength", 8, 8),
    typed(MH, "type", 16, 8, ValueType::MobilityType),
    field(MH, "reserved", 24, 8),
    field(MH, "checksum", 32, 16),
    field(MAXSEG, "length", 8, 8),
    field(MAXSEG, "size", 16, 16),
    field(WINDOW, "length", 8, 8),
    field(WINDOW, "count", 16, 8),
    field(SACK_PERM, "length", 8, 8),
    field(SACK, "length", 8, 8),
    field(SACK, "left", 16, 32),
    field(SACK, "right", 48, 32),
    field((TCP, 5, "sack1"), "left", 80, 32),
    field((TCP, 5, "sack1"), "right", 112, 32),
    field((TCP, 5, "sack2"), "left", 144, 32),
    field((TCP, 5, "sack2"), "right", 176, 32),
    field((TCP, 5, "sack3"), "left", 208, 32),
    field((TCP, 5, "sack3"), "right", 240, 32),
    field(TIMESTAMP, "length", 8, 8),
    field(TIMESTAMP, "tsval", 16, 32),
    field(TIMESTAMP, "tsecr", 48, 32),
    field(MD5SIG, "length", 8, 8),
    field(MPTCP, "length", 8, 8),
    field(MPTCP, "subtype", 16, 4),
    field(FASTOPEN, "length", 8, 8),
    field(RR, "type", 0, 8),
    field(RR, "length", 8, 8),
    field(RR, "ptr", 16, 8),
    field(RR, "addr", 24, 32),
    field(LSRR, "type", 0, 8),
    field(LSRR, "length", 8, 8),
    field(LSRR, "ptr", 16, 8),
    field(LSRR, "addr", 24, 32),
    field(SSRR, "type", 0, 8),
    field(SSRR, "length", 8, 8),
    field(SSRR, "ptr", 16, 8),
    field(SSRR, "addr", 24, 32),
    field(RA, "type", 0, 8),
    field(RA, "length", 8, 8),
    field(RA, "value", 16, 16),
    field((SCTP, 0, "data"), "tsn", 32, 32),
    field((SCTP, 0, "data"), "stream", 64, 16),
    field((SCTP, 0, "data"), "ssn", 80, 16),
    field((SCTP, 0, "data"), "ppid", 96, 32),
    field((SCTP, 1, "init"), "init-tag", 32, 32),
    field((SCTP, 1, "init"), "a-rwnd", 64, 32),
    field((SCTP, 1, "init"), "num-outbound-streams", 96, 16),
    field((SCTP, 1, "init"), "num-inbound-streams", 112, 16),
    field((SCTP, 1, "init"), "initial-tsn", 128, 32),
    field((SCTP, 2, "init-ack"), "init-tag", 32, 32),
    field((SCTP, 2, "init-ack"), "a-rwnd", 64, 32),
    field((SCTP, 2, "init-ack"), "num-outbound-streams", 96, 16),
    field((SCTP, 2, "init-ack"), "num-inbound-streams", 112, 16),
    field((SCTP, 2, "init-ack"), "initial-tsn", 128, 32),
    field((SCTP, 3, "sack"), "cum-tsn-ack", 32, 32),
    field((SCTP, 3, "sack"), "a-rwnd", 64, 32),
    field((SCTP, 3, "sack"), "num-gap-ack-blocks", 96, 16),
    field((SCTP, 3, "sack"), "num-dup-tsns", 112, 16),
    field((SCTP, 7, "shutdown"), "cum-tsn-ack", 32, 32),
    field((SCTP, 12, "ecne"), "lowest-tsn", 32, 32),
    field((SCTP, 13, "cwr"), "lowest-tsn", 32, 32),
    field((SCTP, 0x80, "asconf-ack"), "seqno", 32, 32),
    field((SCTP, 0xc0, "forward-tsn"), "new-cum-tsn", 32, 32),
    field((SCTP, 0xc1, "asconf"), "seqno", 32, 32),
];

/// The fields that every chunk of SCTP begins with.
pub(super) const CHUNK_FIELDS: [(&str, u32, u32); 3] = [("type", 0, 8), ("flags", 8, 8), ("length", 16, 16)];
