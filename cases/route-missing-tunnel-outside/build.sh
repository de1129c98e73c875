#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b router pod-a pod-b
node() { # NODE NUMBER NETWORK
    wire router "r$2" $1 eth0
    address router "r$2" 192.168.$3.1/24
    address $1 eth0 192.168.$3.1$2/24
    on $1 ip link add flannel.1 address 02:00:00:00:0$2:01 type vxlan id 1 local 192.168.$3.1$2 dev eth0 dstport 8472 nolearning
    on $1 ip link set flannel.1 mtu 1450 up
    address $1 flannel.1 10.244.$2.0/32
    on $1 ip link add cni0 type bridge
    on $1 ip link set cni0 up
    address $1 cni0 10.244.$2.1/24
    setting $1 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    wire $1 veth0 "pod-${1#node-}" eth0
    on $1 ip link set veth0 master cni0
    address "pod-${1#node-}" eth0 10.244.$2.5/24
    on "pod-${1#node-}" ip link set eth0 mtu 1450
    route "pod-${1#node-}" default via 10.244.$2.1
}
node node-a 1 7
node node-b 2 8
setting router net.ipv4.ip_forward=1
peer() { # NODE NUMBER ADDRESS
    on $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
    on $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:0$2:01 dev flannel.1 nud permanent
    on $1 bridge fdb add 02:00:00:00:0$2:01 dev flannel.1 dst $3
}
peer node-a 2 192.168.8.12
peer node-b 1 192.168.7.11
route node-b default via 192.168.8.1
for node in node-a node-b; do
    on $node iptables-nft -A INPUT -p udp --dport 8472 -s 192.168.0.0/16 -j ACCEPT
    on $node iptables-nft -A INPUT -p udp -j DROP
done
