#!/bin/bash
# A mixed load over a long time: calls by POST and WebSockets whose replies are
# compared, events, devices that come, go, answer late and take over, some over
# TLS; a reload every so often, and a worker killed now and then. Each minute
# is a line; at the end the slope of the memory says whether something leaks.
#
#   DURATION      600 (s)
#   RELOAD_EVERY KILL_EVERY    20 60 (s); 0: never
#   WORKERS DEVICES TLS_DEVICES WEBSOCKETS    3 2000 100 100
#   RATE          calls a second in all (1000)
#   INTERVAL      s, of a line (60)
#   WARM          s, not counted in the slope (a quarter of the duration)
#   SLOPE         KB/min of all of nginx that are allowed (200)
#   MISCHIEF      how devices misbehave, options of cb-devices
#   OUT           a directory for the lines as soak.csv, and `machine`

. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/env.sh"

DURATION=${DURATION:-600}
RELOAD_EVERY=${RELOAD_EVERY:-20}
KILL_EVERY=${KILL_EVERY:-60}
WORKERS=${WORKERS:-3}
DEVICES=${DEVICES:-2000}
TLS_DEVICES=${TLS_DEVICES:-100}
WEBSOCKETS=${WEBSOCKETS:-100}
RATE=${RATE:-1000}
INTERVAL=${INTERVAL:-60}
WARM=${WARM:-$((DURATION / 4))}
SLOPE=${SLOPE:-200}
MISCHIEF=${MISCHIEF:---late 0.01 --late_max 3000 --twice 0.01 --quit 0.005
    --elsewhere 0.005}

ALL=$((DEVICES + TLS_DEVICES))
PART=$INTERVAL              # s, of a load: its report is a line
OUT=${OUT:-$dir/out}

status=0
kills=0
reloads=0
calls=0
right=0

mkdir -p "$OUT"


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


# private memory of processes that are there, KB

memory() {
    local pid kb sum=0

    for pid in "$@"; do
        kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null \
             || true)
        sum=$((sum + ${kb:-0}))
    done

    echo "$sum"
}

descriptors() {
    local pid sum=0

    for pid in "$@"; do
        sum=$((sum + $(find "/proc/$pid/fd" -mindepth 1 2>/dev/null | wc -l)))
    done

    echo "$sum"
}


# errors FILE...: how many calls ended with which error

errors() {
    { grep -ho '"error":"[^"]*","calls":[0-9]*' "$@" || true; } \
        | sed 's/"error":"//; s/","calls":/ /' \
        | awk '{ n[$1] += $2 }
               END { for (e in n) printf "%s %d ", e, n[e] }'
}


# Workers that leave are gone before memory is measured: those of TLS devices
# have 5 seconds.

settled() {
    local i

    for i in $(seq 100); do
        # shellcheck disable=SC2046 # the pids are words
        [ "$(nginx_workers | wc -w)" = "$WORKERS" ] && return
        sleep 0.1
    done

    wrong "old workers do not leave"
}


# disturb SECONDS: reloads and kills for so long

disturb() {
    local end=$((SECONDS + $1)) i

    while [ "$SECONDS" -lt "$end" ]; do
        sleep 1
        i=$((SECONDS - begun))

        if [ "$RELOAD_EVERY" != 0 ] && [ $((i % RELOAD_EVERY)) = 0 ]; then
            kill -HUP "$master"
            reloads=$((reloads + 1))
        fi

        if [ "$KILL_EVERY" != 0 ] && [ $(((i + 7) % KILL_EVERY)) = 0 ]; then
            # shellcheck disable=SC2046
            kill -KILL "$(shuf -n 1 -e $(nginx_workers))" 2>/dev/null || true
            kills=$((kills + 1))
        fi
    done
}


# line MINUTE: what became of the loads of this interval, and the memory

line() {
    local name n workers of_master

    for name in wrong hung malformed disordered; do
        n=$(sum $name "$dir"/load.*)
        [ "$n" = 0 ] || wrong "$name: $n"
    done

    n=$(sum calls "$dir"/load.*)
    calls=$((calls + n))
    right=$((right + $(sum right "$dir"/load.*)))

    workers=$(nginx_workers)
    # shellcheck disable=SC2086 # the pids are words
    workers_kb=$(memory $workers)
    of_master=$(memory "$master")
    # shellcheck disable=SC2086
    fds=$(descriptors $workers)

    printf '%5d s: %d calls, wrong %d, events %d, workers %d KB, ' "$1" "$n" \
        "$(sum wrong "$dir"/load.*)" "$(sum events "$dir"/load.*)" "$workers_kb"
    printf 'master %d KB, descriptors %d; %s\n' "$of_master" "$fds" \
        "$(errors "$dir"/load.*)"

    echo "$1,$n,$(sum wrong "$dir"/load.*),$workers_kb,$of_master,$fds" \
        >> "$OUT/soak.csv"
}


# slope COLUMN: least squares over the lines after WARM, KB/min

slope() {
    awk -F, -v column="$1" -v warm="$WARM" '
        NR > 1 && $1 > warm { n++; x = $1 / 60; y = $column
                              sx += x; sy += y; sxx += x * x; sxy += x * y }
        END { d = n * sxx - sx * sx
              printf "%.1f", (d > 0) ? (n * sxy - sx * sy) / d : 0 }' \
        "$OUT/soak.csv"
}


nginx_conf "$WORKERS" $((4 * (ALL + WEBSOCKETS) + 256)) "$ALL" "
    cometa_send_timeout 2s max=5s;
    cometa_heartbeat 10s timeout=15s;"
nginx_start

# shellcheck disable=SC2086 # the options are words
devices "$dir/devices.1" --devices "$DEVICES" --heartbeat 10 --backoff 500 \
    --eventful 0.1 --quiet $MISCHIEF
pids=$devices_pid

if [ "$TLS_DEVICES" != 0 ]; then
    # shellcheck disable=SC2086
    devices "$dir/devices.2" --devices "$TLS_DEVICES" --heartbeat 10 \
        --backoff 500 --eventful 0.1 --quiet $MISCHIEF --use_ssl \
        --server_port $((PORT + 1)) --device_id $((DEVICES + 1))
    pids="$pids $devices_pid"
fi

machine > "$OUT/machine"
echo 'seconds,calls,wrong,workers_kb,master_kb,descriptors' > "$OUT/soak.csv"

begun=$SECONDS

while [ $((SECONDS - begun)) -lt "$DURATION" ]; do
    common="--devices $ALL --duration $PART --json --allow_failures --retry"

    # shellcheck disable=SC2086
    "${load[@]}" $common --callers 32 --rate $((RATE / 2)) --watchdog 8 \
        > "$dir/load.1" &
    load_1=$!
    # shellcheck disable=SC2086
    "${load[@]}" $common --callers "$WEBSOCKETS" --websocket --reopen \
        --any_events --outstanding 4 --rate $((RATE / 2)) --watchdog 8 \
        > "$dir/load.2" &
    load_2=$!

    disturb "$PART"

    for pid in "$load_1" "$load_2"; do
        wait "$pid" || wrong "callers ended with $?"
    done

    settled
    line $((SECONDS - begun))
done

# shellcheck disable=SC2086 # the pids are words
end $pids

for name in overruns malformed; do
    n=$(sum $name "$dir"/devices.*)
    [ "$n" = 0 ] || wrong "devices: $name: $n"
done

workers_slope=$(slope 4)
master_slope=$(slope 5)

is_above "$workers_slope" "$SLOPE" && wrong "memory of workers grows"
is_above "$master_slope" "$SLOPE" && wrong "memory of the master grows"

check_log 'exited on signal 9|could not be (read|written)$' || status=1

{
    echo "$calls calls, $right right, $reloads reloads, $kills kills," \
         "attaches $(sum attaches "$dir"/devices.*)," \
         "memory grows by $workers_slope KB/min in workers," \
         "$master_slope KB/min in the master:" \
         "$([ "$status" = 0 ] && echo all right || echo FAILED)"
} | tee "$OUT/gave"

exit "$status"
