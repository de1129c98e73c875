#!/bin/bash
. "${0%/*}/../words.sh"

netns inside world t1 t2 t3
wire host lan0 inside eth0
address host lan0 10.40.0.1/24
address inside eth0 10.40.0.7/24
route inside default via 10.40.0.1
wire host out0 world w0
address host out0 192.0.2.2/24
address world w0 192.0.2.1/24
address world lo 198.51.100.7/32
route host default via 192.0.2.1
setting host net.ipv4.ip_forward=1
# Other tenants with the same addresses, some of them broken.
for t in t1 t2 t3; do
    wire host "x$t" $t eth0
    address $t eth0 10.40.0.7/24
    ip link set "x$t" down
    on $t ip route add blackhole 198.51.100.0/24
done
ip route add blackhole 198.51.100.128/25
ip route add unreachable 203.0.113.0/24
ip rule add from 10.99.0.0/16 priority 50 prohibit
ip rule add iif out0 to 10.41.0.0/16 priority 51 blackhole
setting host net.ipv4.conf.xt1.forwarding=0 net.ipv4.conf.xt2.rp_filter=1
iptables-legacy -P FORWARD ACCEPT
iptables-legacy -A FORWARD -s 10.99.0.0/16 -j DROP
iptables-nft -N DOCKER-USER
iptables-nft -A FORWARD -j DOCKER-USER
iptables-nft -A DOCKER-USER -i xt1 -j DROP
iptables-nft -A DOCKER-USER -p tcp --dport 25 -j REJECT
nft -f - <<-EOF
	table inet guard {
	    set bad { type ipv4_addr; flags interval; elements = { 198.51.100.8/29, 203.0.113.0/24 }; }
	    chain forward {
	        type filter hook forward priority -5; policy drop;
	        ip daddr @bad drop
	        ct state invalid drop
	        ct state established,related accept
	        iifname "lan0" tcp dport { 80, 443 } accept
	        reject
	    }
	    chain early { type filter hook prerouting priority raw; policy accept; ip saddr 10.40.0.8 drop; }
	}
	table ip nat {
	    chain postrouting {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip saddr 10.99.0.0/16 snat to 192.0.2.77
	        oifname "out0" masquerade
	    }
	}
	EOF
serve world tcp 443
