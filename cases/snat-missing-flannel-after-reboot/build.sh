#!/bin/bash
. "${0%/*}/../words.sh"

netns pod pod2 node-b pod-b router internet
wire host eth0 router r0
address host eth0 192.168.7.18/24
address router r0 192.168.7.1/24
wire router u0 internet i0
address router u0 203.0.113.2/30
address internet i0 203.0.113.1/30
address internet lo 198.51.100.7/32
route router default via 203.0.113.1
route host default via 192.168.7.1
setting router net.ipv4.ip_forward=1
on router nft -f - <<-EOF
	table ip nat {
	    chain postrouting {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip saddr 192.168.7.0/24 oifname "u0" masquerade
	    }
	}
	EOF
wire host eth1 node-b eth1
address host eth1 172.16.9.18/24
address node-b eth1 172.16.9.19/24
route host 10.244.9.0/24 via 172.16.9.19
route node-b 10.244.8.0/24 via 172.16.9.18
wire node-b v0 pod-b eth0
address node-b v0 10.244.9.1/24
address pod-b eth0 10.244.9.5/24
route pod-b default via 10.244.9.1
setting node-b net.ipv4.ip_forward=1
ip link add cni0 type bridge
ip link set cni0 up
address host cni0 10.244.8.1/24
for pair in "pod 5" "pod2 6"; do
    set -- $pair
    wire host "v-$1" $1 eth0
    ip link set "v-$1" master cni0
    address $1 eth0 10.244.8.$2/24
    route $1 default via 10.244.8.1
done
setting host net.ipv4.ip_forward=1
iptables-legacy-restore <<-EOF
	*nat
	:KUBE-SERVICES - [0:0]
	:KUBE-POSTROUTING - [0:0]
	:KUBE-MARK-MASQ - [0:0]
	:KUBE-SEP-X - [0:0]
	-A PREROUTING -j KUBE-SERVICES
	-A OUTPUT -j KUBE-SERVICES
	-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
	-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
	-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE
	-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SEP-X
	-A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 172.16.9.19:6443
	COMMIT
	*filter
	:KUBE-FORWARD - [0:0]
	:FLANNEL-FWD - [0:0]
	-A FORWARD -j KUBE-FORWARD
	-A FORWARD -j FLANNEL-FWD
	-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
	-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT
	-A FLANNEL-FWD -d 10.244.0.0/16 -j ACCEPT
	COMMIT
	EOF
serve internet tcp 443
