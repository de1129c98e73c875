#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.ipv4.conf.eth0.forwarding=1
