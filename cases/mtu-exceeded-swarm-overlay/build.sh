#!/bin/bash
. "${0%/*}/../words.sh"

netns node1 node2 1-ov1 1-ov2 c1 c2 c3
ip link add switch mtu 9000 type bridge
ip link set switch up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
for n in 1 2; do
    wire host "p$n" node$n eth0
    ip link set "p$n" mtu 9000 master switch
    on node$n ip link set eth0 mtu 9000
    address node$n eth0 10.10.0.1$n/24
    # The engine makes the tunnel on the node and moves it into a namespace of the network's own.
    on node$n ip link add vxlan0 type vxlan id 4097 local 10.10.0.1$n dstport 4789 nolearning proxy
    ip -n node$n link set vxlan0 netns 1-ov$n
    on 1-ov$n ip link add br0 type bridge
    setting 1-ov$n net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
    on 1-ov$n ip link set vxlan0 mtu 8950 master br0 up
    on 1-ov$n ip link set br0 up
    address 1-ov$n br0 10.0.1.1/24
done
attach() { # CONTAINER OVERLAY NUMBER
    wire $2 "veth$3" $1 eth0
    on $1 ip link set eth0 address 02:42:0a:00:01:0$3 mtu 8950
    on $2 ip link set "veth$3" mtu 8950 master br0
    address $1 eth0 10.0.1.$3/24
}
attach c1 1-ov1 5
attach c2 1-ov2 7
attach c3 1-ov1 6
peer() { # OVERLAY NUMBER NODE
    on $1 ip neigh add 10.0.1.$2 lladdr 02:42:0a:00:01:0$2 dev vxlan0 nud permanent
    on $1 bridge fdb add 02:42:0a:00:01:0$2 dev vxlan0 dst 10.10.0.1$3
}
peer 1-ov1 7 2
peer 1-ov2 5 1
peer 1-ov2 6 1
on 1-ov1 ip link set vxlan0 mtu 1450
on 1-ov1 ip link set br0 mtu 8950
serve c2 tcp 80
