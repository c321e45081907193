#!/bin/sh
# Fetches nginx's release tarball from the first of some Debian suites that has
# it, and prints the directory of the unpacked tree:
#
#     nginx-src.sh SUITE...        such as: nginx-src.sh sid trixie
#
# The tree is kept under build/, so that later calls only print.  apt checks the
# tarball against the signed index of the suite.

set -eu

tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/.." && pwd)/build

. "$tools/apt.sh"

fetch() {
    tree=$build/nginx-src/$1
    new=$tree.new

    rm -rf "$tree" "$new" && mkdir -p "$new" && cd "$new" \
        && private_apt "$build/apt/$1" "$1" update \
        && private_apt "$build/apt/$1" "$1" \
                       source --download-only --tar-only nginx \
        && tar xf nginx_*.orig.tar.* --no-same-owner --strip-components=1 \
        && test -f src/core/nginx.c \
        && mv "$new" "$tree"
}

[ $# -gt 0 ] || { echo "usage: nginx-src.sh SUITE..." >&2; exit 2; }

mkdir -p "$build"

for suite in "$@"; do
    log=$build/nginx-src-$suite.log

    if [ -f "$build/nginx-src/$suite/src/core/nginx.c" ] \
       || (fetch "$suite") > "$log" 2>&1
    then
        echo "$build/nginx-src/$suite"
        exit 0
    fi

    echo "no nginx source to be had from $suite:" >&2
    grep '^E:' "$log" >&2 || tail -n 5 "$log" >&2
done

exit 1
