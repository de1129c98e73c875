#!/bin/bash
. "${0%/*}/../words.sh"

route corp 10.244.3.0/24 via 192.168.7.13
