#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.ipv4.conf.all.rp_filter=2
