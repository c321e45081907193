#!/bin/sh
# Unpacks a Debian package into build/PACKAGE, where it is used without being
# installed: some packages would start a server.
#
#     unpack.sh PACKAGE

set -eu

package=$1
tools=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$tools/.." && pwd)/build
dir=$build/$package

. "$tools/apt.sh"

rm -rf "$dir"
mkdir -p "$dir"
echo "fetching $package into build/$package" >&2

if ! { private_apt "$build/apt/system" - update \
       && cd "$dir" \
       && private_apt "$build/apt/system" - download "$package"; } \
     > "$build/$package.log" 2>&1
then
    cat "$build/$package.log" >&2
    exit 1
fi

dpkg -x "${package}"_*.deb "$dir"
rm "${package}"_*.deb
touch "$dir/installed"
