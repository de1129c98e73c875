#!/bin/bash
. "${0%/*}/../words.sh"

netns client app web
wire host eth0 client c0
address host eth0 192.0.2.10/24
address client c0 192.0.2.1/24
route host default via 192.0.2.1
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
for pair in "web 2" "app 3"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master docker0
    address $1 eth0 172.17.0.$2/16
    route $1 default via 172.17.0.1
done
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*raw
	-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
	-A PREROUTING -d 172.17.0.3/32 ! -i docker0 -j DROP
	COMMIT
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
	-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8000 -j DNAT --to-destination 172.17.0.3:8000
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	:DOCKER-BRIDGE - [0:0]
	:DOCKER-CT - [0:0]
	:DOCKER-FORWARD - [0:0]
	:DOCKER-USER - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-FORWARD
	-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
	-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8000 -j ACCEPT
	-A DOCKER ! -i docker0 -o docker0 -j DROP
	-A DOCKER-BRIDGE -o docker0 -j DOCKER
	-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A DOCKER-FORWARD -j DOCKER-CT
	-A DOCKER-FORWARD -j DOCKER-BRIDGE
	-A DOCKER-FORWARD -i docker0 -j ACCEPT
	COMMIT
	EOF
serve web tcp 80
serve web tcp 8000
serve app tcp 8000 127.0.0.1
