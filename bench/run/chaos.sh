#!/bin/bash
# Devices that answer late, twice or not at all, close, or attach elsewhere;
# callers with short deadlines; and every few seconds a worker is killed. No
# caller may get the reply to another's message, nothing may hang, and when
# all is over nothing may be left.
#
#   DURATION KILL_EVERY    60 5 (s)
#   WORKERS DEVICES CALLERS    4 300 64
#   MISCHIEF    how devices misbehave, options of cb-devices (--chaos)

. "$(dirname "$0")/env.sh"

DURATION=${DURATION:-60}
KILL_EVERY=${KILL_EVERY:-5}
WORKERS=${WORKERS:-4}
DEVICES=${DEVICES:-300}
CALLERS=${CALLERS:-64}
MISCHIEF=${MISCHIEF:---chaos}

status=0
kills=0


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


kill_one() {
    local worker

    # shellcheck disable=SC2046 # the workers are words
    worker=$(shuf -n 1 -e $(nginx_workers))
    kill -KILL "$worker"
    kills=$((kills + 1))
}


# connections the server holds, and descriptors of each worker

# shellcheck disable=SC2317 # called by "zero"
server_connections() {
    ss -Htn state connected exclude time-wait src "127.0.0.1:$PORT" | wc -l
}

descriptors() {
    local worker

    for worker in $(nginx_workers); do
        find "/proc/$worker/fd" -mindepth 1 | wc -l
    done | sort | uniq -c
}


# zero WHAT COMMAND...: what the command prints has to become 0, soon

zero() {
    local what=$1 value i
    shift

    for i in $(seq 30); do
        value=$("$@")
        [ "$value" = 0 ] && break
        sleep 0.1
    done

    printf '  %-28s %s\n' "$what" "${value:-no answer}"
    [ "$value" = 0 ] || wrong "$what left over"
}

# shellcheck disable=SC2317
counter() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app${2:-}" \
        > "$dir/stats" || return 0
    field "$1" "$dir/stats"
}


# happened NAME FILE: what is to be tested did happen; none: what must not

happened() {
    local n

    n=$(field "$1" "$2")
    printf '  %-28s %s\n' "$1" "$n"
    [ "${n:-0}" -gt 0 ] || wrong "no $1: nothing was tested"
}

none() {
    local n

    n=$(field "$1" "$2")
    printf '  %-28s %s\n' "$1" "$n"
    [ "$n" = 0 ] || wrong "$1: $n"
}


nginx_conf "$WORKERS" $((4 * (DEVICES + CALLERS) + 64)) "$DEVICES" "
    cometa_send_timeout 500ms max=5s;
    cometa_heartbeat 2s timeout=4s;"
nginx_start

before=$(descriptors)

# shellcheck disable=SC2086 # the options are words
devices "$dir/devices" --devices "$DEVICES" --heartbeat 2 --backoff 100 \
    --quiet $MISCHIEF

# half of the callers name a deadline, half wait for devices to come back
# within the server's own of 0.5 s

half="--callers $((CALLERS / 2)) --devices $DEVICES --duration $DURATION"
half="$half --json --allow_failures"

# shellcheck disable=SC2086 # the options are words
"${load[@]}" $half --deadline 1 > "$dir/load.1" &
load_1=$!
# shellcheck disable=SC2086
"${load[@]}" $half --wait 1 --watchdog 1.5 > "$dir/load.2" &
load_2=$!

until [ $(((kills + 1) * KILL_EVERY)) -gt "$DURATION" ]; do
    sleep "$KILL_EVERY"
    kill_one
done

for pid in "$load_1" "$load_2"; do
    wait "$pid" || wrong "callers ended with $?"
done

for i in 1 2; do
    echo "callers, half $i:"

    for name in wrong hung malformed; do
        none "$name" "$dir/load.$i"
    done

    happened right "$dir/load.$i"
    grep -o '"errors":.*' "$dir/load.$i" | grep -o '{[^}]*}' \
        | sed 's/^/    /' || true
done

echo "left when the callers are gone:"
zero queued counter queued
end "$devices_pid"

echo "left when the devices are gone:"
zero num_devices counter num_devices
zero "devices in the list" counter num_devices /devices
zero queued counter queued
zero connections server_connections

if [ "$(descriptors)" != "$before" ]; then
    echo "descriptors of workers before: $before, after: $(descriptors)" >&2
    wrong "descriptors left over"
fi

echo "devices:"

for name in late twice silent quit elsewhere dropped heartbeats; do
    happened "$name" "$dir/devices"
done

for name in overruns repeated malformed; do
    none "$name" "$dir/devices"
done

printf '  %-28s %s\n' "workers killed" "$kills"
[ "$kills" -gt 0 ] || wrong "no worker was killed"

check_log 'exited on signal 9' || status=1

[ "$status" = 0 ] && echo "all right"
exit "$status"
