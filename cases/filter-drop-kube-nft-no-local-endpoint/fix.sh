#!/bin/bash
. "${0%/*}/../words.sh"

nft delete element ip kube-proxy no-endpoint-services '{ 10.88.1.2 . tcp . 80 }'
