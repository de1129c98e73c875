#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -I ufw-user-forward -d 172.18.0.7/32 -p tcp --dport 80 -j ACCEPT
