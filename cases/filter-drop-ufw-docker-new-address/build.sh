#!/bin/bash
. "${0%/*}/../words.sh"

netns client web db
wire host eth0 client c0
address host eth0 203.0.113.10/24
address client c0 203.0.113.1/24
route host default via 203.0.113.1
ip link add br-9c1d41a7 type bridge
ip link set br-9c1d41a7 up
address host br-9c1d41a7 172.18.0.1/16
for pair in "web 7" "db 5"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master br-9c1d41a7
    address $1 eth0 172.18.0.$2/16
    route $1 default via 172.18.0.1
done
setting host net.ipv4.ip_forward=1
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.18.0.0/16 ! -o br-9c1d41a7 -j MASQUERADE
	-A DOCKER -i br-9c1d41a7 -j RETURN
	-A DOCKER ! -i br-9c1d41a7 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.7:80
	COMMIT
	*filter
	:INPUT DROP [0:0]
	:FORWARD DROP [0:0]
	:OUTPUT ACCEPT [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	:DOCKER-ISOLATION-STAGE-1 - [0:0]
	:DOCKER-ISOLATION-STAGE-2 - [0:0]
	:ufw-before-input - [0:0]
	:ufw-user-input - [0:0]
	:ufw-before-forward - [0:0]
	:ufw-user-forward - [0:0]
	:ufw-reject-forward - [0:0]
	:ufw-not-local - [0:0]
	:ufw-docker-logging-deny - [0:0]
	-A INPUT -j ufw-before-input
	-A INPUT -j ufw-user-input
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-ISOLATION-STAGE-1
	-A FORWARD -o br-9c1d41a7 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o br-9c1d41a7 -j DOCKER
	-A FORWARD -i br-9c1d41a7 ! -o br-9c1d41a7 -j ACCEPT
	-A FORWARD -i br-9c1d41a7 -o br-9c1d41a7 -j ACCEPT
	-A FORWARD -j ufw-before-forward
	-A FORWARD -j ufw-reject-forward
	-A DOCKER -d 172.18.0.7/32 ! -i br-9c1d41a7 -o br-9c1d41a7 -p tcp -m tcp --dport 80 -j ACCEPT
	-A DOCKER-ISOLATION-STAGE-1 -i br-9c1d41a7 ! -o br-9c1d41a7 -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-1 -j RETURN
	-A DOCKER-ISOLATION-STAGE-2 -o br-9c1d41a7 -j DROP
	-A DOCKER-ISOLATION-STAGE-2 -j RETURN
	-A DOCKER-USER -j ufw-user-forward
	-A DOCKER-USER -s 10.0.0.0/8 -j RETURN
	-A DOCKER-USER -s 172.16.0.0/12 -j RETURN
	-A DOCKER-USER -s 192.168.0.0/16 -j RETURN
	-A DOCKER-USER -p udp -m udp --sport 53 --dport 1024:65535 -j RETURN
	-A DOCKER-USER -d 192.168.0.0/16 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny
	-A DOCKER-USER -d 10.0.0.0/8 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny
	-A DOCKER-USER -d 172.16.0.0/12 -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ufw-docker-logging-deny
	-A DOCKER-USER -d 172.16.0.0/12 -p udp -m udp --dport 0:32767 -j ufw-docker-logging-deny
	-A DOCKER-USER -j RETURN
	-A ufw-docker-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW DOCKER BLOCK] "
	-A ufw-docker-logging-deny -j DROP
	-A ufw-before-input -i lo -j ACCEPT
	-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
	-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
	-A ufw-before-input -j ufw-not-local
	-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
	-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j DROP
	-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
	-A ufw-user-input -p tcp -m tcp --dport 8080 -j ACCEPT
	-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
	-A ufw-before-forward -j ufw-user-forward
	-A ufw-user-forward -d 172.18.0.5/32 -p tcp -m tcp --dport 80 -j ACCEPT
	-A ufw-reject-forward -j REJECT --reject-with icmp-port-unreachable
	COMMIT
	EOF
serve web tcp 80
serve db tcp 80
