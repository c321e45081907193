#!/bin/bash
# Reloads under load: devices and WebSockets move to the new workers with their
# connections, and nobody may notice. One reload after the other, while callers
# send to the devices by POST and by WebSockets; in the second of each reload
# another load measures what a call feels. nginx closes idle keep-alive
# connections of callers when a worker leaves, perhaps just when a caller uses
# one: such a call is sent once more, and counted.
#
#   DEVICES WEBSOCKETS RELOADS EVERY    50000 2000 20 10 (s)
#   RATE      calls a second in all (5000)
#   WORKERS   (6, or as many as have room: a process holds 20,000 descriptors)
#   LEAVE     s that old workers may take (10)
#   P99       ms, the limit in the second of a reload (50)
#   TLS       1: devices over TLS, whose connections are parked
#             (cometa_tls_park); 1.2 or 1.3: that version alone
#   CSV       a file for one line for each reload

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-50000}
WEBSOCKETS=${WEBSOCKETS:-2000}
RELOADS=${RELOADS:-20}
EVERY=${EVERY:-10}
RATE=${RATE:-5000}
P99=${P99:-50}

PROBE=$((RATE / 5))         # calls a second of the load that measures
LEAVE=${LEAVE:-10}
SHUTDOWN=${SHUTDOWN:-120s}

status=0
worst=0
slowest=0


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


now_ms() {
    date +%s%3N
}


# resident memory of all workers, MB

workers_mb() {
    local pid kb sum=0

    for pid in $(nginx_workers); do
        # one may have left meanwhile
        kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null \
             || true)
        sum=$((sum + ${kb:-0}))
    done

    echo $((sum / 1024))
}


# old_left PID...: how many of these workers are still there

old_left() {
    local pid n=0 left

    left=" $(nginx_workers) "

    for pid in "$@"; do
        [[ $left == *" $pid "* ]] && n=$((n + 1))
    done

    echo "$n"
}


# none_failed FILE WHAT: the report of a load has nothing but right replies

none_failed() {
    local name n

    for name in wrong hung malformed failed lost; do
        n=$(field $name "$1")
        [ "${n:-none}" = 0 ] || wrong "$2: $name: ${n:-no report}," \
            "$(grep -o '"errors":.*' "$1")"
    done
}


# reload N: one of them, with the load that measures it

reload() {
    local old begun p99 left peak=0 mb

    old=$(nginx_workers)
    begun=$(now_ms)

    kill -HUP "$master"

    "${load[@]}" --app_id app --devices "$DEVICES" --callers 16 --retry \
        --rate "$PROBE" --duration 1 --json > "$dir/probe" &
    probe=$!

    while :; do
        # shellcheck disable=SC2086 # the pids are words
        left=$(old_left $old)
        mb=$(workers_mb)
        [ "$mb" -gt "$peak" ] && peak=$mb
        [ "$left" = 0 ] && [ "$(($(now_ms) - begun))" -gt 500 ] && break

        if [ "$(($(now_ms) - begun))" -gt $((LEAVE * 1000)) ]; then
            wrong "reload $1: $left old workers after $LEAVE s"
            break
        fi

        sleep 0.1
    done

    took=$(($(now_ms) - begun))
    wait "$probe" || wrong "reload $1: a call of the load that measures failed"
    none_failed "$dir/probe" "reload $1"

    p99=$(awk -v us="$(field p99 "$dir/probe")" 'BEGIN { print us / 1000 }')
    is_above "$p99" "$worst" && worst=$p99
    [ "$took" -gt "$slowest" ] && slowest=$took

    printf 'reload %2d: old workers left after %5d ms, p99 %6.2f ms, ' \
        "$1" "$took" "$p99"
    printf 'workers %d MB, %d MB at most\n' "$(workers_mb)" "$peak"

    if [ -n "${CSV:-}" ]; then
        echo "$1,$took,$p99,$peak" >> "$CSV"
    fi
}


# number_parked: connections that are parked now

number_parked() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app" \
        | grep -o '"tls_parked":"[0-9]*"' | tr -dc 0-9
}


tls=()
park=

if [ -n "${TLS:-}" ]; then
    tls=(--use_ssl --server_port $((PORT + 1)) --park)
    park="cometa_tls_park on;"
    [ "$TLS" = 1 ] || tls+=(--tls "$TLS")
fi

size_for "$DEVICES"
WORKERS=${WORKERS:-$((workers > 6 ? workers : 6))}

raise_limits "$DEVICES"
nginx_conf "$WORKERS" "$connections" "$DEVICES" "$park"
nginx_start

devices "$dir/devices" --app_id app --devices "$DEVICES" --quiet "${tls[@]}"

duration=$((RELOADS * EVERY + 5))
ws_pid=

"${load[@]}" --app_id app --devices "$DEVICES" --callers 32 --json --retry \
    --rate $((RATE * 2 / 5)) --duration "$duration" --allow_failures \
    > "$dir/post" &
post_pid=$!

if [ "$WEBSOCKETS" != 0 ]; then
    : > "$dir/ws"
    "${load[@]}" --app_id app --devices "$DEVICES" --callers "$WEBSOCKETS" \
        --websocket --rate $((RATE * 2 / 5)) --duration "$duration" --json \
        --allow_failures > "$dir/ws" &
    ws_pid=$!
    until_said open "$dir/ws" "$ws_pid"
fi

[ -z "${CSV:-}" ] || echo 'reload,took_ms,p99_ms,peak_mb' > "$CSV"

sleep 2
first=$(workers_mb)

for i in $(seq "$RELOADS"); do
    next=$((SECONDS + EVERY))
    reload "$i"

    while [ "$SECONDS" -lt "$next" ]; do
        sleep 0.2
    done
done

last=$(workers_mb)

wait "$post_pid" || wrong "the load by POST"
none_failed "$dir/post" "POST"

if [ -n "$ws_pid" ]; then
    wait "$ws_pid" || wrong "the load by WebSockets"
    none_failed "$dir/ws" "WebSockets"
fi

attached=$(curl -s "http://127.0.0.1:$PORT/v1/applications/app" \
           | grep -o '"num_devices":"[0-9]*"' | tr -dc 0-9)
[ "$attached" = "$DEVICES" ] || wrong "$attached devices, not $DEVICES"

[ -z "${TLS:-}" ] || [ "$(number_parked)" = "$DEVICES" ] \
    || wrong "$(number_parked) devices are parked, not $DEVICES"

end "$devices_pid"

again=$(($(field attaches "$dir/devices") - DEVICES))
[ "$again" = 0 ] || wrong "$again devices have attached again"

calls=$(field calls "$dir/post")
ws_calls=$([ -n "$ws_pid" ] && field calls "$dir/ws" || echo 0)

is_above "$worst" "$P99" && wrong "p99 of $worst ms in the second of a reload"

retried=$(field retried "$dir/post")

echo "$DEVICES devices${TLS:+ over TLS}, $WEBSOCKETS WebSockets, $RELOADS reloads every $EVERY s:" \
     "$((calls + ws_calls)) calls, $retried sent again, worst p99 in the second of a reload" \
     "$worst ms, old workers gone after at most $slowest ms," \
     "workers $first MB before, $last MB after, $again devices attached again"

check_log 'could not be (read|written)$' || status=1

exit $status
