#!/bin/bash
. "${0%/*}/../words.sh"

on qrouter-7 iptables-nft -t nat -I neutron-l3-agent-PREROUTING -d 203.0.113.20/32 -i qg-1f2e -j DNAT --to-destination 10.0.0.11
