//! The numbers of traffic control that libc does not name.

/// `RTM_GETTCLASS`.
pub(super) const GET_CLASS: u16 = 42;

/// The number of bits in which the kernel's clock of traffic control counts nanoseconds (PSCHED_SHIFT).
pub(super) const TICK_SHIFT: u32 = 6;

/// `TCA_STATS_*`, within TCA_STATS2 and TCA_ACT_STATS.
pub(super) mod statistics {
    pub(crate) const BASIC: u16 = 1;
    pub(crate) const QUEUE: u16 = 3;
    pub(crate) const PACKETS_64: u16 = 8;
}

/// Options of queueing disciplines and classes: `TCA_TBF_*`, `TCA_HTB_*`, `TCA_FQ_CODEL_*`.
pub(super) mod queue {
    pub(crate) const TBF_PARAMETERS: u16 = 1;
    pub(crate) const TBF_RATE_64: u16 = 4;
    pub(crate) const HTB_PARAMETERS: u16 = 1;
    pub(crate) const HTB_INIT: u16 = 2;
    pub(crate) const HTB_RATE_64: u16 = 6;
    pub(crate) const HTB_CEIL_64: u16 = 7;
    pub(crate) const FQ_CODEL_TARGET: u16 = 1;
    pub(crate) const FQ_CODEL_LIMIT: u16 = 2;
}

/// Options of filters: `TCA_BPF_*`, `TCA_U32_*`, `TCA_FLOWER_*`, `TCA_MATCHALL_*`, `TCA_BASIC_*`.
pub(super) mod filter {
    pub(crate) const BPF_ACTIONS: u16 = 1;
    pub(crate) const BPF_POLICE: u16 = 2;
    pub(crate) const BPF_CLASS: u16 = 3;
    pub(crate) const BPF_NAME: u16 = 7;
    pub(crate) const BPF_FLAGS: u16 = 8;
    pub(crate) const BPF_ID: u16 = 11;
    /// `TCA_BPF_FLAG_ACT_DIRECT`.
    pub(crate) const BPF_DIRECT: u32 = 1;
    pub(crate) const U32_SELECTOR: u16 = 5;
    pub(crate) const U32_POLICE: u16 = 6;
    pub(crate) const U32_ACTIONS: u16 = 7;
    /// The class that u32, flower, matchall, basic and fw sort into.
    pub(crate) const CLASS: u16 = 1;
    pub(crate) const FLOWER_ACTIONS: u16 = 3;
    pub(crate) const MATCHALL_ACTIONS: u16 = 2;
    pub(crate) const BASIC_ACTIONS: u16 = 3;
    pub(crate) const BASIC_POLICE: u16 = 4;
    pub(crate) const FW_POLICE: u16 = 2;
    pub(crate) const FW_ACTIONS: u16 = 4;
}

/// `TCA_ACT_*`, and what stands in the options of single kinds.
pub(super) mod action {
    pub(crate) const KIND: u16 = 1;
    pub(crate) const OPTIONS: u16 = 2;
    pub(crate) const STATISTICS: u16 = 4;
    /// `TCA_GACT_PARMS`, `TCA_MIRRED_PARMS`, `TCA_ACT_BPF_PARMS`: begin with a `struct tc_gen`.
    pub(crate) const PARAMETERS: u16 = 2;
    pub(crate) const BPF_NAME: u16 = 6;
    pub(crate) const BPF_ID: u16 = 9;
    /// `TCA_POLICE_TBF`: a `struct tc_police`.
    pub(crate) const POLICE: u16 = 1;
    pub(crate) const POLICE_RATE_64: u16 = 8;
}
