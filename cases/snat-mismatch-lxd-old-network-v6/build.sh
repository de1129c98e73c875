#!/bin/bash
. "${0%/*}/../words.sh"

netns ct ct2 world other-tenant
wire host eth0 world w0
address host eth0 2001:db8:2::10/64 192.0.2.10/24
address world w0 2001:db8:2::1/64 192.0.2.1/24
address world lo 2001:db8:ffff::7/128
route host default via 2001:db8:2::1
route host default via 192.0.2.1
ip link add lxdbr0 type bridge
ip link set lxdbr0 up
address host lxdbr0 fd42:9:9:9::1/64 10.17.247.1/24
for pair in "ct 20" "ct2 21"; do
    set -- $pair
    wire host "veth$2" $1 eth0
    ip link set "veth$2" master lxdbr0
    address $1 eth0 fd42:9:9:9::$2/64 10.17.247.$2/24
    route $1 default via fd42:9:9:9::1
    route $1 default via 10.17.247.1
done
# Another tenant, who has the old prefix and a rule that does match.
ip link add incusbr0 type bridge
ip link set incusbr0 up
address host incusbr0 fd42:5:5:5::1/64
wire host veth30 other-tenant eth0
ip link set veth30 master incusbr0
address other-tenant eth0 fd42:5:5:5::20/64
route other-tenant default via fd42:5:5:5::1
setting host net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1
setting host net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
nft -f - <<-EOF
	table inet lxd {
	    chain pstrt.lxdbr0 {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip saddr 10.17.247.0/24 ip daddr != 10.17.247.0/24 masquerade
	        ip6 saddr fd42:1:1:1::/64 ip6 daddr != fd42:1:1:1::/64 masquerade
	    }
	    chain fwd.lxdbr0 {
	        type filter hook forward priority filter; policy accept;
	        ip version 4 oifname "lxdbr0" accept
	        ip version 4 iifname "lxdbr0" accept
	        ip6 version 6 oifname "lxdbr0" accept
	        ip6 version 6 iifname "lxdbr0" accept
	    }
	    chain in.lxdbr0 {
	        type filter hook input priority filter; policy accept;
	        iifname "lxdbr0" udp dport { 53, 67, 547 } accept
	        iifname "lxdbr0" icmpv6 type { 1, 2, 3, 4, nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept
	    }
	}
	table inet incus {
	    chain pstrt.incusbr0 {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip6 saddr fd42:5:5:5::/64 ip6 daddr != fd42:5:5:5::/64 masquerade
	    }
	}
	EOF
