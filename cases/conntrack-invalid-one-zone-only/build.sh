#!/bin/bash
. "${0%/*}/../words.sh"

netns vm vm2 world
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
address world lo 198.51.100.7/32
route host default via 192.0.2.1
for set in "vm 7a1 10.0.0" "vm2 7a2 10.0.1"; do
    set -- $set
    wire host "tap$2" $1 eth0
    address host "tap$2" $3.1/24
    address $1 eth0 $3.5/24
    route $1 default via $3.1
done
setting host net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
iptables-nft-restore <<-EOF
	*raw
	:neutron-openvswi-PREROUTING - [0:0]
	-A PREROUTING -j neutron-openvswi-PREROUTING
	-A neutron-openvswi-PREROUTING -i tap7a1 -m comment --comment "Set zone for a1d7-8b7d" -j CT --zone 4097
	COMMIT
	*nat
	-A POSTROUTING -s 10.0.0.0/16 -o eth0 -j MASQUERADE
	COMMIT
	*filter
	:INPUT ACCEPT [0:0]
	:neutron-openvswi-FORWARD - [0:0]
	:neutron-openvswi-sg-chain - [0:0]
	:neutron-openvswi-o7a1 - [0:0]
	:neutron-openvswi-i7a1 - [0:0]
	:neutron-openvswi-sg-fallback - [0:0]
	-A FORWARD -j neutron-openvswi-FORWARD
	-A neutron-openvswi-FORWARD -i tap7a1 -j neutron-openvswi-sg-chain
	-A neutron-openvswi-FORWARD -o tap7a1 -j neutron-openvswi-sg-chain
	-A neutron-openvswi-sg-chain -i tap7a1 -j neutron-openvswi-o7a1
	-A neutron-openvswi-sg-chain -o tap7a1 -j neutron-openvswi-i7a1
	-A neutron-openvswi-sg-chain -j ACCEPT
	-A neutron-openvswi-o7a1 -m state --state RELATED,ESTABLISHED -j RETURN
	-A neutron-openvswi-o7a1 -s 10.0.0.5/32 -j RETURN
	-A neutron-openvswi-o7a1 -m state --state INVALID -j DROP
	-A neutron-openvswi-o7a1 -j neutron-openvswi-sg-fallback
	-A neutron-openvswi-i7a1 -m state --state RELATED,ESTABLISHED -j RETURN
	-A neutron-openvswi-i7a1 -p tcp -m tcp --dport 22 -j RETURN
	-A neutron-openvswi-i7a1 -j neutron-openvswi-sg-fallback
	-A neutron-openvswi-sg-fallback -m comment --comment "Default drop rule for unmatched traffic." -j DROP
	COMMIT
	EOF
serve world tcp 443
