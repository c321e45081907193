#!/bin/bash
# What calls feel of a list: calls at a steady rate through one worker, alone,
# and while the same worker streams the list of all devices without a pause.
#
#   DEVICES RATE DURATION    1000000 200 (calls/s) 10 (s)
#   LIMIT   ms that the median and the 99 % point may grow (5)

. "$(dirname "$0")/machine.sh"
own_network "$@"
. "$(dirname "$0")/env.sh"

DEVICES=${DEVICES:-1000000}
RATE=${RATE:-200}
DURATION=${DURATION:-10}
LIMIT=${LIMIT:-5}

size_for "$DEVICES"
raise_limits "$DEVICES"
nginx_conf "$workers" "$connections" "$DEVICES" 'cometa_heartbeat 1h;'
nginx_start

start=$SECONDS
devices "$dir/devices" --devices "$DEVICES" --heartbeat 3600
attached=$((SECONDS - start))

read -r worker _ <<< "$(nginx_workers)"


# Reads the list again and again on a connection to this worker.

lists() {
    perl -MIO::Socket::INET -MTime::HiRes=time -e '
        my ($port, $worker, $end) = (@ARGV[0, 1], time() + $ARGV[2]);
        my ($s, $n, $bytes) = (undef, 0, 0);

        for (1 .. 5000) {
            $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                LocalAddr => "127.201.0.1") or die "$!\n";
            print $s "GET /worker HTTP/1.1\r\nHost: l\r\n\r\n";
            my $said = "";
            sysread $s, $said, 4096, length $said until $said =~ /\n\d+\n$/;
            last if $said =~ /\n$worker\n$/;
            $s = undef;
        }

        die "worker $worker is not reached\n" unless $s;

        while (time() < $end) {
            print $s "GET /v1/applications/app/devices HTTP/1.1\r\n",
                "Host: l\r\n\r\n";
            my ($tail, $ids) = ("", 0);

            until ($tail =~ /0\r\n\r\n$/) {
                sysread $s, my $part, 65536 or die "list ended early\n";
                $ids += $part =~ tr/,//;
                $bytes += length $part;
                $tail = substr $tail . $part, -8;
            }

            $n++;
        }

        printf "%d lists, %d bytes each\n", $n, $n ? $bytes / $n : 0;
    ' "$PORT" "$worker" "$DURATION"
}


calls() {
    "${load[@]}" --devices "$DEVICES" --worker "$worker" --callers 16 \
        --rate "$RATE" --duration "$DURATION" --json > "$1"
}


calls "$dir/alone"

lists > "$dir/lists" &
reader=$!
calls "$dir/beside"
wait "$reader"

printf '%d devices on %d workers, attached in %d s; %d calls/s\n' \
    "$DEVICES" "$workers" "$attached" "$RATE"
printf '%-24s %9s %9s %9s\n' 'latency, us' p50 p99 max

for name in alone beside; do
    printf '  %-22s %9s %9s %9s\n' "$name" "$(field p50 "$dir/$name")" \
        "$(field p99 "$dir/$name")" "$(field max "$dir/$name")"
done

cat "$dir/lists"

status=0

for point in p50 p99; do
    awk -v a="$(field "$point" "$dir/alone")" \
        -v b="$(field "$point" "$dir/beside")" -v limit="$LIMIT" \
        'BEGIN { exit b - a > limit * 1000 }' \
        || { echo "$point grows by more than $LIMIT ms"; status=1; }
done

check_log "^$" || status=1

[ "$status" = 0 ] && echo "all right" || echo FAILED
exit "$status"
