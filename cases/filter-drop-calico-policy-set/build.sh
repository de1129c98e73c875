#!/bin/bash
. "${0%/*}/../words.sh"

netns pod-a pod-c db
for set in "pod-a 9 cali7a11" "pod-c 10 cali7a33" "db 12 cali7a22"; do
    set -- $set
    wire host $3 $1 eth0
    address $1 eth0 10.233.5.$2/32
    route $1 169.254.1.1 dev eth0 scope link
    route $1 default via 169.254.1.1
    setting host net.ipv4.conf.$3.proxy_arp=1 net.ipv4.neigh.$3.proxy_delay=0
    route host 10.233.5.$2 dev $3 scope link
done
netns lan
wire host eth0 lan eth0
address host eth0 192.168.7.11/24
address lan eth0 192.168.7.1/24
route host default via 192.168.7.1
setting host net.ipv4.ip_forward=1
ipset create cali40s:web hash:net
ipset add cali40s:web 10.233.5.10
ipset add cali40s:web 10.233.7.9
ipset create cali40s:mon hash:net
ipset add cali40s:mon 10.233.5.9
iptables-legacy-restore <<-EOF
	*filter
	:cali-FORWARD - [0:0]
	:cali-from-wl-dispatch - [0:0]
	:cali-to-wl-dispatch - [0:0]
	:cali-fw-any - [0:0]
	:cali-tw-cali7a22 - [0:0]
	:cali-pi-web-to-db - [0:0]
	:cali-pi-monitoring - [0:0]
	-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
	-A FORWARD -m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT
	-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
	-A cali-FORWARD -i cali+ -j cali-from-wl-dispatch
	-A cali-FORWARD -o cali+ -j cali-to-wl-dispatch
	-A cali-from-wl-dispatch -i cali7a+ -g cali-fw-any
	-A cali-from-wl-dispatch -m comment --comment "Unknown interface" -j DROP
	-A cali-to-wl-dispatch -o cali7a22 -g cali-tw-cali7a22
	-A cali-fw-any -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A cali-fw-any -m conntrack --ctstate INVALID -j DROP
	-A cali-fw-any -j MARK --set-xmark 0x0/0x10000
	-A cali-fw-any -p udp -m multiport --dports 4789 -m comment --comment "Drop VXLAN encapped packets originating in workloads" -j DROP
	-A cali-fw-any -j MARK --set-xmark 0x10000/0x10000
	-A cali-tw-cali7a22 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A cali-tw-cali7a22 -m conntrack --ctstate INVALID -j DROP
	-A cali-tw-cali7a22 -j MARK --set-xmark 0x0/0x10000
	-A cali-tw-cali7a22 -m comment --comment "Start of policies" -j MARK --set-xmark 0x0/0x20000
	-A cali-tw-cali7a22 -m mark --mark 0x0/0x20000 -j cali-pi-monitoring
	-A cali-tw-cali7a22 -m mark --mark 0x10000/0x10000 -j RETURN
	-A cali-tw-cali7a22 -m mark --mark 0x0/0x20000 -j cali-pi-web-to-db
	-A cali-tw-cali7a22 -m mark --mark 0x10000/0x10000 -j RETURN
	-A cali-tw-cali7a22 -m comment --comment "Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP
	-A cali-pi-web-to-db -p tcp -m set --match-set cali40s:web src -m multiport --dports 5432,6432 -j MARK --set-xmark 0x10000/0x10000
	-A cali-pi-web-to-db -m mark --mark 0x10000/0x10000 -j RETURN
	-A cali-pi-monitoring -p tcp -m set --match-set cali40s:mon src -m multiport --dports 9187 -j MARK --set-xmark 0x10000/0x10000
	COMMIT
	EOF
serve db tcp 5432
