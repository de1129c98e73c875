#!/bin/bash
. "${0%/*}/../words.sh"

netns container container2 world lan
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
address world lo 198.51.100.7/32
route host default via 192.0.2.1
wire host eth1 lan l0
address host eth1 192.168.1.1/24
address lan l0 192.168.1.9/24
for set in "container ve-db 192.168.175.241 192.168.175.253" "container2 ve-web 192.168.175.225 192.168.175.238"; do
    set -- $set
    wire host $2 $1 host0
    address host $2 $3/28
    address $1 host0 $4/28
    route $1 default via $3
    setting host net.ipv4.conf.$2.forwarding=1 net.ipv6.conf.$2.forwarding=1
done
setting host net.ipv4.conf.eth1.forwarding=1 net.ipv4.conf.all.rp_filter=2
nft -f - <<-EOF
	table ip io.systemd.nat {
	    set masq_saddr {
	        type ipv4_addr
	        flags interval
	        elements = { 192.168.175.224/28, 192.168.175.240/28 }
	    }
	    map map_port_ipport {
	        type inet_proto . inet_service : ipv4_addr . inet_service
	        elements = { tcp . 2222 : 192.168.175.253 . 22 }
	    }
	    chain prerouting {
	        type nat hook prerouting priority dstnat + 1; policy accept;
	        fib daddr type local dnat ip to meta l4proto . th dport map @map_port_ipport
	    }
	    chain output {
	        type nat hook output priority -99; policy accept;
	        ip daddr != 127.0.0.0/8 oif != "lo" fib daddr type local dnat ip to meta l4proto . th dport map @map_port_ipport
	    }
	    chain postrouting {
	        type nat hook postrouting priority srcnat + 1; policy accept;
	        ip saddr @masq_saddr masquerade
	    }
	}
	EOF
serve world tcp 443
