#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b node-c pod-a pod-b pod-c
ip link add underlay type bridge
ip link set underlay up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
node() { # NODE NUMBER LAST-BYTE
    wire host "u-$1" $1 eth0
    ip link set "u-$1" master underlay
    address $1 eth0 192.168.7.1$2/24
    on $1 ip link add flannel.1 address 02:00:00:00:0$2:$3 type vxlan id 1 local 192.168.7.1$2 dev eth0 dstport 8472 nolearning
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
node node-a 1 01; node node-b 2 99; node node-c 3 01
peer() { # NODE NUMBER LAST-BYTE
    on $1 ip route add 10.244.$2.0/24 via 10.244.$2.0 dev flannel.1 onlink
    on $1 ip neigh add 10.244.$2.0 lladdr 02:00:00:00:0$2:$3 dev flannel.1 nud permanent
    on $1 bridge fdb add 02:00:00:00:0$2:$3 dev flannel.1 dst 192.168.7.1$2
}
peer node-a 2 01          # node-b has another address since its reboot
peer node-a 3 01
peer node-b 1 01
peer node-b 3 01
peer node-c 1 01
peer node-c 2 99
for node in node-a node-b node-c; do
    on $node iptables-nft -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
    on $node iptables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP
    on $node iptables-nft -A FORWARD -s 10.244.0.0/16 -j ACCEPT
    on $node iptables-nft -A FORWARD -d 10.244.0.0/16 -j ACCEPT
    on $node iptables-nft -P FORWARD DROP
done
serve pod-b tcp 80
serve pod-c tcp 80
