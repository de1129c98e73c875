#!/bin/bash
. "${0%/*}/../words.sh"

nft insert rule inet nat postrouting ip saddr 10.0.3.0/24 oifname eth0 masquerade
