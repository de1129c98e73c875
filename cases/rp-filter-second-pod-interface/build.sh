#!/bin/bash
. "${0%/*}/../words.sh"

netns client router pod pod2 neighbour
wire router c0 client eth0
address router c0 10.99.0.1/24
address client eth0 10.99.0.7/24
route client default via 10.99.0.1
wire host eth0 router n0
address host eth0 192.168.7.11/24
address router n0 192.168.7.1/24
route host default via 192.168.7.1
# The storage network, to which pods have a second interface.
ip link add stor0 type bridge
ip link set stor0 up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
wire host s-router router s0
ip link set s-router master stor0
address router s0 10.87.87.1/24
wire host s-neigh neighbour eth0
ip link set s-neigh master stor0
address neighbour eth0 10.87.87.50/24
for pair in "pod 12 cali12" "pod2 13 cali13"; do
    set -- $pair
    wire host $3 $1 eth0
    address $1 eth0 10.233.5.$2/32
    route $1 169.254.1.1 dev eth0 scope link
    route $1 default via 169.254.1.1
    setting host net.ipv4.conf.$3.proxy_arp=1 net.ipv4.neigh.$3.proxy_delay=0 net.ipv4.conf.$3.rp_filter=0
    route host 10.233.5.$2 dev $3 scope link
    wire host "s-$1" $1 net1
    ip link set "s-$1" master stor0
    address $1 net1 10.87.87.2$((${2} - 10))/24
done
address pod net1 10.87.87.202/24
for one in host router; do setting $one net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.send_redirects=0; done
setting router net.ipv4.conf.n0.rp_filter=0 net.ipv4.conf.s0.rp_filter=0
setting host net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.default.rp_filter=1
setting pod net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.net1.rp_filter=1
setting pod2 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.net1.rp_filter=0
iptables-nft -t nat -A POSTROUTING -s 10.233.5.0/26 ! -d 10.0.0.0/8 -j MASQUERADE
iptables-nft -A FORWARD -i cali+ -j ACCEPT
iptables-nft -A FORWARD -o cali+ -j ACCEPT
iptables-nft -P FORWARD DROP
serve pod tcp 8080
serve pod2 tcp 8080
