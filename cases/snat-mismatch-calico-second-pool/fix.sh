#!/bin/bash
. "${0%/*}/../words.sh"

ipset add cali40masq-ipam-pools 10.14.0.0/20
