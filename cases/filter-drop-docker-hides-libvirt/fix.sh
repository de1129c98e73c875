#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -I DOCKER-USER -i virbr0 -j ACCEPT
iptables-nft -I DOCKER-USER -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
