#!/bin/bash
. "${0%/*}/../words.sh"

ip link set qvo7a1 up
