#!/bin/bash
# Devices that answer late, twice or not at all, close, or attach elsewhere, some
# of which take several calls at a time; callers with short deadlines, by POST
# and by WebSockets; and all the while nginx is reloaded and workers are killed,
# old and new ones, at random moments and in the middle of the hand-over. No
# caller may get the reply to another's message, nothing may hang, the counters
# have to agree with what devices and callers have seen, and when all is over
# nothing may be left.
#
#   DURATION      60 (s)
#   KILL_EVERY    5 (s, at most; a third of it at least)
#   RELOADS       1 in so many kills comes right after a reload (2), 0: none
#   SEED          of the random moments (another one each time)
#   FREEZE        1 in so many workers is stopped before it is killed (4), 0: none
#   WORKERS DEVICES CALLERS WEBSOCKETS    4 300 64 32
#   TLS_DEVICES   that stay with the old workers for a while (30)
#   TLS_PARK      on: they are handed over as the others (off)
#   MISCHIEF      how devices misbehave, options of cb-devices (--chaos)

. "$(dirname "$0")/env.sh"

DURATION=${DURATION:-60}
KILL_EVERY=${KILL_EVERY:-5}
RELOADS=${RELOADS:-2}
SEED=${SEED:-$((RANDOM % 1000))}
WORKERS=${WORKERS:-4}
DEVICES=${DEVICES:-300}
CALLERS=${CALLERS:-64}
WEBSOCKETS=${WEBSOCKETS:-32}
TLS_DEVICES=${TLS_DEVICES:-30}
TLS_PARK=${TLS_PARK:-off}
FREEZE=${FREEZE:-4}
MISCHIEF=${MISCHIEF:---chaos}

KILL_EVERY_MS=$(awk -v s="$KILL_EVERY" 'BEGIN { print int(s * 1000) }')
ALL=$((DEVICES + TLS_DEVICES))
HAND_OVER=200               # ms after a reload: a kill then meets a hand-over
LEAVE=10                    # s that old workers may take

status=0
kills=0
old_kills=0
reloads=0


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


# pause FROM TO: ms, at random

pause() {
    local ms=$(($1 + RANDOM * ($2 - $1 + 1) / 32768))

    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}


# one worker, old or new; the old ones are those of before the last reload

kill_one() {
    local worker

    # shellcheck disable=SC2207 # the workers are words
    workers=($(nginx_workers))
    worker=${workers[RANDOM % ${#workers[@]}]}

    # letters and connections for it wait meanwhile

    if [ "$FREEZE" != 0 ] && [ $((RANDOM % FREEZE)) = 0 ]; then
        kill -STOP "$worker" 2>/dev/null || return 0
        pause 0 300
    fi

    kill -KILL "$worker" 2>/dev/null || return 0
    kills=$((kills + 1))

    if [[ " $old " == *" $worker "* ]]; then
        old_kills=$((old_kills + 1))
    fi
}


# now and then a second reload strikes the first one

reload() {
    old=$(nginx_workers)
    kill -HUP "$master"
    reloads=$((reloads + 1))

    if [ $((RANDOM % 4)) = 0 ]; then
        pause 0 "$HAND_OVER"
        kill -HUP "$master"
        reloads=$((reloads + 1))
    fi
}


# connections the server holds, and descriptors of each worker

# shellcheck disable=SC2317 # called by "zero"
server_connections() {
    ss -Htn state connected exclude time-wait \
        "( src 127.0.0.1:$PORT or src 127.0.0.1:$((PORT + 1)) )" | wc -l
}

descriptors() {
    local worker

    for worker in $(nginx_workers); do
        find "/proc/$worker/fd" -mindepth 1 | wc -l
    done | sort | uniq -c
}


# becomes VALUE WHAT COMMAND...: what the command prints has to be the value,
# soon

becomes() {
    local wanted=$1 what=$2 value i
    shift 2

    for i in $(seq $((LEAVE * 10))); do
        value=$("$@")
        [ "$value" = "$wanted" ] && break
        sleep 0.1
    done

    printf '  %-28s %s\n' "$what" "${value:-no answer}"
    [ "$value" = "$wanted" ] || wrong "$what: not $wanted"
}

# shellcheck disable=SC2317
counter() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app${2:-}" \
        > "$dir/stats" || return 0
    field "$1" "$dir/stats"
}

# metric NAME: the sum of all of its lines

# shellcheck disable=SC2317
metric() {
    curl -s "http://127.0.0.1:$PORT/metrics" \
        | awk -v name="$1" '{ sub(/{.*}/, "", $1) }
                            $1 == name { sum += $2 } END { print sum + 0 }'
}

# different devices in the list

# shellcheck disable=SC2317
listed() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app/devices" \
        | { grep -o '"[0-9]*"' || true; } | sort -u | wc -l
}

# shellcheck disable=SC2317
workers_there() {
    nginx_workers | wc -w
}


# happened NAME FILE...: what is to be tested did happen; none: what must not

happened() {
    local n

    n=$(sum "$@")
    printf '  %-28s %s\n' "$1" "$n"
    [ "${n:-0}" -gt 0 ] || wrong "no $1: nothing was tested"
}

none() {
    local n

    n=$(sum "$@")
    printf '  %-28s %s\n' "$1" "$n"
    [ "$n" = 0 ] || wrong "$1: $n"
}


# between LOW WHAT N HIGH

between() {
    printf '  %-28s %s (%s to %s)\n' "$2" "$3" "$1" "$4"
    [ "$1" -le "$3" ] && [ "$3" -le "$4" ] || wrong "$2 is not exact"
}


# errors WORD: calls of all loads that ended with it

errors() {
    { grep -ho "\"error\":\"$1\",\"calls\":[0-9]*" "$dir"/load.* || true; } \
        | awk -F: '{ sum += $NF } END { print sum + 0 }'
}

nginx_conf "$WORKERS" $((4 * (ALL + CALLERS + WEBSOCKETS) + 64)) \
    "$ALL" "
    cometa_send_timeout 500ms max=5s;
    cometa_heartbeat 2s timeout=4s;
    cometa_tls_park $TLS_PARK;"
nginx_start

RANDOM=$SEED
old=
before=$(descriptors)

# shellcheck disable=SC2086 # the options are words
devices "$dir/devices.1" --devices "$DEVICES" --heartbeat 2 --backoff 100 \
    --eventful 0.1 --quiet $MISCHIEF
pids=$devices_pid

if [ "$TLS_DEVICES" != 0 ]; then
    # shellcheck disable=SC2086
    devices "$dir/devices.2" --devices "$TLS_DEVICES" --heartbeat 2 \
        --backoff 100 --eventful 0.1 --quiet $MISCHIEF --use_ssl \
        --server_port $((PORT + 1)) --device_id $((DEVICES + 1))
    pids="$pids $devices_pid"
fi

# half of the callers name a deadline, half wait for devices to come back
# within the server's own of 0.5 s

all="--devices $ALL --duration $DURATION --json --allow_failures"
half="$all --callers $((CALLERS / 2))"

# shellcheck disable=SC2086 # the options are words
"${load[@]}" $half --deadline 1 > "$dir/load.1" &
load_1=$!
# shellcheck disable=SC2086
"${load[@]}" $half --wait 1 --watchdog 1.5 > "$dir/load.2" &
load_2=$!
# shellcheck disable=SC2086
"${load[@]}" $all --websocket --callers "$WEBSOCKETS" --outstanding 4 \
    --rate 2000 --reopen --any_events --watchdog 3 > "$dir/load.3" &
load_3=$!

end=$((SECONDS + DURATION))

while :; do
    pause $((KILL_EVERY_MS / 3)) "$KILL_EVERY_MS"
    [ "$SECONDS" -lt "$end" ] || break

    if [ "$RELOADS" != 0 ] && [ $((RANDOM % RELOADS)) = 0 ]; then
        reload
        pause 0 "$HAND_OVER"
    fi

    kill_one
done

for pid in "$load_1" "$load_2" "$load_3"; do
    wait "$pid" || wrong "callers ended with $?"
done

for i in 1 2 3; do
    echo "callers, part $i:"

    for name in wrong hung malformed; do
        none "$name" "$dir/load.$i"
    done

    happened right "$dir/load.$i"
    grep -o '"errors":.*' "$dir/load.$i" | grep -o '{[^}]*}' \
        | sed 's/^/    /' || true
done

echo "events on WebSockets:"
happened events "$dir/load.3"
printf '  %-28s %s\n' disordered "$(field disordered "$dir/load.3")"

echo "when the callers are gone:"
becomes 0 queued counter queued
becomes 0 calls counter calls
becomes 0 websockets counter websockets
becomes "$WORKERS" workers workers_there
becomes "$ALL" num_devices counter num_devices
becomes "$ALL" "devices in the list" listed

# a reply that a caller has not seen was lost with the connection of the caller

right=$(sum right "$dir"/load.*)
between "$right" messages "$(counter messages)" \
    $((right + $(sum retried "$dir"/load.*) + $(errors connection_lost)))

# shellcheck disable=SC2086 # the pids are words
end $pids

echo "left when the devices are gone:"
becomes 0 num_devices counter num_devices
becomes 0 "devices in the list" listed
becomes 0 queued counter queued
becomes 0 "records in use" metric cometa_zone_records_used
becomes 0 connections server_connections

# an attach that a device has not seen is one that it has seen fail; a device
# that was not detached was lost with its worker

attaches=$(sum attaches "$dir"/devices.*)
attached=$(counter attached_total)
between "$attaches" attached_total "$attached" \
    $((attaches + $(sum failed "$dir"/devices.*)))
between "$attached" "detached and lost" \
    $(($(counter detached_total) + $(metric cometa_devices_lost_total))) \
    "$attached"

if [ "$(descriptors)" != "$before" ]; then
    echo "descriptors of workers before: $before, after: $(descriptors)" >&2
    wrong "descriptors left over"
fi

echo "devices:"

for name in late twice silent quit elsewhere pipelined dropped heartbeats; do
    happened "$name" "$dir"/devices.*
done

for name in overruns repeated malformed; do
    none "$name" "$dir"/devices.*
done

printf '  %-28s %s\n' "workers killed" "$kills" \
    "  in a hand-over, old ones" "$old_kills" reloads "$reloads" seed "$SEED"
[ "$kills" -gt 0 ] || wrong "no worker was killed"

check_log 'exited on signal 9' || status=1

[ "$status" = 0 ] && echo "all right"
exit "$status"
