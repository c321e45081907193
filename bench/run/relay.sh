#!/bin/bash
# CPU time of the workers for one call and its reply, beside that of
# proxy_pass to a keep-alive upstream, in turns in the same run: over HTTP and
# over WebSockets with one worker; over HTTP with two, where every call
# crosses from one to the other.
#
# proxy_pass has as many upstream connections as callers, and none of them is
# waited for: nginx takes the one that was used last. Like with like is a
# device for each caller. Devices chosen at random out of many show what a
# working set of more sockets costs, and callers that wait for each other; the
# fair comparison for them is proxy_pass at random to as many upstreams, each
# with a location and connections of its own, so that nothing has to be
# searched for. WebSockets with more calls outstanding are
# once as many as the callers, and once so many that as many calls are under
# way as with proxy_pass. They are measured with devices that take one call at a
# time, and with devices that take all of these.
#
#   DEVICES CALLERS SIZE ROUNDS ROUND    1000 64 32 5 3 (s)
#   STRICT    1: fail if a ratio is above its limit

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000}
CALLERS=${CALLERS:-64}
SIZE=${SIZE:-32}
ROUNDS=${ROUNDS:-5}
ROUND=${ROUND:-3}

OUTSTANDING=16
WARM=1                      # s

half=$((DEVICES / 2))       # on each of two workers
callers=$((CALLERS / 2))    # of each of two loads
few=$(((CALLERS + OUTSTANDING - 1) / OUTSTANDING))
status=0


# The loads of one round, each process with a file of its own.

# run N OPTION...

run() {
    local n=$1
    shift

    "${load[@]}" --size "$SIZE" --duration "$seconds" --json "$@" \
        > "$dir/load.$n"
}

proxy() { run 1 --callers "$CALLERS" --uri /proxy; }
# shellcheck disable=SC2317 # called by "measure"
rotation() {
    run 1 --callers "$CALLERS" --devices "$DEVICES" --uri "/to/{device}"
}
# shellcheck disable=SC2317
own() { run 1 --callers "$CALLERS" --devices "$CALLERS" --each; }
any() { run 1 --callers "$CALLERS" --devices "$DEVICES"; }

# websocket NUMBER OUTSTANDING [OPTION...]

websocket() {
    local n=$1 outstanding=$2
    shift 2

    run 1 --callers "$n" --devices "$n" --each --websocket \
        --outstanding "$outstanding" "$@"
}

pipelined() { websocket "$1" "$OUTSTANDING" --device_id $((DEVICES + 1)); }


# two "OPTION..." "OPTION...": a load from each of two workers

two() {
    local first second=0

    # shellcheck disable=SC2086 # the options are words
    run 1 --worker "$w1" --callers "$callers" $1 &
    first=$!
    # shellcheck disable=SC2086
    run 2 --worker "$w2" --callers "$callers" $2 || second=$?
    wait "$first" && return "$second"
}

# N devices of one worker

on_one() { echo "--device_id 1 --devices $1"; }
on_two() { echo "--device_id $((half + 1)) --devices $1"; }

proxy_two() { two "--uri /proxy" "--uri /proxy"; }
# shellcheck disable=SC2317
own_local() {
    two "$(on_one "$callers") --each" "$(on_two "$callers") --each"
}

# shellcheck disable=SC2317
own_cross() {
    two "$(on_two "$callers") --each" "$(on_one "$callers") --each"
}

any_cross() {
    two "$(on_two "$half")" "$(on_one "$half")"
}


# measure NAME LOAD...: one round; CPU time per call goes to the list of the
# name

declare -A us calls

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

    calls[$name]=$((${calls[$name]:-0} + n))
    us[$name]+="$(us_per_call $((after - before)) "$n") "
}


# row NAME BASE [LIMIT | fair]: fair is a word for the reader

row() {
    local ratio verdict=

    ratio=$(ratios "${us[$1]}" "${us[$2]}" | median)

    if [ "${3:-}" = fair ]; then
        verdict="of $2"

    elif [ -n "${3:-}" ]; then
        verdict="limit $3: met"

        if is_above "$ratio" "$3"; then
            verdict="limit $3: MISSED"
            [ "${STRICT:-}" != 1 ] || status=1
        fi
    fi

    printf '  %-36s %9d %9d %8s %7s  %s\n' "$1" "${calls[$1]}" \
        $((${calls[$1]} / (ROUNDS * ROUND))) "$(median <<< "${us[$1]}")" \
        "$ratio" "$verdict"
}


# The upstreams of "rotation", and a location for each.

upstreams() {
    local n

    for n in $(seq "$DEVICES"); do
        echo "upstream u$n {
            server 127.0.0.1:$((PORT + 2));
            keepalive 2;
            keepalive_requests 1000000000;
            keepalive_timeout 3600s;
        }"
    done
}

locations() {
    local n

    for n in $(seq "$DEVICES"); do
        echo "location = /to/$n {
            proxy_pass http://u$n;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }"
    done
}


# case_of WORKERS: nginx runs, with room for what it keeps free

case_of() {
    nginx_conf "$1" $((3 * DEVICES * 9 / 8 + 4 * CALLERS + 64)) "$DEVICES" \
        "$(upstreams)" "$(locations)"
    nginx_start
    workers=$(nginx_workers)
    # shellcheck disable=SC2086
    set -- $workers
    w1=$1
    w2=${2:-}
}


if [ "$half" -lt "$CALLERS" ]; then
    die "DEVICES must be at least twice CALLERS"
fi

"$BENCH/cb-upstream" $((PORT + 2)) &
upstream=$!

case_of 1
devices "$dir/devices" --devices "$DEVICES" --quiet
one_at_a_time=$devices_pid
devices "$dir/devices.pipelining" --device_id $((DEVICES + 1)) \
    --devices "$CALLERS" --pipeline "$OUTSTANDING" --quiet

seconds=$WARM
any && proxy && rotation && websocket "$CALLERS" 1 && pipelined "$CALLERS"
seconds=$ROUND

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass" proxy
    measure "proxy_pass, $DEVICES at random" rotation
    measure "send, own device" own
    measure "send, $DEVICES devices at random" any
    measure "$CALLERS WebSockets, 1 outstanding" websocket "$CALLERS" 1
    measure "$CALLERS WebSockets, $OUTSTANDING outstanding" \
        websocket "$CALLERS" "$OUTSTANDING"
    measure "$few WebSockets, $OUTSTANDING outstanding" \
        websocket "$few" "$OUTSTANDING"
    measure "$CALLERS WebSockets, $OUTSTANDING pipelined" pipelined "$CALLERS"
    measure "$few WebSockets, $OUTSTANDING pipelined" pipelined "$few"
done

end "$one_at_a_time" "$devices_pid"
check_log "^$" || status=1
nginx_stop

case_of 2
# shellcheck disable=SC2046 # the options are words
devices "$dir/devices.1" --worker "$w1" $(on_one "$half") --quiet
devices_1=$devices_pid
# shellcheck disable=SC2046
devices "$dir/devices.2" --worker "$w2" $(on_two "$half") --quiet
devices_2=$devices_pid

seconds=$WARM
any_cross && proxy_two
seconds=$ROUND

for _ in $(seq "$ROUNDS"); do
    measure "proxy_pass, 2 workers" proxy_two
    measure "send, own device, none crossing" own_local
    measure "send, own device, all crossing" own_cross
    measure "send, at random, all crossing" any_cross
done

end "$devices_1" "$devices_2" "$upstream"
check_log "^$" || status=1

printf '%d bytes each way, %d callers, medians of %d rounds of %s s\n' \
    "$SIZE" "$CALLERS" "$ROUNDS" "$ROUND"
printf '  %-36s %9s %9s %8s %7s\n' "" calls calls/s "us CPU" ratio
row "proxy_pass" "proxy_pass"
row "proxy_pass, $DEVICES at random" "proxy_pass"
row "send, own device" "proxy_pass" 1.0
row "send, $DEVICES devices at random" "proxy_pass"
row "send, $DEVICES devices at random" "proxy_pass, $DEVICES at random" fair
row "$CALLERS WebSockets, 1 outstanding" "proxy_pass" 0.8
row "$CALLERS WebSockets, $OUTSTANDING outstanding" "proxy_pass" 0.5
row "$few WebSockets, $OUTSTANDING outstanding" "proxy_pass"
row "$CALLERS WebSockets, $OUTSTANDING pipelined" "proxy_pass" 0.33
row "$few WebSockets, $OUTSTANDING pipelined" "proxy_pass" 0.33
row "proxy_pass, 2 workers" "proxy_pass, 2 workers"
row "send, own device, none crossing" "proxy_pass, 2 workers"
row "send, own device, all crossing" "proxy_pass, 2 workers" 1.15
row "send, at random, all crossing" "proxy_pass, 2 workers"

exit "$status"
