#!/bin/bash
. "${0%/*}/../words.sh"

on node-b nft add rule inet firewalld filter_IN_public_allow udp dport 8472 accept
