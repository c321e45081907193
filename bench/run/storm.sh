#!/bin/bash
# Storms: all devices drop their connections and attach again at once, without
# jitter, while others stay attached and are called. Those calls must not feel
# it, no connection may be refused by the queue of the listening sockets, every
# device has to be there afterwards, once, and a second storm must not take more
# memory than the first. Then the same over TLS, with session resumption.
#
#   DEVICES       that drop (20000)
#   TLS_DEVICES   that drop over TLS (2000)
#   STAY          devices that stay and are called (500)
#   RATE          calls a second to them (500)
#   WORKERS       (6: a process holds 20,000 descriptors)
#   STORMS        2
#   P99           ms, the limit for calls in the storm (10)
#   CSV           a file for one line for each storm
#
# nginx, callers and the devices that are called run with more priority than
# the devices of the storm, which in the field have machines of their own; so
# what is measured is what calls wait for in nginx. It needs root.

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-20000}
TLS_DEVICES=${TLS_DEVICES:-2000}
STAY=${STAY:-500}
RATE=${RATE:-500}
WORKERS=${WORKERS:-6}
STORMS=${STORMS:-2}
P99=${P99:-10}

status=0


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


# sooner PID...: processes and their children go before all others

sooner() {
    local pid

    for pid in "$@"; do
        # shellcheck disable=SC2046 # the pids are words
        renice -n -15 -p "$pid" $(cat "/proc/$pid/task/$pid/children") \
            > /dev/null 2>&1 || echo "no priority: run as root" >&2
    done
}


workers_kb() {
    local pid sum=0

    for pid in $(nginx_workers); do
        sum=$((sum + $(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")))
    done

    echo "$sum"
}

listen_overflows() {
    nstat -asz TcpExtListenOverflows | awk '/ListenOverflows/ { print $2 }'
}

num_devices() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/$1" > "$dir/stats"
    field num_devices "$dir/stats"
}

# different devices of an application, by pages

listed() {
    local after='' page

    while :; do
        page=$(curl -s "http://127.0.0.1:$PORT/v1/applications/$1/devices?limit=10000&after=$after" \
               | { grep -o '"[0-9]\+"' || true; } | tr -d '"')
        [ -n "$page" ] || break
        echo "$page"
        after=$(tail -n 1 <<< "$page")
    done | sort -u | wc -l
}


# storm NAME APP N PID: one of them, under load

storm() {
    local overflows begun took p99 kb before

    before=$(workers_kb)
    overflows=$(listen_overflows)

    "${load[@]}" --app_id stay --devices "$STAY" --callers 64 --rate "$RATE" \
        --duration 5 --json > "$dir/load" &
    local load_pid=$!
    sooner "$load_pid"
    sleep 1

    begun=$(date +%s%N)
    kill -USR2 "$4"

    # the number falls first

    sleep 0.2

    until [ "$(num_devices "$2")" = "$3" ]; do
        [ $((($(date +%s%N) - begun) / 1000000000)) -lt 100 ] \
            || { wrong "$1: not all are back: $(num_devices "$2")"; break; }
        sleep 0.05
    done

    took=$((($(date +%s%N) - begun) / 1000000))

    wait "$load_pid" || wrong "$1: calls failed"
    p99=$(awk -v us="$(field p99 "$dir/load")" 'BEGIN { print us / 1000 }')
    overflows=$(($(listen_overflows) - overflows))
    kb=$(workers_kb)

    printf '%s: all %d are back after %d ms (%d a second), calls p99 %s ms, ' \
        "$1" "$3" "$took" $(($3 * 1000 / took)) "$p99"
    printf 'overflows of listening sockets %d, workers %d KB, %d KB before\n' \
        "$overflows" "$kb" "$before"

    [ -z "${CSV:-}" ] || echo "$1,$3,$took,$p99,$overflows,$before,$kb" >> "$CSV"

    [ "$overflows" = 0 ] || wrong "$1: connections were refused"
    is_above "$p99" "$P99" && wrong "$1: p99 of calls is $p99 ms"
    [ "$(listed "$2")" = "$3" ] || wrong "$1: $(listed "$2") in the list"
    memory_after=$kb
}


# storms NAME APP N PID: the memory is that of the first one still

storms() {
    local i first=

    for i in $(seq "$STORMS"); do
        storm "$1 $i" "$2" "$3" "$4"
        sleep 2
        first=${first:-$memory_after}
    done

    is_above "$memory_after" "$((first * 102 / 100))" \
        && wrong "$1: memory grows from $first to $memory_after KB"
    return 0
}


set_to kernel.sched_autogroup_enabled 0
nginx_conf "$WORKERS" 19000 $((DEVICES + TLS_DEVICES + STAY)) "
    ssl_session_cache shared:TLS:10m;"
nginx_start

[ -z "${CSV:-}" ] \
    || echo 'storm,devices,took_ms,p99_ms,overflows,before_kb,after_kb' > "$CSV"

devices "$dir/stay" --app_id stay --devices "$STAY" --quiet
stay_pid=$devices_pid
sooner "$stay_pid" "$master"

sysctl -n net.core.somaxconn | sed 's/^/net.core.somaxconn /'

devices "$dir/plain" --app_id storm --devices "$DEVICES" --quiet \
    --concurrency "$DEVICES"
storms plain storm "$DEVICES" "$devices_pid"
end "$devices_pid"

[ "$(field attaches "$dir/plain")" = $(((STORMS + 1) * DEVICES)) ] \
    || wrong "attaches: $(field attaches "$dir/plain")," \
             "failed: $(field failed "$dir/plain")"

devices "$dir/tls" --app_id tls --devices "$TLS_DEVICES" --quiet --use_ssl \
    --server_port $((PORT + 1)) --resume --concurrency "$TLS_DEVICES"
storms TLS tls "$TLS_DEVICES" "$devices_pid"
end "$devices_pid" "$stay_pid"

echo "TLS sessions resumed: $(field resumed "$dir/tls") of" \
     "$(field attaches "$dir/tls")"

check_log 'could not be (read|written)$' || status=1

[ "$status" = 0 ] && echo "all right"
exit "$status"
