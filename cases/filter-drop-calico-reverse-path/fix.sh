#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t raw -A cali-rpf-skip -s 10.8.0.0/24 -j ACCEPT
