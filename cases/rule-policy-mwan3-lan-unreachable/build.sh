#!/bin/bash
. "${0%/*}/../words.sh"

netns lan guest wan
ip link add br-lan type bridge
ip link set br-lan up
address host br-lan 192.168.1.1/24
wire host lan1 lan eth0
ip link set lan1 master br-lan
address lan eth0 192.168.1.50/24
route lan default via 192.168.1.1
wire host lan2 guest eth0
address host lan2 192.168.3.1/24
address guest eth0 192.168.3.50/24
route guest default via 192.168.3.1
wire host wan0 wan w0
address host wan0 198.51.100.2/24
address wan w0 198.51.100.1/24
route host default via 198.51.100.1
setting host net.ipv4.ip_forward=1
# The firewall of OpenWrt.
nft 'table inet fw4 {
  chain input { type filter hook input priority filter; policy drop; iif lo accept; ct state established,related accept
    iifname { "br-lan", "lan2" } jump input_lan; iifname "wan0" jump reject_wan; }
  chain input_lan { accept; }
  chain reject_wan { meta l4proto tcp reject with tcp reset; reject; }
  chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept
    iifname "br-lan" oifname "wan0" accept; iifname "lan2" oifname "wan0" accept; }
  chain srcnat { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
}'
# mwan3, which has found its uplink offline.
ip rule add fwmark 0x100/0x3f00 lookup 1 priority 2001
ip rule add fwmark 0x3d00/0x3f00 blackhole priority 2061
ip rule add fwmark 0x3e00/0x3f00 unreachable priority 2062
ip route add default via 198.51.100.1 dev wan0 table 1
ipset create mwan3_connected_ipv4 hash:net
ipset add mwan3_connected_ipv4 224.0.0.0/4
for chain in hook connected rules policy_wan_only ifaces_in; do iptables-nft -t mangle -N mwan3_$chain; done
iptables-nft -t mangle -A PREROUTING -j mwan3_hook
iptables-nft -t mangle -A OUTPUT -j mwan3_hook
iptables-nft -t mangle -A mwan3_hook -j CONNMARK --restore-mark --nfmask 0x3f00 --ctmask 0x3f00
iptables-nft -t mangle -A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_ifaces_in
iptables-nft -t mangle -A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_connected
iptables-nft -t mangle -A mwan3_hook -m mark --mark 0x0/0x3f00 -j mwan3_rules
iptables-nft -t mangle -A mwan3_hook -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00
iptables-nft -t mangle -A mwan3_connected -m set --match-set mwan3_connected_ipv4 dst -j MARK --set-xmark 0x3f00/0x3f00
iptables-nft -t mangle -A mwan3_rules -m mark --mark 0x0/0x3f00 -j mwan3_policy_wan_only
iptables-nft -t mangle -A mwan3_policy_wan_only -m mark --mark 0x0/0x3f00 -j MARK --set-xmark 0x3e00/0x3f00
serve host tcp 22
