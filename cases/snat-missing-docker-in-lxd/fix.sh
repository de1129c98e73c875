#!/bin/bash
. "${0%/*}/../words.sh"

on lxc nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname != docker0 masquerade; }; }'
