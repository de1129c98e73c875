#!/bin/bash
. "${0%/*}/../words.sh"

on router nft insert rule inet fw4 forward_wan ip6 daddr 2001:db8:bb:1::10 tcp dport 443 counter jump accept_to_lan
