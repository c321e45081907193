#!/bin/sh
# Compiles the bench programs into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

set -eu

cd "$(dirname "$0")"
. ./compile.sh

common="stream.c net.c park.c http.c util.c $record_layer"

# shellcheck disable=SC2086 # the sources are words
{
    compile cb-devices.c options.c progress.c device.c memory.c wheel.c $common
    compile cb-load.c options.c process.c load.c report.c caller.c socket.c \
        pipeline.c frame.c wheel.c histogram.c \
        ../../ngx_cometa_module/codec/cometa_histogram.c $common
    compile cb-upstream.c $common
    compile cb-delay.c util.c
    compile cb-channel.c options.c process.c frame.c histogram.c \
        ../../ngx_cometa_module/codec/cometa_histogram.c $common
}
