#!/bin/bash
. "${0%/*}/../words.sh"

serve app tcp 8000 172.17.0.3
