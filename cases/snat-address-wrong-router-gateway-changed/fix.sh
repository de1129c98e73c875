#!/bin/bash
. "${0%/*}/../words.sh"

on qrouter-a iptables-nft -t nat -I neutron-l3-agent-snat -o qg-aa -j SNAT --to-source 203.0.113.77
