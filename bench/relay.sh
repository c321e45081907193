#!/bin/bash
# CPU time of the workers for one call and its reply, beside that of
# proxy_pass to a keep-alive upstream, in turns in the same run: with one
# worker, and with two where every call crosses from one to the other.
#
# proxy_pass has as many upstream connections as callers. So once as many
# devices are called, for like with like, and once all that are attached: the
# difference is what a working set of more sockets costs.
#
#   DEVICES CALLERS SIZE ROUNDS ROUND    1000 64 32 4 3 (s)
#   STRICT    1: fail if a ratio is above its limit

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000}
CALLERS=${CALLERS:-64}
SIZE=${SIZE:-32}
ROUNDS=${ROUNDS:-4}
ROUND=${ROUND:-3}

hz=$(getconf CLK_TCK)
few="send, $CALLERS devices"
many="send, $DEVICES devices"
status=0


# The loads of one round, each process with a file of its own.

send_one() {
    "${load[@]}" --devices "$1" --callers "$CALLERS" "${common[@]}" \
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

half=$((DEVICES / 2))

# N devices of all, half of them on each worker

on_one() { echo "--device_id 1 --devices $(($1 / 2))"; }
on_two() { echo "--device_id $((half + 1)) --devices $(($1 / 2))"; }

send_crossing() { two "$(on_two "$1")" "$(on_one "$1")"; }
send_local() { two "$(on_one "$1")" "$(on_two "$1")"; }
proxy_two() { two "--uri /proxy" "--uri /proxy"; }


# measure NAME LOAD...: one round; adds to the sums of the name

declare -A ticks calls seconds

measure() {
    local name=$1 before after n=0 file
    shift

    rm -f "$dir"/load.*
    # shellcheck disable=SC2086 # the workers are words
    before=$(cpu_ticks $workers)
    "$@" || { echo "$name: wrong or failed replies" >&2; cat "$dir"/load.*
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

    printf '  %-34s %10d %10d %10s %8s  %s\n' "$1" "${calls[$1]}" \
        $((${calls[$1]} / ${seconds[$1]})) "$us" "$ratio" "$verdict"
}


# case_of WORKERS: nginx runs, with room for what it keeps free

case_of() {
    nginx_conf "$1" $((DEVICES * 9 / 8 + 4 * CALLERS + 64)) "$DEVICES"
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

send_one "$DEVICES" && proxy_one            # warm
common=(--size "$SIZE" --json --duration "$ROUND")

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass" proxy_one
    measure "$few" send_one "$CALLERS"
    measure "$many" send_one "$DEVICES"
done

end "$devices_pid"
check_log "^$" || status=1
nginx_stop

case_of 2
# shellcheck disable=SC2046 # the options are words
devices "$dir/devices.1" --worker "$w1" $(on_one "$DEVICES") --quiet
devices_1=$devices_pid
# shellcheck disable=SC2046
devices "$dir/devices.2" --worker "$w2" $(on_two "$DEVICES") --quiet
devices_2=$devices_pid

common=(--size "$SIZE" --json --duration 1)
send_crossing "$DEVICES" && proxy_two       # warm
common=(--size "$SIZE" --json --duration "$ROUND")

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass, 2 workers" proxy_two
    measure "$few, none crossing" send_local "$CALLERS"
    measure "$few, all crossing" send_crossing "$CALLERS"
    measure "$many, all crossing" send_crossing "$DEVICES"
done

end "$devices_1" "$devices_2" "$upstream"
check_log "^$" || status=1

printf '%d bytes each way, %d callers, %d devices, %d rounds of %s s\n' \
    "$SIZE" "$CALLERS" "$DEVICES" "$ROUNDS" "$ROUND"
printf '  %-34s %10s %10s %10s %8s\n' "" calls calls/s "us CPU" ratio
row "proxy_pass" "proxy_pass"
row "$few" "proxy_pass" 1.0
row "$many" "proxy_pass" 1.0
row "proxy_pass, 2 workers" "proxy_pass, 2 workers"
row "$few, none crossing" "proxy_pass, 2 workers"
row "$few, all crossing" "proxy_pass, 2 workers" 1.15
row "$many, all crossing" "proxy_pass, 2 workers" 1.15

exit "$status"
