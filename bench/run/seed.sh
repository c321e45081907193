#!/bin/bash
# The benchmark that Cometa 2.1 published in 2015, on this machine: devices
# that stay attached, applications with a WebSocket each to one of them, 1 to
# 3 s between a reply and the next message. What seed-2015.csv says of a case
# is printed beside what is measured.
#
#   CASE      one or more of 1.1 to 3.4 (all)
#   DURATION  of the measurement of a case, s (300)
#   DEVICES WEBSOCKETS    instead of those of the case
#   RESULTS   where the results go (build/bench-results/seed)
#   STRICT    1: fail if a figure is above its limit
#
# A directory for each case there has what was measured; seed-report.pl makes
# the tables, seed.csv, seed.json and the plots of it.

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DURATION=${DURATION:-300}
RESULTS=$(realpath -m "${RESULTS:-$root/build/bench-results/seed}")
report=$root/bench/report

WINDOW=15                   # s, of the statistics
CALM=30                     # s without calls: what devices alone cost
hz=$(getconf CLK_TCK)


# In kB: memory of all nginx processes, what they share counted once; of that
# what they share (zone, mailboxes); their page tables; the kernel's slab; what
# the machine has left.

memory() {
    local pid pids

    # shellcheck disable=SC2046 # the pids are words
    pids=$(echo "$master" $(nginx_workers))

    for pid in $pids; do
        cat "/proc/$pid/smaps_rollup"
        grep VmPTE "/proc/$pid/status"
    done | awk '/^Pss:/ { pss += $2 }
                /^Pss_Shmem:/ { shared += $2 }
                /^VmPTE:/ { tables += $2 }
                END { printf "%d,%d,%d,", pss, shared, tables }'

    awk '/^MemAvailable:/ { available = $2 }
         /^Slab:/ { print $2 "," available }' /proc/meminfo
}


# figures: of the application, in one line of numbers: messages, failed,
# timeouts, late, errors, bytes_up, bytes_down, detached, devices, latency
# minimum and maximum, deviation, p50, p99 and p999 of the last window; then
# the sum (s) and the count of all latencies so far

figures() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app" > "$dir/figures"
    curl -s "http://127.0.0.1:$PORT/metrics" > "$dir/metrics"

    for name in messages failed timeouts late errors bytes_up bytes_down \
        detached_total num_devices latency_min latency_max std_deviation \
        latency_p50 latency_p99 latency_p999
    do
        printf '%s,' "$(field "$name" "$dir/figures")"
    done

    awk '/^cometa_call_duration_seconds_sum/ { sum = $2 }
         /^cometa_call_duration_seconds_count/ { print sum "," $2 }
        ' "$dir/metrics"
}


# until_window: the beginning of the next window, and a second more; windows
# are those of the monotonic clock

until_window() {
    local wait

    wait=$(awk -v w="$WINDOW" '{ print w - ($1 - w * int($1 / w)) + 1 }' \
               /proc/uptime)
    sleep "$wait"
}


now() {
    cut -d ' ' -f 1 /proc/uptime
}


# While devices attach: how many there are, and the memory they take.

watch_memory() {
    local n

    while :; do
        n=$(curl -s "http://127.0.0.1:$PORT/v1/applications/app" \
            | grep -o '"num_devices":"[0-9]*' | grep -o '[0-9]*$' || echo 0)
        echo "$(now),$n,$(memory)" >> "$1"
        sleep 3
    done
}


attach() {
    local out=$1 watcher start

    echo "uptime,devices,pss_kB,shared_kB,tables_kB,slab_kB,available_kB" \
        > "$out/memory.csv"
    echo "$(now),0,$(memory)" >> "$out/memory.csv"

    watch_memory "$out/memory.csv" &
    watcher=$!
    start=$(now)

    devices "$dir/devices" --devices "$n" --response_size "$response" \
        --heartbeat 60 --attach_log "$out/attach.csv"

    echo "attach_s $(awk -v a="$start" -v b="$(now)" 'BEGIN { print b - a }')" \
        >> "$out/facts"
    end "$watcher"
    echo "$(now),$n,$(memory)" >> "$out/memory.csv"
}


ticks() {
    # shellcheck disable=SC2046 # the pids are words
    cpu_ticks "$master" $(nginx_workers)
}


# calm FILE: CPU time of nginx while devices do no more than heartbeat

calm() {
    local before

    sleep 5
    before=$(ticks)
    sleep "$CALM"
    echo "calm_cpu $(awk -v t=$(($(ticks) - before)) -v hz="$hz" -v s="$CALM" \
        'BEGIN { print t / hz / s }')" >> "$1"
}


# The generator runs longer than what is measured of it, whole windows.

generate() {
    local out=$1 before end

    node "$root/bench/load-generator/load-generator.js" \
        --server_name 127.0.0.1 --server_port "$PORT" \
        --app_id app --devices "$n" \
        --applications "$sockets" --response_size "$response" \
        --duration $((DURATION + 2 * WINDOW + 10)) --json --quiet \
        > "$out/load.json" &
    load_pid=$!

    until_said open "$out/load.json" "$load_pid"
    until_window

    echo "uptime,messages,failed,timeouts,late,errors,bytes_up,bytes_down,\
detached,devices,latency_min_ms,latency_max_ms,std_deviation_ms,p50_ms,p99_ms,\
p999_ms,latency_sum_s,latency_count,cpu_ticks" > "$out/samples.csv"
    echo "$(now),$(figures),$(ticks)" >> "$out/samples.csv"
    end=$((SECONDS + DURATION - 1))

    while [ "$SECONDS" -lt "$end" ]; do
        until_window
        echo "$(now),$(figures),$(ticks)" >> "$out/samples.csv"
        kill -0 "$load_pid" 2>/dev/null || break
    done

    wait "$load_pid" || echo "load_failed $?" >> "$out/facts"
}


run_case() {
    local case=$1 n=${DEVICES:-$2} sockets=${WEBSOCKETS:-$3} response=$4
    local out=$RESULTS/$case workers connections

    rm -rf "$out"
    mkdir -p "$out"
    size_for "$n"
    raise_limits "$n"

    echo "case $case: $n devices, $sockets WebSockets, $response bytes;" \
        "$workers workers" >&2

    PORT=
    find_ports
    nginx_conf "$workers" "$connections" "$n" \
        "cometa_stats_window ${WINDOW}s;"
    nginx_start

    { machine
      echo "nginx"$'\t'"$("$nginx_binary" -v 2>&1 | sed 's/.*: //')"
    } > "$out/machine"

    echo "case $case
devices $n
websockets $sockets
response_bytes $response
workers $workers
duration_s $DURATION
hz $hz" > "$out/facts"

    attach "$out"
    calm "$out/facts"
    generate "$out"
    echo "$(now),$n,$(memory)" >> "$out/memory.csv"

    end "$devices_pid"
    tail -1 "$dir/devices" > "$out/devices.json"
    check_log "^$" || echo "log_errors 1" >> "$out/facts"
    nginx_stop
    restore_settings

    "$report/seed-report.pl" "$report/seed-2015.csv" "$out" || status=1
}


status=0
wanted=" ${CASE:-all} "

while IFS=, read -u 3 -r case n sockets response _; do
    case $wanted in
    *" $case "*|*" all "*) run_case "$case" "$n" "$sockets" "$response" ;;
    esac
done 3< <(tail -n +2 "$report/seed-2015.csv")

"$report/seed-report.pl" --all "$report/seed-2015.csv" "$RESULTS" || status=1
echo "results are in $RESULTS"
exit "$status"
