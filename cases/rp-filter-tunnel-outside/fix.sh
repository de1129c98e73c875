#!/bin/bash
. "${0%/*}/../words.sh"

setting node-b net.ipv4.conf.eth1.rp_filter=2
