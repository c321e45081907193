# shellcheck shell=sh
# What the scripts that compile programs share: sourced by them in the directory
# of their sources, it compiles into BENCH (default: build/bench).
#
#   CC, CFLAGS    compiler and its options (cc, -O2 -g)

out=${BENCH:-../../build/bench}
warn="-std=gnu11 -Wall -Wextra -Werror"

# the record layer of the module, for streams that are parked

tls=../../ngx_cometa_module/tls
# shellcheck disable=SC2034 # used by those scripts
record_layer="$tls/cometa_tls_record.c $tls/cometa_tls_read.c
              $tls/cometa_tls_keys.c $tls/cometa_tls_aead.c"

mkdir -p "$out"

# compile MAIN SOURCE...: a program, called as MAIN without its path and ".c"

compile() {
    program=$(basename "$1" .c)
    # shellcheck disable=SC2086 # the options are words
    ${CC:-cc} $warn ${CFLAGS:--O2 -g} -o "$out/$program.$$" "$@" \
        -lssl -lcrypto -lm

    # at once: another script may be about to start it

    mv "$out/$program.$$" "$out/$program"
}
