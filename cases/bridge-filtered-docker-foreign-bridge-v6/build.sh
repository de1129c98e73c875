#!/bin/bash
. "${0%/*}/../words.sh"

netns vm-1 vm-2 container world
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
ip link add br0 type bridge
ip link set br0 up
for pair in "vm-1 11" "vm-2 12"; do
    set -- $pair
    wire host "vnet$2" $1 eth0
    ip link set "vnet$2" master br0
    address $1 eth0 2001:db8:9::$2/64 192.168.9.$2/24
done
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16 fd00:d0c::1/64
wire host vethc container eth0
ip link set vethc master docker0
address container eth0 172.17.0.2/16 fd00:d0c::2/64
setting host net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
setting host net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
for tool in iptables-nft ip6tables-nft; do
    $tool-restore <<-EOF
	*filter
	:INPUT ACCEPT [0:0]
	:FORWARD ACCEPT [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	:DOCKER-ISOLATION-STAGE-1 - [0:0]
	:DOCKER-ISOLATION-STAGE-2 - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-ISOLATION-STAGE-1
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
	-A FORWARD -i docker0 -o docker0 -j ACCEPT
	-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-1 -j RETURN
	-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
done
ip6tables-nft -P FORWARD DROP
nft 'table bridge guests { chain forward { type filter hook forward priority filter; policy accept; ether type arp accept; ip saddr 192.168.9.66 drop; }; }'
serve vm-2 tcp 22
