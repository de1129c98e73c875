#!/bin/bash
. "${0%/*}/../words.sh"

netns pod1 pod2 world node2
# The uplink.
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1

wire host eth1 node2 eth1
address host eth1 10.6.0.1/24
address node2 eth1 10.6.0.2/24
setting host net.ipv4.ip_forward=1
pod() {
    wire host "$2" "$1" eth0
    setting host net.ipv4.conf.$2.proxy_arp=1 net.ipv4.neigh.$2.proxy_delay=0
    address "$1" eth0 "$3/32"
    route "$1" 169.254.1.1 dev eth0 scope link
    route "$1" default via 169.254.1.1 dev eth0
    route host "$3" dev "$2" scope link
}
pod pod1 cali1a2b3c 192.168.77.5
pod pod2 cali9f8e7d 10.14.0.9
# The overlay to another node.
ip link add vxlan.calico type vxlan id 4096 local 10.6.0.1 dstport 4789 nolearning
ip link set vxlan.calico up
address host vxlan.calico 192.168.77.0/32
route host 192.168.78.0/26 dev vxlan.calico scope link
ip route add blackhole 192.168.77.0/26
ip route add blackhole 10.14.0.0/26
ipset create cali40all-ipam-pools hash:net
ipset create cali40masq-ipam-pools hash:net
ipset add cali40all-ipam-pools 192.168.0.0/16
ipset add cali40all-ipam-pools 10.14.0.0/20
ipset add cali40masq-ipam-pools 192.168.0.0/16
iptables-nft -t nat -N cali-POSTROUTING
iptables-nft -t nat -N cali-nat-outgoing
iptables-nft -t nat -A POSTROUTING -j cali-POSTROUTING
iptables-nft -t nat -A cali-POSTROUTING -j cali-nat-outgoing
iptables-nft -t nat -A cali-POSTROUTING -o vxlan.calico -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL -j MASQUERADE
iptables-nft -t nat -A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE
for chain in cali-FORWARD cali-from-wl-dispatch cali-to-wl-dispatch cali-fw-cali9f8e7d; do iptables-nft -N $chain; done
iptables-nft -A FORWARD -j cali-FORWARD
iptables-nft -A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
iptables-nft -A cali-FORWARD -i cali+ -j cali-from-wl-dispatch
iptables-nft -A cali-FORWARD -o cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A cali-FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
iptables-nft -A cali-from-wl-dispatch -i cali9f8e7d -g cali-fw-cali9f8e7d
iptables-nft -A cali-fw-cali9f8e7d -m conntrack --ctstate INVALID -j DROP
iptables-nft -A cali-fw-cali9f8e7d -p udp --dport 4789 -j DROP
iptables-nft -A cali-fw-cali9f8e7d -j MARK --set-xmark 0x10000/0x10000
