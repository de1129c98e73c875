#!/bin/bash
. "${0%/*}/../words.sh"

netns client idle node-b pod-new pod-dns
wire host eth0 node-b eth0
address host eth0 192.168.7.11/24
address node-b eth0 192.168.7.12/24
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.244.1.1/24
on node-b ip link add cni0 type bridge
on node-b ip link set cni0 up
address node-b cni0 10.244.2.1/24
pod() { # NODE POD ADDRESS GATEWAY
    wire $1 "v-$2" $2 eth0
    on $1 ip link set "v-$2" master cni0
    address $2 eth0 $3/24
    route $2 default via $4
}
pod host client 10.244.1.5 10.244.1.1
pod host idle 10.244.1.6 10.244.1.1
pod node-b pod-new 10.244.2.31 10.244.2.1
pod node-b pod-dns 10.244.2.10 10.244.2.1
route host 10.244.2.0/24 via 192.168.7.12
route node-b 10.244.1.0/24 via 192.168.7.11
setting host net.ipv4.ip_forward=1
setting node-b net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:KUBE-SERVICES - [0:0]
	:KUBE-NODEPORTS - [0:0]
	:KUBE-POSTROUTING - [0:0]
	:KUBE-MARK-MASQ - [0:0]
	:KUBE-SVC-WEB - [0:0]
	:KUBE-SVC-DNS - [0:0]
	:KUBE-SEP-OLD - [0:0]
	:KUBE-SEP-DNS - [0:0]
	:FLANNEL-POSTRTG - [0:0]
	-A PREROUTING -j KUBE-SERVICES
	-A OUTPUT -j KUBE-SERVICES
	-A POSTROUTING -j KUBE-POSTROUTING
	-A POSTROUTING -j FLANNEL-POSTRTG
	-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
	-A KUBE-POSTROUTING -j MASQUERADE --random-fully
	-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-DNS
	-A KUBE-SERVICES -d 10.96.14.2/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-WEB
	-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
	-A KUBE-SVC-WEB ! -s 10.244.0.0/16 -d 10.96.14.2/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
	-A KUBE-SVC-WEB -j KUBE-SEP-OLD
	-A KUBE-SVC-DNS -j KUBE-SEP-DNS
	-A KUBE-SEP-OLD -s 10.244.2.23/32 -j KUBE-MARK-MASQ
	-A KUBE-SEP-OLD -p tcp -m tcp -j DNAT --to-destination 10.244.2.23:8080
	-A KUBE-SEP-DNS -s 10.244.2.10/32 -j KUBE-MARK-MASQ
	-A KUBE-SEP-DNS -p udp -m udp -j DNAT --to-destination 10.244.2.10:53
	-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN
	-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
	COMMIT
	EOF
serve pod-new tcp 8080
serve pod-dns udp 53
