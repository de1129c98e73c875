#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.ipv4.ipfrag_high_thresh=4194304
