#!/bin/bash
# How many devices this machine takes: more and more of them attach, in steps,
# until something gives. After each step: how long it took, the memory, and
# calls by POST to any of all devices so far, all of which have to be right.
#
#   MOST      at most so many devices (2200000)
#   STEP      in steps of so many (100000)
#   CALLS RATE CALLERS    2000 500 (calls/s) 64: after each step
#   PATIENCE  s that the attach of a step may take (120)
#   RESERVE   MiB of memory that have to be left (700)
#   RESULTS   where the results go (build/bench-results/limit)
#
# The memory that is left is what is free and what the cache of files holds.
# MemAvailable is more: it counts slab that could be reclaimed, but that of
# sockets cannot be before they are closed. Shared memory is in the figure of
# the cache, and is no more to be had back: it is taken off.
#
# Whatever gives is a result. Fails only if a reply was wrong, a call hung, or
# the run itself failed.

PATIENCE=${PATIENCE:-120}

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

MOST=${MOST:-2200000}
STEP=${STEP:-100000}
CALLS=${CALLS:-2000}
RATE=${RATE:-500}
CALLERS=${CALLERS:-64}
RESERVE=${RESERVE:-700}
RESULTS=$(realpath -m "${RESULTS:-$root/build/bench-results/limit}")

# room in the zone is not what is looked for; what is not used costs nothing

ZONE=${ZONE:-$((4096 + MOST / 4))k}

status=0
gave=                       # what gave
attached=0
groups=()                   # pids, the newest first


# give WORD...: what gave, the first of it

give() {
    gave=${gave:-$*}
    return 1
}


now() {
    cut -d ' ' -f 1 /proc/uptime
}


# MiB

memory_left() {
    awk '/^(MemFree|Buffers|Cached):/ { sum += $2 }
         /^Shmem:/ { sum -= $2 }
         END { print int(sum / 1024) }' /proc/meminfo
}


has_memory() {
    local left

    left=$(memory_left)
    [ "$left" -ge "$RESERVE" ] \
        || give "memory: $left MiB are left, less than $RESERVE, while $1"
}


# await FILE WORD PID DOING: until the program PID has printed a line that
# begins so. The machine must never come to the point where the kernel ends
# processes for their memory: it is looked at all the time.

await() {
    local out=$1 word=$2 pid=$3 doing=$4 end=$((SECONDS + PATIENCE))

    until grep -q "^$word" "$out"; do
        has_memory "$doing" || return 1

        if ! kill -0 "$pid" 2>/dev/null; then
            grep -q "^$word" "$out" && return
            give "a program ended while $doing: $(tail -n 1 "$out.err")"
            return 1
        fi

        [ "$SECONDS" -lt "$end" ] \
            || give "time: not done in $PATIENCE s while $doing" || return 1
        sleep 0.2
    done
}


# attach N: the progress that cb-devices tells is kept, its last line says
# whether attaches failed on the way

attach() {
    local n=$1 out=$dir/devices.$attached start progress

    start=$(now)
    : > "$out"

    "$BENCH/cb-devices" --server_name 127.0.0.1 --server_port "$PORT" \
        --json --devices "$n" --device_id $((attached + 1)) --heartbeat 60 \
        > "$out" 2> "$out.err" &
    groups=("$!" "${groups[@]}")

    if ! await "$out" attached "$!" "$n devices attach"; then
        tail -n 1 "$out.err" >&2        # how far it came
        return 1
    fi

    attach_s=$(awk -v a="$start" -v b="$(now)" 'BEGIN { print b - a }')
    attached=$((attached + n))
    progress=$(tail -n 1 "$out.err")

    grep -q ' 0 failed, 0 dropped' <<< "$progress" \
        || give "attaches: $progress"
}


# check: calls, none of which may fail, and whether all devices are still there

check() {
    local out=$dir/load result=0 left detached

    : > "$out"
    "${load[@]}" --json --devices "$attached" --callers "$CALLERS" \
        --calls "$CALLS" --rate "$RATE" > "$out" 2> "$out.err" &

    await "$out" '{' "$!" "$CALLS calls are made" || return 1
    wait "$!" || result=$?

    if [ "$result" != 0 ]; then
        cat "$out" "$out.err" >&2
        [ "$result" = 2 ] || status=1
        give "calls: $(field right "$out") of $CALLS were right"
        return 1
    fi

    curl -s -m "$PATIENCE" "http://127.0.0.1:$PORT/v1/applications/app" \
        > "$dir/figures" || give "nginx: no statistics" || return 1

    left=$(field num_devices "$dir/figures")
    detached=$(field detached_total "$dir/figures")

    [ "$left $detached" = "$attached 0" ] \
        || give "devices were dropped: $left of $attached are left," \
                "$detached have been detached"
}


check_nginx() {
    check_log "^$" || give "nginx: $(grep -m 1 -E \
        '\[(alert|emerg|crit|error)\]' "$dir/error.log")"
}


# In kB: left, MemAvailable, MemFree, slab, and memory of all nginx processes,
# what they share counted once.

memory() {
    local pid

    awk '/^MemAvailable:/ { available = $2 }
         /^MemFree:/ { left += $2; free = $2 }
         /^(Buffers|Cached):/ { left += $2 }
         /^Shmem:/ { left -= $2 }
         /^Slab:/ { slab = $2 }
         END { printf "%d,%d,%d,%d,", left, available, free, slab
        }' /proc/meminfo

    for pid in "$master" $(nginx_workers); do
        cat "/proc/$pid/smaps_rollup"
    done | awk '/^Pss:/ { sum += $2 } END { print sum }'
}


# row ATTACH MEMORY P50 P99 MAX: into the file and, in MiB, to the reader;
# times of calls in us

row() {
    echo "$attached,$1,$2,$3,$4,$5" \
        | awk -F , -v OFS=, '{
              for (i = 8; i <= 10; i++) if ($i != "") $i /= 1000
              print
          }' >> "$RESULTS/limit.csv"

    tail -n 1 "$RESULTS/limit.csv" | awk -F , '{
        printf "%9d %8s", $1, $2
        for (i = 3; i <= 7; i++) printf " %9d", $i / 1024
        printf " %8s %8s %8s\n", $8, $9, $10
    }'
}


step() {
    local now

    attach "$1" || return 1
    now=$(memory)
    check || return 1
    row "$attach_s" "$now" "$(field p50 "$dir/load")" \
        "$(field p99 "$dir/load")" "$(field max "$dir/load")"
    check_nginx
}


size_for "$MOST"
mkdir -p "$RESULTS"
raise_limits "$MOST"

{ machine
  printf 'nginx\t%s\n' "$("$nginx_binary" -v 2>&1 | sed 's/.*: //')"
  printf 'workers\t%s of %s connections\n' "$workers" "$connections"
} | tee "$RESULTS/machine"

nginx_conf "$workers" "$connections" "$MOST"
nginx_start

echo "devices,attach_s,left_kB,available_kB,free_kB,slab_kB,pss_kB,p50_ms,\
p99_ms,max_ms" > "$RESULTS/limit.csv"

printf '%9s %8s %9s %9s %9s %9s %9s %8s %8s %8s\n' devices attach left \
    available free slab nginx p50 p99 max
printf '%9s %8s %9s %9s %9s %9s %9s %8s %8s %8s\n' '' s MiB MiB MiB MiB MiB \
    ms ms ms
row '' "$(memory)" '' '' ''

while [ "$attached" -lt "$MOST" ]; do
    step $((MOST - attached < STEP ? MOST - attached : STEP)) || break
done

gave=${gave:-nothing, MOST is reached}
end "${groups[@]}"
nginx_stop

echo "$attached devices were attached. What gave: $gave" \
    | tee "$RESULTS/gave"

# below the names of the columns and the memory without devices

if [ "$(wc -l < "$RESULTS/limit.csv")" -gt 2 ]; then
    (cd "$RESULTS" && gnuplot "$root/bench/report/limit.gp") \
        || { echo "no plot: gnuplot failed" >&2; status=1; }
fi

echo "results are in $RESULTS"
exit "$status"
