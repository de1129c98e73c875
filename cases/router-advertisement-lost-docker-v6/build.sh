#!/bin/bash
. "${0%/*}/../words.sh"

netns ct ct2 hoster
wire host eth0 hoster h0
address host eth0 2001:db8:5::2/64 192.0.2.10/24
address hoster h0 2001:db8:5::1/64 192.0.2.1/24
address hoster lo 2001:db8:ffff::7/128
route host default via 192.0.2.1
setting hoster net.ipv6.conf.all.forwarding=1
route hoster 2001:db8:6::/64 via 2001:db8:5::2
# The hoster's router announces itself.
on hoster "$PYTHON" -S - h0 <<-EOF
	import os, socket, struct, sys, time
	s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 58)
	s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
	if os.fork():
	    os._exit(0)
	for stream in (0, 1, 2):
	    os.close(stream)
	while True:
	    try:
	        s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, socket.if_nametoindex("h0")))
	    except OSError:
	        pass
	    time.sleep(0.2)
	EOF
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -z "$(ip -6 route show default)" ] || break
    sleep 0.1
done
# The engine comes up.
setting host net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1
ip link add docker0 type bridge
ip link set docker0 up
address host docker0 172.17.0.1/16 2001:db8:6::1/64
for pair in "ct 2" "ct2 3"; do
    set -- $pair
    wire host "veth-$1" $1 eth0
    ip link set "veth-$1" master docker0
    address $1 eth0 172.17.0.$2/16 2001:db8:6::$2/64
    route $1 default via 172.17.0.1
    route $1 default via 2001:db8:6::1
done
for tool in iptables-nft ip6tables-nft; do
    $tool -P FORWARD DROP
    $tool -N DOCKER-USER
    $tool -A FORWARD -j DOCKER-USER
    $tool -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    $tool -A FORWARD -i docker0 -j ACCEPT
    $tool -A DOCKER-USER -j RETURN
done
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
