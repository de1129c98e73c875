#!/bin/bash
. "${0%/*}/../words.sh"

on inside ip route del 10.60.0.0/24 via 10.50.0.2
