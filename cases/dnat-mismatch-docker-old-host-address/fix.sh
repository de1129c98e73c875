#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t nat -I DOCKER 3 -d 192.168.1.57/32 ! -i docker0 -p tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:443
