#!/bin/sh
# Finds Debian's nginx and the headers and configure script (nginx-dev) of the
# very same version, and leaves them as build/debian/nginx and build/debian/src.
#
# If nginx is installed, only its binary is used.  Packages that are missing are
# unpacked under build/ and never installed, because the nginx package would
# start a server.  build/debian/version changes only when the version does.

set -eu

tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/.." && pwd)/build
debian=$build/debian

. "$tools/apt.sh"

installed() {
    dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null \
        | sed -n 's/^installed //p'
}

# download PACKAGE[=VERSION]...  into the current directory
download() {
    private_apt "$build/apt/system" - update \
        && private_apt "$build/apt/system" - download "$@"
}

# fetch PACKAGE[=VERSION]...  unpacks them into build/debian/root
fetch() {
    rm -rf "$debian/deb" "$debian/root"
    mkdir -p "$debian/deb" "$debian/root"
    echo "fetching $* into build/debian" >&2

    if ! (cd "$debian/deb" && download "$@") > "$debian/fetch.log" 2>&1; then
        grep '^E:' "$debian/fetch.log" >&2 || cat "$debian/fetch.log" >&2
        return 1
    fi

    for deb in "$debian"/deb/*.deb; do
        dpkg -x "$deb" "$debian/root"
    done
}

# fetched VERSION BINARY  tells whether an earlier fetch left just that
fetched() {
    [ "$(cat "$debian/version" 2>/dev/null)" = "$1" ] \
        && [ -f "$debian/src/configure" ] && [ -x "$debian/nginx" ] \
        && [ "$(readlink "$debian/nginx")" = "$2" ]
}

# settle VERSION BINARY TREE
settle() {
    [ -x "$2" ] && [ -f "$3/configure" ]
    ln -sfn "$2" "$debian/nginx"
    ln -sfn "$3" "$debian/src"
    [ "$(cat "$debian/version" 2>/dev/null)" = "$1" ] \
        || echo "$1" > "$debian/version"
}

if ! command -v apt-get > /dev/null; then
    echo "this is no Debian system: give NGINX_SRC=DIR, a source tree" >&2
    exit 1
fi

mkdir -p "$debian"

version=$(installed nginx)
extracted=$debian/root/usr/share/nginx/src

if [ -n "$version" ] && [ -x /usr/sbin/nginx ]; then
    if [ "$(installed nginx-dev)" = "$version" ]; then
        settle "$version" /usr/sbin/nginx /usr/share/nginx/src
        exit
    fi

    if fetched "$version" /usr/sbin/nginx || fetch "nginx-dev=$version"; then
        settle "$version" /usr/sbin/nginx "$extracted"
        exit
    fi

    echo "no nginx-dev $version: taking another nginx than the installed" >&2
fi

nginx=$debian/root/usr/sbin/nginx
version=$(cat "$debian/version" 2>/dev/null || true)

if ! fetched "$version" "$nginx"; then
    fetch nginx nginx-dev
    version=$(dpkg-deb -f "$debian"/deb/nginx_*.deb Version)
    [ "$(dpkg-deb -f "$debian"/deb/nginx-dev_*.deb Version)" = "$version" ]
fi

settle "$version" "$nginx" "$extracted"
