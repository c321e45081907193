#!/bin/sh
# Compiles the clients of the comparison into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

set -eu

cd "$(dirname "$0")"
. ../clients/compile.sh

clients=../clients
common="client.c protocol.c mqtt.c nats.c nchan.c $clients/options.c
        $clients/process.c $clients/stream.c $clients/net.c $clients/park.c
        $clients/wheel.c $clients/frame.c $clients/http.c $clients/util.c
        $record_layer"

# shellcheck disable=SC2086 # the sources are words
{
    compile peer-devices.c $common
    compile peer-load.c callers.c $clients/load.c $clients/report.c \
        $clients/pipeline.c $clients/histogram.c \
        ../../ngx_cometa_module/codec/cometa_histogram.c $common
}
