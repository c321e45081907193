#!/bin/bash
# The same call and its reply through this module and through other servers,
# each with one core, in turns in one run: CPU time of the server for a call,
# calls per second flat out, latency at a fixed rate, and memory for an idle
# device. A device is what waits for calls: a subscriber of MQTT, NATS or
# nchan, or a device of this module; proxy_pass has none, only an upstream.
#
# Every caller calls a device of its own, so that no call waits for another.
#
#   DEVICES CALLERS SIZE      1000 64 32
#   OUTSTANDING               16: calls of each caller, where it can have more
#                             than one under way
#   RATE                      5000, the fixed rate
#   ROUNDS DURATION WARM      3 4 1 (s)
#   IDLE SETTLE               15000 idle devices, measured after 6 s
#   RESULTS                   directory of the results (build/bench-results)
#
# Exit status: 0, 1 if replies were wrong or a server failed, 3 if the run
# itself failed, 4 if a server cannot be had and all else is right.

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000}
CALLERS=${CALLERS:-64}
SIZE=${SIZE:-32}
OUTSTANDING=${OUTSTANDING:-16}
RATE=${RATE:-5000}
ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-4}
WARM=${WARM:-1}
IDLE=${IDLE:-15000}
SETTLE=${SETTLE:-6}
RESULTS=$(realpath -m "${RESULTS:-$root/build/bench-results}")

HEARTBEAT=5                 # s, of idle devices: shorter than SETTLE

hz=$(getconf CLK_TCK)
date=$(date -u '+%Y-%m-%d %H:%M:%S UTC')
cpu_model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
commit=$(git -C "$root" describe --always --dirty 2>/dev/null) || commit=unknown

. "$root/bench/peers/servers.sh"
. "$root/bench/peers/report.sh"

# what is compared, and the server of each

cases=(proxy_pass mosquitto nats nchan post websocket)
declare -A label=(
    [proxy_pass]="nginx proxy_pass" [mosquitto]="mosquitto" [nats]="NATS"
    [nchan]="nchan" [post]="Cometa, POST" [websocket]="Cometa, WebSocket"
)
declare -A server_of=(
    [proxy_pass]=proxy_pass [mosquitto]=mosquitto [nats]=nats [nchan]=nchan
    [post]=cometa [websocket]=cometa
)
declare -A protocol=([mosquitto]=mqtt [nats]=nats [nchan]=nchan)
declare -A failed=()


# attach SERVER N [OPTION...]: its devices, until all are attached

attach() {
    local name=$1 n=$2
    shift 2

    devices_pid=

    case $name in
    proxy_pass)
        return ;;
    cometa)
        set -- "$BENCH/cb-devices" --server_name 127.0.0.1 --json --quiet \
            "$@" ;;
    *)
        set -- "$BENCH/peer-devices" --protocol "${protocol[$name]}" ;;
    esac

    : > "$dir/devices"
    "$@" --server_port "$PORT" --devices "$n" > "$dir/devices" &
    devices_pid=$!

    for _ in $(seq $((PATIENCE * 10))); do
        grep -q '^attached' "$dir/devices" && return
        kill -0 "$devices_pid" 2>/dev/null || return 1
        sleep 0.1
    done

    return 1
}


# detach: none may have been dropped

detach() {
    [ -n "$devices_pid" ] || return 0

    end "$devices_pid"
    [ "$(field dropped "$dir/devices")" = 0 ]
}


# call CASE OUTSTANDING OPTION...: a load

call() {
    local case=$1 outstanding=$2
    shift 2

    case $case in
    proxy_pass)
        set -- "${load[@]}" --json --uri /proxy "$@" ;;
    post)
        set -- "${load[@]}" --json --devices "$CALLERS" --each "$@" ;;
    websocket)
        set -- "${load[@]}" --json --devices "$CALLERS" --each --websocket \
            --outstanding "$outstanding" "$@" ;;
    *)
        set -- "$BENCH/peer-load" --protocol "${protocol[$case]}" \
            --server_port "$PORT" --outstanding "$outstanding" "$@" ;;
    esac

    "$@" --callers "$CALLERS" --size "$SIZE" > "$dir/load"
}


# measure CASE PHASE ROUND OUTSTANDING OPTION...

measure() {
    local case=$1 phase=$2 round=$3 ticks cores
    shift 3

    cores=$(busy_cores)
    # shellcheck disable=SC2086 # the pids are words
    ticks=$(cpu_ticks $server_pids)

    call "$case" "$@" --duration "$DURATION" || return 1

    # shellcheck disable=SC2086
    ticks=$(($(cpu_ticks $server_pids) - ticks))

    echo "$cores $(busy_cores) $ticks $hz $(field right "$dir/load")" \
        "$(field seconds "$dir/load") $(field p50 "$dir/load")" \
        "$(field p99 "$dir/load") $(field max "$dir/load")" \
        "$(field unsent "$dir/load")" \
        | awk -v OFS=, -v row="$case,$phase,$round" '{
              cpu = $9 / $10
              print row, $11 / $12, cpu / $11 * 1e6, cpu / $12 * 100,
                    ($5 - $1) / ($6 - $2) * 100, ($7 - $3) / ($8 - $4) * 100,
                    $13, $14, $15, $16, ""
          }' >> "$dir/rounds.csv"
}


# phases CASE ROUND: of a server that runs, with its devices

phases() {
    call "$1" 1 --duration "$WARM" || return 1
    measure "$1" saturated "$2" 1 || return 1

    case $1 in
    proxy_pass|post) ;;
    *) measure "$1" outstanding "$2" "$OUTSTANDING" || return 1 ;;
    esac

    measure "$1" paced "$2" 1 --rate "$RATE"
}


# idle CASE ROUND: zero is the same server started with room for none

idle() {
    local name=${server_of[$1]} zero held

    start "$name" 0 || return 1
    zero=$(held_memory)
    stop

    start "$name" "$IDLE" && attach "$name" "$IDLE" --heartbeat "$HEARTBEAT" \
        || return 1
    sleep "$SETTLE"
    held=$(held_memory)
    detach || return 1
    stop

    echo "$1,idle,$2,,,,,,,,,,$(((held - zero) * 1024 / IDLE))" \
        >> "$dir/rounds.csv"
}


# calls CASE ROUND

calls() {
    local name=${server_of[$1]}

    start "$name" $((DEVICES + 2 * CALLERS)) \
        && attach "$name" "$DEVICES" && phases "$1" "$2" && detach || return 1
    stop
}


# attempt CASE STEP ROUND: a server that fails is named, the rest goes on

attempt() {
    local case=$1

    if [ -n "${missing[${server_of[$case]}]:-}${failed[$case]:-}" ]; then
        return
    fi

    echo "round $3, ${label[$case]}: $2" >&2
    : > "$dir/load"
    : > "$dir/devices"

    if ! "$2" "$case" "$3"; then
        failed[$case]="$2 of round $3; $(tail -n 1 "$dir/server.log")"
        cat "$dir/load" "$dir/devices" "$dir/server.log" >&2 || true
        # shellcheck disable=SC2086 # none is no word
        end $devices_pid $server
    fi
}


if [ "$(nproc)" -lt 2 ]; then
    die "one core for the server and one for its clients are needed"
fi

if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt $((IDLE + 128)) ]
then
    die "$IDLE connections in a process, but it may have $(ulimit -n)" \
        "descriptors: set IDLE lower"
fi

# this script and all that it starts but the servers

others=$(nproc --all)
others=$(seq 0 $((others - 1)) | grep -vx "$CORE" | paste -sd ,)
taskset -cp "$others" $$ > /dev/null || die "cannot leave core $CORE"

"$root/bench/peers/build.sh"
fetch_all

echo "$columns" > "$dir/rounds.csv"

"$BENCH/cb-upstream" $((PORT + 2)) &

for round in $(seq "$ROUNDS"); do
    for case in "${cases[@]}"; do
        attempt "$case" calls "$round"
    done

    for case in mosquitto nats nchan post; do
        attempt "$case" idle "$round"
    done
done

# what waits for a call is the same, however the call comes

sed -i 's/^post\(,idle,.*\)/&\nwebsocket\1/' "$dir/rounds.csv"

report

[ ${#failed[@]} = 0 ] || exit 1
[ ${#missing[@]} = 0 ] || exit 4
