#!/bin/bash
. "${0%/*}/../words.sh"

netns lan web-1 web-2 web-3
wire host eth0 lan eth0
address host eth0 192.168.50.2/24
address lan eth0 192.168.50.1/24
route host default via 192.168.50.1
for set in "web-1 11 bridge" "web-2 12 private" "web-3 13 bridge"; do
    set -- $set
    ip link add link eth0 name "m$2" type macvlan mode $3
    ip link set "m$2" netns $1 name eth0
    on $1 ip link set eth0 up
    address $1 eth0 192.168.50.$2/24
    route $1 default via 192.168.50.1
done
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
iptables-nft -P FORWARD DROP
iptables-nft -A FORWARD -i docker0 -j ACCEPT
nft 'table netdev guard { chain in { type filter hook ingress device "eth0" priority 0; policy accept; ip saddr 192.168.50.66 drop; }; }'
for one in web-1 web-2 web-3; do serve $one tcp 80; done
