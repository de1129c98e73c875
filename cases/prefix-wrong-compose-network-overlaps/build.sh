#!/bin/bash
. "${0%/*}/../words.sh"

netns vm app world vpngw intranet
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
wire host vpn0 vpngw v0
address host vpn0 10.8.0.2/24
address vpngw v0 10.8.0.1/24
wire vpngw i0 intranet eth0
address vpngw i0 172.18.5.1/24
address intranet eth0 172.18.5.10/24
route intranet default via 172.18.5.1
route host 172.16.0.0/12 via 10.8.0.1
setting host net.ipv4.ip_forward=1
setting vpngw net.ipv4.ip_forward=1
bridge_with() { # BRIDGE ADDRESS/LENGTH NETNS ADDRESS/LENGTH
    ip link add $1 type bridge
    ip link set $1 up
    address host $1 $2
    wire host "v-$3" $3 eth0
    ip link set "v-$3" master $1
    address $3 eth0 $4
    route $3 default via ${2%/*}
}
bridge_with virbr0 192.168.122.1/24 vm 192.168.122.50/24
bridge_with br-3f2a 172.18.0.1/16 app 172.18.0.2/16
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.18.0.0/16 ! -o br-3f2a -j MASQUERADE
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A POSTROUTING -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
	COMMIT
	*filter
	:DOCKER-USER - [0:0]
	:DOCKER-ISOLATION-STAGE-1 - [0:0]
	:DOCKER-ISOLATION-STAGE-2 - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-ISOLATION-STAGE-1
	-A DOCKER-USER -j RETURN
	-A DOCKER-ISOLATION-STAGE-1 -i br-3f2a ! -o br-3f2a -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-2 -o br-3f2a -j DROP
	-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
	COMMIT
	EOF
serve intranet tcp 443
