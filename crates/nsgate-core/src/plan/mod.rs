//! How to get from what is to what is wanted: an ordered list of typed steps, and back.
