#!/bin/bash
. "${0%/*}/../words.sh"

ip rule add from 203.0.113.2 lookup 200 priority 200
