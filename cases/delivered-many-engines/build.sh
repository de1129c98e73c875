#!/bin/bash
. "${0%/*}/../words.sh"

netns client web db vm ct other twin
wire host eth0 client c0
address host eth0 203.0.113.10/24
address client c0 203.0.113.1/24
route host default via 203.0.113.1
bridge_with() { # BRIDGE ADDRESS/LENGTH NETNS ADDRESS/LENGTH
    [ -e "/sys/class/net/$1" ] || { ip link add $1 type bridge; ip link set $1 up; address host $1 $2; }
    wire host "v-$3" $3 eth0
    ip link set "v-$3" master $1
    address $3 eth0 $4
    route $3 default via ${2%/*}
}
bridge_with docker0 172.17.0.1/16 web 172.17.0.2/16
bridge_with docker0 172.17.0.1/16 db 172.17.0.3/16
bridge_with virbr0 192.168.122.1/24 vm 192.168.122.50/24
bridge_with lxdbr0 10.17.247.1/24 ct 10.17.247.20/24
# A stranger with the same addresses, on an interface that is down.
wire host old0 twin eth0
address twin eth0 172.17.0.2/16
ip link set old0 down
setting host net.ipv4.ip_forward=1 net.ipv4.conf.old0.forwarding=0 net.ipv4.conf.all.rp_filter=2
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
ip route add blackhole 172.16.0.0/12
ip route add unreachable 172.17.128.0/17
ip route add prohibit default metric 4000
ip rule add priority 90 fwmark 0x99/0xff blackhole
ip rule add priority 91 iif virbr0 to 172.17.0.0/16 prohibit
ip rule add priority 92 from all lookup 77
ip route add throw default table 77
ipset create banned hash:net
ipset add banned 203.0.113.128/25
iptables-legacy-restore <<-EOF
	*mangle
	-A PREROUTING -i virbr0 -j MARK --set-mark 0x99
	-A PREROUTING -p tcp -m tcp --dport 8081 -j MARK --set-mark 0x99
	COMMIT
	*filter
	:FORWARD DROP [0:0]
	:LIBVIRT_FWI - [0:0]
	:LIBVIRT_FWO - [0:0]
	-A FORWARD -m set --match-set banned src -j DROP
	-A FORWARD -j LIBVIRT_FWI
	-A FORWARD -j LIBVIRT_FWO
	-A FORWARD -o docker0 -p tcp -m conntrack --ctstate NEW,ESTABLISHED -m multiport --dports 80,5432 -j ACCEPT
	-A FORWARD -i docker0 -j ACCEPT
	-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
	-A LIBVIRT_FWO -i virbr0 -j REJECT --reject-with icmp-port-unreachable
	COMMIT
	EOF
iptables-nft-restore <<-EOF
	*raw
	-A PREROUTING -d 172.17.0.0/16 ! -i docker0 -j DROP
	COMMIT
	*nat
	:DOCKER - [0:0]
	-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
	-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
	-A POSTROUTING -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
	-A DOCKER -i docker0 -j RETURN
	-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.3:80
	-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
	-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.3:81
	COMMIT
	*filter
	:INPUT DROP [0:0]
	:FORWARD DROP [0:0]
	:DOCKER - [0:0]
	:DOCKER-USER - [0:0]
	:DOCKER-ISOLATION-STAGE-1 - [0:0]
	:DOCKER-ISOLATION-STAGE-2 - [0:0]
	-A FORWARD -j DOCKER-USER
	-A FORWARD -j DOCKER-ISOLATION-STAGE-1
	-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	-A FORWARD -o docker0 -j DOCKER
	-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
	-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
	-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
	-A DOCKER-ISOLATION-STAGE-1 -i lxdbr0 ! -o lxdbr0 -j DROP
	-A DOCKER-ISOLATION-STAGE-1 -j RETURN
	-A DOCKER-ISOLATION-STAGE-2 -o lxdbr0 -j DROP
	-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 81 -j DROP
	-A DOCKER-USER -i eth0 -m conntrack --ctorigdstport 8082 -j DROP
	-A DOCKER-USER -m conntrack --ctstate INVALID -j DROP
	-A DOCKER-USER -m conntrack --ctstate NEW --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
	-A DOCKER-USER -i eth0 -m conntrack --ctstate NEW -j DROP
	-A DOCKER-USER -j RETURN
	COMMIT
	EOF
nft -f - <<-EOF
	table inet lxd {
	    chain pstrt.lxdbr0 {
	        type nat hook postrouting priority srcnat; policy accept;
	        ip saddr 10.17.247.0/24 ip daddr != 10.17.247.0/24 masquerade
	    }
	    chain fwd.lxdbr0 {
	        type filter hook forward priority filter; policy accept;
	        iifname "lxdbr0" oifname "docker0" reject
	        iifname "lxdbr0" accept
	        oifname "lxdbr0" accept
	    }
	}
	table inet guard {
	    set offenders { type ipv4_addr; flags dynamic, timeout; size 1000; timeout 1h; elements = { 198.51.100.66 }; }
	    map lanes { type ifname . inet_service : verdict; elements = { "eth0" . 25 : drop, "eth0" . 80 : accept, "lxdbr0" . 80 : drop }; }
	    chain early {
	        type filter hook prerouting priority mangle; policy accept;
	        ip saddr @offenders drop
	        tcp flags & (fin|syn|rst|ack) == fin|syn drop
	        fib saddr . iif oif missing drop
	    }
	    chain forward {
	        type filter hook forward priority filter + 5; policy drop;
	        ct state established,related accept
	        iifname . th dport vmap @lanes
	        log prefix "guard " level warn
	        reject with icmpx admin-prohibited
	    }
	}
	EOF
ebtables -A FORWARD -p IPv4 --ip-dst 172.17.0.9 -j DROP
serve web tcp 80
serve db tcp 80
serve db tcp 81
