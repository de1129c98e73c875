#!/bin/bash
. "${0%/*}/../words.sh"

netns client pod other
wire host eth0 client c0
address host eth0 203.0.113.10/24 203.0.113.80/32
address client c0 203.0.113.1/24
address client lo 198.51.100.9/32
on client ip route replace 203.0.113.0/24 dev c0 src 198.51.100.9
route host default via 203.0.113.1
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.244.0.1/24
for pair in "pod 12" "other 13"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master cni0
    address $1 eth0 10.244.0.$2/24
    route $1 default via 10.244.0.1
done
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:KUBE-SERVICES - [0:0]
	:KUBE-NODEPORTS - [0:0]
	:KUBE-POSTROUTING - [0:0]
	:KUBE-MARK-MASQ - [0:0]
	:KUBE-MARK-DROP - [0:0]
	:KUBE-FW-5SB3 - [0:0]
	:KUBE-FW-9KQ2 - [0:0]
	:KUBE-SVC-5SB3 - [0:0]
	:KUBE-SVC-9KQ2 - [0:0]
	:KUBE-SEP-A1 - [0:0]
	:KUBE-SEP-B1 - [0:0]
	-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
	-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
	-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
	-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
	-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
	-A KUBE-POSTROUTING -j MASQUERADE --random-fully
	-A KUBE-SERVICES -d 10.96.7.1/32 -p tcp -m comment --comment "shop/web:https cluster IP" -m tcp --dport 443 -j KUBE-SVC-5SB3
	-A KUBE-SERVICES -d 203.0.113.80/32 -p tcp -m comment --comment "shop/web:https loadbalancer IP" -m tcp --dport 443 -j KUBE-FW-5SB3
	-A KUBE-SERVICES -d 203.0.113.80/32 -p tcp -m comment --comment "shop/admin:https loadbalancer IP" -m tcp --dport 8443 -j KUBE-FW-9KQ2
	-A KUBE-SERVICES -m comment --comment "this must be the last rule" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
	-A KUBE-NODEPORTS -p tcp -m tcp --dport 31443 -j KUBE-SVC-5SB3
	-A KUBE-FW-5SB3 -j KUBE-MARK-MASQ
	-A KUBE-FW-5SB3 -s 198.51.100.0/29 -j KUBE-SVC-5SB3
	-A KUBE-FW-5SB3 -s 192.0.2.0/24 -j KUBE-SVC-5SB3
	-A KUBE-FW-5SB3 -j KUBE-MARK-DROP
	-A KUBE-FW-9KQ2 -s 10.0.0.0/8 -j KUBE-SVC-9KQ2
	-A KUBE-FW-9KQ2 -j KUBE-MARK-DROP
	-A KUBE-SVC-5SB3 -j KUBE-SEP-A1
	-A KUBE-SVC-9KQ2 -j KUBE-SEP-B1
	-A KUBE-SEP-A1 -s 10.244.0.12/32 -j KUBE-MARK-MASQ
	-A KUBE-SEP-A1 -p tcp -m tcp -j DNAT --to-destination 10.244.0.12:8443
	-A KUBE-SEP-B1 -p tcp -m tcp -j DNAT --to-destination 10.244.0.13:8443
	COMMIT
	*filter
	:KUBE-FIREWALL - [0:0]
	:KUBE-FORWARD - [0:0]
	-A INPUT -j KUBE-FIREWALL
	-A FORWARD -j KUBE-FORWARD
	-A OUTPUT -j KUBE-FIREWALL
	-A KUBE-FIREWALL -m comment --comment "kubernetes firewall for dropping marked packets" -m mark --mark 0x8000/0x8000 -j DROP
	-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
	-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
	-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	COMMIT
	EOF
serve pod tcp 8443
serve other tcp 8443
