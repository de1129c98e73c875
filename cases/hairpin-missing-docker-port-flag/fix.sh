#!/bin/bash
. "${0%/*}/../words.sh"

ip link set veth-web type bridge_slave hairpin on
