#!/bin/bash
. "${0%/*}/../words.sh"

netns web db world vpnpeer
wire host eth0 world w0
address host eth0 192.0.2.10/24
address world w0 192.0.2.1/24
route host default via 192.0.2.1
wire host vpn0 vpnpeer p0
address host vpn0 172.30.0.1/30
address vpnpeer p0 172.30.0.2/30
route host 10.77.0.0/16 via 172.30.0.2
ip link add br0 type bridge
ip link set br0 up
address host br0 10.0.3.1/24
for pair in "web 10" "db 11"; do
    set -- $pair
    wire host "v-$1" $1 eth0
    ip link set "v-$1" master br0
    address $1 eth0 10.0.3.$2/24
    route $1 default via 10.0.3.1
done
setting host net.ipv4.ip_forward=1
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
nft -f - <<-EOF
	table inet nat {
	    set own { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 172.16.0.0/12 }; }
	    chain postrouting {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip saddr @own counter accept comment "no translation for the VPN"
	        ip saddr 10.0.3.0/24 oifname "eth0" masquerade
	    }
	}
	table inet filter {
	    chain forward {
	        type filter hook forward priority filter; policy drop;
	        ct state established,related accept
	        iifname "br0" accept
	    }
	}
	EOF
serve world tcp 443
