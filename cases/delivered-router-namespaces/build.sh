#!/bin/bash
. "${0%/*}/../words.sh"

netns ext internet qrouter-7 fip-3 snat-7 qrouter-8 vm-1 vm-2 vm-8
ip link add br-ex type bridge
ip link set br-ex up
ip link add br-int type bridge
ip link set br-int up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
port() { # BRIDGE NETNS DEV
    wire host "p-$2-${3%%-*}" $2 $3
    ip link set "p-$2-${3%%-*}" master $1
}
port br-ex ext e0
address ext e0 203.0.113.1/24
wire ext e1 internet i0
address ext e1 192.0.2.1/30
address internet i0 192.0.2.2/30
address internet lo 198.51.100.7/32
route ext 198.51.100.0/24 via 192.0.2.2
route internet default via 192.0.2.1
on internet ip route add blackhole 10.0.0.0/8
port br-ex fip-3 fg-1
port br-ex snat-7 qg-1
port br-ex qrouter-8 qg-8
address fip-3 fg-1 203.0.113.30/24
address snat-7 qg-1 203.0.113.5/24
address qrouter-8 qg-8 203.0.113.6/24
for one in fip-3 snat-7 qrouter-8; do route $one default via 203.0.113.1; done
wire qrouter-7 rfp-1 fip-3 fpr-1
address qrouter-7 rfp-1 169.254.106.114/31
address fip-3 fpr-1 169.254.106.115/31
route fip-3 203.0.113.20/32 via 169.254.106.114
setting fip-3 net.ipv4.conf.fg-1.proxy_arp=1 net.ipv4.neigh.fg-1.proxy_delay=0
port br-int qrouter-7 qr-1
port br-int snat-7 sg-1
address qrouter-7 qr-1 10.0.0.1/24
address snat-7 sg-1 10.0.0.9/24
for pair in "vm-1 11" "vm-2 12"; do
    set -- $pair
    port br-int $1 eth0
    address $1 eth0 10.0.0.$2/24
    route $1 default via 10.0.0.1
done
wire qrouter-8 qr-8 vm-8 eth0
address qrouter-8 qr-8 10.0.0.1/24
address vm-8 eth0 10.0.0.11/24
route vm-8 default via 10.0.0.1
on qrouter-8 iptables-nft -P FORWARD DROP
on qrouter-7 ip rule add from 10.0.0.11 lookup 16 priority 57481
on qrouter-7 ip route add default via 169.254.106.115 dev rfp-1 table 16
on qrouter-7 ip rule add from 10.0.0.0/24 lookup 167772161 priority 167772161
on qrouter-7 ip route add unreachable default table 167772161
for one in ext qrouter-7 fip-3 snat-7 qrouter-8; do setting $one net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.send_redirects=0; done
on qrouter-7 iptables-nft-restore <<-EOF
	*nat
	:neutron-l3-agent-PREROUTING - [0:0]
	:neutron-l3-agent-POSTROUTING - [0:0]
	:neutron-l3-agent-float-snat - [0:0]
	:neutron-l3-agent-snat - [0:0]
	-A PREROUTING -j neutron-l3-agent-PREROUTING
	-A POSTROUTING -j neutron-l3-agent-POSTROUTING
	-A POSTROUTING -j neutron-l3-agent-snat
	-A neutron-l3-agent-POSTROUTING ! -o rfp-1 -m conntrack ! --ctstate DNAT -j ACCEPT
	-A neutron-l3-agent-PREROUTING -d 203.0.113.20/32 -i rfp-1 -j DNAT --to-destination 10.0.0.11
	-A neutron-l3-agent-snat -j neutron-l3-agent-float-snat
	-A neutron-l3-agent-float-snat -s 10.0.0.11/32 -j SNAT --to-source 203.0.113.20
	COMMIT
	*filter
	:neutron-l3-agent-FORWARD - [0:0]
	:neutron-l3-agent-scope - [0:0]
	-A FORWARD -j neutron-l3-agent-FORWARD
	-A neutron-l3-agent-FORWARD -j neutron-l3-agent-scope
	-A neutron-l3-agent-scope -o qr-1 -m mark ! --mark 0x4000000/0xffff0000 -m conntrack --ctstate NEW -j DROP
	COMMIT
	EOF
serve internet tcp 443
