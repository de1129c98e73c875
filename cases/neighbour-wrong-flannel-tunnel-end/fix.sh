#!/bin/bash
. "${0%/*}/../words.sh"

on node-a ip neigh replace 10.244.2.0 lladdr 02:00:00:00:02:99 dev flannel.1 nud permanent
on node-a bridge fdb add 02:00:00:00:02:99 dev flannel.1 dst 192.168.7.12
