#!/bin/bash
. "${0%/*}/../words.sh"

netns client qrouter-7 vm-1 vm-2 qdhcp-7
# The external bridge.
ip link add br-ex type bridge
ip link set br-ex up
address host br-ex 203.0.113.1/24
wire host tap-q qrouter-7 qg-1f2e
ip link set tap-q master br-ex
wire host cl0 client eth0
address host cl0 198.51.100.1/24
address client eth0 198.51.100.9/24
route client default via 198.51.100.1
setting host net.ipv4.ip_forward=1
# The router with its gateway and internal ports.
address qrouter-7 qg-1f2e 203.0.113.5/24 203.0.113.20/32
route qrouter-7 default via 203.0.113.1
ip link add br-int type bridge
ip link set br-int up
n=0
for ns in qrouter-7 vm-1 vm-2 qdhcp-7; do
    dev=eth0; [ $ns != qrouter-7 ] || dev=qr-77aa
    wire host int$n $ns $dev
    ip link set int$n master br-int
    n=$((n + 1))
done
address qrouter-7 qr-77aa 10.0.0.1/24
address qdhcp-7 eth0 10.0.0.2/24
address vm-1 eth0 10.0.0.11/24
address vm-2 eth0 10.0.0.12/24
route vm-1 default via 10.0.0.1
route vm-2 default via 10.0.0.1
setting qrouter-7 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
# The agent's rules; the gateway port was made anew since, under another name.
on qrouter-7 iptables-nft-restore <<-EOF
	*nat
	:neutron-l3-agent-PREROUTING - [0:0]
	:neutron-l3-agent-OUTPUT - [0:0]
	:neutron-l3-agent-float-snat - [0:0]
	:neutron-l3-agent-snat - [0:0]
	:neutron-postrouting-bottom - [0:0]
	:neutron-l3-agent-POSTROUTING - [0:0]
	-A PREROUTING -j neutron-l3-agent-PREROUTING
	-A OUTPUT -j neutron-l3-agent-OUTPUT
	-A POSTROUTING -j neutron-l3-agent-POSTROUTING
	-A POSTROUTING -j neutron-postrouting-bottom
	-A neutron-l3-agent-PREROUTING -d 203.0.113.20/32 -i qg-0a1b -j DNAT --to-destination 10.0.0.11
	-A neutron-l3-agent-OUTPUT -d 203.0.113.20/32 -j DNAT --to-destination 10.0.0.11
	-A neutron-l3-agent-float-snat -s 10.0.0.11/32 -j SNAT --to-source 203.0.113.20
	-A neutron-l3-agent-snat -j neutron-l3-agent-float-snat
	-A neutron-l3-agent-snat -o qg-1f2e -j SNAT --to-source 203.0.113.5
	-A neutron-postrouting-bottom -j neutron-l3-agent-snat
	COMMIT
	*filter
	:neutron-l3-agent-FORWARD - [0:0]
	-A FORWARD -j neutron-l3-agent-FORWARD
	-A neutron-l3-agent-FORWARD -i qr-77aa -j ACCEPT
	COMMIT
	EOF
serve vm-1 tcp 22
serve vm-2 tcp 22
