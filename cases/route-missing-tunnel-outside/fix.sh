#!/bin/bash
. "${0%/*}/../words.sh"

route node-a default via 192.168.7.1
