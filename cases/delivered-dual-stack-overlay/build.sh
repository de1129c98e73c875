#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b pod-a pod-b pod-x
ip link add underlay type bridge
ip link set underlay up
setting host net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true
node() { # NODE NUMBER
    wire host "u-$1" $1 eth0
    ip link set "u-$1" master underlay
    address $1 eth0 192.168.7.1$2/24
    on $1 ip link add flannel-v6.1 address 02:00:00:00:0$2:06 type vxlan id 1 local 192.168.7.1$2 dev eth0 dstport 8472 nolearning
    on $1 ip link set flannel-v6.1 mtu 1450 up
    address $1 flannel-v6.1 fd10:244:$2::/128
    on $1 ip link add cni0 type bridge
    on $1 ip link set cni0 up
    address $1 cni0 10.244.$2.1/24 fd10:244:$2::1/64
    setting $1 net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=0
    wire $1 veth0 "pod-${1#node-}" eth0
    on $1 ip link set veth0 master cni0
    address "pod-${1#node-}" eth0 10.244.$2.5/24 fd10:244:$2::5/64
    on "pod-${1#node-}" ip link set eth0 mtu 1450
    route "pod-${1#node-}" default via fd10:244:$2::1
    route "pod-${1#node-}" default via 10.244.$2.99
}
node node-a 1; node node-b 2
peer() { # NODE NUMBER
    on $1 ip -6 route add fd10:244:$2::/64 via fd10:244:$2:: dev flannel-v6.1 onlink
    on $1 ip neigh add fd10:244:$2:: lladdr 02:00:00:00:0$2:06 dev flannel-v6.1 nud permanent
    on $1 bridge fdb add 02:00:00:00:0$2:06 dev flannel-v6.1 dst 192.168.7.1$2
}
peer node-a 2
peer node-b 1
on node-a ip neigh add fd10:244:3:: lladdr 02:00:00:00:03:06 dev flannel-v6.1 nud permanent
on node-a ip -6 route add fd10:244:3::/64 via fd10:244:3:: dev flannel-v6.1 onlink
on node-a ip -6 route add blackhole fd10:244::/32
on node-a ip -6 rule add priority 100 fwmark 0xca6c/0xffff lookup 51820
on node-a ip -6 rule add priority 101 from all lookup main suppress_prefixlength 0
on node-a ip -6 rule add priority 102 not fwmark 0xca6c lookup 51820
on node-a ip -6 route add unreachable default table 51820
on node-b ip -6 rule add priority 50 from fd10:244:3::/64 prohibit
for node in node-a node-b; do
    on $node ip6tables-nft-restore <<-EOF
	*raw
	-A PREROUTING -s fd10:244:9::/64 -j DROP
	-A PREROUTING -i cni0 -m rpfilter --invert -j DROP
	COMMIT
	*filter
	:INPUT DROP [0:0]
	:FORWARD DROP [0:0]
	:FLANNEL-FWD - [0:0]
	:KUBE-FORWARD - [0:0]
	-A INPUT -p ipv6-icmp -j ACCEPT
	-A INPUT -i lo -j ACCEPT
	-A FORWARD -j KUBE-FORWARD
	-A FORWARD -j FLANNEL-FWD
	-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A KUBE-FORWARD -m mark --mark 0x8000/0x8000 -j DROP
	-A FLANNEL-FWD -s fd10:244:1::6/128 -j REJECT
	-A FLANNEL-FWD -s fd10:244::/32 -j ACCEPT
	-A FLANNEL-FWD -d fd10:244::/32 -j ACCEPT
	COMMIT
	*nat
	-A POSTROUTING -s fd10:244::/32 -d fd10:244::/32 -j RETURN
	-A POSTROUTING -s fd10:244::/32 ! -d ff00::/8 -j MASQUERADE
	COMMIT
	EOF
    on $node iptables-nft -P FORWARD DROP
    on $node iptables-legacy -P FORWARD DROP
    on $node iptables-nft -A INPUT -p udp --dport 8472 -s 192.168.7.0/24 -j ACCEPT
    on $node iptables-nft -A INPUT -p udp --dport 8472 -j DROP
done
# A stranger with pod-b's address.
wire node-a x0 pod-x eth0
address pod-x eth0 fd10:244:2::5/64
on node-a ip link set x0 down
serve pod-b tcp 80
