//! The only door to Linux: network namespaces, netlink, nftables, sysctls, snapshots, sandboxes.
