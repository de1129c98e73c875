#!/bin/bash
. "${0%/*}/../words.sh"

on router ip route add 192.0.2.200/32 dev inner
