#!/bin/bash
. "${0%/*}/../words.sh"

netns container web world
# The uplink.
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
# Docker's bridges: the usual one, and one of a compose project.
bridge_of() { ip link add "$1" type bridge; ip link set "$1" up; address host "$1" "$2"; }
bridge_of docker0 172.17.0.1/16
bridge_of br-7f2c91d04e11 172.18.0.1/16
wire host veth1a2 container eth0
ip link set veth1a2 master docker0
address container eth0 172.17.0.2/16
route container default via 172.17.0.1
wire host veth9c4 web eth0
ip link set veth9c4 master br-7f2c91d04e11
address web eth0 172.18.0.2/16
route web default via 172.18.0.1
setting host net.ipv4.ip_forward=1
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables-nft -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o br-7f2c91d04e11 -j MASQUERADE
for chain in DOCKER DOCKER-USER DOCKER-FORWARD DOCKER-CT DOCKER-BRIDGE; do iptables-nft -N $chain; done
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-FORWARD
iptables-nft -A DOCKER-FORWARD -j DOCKER-CT
iptables-nft -A DOCKER-FORWARD -j DOCKER-BRIDGE
for bridge in docker0 br-7f2c91d04e11; do
    iptables-nft -A DOCKER-CT -o $bridge -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables-nft -A DOCKER-BRIDGE -o $bridge -j DOCKER
    iptables-nft -A DOCKER-FORWARD -i $bridge -j ACCEPT
    iptables-nft -A DOCKER ! -i $bridge -o $bridge -j DROP
done
iptables-nft -P FORWARD DROP

iptables-nft -t nat -A DOCKER ! -i br-7f2c91d04e11 -p udp --dport 53 -j DNAT --to-destination 172.18.0.2:53
iptables-nft -t nat -A DOCKER ! -i br-7f2c91d04e11 -p tcp --dport 53 -j DNAT --to-destination 172.18.0.2:53
iptables-nft -I DOCKER -d 172.18.0.2/32 ! -i br-7f2c91d04e11 -o br-7f2c91d04e11 -p udp --dport 53 -j ACCEPT
iptables-nft -I DOCKER -d 172.18.0.2/32 ! -i br-7f2c91d04e11 -o br-7f2c91d04e11 -p tcp --dport 53 -j ACCEPT
# The cache of the node, whose own address is meant to be untracked.
address host lo 169.254.20.10/32
iptables-nft -t raw -A PREROUTING -d 169.254.20.10/32 -p udp --dport 53 -j CT --notrack
iptables-nft -t raw -A OUTPUT -s 169.254.20.10/32 -p udp --sport 53 -j CT --notrack
# Somebody's script against floods.
iptables-nft -t raw -N ANTIFLOOD
iptables-nft -t raw -A PREROUTING -i eth0 -j ANTIFLOOD
iptables-nft -t raw -A ANTIFLOOD -p udp --dport 123 -j CT --notrack
iptables-nft -t raw -A ANTIFLOOD -p udp --dport 53 -j CT --notrack
iptables-nft -t raw -A ANTIFLOOD -p tcp --tcp-flags SYN,RST SYN,RST -j DROP
serve web udp 53
