#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b router pod-a pod-b
node() { # NODE NUMBER
    wire router "r$2" $1 eth0
    address router "r$2" 192.168.$2.1/24
    address $1 eth0 192.168.$2.11/24
    route $1 default via 192.168.$2.1
    on $1 ip link add flannel.1 address 02:00:00:00:0$2:01 type vxlan id 1 local 192.168.$2.11 dstport 8472 nolearning
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
node node-a 1
node node-b 2
setting router net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
peer() { # NODE NUMBER
    on $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
    on $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:0$2:01 dev flannel.1 nud permanent
    on $1 bridge fdb add 02:00:00:00:0$2:01 dev flannel.1 dst 192.168.$2.11
}
peer node-a 2
peer node-b 1
# A second wire between the nodes, that only node-a uses for the other's address.
wire node-a eth1 node-b eth1
address node-a eth1 172.16.9.1/24
address node-b eth1 172.16.9.2/24
route node-a 192.168.2.11/32 via 172.16.9.2
setting node-b net.ipv4.conf.eth1.rp_filter=1
on node-b nft 'table inet fw { chain input { type filter hook input priority filter; policy drop; ct state established,related accept; udp dport { 8472, 51820 } accept; icmp type echo-request accept; iifname "lo" accept; }; }'
