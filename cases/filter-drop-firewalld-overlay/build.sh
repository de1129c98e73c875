#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b node-c pod-a pod-b pod-c
ip link add underlay type bridge
ip link set underlay up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
node() { # NODE NUMBER
    wire host "u-$1" $1 eth0
    ip link set "u-$1" master underlay
    address $1 eth0 192.168.7.1$2/24
    on $1 ip link add flannel.1 address 02:00:00:00:0$2:01 type vxlan id 1 local 192.168.7.1$2 dev eth0 dstport 8472 nolearning
    on $1 ip link set flannel.1 mtu 1450 up
    address $1 flannel.1 10.244.$2.0/32
    on $1 ip link add cni0 type bridge
    on $1 ip link set cni0 up
    address $1 cni0 10.244.$2.1/24
    setting $1 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    wire $1 veth0 "pod-${1#node-}" eth0
    on $1 ip link set veth0 master cni0
    address "pod-${1#node-}" eth0 10.244.$2.5/24
    on "pod-${1#node-}" ip link set eth0 mtu 1450
    route "pod-${1#node-}" default via 10.244.$2.1
}
node node-a 1; node node-b 2; node node-c 3
for one in a1 b2 c3; do
    for other in a1 b2 c3; do
        [ $one != $other ] || continue
        node=node-${one%?} n=${other#?}
        on $node ip route add 10.244.$n.0/24 via 10.244.$n.0 dev flannel.1 onlink
        on $node ip neigh add 10.244.$n.0 lladdr 02:00:00:00:0$n:01 dev flannel.1 nud permanent
        on $node bridge fdb add 02:00:00:00:0$n:01 dev flannel.1 dst 192.168.7.1$n
    done
done
# kube-proxy's and flannel's own rules, as on every node.
for node in node-a node-b node-c; do
    on $node iptables-nft-restore <<-EOF
	*filter
	:KUBE-FORWARD - [0:0]
	:KUBE-FIREWALL - [0:0]
	:FLANNEL-FWD - [0:0]
	-A INPUT -j KUBE-FIREWALL
	-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
	-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
	-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
	-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
	-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT
	-A FLANNEL-FWD -d 10.244.0.0/16 -j ACCEPT
	COMMIT
	EOF
done
firewalld() { # NODE ALLOWED
    on $1 nft -f - <<-EOF
	table inet firewalld {
	    chain filter_PREROUTING {
	        type filter hook prerouting priority filter + 10; policy accept;
	        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
	        meta nfproto ipv6 fib saddr . mark . iif oif missing drop
	    }
	    chain filter_INPUT {
	        type filter hook input priority filter + 10; policy accept;
	        ct state { established, related } accept
	        ct status dnat accept
	        iifname "lo" accept
	        ct state invalid drop
	        jump filter_INPUT_ZONES
	        reject with icmpx admin-prohibited
	    }
	    chain filter_FORWARD {
	        type filter hook forward priority filter + 10; policy accept;
	        ct state { established, related } accept
	        ct status dnat accept
	        iifname "lo" accept
	        ct state invalid drop
	        jump filter_FORWARD_ZONES
	        reject with icmpx admin-prohibited
	    }
	    chain filter_INPUT_ZONES {
	        ip saddr 10.244.0.0/16 goto filter_IN_trusted
	        iifname "cni0" goto filter_IN_trusted
	        goto filter_IN_public
	    }
	    chain filter_FORWARD_ZONES {
	        ip saddr 10.244.0.0/16 goto filter_IN_trusted
	        goto filter_FWD_public
	    }
	    chain filter_IN_trusted { accept; }
	    chain filter_FWD_public { reject with icmpx admin-prohibited; }
	    chain filter_IN_public {
	        jump filter_IN_public_deny
	        jump filter_IN_public_allow
	        meta l4proto { icmp, ipv6-icmp } accept
	    }
	    chain filter_IN_public_deny { }
	    chain filter_IN_public_allow {
	        tcp dport { 22, 10250 } ct state { new, untracked } accept
	        udp dport { $2 } ct state { new, untracked } accept
	        tcp dport 30000-32767 ct state { new, untracked } accept
	    }
	}
	EOF
}
firewalld node-a "8285, 8472"
firewalld node-b "8285"
firewalld node-c "8285, 8472"
