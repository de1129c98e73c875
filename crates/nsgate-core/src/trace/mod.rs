//! What was seen of one probe.
