#!/bin/bash
. "${0%/*}/../words.sh"

netns client isp router nas tv
wire isp s0 client c0
address isp s0 2001:db8:ff::1/64
address client c0 2001:db8:ff::9/64
route client default via 2001:db8:ff::1
wire router wan isp d0
on router ip -6 addr add fe80::2/64 dev wan
on isp ip -6 addr add fe80::1/64 dev d0
on router ip -6 route add default via fe80::1 dev wan
for prefix in aa bb; do on isp ip -6 route add 2001:db8:$prefix::/56 via fe80::2 dev d0; done
on router ip link add br-lan type bridge
on router ip link set br-lan up
setting router net.bridge.bridge-nf-call-ip6tables=0 2>/dev/null || true
address router br-lan 2001:db8:bb:1::1/64 fd00:4:4:1::1/64 192.168.1.1/24
on router ip -6 addr add 2001:db8:aa:1::1/64 dev br-lan preferred_lft 0
on router ip link add br-guest type bridge
on router ip link set br-guest up
for pair in "nas 10" "tv 20"; do
    set -- $pair
    wire router "lan-$1" $1 eth0
    on router ip link set "lan-$1" master br-lan
    address $1 eth0 2001:db8:bb:1::$2/64 fd00:4:4:1::$2/64
    route $1 default via 2001:db8:bb:1::1
done
for one in isp router; do setting $one net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=1; done
on router nft -f - <<-EOF
	table inet fw4 {
	    chain input {
	        type filter hook input priority filter; policy drop;
	        iif "lo" accept
	        ct state vmap { established : accept, related : accept }
	        iifname "br-lan" jump input_lan
	        iifname "wan" jump input_wan
	        jump handle_reject
	    }
	    chain forward {
	        type filter hook forward priority filter; policy drop;
	        ct state vmap { established : accept, related : accept } comment "!fw4: Handle forwarded flows"
	        iifname "br-lan" jump forward_lan comment "!fw4: Handle lan IPv4/IPv6 forward traffic"
	        iifname "wan" jump forward_wan comment "!fw4: Handle wan IPv4/IPv6 forward traffic"
	        iifname "br-guest" jump forward_guest
	        jump handle_reject
	    }
	    chain handle_reject {
	        meta l4proto tcp reject with tcp reset comment "!fw4: Reject TCP traffic"
	        reject with icmpx port-unreachable comment "!fw4: Reject any other traffic"
	    }
	    chain input_lan { jump accept_from_lan; }
	    chain input_wan {
	        icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, echo-request, echo-reply, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } limit rate 1000/second accept
	        udp dport 546 counter accept
	        jump reject_from_wan
	    }
	    chain forward_lan {
	        jump accept_to_wan
	        jump accept_to_lan
	    }
	    chain forward_guest { jump accept_to_wan; }
	    chain forward_wan {
	        icmpv6 type { destination-unreachable, time-exceeded, echo-request, echo-reply } limit rate 1000/second counter accept comment "!fw4: Allow-ICMPv6-Forward"
	        icmpv6 type . icmpv6 code { packet-too-big . 0, parameter-problem . 0, parameter-problem . 1 } limit rate 1000/second counter accept
	        meta l4proto esp counter jump accept_to_lan comment "!fw4: Allow-IPSec-ESP"
	        udp dport 500 counter jump accept_to_lan comment "!fw4: Allow-ISAKMP"
	        ip6 daddr 2001:db8:aa:1::10 tcp dport 443 counter jump accept_to_lan comment "!fw4: Allow-NAS-HTTPS"
	        jump reject_to_wan
	    }
	    chain accept_from_lan { iifname "br-lan" counter accept; }
	    chain accept_to_lan { oifname "br-lan" counter accept; }
	    chain accept_to_wan {
	        meta nfproto ipv4 oifname "wan" ct state invalid counter drop comment "!fw4: Prevent NAT leakage"
	        oifname "wan" counter accept
	    }
	    chain reject_from_wan { iifname "wan" counter jump handle_reject; }
	    chain reject_to_wan { oifname "wan" counter jump handle_reject; }
	    chain srcnat {
	        type nat hook postrouting priority srcnat; policy accept;
	        oifname "wan" jump srcnat_wan
	    }
	    chain srcnat_wan { meta nfproto ipv4 masquerade; }
	}
	EOF
serve nas tcp 443
serve tv tcp 443
