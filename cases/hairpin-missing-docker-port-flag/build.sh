#!/bin/bash
. "${0%/*}/../words.sh"

netns web cache world
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
for pair in "web 2" "cache 3"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master docker0
    address $1 eth0 172.17.0.$2/16
    route $1 default via 172.17.0.1
done
ip link set veth-cache type bridge_slave hairpin on
setting host net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1 net.ipv4.conf.docker0.route_localnet=1
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
	-A POSTROUTING -s 172.17.0.3/32 -d 172.17.0.3/32 -p tcp -m tcp --dport 6379 -j MASQUERADE
	-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
	-A DOCKER -p tcp -m tcp --dport 6379 -j DNAT --to-destination 172.17.0.3:6379
	COMMIT
	*filter
	:FORWARD DROP [0:0]
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
	-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
	-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 6379 -j ACCEPT
	-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-1 -j RETURN
	-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
serve web tcp 80
serve cache tcp 6379
