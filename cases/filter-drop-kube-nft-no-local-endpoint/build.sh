#!/bin/bash
. "${0%/*}/../words.sh"

netns pod dns lb
wire host eth0 lb l0
address host eth0 192.168.7.11/24
address lb l0 192.168.7.1/24
address lb lo 10.88.1.2/32 10.88.1.3/32
route host default via 192.168.7.1
ip link add cbr0 type bridge
ip link set cbr0 up
address host cbr0 10.244.3.1/24
for pair in "pod 5" "dns 6"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master cbr0
    address $1 eth0 10.244.3.$2/24
    route $1 default via 10.244.3.1
done
setting host net.ipv4.ip_forward=1
nft -f - <<-EOF
	table ip kube-proxy {
	    comment "rules for kube-proxy"
	    set cluster-ips {
	        type ipv4_addr
	        elements = { 10.96.0.1, 10.96.0.10, 10.96.55.7 }
	    }
	    set nodeport-ips {
	        type ipv4_addr
	        elements = { 192.168.7.11 }
	    }
	    map no-endpoint-services {
	        type ipv4_addr . inet_proto . inet_service : verdict
	        comment "vmap to drop or reject packets to services with no endpoints"
	        elements = { 10.88.1.2 . tcp . 80 comment "sys-ingress-priv/internal-ingress-controller-v2:web" : drop,
	                     10.96.55.7 . tcp . 9090 comment "monitoring/prometheus:web" : goto reject-chain }
	    }
	    map no-endpoint-nodeports {
	        type inet_proto . inet_service : verdict
	        elements = { tcp . 30080 comment "sys-ingress-priv/internal-ingress-controller-v2:web" : drop }
	    }
	    map service-ips {
	        type ipv4_addr . inet_proto . inet_service : verdict
	        elements = { 10.96.0.10 . udp . 53 comment "kube-system/kube-dns:dns" : goto service-NWBZK7IH-kube-dns,
	                     10.96.55.7 . tcp . 80 comment "sys-ingress-priv/internal-ingress-controller-v2:web" : goto service-ULMVA6XW-ingress }
	    }
	    map firewall-ips {
	        type ipv4_addr . inet_proto . inet_service : verdict
	    }
	    chain filter-prerouting {
	        type filter hook prerouting priority dstnat - 10; policy accept;
	        ct state new jump firewall-check
	    }
	    chain filter-input {
	        type filter hook input priority -110; policy accept;
	        ct state new jump nodeport-endpoints-check
	        ct state new jump service-endpoints-check
	    }
	    chain filter-forward {
	        type filter hook forward priority -110; policy accept;
	        ct state new jump service-endpoints-check
	        ct state new jump cluster-ips-check
	    }
	    chain filter-output {
	        type filter hook output priority -110; policy accept;
	        ct state new jump service-endpoints-check
	        ct state new jump firewall-check
	    }
	    chain nat-prerouting {
	        type nat hook prerouting priority dstnat; policy accept;
	        jump services
	    }
	    chain nat-output {
	        type nat hook output priority -100; policy accept;
	        jump services
	    }
	    chain nat-postrouting {
	        type nat hook postrouting priority srcnat; policy accept;
	        jump masquerading
	        ip saddr 10.244.0.0/16 ip daddr != 10.0.0.0/8 masquerade
	        oifname "eth0" ip saddr 10.244.3.0/24 masquerade
	    }
	    chain cluster-ips-check { ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"; }
	    chain firewall-check { ip daddr . meta l4proto . th dport vmap @firewall-ips; }
	    chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
	    chain nodeport-endpoints-check { ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports; }
	    chain reject-chain { reject; }
	    chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
	    chain mark-for-masquerade { meta mark set meta mark | 0x00004000; }
	    chain masquerading {
	        meta mark & 0x00004000 == 0x00000000 return
	        meta mark set meta mark ^ 0x00004000
	        masquerade fully-random
	    }
	    chain service-NWBZK7IH-kube-dns {
	        ip daddr 10.96.0.10 udp dport 53 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
	        meta l4proto udp dnat to 10.244.3.6:53
	    }
	    chain service-ULMVA6XW-ingress { numgen random mod 1 vmap { 0 : goto endpoint-ingress-a }; }
	    chain endpoint-ingress-a { meta l4proto tcp dnat to 10.244.9.9:8080; }
	}
	EOF
serve lb tcp 80
serve dns udp 53
