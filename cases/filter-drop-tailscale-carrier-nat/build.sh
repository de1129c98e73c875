#!/bin/bash
. "${0%/*}/../words.sh"

netns isp lan tailnet
wire host eth4 isp i0
address host eth4 100.100.16.5/20
address isp i0 100.100.16.1/20 100.100.16.53/20
route host default via 100.100.16.1
wire host br-lan lan eth0
address host br-lan 192.168.1.1/24
address lan eth0 192.168.1.40/24
route lan default via 192.168.1.1
wire host tailscale0 tailnet t0
address host tailscale0 100.90.1.2/32
ip link set tailscale0 mtu 1280
setting host net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.eth4.rp_filter=2
ip rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
ip rule add priority 5230 fwmark 0x80000/0xff0000 lookup default
ip rule add priority 5250 fwmark 0x80000/0xff0000 unreachable
ip rule add priority 5270 lookup 52
ip route add 100.101.102.103 dev tailscale0 table 52
ip route add 100.100.100.100 dev tailscale0 table 52
iptables-nft-restore <<-EOF
	*nat
	:ts-postrouting - [0:0]
	-A POSTROUTING -j ts-postrouting
	-A POSTROUTING -s 192.168.1.0/24 -o eth4 -j MASQUERADE
	-A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE
	COMMIT
	*filter
	:INPUT DROP [0:0]
	:FORWARD ACCEPT [0:0]
	:OUTPUT ACCEPT [0:0]
	:ts-input - [0:0]
	:ts-forward - [0:0]
	-A INPUT -j ts-input
	-A INPUT -i lo -j ACCEPT
	-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A INPUT -i br-lan -j ACCEPT
	-A FORWARD -j ts-forward
	-A ts-input -s 100.90.1.2/32 -i lo -j ACCEPT
	-A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN
	-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP
	-A ts-input -i tailscale0 -j ACCEPT
	-A ts-input -p udp -m udp --dport 41641 -j ACCEPT
	-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
	-A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
	-A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
	-A ts-forward -o tailscale0 -j ACCEPT
	COMMIT
	EOF
serve isp udp 53 100.100.16.53
