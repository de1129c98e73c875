#!/bin/bash
. "${0%/*}/../words.sh"

ipset add cali40s:web 10.233.5.9
