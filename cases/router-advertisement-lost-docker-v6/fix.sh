#!/bin/bash
. "${0%/*}/../words.sh"

setting host net.ipv6.conf.eth0.accept_ra=2
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -z "$(ip -6 route show default)" ] || break
    sleep 0.1
done
