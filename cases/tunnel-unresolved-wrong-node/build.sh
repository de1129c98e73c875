#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b node-c pod-a pod-b pod-c
ip link add underlay type bridge
ip link set underlay up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
node() { # NODE NUMBER
    wire host "u-$1" $1 eth0
    ip link set "u-$1" master underlay
    address $1 eth0 192.168.7.1$2/24
    on $1 ip link add flannel.1 address 02:00:00:00:0$2:01 type vxlan id 1 local 192.168.7.1$2 dev eth0 dstport 8472 nolearning
    on $1 ip link set flannel.1 mtu 1450 up
    address $1 flannel.1 10.244.$2.0/32
    on $1 ip link add cni0 type bridge
    on $1 ip link set cni0 up
    address $1 cni0 10.244.$2.1/24
    setting $1 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    setting $1 net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
}
node node-a 1; node node-b 2; node node-c 3
peer() { # NODE OF-NUMBER UNDERLAY
    on $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
    on $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:0$2:01 dev flannel.1 nud permanent
    on $1 bridge fdb add 02:00:00:00:0$2:01 dev flannel.1 dst $3
}
peer node-a 2 192.168.7.99          # node-b had this address before it was rebuilt
peer node-a 3 192.168.7.13
peer node-b 1 192.168.7.11
peer node-b 3 192.168.7.13
peer node-c 1 192.168.7.11
peer node-c 2 192.168.7.12
pod() { # POD NODE ADDRESS GATEWAY
    wire $2 "v-$1" $1 eth0
    on $2 ip link set "v-$1" master cni0
    address $1 eth0 $3/24
    on $1 ip link set eth0 mtu 1450
    route $1 default via $4
}
pod pod-a node-a 10.244.1.5 10.244.1.1
pod pod-b node-b 10.244.2.5 10.244.2.1
pod pod-c node-c 10.244.3.5 10.244.3.1
