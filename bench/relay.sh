#!/bin/bash
# CPU time of the workers for one call and its reply, beside that of
# proxy_pass to a keep-alive upstream, in turns in the same run: with one
# worker, and with two where every call crosses from one to the other.
#
#   DEVICES CALLERS SIZE ROUNDS ROUND    1000 64 32 5 3 (s)
#   STRICT    1: fail if a ratio is above its limit

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000}
CALLERS=${CALLERS:-64}
SIZE=${SIZE:-32}
ROUNDS=${ROUNDS:-5}
ROUND=${ROUND:-3}

hz=$(getconf CLK_TCK)
status=0


# The loads of one round, each process with a file of its own.

send_one() {
    "${load[@]}" --devices "$DEVICES" --callers "$CALLERS" "${common[@]}" \
        > "$dir/load.1"
}

proxy_one() {
    "${load[@]}" --uri /proxy --callers "$CALLERS" "${common[@]}" \
        > "$dir/load.1"
}

two() {
    local first second=0

    # shellcheck disable=SC2086 # the options are words
    "${load[@]}" --worker "$w1" --callers $((CALLERS / 2)) "${common[@]}" $1 \
        > "$dir/load.1" &
    first=$!
    # shellcheck disable=SC2086
    "${load[@]}" --worker "$w2" --callers $((CALLERS / 2)) "${common[@]}" $2 \
        > "$dir/load.2" || second=$?
    wait "$first" && return "$second"
}

on_one="--device_id 1 --devices $((DEVICES / 2))"
on_two="--device_id $((DEVICES / 2 + 1)) --devices $((DEVICES / 2))"

send_crossing() { two "$on_two" "$on_one"; }
send_local() { two "$on_one" "$on_two"; }
proxy_two() { two "--uri /proxy" "--uri /proxy"; }


# measure NAME LOAD: one round; adds to the sums of the name

declare -A ticks calls seconds

measure() {
    local name=$1 before after n=0 file

    rm -f "$dir"/load.*
    # shellcheck disable=SC2086 # the workers are words
    before=$(cpu_ticks $workers)
    $2 || { echo "$name: wrong or failed replies" >&2; cat "$dir"/load.*
            exit 1; }
    # shellcheck disable=SC2086
    after=$(cpu_ticks $workers)

    for file in "$dir"/load.*; do
        n=$((n + $(field right "$file")))
    done

    ticks[$name]=$((${ticks[$name]:-0} + after - before))
    calls[$name]=$((${calls[$name]:-0} + n))
    seconds[$name]=$((${seconds[$name]:-0} + ROUND))
}


microseconds() {
    awk -v t="${ticks[$1]}" -v c="${calls[$1]}" -v hz="$hz" \
        'BEGIN { printf "%.2f", t / hz * 1e6 / c }'
}


# row NAME BASE LIMIT

row() {
    local us base ratio verdict=

    us=$(microseconds "$1")
    base=$(microseconds "$2")
    ratio=$(awk -v a="$us" -v b="$base" 'BEGIN { printf "%.3f", a / b }')

    if [ -n "${3:-}" ]; then
        verdict="limit $3: met"

        if awk -v r="$ratio" -v l="$3" 'BEGIN { exit !(r > l) }'; then
            verdict="limit $3: MISSED"
            [ "${STRICT:-}" != 1 ] || status=1
        fi
    fi

    printf '  %-26s %10d %10d %10s %8s  %s\n' "$1" "${calls[$1]}" \
        $((${calls[$1]} / ${seconds[$1]})) "$us" "$ratio" "$verdict"
}


# case_of WORKERS: nginx, the upstream and the word "workers" are ready

case_of() {
    nginx_conf "$1" $((DEVICES + 4 * CALLERS + 64)) "$DEVICES"
    nginx_start
    workers=$(nginx_workers)
    # shellcheck disable=SC2086
    set -- $workers
    w1=$1
    w2=${2:-}
}


"$BENCH/cb-upstream" $((PORT + 2)) &
upstream=$!
common=(--size "$SIZE" --json --duration 1)

case_of 1
devices "$dir/devices" --devices "$DEVICES" --quiet

send_one && proxy_one               # warm
common=(--size "$SIZE" --json --duration "$ROUND")

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass" proxy_one
    measure "send" send_one
done

end "$devices_pid"
check_log "^$" || status=1
nginx_stop

case_of 2
# shellcheck disable=SC2086 # the options are words
devices "$dir/devices.1" --worker "$w1" $on_one --quiet
devices_1=$devices_pid
# shellcheck disable=SC2086
devices "$dir/devices.2" --worker "$w2" $on_two --quiet
devices_2=$devices_pid

common=(--size "$SIZE" --json --duration 1)
send_crossing && proxy_two          # warm
common=(--size "$SIZE" --json --duration "$ROUND")

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass, 2 workers" proxy_two
    measure "send, all crossing" send_crossing
    measure "send, none crossing" send_local
done

end "$devices_1" "$devices_2" "$upstream"
check_log "^$" || status=1

printf '%d bytes each way, %d callers, %d devices, %d rounds of %s s\n' \
    "$SIZE" "$CALLERS" "$DEVICES" "$ROUNDS" "$ROUND"
printf '  %-26s %10s %10s %10s %8s\n' "" calls calls/s "us CPU" ratio
row "proxy_pass" "proxy_pass"
row "send" "proxy_pass" 1.0
row "proxy_pass, 2 workers" "proxy_pass, 2 workers"
row "send, none crossing" "proxy_pass, 2 workers"
row "send, all crossing" "proxy_pass, 2 workers" 1.15

exit "$status"
