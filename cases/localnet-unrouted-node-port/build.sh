#!/bin/bash
. "${0%/*}/../words.sh"

netns pod pod2 lan
wire host eth0 lan eth0
address host eth0 192.168.7.11/24
address lan eth0 192.168.7.1/24
route host default via 192.168.7.1
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.244.1.1/24
for pair in "pod 12" "pod2 13"; do
    set -- $pair
    wire host "v-$1" $1 eth0
    ip link set "v-$1" master cni0
    address $1 eth0 10.244.1.$2/24
    route $1 default via 10.244.1.1
done
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:KUBE-SERVICES - [0:0]
	:KUBE-NODEPORTS - [0:0]
	:KUBE-POSTROUTING - [0:0]
	:KUBE-MARK-MASQ - [0:0]
	:KUBE-EXT-WEB - [0:0]
	:KUBE-SVC-WEB - [0:0]
	:KUBE-SEP-WEB - [0:0]
	-A PREROUTING -j KUBE-SERVICES
	-A OUTPUT -j KUBE-SERVICES
	-A POSTROUTING -j KUBE-POSTROUTING
	-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
	-A KUBE-POSTROUTING -j MASQUERADE --random-fully
	-A KUBE-SERVICES -d 10.96.3.3/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
	-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
	-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-WEB
	-A KUBE-EXT-WEB -j KUBE-MARK-MASQ
	-A KUBE-EXT-WEB -j KUBE-SVC-WEB
	-A KUBE-SVC-WEB -j KUBE-SEP-WEB
	-A KUBE-SEP-WEB -s 10.244.1.12/32 -j KUBE-MARK-MASQ
	-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination 10.244.1.12:8080
	COMMIT
	*filter
	:KUBE-FIREWALL - [0:0]
	-A INPUT -j KUBE-FIREWALL
	-A OUTPUT -j KUBE-FIREWALL
	-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
	COMMIT
	EOF
serve pod tcp 8080
serve pod2 tcp 8080
