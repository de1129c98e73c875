#!/bin/bash
. "${0%/*}/../words.sh"

address qrouter-7 qg-1 203.0.113.20/32
