#!/bin/bash
. "${0%/*}/../words.sh"

nft insert rule inet fw output icmp type destination-unreachable accept
