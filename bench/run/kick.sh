#!/bin/bash
# An application ends the connections of very many of its devices, by the
# beginning of their ids, while others of it are called. Those calls must not
# feel it; the devices go at the rate of cometa_drain, each of them once,
# although all attach again; and the list in pages, with figures, has all of
# them afterwards.
#
#   DEVICES   that are ended (20000)
#   DRAIN     how many a second (2000)
#   STAY      devices that stay and are called (500)
#   RATE      calls a second to them (500)
#   WORKERS   (6: a process holds 20,000 descriptors)
#   P99       ms, the limit for calls meanwhile (10)
#
# As in storm.sh, nginx, callers and the devices that are called run with more
# priority than the devices that are ended, which in the field have machines of
# their own. It needs root.

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-20000}
DRAIN=${DRAIN:-2000}
STAY=${STAY:-500}
RATE=${RATE:-500}
WORKERS=${WORKERS:-6}
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


# that have left because their application ended them

kicked() {
    curl -s "http://127.0.0.1:$PORT/metrics" \
        | awk '/^cometa_detaches_total.*"kicked"/ { n += $2 } END { print n + 0 }'
}


num_devices() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app" > "$dir/stats"
    field num_devices "$dir/stats"
}


# calls FILE SECONDS: to the devices that stay, in the background

calls() {
    "${load[@]}" --app_id app --device_id 2000000 --devices "$STAY" --callers 64 \
        --rate "$RATE" --duration "$2" --json > "$1" &
    load_pid=$!
    sooner "$load_pid"
}


p99() {
    awk -v us="$(field p99 "$1")" 'BEGIN { print us / 1000 }'
}


# different devices with figures, by pages

listed() {
    local after='' page

    while :; do
        page=$(curl -s "http://127.0.0.1:$PORT/v1/applications/app/devices?prefix=1&detail=1$after")
        grep -o '"device_id":"[0-9]*","ip_address"' <<< "$page"
        after=$(sed -n 's/.*"next":"\([0-9]*\)".*/\&after=\1/p' <<< "$page")
        [ -n "$after" ] || break
    done | sort -u | wc -l
}


set_to kernel.sched_autogroup_enabled 0
nginx_conf "$WORKERS" 19000 $((DEVICES + STAY)) "cometa_drain rate=$DRAIN/s;" "
        location ~ ^/kick/(?<app>[^/]+)\$ {
            cometa_device *;
            cometa_detach;
        }"
nginx_start

devices "$dir/stay" --app_id app --device_id 2000000 --devices "$STAY" --quiet
stay_pid=$devices_pid
sooner "$stay_pid" "$master"

devices "$dir/kicked" --app_id app --device_id 1000000 --devices "$DEVICES" \
    --quiet --concurrency "$DEVICES"

calls "$dir/alone" 5
wait "$load_pid" || wrong "calls failed before"

lasts=$((DEVICES / DRAIN))
calls "$dir/beside" $((lasts + 3))
sleep 1

begun=$(date +%s%N)
answer=$(curl -s -X DELETE "http://127.0.0.1:$PORT/kick/app?prefix=1")

[ "$answer" = "{\"num_devices\":$DEVICES}" ] || wrong "answer: $answer"

until [ "$(kicked)" -ge "$DEVICES" ]; do
    [ $((($(date +%s%N) - begun) / 1000000000)) -lt $((4 * lasts + 30)) ] \
        || { wrong "$(kicked) are ended"; break; }
    sleep 0.05
done

took=$((($(date +%s%N) - begun) / 1000000))

wait "$load_pid" || wrong "calls failed"

# whoever is back stays

sleep 2
[ "$(kicked)" = "$DEVICES" ] || wrong "$(kicked) were ended"

printf '%d devices are ended in %d ms, %d a second; ' \
    "$DEVICES" "$took" $((DEVICES * 1000 / took))
printf 'p99 of calls %s ms, before that %s ms\n' "$(p99 "$dir/beside")" \
    "$(p99 "$dir/alone")"

is_above "$(p99 "$dir/beside")" "$P99" \
    && wrong "p99 of calls is $(p99 "$dir/beside") ms"
is_above $((DEVICES * 1000 / took)) $((DRAIN + DRAIN / 10 + 100)) \
    && wrong "they go faster than $DRAIN a second"

# all come back

until [ "$(num_devices)" = $((DEVICES + STAY)) ]; do
    [ $((($(date +%s%N) - begun) / 1000000000)) -lt $((4 * lasts + 90)) ] \
        || { wrong "$(num_devices) are back"; break; }
    sleep 0.2
done

begun=$(date +%s%N)
n=$(listed)
printf '%d of them in the list, with figures, after %d ms\n' "$n" \
    $((($(date +%s%N) - begun) / 1000000))
[ "$n" = "$DEVICES" ] || wrong "$n in the list"

end "$devices_pid" "$stay_pid"

check_log 'could not be (read|written)$' || status=1

[ "$status" = 0 ] && echo "all right"
exit "$status"
