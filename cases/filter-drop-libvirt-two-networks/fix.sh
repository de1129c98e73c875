#!/bin/bash
. "${0%/*}/../words.sh"

iptables-legacy -I LIBVIRT_FWI -i virbr1 -o virbr0 -j ACCEPT
