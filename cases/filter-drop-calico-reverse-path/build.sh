#!/bin/bash
. "${0%/*}/../words.sh"

# The road warrior sends through the VPN pod; answers come back by the VPN's router on the node's network.
netns road vpn-pod db-pod vpnrouter
wire road t0 vpn-pod t0
wire road t1 vpnrouter t1
wire host eth0 vpnrouter eth0
address road t0 10.8.0.6/24
address vpn-pod t0 10.8.0.1/24
address road t1 10.8.1.2/30
address vpnrouter t1 10.8.1.1/30
address host eth0 192.168.7.11/24
address vpnrouter eth0 192.168.7.20/24
route host default via 192.168.7.20
route host 10.8.0.0/24 via 192.168.7.20
route vpnrouter 10.8.0.0/24 via 10.8.1.2
route vpnrouter 10.233.5.0/26 via 192.168.7.11
route road default via 10.8.0.1
for pair in "vpn-pod 9 cali7a11" "db-pod 12 cali7a22"; do
    set -- $pair
    wire host $3 $1 eth0
    address $1 eth0 10.233.5.$2/32
    route $1 169.254.1.1 dev eth0 scope link
    route $1 default via 169.254.1.1
    setting host net.ipv4.conf.$3.proxy_arp=1 net.ipv4.neigh.$3.proxy_delay=0 net.ipv4.conf.$3.rp_filter=0
    route host 10.233.5.$2 dev $3 scope link
done
ip route add blackhole 10.233.5.0/26 proto 80
for one in host road vpn-pod vpnrouter; do
    setting $one net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.all.send_redirects=0
done
setting road net.ipv4.conf.t0.rp_filter=0 net.ipv4.conf.t1.rp_filter=0
ipset create cali40masq-ipam-pools hash:net
ipset add cali40masq-ipam-pools 10.233.0.0/16
ipset create cali40all-ipam-pools hash:net
ipset add cali40all-ipam-pools 10.233.0.0/16
iptables-nft-restore <<-EOF
	*raw
	:cali-PREROUTING - [0:0]
	:cali-rpf-skip - [0:0]
	:cali-from-host-endpoint - [0:0]
	-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
	-A cali-PREROUTING -m comment --comment "cali:XFX5xbM8B9qR10JG" -j MARK --set-xmark 0x0/0xf0000
	-A cali-PREROUTING -i cali+ -m comment --comment "cali:EWMPb0zVROM-woQp" -j MARK --set-xmark 0x40000/0x40000
	-A cali-PREROUTING -m comment --comment "cali:PWuxTAIaFCtsg5Qa" -m mark --mark 0x40000/0x40000 -j cali-rpf-skip
	-A cali-PREROUTING -m comment --comment "cali:fSSbGND7dgyemWU7" -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
	-A cali-PREROUTING -m comment --comment "cali:ImU0-4Rl2WoOI9Ou" -m mark --mark 0x0/0x40000 -j cali-from-host-endpoint
	-A cali-PREROUTING -m comment --comment "cali:lV4V2MPoMBf0hl9T" -m mark --mark 0x10000/0x10000 -j ACCEPT
	COMMIT
	*nat
	:cali-nat-outgoing - [0:0]
	-A POSTROUTING -j cali-nat-outgoing
	-A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst ! -d 10.8.0.0/16 -j MASQUERADE
	COMMIT
	*filter
	:cali-FORWARD - [0:0]
	:cali-from-wl-dispatch - [0:0]
	:cali-to-wl-dispatch - [0:0]
	:cali-fw-cali7a11 - [0:0]
	:cali-tw-cali7a22 - [0:0]
	-A FORWARD -j cali-FORWARD
	-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
	-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
	-A cali-FORWARD -i cali+ -j cali-from-wl-dispatch
	-A cali-FORWARD -o cali+ -j cali-to-wl-dispatch
	-A cali-from-wl-dispatch -i cali7a11 -g cali-fw-cali7a11
	-A cali-to-wl-dispatch -o cali7a22 -g cali-tw-cali7a22
	-A cali-fw-cali7a11 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A cali-fw-cali7a11 -m conntrack --ctstate INVALID -j DROP
	-A cali-fw-cali7a11 -j MARK --set-xmark 0x10000/0x10000
	-A cali-tw-cali7a22 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A cali-tw-cali7a22 -m conntrack --ctstate INVALID -j DROP
	-A cali-tw-cali7a22 -p tcp -m multiport --dports 5432,6432 -j MARK --set-xmark 0x10000/0x10000
	-A cali-tw-cali7a22 -m mark --mark 0x10000/0x10000 -j RETURN
	-A cali-tw-cali7a22 -m comment --comment "Drop if no policies passed packet" -j DROP
	COMMIT
	EOF
serve db-pod tcp 5432
