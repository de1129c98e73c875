#!/bin/bash
. "${0%/*}/../words.sh"

tc qdisc replace dev bwp7a11 root tbf rate 8mbit burst 32000 latency 25ms
