//! What is wanted: the specification read from `nsgate.toml`.
