#!/bin/bash
# What a call costs beside very many devices: calls at a fixed rate, to the
# same nginx with few devices and with a million, in one run. Over WebSockets,
# each to one device, and by POST, to any of all devices.
#
#   DEVICES FEW               1000000 1000
#   RATE WEBSOCKETS           10000 (calls/s) 1000
#   OUTSTANDING BURST         8 calls on a WebSocket, 1 due at a time
#   POST_RATE CALLERS         5000 (calls/s) 256
#   ROUNDS DURATION CALM      3 20 10 (s)
#   RESULTS   where the results go (build/bench-results/million)
#   PROFILE   1: one more round at DEVICES, not counted, under "perf record";
#             what takes the time is left in perf.txt
#   STRICT    1: fail if a figure is above its limit
#
# million-report.pl makes the table and the files of what was measured.

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000000}
FEW=${FEW:-1000}
RATE=${RATE:-10000}
WEBSOCKETS=${WEBSOCKETS:-1000}
OUTSTANDING=${OUTSTANDING:-8}
BURST=${BURST:-1}
POST_RATE=${POST_RATE:-5000}
CALLERS=${CALLERS:-256}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-20}
CALM=${CALM:-10}
RESULTS=$(realpath -m "${RESULTS:-$root/build/bench-results/million}")

SIZE=32
SETTLE=5                    # s, after the attach
EDGE=1                      # s, of a load: not looked at, at both ends
PROFILED=5                  # s

status=0
size_for "$DEVICES"


# CPU time of nginx so far, ns. In ticks of the clock it would be rounded once
# for each worker, of which there are many.

cpu_ns() {
    local pid ns sum=0

    for pid in "$master" $(nginx_workers); do
        read -r ns _ < "/proc/$pid/schedstat"
        sum=$((sum + ns))
    done

    echo "$sum"
}


# snapshot: uptime (s), CPU time of nginx, calls answered so far, and of all
# cores the ticks that were busy and all

snapshot() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app" > "$dir/figures"

    echo "$(cut -d ' ' -f 1 /proc/uptime)" "$(cpu_ns)" \
        "$(field messages "$dir/figures")" \
        "$(awk '/^cpu / {
                    all = $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9
                    print all - $5 - $6, all
                }' /proc/stat)"
}


# call WAY: a load, in its place (exec): to be run in the background

call() {
    set -- "$1" "${load[@]}" --json --size "$SIZE" --devices "$n" \
        --duration "$DURATION"

    case $1 in
    websocket)
        set -- "$@" --websocket --callers "$WEBSOCKETS" --rate "$RATE" \
            --outstanding "$OUTSTANDING" ;;
    post)
        set -- "$@" --callers "$CALLERS" --rate "$POST_RATE" ;;
    esac

    shift
    exec "$@" --burst "$BURST"
}


# start_load WAY: until its connections are there

start_load() {
    : > "$dir/load"
    call "$1" > "$dir/load" &
    load_pid=$!

    [ "$1" = post ] || until_said open "$dir/load" "$load_pid"
    sleep "$EDGE"
}


end_load() {
    wait "$load_pid" && return

    echo "wrong or failed calls:" >&2
    cat "$dir/load" >&2
    status=1
}


# figures NAME...: those of the load, in one line

figures() {
    local name

    for name in "$@"; do
        printf '%s ' "$(field "$name" "$dir/load")"
    done
}


# measure WAY ROUND: what the devices cost alone is taken right before

measure() {
    local calm calm_end begin end

    echo "$n devices, round $2: $1" >&2

    calm=$(snapshot)
    sleep "$CALM"
    calm_end=$(snapshot)

    start_load "$1"
    begin=$(snapshot)
    sleep $((DURATION - 2 * EDGE))
    end=$(snapshot)
    end_load

    echo "$calm $calm_end $begin $end" \
        "$(figures calls unsent wrong hung malformed failed lost)" \
        "$(figures p50 p90 p99 p999 max)" \
        | awk -v OFS=, -v row="$n,$1,$2" '{
              calm = ($7 - $2) / 1e9 / ($6 - $1)
              seconds = $16 - $11
              cpu = ($17 - $12) / 1e9
              calls = $18 - $13
              print row, $21, $22, $23 + $24 + $25 + $26 + $27,
                    $28 / 1000, $29 / 1000, $30 / 1000, $31 / 1000,
                    $32 / 1000, calm, (cpu - calm * seconds) / calls * 1e6,
                    cpu / calls * 1e6, ($19 - $14) / ($20 - $15)
          }' >> "$RESULTS/rounds.csv"
}


# What the profile itself takes would be in the figures: it has a load of its
# own.

profile() {
    if ! command -v perf > /dev/null; then
        echo "no profile: there is no perf" >&2
        status=1
        return
    fi

    echo "$n devices, profile" >&2
    start_load websocket
    perf record -q -a -g -o "$dir/perf.data" -- sleep "$PROFILED" \
        || { echo "no profile: perf record failed" >&2; status=1; }
    end_load

    # all of it is read: who stops early ends perf by a signal; columns are as
    # wide as the longest name, and what is behind the names is empty

    perf report -i "$dir/perf.data" --no-children --sort comm,symbol -g none \
        --stdio 2> /dev/null | grep -v '^# *\.' \
        | sed -n 's/ \{20,\}.*//; 1,80p' > "$RESULTS/perf.txt" \
        || { echo "no profile: perf report failed" >&2; status=1; }
}


# beside N: all rounds with so many devices

beside() {
    local round

    n=$1

    nginx_conf "$workers" "$connections" "$DEVICES"
    nginx_start
    devices "$dir/devices" --devices "$n" --heartbeat 60
    sleep "$SETTLE"

    for round in $(seq "$ROUNDS"); do
        measure websocket "$round"
        measure post "$round"
    done

    if [ "${PROFILE:-}" = 1 ] && [ "$n" = "$DEVICES" ]; then
        profile
    fi

    end "$devices_pid"

    if [ "$(field dropped "$dir/devices")" != 0 ]; then
        echo "devices were dropped:" >&2
        tail -n 1 "$dir/devices" >&2
        status=1
    fi

    check_log "^$" || status=1
    nginx_stop
}


if [ "$DURATION" -le $((2 * EDGE)) ]; then
    die "DURATION must be more than $((2 * EDGE)) s"
fi

mkdir -p "$RESULTS"
rm -f "$RESULTS/perf.txt"
raise_limits "$DEVICES"

{ machine
  printf 'nginx\t%s\n' "$("$nginx_binary" -v 2>&1 | sed 's/.*: //')"
  printf 'workers\t%s\n' "$workers"
  printf 'WebSockets\t%s, %s calls/s, %s outstanding, bursts of %s\n' \
      "$WEBSOCKETS" "$RATE" "$OUTSTANDING" "$BURST"
  printf 'POST\t%s callers, %s calls/s\n' "$CALLERS" "$POST_RATE"
  printf 'calls\t%s bytes each way, %s rounds of %s s\n' \
      "$SIZE" "$ROUNDS" "$DURATION"
} > "$RESULTS/machine"

echo "devices,way,round,calls,unsent,failed,p50_ms,p90_ms,p99_ms,p999_ms,\
max_ms,calm_cores,net_us_call,gross_us_call,machine_busy" \
    > "$RESULTS/rounds.csv"

beside "$FEW"
beside "$DEVICES"

"$root/bench/report/million-report.pl" "$RESULTS" || status=1
echo "results are in $RESULTS"
exit "$status"
