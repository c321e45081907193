# shellcheck shell=bash
#
# What the bench scripts share: an nginx of their own in a temporary
# directory, the programs, and the end of everything that was started,
# whatever ends the script.
#
#   NGINX     the nginx binary (nginx)
#   MODULE    the module (build/ngx_cometa_module.so); empty: it is in nginx
#   BENCH     where the compiled programs are (build/bench)
#   PORT      the first of three ports on 127.0.0.1 (free ones are found)
#   ZONE      size of the shared memory zone (1m and 128 bytes a device)
#   PATIENCE  seconds until all connections have to be there (600)
#   SHUTDOWN  worker_shutdown_timeout (5s)
#   KEEP      1: leave the temporary directory

set -euo pipefail

PATIENCE=${PATIENCE:-600}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# nginx takes a variable of the same name for its own: it must not see it

nginx_binary=${NGINX:-nginx}
unset NGINX

MODULE=${MODULE-$root/build/ngx_cometa_module.so}
load_module=
export BENCH
BENCH=$(realpath -m "${BENCH:-$root/build/bench}")

dir=$(mktemp -d)
master=
devices_pid=


die() {
    echo "$(basename "$0"): $*" >&2
    exit 3
}


# end PID...: SIGTERM, and wait until it is gone. Only what runs as a job of
# this shell gets the signal: any other process may have the number by now.

end() {
    local pid running

    for pid in "$@"; do
        running=$(jobs -pr)

        if grep -qx "$pid" <<< "$running"; then
            kill -TERM "$pid" || true
            wait "$pid" || true
        fi
    done
}


cleanup() {
    local status=$?

    trap - EXIT INT TERM
    # shellcheck disable=SC2046 # the pids are words
    end $(jobs -pr)

    if declare -F restore_settings > /dev/null; then
        restore_settings
    fi

    if [ "${KEEP:-}" = 1 ]; then
        echo "left in $dir" >&2
    else
        rm -rf "$dir"
    fi

    exit "$status"
}

trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM


# three ports in a row below those the system gives away

find_ports() {
    local taken

    if [ -n "${PORT:-}" ]; then
        return
    fi

    taken=$(ss -Hltn | awk '{ sub(/.*:/, "", $4); print $4 }')

    for PORT in $(shuf -i 10000-30000 -n 50); do
        if ! grep -qxE "$PORT|$((PORT + 1))|$((PORT + 2))" <<< "$taken"; then
            return
        fi
    done

    die "no free ports"
}


# nginx_conf WORKERS CONNECTIONS DEVICES [DIRECTIVES [LOCATIONS]]: the
# configuration of all benchmarks; the directives go into its http block, the
# locations into its server

nginx_conf() {
    local workers=$1 connections=$2 devices=$3 extra=${4:-} locations=${5:-}
    local zone=${ZONE:-$((1024 + devices / 8))k}

    cat > "$dir/nginx.conf" <<END
$load_module
worker_processes $workers;
worker_shutdown_timeout ${SHUTDOWN:-5s};
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log ${LOG:-warn};

events {
    worker_connections $connections;
}

http {
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;

    cometa_zone zone=bench:$zone;
    cometa_secret off;
    cometa_takeover on limit=off;
    $extra

    ssl_certificate $dir/cert.pem;
    ssl_certificate_key $dir/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;

    upstream echo {
        server 127.0.0.1:$((PORT + 2));
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }

    server {
        listen 127.0.0.1:$PORT reuseport backlog=65535;
        listen 127.0.0.1:$((PORT + 1)) ssl reuseport backlog=65535;

        location ~ ^/v1/applications/(?<app>[^/]+)/devices/(?<device>[^/]+)/send\$ {
            cometa_send;
        }

        location ~ ^/v1/applications/(?<app>[^/]+)/devices/(?<device>[^/]+)/websocket\$ {
            cometa_websocket;
        }

        location ~ ^/v1/websockets/(?<device>[^/]+)/(?<key>[^/]+)\$ {
            cometa_websocket;
        }

        location ~ ^/v1/applications/(?<app>[^/]+)/devices/(?<device>[^/]+)\$ {
            cometa_attach;
            cometa_stats;
        }

        location ~ ^/v1/applications/(?<app>[^/]+)/devices\$ {
            cometa_device *;
            cometa_stats;
        }

        location ~ ^/v1/applications/(?<app>[^/]+)\$ {
            cometa_stats;
        }

        location /proxy {
            proxy_pass http://echo;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }

        $locations

        location = /worker {
            return 200 "\$pid\n";
        }

        location = /metrics {
            cometa_stats prometheus;
        }

        location = /small {
            return 200 "ok";
        }
    }
}
END
}


nginx_start() {
    : > "$dir/error.log"

    "$nginx_binary" -t -q -e "$dir/error.log" -c "$dir/nginx.conf" \
        || die "nginx does not take the configuration"

    "$nginx_binary" -e "$dir/error.log" -c "$dir/nginx.conf" &
    master=$!

    for _ in $(seq 100); do
        if curl -s -o /dev/null "http://127.0.0.1:$PORT/small"; then
            return
        fi

        kill -0 "$master" 2>/dev/null || break
        sleep 0.1
    done

    cat "$dir/error.log" >&2
    die "nginx does not answer"
}


nginx_stop() {
    end "$master"
}


nginx_workers() {
    cat "/proc/$master/task/$master/children"
}


# user and system time of processes so far, in ticks of the clock

cpu_ticks() {
    local pid sum=0 stat

    for pid in "$@"; do
        stat=$(< "/proc/$pid/stat")
        # shellcheck disable=SC2086 # the fields are words
        set -- ${stat##*) }
        sum=$((sum + ${12} + ${13}))
    done

    echo "$sum"
}


# us_per_call TICKS CALLS

us_per_call() {
    awk -v t="$1" -v hz="$(getconf CLK_TCK)" -v n="$2" \
        'BEGIN { printf "%.4f", t / hz * 1e6 / n }'
}


# Of lists of numbers, with blanks between them: "ratios LIST LIST" is that of
# each in the first to its partner in the second.

ratios() {
    paste -d ' ' <(tr ' ' '\n' <<< "$1") <(tr ' ' '\n' <<< "$2") \
        | awk 'NF == 2 { printf "%.4f ", $1 / $2 }'
}


median() {
    tr -s ' ' '\n' | grep . | sort -n \
        | awk '{ v[NR] = $1 }
               END { printf "%.3f",
                     (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}


# is_above NUMBER LIMIT

is_above() {
    awk -v n="$1" -v l="$2" 'BEGIN { exit !(n > l) }'
}


# field NAME FILE: a number (also one in quotes) out of JSON

field() {
    { grep -o "\"$1\":\"\\?[0-9.]*" "$2" || true; } \
        | sed -n '1s/.*[:"]//p'
}


# sum NAME FILE...: a figure of several reports

sum() {
    local name=$1 file n sum=0
    shift

    for file in "$@"; do
        n=$(field "$name" "$file")
        sum=$((sum + ${n:-0}))
    done

    echo "$sum"
}


# until_said WORD FILE PID: the program PID has printed a line that begins so

until_said() {
    local word=$1 out=$2 pid=$3 end=$((SECONDS + PATIENCE))

    until grep -q "^$word" "$out"; do
        kill -0 "$pid" 2>/dev/null || die "ended before it said \"$word\""
        [ "$SECONDS" -lt "$end" ] || die "no \"$word\" in $PATIENCE s"
        sleep 0.1
    done
}


# devices FILE OPTION...: cb-devices in the background, until all of them
# are attached; its output is in the file, its pid in devices_pid

devices() {
    local out=$1
    shift

    : > "$out"

    "$BENCH/cb-devices" --server_name 127.0.0.1 \
        --server_port "$PORT" --json "$@" > "$out" &
    devices_pid=$!

    until_said attached "$out" "$devices_pid"
}


# check_log PATTERN: the error log names no error but what matches

check_log() {
    local expected=$1 bad

    bad=$(grep -E '\[(alert|emerg|crit|error)\]|Sanitizer|runtime error' \
              "$dir/error.log" \
          | grep -vE "$expected" || true)

    if [ -z "$bad" ]; then
        return 0
    fi

    echo "in nginx's error log:" >&2
    head -20 <<< "$bad" >&2
    return 1
}


chmod 755 "$dir"

# a copy: a build meanwhile must not change what is running

if [ -n "$MODULE" ]; then
    cp "$MODULE" "$dir/module.so" || die "no module: build it first"
    load_module="load_module $dir/module.so;"
fi

find_ports
"$root/bench/clients/build.sh"

# a command, not a function: in the background its pid has to be its own

# shellcheck disable=SC2034 # used by the scripts
load=("$BENCH/cb-load" --server_name 127.0.0.1 --server_port "$PORT")

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -keyout "$dir/key.pem" -out "$dir/cert.pem" -days 2 \
    -subj /CN=localhost 2>/dev/null || die "openssl makes no certificate"
