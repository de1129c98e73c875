#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-c pod-a pod-c corp db provider
ip link add lan type bridge
ip link set lan up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
for set in "node-a 11" "node-c 13" "corp 1"; do
    set -- $set
    wire host "l-$1" $1 eth0
    ip link set "l-$1" master lan
    address $1 eth0 192.168.7.$2/24
    setting $1 net.ipv4.ip_forward=1
done
wire corp s0 db eth0
address corp s0 10.20.0.1/24
address db eth0 10.20.0.9/24
route db default via 10.20.0.1
wire corp u0 provider p0
address corp u0 203.0.113.2/30
address provider p0 203.0.113.1/30
route corp default via 203.0.113.1
on provider ip route add blackhole 10.0.0.0/8
on corp iptables-nft -t nat -A POSTROUTING -o u0 -j MASQUERADE
for set in "node-a pod-a 1" "node-c pod-c 3"; do
    set -- $set
    route $1 default via 192.168.7.1
    on $1 ip link add cni0 type bridge
    on $1 ip link set cni0 up
    address $1 cni0 10.244.$3.1/24
    wire $1 v0 $2 eth0
    on $1 ip link set v0 master cni0
    address $2 eth0 10.244.$3.5/24
    route $2 default via 10.244.$3.1
    on $1 iptables-nft-restore <<-EOF
	*nat
	:IP-MASQ-AGENT - [0:0]
	-A POSTROUTING -m comment --comment "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
	-A IP-MASQ-AGENT -d 169.254.0.0/16 -j RETURN
	-A IP-MASQ-AGENT -d 10.0.0.0/8 -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN
	-A IP-MASQ-AGENT -d 192.168.0.0/16 -j RETURN
	-A IP-MASQ-AGENT -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE" -j MASQUERADE
	COMMIT
	EOF
done
route node-a 10.244.3.0/24 via 192.168.7.13
route node-c 10.244.1.0/24 via 192.168.7.11
route corp 10.244.1.0/24 via 192.168.7.11
route corp 10.244.2.0/24 via 192.168.7.12
serve db tcp 1433
