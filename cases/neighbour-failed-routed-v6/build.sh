#!/bin/bash
. "${0%/*}/../words.sh"

# A hoster gives one /64 on the link; containers get addresses of it behind the server, which answers for them.
netns ct ct2 hoster
wire host eth0 hoster h0
address host eth0 2001:db8:5::2/64
on hoster ip -6 addr add fe80::1/64 dev h0
address hoster h0 2001:db8:5::1/64
address hoster lo 2001:db8:ffff::1/128
ip -6 route add default via fe80::1 dev eth0
setting host net.ipv6.conf.all.forwarding=1 net.ipv6.conf.eth0.proxy_ndp=1
setting hoster net.ipv6.conf.all.forwarding=1
for pair in "ct 20" "ct2 21"; do
    set -- $pair
    wire host "v$2" $1 eth0
    address $1 eth0 2001:db8:5::$2/128
    on host ip -6 addr add fe80::1/64 dev "v$2"
    on $1 ip -6 route add default via fe80::1 dev eth0
    ip -6 route add 2001:db8:5::$2/128 dev "v$2"
done
ip -6 neigh add proxy 2001:db8:5::21 dev eth0
nft 'table ip6 filter { chain FORWARD { type filter hook forward priority filter; policy accept; iifname "v21" tcp dport 25 drop; }; }'
