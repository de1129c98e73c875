#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t raw -D ANTIFLOOD -p udp --dport 53 -j CT --notrack
