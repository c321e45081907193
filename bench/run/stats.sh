#!/bin/bash
# CPU time of the worker for one call, with statistics as they are and with
# them compiled out: two servers, in turns in the same run.
#
#   DEVICES CALLERS SIZE ROUNDS ROUND    64 64 32 15 1 (s)
#   STRICT    1: fail if the ratio is above its limit

. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-64}
CALLERS=${CALLERS:-64}
SIZE=${SIZE:-32}
ROUNDS=${ROUNDS:-15}
ROUND=${ROUND:-1}

LIMIT=1.03
MACRO=NGX_COMETA_NO_STATS

status=0

declare -A port worker us total


# without FILE: compiles the module without statistics, in a copy of the tree
# since a build directory is of one set of options

without() {
    local copy=$dir/tree

    grep -q "$MACRO" "$root"/ngx_cometa_module/zone/ngx_cometa_stats.[ch] \
        || die "nothing is compiled out: no $MACRO in ngx_cometa_stats"

    mkdir "$copy"
    cp -R "$root"/{config,Makefile,ngx_cometa_module,tools} "$copy"

    make -s -C "$copy" build CFLAGS="-D$MACRO" > "$dir/build.log" 2>&1 \
        || { cat "$dir/build.log" >&2; die "no module without statistics"; }

    cp "$(find "$copy/build" -maxdepth 2 -name ngx_cometa_module.so -type f)" \
        "$1"
}


# server NAME MODULE: an nginx with its devices, that stays

server() {
    local name=$1 module=$2

    PORT=
    find_ports

    nginx_conf 1 $((DEVICES * 9 / 8 + 2 * CALLERS + 64)) "$DEVICES"
    sed -i "s|$dir/module.so|$module|; s|$dir/nginx.pid|$dir/$name.pid|" \
        "$dir/nginx.conf"
    nginx_start

    port[$name]=$PORT
    worker[$name]=$(nginx_workers | tr -d ' ')

    devices "$dir/devices.$name" --devices "$DEVICES" --quiet
}


# turn NAME SECONDS: calls for so long; CPU time per call goes to the list of
# the name

turn() {
    local name=$1 before after n

    before=$(cpu_ticks "${worker[$name]}")
    "$BENCH/cb-load" --server_name 127.0.0.1 --server_port "${port[$name]}" \
        --callers "$CALLERS" --devices "$DEVICES" --each --size "$SIZE" \
        --duration "$2" --json > "$dir/load" \
        || { cat "$dir/load" >&2; die "$name: wrong or failed replies"; }
    after=$(cpu_ticks "${worker[$name]}")

    n=$(field right "$dir/load")
    total[$name]=$((${total[$name]:-0} + n))
    us[$name]+="$(us_per_call $((after - before)) "$n") "
}


# counted NAME WANTED: what the server says of its calls

counted() {
    local have

    curl -s "http://127.0.0.1:${port[$1]}/v1/applications/app" \
        > "$dir/figures"
    have=$(field messages "$dir/figures")

    [ "$have" = "$2" ] || die "$1: counted $have calls, not $2"
}


without "$dir/without.so"

server with "$dir/module.so"
server without "$dir/without.so"

turn with 1
turn without 1
us=()

# each is first as often as it is second

for round in $(seq "$ROUNDS"); do
    if [ $((round % 2)) = 0 ]; then
        turn with "$ROUND"
        turn without "$ROUND"
    else
        turn without "$ROUND"
        turn with "$ROUND"
    fi
done

# that it was measured what is said

counted with "${total[with]}"
counted without 0
check_log "^$" || status=1

ratio=$(ratios "${us[with]}" "${us[without]}" | median)
verdict=met

if is_above "$ratio" "$LIMIT"; then
    verdict=MISSED
    [ "${STRICT:-}" != 1 ] || status=1
fi

printf '%d bytes each way, %d callers, medians of %d rounds of %s s\n' \
    "$SIZE" "$CALLERS" "$ROUNDS" "$ROUND"
printf '  %-24s %9s %8s\n' "" calls "us CPU"

for name in with without; do
    printf '  %-24s %9d %8s\n' "$name statistics" "${total[$name]}" \
        "$(median <<< "${us[$name]}")"
done

printf '  ratio %s, limit %s: %s\n' "$ratio" "$LIMIT" "$verdict"

exit "$status"
