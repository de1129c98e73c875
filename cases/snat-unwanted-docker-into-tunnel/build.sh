#!/bin/bash
. "${0%/*}/../words.sh"

netns app cache transit branch db
wire host eth0 transit t0
wire branch eth0 transit t1
address host eth0 192.0.2.2/30
address transit t0 192.0.2.1/30
address branch eth0 198.51.100.2/30
address transit t1 198.51.100.1/30
route host default via 192.0.2.1
route branch default via 198.51.100.1
for router in host transit branch; do setting $router net.ipv4.ip_forward=1; done
ip link add site0 type vxlan id 77 local 192.0.2.2 remote 198.51.100.2 dstport 4789
on branch ip link add site0 type vxlan id 77 local 198.51.100.2 remote 192.0.2.2 dstport 4789
for end in "host 1" "branch 2"; do
    set -- $end
    on $1 ip link set site0 mtu 1400 up
    address $1 site0 172.31.9.$2/30
done
route host 10.50.0.0/16 via 172.31.9.2
route branch 172.17.0.0/16 via 172.31.9.1
wire branch lan0 db eth0
address branch lan0 10.50.3.1/24
address db eth0 10.50.3.9/24
route db default via 10.50.3.1
ip link add docker0 type bridge
ip link set docker0 mtu 1400 up
address host docker0 172.17.0.1/16
for pair in "app 2" "cache 3"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master docker0
    address $1 eth0 172.17.0.$2/16
    route $1 default via 172.17.0.1
done
iptables-nft-restore <<-EOF
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A DOCKER -i docker0 -j RETURN
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 -j ACCEPT
	-A DOCKER-USER -i site0 -s 10.50.0.0/16 -j ACCEPT
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
on branch nft -f - <<-EOF
	table inet fw {
	    set trusted { type ipv4_addr; flags interval; elements = { 10.50.0.0/16, 172.17.0.0/16 }; }
	    chain forward {
	        type filter hook forward priority filter; policy drop;
	        ct state established,related accept
	        iifname "site0" ip saddr @trusted tcp dport { 5432, 443 } accept
	        iifname "lan0" accept
	        counter comment "not ours"
	    }
	}
	EOF
serve db tcp 5432
