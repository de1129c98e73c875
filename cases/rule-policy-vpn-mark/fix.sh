#!/bin/bash
. "${0%/*}/../words.sh"

ip rule del priority 5270
