#!/bin/bash
. "${0%/*}/../words.sh"

ipset add mwan3_connected_ipv4 192.168.1.0/24
