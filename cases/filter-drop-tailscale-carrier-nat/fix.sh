#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -I ts-input -i eth4 -m conntrack --ctstate ESTABLISHED -j ACCEPT
