#!/bin/bash
. "${0%/*}/../words.sh"

netns ext internet qrouter-a qrouter-b vm-1 vm-9
ip link add br-ex type bridge
ip link set br-ex up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
wire host x0 ext e0
ip link set x0 master br-ex
address ext e0 203.0.113.1/24
wire ext e1 internet i0
address ext e1 192.0.2.1/30
address internet i0 192.0.2.2/30
address internet lo 198.51.100.7/32
route ext 198.51.100.0/24 via 192.0.2.2
route internet default via 192.0.2.1
setting ext net.ipv4.ip_forward=1
router() { # NAME GATEWAY-PORT ADDRESS INNER-PORT VM SNAT
    wire host "tap-${1#qrouter-}" $1 $2
    ip link set "tap-${1#qrouter-}" master br-ex
    address $1 $2 $3/24
    route $1 default via 203.0.113.1
    wire $1 $4 $5 eth0
    address $1 $4 10.0.0.1/24
    address $5 eth0 10.0.0.11/24
    route $5 default via 10.0.0.1
    setting $1 net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    on $1 iptables-nft-restore <<-EOF
	*nat
	:neutron-l3-agent-PREROUTING - [0:0]
	:neutron-l3-agent-POSTROUTING - [0:0]
	:neutron-l3-agent-float-snat - [0:0]
	:neutron-l3-agent-snat - [0:0]
	:neutron-postrouting-bottom - [0:0]
	-A PREROUTING -j neutron-l3-agent-PREROUTING
	-A POSTROUTING -j neutron-l3-agent-POSTROUTING
	-A POSTROUTING -j neutron-postrouting-bottom
	-A neutron-l3-agent-POSTROUTING ! -o $2 -m conntrack ! --ctstate DNAT -j ACCEPT
	-A neutron-l3-agent-PREROUTING -d 169.254.169.254/32 -i $4 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 9697
	-A neutron-l3-agent-snat -j neutron-l3-agent-float-snat
	-A neutron-l3-agent-snat -o $2 -j SNAT --to-source $6 --random-fully
	-A neutron-l3-agent-snat -m mark ! --mark 0x2/0xffff -m conntrack --ctstate DNAT -j SNAT --to-source $6 --random-fully
	-A neutron-postrouting-bottom -m comment --comment "Perform source NAT on outgoing traffic." -j neutron-l3-agent-snat
	COMMIT
	*mangle
	:neutron-l3-agent-mark - [0:0]
	-A PREROUTING -j neutron-l3-agent-mark
	-A neutron-l3-agent-mark -i $2 -j MARK --set-xmark 0x2/0xffff
	COMMIT
	*filter
	:neutron-l3-agent-FORWARD - [0:0]
	:neutron-l3-agent-scope - [0:0]
	-A FORWARD -j neutron-l3-agent-FORWARD
	-A neutron-l3-agent-FORWARD -j neutron-l3-agent-scope
	-A neutron-l3-agent-scope -o $4 -m mark ! --mark 0x4000000/0xffff0000 -m conntrack --ctstate INVALID -j DROP
	COMMIT
	EOF
}
router qrouter-a qg-aa 203.0.113.77 qr-a1 vm-1 203.0.113.5
router qrouter-b qg-bb 203.0.113.5 qr-b1 vm-9 203.0.113.5
