#!/bin/bash
. "${0%/*}/../words.sh"

netns vm-a vm-b container world
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
for set in "virbr0 192.168.122 vm-a" "virbr1 192.168.100 vm-b"; do
    set -- $set
    ip link add $1 type bridge
    ip link set $1 up
    address host $1 $2.1/24
    wire host "v$3" $3 eth0
    ip link set "v$3" master $1
    address $3 eth0 $2.50/24
    route $3 default via $2.1
done
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16
wire host vethc container eth0
ip link set vethc master docker0
address container eth0 172.17.0.2/16
route container default via 172.17.0.1
setting host net.ipv4.ip_forward=1
iptables-legacy-restore <<-EOF
	*nat
	:LIBVIRT_PRT - [0:0]
	-A POSTROUTING -j LIBVIRT_PRT
	-A LIBVIRT_PRT -s 192.168.122.0/24 -d 224.0.0.0/24 -j RETURN
	-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
	-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
	-A LIBVIRT_PRT -s 192.168.100.0/24 ! -d 192.168.100.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
	-A LIBVIRT_PRT -s 192.168.100.0/24 ! -d 192.168.100.0/24 -j MASQUERADE
	COMMIT
	*filter
	:INPUT ACCEPT [0:0]
	:FORWARD ACCEPT [0:0]
	:OUTPUT ACCEPT [0:0]
	:LIBVIRT_FWI - [0:0]
	:LIBVIRT_FWO - [0:0]
	:LIBVIRT_FWX - [0:0]
	:LIBVIRT_INP - [0:0]
	-A INPUT -j LIBVIRT_INP
	-A FORWARD -j LIBVIRT_FWX
	-A FORWARD -j LIBVIRT_FWI
	-A FORWARD -j LIBVIRT_FWO
	-A LIBVIRT_FWI -d 192.168.100.0/24 -o virbr1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A LIBVIRT_FWI -o virbr1 -j REJECT --reject-with icmp-port-unreachable
	-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
	-A LIBVIRT_FWO -s 192.168.100.0/24 -i virbr1 -j ACCEPT
	-A LIBVIRT_FWO -i virbr1 -j REJECT --reject-with icmp-port-unreachable
	-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
	-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
	-A LIBVIRT_FWX -i virbr1 -o virbr1 -j ACCEPT
	-A LIBVIRT_FWX -i virbr0 -o virbr0 -j ACCEPT
	-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 53 -j ACCEPT
	-A LIBVIRT_INP -i virbr0 -p udp -m udp --dport 67 -j ACCEPT
	COMMIT
	EOF
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A DOCKER -i docker0 -j RETURN
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 -j ACCEPT
	-A DOCKER-USER -i virbr+ -j ACCEPT
	-A DOCKER-USER -o virbr+ -j ACCEPT
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
serve vm-a tcp 22
