#!/bin/bash
. "${0%/*}/../words.sh"

setting pod net.ipv4.conf.net1.rp_filter=2
