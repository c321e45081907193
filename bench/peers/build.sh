#!/bin/sh
# Compiles the clients of the comparison into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

set -eu

cd "$(dirname "$0")/.."
. ./compile.sh

common="peers/client.c peers/protocol.c peers/mqtt.c peers/nats.c peers/nchan.c
        options.c process.c stream.c wheel.c frame.c http.c util.c"

# shellcheck disable=SC2086 # the sources are words
{
    compile peers/peer-devices.c $common
    compile peers/peer-load.c peers/callers.c load.c report.c pipeline.c \
        histogram.c ../ngx_cometa_module/codec/cometa_histogram.c $common
}
