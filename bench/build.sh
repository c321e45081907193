#!/bin/sh
# Compiles the bench programs into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

set -eu

cd "$(dirname "$0")"

out=${BENCH:-../build/bench}
warn="-std=gnu11 -Wall -Wextra -Werror"
common="stream.c http.c util.c"
module=../ngx_cometa_module

mkdir -p "$out"

compile() {
    program=$1
    shift
    # shellcheck disable=SC2086 # the options are words
    ${CC:-cc} $warn ${CFLAGS:--O2 -g} -o "$out/$program.$$" \
        "$program.c" "$@" $common -lssl -lcrypto -lm

    # at once: another script may be about to start it

    mv "$out/$program.$$" "$out/$program"
}

compile cb-devices options.c progress.c device.c memory.c wheel.c
compile cb-load options.c load.c caller.c socket.c frame.c wheel.c \
    histogram.c "$module/cometa_histogram.c"
compile cb-upstream
