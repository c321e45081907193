#!/bin/sh
# Installs the Debian packages that a part of the work needs:
#
#     deps.sh build|clang|suite|unit|fuzz|test|clients|run|bench|check|coverage|
#             valgrind ...
#
# Does nothing if all are installed.  Works as root or through sudo; otherwise
# it says what is missing.

set -eu

packages() {
    case $1 in
    build) echo gcc libc6-dev libssl-dev libpcre2-dev zlib1g-dev ;;
    clang) echo clang libclang-rt-dev libc6-dev ;;
    fuzz)  echo clang libclang-rt-dev libc6-dev libssl-dev ;;
    suite) echo dpkg-dev patchelf ;;
    unit)  echo gcc libc6-dev libssl-dev perl ;;
    test)  echo perl libio-socket-ssl-perl libprotocol-websocket-perl \
                openssl curl chromium $(node_packages) \
                gcc g++ libc6-dev libssl-dev libgnutls28-dev libmbedtls-dev \
                libwolfssl-dev libnss3-dev python3 ;;
    clients) echo $(command -v go > /dev/null || echo golang-go) \
                $(command -v javac > /dev/null || echo default-jdk-headless) \
                $(command -v cargo > /dev/null || echo cargo) \
                librust-rustls-dev ;;
    run)   echo perl curl $(node_packages) ;;
    bench) echo gcc libc6-dev libssl-dev perl openssl curl iproute2 procps \
               gnuplot-nox $(node_packages) ;;
    check) echo perl clang cppcheck ;;
    coverage) echo gcovr ;;
    valgrind) echo valgrind gcc libc6-dev libssl-dev perl ;;
    *)     echo "deps.sh: nothing is known of \"$1\"" >&2; return 1 ;;
    esac
}

# Node.js may be installed from elsewhere than Debian, and then Debian's npm
# does not work with it.

node_packages() {
    command -v node > /dev/null || echo nodejs
    command -v npm > /dev/null || echo npm
}

is_installed() {
    dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null \
        | grep -qx installed
}

wanted=
for part in "$@"; do
    wanted="$wanted $(packages "$part")"
done

if ! command -v dpkg-query > /dev/null; then
    echo "no Debian packages here; needed is what these hold:$wanted" >&2
    exit 0
fi

missing=
for package in $wanted; do
    is_installed "$package" || missing="$missing $package"
done

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif sudo -n true 2>/dev/null || [ -t 0 ] && command -v sudo > /dev/null; then
    as_root=sudo
else
    echo "missing packages:$missing" >&2
    echo "install them as root: apt-get install$missing" >&2
    exit 1
fi

install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends $missing
}

echo "installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# apt's lists may be absent or old, which shows only when apt fails: then they
# are fetched, and apt is run once more.
install > "$log" 2>&1 \
    || { $as_root apt-get -q update && install; } > "$log" 2>&1 \
    || { cat "$log" >&2; echo "cannot install:$missing" >&2; exit 1; }
