#!/bin/bash
. "${0%/*}/../words.sh"

nft insert rule inet netavark NETAVARK-ISOLATION-1 ct status dnat return
