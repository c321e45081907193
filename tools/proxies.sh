#!/bin/sh
# Unpacks haproxy and Apache, with the libraries that they need and that are not
# installed, into build/proxies: they are used from there and never installed,
# since they would start as servers.

set -eu

tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/.." && pwd)/build
dir=$build/proxies

. "$tools/apt.sh"

# What apt would install: one a line.

missing() {
    private_apt "$build/apt/system" - -s install --no-install-recommends \
        haproxy apache2-bin | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}

rm -rf "$dir"
mkdir -p "$dir"
echo "fetching haproxy and apache2-bin into build/proxies" >&2

if ! { private_apt "$build/apt/system" - update \
       && cd "$dir" \
       && missing > packages \
       && xargs -r sh -c '. "$1"; shift; private_apt "$@"' - \
              "$tools/apt.sh" "$build/apt/system" - download < packages; } \
     > "$build/proxies.log" 2>&1
then
    cat "$build/proxies.log" >&2
    echo "haproxy and apache2-bin cannot be had" >&2
    exit 1
fi

for package in *.deb; do
    [ ! -e "$package" ] || dpkg -x "$package" .
done

rm -f ./*.deb
touch installed
