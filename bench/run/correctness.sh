#!/bin/bash
# Every caller gets the reply to its own message, however many workers there
# are: unique messages from concurrent callers to devices on all workers.
#
#   WORKERS DEVICES CALLS CALLERS    64 10000 200000 64

. "$(dirname "$0")/env.sh"

WORKERS=${WORKERS:-64}
DEVICES=${DEVICES:-10000}
CALLS=${CALLS:-200000}
CALLERS=${CALLERS:-64}

# the kernel spreads the devices over the workers by hash: leave room

nginx_conf "$WORKERS" $((DEVICES * 2 / WORKERS + CALLERS + 512)) "$DEVICES"
nginx_start

devices "$dir/devices" --devices "$DEVICES"

status=0
"${load[@]}" --devices "$DEVICES" --callers "$CALLERS" --calls "$CALLS" \
    --json > "$dir/load" || status=$?

end "$devices_pid"

printf '%d workers, %d devices, %d callers, %d calls:\n' \
    "$WORKERS" "$DEVICES" "$CALLERS" "$CALLS"

for name in right wrong hung malformed failed; do
    printf '  %-10s %10s\n' "$name" "$(field "$name" "$dir/load")"
done

for name in overruns repeated malformed dropped; do
    printf '  %-10s %10s  (seen by devices)\n' "$name" \
        "$(field "$name" "$dir/devices")"

    [ "$(field "$name" "$dir/devices")" = 0 ] || status=1
done

printf '  %s calls/s, latency p50 %s us, p99 %s us\n' \
    "$(field rate "$dir/load")" "$(field p50 "$dir/load")" \
    "$(field p99 "$dir/load")"

[ "$(field right "$dir/load")" = "$CALLS" ] || status=1
check_log "^$" || status=1

if [ "$status" != 0 ]; then
    cat "$dir/load"
    echo FAILED
    exit "$status"
fi

echo "all right"
