#!/bin/bash
. "${0%/*}/../words.sh"

on node-a bridge fdb del 02:00:00:00:02:01 dev flannel.1 dst 192.168.7.99
on node-a bridge fdb add 02:00:00:00:02:01 dev flannel.1 dst 192.168.7.12
