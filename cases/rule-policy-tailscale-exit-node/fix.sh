#!/bin/bash
. "${0%/*}/../words.sh"

ip rule add to 172.16.0.0/12 lookup main priority 5269
