#!/bin/bash
. "${0%/*}/../words.sh"
netns inside world
wire host in0 inside eth0
wire host out0 world w0
address host in0 10.1.0.1/24
address inside eth0 10.1.0.2/24
address host out0 192.0.2.2/24
address world w0 192.0.2.1/24
route inside default via 10.1.0.1
setting host net.ipv4.ip_forward=1
nft 'table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "out0" masquerade; }; }'
serve world tcp 80
