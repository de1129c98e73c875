#!/bin/bash
. "${0%/*}/../words.sh"

netns container web world tailnet
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
# The tunnel of Tailscale, with its rules and its chains.
wire host tailscale0 tailnet ts0
address host tailscale0 100.64.0.1/10
address tailnet ts0 100.64.0.2/10
ip rule add fwmark 0x80000/0xff0000 lookup main priority 5210
ip rule add fwmark 0x80000/0xff0000 lookup default priority 5230
ip rule add fwmark 0x80000/0xff0000 unreachable priority 5250
ip rule add lookup 52 priority 5270
for chain in ts-input ts-forward; do iptables-nft -N $chain; done
iptables-nft -I INPUT -j ts-input
iptables-nft -I FORWARD -j ts-forward
iptables-nft -A ts-input -i tailscale0 -j ACCEPT
iptables-nft -A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000
iptables-nft -A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT
iptables-nft -A ts-forward -s 100.64.0.0/10 -o tailscale0 -j DROP
iptables-nft -A ts-forward -o tailscale0 -j ACCEPT
iptables-nft -t nat -N ts-postrouting
iptables-nft -t nat -A POSTROUTING -j ts-postrouting
iptables-nft -t nat -A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE

# The exit node: everything goes by it.
ip route add default via 100.64.0.2 dev tailscale0 table 52
address tailnet lo 203.0.113.9/32
