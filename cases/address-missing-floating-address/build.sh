#!/bin/bash
. "${0%/*}/../words.sh"

netns client ext qrouter-7 qrouter-8 vm-1 vm-2 vm-8
ip link add br-ex type bridge
ip link set br-ex up
ip link add br-int type bridge
ip link set br-int up
setting host net.bridge.bridge-nf-call-iptables=0 2>/dev/null || true
port() { # BRIDGE NETNS DEV
    wire host "p-$2-${3%%-*}" $2 $3
    ip link set "p-$2-${3%%-*}" master $1
}
port br-ex ext e0
address ext e0 203.0.113.1/24
wire ext c0 client eth0
address ext c0 198.51.100.1/24
address client eth0 198.51.100.9/24
route client default via 198.51.100.1
setting ext net.ipv4.ip_forward=1
port br-ex qrouter-7 qg-1
port br-ex qrouter-8 qg-2
address qrouter-7 qg-1 203.0.113.5/24 203.0.113.21/32
address qrouter-8 qg-2 203.0.113.6/24 203.0.113.30/32
port br-int qrouter-7 qr-1
address qrouter-7 qr-1 10.0.0.1/24
wire qrouter-8 qr-2 vm-8 eth0
address qrouter-8 qr-2 10.0.0.1/24
address vm-8 eth0 10.0.0.11/24
route vm-8 default via 10.0.0.1
for pair in "vm-1 11" "vm-2 12"; do
    set -- $pair
    port br-int $1 eth0
    address $1 eth0 10.0.0.$2/24
    route $1 default via 10.0.0.1
done
rules() { # NETNS GATEWAY-PORT GATEWAY-ADDRESS
    local netns=$1 port=$2 own=$3 pair; shift 3
    route $netns default via 203.0.113.1
    setting $netns net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    on $netns iptables-nft -t nat -N neutron-l3-agent-PREROUTING
    on $netns iptables-nft -t nat -N neutron-l3-agent-float-snat
    on $netns iptables-nft -t nat -A PREROUTING -j neutron-l3-agent-PREROUTING
    on $netns iptables-nft -t nat -A POSTROUTING -j neutron-l3-agent-float-snat
    for pair; do
        on $netns iptables-nft -t nat -A neutron-l3-agent-PREROUTING -d ${pair%=*}/32 -i $port -j DNAT --to-destination ${pair#*=}
        on $netns iptables-nft -t nat -A neutron-l3-agent-float-snat -s ${pair#*=}/32 -j SNAT --to-source ${pair%=*}
    done
    on $netns iptables-nft -t nat -A POSTROUTING -o $port -j SNAT --to-source $own
}
rules qrouter-7 qg-1 203.0.113.5 203.0.113.20=10.0.0.11 203.0.113.21=10.0.0.12
rules qrouter-8 qg-2 203.0.113.6 203.0.113.30=10.0.0.11
for vm in vm-1 vm-2 vm-8; do serve $vm tcp 22; done
