#!/bin/bash
. "${0%/*}/../words.sh"

ip route add 172.18.5.0/24 via 10.8.0.1
