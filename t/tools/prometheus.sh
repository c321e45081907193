#!/bin/sh
# Unpacks Debian's prometheus (with promtool) into build/prometheus.

set -eu

tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/../.." && pwd)/build
dir=$build/prometheus

. "$tools/apt.sh"

rm -rf "$dir"
mkdir -p "$dir"
echo "fetching prometheus into build/prometheus" >&2

if ! { private_apt "$build/apt/system" - update \
       && cd "$dir" \
       && private_apt "$build/apt/system" - download prometheus; } \
     > "$build/prometheus.log" 2>&1
then
    cat "$build/prometheus.log" >&2
    exit 1
fi

dpkg -x prometheus_*.deb "$dir"
rm prometheus_*.deb
touch "$dir/installed"
