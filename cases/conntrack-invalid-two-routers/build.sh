#!/bin/bash
. "${0%/*}/../words.sh"

# Two routers on one LAN: the request goes by the plain one, the answer by the firewall.
netns inside plain fw db other
ip link add lan type bridge
ip link set lan up
ip link add dmz type bridge
ip link set dmz up
for pair in "inside eth0 lan" "plain l0 lan" "fw l0 lan" "plain d0 dmz" "fw d0 dmz" "db eth0 dmz" "other eth0 lan"; do
    set -- $pair
    wire host "$1-$2" $1 $2
    ip link set "$1-$2" master $3
done
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
address inside eth0 10.50.0.8/24
address other eth0 10.50.0.9/24
address plain l0 10.50.0.2/24
address fw l0 10.50.0.1/24
address plain d0 10.60.0.2/24
address fw d0 10.60.0.1/24
address db eth0 10.60.0.8/24
for router in plain fw; do
    setting $router net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.l0.send_redirects=0 net.ipv4.conf.all.send_redirects=0
done
route inside default via 10.50.0.1
route inside 10.60.0.0/24 via 10.50.0.2
route other default via 10.50.0.1
route db default via 10.60.0.1
on fw nft -f - <<-EOF
	table inet fw {
	    set allowed { type inet_service; elements = { 22, 443, 5432 }; }
	    chain forward {
	        type filter hook forward priority filter; policy accept;
	        ct state established,related accept
	        ct state invalid counter drop
	        tcp dport @allowed accept
	    }
	}
	EOF
serve db tcp 5432
