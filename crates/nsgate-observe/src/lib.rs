//! Seeing packets: taps on every interface, probes, counters.
