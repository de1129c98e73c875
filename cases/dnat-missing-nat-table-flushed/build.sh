#!/bin/bash
. "${0%/*}/../words.sh"

netns client web metrics
wire host eth0 client c0
address host eth0 192.0.2.10/24
address client c0 192.0.2.1/24
route host default via 192.0.2.1
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
for pair in "web 2" "metrics 3"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master docker0
    address $1 eth0 172.17.0.$2/16
    route $1 default via 172.17.0.1
done
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A POSTROUTING -o eth0 -j MASQUERADE
	COMMIT
	*filter
	:INPUT DROP [0:0]
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	:DOCKER-ISOLATION-STAGE-1 - [0:0]
	-A INPUT -i lo -j ACCEPT
	-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A INPUT -p icmp -j ACCEPT
	-A INPUT -p tcp -m multiport --dports 22,80,443,8080,9100 -j ACCEPT
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-ISOLATION-STAGE-1
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 -j ACCEPT
	-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8080 -j ACCEPT
	-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 9100 -j ACCEPT
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
serve web tcp 8080
serve metrics tcp 9100
