#!/bin/bash
. "${0%/*}/../words.sh"

netns client web api
wire host eth0 client c0
address host eth0 192.168.1.57/24
address client c0 192.168.1.9/24
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
for pair in "web 2" "api 3"; do
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
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A DOCKER -i docker0 -j RETURN
	-A DOCKER ! -i docker0 -p tcp -m tcp --dport 9443 -j DNAT --to-destination 172.17.0.3:8443
	-A DOCKER -d 192.168.1.40/32 ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443
	-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 8444 -j DNAT --to-destination 172.17.0.2:443
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 -j ACCEPT
	-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 443 -j ACCEPT
	-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8443 -j ACCEPT
	COMMIT
	EOF
serve web tcp 443
serve api tcp 8443
