#!/bin/bash
. "${0%/*}/../words.sh"

netns qrouter-3 vm-1 vm-2
ip link add br-int type bridge
ip link set br-int up
wire host rtr qrouter-3 qr-3
ip link set rtr master br-int
address qrouter-3 qr-3 10.0.0.1/24
setting qrouter-3 net.ipv4.ip_forward=1
setting host net.bridge.bridge-nf-call-iptables=1
for set in "vm-1 7a1 11" "vm-2 7a2 12"; do
    set -- $set
    wire host "tap$2" $1 eth0
    address $1 eth0 10.0.0.$3/24
    route $1 default via 10.0.0.1
    ip link add "qbr$2" type bridge
    ip link set "qbr$2" up
    ip link set "tap$2" master "qbr$2"
    wire host "qvb$2" host "qvo$2"
    ip link set "qvb$2" master "qbr$2"
    ip link set "qvo$2" master br-int
    iptables-nft -A FORWARD -m physdev --physdev-in "tap$2" --physdev-is-bridged -s 10.0.0.$3/32 -j ACCEPT
    iptables-nft -A FORWARD -m physdev --physdev-in "tap$2" --physdev-is-bridged -j DROP
done
iptables-nft -t raw -A PREROUTING -m physdev --physdev-in qvb7a1 -j CT --zone 4097
iptables-nft -t raw -A PREROUTING -m physdev --physdev-in tap7a1 -j CT --zone 4097
ip link set qvo7a1 down
