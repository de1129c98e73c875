#!/bin/bash
. "${0%/*}/../words.sh"

netns isp1 isp2 client container
wire host eth0 isp1 h0
address host eth0 198.51.100.2/24
address isp1 h0 198.51.100.1/24
wire host eth1 isp2 h0
address host eth1 203.0.113.2/24
address isp2 h0 203.0.113.1/24
wire isp1 c0 client p1
address isp1 c0 192.0.2.1/25
address client p1 192.0.2.77/25
wire isp2 c0 client p2
address isp2 c0 192.0.2.129/25
address client p2 192.0.2.200/25
route client 198.51.100.0/24 via 192.0.2.1
route client 203.0.113.0/24 via 192.0.2.129
route isp1 192.0.2.128/25 via 192.0.2.77
route isp2 192.0.2.0/25 via 192.0.2.200
setting isp1 net.ipv4.ip_forward=1
setting isp2 net.ipv4.ip_forward=1
# The first provider lets his own customers' addresses pass only.
on isp1 nft 'table ip customers { chain in { type filter hook forward priority 0; policy accept; iifname h0 ip saddr != 198.51.100.0/24 counter drop; }; }'
on isp2 nft 'table ip customers { chain in { type filter hook forward priority 0; policy accept; iifname h0 ip saddr != 203.0.113.0/24 counter drop; }; }'
route host default via 198.51.100.1
ip route add default via 203.0.113.1 dev eth1 table 200
ip route add 203.0.113.0/24 dev eth1 src 203.0.113.2 table 200
ip route add default via 198.51.100.1 dev eth0 table 100
ip rule add from 198.51.100.2 lookup 100 priority 100
ip rule add fwmark 0x29a lookup 200 priority 201
setting host net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2
# A container, with rules of its engine.
ip link add podman0 type bridge
ip link set podman0 up
address host podman0 10.88.0.1/16
wire host veth0 container eth0
ip link set veth0 master podman0
address container eth0 10.88.0.2/16
route container default via 10.88.0.1
nft 'table inet netavark { chain post { type nat hook postrouting priority srcnat; ip saddr 10.88.0.0/16 ip daddr != 10.88.0.0/16 masquerade; }
  chain forward { type filter hook forward priority filter; policy accept; ct state invalid drop; }; }'
serve host tcp 443
