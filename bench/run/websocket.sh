#!/bin/bash
# Every WebSocket gets the replies to its own calls, in their order, and every
# event of its device, in order, however many workers there are.
#
# The first SPEAKERS devices push events while they are called; half of the
# WebSockets are theirs, by turns, the others' devices are chosen at random
# out of the rest.
#
#   WORKERS DEVICES WEBSOCKETS CALLS    64 10000 4000 100000
#   SPEAKERS EVENTS EVENT_RATE          1000 20000 2000 (s^-1)
#   OUTSTANDING    calls on each WebSocket at a time (4)

. "$(dirname "$0")/env.sh"

WORKERS=${WORKERS:-64}
DEVICES=${DEVICES:-10000}
WEBSOCKETS=${WEBSOCKETS:-4000}
CALLS=${CALLS:-100000}
SPEAKERS=${SPEAKERS:-1000}
EVENTS=${EVENTS:-20000}
EVENT_RATE=${EVENT_RATE:-2000}
OUTSTANDING=${OUTSTANDING:-4}

each=$((EVENTS / SPEAKERS))         # events of one speaker
half=$((WEBSOCKETS / 2))
rest=$((DEVICES - SPEAKERS))
status=0


# sum NAME FILE...

sum() {
    local name=$1 n=0 file
    shift

    for file in "$@"; do
        n=$((n + $(field "$name" "$file")))
    done

    echo "$n"
}


# must NAME FILES TEXT N: the sum over both files has to be N

must() {
    local n

    n=$(sum "$1" "$dir/$2.1" "$dir/$2.2")
    printf '  %-32s %10d' "$3" "$n"

    if [ "$n" = "$4" ]; then
        echo
        return
    fi

    printf '  FAILED: must be %d\n' "$4"
    status=1
}


# sockets FILE OPTION...: half of the WebSockets, in the background; their pid
# in sockets_pid

sockets() {
    local out=$1
    shift

    : > "$out"
    "${load[@]}" --websocket --callers "$half" --calls $((CALLS / 2)) \
        --outstanding "$OUTSTANDING" --json "$@" > "$out" &
    sockets_pid=$!
}


if [ $((each * SPEAKERS)) != "$EVENTS" ] || [ $((CALLS % 2)) != 0 ] \
    || [ $((half * 2)) != "$WEBSOCKETS" ] || [ "$rest" -lt 1 ]
then
    die "EVENTS must be a multiple of SPEAKERS, WEBSOCKETS and CALLS even," \
        "and SPEAKERS less than DEVICES"
fi

# the kernel spreads connections over the workers by hash: leave room. Several
# WebSockets may have the same device: its queue must take all their calls

nginx_conf "$WORKERS" $((2 * (DEVICES + WEBSOCKETS) / WORKERS + 512)) \
    "$DEVICES" "cometa_queue $WEBSOCKETS;"
nginx_start

devices "$dir/devices.1" --devices "$SPEAKERS" --events "$each" \
    --event_rate "$EVENT_RATE" --quiet
speakers=$devices_pid

devices "$dir/devices.2" --device_id $((SPEAKERS + 1)) --devices "$rest" \
    --quiet
others=$devices_pid

sockets "$dir/load.1" --devices "$SPEAKERS" --each --events "$each"
first=$sockets_pid

sockets "$dir/load.2" --device_id $((SPEAKERS + 1)) --devices "$rest"
second=$sockets_pid

until_said open "$dir/load.1" "$first"
kill -USR1 "$speakers"

for pid in "$first" "$second"; do
    wait "$pid" || status=$?
    [ "$status" -lt 3 ] || die "the callers ended with $status"
done

end "$speakers" "$others"

printf '%d workers, %d devices, %d WebSockets with %d calls outstanding:\n' \
    "$WORKERS" "$DEVICES" "$WEBSOCKETS" "$OUTSTANDING"

must right load "right replies, in order" "$CALLS"
must wrong load "wrong" 0
must hung load "hung" 0
must malformed load "malformed" 0
must failed load "failed" 0
must lost load "WebSockets lost" 0
must events devices "events pushed" "$EVENTS"
must events load "events received, in order" $((each * half))
must disordered load "events out of order" 0
must missed load "events missed" 0

for name in overruns repeated malformed dropped; do
    must "$name" devices "$name (seen by devices)" 0
done

for i in 1 2; do
    printf '  %s calls/s, latency p50 %s us, p99 %s us (half %d)\n' \
        "$(field rate "$dir/load.$i")" "$(field p50 "$dir/load.$i")" \
        "$(field p99 "$dir/load.$i")" "$i"
done

check_log "^$" || status=1

if [ "$status" != 0 ]; then
    cat "$dir"/load.*
    echo FAILED
    exit "$status"
fi

echo "all right"
