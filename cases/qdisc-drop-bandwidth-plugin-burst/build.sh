#!/bin/bash
. "${0%/*}/../words.sh"

netns pod pod2 internet
wire host eth0 internet i0
address host eth0 192.0.2.10/24
address internet i0 192.0.2.1/24
address internet lo 198.51.100.7/32
route host default via 192.0.2.1
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.22.0.1/24
for set in "pod 5 1000" "pod2 6 32000"; do
    set -- $set
    wire host "veth7a1${2}" $1 eth0
    ip link set "veth7a1$2" master cni0
    address $1 eth0 10.22.0.$2/24
    route $1 default via 10.22.0.1
done
limit() { # PORT IFB BURST
    ip link add $2 type ifb
    ip link set $2 up
    tc qdisc add dev $2 root tbf rate 8mbit burst $3 latency 25ms
    tc qdisc add dev $1 ingress
    tc filter add dev $1 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev $2
    tc qdisc add dev $1 root tbf rate 8mbit burst 32000 latency 25ms
}
limit veth7a15 bwp7a11 1000
limit veth7a16 bwp7a12 32000
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:CNI-2f1a - [0:0]
	:CNI-HOSTPORT-MASQ - [0:0]
	-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
	-A POSTROUTING -s 10.22.0.0/24 -j CNI-2f1a
	-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
	-A CNI-2f1a -d 10.22.0.0/24 -j ACCEPT
	-A CNI-2f1a ! -d 224.0.0.0/4 -j MASQUERADE
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:CNI-FORWARD - [0:0]
	-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
	-A CNI-FORWARD -d 10.22.0.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A CNI-FORWARD -s 10.22.0.0/24 -j ACCEPT
	COMMIT
	EOF
serve internet tcp 80
