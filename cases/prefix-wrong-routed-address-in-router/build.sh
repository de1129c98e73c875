#!/bin/bash
. "${0%/*}/../words.sh"

netns router instance1 instance2 world
ip link add egress-br type bridge
ip link set egress-br up
address host egress-br 192.0.2.129/25
wire host phys0 world w0
address host phys0 198.51.100.10/24
address world w0 198.51.100.1/24
route host default via 198.51.100.1
route world 192.0.2.128/25 via 198.51.100.10
setting host net.ipv4.ip_forward=1
wire host veth-egress router egress
ip link set veth-egress master egress-br
address router egress 192.0.2.140/25
route router default via 192.0.2.129
setting router net.ipv4.ip_forward=1
# The network is an overlay; its bridge is the machine's, its gateway the router.
ip link add br-vxlan-7 type bridge
ip link set br-vxlan-7 up
ip link add vxlan-7 type vxlan id 7 dstport 4790 local 198.51.100.10 nolearning
ip link set vxlan-7 master br-vxlan-7 up
wire host veth-inner router inner
ip link set veth-inner master br-vxlan-7
address router inner 10.7.0.1/24
for n in 1 2; do
    wire host vnet$n instance$n eth0
    ip link set vnet$n master br-vxlan-7
    address instance$n eth0 10.7.0.1$n/24
    route instance$n default via 10.7.0.1
done
address instance2 eth0 192.0.2.200/32
# The routed address, as the machine knows it.
route host 192.0.2.200/32 via 192.0.2.140
on router nft 'table ip nat {
  chain pre { type nat hook prerouting priority dstnat; ip daddr 192.0.2.150 dnat to 10.7.0.11; }
  chain post { type nat hook postrouting priority srcnat; ip saddr 10.7.0.0/24 ip daddr != 192.0.2.200 oifname egress masquerade; }
}'
