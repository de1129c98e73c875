#!/bin/bash
. "${0%/*}/../words.sh"

conntrack -D -p udp --orig-dst 10.96.0.10 >/dev/null 2>&1
