#!/bin/bash
. "${0%/*}/../words.sh"

nft add rule inet lxd pstrt.lxdbr0 ip6 saddr fd42:9:9:9::/64 ip6 daddr != fd42:9:9:9::/64 masquerade
