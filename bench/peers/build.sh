#!/bin/sh
# Compiles the clients of the comparison into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

set -eu

cd "$(dirname "$0")"

out=${BENCH:-../../build/bench}
warn="-std=gnu11 -Wall -Wextra -Werror"
common="client.c protocol.c mqtt.c nats.c nchan.c
        ../stream.c ../wheel.c ../frame.c ../http.c ../util.c"

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

compile peer-devices
compile peer-load callers.c ../load.c ../histogram.c \
    ../../ngx_cometa_module/cometa_histogram.c
