#!/bin/bash
. "${0%/*}/../words.sh"

netns pod-a pod-b node-b storage
wire host eth0 node-b eth0
address host eth0 10.1.11.70/24
address node-b eth0 10.1.11.71/24
wire host eth1 storage eth0
address host eth1 10.2.11.70/24
address storage eth0 10.2.11.1/24
for pair in "pod-a 8 cali8a" "pod-b 20 cali20b"; do
    set -- $pair
    wire host $3 $1 eth0
    address $1 eth0 10.233.76.$2/32
    route $1 169.254.1.1 dev eth0 scope link
    route $1 default via 169.254.1.1
    setting host net.ipv4.conf.$3.proxy_arp=1 net.ipv4.neigh.$3.proxy_delay=0
    route host 10.233.76.$2 dev $3 scope link
done
ip route add blackhole 10.233.76.0/26 proto 80
route host 10.233.77.0/26 via 10.1.11.71
setting host net.ipv4.ip_forward=1
iptables-legacy-restore <<-EOF
	*raw
	:cali-PREROUTING - [0:0]
	-A PREROUTING -j cali-PREROUTING
	-A cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000
	-A cali-PREROUTING -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
	COMMIT
	*filter
	:cali-FORWARD - [0:0]
	-A FORWARD -j cali-FORWARD
	-A cali-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A cali-FORWARD -i cali+ -j ACCEPT
	-A cali-FORWARD -o cali+ -j ACCEPT
	COMMIT
	EOF
serve pod-b tcp 8080
