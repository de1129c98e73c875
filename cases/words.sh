# The words that build.sh and fix.sh of a case are written in. Sourced, never run by itself.
# `host` is the namespace that the case was started in.
set -e
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
CASES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -e /run/nsgate-case ] || { echo "cases are built by '$CASES/run' only" >&2; exit 2; }
PYTHON=$(command -v python3)

# on NETNS COMMAND...
on() { local netns=$1; shift; if [ "$netns" = host ]; then "$@"; else ip netns exec "$netns" "$@"; fi; }

# setting NETNS KEY=VALUE...: kernel settings
setting() {
    local netns=$1 pair; shift
    for pair; do on "$netns" sh -c 'echo "$1" >"/proc/sys/$2"' - "${pair#*=}" "$(echo "${pair%%=*}" | tr . /)"; done
}

# netns NAME...: namespaces with loopback up, whose IPv6 addresses can be used at once
netns() {
    local name
    for name; do
        ip netns add "$name"
        on "$name" ip link set lo up
        setting "$name" net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    done
}

# wire NETNS1 DEV1 NETNS2 DEV2: a veth pair, both ends up
wire() {
    local one=$1 two=$3
    [ "$one" != host ] || one=$$
    [ "$two" != host ] || two=$$
    ip link add "$2" netns "$one" type veth peer name "$4" netns "$two"
    on "$1" ip link set "$2" up
    on "$3" ip link set "$4" up
}

# address NETNS DEV ADDRESS/LENGTH...
address() { local netns=$1 dev=$2 one; shift 2; for one; do on "$netns" ip addr add "$one" dev "$dev"; done; }

# route NETNS WORDS OF ip route add...; IPv6 is known by its colons
route() {
    local netns=$1 family=-4; shift
    case "$*" in *:*) family=-6 ;; esac
    on "$netns" ip "$family" route add "$@"
}

# serve NETNS tcp|udp PORT [ADDRESS]: a service that sends back what it gets; it listens when this returns
serve() { local netns=$1; shift; on "$netns" "$PYTHON" -S "$CASES/actor.py" serve "$@"; }

# host: loopback up, IPv6 usable at once
ip link set lo up
setting host net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 2>/dev/null || true
