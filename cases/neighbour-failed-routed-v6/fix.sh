#!/bin/bash
. "${0%/*}/../words.sh"

ip -6 neigh add proxy 2001:db8:5::20 dev eth0
