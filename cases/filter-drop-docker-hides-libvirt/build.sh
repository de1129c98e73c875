#!/bin/bash
. "${0%/*}/../words.sh"

netns vm container world
# The uplink.
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
# libvirt's bridge, with a virtual machine behind it.
ip link add virbr0 type bridge
ip link set virbr0 up
address host virbr0 192.168.122.1/24
wire host vnet0 vm eth0
ip link set vnet0 master virbr0
address vm eth0 192.168.122.50/24
route vm default via 192.168.122.1
# Docker's bridge, with a container behind it.
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
wire host vethc1 container eth0
ip link set vethc1 master docker0
address container eth0 172.17.0.2/16
route container default via 172.17.0.1
setting host net.ipv4.ip_forward=1
# libvirt's rules.
iptables-nft -t nat -N LIBVIRT_PRT
iptables-nft -t nat -A POSTROUTING -j LIBVIRT_PRT
iptables-nft -t nat -A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
iptables-nft -t nat -A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
# Docker came later, and made the policy DROP.
iptables-nft -t nat -N DOCKER
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables-nft -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables-nft -N DOCKER
iptables-nft -N DOCKER-USER
iptables-nft -N DOCKER-ISOLATION-STAGE-1
iptables-nft -N DOCKER-ISOLATION-STAGE-2
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-ISOLATION-STAGE-1
iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A FORWARD -o docker0 -j DOCKER
iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
iptables-nft -A FORWARD -i docker0 -o docker0 -j ACCEPT
iptables-nft -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
iptables-nft -A DOCKER-ISOLATION-STAGE-1 -j RETURN
iptables-nft -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
iptables-nft -A DOCKER-ISOLATION-STAGE-2 -j RETURN
iptables-nft -A DOCKER-USER -j RETURN
iptables-nft -P FORWARD DROP
