#!/bin/bash
. "${0%/*}/../words.sh"

on web-2 ip link set eth0 type macvlan mode bridge
