#!/bin/bash
. "${0%/*}/../words.sh"

netns pod pod2 transit far far-pod
wire host eth0 transit t0
wire far eth0 transit t1
address host eth0 192.0.2.2/30 2001:db8:a::2/64
address transit t0 192.0.2.1/30 2001:db8:a::1/64
address far eth0 198.51.100.2/30
address transit t1 198.51.100.1/30
route host default via 192.0.2.1
route host default via 2001:db8:a::1
route far default via 198.51.100.1
for one in host transit far; do setting $one net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; done
ip link add mesh0 type vxlan id 9 local 192.0.2.2 remote 198.51.100.2 dstport 4789
on far ip link add mesh0 type vxlan id 9 local 198.51.100.2 remote 192.0.2.2 dstport 4789
for end in "host 1" "far 2"; do
    set -- $end
    on $1 ip link set mesh0 mtu 1380 up
    address $1 mesh0 10.255.0.$2/30 2001:db8:e::$2/64
done
route host 2001:db8:c2::/64 via 2001:db8:e::2
route host 10.2.0.0/24 via 10.255.0.2
route far 2001:db8:c1::/64 via 2001:db8:e::1
route far 10.1.0.0/24 via 10.255.0.1
for set in "host pod v1 1 5" "far far-pod v1 2 7"; do
    set -- $set
    wire $1 $3 $2 eth0
    address $1 $3 2001:db8:c$4::1/64 10.$4.0.1/24
    address $2 eth0 2001:db8:c$4::$5/64 10.$4.0.$5/24
    route $2 default via 2001:db8:c$4::1
    route $2 default via 10.$4.0.1
done
ip6tables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP
ip6tables-nft -A FORWARD -s 2001:db8:c1::bad -j DROP
# The change.
ip link set mesh0 mtu 1230
