#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.ipv4.conf.cni0.route_localnet=1
