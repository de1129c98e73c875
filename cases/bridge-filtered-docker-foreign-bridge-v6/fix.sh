#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.bridge.bridge-nf-call-ip6tables=0
