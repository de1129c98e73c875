#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t nat -I KUBE-FW-5SB3 2 -s 198.51.100.9/32 -j KUBE-SVC-5SB3
