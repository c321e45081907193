#!/bin/bash
# Memory of one worker for each idle device, beside nginx's own idle
# keep-alive connections (one small request made on each) in the same run,
# plain and TLS, with connections that are parked (cometa_tls_park) and without;
# and for each idle WebSocket.
#
# What is counted is the resident memory of the worker without pages of files,
# which are shared, and come and go. A connection takes its
# slot, which nginx touches when it starts: the memory of a worker with slots for
# all less that of one with as few as nginx starts with. And it takes what the
# worker grows by: that is measured beside a quarter of them, so that what comes
# once, pages of libraries and what the first handshakes leave, does not count
# as if it were of each. There is 1/15 more slots than connections: when less
# than 1/16 of all is free, nginx closes connections that are idle or have not
# sent their request yet.
#
#   DEVICES       plain ones, and those that are parked (16000)
#   TLS_DEVICES   that are not parked, and TLS keep-alive (8000)
#   WEBSOCKETS    (16000)
#   STRICT    1: fail if a figure is above its limit
#
# Few attach at a time, for what a request takes is left in the heap, once.

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-16000}
TLS_DEVICES=${TLS_DEVICES:-8000}
WEBSOCKETS=${WEBSOCKETS:-16000}

FEW=64                      # devices that the WebSockets share
HEARTBEAT=5                 # s: every device has sent one when measured
SPARE=64                    # slots and descriptors for all else
LEAST=16                    # slots that nginx itself starts with
PARKED=300                  # bytes more than plain, at most
MOST=1100                   # in all
park=                       # directives of the case
status=0
declare -A result parked


# kB of the worker: all, private, the zone

memory() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { zone = /\/dev\/zero/; next }
         /^Rss:/ { if (zone) shared += $2 }
         /^Anonymous:/ { if (!zone) anon += $2 }
         END { print anon + shared, anon, shared }' \
        "/proc/$(nginx_workers | tr -d ' ')/smaps"
}


# held N PORT: the server has so many connections, soon, or the run has failed

held() {
    local count

    for _ in $(seq 30); do
        count=$(ss -Htn state established src "127.0.0.1:$2" | wc -l)
        [ "$count" = "$1" ] && return
        sleep 1
    done

    cat "$dir/error.log" "$dir/held" >&2
    die "$count connections instead of $1"
}


# hold OPTION...: callers in the background that keep their connections; their
# pid in held_pid

hold() {
    : > "$dir/held"
    "${load[@]}" "$@" --concurrency 8 --hold > "$dir/held" &
    held_pid=$!
    until_said held "$dir/held" "$held_pid"
}


# start_with SLOTS N

start_with() {
    nginx_conf 1 "$1" "$2" "$park"
    nginx_start
}


# slots_for N: starts nginx with slots for so many connections, and notes what
# these take, in KB

slots_for() {
    start_with $(($1 / 15 + LEAST)) "$1"
    slots=$(memory)
    nginx_stop

    start_with $(($1 + $1 / 15 + SPARE)) "$1"
    slots=$(less "$slots")
    slots_n=$1
}


# less FIGURES: what the worker holds more than that

less() {
    # shellcheck disable=SC2046,SC2086 # the figures are words
    set -- $1 $(memory)

    echo $(($4 - $1)) $(($5 - $2)) $(($6 - $3))
}


# note NAME N: what each of N takes since `zero`, in bytes, and its slot

note() {
    # shellcheck disable=SC2046,SC2086 # the figures are words
    set -- "$1" "$2" $slots $(less "$zero")

    result[$1]="$(($3 * 1024 / slots_n + $6 * 1024 / $2)) \
$(($4 * 1024 / slots_n + $7 * 1024 / $2)) \
$(($5 * 1024 / slots_n + $8 * 1024 / $2))"
}


# keep_alive KIND N PORT [OPTION]...

keep_alive() {
    local kind=$1 n=$2 port=$3 first first_pid
    shift 3
    first=$((n / 4))

    slots_for "$n"
    hold "$@" --server_port "$port" --callers "$first" --calls "$first" \
        --uri /small --expect ok
    first_pid=$held_pid
    held "$first" "$port"
    zero=$(memory)

    hold "$@" --server_port "$port" --callers $((n - first)) \
        --calls $((n - first)) --uri /small --expect ok
    held "$n" "$port"
    note "$kind keep-alive" $((n - first))
    end "$first_pid" "$held_pid"
    nginx_stop
}


# idle_devices KIND N PORT [OPTION]...

idle_devices() {
    local kind=$1 n=$2 port=$3 first first_pid
    shift 3

    first=$((n / 4))

    slots_for "$n"
    devices "$dir/first" "$@" --server_port "$port" --devices "$first" \
        --device_id $((n - first + 1)) \
        --concurrency 8 --heartbeat "$HEARTBEAT" --quiet
    first_pid=$devices_pid
    sleep $((HEARTBEAT + 1))
    zero=$(memory)

    devices "$dir/devices" "$@" --server_port "$port" \
        --devices $((n - first)) \
        --concurrency 8 --heartbeat "$HEARTBEAT" --quiet
    sleep $((HEARTBEAT + 1))

    held "$n" "$port"
    note "$kind device" $((n - first))
    parked["$kind"]=$(curl -s "http://127.0.0.1:$PORT/v1/applications/app" \
                      | grep -o '"tls_parked":"[0-9]*"' | tr -dc 0-9)

    "${load[@]}" --devices "$n" --callers 8 --calls $((n * 2)) > "$dir/load" \
        || { cat "$dir/load" >&2; die "calls failed"; }
    note "$kind device, called" $((n - first))

    end "$devices_pid" "$first_pid"
    [ "$(field dropped "$dir/devices")" = 0 ] || die "devices were dropped"
    nginx_stop
    check_log "^$" || status=1
}


# parked_devices KIND N [OPTION]...: all of them have to be

parked_devices() {
    local kind=$1 n=$2
    shift 2

    park="cometa_tls_park on;"
    idle_devices "$kind" "$n" $((PORT + 1)) --use_ssl --park "$@"
    park=

    [ "${parked[$kind]}" = "$n" ] || die "$kind: ${parked[$kind]} of $n"
}


# measure_websockets N: to a few devices, which they share

measure_websockets() {
    local n=$1 first=$(($1 / 4)) first_pid

    slots_for $((n + FEW))
    devices "$dir/devices" --devices "$FEW" --heartbeat "$HEARTBEAT" --quiet
    hold --websocket --each --devices "$FEW" --callers "$first" --calls 0
    first_pid=$held_pid
    cp "$dir/held" "$dir/first"
    held $((first + FEW)) "$PORT"
    zero=$(memory)

    hold --websocket --each --devices "$FEW" --callers $((n - first)) --calls 0
    held $((n + FEW)) "$PORT"
    note "WebSocket" $((n - first))

    end "$held_pid" "$first_pid" "$devices_pid"
    grep -q "lost 0;" "$dir/held" || die "WebSockets were lost"
    nginx_stop
    check_log "^$" || status=1
}


# row NAME [LIMIT]: of all that it takes

row() {
    local verdict=''

    # shellcheck disable=SC2086 # the figures are words
    set -- "$1" "${2:-}" ${result[$1]}

    if [ -n "$2" ]; then
        verdict="limit $2: met"

        if [ "$3" -gt "$2" ]; then
            verdict="limit $2: MISSED"
            [ "${STRICT:-}" != 1 ] || status=1
        fi
    fi

    printf '  %-32s %8d %8d %8d  %s\n' "$1" "$3" "$4" "$5" "$verdict"
}


most=$(printf '%s\n' "$DEVICES" "$TLS_DEVICES" "$WEBSOCKETS" \
       | sort -n | tail -1)

if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((most + 128)) ]
then
    die "$most connections in a process, but it may have $(ulimit -n)" \
        "descriptors: set DEVICES, TLS_DEVICES and WEBSOCKETS lower"
fi

tls=("$TLS_DEVICES" $((PORT + 1)) --use_ssl)

keep_alive plain "$DEVICES" "$PORT"
idle_devices plain "$DEVICES" "$PORT"
keep_alive "TLS 1.3" "${tls[@]}" --tls 1.3
idle_devices "TLS 1.3" "${tls[@]}" --tls 1.3 --park
parked_devices "TLS 1.3, parked" "$DEVICES" --tls 1.3
keep_alive "TLS 1.2" "${tls[@]}" --tls 1.2
idle_devices "TLS 1.2" "${tls[@]}" --tls 1.2 --park
parked_devices "TLS 1.2, parked" "$DEVICES" --tls 1.2
measure_websockets "$WEBSOCKETS"

read -r plain _ <<< "${result[plain device]}"

printf 'bytes of worker memory each, %d connections plain and parked, ' \
    "$DEVICES"
printf '%d over TLS, %d WebSockets\n' "$TLS_DEVICES" "$WEBSOCKETS"
printf '  %-32s %8s %8s %8s\n' "" all private zone
row "plain keep-alive"
row "plain device" 768
row "plain device, called"

for version in 1.3 1.2; do
    read -r keepalive _ <<< "${result[TLS $version keep-alive]}"
    row "TLS $version keep-alive"
    row "TLS $version device" $((keepalive + 500))
    row "TLS $version device, called"
    row "TLS $version, parked device" \
        $((plain + PARKED < MOST ? plain + PARKED : MOST))
    row "TLS $version, parked device, called"
done

row "WebSocket"

exit "$status"
