#!/bin/sh
# Unpacks the nginx of another Debian suite (sid, ...), nginx-dev and all
# libraries it needs, the C library too, so that it runs on this system:
#
#     nginx-suite.sh SUITE
#
# Leaves build/debian-SUITE/nginx, .../src and .../version; does nothing if they
# exist.

set -eu

tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/.." && pwd)/build
suite=${1:?usage: nginx-suite.sh SUITE}
dir=$build/debian-$suite
root=$dir/root

. "$tools/apt.sh"

apt() {
    private_apt "$build/apt/$suite" "$suite" "$@"
}

# the libraries that the downloaded packages depend on and that are not here yet
wanted() {
    for deb in nginx_*.deb lib*.deb zlib*.deb; do
        [ ! -f "$deb" ] || dpkg-deb -f "$deb" Depends Pre-Depends
    done | sed 's/^[A-Z][A-Za-z-]*://' | tr ',|' '\n' | awk '{ print $1 }' \
         | grep -E '^(lib|zlib)' | sort -u \
         | while read -r name; do
               ls "${name%%:*}"_*.deb > /dev/null 2>&1 || echo "$name"
           done
}

fetch() {
    apt update && apt download nginx nginx-dev || return 1

    while libraries=$(wanted) && [ -n "$libraries" ]; do
        apt download $libraries || return 1
    done

    for deb in *.deb; do
        dpkg -x "$deb" "$root" || return 1
    done
}

# By itself the binary would use the loader and the libraries of this system.
relocate() {
    loader=$(find "$root" -name 'ld-linux*.so.*' | head -n 1)
    libc=$(find "$root" -name libc.so.6 | head -n 1)

    patchelf --set-interpreter "$loader" --force-rpath \
             --set-rpath "$(dirname "$libc")" "$root/usr/sbin/nginx"
}

[ ! -f "$dir/version" ] || exit 0

echo "fetching the nginx of $suite"
rm -rf "$dir"
mkdir -p "$dir/deb"
cd "$dir/deb"

if ! fetch > "$dir/fetch.log" 2>&1; then
    grep '^E:' "$dir/fetch.log" >&2 || cat "$dir/fetch.log" >&2
    exit 1
fi

relocate
ln -s "$root/usr/share/nginx/src" "$dir/src"
ln -s "$root/usr/sbin/nginx" "$dir/nginx"
"$dir/nginx" -v
dpkg-deb -f nginx_*.deb Version > "$dir/version"
