#!/bin/bash
. "${0%/*}/../words.sh"

netns app web world
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
for set in "podman1 10.89.0 app 9" "podman2 10.89.1 web 5"; do
    set -- $set
    ip link add $1 type bridge
    ip link set $1 up
    address host $1 $2.1/24
    wire host "v-$3" $3 eth0
    ip link set "v-$3" master $1
    address $3 eth0 $2.$4/24
    route $3 default via $2.1
done
setting host net.ipv4.ip_forward=1
nft -f - <<-EOF
	table inet netavark {
	    chain INPUT {
	        type filter hook input priority filter; policy accept;
	        ip saddr 10.89.0.0/24 meta l4proto { tcp, udp } th dport 53 accept
	        ip saddr 10.89.1.0/24 meta l4proto { tcp, udp } th dport 53 accept
	    }
	    chain FORWARD {
	        type filter hook forward priority filter; policy accept;
	        ct state invalid drop
	        jump NETAVARK-ISOLATION-1
	        ip daddr 10.89.0.0/24 ct state established,related accept
	        ip saddr 10.89.0.0/24 accept
	        ip daddr 10.89.1.0/24 ct state established,related accept
	        ip saddr 10.89.1.0/24 accept
	    }
	    chain POSTROUTING {
	        type nat hook postrouting priority srcnat; policy accept;
	        meta mark & 0x00002000 == 0x00002000 masquerade
	        ip saddr 10.89.0.0/24 jump nv_2f259bab_10_89_0_0_nm24
	        ip saddr 10.89.1.0/24 jump nv_53ce4390_10_89_1_0_nm24
	    }
	    chain PREROUTING {
	        type nat hook prerouting priority dstnat; policy accept;
	        fib daddr type local jump NETAVARK-HOSTPORT-DNAT
	    }
	    chain OUTPUT {
	        type nat hook output priority -100; policy accept;
	        fib daddr type local jump NETAVARK-HOSTPORT-DNAT
	    }
	    chain NETAVARK-HOSTPORT-DNAT {
	        tcp dport 8080 jump nv_53ce4390_10_89_1_0_nm24_dnat
	    }
	    chain NETAVARK-HOSTPORT-SETMARK { meta mark set meta mark | 0x00002000; }
	    chain NETAVARK-ISOLATION-1 {
	        iifname "podman1" oifname != "podman1" jump NETAVARK-ISOLATION-2
	        iifname "podman2" oifname != "podman2" jump NETAVARK-ISOLATION-2
	    }
	    chain NETAVARK-ISOLATION-2 {
	        oifname "podman1" drop
	        oifname "podman2" drop
	    }
	    chain NETAVARK-ISOLATION-3 { jump NETAVARK-ISOLATION-2; }
	    chain nv_2f259bab_10_89_0_0_nm24 {
	        ip daddr 10.89.0.0/24 accept
	        ip daddr != 224.0.0.0/4 masquerade
	    }
	    chain nv_53ce4390_10_89_1_0_nm24 {
	        ip daddr 10.89.1.0/24 accept
	        ip daddr != 224.0.0.0/4 masquerade
	    }
	    chain nv_53ce4390_10_89_1_0_nm24_dnat {
	        ip saddr 10.89.1.0/24 tcp dport 8080 jump NETAVARK-HOSTPORT-SETMARK
	        ip saddr 127.0.0.1 tcp dport 8080 jump NETAVARK-HOSTPORT-SETMARK
	        tcp dport 8080 dnat ip to 10.89.1.5:80
	    }
	}
	EOF
serve web tcp 80
