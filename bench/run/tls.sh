#!/bin/bash
# Devices over TLS: what an attach, an idle device and a call of theirs cost,
# with parked connections (cometa_tls_park on), with SSL objects (off), plain,
# and beside nginx's own.
#
# attach   CPU time of nginx for a handshake with a small request ("return"),
#          with an attach, and with an attach that is parked; full and resumed,
#          for each of KEYS and of VERSIONS. A core does 1 s / that a second.
# calls    CPU time of nginx for a call at RATE, to devices of each kind, which
#          are all attached to one worker and are called by turns.
# devices  DEVICES of them, parked: how long the attach takes, the memory of
#          nginx for each, and COUNT calls, none of which may be wrong.
#
# The clients keep no SSL object either (cb-devices --park): of a million
# devices they would take 16 KB each.
#
#   DEVICES     (5000)
#   COUNT       calls to them (100000)
#   RATE        calls a second (2000)
#   ROUNDS ROUND    of calls, and seconds of each (3 5)
#   CALLED      devices of each kind that are called in rounds (1000)
#   HANDSHAKES  of each kind (1000)
#   KEYS        certificates: ec (P-256), rsa (2048) (both)
#   VERSIONS    of TLS ("1.3 1.2")
#   SETTINGS    more directives for the http block
#   ONLY        of attach, calls, devices: some only (all)
#   CSV         a file for the figures

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-5000}
COUNT=${COUNT:-100000}
RATE=${RATE:-2000}
ROUNDS=${ROUNDS:-3}
ROUND=${ROUND:-5}
CALLED=${CALLED:-1000}
HANDSHAKES=${HANDSHAKES:-1000}
KEYS=${KEYS:-ec rsa}
VERSIONS=${VERSIONS:-1.3 1.2}
ONLY=${ONLY:-attach calls devices}

BATCH=16                    # handshakes under way at a time
SETTLE=1                    # s

plain=$PORT
parked=$((PORT + 1))
unparked=$((PORT + 2))
status=0


wrong() {
    echo "FAILED: $*" >&2
    status=1
}


figure() {
    [ -z "${CSV:-}" ] || (IFS=,; echo "$*") >> "$CSV"
}


# CPU time of the workers so far, ns

cpu_ns() {
    local pid ns sum=0

    for pid in $(nginx_workers); do
        read -r ns _ < "/proc/$pid/schedstat"
        sum=$((sum + ns))
    done

    echo "$sum"
}


# memory of nginx, kB: all, what is shared counted once, and private alone

memory() {
    local pid

    for pid in "$master" $(nginx_workers); do
        cat "/proc/$pid/smaps_rollup"
    done | awk '/^Pss:/ { pss += $2 } /^Anonymous:/ { own += $2 }
                END { print pss, own }'
}


# certificate KEY

certificate() {
    local kind=(rsa -pkeyopt rsa_keygen_bits:2048)

    [ "$1" = rsa ] || kind=(ec -pkeyopt ec_paramgen_curve:prime256v1)

    openssl req -x509 -newkey "${kind[@]}" -nodes -keyout "$dir/key.pem" \
        -out "$dir/cert.pem" -days 2 -subj /CN=localhost 2>/dev/null \
        || die "openssl makes no certificate"
}


# start WORKERS CONNECTIONS DEVICES: connections over TLS are parked but those
# to a port of their own

start() {
    nginx_conf "$1" "$2" "$3" "
        ssl_session_cache shared:TLS:10m;
        cometa_tls_park on;
        ${SETTINGS:-}

        server {
            listen 127.0.0.1:$unparked ssl reuseport backlog=65535;
            cometa_tls_park off;

            location ~ ^/v1/applications/(?<app>[^/]+)/devices/(?<device>[^/]+)\$ {
                cometa_attach;
            }

            location = /small {
                return 200 ok;
            }
        }"
    nginx_start
}


stop() {
    nginx_stop
    check_log 'could not be (read|written)$' || status=1
}


# number_parked APP: connections that are parked now

number_parked() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/$1" > "$dir/stats"
    field tls_parked "$dir/stats"
}


# parked_all APP N

parked_all() {
    local n

    for _ in $(seq 50); do
        n=$(number_parked "$1")
        [ "$n" = "$2" ] && return
        sleep 0.1
    done

    wrong "$1: ${n:-none} of $2 are parked," \
        "$(grep -o '"tls_unparked[^,]*' "$dir/stats" | tr '\n' ' ')"
}


# handshakes ROW PORT OPTION...: keep-alive connections with one small request,
# or else attaches; both are still there when it is measured

handshakes_http() {
    local port=$1 before after
    shift

    : > "$dir/held"
    before=$(cpu_ns)
    "${load[@]}" --use_ssl --server_port "$port" "$@" --hold \
        --callers "$HANDSHAKES" --calls "$HANDSHAKES" --concurrency "$BATCH" \
        --uri /small --expect ok > "$dir/held" &
    until_said held "$dir/held" "$!"
    after=$(cpu_ns)
    end "$!"
    ns=$(((after - before) / HANDSHAKES))
}

handshakes_attach() {
    local port=$1 before after
    shift

    before=$(cpu_ns)
    devices "$dir/devices" --use_ssl --server_port "$port" "$@" --park \
        --devices "$HANDSHAKES" --concurrency "$BATCH" --quiet
    [ "$port" = "$unparked" ] || parked_all app "$HANDSHAKES"
    after=$(cpu_ns)
    end "$devices_pid"

    [ "$(field failed "$dir/devices")" = 0 ] || wrong "attaches failed"
    resumed=$(field resumed "$dir/devices")
    ns=$(((after - before) / HANDSHAKES))
}


attach() {
    local key version way ns row resumed

    echo "CPU time of nginx for a handshake with what comes in it, us (a second" \
         "on one core)"
    printf '  %-22s %20s %20s %20s\n' '' 'request' 'attach' 'attach, parked'

    for key in $KEYS; do
        certificate "$key"
        start 1 $((HANDSHAKES * 2 + 64)) "$HANDSHAKES"

        for version in $VERSIONS; do
            for way in full resumed; do
                set -- --tls "$version"
                [ "$way" = full ] || set -- "$@" --resume
                row=

                for what in "http $unparked" "attach $unparked" \
                            "attach $parked"
                do
                    # shellcheck disable=SC2086 # name and port
                    handshakes_${what% *} "${what#* }" "$@"
                    sleep "$SETTLE"
                    [ "$way ${what% *}" != "resumed attach" ] \
                        || [ "$resumed" -ge $((HANDSHAKES - 2 * BATCH)) ] \
                        || wrong "$key, TLS $version: $resumed resumed"
                    row+=$(printf ' %10.1f (%6d)' \
                           "$(us "$ns")" $((1000000000 / ns)))
                    figure attach "$key" "$version" "$way" "${what% *}" \
                        "$([ "${what#* }" = "$parked" ] && echo parked)" "$ns"
                done

                printf '  %-22s %s\n' "$key, TLS $version, $way" "$row"
            done
        done

        stop
    done

    certificate ec
}


us() {
    awk -v ns="$1" 'BEGIN { printf "%.2f", ns / 1000 }'
}


# round APP: calls to its devices at the rate; ns for each

round() {
    local before after

    before=$(cpu_ns)
    "${load[@]}" --app_id "$1" --devices "$CALLED" --callers 16 --json \
        --rate "$RATE" --duration "$ROUND" > "$dir/load" \
        || { cat "$dir/load" >&2; wrong "$1: calls failed"; }
    after=$(cpu_ns)

    ns=$(((after - before) / $(field right "$dir/load")))
}


calls() {
    local pids=() app ns version
    local -A all

    start 1 $((CALLED * 6 + 256)) $((CALLED * 5))

    devices "$dir/plain" --app_id plain --devices "$CALLED" --quiet
    pids+=("$devices_pid")

    for version in $VERSIONS; do
        devices "$dir/parked" --app_id "parked-$version" --devices "$CALLED" \
            --quiet --use_ssl --tls "$version" --server_port "$parked" --park
        pids+=("$devices_pid")
        parked_all "parked-$version" "$CALLED"

        devices "$dir/unparked" --app_id "unparked-$version" --quiet --park \
            --devices "$CALLED" --use_ssl --tls "$version" \
            --server_port "$unparked"
        pids+=("$devices_pid")
    done

    set -- plain

    for version in $VERSIONS; do
        set -- "$@" "unparked-$version" "parked-$version"
    done

    for _ in $(seq "$ROUNDS"); do
        for app; do
            round "$app"
            all[$app]+="$(us "$ns") "
            figure call "$app" "$ns"
        done
    done

    echo "CPU time of nginx for a call, us: $RATE calls/s, $ROUNDS rounds of" \
         "$ROUND s, $CALLED devices of each kind"

    for app; do
        printf '  %-16s %8.2f   of plain %6.3f\n' "$app" \
            "$(median <<< "${all[$app]}")" \
            "$(ratios "${all[$app]}" "${all[plain]}" | median)"
    done

    for version in $VERSIONS; do
        printf '  %-16s of unparked %6.3f\n' "parked-$version" \
            "$(ratios "${all[parked-$version]}" "${all[unparked-$version]}" \
               | median)"
    done

    end "${pids[@]}"
    stop
}


many() {
    local version=${VERSIONS%% *} before after begun took cpu

    raise_limits "$DEVICES"
    size_for "$DEVICES"
    start "$workers" "$connections" "$DEVICES"

    read -r -a before <<< "$(memory)"
    cpu=$(cpu_ns)
    begun=$(date +%s%N)

    devices "$dir/devices" --use_ssl --tls "$version" --park --resume \
        --server_port "$parked" --devices "$DEVICES"
    took=$(awk -v ns=$(($(date +%s%N) - begun)) \
           'BEGIN { printf "%.1f", ns / 1e9 }')
    cpu=$((($(cpu_ns) - cpu) / DEVICES))
    parked_all app "$DEVICES"
    sleep "$SETTLE"
    read -r -a after <<< "$(memory)"

    echo "$DEVICES devices, TLS $version, $workers workers: attached within" \
         "$took s, $(us "$cpu") us of CPU each"
    echo "  memory of nginx: $((after[0] / 1000)) MB, for each device" \
         "$(((after[0] - before[0]) * 1024 / DEVICES)) bytes, private" \
         "$(((after[1] - before[1]) * 1024 / DEVICES))"
    figure devices "$DEVICES" "$took" "$cpu" "${before[*]}" "${after[*]}"

    "${load[@]}" --devices "$DEVICES" --callers 64 --calls "$COUNT" \
        > "$dir/load" || wrong "calls failed"
    sed 's/^/  /' "$dir/load"

    parked_all app "$DEVICES"
    end "$devices_pid"
    echo "  clients: $(field bytes_per_device "$dir/devices") bytes each," \
         "$(field resumed "$dir/devices") sessions resumed"

    [ "$(field attaches "$dir/devices")" = "$DEVICES" ] \
        || wrong "some had to attach again"
    stop
}


for part in $ONLY; do
    case $part in
    attach|calls) "$part" ;;
    devices) many ;;
    *) die "ONLY: there is no \"$part\"" ;;
    esac
done

exit "$status"
