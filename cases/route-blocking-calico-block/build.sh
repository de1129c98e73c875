#!/bin/bash
. "${0%/*}/../words.sh"

netns node-a node-b pod-a pod-5 pod-9
wire node-a eth0 node-b eth0
address node-a eth0 192.168.7.11/24
address node-b eth0 192.168.7.12/24
pod() { # NODE POD ADDRESS HOST-SIDE
    wire $1 $4 $2 eth0
    address $2 eth0 $3/32
    route $2 169.254.1.1 dev eth0 scope link
    route $2 default via 169.254.1.1
    setting $1 net.ipv4.conf.$4.proxy_arp=1 net.ipv4.neigh.$4.proxy_delay=0
}
pod node-a pod-a 10.65.7.5 calia5
pod node-b pod-5 10.65.9.5 calib5
pod node-b pod-9 10.65.9.9 calib9
for node in node-a node-b; do
    setting $node net.ipv4.ip_forward=1
    # Calico's proxy ARP needs a route to 169.254.1.1.
    on $node ip route add default via 192.168.7.1
done
on node-a ip route add 10.65.7.5 dev calia5 scope link
on node-a ip route add blackhole 10.65.7.0/26 proto 12
on node-a ip route add 10.65.9.0/26 via 192.168.7.12 proto 12
on node-b ip route add 10.65.9.5 dev calib5 scope link
on node-b ip route add blackhole 10.65.9.0/26 proto 12
on node-b ip route add 10.65.7.0/26 via 192.168.7.11 proto 12
for node in node-a node-b; do
    on $node iptables-nft-restore <<-EOF
	*filter
	:cali-FORWARD - [0:0]
	:cali-tw-old - [0:0]
	-A FORWARD -j cali-FORWARD
	-A cali-FORWARD -m conntrack --ctstate INVALID -j DROP
	-A cali-FORWARD -o cali0ld -j cali-tw-old
	-A cali-FORWARD -i cali+ -j ACCEPT
	-A cali-FORWARD -o cali+ -j ACCEPT
	-A cali-tw-old -j DROP
	COMMIT
	EOF
done
