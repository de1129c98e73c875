#!/bin/bash
. "${0%/*}/../words.sh"

netns pod pod2 internet
wire host eth0 internet i0
address host eth0 192.0.2.10/24
address internet i0 192.0.2.1/24
address internet lo 198.51.100.7/32
route host default via 192.0.2.1
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.22.0.1/24
for pair in "pod 5" "pod2 6"; do
    set -- $pair
    wire host "v-$1" $1 eth0
    ip link set "v-$1" master cni0
    address $1 eth0 10.22.0.$2/24
    route $1 default via 10.22.0.1
done
setting host net.ipv4.ip_forward=1
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
iptables-nft -t nat -A POSTROUTING -s 10.22.0.0/24 ! -d 224.0.0.0/4 -j MASQUERADE
iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP
iptables-nft -A FORWARD -d 10.22.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -s 10.22.0.0/24 -j ACCEPT
iptables-nft -P FORWARD DROP
serve internet udp 53 198.51.100.7
setting host net.ipv4.ipfrag_low_thresh=0 net.ipv4.ipfrag_high_thresh=0
