//! Why a packet was lost, and what mends it.
