#!/bin/bash
. "${0%/*}/../words.sh"

netns container web world lxc app
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

ip link add lxdbr0 type bridge
ip link set lxdbr0 up
address host lxdbr0 10.188.132.1/24
wire host veth77 lxc eth0
ip link set veth77 master lxdbr0
address lxc eth0 10.188.132.56/24
route lxc default via 10.188.132.1
iptables-nft -I DOCKER-USER -i lxdbr0 -j ACCEPT
iptables-nft -I DOCKER-USER -o lxdbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
nft 'table inet lxd {
  chain pstrt.lxdbr0 { type nat hook postrouting priority srcnat; policy accept; ip saddr 10.188.132.0/24 ip daddr != 10.188.132.0/24 masquerade; }
  chain fwd.lxdbr0 { type filter hook forward priority filter; policy accept; iifname lxdbr0 accept; oifname lxdbr0 accept; }
  chain in.lxdbr0 { type filter hook input priority filter; policy accept; iifname lxdbr0 udp dport 67 accept; }
}'
# Within: a Docker without rules.
on lxc ip link add docker0 type bridge
on lxc ip link set docker0 up
address lxc docker0 172.17.0.1/16
wire lxc veth0 app eth0
on lxc ip link set veth0 master docker0
address app eth0 172.17.0.2/16
route app default via 172.17.0.1
setting lxc net.ipv4.ip_forward=1
setting host net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.lxdbr0.rp_filter=2
on lxc nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy accept; }; }'
