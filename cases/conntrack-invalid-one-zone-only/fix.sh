#!/bin/bash
. "${0%/*}/../words.sh"

iptables-nft -t raw -A neutron-openvswi-PREROUTING -i eth0 -j CT --zone 4097
