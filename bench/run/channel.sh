#!/bin/bash
# One channel, or some, to very many devices: every event comes once and in the
# order of its device, every reply to its call; and what an event costs nginx,
# beside one WebSocket for each device.
#
#   WORKERS        4
#   DEVICES        10000; 100, or ten times as many, and so on
#   EVENT_RATE     5000 (s^-1)
#   CALL_RATE      2000 (s^-1), over the channels
#   DURATION       20 (s)
#   SOCKETS        0: not the WebSockets (1)

. "$(dirname "$0")/env.sh"

WORKERS=${WORKERS:-4}
DEVICES=${DEVICES:-10000}
EVENT_RATE=${EVENT_RATE:-5000}
CALL_RATE=${CALL_RATE:-2000}
DURATION=${DURATION:-20}
SOCKETS=${SOCKETS:-1}

each=$((EVENT_RATE * DURATION / DEVICES))       # events of one device
events=$((each * DEVICES))
calls=$((CALL_RATE * DURATION))
first=$((DEVICES * 10))                         # ids have one length
status=0

locations='
location ~ ^/v1/applications/(?<app>[^/]+)/channel$ {
    cometa_channel;
}

location ~ ^/v1/channels/(?<key>[^/]+)$ {
    cometa_channel;
}'


# begin: nginx and its devices

begin() {
    nginx_conf "$WORKERS" $((3 * DEVICES / WORKERS + 1024)) "$DEVICES" \
        "" "$locations"
    nginx_start

    devices "$dir/devices" --device_id "$first" --devices "$DEVICES" \
        --events "$each" --event_rate "$EVENT_RATE" --quiet
}


# measure PID FILE: events from here to the end of the program; what nginx
# needed meanwhile, in ticks

measure() {
    local pid=$1 out=$2 before workers

    until_said open "$out" "$pid"

    # shellcheck disable=SC2046 # the pids are words
    workers=$(nginx_workers)
    # shellcheck disable=SC2086
    before=$(cpu_ticks $workers)

    kill -USR1 "$devices_pid"
    wait "$pid" || status=1

    # shellcheck disable=SC2086
    ticks=$(($(cpu_ticks $workers) - before))
}


# channels N CALLS TEXT

channels() {
    local n=$1 calls=$2 text=$3 out=$dir/channel pid

    begin
    : > "$out"

    # the ids of a channel's devices begin with what is left of the first

    "$BENCH/cb-channel" --server_name 127.0.0.1 --server_port "$PORT" \
        --device_id "$first" --devices "$DEVICES" --channels "$n" \
        --prefix $((first / (DEVICES / n))) --events "$each" \
        --calls "$calls" --rate "$CALL_RATE" > "$out" &
    pid=$!

    measure "$pid" "$out"

    printf '%-28s %8s of %s events, %6s of %s replies\n' "$text" \
        "$(field events "$out")" "$events" "$(field right "$out")" "$calls"
    printf '%28s %s wrong, %s unsent, %s out of order, %s missed, %s lost\n' \
        "" "$(field wrong "$out")" "$(field unsent "$out")" \
        "$(field disordered "$out")" "$(field missed "$out")" \
        "$(field lost "$out")"
    printf '%28s latency of calls p50 %s us, p99 %s us; %s s\n' "" \
        "$(field p50 "$out")" "$(field p99 "$out")" "$(field seconds "$out")"

    finish
}


# sockets: a WebSocket for each device

sockets() {
    local out=$dir/sockets pid

    begin
    : > "$out"

    "${load[@]}" --websocket --callers "$DEVICES" --each --calls 0 --json \
        --device_id "$first" --devices "$DEVICES" --events "$each" > "$out" &
    pid=$!

    measure "$pid" "$out"

    printf '%-28s %8s of %s events, %s out of order, %s missed\n' \
        "$DEVICES WebSockets" "$(field events "$out")" "$events" \
        "$(field disordered "$out")" "$(field missed "$out")"

    finish
}


finish() {
    printf '%28s CPU of nginx: %s us an event\n' "" \
        "$(us_per_call "$ticks" "$events")"

    end "$devices_pid"
    nginx_stop
    check_log "^$" || status=1
}


printf '%d workers, %d devices, %d events/s, %d calls/s, %d s\n' \
    "$WORKERS" "$DEVICES" "$EVENT_RATE" "$CALL_RATE" "$DURATION"

channels 1 "$calls" "one channel"
channels 10 "$calls" "ten channels"
channels 1 0 "one channel, events alone"
channels 10 0 "ten channels, events alone"

if [ "$SOCKETS" != 0 ]; then
    sockets
fi

if [ "$status" != 0 ]; then
    echo FAILED
    exit "$status"
fi

echo "all right"
