#!/bin/bash
. "${0%/*}/../words.sh"

netns client idle node-b dns-new
wire host eth0 node-b eth0
address host eth0 192.168.7.11/24
address node-b eth0 192.168.7.12/24
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.244.1.1/24
for pair in "client 5" "idle 6"; do
    set -- $pair
    wire host "v-$1" $1 eth0
    ip link set "v-$1" master cni0
    address $1 eth0 10.244.1.$2/24
    route $1 default via 10.244.1.1
done
wire node-b v0 dns-new eth0
address node-b v0 10.244.2.1/24
address dns-new eth0 10.244.2.31/24
route dns-new default via 10.244.2.1
route host 10.244.2.0/24 via 192.168.7.12
route node-b 10.244.1.0/24 via 192.168.7.11
setting host net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_udp_timeout=3600
setting node-b net.ipv4.ip_forward=1
setting client net.ipv4.ip_local_port_range="40000 40000"
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
rules() { # ENDPOINT
    iptables-nft-restore <<-EOF
	*nat
	:KUBE-SERVICES - [0:0]
	:KUBE-POSTROUTING - [0:0]
	:KUBE-MARK-MASQ - [0:0]
	:KUBE-SVC-DNS - [0:0]
	:KUBE-SVC-DNSTCP - [0:0]
	:KUBE-SEP-DNS - [0:0]
	-A PREROUTING -j KUBE-SERVICES
	-A OUTPUT -j KUBE-SERVICES
	-A POSTROUTING -j KUBE-POSTROUTING
	-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-A KUBE-POSTROUTING -j MASQUERADE --random-fully
	-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j KUBE-SVC-DNSTCP
	-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j KUBE-SVC-DNS
	-A KUBE-SVC-DNS -j KUBE-SEP-DNS
	-A KUBE-SEP-DNS -s $1/32 -j KUBE-MARK-MASQ
	-A KUBE-SEP-DNS -p udp -m udp -j DNAT --to-destination $1:53
	COMMIT
	EOF
}
rules 10.244.2.23
on client "$PYTHON" -S "$CASES/actor.py" probe udp 10.96.0.10 53 2>/dev/null || true    # makes the old entry
rules 10.244.2.31
serve dns-new udp 53
