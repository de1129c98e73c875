#!/bin/bash
. "${0%/*}/../words.sh"

ip link set mesh0 mtu 1380
address host mesh0 2001:db8:e::1/64
route host 2001:db8:c2::/64 via 2001:db8:e::2
