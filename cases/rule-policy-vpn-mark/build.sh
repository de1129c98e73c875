#!/bin/bash
. "${0%/*}/../words.sh"

netns inside world
wire host lan0 inside eth0
address host lan0 10.30.0.1/24
address inside eth0 10.30.0.7/24
route inside default via 10.30.0.1
wire host out0 world w0
address host out0 192.0.2.2/24
address world w0 192.0.2.1/24
address world lo 198.51.100.7/32
route host default via 192.0.2.1
setting host net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lan0.rp_filter=0
# The rules of a mesh VPN that was stopped hard: everything but its own packets looks into its table first.
ip rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
ip rule add priority 5230 fwmark 0x80000/0xff0000 lookup default
ip rule add priority 5250 fwmark 0x80000/0xff0000 unreachable
ip rule add priority 5270 from all lookup 52
ip route add unreachable default table 52
ip route add throw 10.30.0.0/24 table 52
ip route add throw 192.0.2.0/24 table 52
nft -f - <<-EOF
	table ip nat {
	    chain postrouting {
	        type nat hook postrouting priority srcnat; policy accept;
	        oifname "out0" masquerade
	    }
	}
	EOF
