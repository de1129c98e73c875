#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t nat -I KUBE-SEP-OLD -p tcp -j DNAT --to-destination 10.244.2.31:8080
