#!/bin/bash
# Events at a steady rate to an upstream that fails some of them: whatever the
# upstream does, delivered and counted as failed make sent, nothing is queued
# at the end, and what the module counts is what the upstream saw.
#
#   EVENTS RATE     10000 2000 (/s)
#   FAILURES        10% of the requests (503: tried again)
#   REFUSALS        1% of them (400: failed at once)
#   DEVICES WORKERS 200 2

. "$(dirname "$0")/env.sh"

EVENTS=${EVENTS:-10000}
RATE=${RATE:-2000}
FAILURES=${FAILURES:-10%}
REFUSALS=${REFUSALS:-1%}
DEVICES=${DEVICES:-200}
WORKERS=${WORKERS:-2}

status=0


# The upstream is another server of the same nginx; it fails by a hash of
# what differs from request to request.

webhook_conf() {
    cat <<END
    log_format got '\$status \$http_cometa_device';

    split_clients "\$connection/\$connection_requests/\$msec" \$verdict {
        $FAILURES  503;
        $REFUSALS  400;
        *    204;
    }

    upstream hook {
        server 127.0.0.1:$((PORT + 2));
        keepalive 64;
        keepalive_requests 1000000000;
    }

    server {
        listen 127.0.0.1:$((PORT + 2));
        access_log $dir/got.log got;

        if (\$verdict = 503) { return 503; }
        if (\$verdict = 400) { return 400; }

        return 204;
    }

    cometa_webhook /hook;
END
}


# A location of its own in the server of all benchmarks

add_location() {
    sed -i "s|^        location /proxy {|\
        location = /hook {\n\
            internal;\n\
            proxy_pass http://hook;\n\
            proxy_http_version 1.1;\n\
            proxy_set_header Connection \"\";\n\
        }\n\n&|" "$dir/nginx.conf"
}


# Devices that say a number each, in turns: EVENTS in EVENTS / RATE seconds

send_events() {
    perl - "$PORT" "$DEVICES" "$EVENTS" "$RATE" <<'END'
use strict;
use warnings;

use IO::Socket::INET;
use Time::HiRes qw(sleep time);

my ($port, $devices, $events, $rate) = @ARGV;
my @devices = map { attach("d$_") } 1 .. $devices;

my $start = time();

for my $n (0 .. $events - 1) {
    my $early = $start + $n / $rate - time();
    sleep($early) if $early > 0;

    put($devices[$n % $devices], sprintf "%x\r\n\x07%s\r\n",
        1 + length $n, $n);
}

printf "%.0f\n", $events / (time() - $start);

sub attach {
    my ($id) = @_;
    my $socket = IO::Socket::INET->new("127.0.0.1:$port")
        or die "cannot connect: $!\n";

    put($socket, "POST /v1/applications/app1/devices/$id HTTP/1.1\r\n"
        . "Host: localhost\r\nContent-Length: 0\r\n\r\n");

    my $answer = '';

    until ($answer =~ /timestamp":\d+\}\r\n\z/) {
        sysread($socket, $answer, 4096, length $answer)
            or die "$id: not attached: $answer\n";
    }

    return $socket;
}

sub put {
    my ($socket, $bytes) = @_;

    syswrite($socket, $bytes) == length $bytes or die "cannot send: $!\n";
}
END
}


counter() {
    curl -s "http://127.0.0.1:$PORT/v1/applications/app1" > "$dir/stats"
    field "webhook_$1" "$dir/stats"
}


# equal WHAT WANTED GOT

equal() {
    if [ "$2" != "$3" ]; then
        echo "FAILED: $1: $3, not $2" >&2
        status=1
    fi
}


nginx_conf "$WORKERS" $((DEVICES * 2 + 1024)) "$DEVICES" "$(webhook_conf)"
add_location
nginx_start

rate=$(send_events) || die "no events"

# the last tries of the last event come seconds after the first

for _ in $(seq 300); do
    [ "$(counter queued)" != 0 ] || break
    sleep 0.1
done

sent=$(counter sent)
failed=$(counter failed)
retries=$(counter retries)
dropped=$(counter dropped)

delivered=$(grep -c '^204' "$dir/got.log" || true)
refused=$(grep -c '^400' "$dir/got.log" || true)
unwell=$(grep -c '^503' "$dir/got.log" || true)
gave_up=$((failed - refused))

printf '%d events at %d/s from %d devices, %d workers; %s fail, %s refused:\n' \
    "$EVENTS" "$rate" "$DEVICES" "$WORKERS" "$FAILURES" "$REFUSALS"
printf '  %-28s %8d\n' \
    delivered "$delivered" 'counted as sent' "$sent" \
    'counted as failed' "$failed" 'counted as dropped' "$dropped" \
    'answers that say try again' "$unwell" 'counted as retries' "$retries" \
    'queued at the end' "$(counter queued)"

equal 'delivered + failed' "$EVENTS" $((delivered + failed))
equal 'counted as sent' "$delivered" "$sent"
equal 'dropped' 0 "$dropped"
equal 'queued' 0 "$(counter queued)"
equal 'retries, and last tries' "$unwell" $((retries + gave_up))

# a test of failures must have had some; and the rate must have been kept

[ "$unwell" -gt 0 ] || equal 'failures' some none
[ "$rate" -ge $((RATE * 9 / 10)) ] || equal 'events/s' "$RATE" "$rate"

check_log 'cometa_webhook: ' || status=1

if [ "$status" != 0 ]; then
    echo FAILED
    exit "$status"
fi

echo "all right"
