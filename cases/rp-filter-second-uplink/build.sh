#!/bin/bash
. "${0%/*}/../words.sh"

netns inside isp0 isp1 internet idle
wire host lan0 inside eth0
address host lan0 10.20.0.1/24
address inside eth0 10.20.0.9/24
route inside default via 10.20.0.1
wire host out0 isp0 c0
address host out0 203.0.113.2/29
address isp0 c0 203.0.113.1/29
wire host out1 isp1 c0
address host out1 192.0.2.2/29
address isp1 c0 192.0.2.1/29
wire isp0 u0 internet i0
address isp0 u0 100.64.0.1/30
address internet i0 100.64.0.2/30
wire isp1 u0 internet i1
address isp1 u0 100.64.1.1/30
address internet i1 100.64.1.2/30
address internet lo 198.51.100.7/32
for router in host isp0 isp1 internet; do setting $router net.ipv4.ip_forward=1; done
route isp0 default via 100.64.0.2
route isp1 default via 100.64.1.2
# Provider independent addresses: the internet answers by the second provider.
route internet 10.20.0.0/24 via 100.64.1.1
route isp1 10.20.0.0/24 via 192.0.2.2
route isp0 10.20.0.0/24 via 203.0.113.2
setting internet net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.i0.rp_filter=0 net.ipv4.conf.i1.rp_filter=0
for isp in isp0 isp1; do setting $isp net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.u0.rp_filter=0 net.ipv4.conf.c0.rp_filter=0; done
# The gateway sends by the first, and has a table for each.
route host default via 203.0.113.1
ip route add default via 203.0.113.1 table 100
ip route add default via 192.0.2.1 table 101
ip rule add from 203.0.113.2 lookup 100 priority 100
ip rule add from 192.0.2.2 lookup 101 priority 101
setting host net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.out0.rp_filter=1 net.ipv4.conf.out1.rp_filter=1
# A firewall that looks frightening and lets this pass.
nft -f - <<-EOF
	table inet fw {
	    chain forward {
	        type filter hook forward priority filter; policy drop;
	        ct state established,related accept
	        ct state invalid drop
	        iifname "lan0" oifname { "out0", "out1" } accept
	    }
	    chain input {
	        type filter hook input priority filter; policy drop;
	        iifname { "lo", "lan0" } accept
	        ct state established,related accept
	    }
	}
	EOF
serve internet tcp 443
