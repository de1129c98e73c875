#!/bin/bash
. "${0%/*}/../words.sh"

on qrouter-7 ip rule del priority 57481
