# shellcheck shell=bash
#
# What a benchmark of very many connections asks of the machine. To be read
# before env.sh: it starts the script anew in a network of its own.
#
#   OWN_NETWORK  no: stay in the network of the machine (yes)

EHASH=4194304               # hash buckets of established connections


# A network namespace of its own has no other traffic, ports or settings than
# the benchmark's, and takes all of them along when it ends; and its table of
# connections is as large as the connections ask for, which otherwise is a
# parameter of the boot (thash_entries). A process that is asleep holds it
# until we have entered.

own_network() {
    if [ -n "${NETWORK_HOLDER:-}" ]; then
        kill "$NETWORK_HOLDER"
        wait "$NETWORK_HOLDER" 2>/dev/null || true
        unset NETWORK_HOLDER
        ip link set lo up
        return
    fi

    if [ "${OWN_NETWORK:-yes}" = no ] || ! unshare --net true 2>/dev/null
    then
        echo "in the network of the machine, with its table of connections" >&2
        return
    fi

    holder=

    trap 'restore_settings; [ -z "$holder" ] || kill "$holder"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    set_to net.ipv4.tcp_child_ehash_entries "$EHASH"
    unshare --net sleep 60 &
    holder=$!

    until [ "$(readlink "/proc/$holder/ns/net")" \
            != "$(readlink /proc/self/ns/net)" ]
    do
        kill -0 "$holder" || exit 3
        sleep 0.05
    done

    restore_settings
    trap - EXIT INT TERM

    NETWORK_HOLDER=$holder exec nsenter --net="/proc/$holder/ns/net" \
        "$0" "$@"
}


# set_to NAME VALUE: a setting of the kernel, put back by restore_settings.
# What cannot be set is said and left.

settings=()

set_to() {
    local name=$1 value=$2 old

    old=$(sysctl -n "$name" 2>/dev/null | tr '\t' ' ')

    if sysctl -qw "$name=$value" 2>/dev/null; then
        settings+=("$name=$old")
    else
        echo "$name stays at $old: $value would be better" >&2
    fi
}


restore_settings() {
    local i

    for ((i = ${#settings[@]} - 1; i >= 0; i--)); do
        sysctl -qw "${settings[i]}" || echo "${settings[i]} not restored" >&2
    done

    settings=()
}


# raise_limits N: for N devices of which both ends are on this machine

raise_limits() {
    local name value

    while read -r name value; do
        if [ "$(sysctl -n "$name")" -lt "$value" ]; then
            set_to "$name" "$value"
        fi
    done <<END
net.core.somaxconn 65535
net.ipv4.tcp_max_syn_backlog 65535
fs.file-max $((4 * $1 + 100000))
fs.nr_open 1048576
END
}


# size_for N: `workers`, and `connections` of each: as few as have room for N
# devices, of which some workers get more than others, and for the 1/16 of the
# connections that nginx keeps free. Not all descriptors are for connections:
# each worker has three for each place of a process, of which the module makes 8
# for a worker and 16, and three more for each worker: two listening sockets and
# a channel; and some for all else.

SPARE=200

size_for() {
    local descriptors

    descriptors=$(ulimit -n)
    workers=0
    connections=0

    while [ $((workers * connections * 15 / 16)) -lt $(($1 * 104 / 100)) ]; do
        workers=$((workers + 1))
        connections=$((descriptors - 3 * (8 * workers + 16) - 3 * workers))
        connections=$((connections - SPARE))

        [ "$connections" -gt 512 ] \
            || die "$1 devices do not fit: $descriptors descriptors a process"
    done
}


# machine: what the figures were taken on, as NAME<tab>VALUE

machine() {
    local root
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

    printf 'date\t%s\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
    printf 'commit\t%s\n' \
        "$(git -C "$root" describe --always --dirty 2>/dev/null || echo -)"
    printf 'cpu\t%s x %s\n' "$(nproc)" \
        "$(sed -n '/^model name/{s/.*: //p;q}' /proc/cpuinfo)"
    printf 'memory\t%s GiB\n' \
        "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)"
    printf 'kernel\t%s\n' "$(uname -r)"
    printf 'descriptors\t%s a process\n' "$(ulimit -n)"
}
