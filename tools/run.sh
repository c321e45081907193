#!/bin/bash
# Runs the quick start in the foreground, in build/run: nginx with
# conf-examples/quickstart.conf and a demo device.  When it ends, both end.
#
#     run.sh NGINX MODULE PORT    the binary, the .so file, the port

set -euo pipefail

nginx=$1
module=$2
port=$3
root=$(cd "$(dirname "$0")/.." && pwd)
examples=$root/conf-examples
prefix=$root/build/run
pids=

die() {
    echo "$*" >&2
    exit 1
}

answers() {
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null
}

finish() {
    trap - EXIT INT TERM HUP

    # nginx reports its own end; a pid is valid only while it is our job
    for pid in $pids; do
        kill -TERM "$pid" 2> /dev/null || true
    done

    wait
}

prepare() {
    mkdir -p "$prefix/conf" "$prefix/modules" "$prefix/html"
    ln -sfn "$examples/console" "$prefix/html/console"
    ln -sfn "$examples/dashboard" "$prefix/html/dashboard"
    ln -sfn "$examples/pages" "$prefix/html/pages"
    ln -sfn "$root/build/node/node_modules/uplot/dist" "$prefix/html/uplot"
    ln -sfn "$module" "$prefix/modules/ngx_cometa_module.so"
    cp "$examples/cometa_api.conf" "$prefix/conf"
    sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/" "$examples/quickstart.conf" \
        > "$prefix/conf/nginx.conf"
}

start_nginx() {
    local globals='daemon off;'

    # as root, workers would run as "nobody", who may not read this directory
    [ "$(id -u)" != 0 ] || globals="$globals user root;"

    "$nginx" -p "$prefix/" -c conf/nginx.conf -e stderr -g "$globals" &
    pids=$!

    for _ in {1..50}; do
        kill -0 "$pids" 2> /dev/null || die "nginx did not start"
        ! answers || return 0
        sleep 0.1
    done

    die "nginx does not answer on port $port"
}

case $port in
    *[!0-9]* | "") die "PORT must be a number, not \"$port\"" ;;
esac

! answers || die "port $port is taken: choose another with make run PORT=..."

trap finish EXIT
trap 'exit 0' INT TERM HUP

prepare
start_nginx

perl "$examples/demo-device.pl" "127.0.0.1:$port" demo demo-1 &
pids="$pids $!"

cat <<END

The Cometa API is on 127.0.0.1:$port.  Call the demo device:

    curl -H 'Authorization: OAuth demo-secret' -d 'hello' \\
        http://127.0.0.1:$port/v1/applications/demo/devices/demo-1/send

The dashboard, and a console that opens WebSockets to devices; both ask for
the application "demo" and its secret "demo-secret":

    http://127.0.0.1:$port/dashboard/
    http://127.0.0.1:$port/console/

Ctrl-C ends it.

END

wait -n || true
die "nginx or the demo device ended"
