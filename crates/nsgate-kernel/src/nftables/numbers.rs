//! The numbers of linux/netfilter/nf_tables.h and nfnetlink.h that libc has no names for.

use nsgate_core::model::ruleset::Register;

/// The messages: the subsystem above, the kind below.
pub(super) mod message {
    const NFTABLES: u16 = (libc::NFNL_SUBSYS_NFTABLES as u16) << 8;

    pub(in super::super) const BATCH_BEGIN: u16 = 16;
    pub(in super::super) const BATCH_END: u16 = 17;
    pub(in super::super) const NEW_TABLE: u16 = NFTABLES;
    pub(in super::super) const GET_TABLE: u16 = NFTABLES + 1;
    pub(in super::super) const DELETE_TABLE: u16 = NFTABLES + 2;
    pub(in super::super) const NEW_CHAIN: u16 = NFTABLES + 3;
    pub(in super::super) const GET_CHAIN: u16 = NFTABLES + 4;
    pub(in super::super) const DELETE_CHAIN: u16 = NFTABLES + 5;
    pub(in super::super) const NEW_RULE: u16 = NFTABLES + 6;
    pub(in super::super) const GET_RULE: u16 = NFTABLES + 7;
    pub(in super::super) const DELETE_RULE: u16 = NFTABLES + 8;
    pub(in super::super) const NEW_SET: u16 = NFTABLES + 9;
    pub(in super::super) const GET_SET: u16 = NFTABLES + 10;
    pub(in super::super) const DELETE_SET: u16 = NFTABLES + 11;
    pub(in super::super) const NEW_ELEMENTS: u16 = NFTABLES + 12;
    pub(in super::super) const GET_ELEMENTS: u16 = NFTABLES + 13;
    pub(in super::super) const DELETE_ELEMENTS: u16 = NFTABLES + 14;
    pub(in super::super) const GET_OBJECT: u16 = NFTABLES + 19;
    pub(in super::super) const GET_FLOW_TABLE: u16 = NFTABLES + 23;
    pub(in super::super) const GET_GENERATION: u16 = NFTABLES + 16;
    pub(in super::super) const TRACE: u16 = NFTABLES + 17;
}

/// `NFTA_TABLE_*`.
pub(super) mod table {
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const FLAGS: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 4;
    pub(in super::super) const USER_DATA: u16 = 6;
    pub(in super::super) const OWNER: u16 = 7;

    pub(in super::super) const FLAG_DORMANT: u32 = 1;
    pub(in super::super) const FLAG_OWNER: u32 = 2;
    pub(in super::super) const FLAG_PERSIST: u32 = 4;
}

/// `NFTA_CHAIN_*`, and those of its hook.
pub(super) mod chain {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const HANDLE: u16 = 2;
    pub(in super::super) const NAME: u16 = 3;
    pub(in super::super) const HOOK: u16 = 4;
    pub(in super::super) const POLICY: u16 = 5;
    pub(in super::super) const KIND: u16 = 7;
    pub(in super::super) const FLAGS: u16 = 10;
    pub(in super::super) const USER_DATA: u16 = 12;

    pub(in super::super) const FLAG_OFFLOAD: u32 = 2;
    pub(in super::super) const FLAG_BINDING: u32 = 4;

    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    pub(in super::super) const HOOK_DEVICE: u16 = 3;
    pub(in super::super) const HOOK_DEVICES: u16 = 4;
    pub(in super::super) const DEVICE_NAME: u16 = 1;
}

/// `NFTA_RULE_*`.
pub(super) mod rule {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const EXPRESSIONS: u16 = 4;
    pub(in super::super) const COMPATIBILITY: u16 = 5;
    pub(in super::super) const POSITION: u16 = 6;
    pub(in super::super) const USER_DATA: u16 = 7;

    /// `NFTA_RULE_COMPAT_*`.
    pub(in super::super) const COMPATIBLE_PROTOCOL: u16 = 1;
    pub(in super::super) const COMPATIBLE_FLAGS: u16 = 2;
}

/// `NFTA_SET_*`, with the flags of sets.
pub(super) mod set {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const KEY_TYPE: u16 = 4;
    pub(in super::super) const KEY_LENGTH: u16 = 5;
    pub(in super::super) const DATA_TYPE: u16 = 6;
    pub(in super::super) const DATA_LENGTH: u16 = 7;
    pub(in super::super) const POLICY: u16 = 8;
    pub(in super::super) const DESCRIPTION: u16 = 9;
    pub(in super::super) const ID: u16 = 10;
    pub(in super::super) const TIMEOUT: u16 = 11;
    pub(in super::super) const CLEARING_INTERVAL: u16 = 12;
    pub(in super::super) const USER_DATA: u16 = 13;
    pub(in super::super) const OBJECT_KIND: u16 = 15;
    pub(in super::super) const HANDLE: u16 = 16;
    pub(in super::super) const EXPRESSION: u16 = 17;
    pub(in super::super) const EXPRESSIONS: u16 = 18;

    pub(in super::super) const POLICY_MEMORY: u32 = 1;

    pub(in super::super) const DESCRIPTION_SIZE: u16 = 1;
    pub(in super::super) const DESCRIPTION_PARTS: u16 = 2;
    pub(in super::super) const PART_LENGTH: u16 = 1;

    pub(in super::super) const FLAG_ANONYMOUS: u32 = 0x1;
    pub(in super::super) const FLAG_CONSTANT: u32 = 0x2;
    pub(in super::super) const FLAG_INTERVAL: u32 = 0x4;
    pub(in super::super) const FLAG_MAP: u32 = 0x8;
    pub(in super::super) const FLAG_TIMEOUT: u32 = 0x10;
    pub(in super::super) const FLAG_DYNAMIC: u32 = 0x20;
    pub(in super::super) const FLAG_OBJECT: u32 = 0x40;
    pub(in super::super) const FLAG_CONCATENATED: u32 = 0x80;

    /// The type of a verdict map's data.
    pub(in super::super) const VERDICT_TYPE: u32 = 0xffff_ff00;
}

/// `NFTA_SET_ELEM_LIST_*` and `NFTA_SET_ELEM_*`.
pub(super) mod element {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const SET: u16 = 2;
    pub(in super::super) const ELEMENTS: u16 = 3;
    pub(in super::super) const SET_ID: u16 = 4;

    pub(in super::super) const KEY: u16 = 1;
    pub(in super::super) const DATA: u16 = 2;
    pub(in super::super) const FLAGS: u16 = 3;
    pub(in super::super) const TIMEOUT: u16 = 4;
    pub(in super::super) const EXPIRATION: u16 = 5;
    pub(in super::super) const USER_DATA: u16 = 6;
    pub(in super::super) const EXPRESSION: u16 = 7;
    pub(in super::super) const OBJECT: u16 = 9;
    pub(in super::super) const KEY_END: u16 = 10;
    pub(in super::super) const EXPRESSIONS: u16 = 11;

    pub(in super::super) const FLAG_INTERVAL_END: u32 = 1;
    pub(in super::super) const FLAG_CATCH_ALL: u32 = 2;
}

/// `NFTA_OBJ_*`, and the attributes of those kinds that are no expressions.
pub(super) mod object {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const KIND: u16 = 3;
    pub(in super::super) const DATA: u16 = 4;
    pub(in super::super) const HANDLE: u16 = 6;
    pub(in super::super) const USER_DATA: u16 = 8;

    pub(in super::super) const COUNTER: u32 = 1;
    pub(in super::super) const QUOTA: u32 = 2;
    pub(in super::super) const CT_HELPER: u32 = 3;
    pub(in super::super) const LIMIT: u32 = 4;
    pub(in super::super) const CONNECTION_LIMIT: u32 = 5;
    pub(in super::super) const TUNNEL: u32 = 6;
    pub(in super::super) const CT_TIMEOUT: u32 = 7;
    pub(in super::super) const SECMARK: u32 = 8;
    pub(in super::super) const CT_EXPECTATION: u32 = 9;
    pub(in super::super) const SYNPROXY: u32 = 10;

    /// `NFTA_TUNNEL_KEY_*`.
    pub(in super::super) mod tunnel {
        pub(in super::super::super) const ID: u16 = 1;
        pub(in super::super::super) const IPV4: u16 = 2;
        pub(in super::super::super) const IPV6: u16 = 3;
        pub(in super::super::super) const FLAGS: u16 = 4;
        pub(in super::super::super) const TOS: u16 = 5;
        pub(in super::super::super) const TTL: u16 = 6;
        pub(in super::super::super) const SOURCE_PORT: u16 = 7;
        pub(in super::super::super) const DESTINATION_PORT: u16 = 8;
        pub(in super::super::super) const OPTIONS: u16 = 9;
        /// Of the addresses (`NFTA_TUNNEL_KEY_IP_*`).
        pub(in super::super::super) const SOURCE: u16 = 1;
        pub(in super::super::super) const DESTINATION: u16 = 2;
    }
}

/// `NFTA_FLOWTABLE_*`, and those of its hook.
pub(super) mod flow_table {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const NAME: u16 = 2;
    pub(in super::super) const HOOK: u16 = 3;
    pub(in super::super) const HANDLE: u16 = 5;
    pub(in super::super) const FLAGS: u16 = 7;

    pub(in super::super) const HOOK_NUMBER: u16 = 1;
    pub(in super::super) const HOOK_PRIORITY: u16 = 2;
    pub(in super::super) const HOOK_DEVICES: u16 = 3;

    pub(in super::super) const FLAG_OFFLOAD: u32 = 1;
    pub(in super::super) const FLAG_COUNTER: u32 = 2;
}

/// `NFTA_DATA_*` and `NFTA_VERDICT_*`.
pub(super) mod data {
    pub(in super::super) const VALUE: u16 = 1;
    pub(in super::super) const VERDICT: u16 = 2;
    pub(in super::super) const CODE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;

    pub(in super::super) const DROP: i32 = 0;
    pub(in super::super) const ACCEPT: i32 = 1;
    pub(in super::super) const QUEUE: i32 = 3;
    pub(in super::super) const CONTINUE: i32 = -1;
    pub(in super::super) const BREAK: i32 = -2;
    pub(in super::super) const JUMP: i32 = -3;
    pub(in super::super) const GOTO: i32 = -4;
    pub(in super::super) const RETURN: i32 = -5;
}

/// `NFTA_TRACE_*`, and the kinds of messages (`NFT_TRACETYPE_*`).
pub(super) mod trace {
    pub(in super::super) const TABLE: u16 = 1;
    pub(in super::super) const CHAIN: u16 = 2;
    pub(in super::super) const HANDLE: u16 = 3;
    pub(in super::super) const KIND: u16 = 4;
    pub(in super::super) const VERDICT: u16 = 5;
    pub(in super::super) const ID: u16 = 6;
    pub(in super::super) const NETWORK_HEADER: u16 = 8;
    pub(in super::super) const TRANSPORT_HEADER: u16 = 9;
    pub(in super::super) const ENTERED: u16 = 10;
    pub(in super::super) const LEFT: u16 = 12;
    pub(in super::super) const MARK: u16 = 14;
    pub(in super::super) const POLICY_VERDICT: u16 = 16;
    pub(in super::super) const CONNECTION_ID: u16 = 18;
    pub(in super::super) const CONNECTION_DIRECTION: u16 = 19;
    pub(in super::super) const CONNECTION_STATUS: u16 = 20;
    pub(in super::super) const CONNECTION_STATE: u16 = 21;

    pub(in super::super) const POLICY: u32 = 1;
    pub(in super::super) const RETURN: u32 = 2;
    pub(in super::super) const RULE: u32 = 3;
}

/// An element of any list (NFTA_LIST_ELEM), and an expression's name and attributes.
pub(super) const LIST_ELEMENT: u16 = 1;
pub(super) const EXPRESSION_NAME: u16 = 1;
pub(super) const EXPRESSION_DATA: u16 = 2;
/// NFTA_GEN_ID and NFNL_BATCH_GENID.
pub(super) const GENERATION: u16 = 1;

/// A register as the kernel numbers it: those of sixteen bytes first, then those of four.
pub(super) fn register_number(register: Register) -> u32 {
    let Register(place) = register;
    if place.is_multiple_of(4) { 1 + u32::from(place / 4) } else { 8 + u32::from(place) }
}

/// The register of this number; none for that of verdicts and those that do not exist.
pub(super) fn register(number: u32) -> Option<Register> {
    let place = match number {
        1..=4 => (number - 1) * 4,
        8..=23 => number - 8,
        _ => return None,
    };
    u8::try_from(place).ok().map(Register)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lead_back() {
        for place in 0..16 {
            assert_eq!(register(register_number(Register(place))), Some(Register(place)));
        }
        assert_eq!(register(8), Some(Register(0)));
        for number in [0, 5, 7, 24, u32::MAX] {
            assert_eq!(register(number), None);
        }
    }
}
