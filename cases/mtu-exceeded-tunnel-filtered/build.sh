#!/bin/bash
. "${0%/*}/../words.sh"

netns inside transit branch far
wire host lan0 inside eth0
address host lan0 10.8.0.1/24
address inside eth0 10.8.0.5/24
route inside default via 10.8.0.1
wire host out0 transit t0
wire branch out0 transit t1
address host out0 192.0.2.2/30
address transit t0 192.0.2.1/30
address branch out0 198.51.100.2/30
address transit t1 198.51.100.1/30
route host default via 192.0.2.1
route branch default via 198.51.100.1
for router in host transit branch; do setting $router net.ipv4.ip_forward=1; done
# A tunnel between two sites.
ip link add site1 type vxlan id 7 local 192.0.2.2 remote 198.51.100.2 dstport 4789 ttl 64
ip link set site1 mtu 1376 up
on branch ip link add site1 type vxlan id 7 local 198.51.100.2 remote 192.0.2.2 dstport 4789 ttl 64
on branch ip link set site1 mtu 1376 up
address host site1 172.31.0.1/30
address branch site1 172.31.0.2/30
route host 10.9.0.0/24 via 172.31.0.2
route branch 10.8.0.0/24 via 172.31.0.1
wire branch lan0 far eth0
address branch lan0 10.9.0.1/24
address far eth0 10.9.0.7/24
route far default via 10.9.0.1
# Somebody thought that ICMP is dangerous.
nft -f - <<-EOF
	table inet fw {
	    chain output {
	        type filter hook output priority filter; policy accept;
	        meta l4proto icmp icmp type { echo-request, echo-reply } accept
	        meta l4proto icmp drop
	    }
	}
	EOF
serve far tcp 80
