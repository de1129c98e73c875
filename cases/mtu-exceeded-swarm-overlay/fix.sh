#!/bin/bash
. "${0%/*}/../words.sh"

on 1-ov1 ip link set vxlan0 mtu 8950
