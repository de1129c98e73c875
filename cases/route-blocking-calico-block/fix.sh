#!/bin/bash
. "${0%/*}/../words.sh"

on node-b ip route add 10.65.9.9 dev calib9 scope link
