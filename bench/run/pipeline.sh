#!/bin/bash
# Calls a second through a network with a long round trip: to devices that take
# one call at a time, and to devices that take several. A relay between server
# and devices holds every byte for half of the round trip. Each device has one
# WebSocket, with as many calls outstanding as it takes at a time.
#
#   RTT       50 (ms)
#   PIPELINE  16
#   DEVICES   4
#   ROUND     10 (s)
#   STRICT    1: fail if it is not at least 0.95 of PIPELINE times as many

. "$(dirname "$0")/env.sh"

RTT=${RTT:-50}
PIPELINE=${PIPELINE:-16}
DEVICES=${DEVICES:-4}
ROUND=${ROUND:-10}

status=0
relay_port=$((PORT + 2))


# calls_with N: calls a second with devices that take N at a time; in rate

calls_with() {
    devices "$dir/devices.$1" --devices "$DEVICES" --pipeline "$1" \
        --server_port "$relay_port" --quiet

    "${load[@]}" --devices "$DEVICES" --callers "$DEVICES" --each --websocket \
        --outstanding "$PIPELINE" --duration "$ROUND" --json \
        > "$dir/load.$1" || { cat "$dir/load.$1"; die "wrong or failed calls"; }

    end "$devices_pid"

    for name in overruns repeated malformed dropped; do
        [ "$(field "$name" "$dir/devices.$1")" = 0 ] \
            || die "devices have seen $name"
    done

    rate=$(field rate "$dir/load.$1")
    printf '  %-28s %9s %9s\n' "$1 at a time" "$rate" \
        "$(field p50 "$dir/load.$1")"
}


nginx_conf 1 $((8 * DEVICES + 64)) "$DEVICES" \
    "cometa_pipeline $PIPELINE; cometa_queue $PIPELINE;"
nginx_start

"$BENCH/cb-delay" "$relay_port" "$PORT" $((RTT / 2)) &
relay=$!
sleep 0.2

printf '%d ms of round trip, %d devices, %d calls outstanding to each:\n' \
    "$RTT" "$DEVICES" "$PIPELINE"
printf '  %-28s %9s %9s\n' "" calls/s "p50 us"

calls_with 1
one=$rate
calls_with "$PIPELINE"

ratio=$(awk -v a="$rate" -v b="$one" 'BEGIN { printf "%.2f", a / b }')
printf '  %-28s %9s\n' "times as many" "$ratio"

if is_above "$(awk -v n="$PIPELINE" 'BEGIN { print 0.95 * n }')" "$ratio"; then
    echo "fewer than $PIPELINE times as many"
    [ "${STRICT:-}" != 1 ] || status=1
fi

end "$relay"
check_log "^$" || status=1

exit "$status"
